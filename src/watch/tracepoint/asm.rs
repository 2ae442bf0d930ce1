//! As much of an assembler for BPF as one small program needs (Documentation/bpf/standardization/instruction-set.rst).

/// A register. `R0` is what calls return, `R1`..`R5` are their arguments and lost in them, `R10` is the stack.
#[derive(Clone, Copy)]
#[allow(missing_docs, reason = "they are their names")]
pub(super) enum Reg {
    R0,
    R1,
    R2,
    R3,
    R6 = 6,
    R7,
    R8,
    R9,
    R10,
}

/// How many bytes a load or store moves.
#[derive(Clone, Copy)]
pub(super) enum Width {
    Byte = 0x10,
    Half = 0x08,
    Word = 0x00,
    Double = 0x18,
}

impl Width {
    pub fn of(bytes: usize) -> Option<Self> {
        Some(match bytes {
            1 => Self::Byte,
            2 => Self::Half,
            4 => Self::Word,
            8 => Self::Double,
            _ => return None,
        })
    }
}

/// 64-bit arithmetic.
#[derive(Clone, Copy)]
pub(super) enum Alu {
    Add = 0x00,
    Sub = 0x10,
    Mul = 0x20,
    And = 0x50,
    Shr = 0x70,
    Xor = 0xa0,
    Mov = 0xb0,
}

/// When to jump.
#[derive(Clone, Copy)]
pub(super) enum If {
    Equal = 0x10,
    Greater = 0x20,
    AnyBit = 0x40,
}

/// A place to jump to.
#[derive(Clone, Copy)]
pub(super) struct Label(usize);

/// Instructions in the making.
#[derive(Default)]
pub(super) struct Asm {
    code: Vec<(u8, u8, i16, i32)>,
    labels: Vec<Option<usize>>,
    jumps: Vec<(usize, Label)>,
}

impl Asm {
    fn push(&mut self, code: u8, to: Reg, from: Reg, offset: i16, imm: i32) {
        let (to, from) = (to as u8, from as u8);
        let registers = if cfg!(target_endian = "big") { to << 4 | from } else { from << 4 | to };
        self.code.push((code, registers, offset, imm));
    }

    /// `to = *(from + offset)`, extended by zeros.
    pub fn load(&mut self, width: Width, to: Reg, from: Reg, offset: i16) {
        self.push(0x61 | width as u8, to, from, offset, 0);
    }

    /// `*(to + offset) = from`.
    pub fn store(&mut self, width: Width, to: Reg, offset: i16, from: Reg) {
        self.push(0x63 | width as u8, to, from, offset, 0);
    }

    /// `*(to + offset) = value`.
    pub fn store_value(&mut self, width: Width, to: Reg, offset: i16, value: i32) {
        self.push(0x62 | width as u8, to, Reg::R0, offset, value);
    }

    /// `*(to + offset) = from` for all to see after every store before it; spoils `from`.
    pub fn publish(&mut self, to: Reg, offset: i16, from: Reg) {
        if cfg!(any(target_arch = "x86_64", target_arch = "x86")) {
            // Stores are seen in their order there.
            self.store(Width::Double, to, offset, from);
        } else {
            self.push(0xdb, to, from, offset, 0xe1);
        }
    }

    /// `to op= value`.
    pub fn alu(&mut self, op: Alu, to: Reg, value: i32) {
        self.push(0x07 | op as u8, to, Reg::R0, 0, value);
    }

    /// `to op= from`.
    pub fn alu_reg(&mut self, op: Alu, to: Reg, from: Reg) {
        self.push(0x0f | op as u8, to, from, 0, 0);
    }

    fn wide(&mut self, to: Reg, source: u8, low: i32, high: i32) {
        let to = to as u8;
        let registers = if cfg!(target_endian = "big") { to << 4 | source } else { source << 4 | to };
        self.code.push((0x18, registers, 0, low));
        self.code.push((0, 0, 0, high));
    }

    /// `to = value`.
    pub fn value(&mut self, to: Reg, value: u64) {
        self.wide(to, 0, value as u32 as i32, (value >> 32) as u32 as i32);
    }

    /// `to` = the map of this descriptor.
    pub fn map(&mut self, to: Reg, map: i32) {
        self.wide(to, 1, map, 0);
    }

    /// `to` = the address of the only value of the array of this descriptor.
    pub fn map_value(&mut self, to: Reg, map: i32) {
        self.wide(to, 2, map, 0);
    }

    /// Calls a helper of the kernel by its number (include/uapi/linux/bpf.h).
    pub fn call(&mut self, helper: i32) {
        self.push(0x85, Reg::R0, Reg::R0, 0, helper);
    }

    pub fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// The label means here.
    pub fn place(&mut self, label: Label) {
        if let Some(place) = self.labels.get_mut(label.0) {
            *place = Some(self.code.len());
        }
    }

    pub fn jump_if(&mut self, when: If, register: Reg, value: i32, to: Label) {
        self.jumps.push((self.code.len(), to));
        self.push(0x05 | when as u8, register, Reg::R0, 0, value);
    }

    pub fn jump(&mut self, to: Label) {
        self.jumps.push((self.code.len(), to));
        self.push(0x05, Reg::R0, Reg::R0, 0, 0);
    }

    pub fn exit(&mut self) {
        self.push(0x95, Reg::R0, Reg::R0, 0, 0);
    }

    /// The finished instructions. A jump to a label that was never placed goes nowhere; the kernel's verifier refuses it.
    pub fn finish(mut self) -> Vec<u64> {
        for (at, label) in self.jumps {
            let place = self.labels.get(label.0).copied().flatten();
            let distance = place.and_then(|place| i16::try_from(place as i64 - at as i64 - 1).ok());
            if let Some(instruction) = self.code.get_mut(at) {
                instruction.2 = distance.unwrap_or(-1);
            }
        }
        let bytes = |(code, registers, offset, imm): (u8, u8, i16, i32)| {
            let ([a, b], [c, d, e, f]) = (offset.to_ne_bytes(), imm.to_ne_bytes());
            u64::from_ne_bytes([code, registers, a, b, c, d, e, f])
        };
        self.code.into_iter().map(bytes).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn instructions_are_those_of_the_standard() {
        let mut asm = Asm::default();
        let out = asm.label();
        asm.alu_reg(Alu::Mov, Reg::R6, Reg::R1);
        asm.load(Width::Word, Reg::R2, Reg::R6, 24);
        asm.jump_if(If::Equal, Reg::R2, -1, out);
        asm.store_value(Width::Byte, Reg::R10, -4, 7);
        asm.value(Reg::R3, 0x1122_3344_5566_7788);
        asm.place(out);
        asm.alu(Alu::Mov, Reg::R0, 0);
        asm.exit();
        let bytes: Vec<[u8; 8]> = asm.finish().into_iter().map(u64::to_le_bytes).collect();
        assert_eq!(
            bytes,
            [
                [0xbf, 0x16, 0, 0, 0, 0, 0, 0],
                [0x61, 0x62, 24, 0, 0, 0, 0, 0],
                [0x15, 0x02, 3, 0, 0xff, 0xff, 0xff, 0xff],
                [0x72, 0x0a, 0xfc, 0xff, 7, 0, 0, 0],
                [0x18, 0x03, 0, 0, 0x88, 0x77, 0x66, 0x55],
                [0, 0, 0, 0, 0x44, 0x33, 0x22, 0x11],
                [0xb7, 0x00, 0, 0, 0, 0, 0, 0],
                [0x95, 0, 0, 0, 0, 0, 0, 0],
            ]
        );
    }
}
