//! What a record of an event looks like, by the kernel's own description of it (`events/*/*/format`): offsets, sizes and
//! signs differ between kernels, so nothing of it is fixed here.

use std::fmt;

/// Where a field is in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// First byte.
    pub offset: usize,
    /// Bytes: 1, 2, 4 or 8.
    pub size: usize,
    /// Whether it is extended by its sign.
    pub signed: bool,
}

impl Field {
    /// Its value, extended to 64 bits; none where the record is too short.
    #[inline]
    pub fn read(self, record: &[u8]) -> Option<u64> {
        let bytes = record.get(self.offset..self.offset.checked_add(self.size)?)?;
        Some(match (bytes, self.signed) {
            (&[a], false) => a.into(),
            (&[a], true) => i64::from(a as i8) as u64,
            (&[a, b], false) => u16::from_ne_bytes([a, b]).into(),
            (&[a, b], true) => i64::from(i16::from_ne_bytes([a, b])) as u64,
            (&[a, b, c, d], false) => u32::from_ne_bytes([a, b, c, d]).into(),
            (&[a, b, c, d], true) => i64::from(i32::from_ne_bytes([a, b, c, d])) as u64,
            (&[a, b, c, d, e, f, g, h], _) => u64::from_ne_bytes([a, b, c, d, e, f, g, h]),
            _ => return None,
        })
    }
}

/// A field that was asked for and is not there, or is not a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    wanted: Vec<String>,
    there: Vec<String>,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let there = if self.there.is_empty() { "nothing".to_owned() } else { self.there.join(", ") };
        write!(f, "no usable field {}, only {there}", self.wanted.join(" or "))
    }
}

/// All the fields of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Format {
    fields: Vec<(String, Field)>,
}

impl Format {
    /// Reads what it can of a `format` file; lines that are no fields are passed over.
    pub fn parse(text: &str) -> Self {
        Self { fields: text.lines().filter_map(parse_line).collect() }
    }

    /// The field that has one of these names: kernels spell some in two ways.
    ///
    /// # Errors
    /// Where there is none, or none of 1, 2, 4 or 8 bytes.
    pub fn field(&self, names: &[&str]) -> Result<Field, Missing> {
        let of = |name: &&str| self.fields.iter().find(|(n, _)| n == name).map(|&(_, field)| field);
        let usable = |f: &Field| matches!(f.size, 1 | 2 | 4 | 8) && f.offset < 4096;
        names.iter().filter_map(of).find(usable).ok_or_else(|| Missing {
            wanted: names.iter().map(|&n| n.to_owned()).collect(),
            there: self.fields.iter().map(|(n, _)| n.clone()).collect(),
        })
    }
}

/// One line of it: `field:unsigned int pid; offset:48; size:4; signed:0;`, with tabs.
fn parse_line(line: &str) -> Option<(String, Field)> {
    let (mut name, mut offset, mut size, mut signed) = (None, None, None, false);
    for part in line.split(';') {
        let Some((key, value)) = part.trim().split_once(':') else { continue };
        match key {
            "field" => {
                // An array says its length behind the name.
                let declared = value.split('[').next().unwrap_or(value).trim_end();
                name = declared.rsplit(|c: char| c.is_whitespace() || c == '*').next().filter(|n| !n.is_empty());
            }
            "offset" => offset = value.parse().ok(),
            "size" => size = value.parse().ok(),
            "signed" => signed = value == "1",
            _ => {}
        }
    }
    Some((name?.to_owned(), Field { offset: offset?, size: size?, signed }))
}

/// Where the fields of a lock's record are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as in the kernel")]
pub struct LockFormat {
    pub fl: Field,
    pub ino: Field,
    pub dev: Field,
    pub blocker: Field,
    pub owner: Field,
    pub pid: Field,
    pub flags: Field,
    pub op: Field,
    pub start: Field,
    pub end: Field,
    pub ret: Field,
}

impl LockFormat {
    /// From `flock_lock_inode` or `posix_lock_inode`: about 6.9 dropped the `fl_` of most names, 5.0 renamed `fl_next`.
    ///
    /// # Errors
    /// Where a field is missing.
    pub fn of(format: &Format) -> Result<Self, Missing> {
        Ok(Self {
            fl: format.field(&["fl"])?,
            ino: format.field(&["i_ino"])?,
            dev: format.field(&["s_dev"])?,
            blocker: format.field(&["blocker", "fl_blocker", "fl_next"])?,
            owner: format.field(&["owner", "fl_owner"])?,
            pid: format.field(&["pid", "fl_pid"])?,
            flags: format.field(&["flags", "fl_flags"])?,
            op: format.field(&["type", "fl_type"])?,
            start: format.field(&["fl_start", "start"])?,
            end: format.field(&["fl_end", "end"])?,
            ret: format.field(&["ret"])?,
        })
    }
}

/// Where the fields of a delivered signal's record are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as in the kernel")]
pub struct SignalFormat {
    pub sig: Field,
    pub handler: Field,
    pub flags: Field,
}

impl SignalFormat {
    /// From `signal_deliver`.
    ///
    /// # Errors
    /// Where a field is missing.
    pub fn of(format: &Format) -> Result<Self, Missing> {
        Ok(Self {
            sig: format.field(&["sig"])?,
            handler: format.field(&["sa_handler"])?,
            flags: format.field(&["sa_flags"])?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NEW: &str = "name: flock_lock_inode
ID: 1125
format:
	field:unsigned short common_type;	offset:0;	size:2;	signed:0;
	field:unsigned char common_flags;	offset:2;	size:1;	signed:0;
	field:int common_pid;	offset:4;	size:4;	signed:1;

	field:struct file_lock * fl;	offset:8;	size:8;	signed:0;
	field:unsigned long i_ino;	offset:16;	size:8;	signed:0;
	field:dev_t s_dev;	offset:24;	size:4;	signed:0;
	field:struct file_lock_core * blocker;	offset:32;	size:8;	signed:0;
	field:fl_owner_t owner;	offset:40;	size:8;	signed:0;
	field:unsigned int pid;	offset:48;	size:4;	signed:0;
	field:unsigned int flags;	offset:52;	size:4;	signed:0;
	field:unsigned char type;	offset:56;	size:1;	signed:0;
	field:loff_t fl_start;	offset:64;	size:8;	signed:1;
	field:loff_t fl_end;	offset:72;	size:8;	signed:1;
	field:int ret;	offset:80;	size:4;	signed:1;

print fmt: \"fl=%p dev=0x%x:0x%x\", REC->fl, ((unsigned int) ((REC->s_dev) >> 20))
";

    #[test]
    fn both_spellings_of_the_fields_are_understood() {
        let new = LockFormat::of(&Format::parse(NEW)).unwrap();
        assert_eq!(new.owner, Field { offset: 40, size: 8, signed: false });
        assert_eq!(new.op, Field { offset: 56, size: 1, signed: false });
        assert_eq!(new.ret, Field { offset: 80, size: 4, signed: true });
        let mut old = NEW.to_owned();
        for name in ["blocker", "owner", "pid", "flags", "type"] {
            old = old.replace(&format!(" {name};"), &format!(" fl_{name};"));
        }
        assert_ne!(old, NEW);
        assert_eq!(LockFormat::of(&Format::parse(&old)), Ok(new));
        let older = old.replace("fl_blocker", "fl_next");
        assert_eq!(LockFormat::of(&Format::parse(&older)), Ok(new));
    }

    #[test]
    fn fields_move_with_the_description() {
        let moved = NEW.replace("offset:80;	size:4", "offset:88;	size:8");
        assert_eq!(LockFormat::of(&Format::parse(&moved)).unwrap().ret, Field { offset: 88, size: 8, signed: true });
    }

    #[test]
    fn a_missing_field_is_named_beside_what_is_there() {
        let without = NEW.replace(" owner;", " keeper;");
        let why = LockFormat::of(&Format::parse(&without)).unwrap_err().to_string();
        assert!(why.contains("owner or fl_owner") && why.contains("keeper"), "{why}");
        assert!(LockFormat::of(&Format::parse("")).unwrap_err().to_string().contains("nothing"));
    }

    #[test]
    fn names_of_pointers_and_arrays_are_bare() {
        let format = Format::parse(
            "	field:char comm[16];	offset:8;	size:16;	signed:0;\n	field:void *p;	offset:0;	size:8;	signed:0;",
        );
        assert_eq!(format.field(&["p"]).unwrap().size, 8);
        assert!(format.field(&["comm"]).is_err(), "sixteen bytes are no number");
    }

    #[test]
    fn values_are_extended_by_their_sign() {
        let field = |size, signed| Field { offset: 1, size, signed };
        let record = [9, 0xf5, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        for size in [1, 2, 4, 8] {
            assert_eq!(field(size, true).read(&record), Some(-11i64 as u64), "{size}");
        }
        assert_eq!(field(4, false).read(&record), Some(0xffff_fff5));
        assert_eq!(field(8, false).read(&record[..8]), None);
        assert_eq!(field(3, false).read(&record), None);
    }

    proptest! {
        #[test]
        fn nothing_in_a_description_makes_it_panic(
            text in "(field:[a-z \\*\\[\\]]{0,12};\toffset:[0-9]{0,22};\tsize:[0-9-]{0,22};\tsigned:[01]?;\n|[ -~;:\t]{0,40}\n){0,8}",
            record in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let format = Format::parse(&text);
            for (_, field) in &format.fields {
                let _ = field.read(&record);
            }
            let _ = LockFormat::of(&format);
            let _ = SignalFormat::of(&format);
        }
    }
}
