//! Records by way of BPF: a small program at each event writes what the grammar needs to a ring of its CPU in memory that
//! is shared with us. Measured at a million acquisitions a second it costs the observed about half of what perf's own
//! ring does.
//!
//! One array map has a value for each CPU: a page with the ring's head (written by the program), its tail (by us) and
//! the count of what found no room, then the ring, then room for a record that begins at its very end. Another has a
//! bit for each of 65,536 classes of files: the program passes over those whose bit is not set, the reader knows
//! the files exactly.

use super::asm::{Alu, Asm, If, Reg, Width};
use super::format::{Field, LockFormat, SignalFormat};
use super::merge::Lane;
use super::ring::Ring;
use super::sys::{self, Attr, Shared};
use super::{Events, Record, Request, Scope, TraceError, What, online_cpus};
use crate::watch::change::{Family, FileId};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// Places in the first page of a ring; each has a cache line of its own.
const HEAD: usize = 0;
const TAIL: usize = 64;
const LOST: usize = 128;
/// Records by their first bytes: time, task, two fields, then `META`: kind, operation, flags.
const META: i16 = 28;
const LONGEST: usize = 80;
const FLOCK: i32 = 1;
const POSIX: i32 = 2;
const SIGNAL: i32 = 3;
const EXIT: i32 = 4;
/// All rings together take no more than this.
const BUDGET: usize = 256 << 20;
const LEAST_RING: usize = 64 << 10;
const CLASSES: usize = 1 << 16;
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
const SA_RESTART: i32 = 0x1000_0000;

/// Numbers of helpers in include/uapi/linux/bpf.h.
mod helper {
    pub const MAP_LOOKUP_ELEM: i32 = 1;
    pub const KTIME_GET_NS: i32 = 5;
    pub const GET_SMP_PROCESSOR_ID: i32 = 8;
    pub const GET_CURRENT_PID_TGID: i32 = 14;
}

/// The programs, attached.
pub(crate) struct Bpf {
    lanes: Vec<BpfLane>,
    filter: Shared,
    /// A program goes with its event.
    _attached: Vec<OwnedFd>,
}

impl Bpf {
    /// Loads and attaches them, with `ring` bytes for each CPU.
    pub fn open(events: &Events, scope: &Scope, ring: usize) -> Result<Self, TraceError> {
        let cpus = super::possible_cpus()?;
        let entries = cpus.iter().max().map_or(1, |&last| last as usize + 1);
        let page = super::perf::page_size();
        // The greatest power of two within the budget.
        let most = ((BUDGET / entries).max(LEAST_RING) / 2 + 1).next_power_of_two();
        let size = ring.min(most).next_power_of_two().max(LEAST_RING).max(page);
        let failed = |tried: &str| {
            let tried = format!("{tried} (bpf)");
            move |source: std::io::Error| match source.raw_os_error() {
                Some(libc::EPERM | libc::EACCES) => TraceError::refused(tried, source),
                _ => TraceError::System { tried, source },
            }
        };
        let make = |size: usize| sys::bpf_array((page + size + page) as u32, entries as u32);
        let (rings, size) = largest(size, make).map_err(failed("make rings"))?;
        let stride = page + size + page;
        let bits = sys::bpf_array((CLASSES / 8) as u32, 1).map_err(failed("make a filter"))?;
        let filter = Shared::map(bits.as_fd(), 0, CLASSES / 8).map_err(failed("map the filter"))?;
        let mut lanes = Vec::new();
        for cpu in cpus {
            let shared = Shared::map(rings.as_fd(), cpu as usize * stride, stride).map_err(failed("map a ring"))?;
            let ring = Ring::new(shared, (HEAD, TAIL), page, size);
            lanes.push(BpfLane { cpu, ring, ..BpfLane::default() });
        }
        let mut this = Self { lanes, filter, _attached: Vec::new() };
        this.set_scope(scope);
        let writer = Writer { rings: rings.as_raw_fd(), bits: bits.as_raw_fd(), data: page, size };
        let cpu = online_cpus()?.first().copied().unwrap_or(0);
        let programs = [
            (events.flock.id, writer.lock(&events.flock.format, FLOCK)),
            (events.posix.id, writer.lock(&events.posix.format, POSIX)),
            (events.signal.0, writer.signal(&events.signal.1)),
            (events.exit, writer.exit()),
        ];
        for (id, code) in programs {
            let code =
                code.ok_or_else(|| TraceError::Format { event: id.to_string(), why: "a field out of reach".into() })?;
            let program = sys::bpf_program(&code).map_err(failed("load a program"))?;
            let mut attr = Attr { kind: 2, config: id, sample_period: 1, flags: 1, ..Attr::default() };
            let event = sys::perf_event_open(&mut attr, cpu).map_err(failed("open a kernel event"))?;
            // Programs run wherever the event is met, on any CPU; the event itself is never enabled, so that perf does not
            // record it besides.
            sys::set_bpf(&event, &program).map_err(failed("attach a program"))?;
            this._attached.push(event);
        }
        Ok(this)
    }

    /// Looks at these files from now on.
    pub fn set_scope(&mut self, scope: &Scope) {
        let mut bits = vec![0u64; CLASSES / 64];
        match scope {
            Scope::All => bits.fill(u64::MAX),
            Scope::Files(files) => {
                for &file in files {
                    let class = class(file);
                    // A bit of a byte, as the program reads it, whatever the order of bytes in a word.
                    if let Some(word) = bits.get_mut(class / 64) {
                        let mut bytes = word.to_ne_bytes();
                        if let Some(byte) = bytes.get_mut(class / 8 % 8) {
                            *byte |= 1 << (class % 8);
                        }
                        *word = u64::from_ne_bytes(bytes);
                    }
                }
            }
        }
        for (i, &word) in bits.iter().enumerate() {
            self.filter.store(i * 8, word);
        }
    }

    pub fn lanes(&mut self) -> &mut [BpfLane] {
        &mut self.lanes
    }
}

/// The largest ring, of `size` bytes or half as many and so on, that the kernel makes: some make no array with values of
/// more than `KMALLOC_MAX_SIZE` (4 MiB; array_map_alloc_check, kernel/bpf/arraymap.c).
fn largest<T>(mut size: usize, make: impl Fn(usize) -> std::io::Result<T>) -> std::io::Result<(T, usize)> {
    loop {
        match make(size) {
            Ok(made) => return Ok((made, size)),
            Err(e) if matches!(e.raw_os_error(), Some(libc::E2BIG | libc::ENOMEM)) && size > LEAST_RING => size /= 2,
            Err(e) => return Err(e),
        }
    }
}

/// The class of a file, as the program finds it.
fn class(file: FileId) -> usize {
    ((file.inode ^ u64::from(file.kernel_dev())).wrapping_mul(SPREAD) >> 48) as usize
}

/// Makes the programs.
struct Writer {
    rings: i32,
    bits: i32,
    data: usize,
    size: usize,
}

impl Writer {
    /// Leaves where the file's class is not wanted; spoils R1 to R5.
    fn filter(&self, asm: &mut Asm, format: &LockFormat, out: super::asm::Label) -> Option<()> {
        field(asm, Reg::R1, format.ino)?;
        field(asm, Reg::R2, format.dev)?;
        asm.alu_reg(Alu::Xor, Reg::R1, Reg::R2);
        asm.value(Reg::R2, SPREAD);
        asm.alu_reg(Alu::Mul, Reg::R1, Reg::R2);
        asm.alu(Alu::Shr, Reg::R1, 48);
        asm.alu_reg(Alu::Mov, Reg::R2, Reg::R1);
        asm.alu(Alu::Shr, Reg::R2, 3);
        asm.map_value(Reg::R3, self.bits);
        asm.alu_reg(Alu::Add, Reg::R3, Reg::R2);
        asm.load(Width::Byte, Reg::R3, Reg::R3, 0);
        asm.alu(Alu::And, Reg::R1, 7);
        asm.alu_reg(Alu::Shr, Reg::R3, Reg::R1);
        asm.alu(Alu::And, Reg::R3, 1);
        asm.jump_if(If::Equal, Reg::R3, 0, out);
        Some(())
    }

    /// Writes a record of `len` bytes; `fill` stores its fields at R1, from the event at R6, and may spoil R2 to R5.
    fn write(
        &self,
        mut asm: Asm,
        out: super::asm::Label,
        kind: i32,
        len: usize,
        fill: impl FnOnce(&mut Asm) -> Option<()>,
    ) -> Option<Vec<u64>> {
        let full = asm.label();
        asm.call(helper::GET_SMP_PROCESSOR_ID);
        asm.store(Width::Word, Reg::R10, -4, Reg::R0);
        asm.map(Reg::R1, self.rings);
        asm.alu_reg(Alu::Mov, Reg::R2, Reg::R10);
        asm.alu(Alu::Add, Reg::R2, -4);
        asm.call(helper::MAP_LOOKUP_ELEM);
        asm.jump_if(If::Equal, Reg::R0, 0, out);
        asm.alu_reg(Alu::Mov, Reg::R9, Reg::R0);
        asm.call(helper::GET_CURRENT_PID_TGID);
        asm.alu_reg(Alu::Mov, Reg::R8, Reg::R0);
        asm.call(helper::KTIME_GET_NS);
        asm.load(Width::Double, Reg::R7, Reg::R9, HEAD as i16);
        asm.load(Width::Double, Reg::R2, Reg::R9, TAIL as i16);
        asm.alu_reg(Alu::Mov, Reg::R1, Reg::R7);
        asm.alu_reg(Alu::Sub, Reg::R1, Reg::R2);
        asm.jump_if(If::Greater, Reg::R1, i32::try_from(self.size - LONGEST).ok()?, full);
        asm.alu_reg(Alu::Mov, Reg::R1, Reg::R7);
        asm.alu(Alu::And, Reg::R1, i32::try_from(self.size - 8).ok()?);
        asm.alu_reg(Alu::Add, Reg::R1, Reg::R9);
        asm.alu(Alu::Add, Reg::R1, i32::try_from(self.data).ok()?);
        asm.store(Width::Double, Reg::R1, 0, Reg::R0);
        asm.store(Width::Double, Reg::R1, 8, Reg::R8);
        asm.store_value(Width::Byte, Reg::R1, META, kind);
        fill(&mut asm)?;
        asm.alu(Alu::Add, Reg::R7, i32::try_from(len).ok()?);
        asm.publish(Reg::R9, HEAD as i16, Reg::R7);
        asm.place(out);
        // 0 would take the event away from everyone else who records it with perf.
        asm.alu(Alu::Mov, Reg::R0, 1);
        asm.exit();
        asm.place(full);
        asm.load(Width::Double, Reg::R1, Reg::R9, LOST as i16);
        asm.alu(Alu::Add, Reg::R1, 1);
        asm.store(Width::Double, Reg::R9, LOST as i16, Reg::R1);
        asm.jump(out);
        Some(asm.finish())
    }

    fn lock(&self, format: &LockFormat, kind: i32) -> Option<Vec<u64>> {
        let mut asm = Asm::default();
        let out = asm.label();
        asm.alu_reg(Alu::Mov, Reg::R6, Reg::R1);
        self.filter(&mut asm, format, out)?;
        let ranged = kind == POSIX;
        self.write(asm, out, kind, len_of(kind), |asm| {
            let mut copy = |from, width, at| {
                field(asm, Reg::R2, from)?;
                asm.store(width, Reg::R1, at, Reg::R2);
                Some(())
            };
            copy(format.ino, Width::Double, 16)?;
            copy(format.dev, Width::Word, 24)?;
            copy(format.op, Width::Byte, META + 1)?;
            copy(format.flags, Width::Half, META + 2)?;
            copy(format.owner, Width::Double, 32)?;
            copy(format.fl, Width::Double, 40)?;
            copy(format.blocker, Width::Double, 48)?;
            copy(format.ret, Width::Word, 56)?;
            copy(format.pid, Width::Word, 60)?;
            if ranged {
                copy(format.start, Width::Double, 64)?;
                copy(format.end, Width::Double, 72)?;
            }
            Some(())
        })
    }

    fn signal(&self, format: &SignalFormat) -> Option<Vec<u64>> {
        let mut asm = Asm::default();
        let (out, wanted) = (asm.label(), asm.label());
        asm.alu_reg(Alu::Mov, Reg::R6, Reg::R1);
        // A signal whose handler lets the call go on changes nothing.
        field(&mut asm, Reg::R1, format.handler)?;
        asm.jump_if(If::Equal, Reg::R1, 0, wanted);
        field(&mut asm, Reg::R1, format.flags)?;
        asm.jump_if(If::AnyBit, Reg::R1, SA_RESTART, out);
        asm.place(wanted);
        self.write(asm, out, SIGNAL, len_of(SIGNAL), |asm| {
            for (from, width, at) in
                [(format.handler, Width::Double, 16), (format.sig, Width::Word, 24), (format.flags, Width::Double, 32)]
            {
                field(asm, Reg::R2, from)?;
                asm.store(width, Reg::R1, at, Reg::R2);
            }
            Some(())
        })
    }

    fn exit(&self) -> Option<Vec<u64>> {
        let mut asm = Asm::default();
        let out = asm.label();
        self.write(asm, out, EXIT, len_of(EXIT), |_| Some(()))
    }
}

/// How long a record of this kind is.
fn len_of(kind: i32) -> usize {
    match kind {
        FLOCK => 64,
        POSIX => LONGEST,
        SIGNAL => 40,
        _ => 32,
    }
}

/// Loads a field of the event at R6.
fn field(asm: &mut Asm, to: Reg, field: Field) -> Option<()> {
    asm.load(Width::of(field.size)?, to, Reg::R6, i16::try_from(field.offset).ok()?);
    Some(())
}

/// The ring of one CPU.
#[derive(Default)]
pub(crate) struct BpfLane {
    cpu: u32,
    ring: Ring,
    /// When the next record was written.
    next: Option<u64>,
    /// When the last was.
    last: u64,
    /// How many were lost, as far as told.
    lost: u64,
    /// How many are to be told as lost.
    gap: u64,
}

impl BpfLane {
    fn seek(&mut self) {
        let ring = &self.ring;
        self.next = (ring.tail < ring.head).then(|| ring.word(ring.tail).unwrap_or(0));
    }

    fn decode(&self) -> (u64, Option<Record>) {
        let (words, _) = self.ring.shared.bytes(self.ring.at(self.ring.tail), LONGEST).as_chunks::<8>();
        let &[time, task, a, b, c, d, e, f, g, h] = words else { return (u64::MAX, None) };
        let word = u64::from_ne_bytes;
        let halves =
            |[a, b, c, d, e, f, g, h]: [u8; 8]| (u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes([e, f, g, h]));
        let [_, _, _, _, kind, op, flags @ ..] = b;
        let kind = i32::from(kind);
        let what = match kind {
            FLOCK | POSIX => {
                let (ret, pid) = halves(f);
                let family = if kind == FLOCK { Family::Flock } else { Family::Record };
                What::Lock(Request {
                    file: FileId::from_kernel(halves(b).0, word(a)),
                    family,
                    ret: ret as i32,
                    owner: word(c),
                    fl: word(d),
                    blocker: word(e),
                    pid: pid as i32,
                    flags: u16::from_ne_bytes(flags).into(),
                    op,
                    start: if kind == POSIX { word(g) as i64 } else { 0 },
                    end: if kind == POSIX { word(h) as i64 } else { i64::MAX },
                })
            }
            SIGNAL => What::Signal { sig: halves(b).0 as i32, handler: word(a), flags: word(c) },
            _ => What::Exit,
        };
        // The kernel's thread id, then the process's, as one number.
        let tid = word(task) as u32 as i32;
        (len_of(kind) as u64, Some(Record { t: word(time), cpu: self.cpu, tid, what }))
    }
}

impl Lane for BpfLane {
    fn fetch(&mut self) {
        let lost = self.ring.shared.load(LOST);
        self.ring.fetch();
        self.gap += lost.wrapping_sub(self.lost);
        self.lost = lost;
        self.seek();
    }

    fn next(&self) -> Option<u64> {
        // Where in the ring something is missing is not known: losses are told after all that was fetched with them.
        self.next.or((self.gap > 0).then_some(self.last))
    }

    fn take(&mut self) -> Option<Record> {
        let Some(t) = self.next else {
            let count = std::mem::take(&mut self.gap);
            return (count > 0).then_some(Record { t: self.last, cpu: self.cpu, tid: 0, what: What::Lost(count) });
        };
        self.last = t;
        let (len, record) = self.decode();
        self.ring.pass(len);
        self.seek();
        record
    }

    fn release(&mut self) {
        self.ring.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_is_as_large_as_the_kernel_makes_it() {
        let error = |errno| std::io::Error::from_raw_os_error(errno);
        let upto = |most: usize, errno| move |size: usize| if size <= most { Ok(size) } else { Err(error(errno)) };
        assert_eq!(largest(8 << 20, upto(4 << 20, libc::E2BIG)).unwrap(), (4 << 20, 4 << 20));
        assert_eq!(largest(8 << 20, upto(8 << 20, libc::E2BIG)).unwrap().1, 8 << 20);
        assert_eq!(largest(8 << 20, upto(1 << 20, libc::ENOMEM)).unwrap().1, 1 << 20);
        let refused = largest(8 << 20, upto(0, libc::EPERM)).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::EPERM));
        assert_eq!(largest(8 << 20, upto(0, libc::E2BIG)).unwrap_err().raw_os_error(), Some(libc::E2BIG));
    }
}
