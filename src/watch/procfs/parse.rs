//! The text of `/proc/locks` and of the `lock:` lines of fdinfo, as `lock_get_status` in the kernel's fs/locks.c
//! writes it: linear in its length, no allocation but for the rows, and nothing that it could fail on.
//!
//! ```text
//! 1: FLOCK  ADVISORY  WRITE 4711 fe:00:1042 0 EOF      held
//! 1: -> FLOCK  ADVISORY  WRITE 4712 fe:00:1042 0 EOF   waits for it
//! 1:  -> FLOCK  ADVISORY  WRITE 4713 fe:00:1042 0 EOF  waits behind that one
//! ```
//!
//! Kernels before 5.0 write all waiters at depth 1, those up to about 5.12 only the ones at depth 1, later ones the tree.

use crate::event::{LockKind, LockMode};
use crate::watch::change::{Family, FileId, LockKey, Range};
use std::fmt;

/// Which family of locks a row is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// One that can be contended for.
    Lock(LockKind),
    /// One that is no lock in that sense.
    Other(Other),
}

impl Kind {
    /// Whether it is one that can be contended for, and which.
    pub fn lock(self) -> Option<LockKind> {
        match self {
            Self::Lock(kind) => Some(kind),
            Self::Other(_) => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lock(kind) => kind.as_str(),
            Self::Other(Other::Lease) => "lease",
            Self::Other(Other::Delegation) => "delegation",
            Self::Other(Other::Access) => "access",
            Self::Other(Other::Unknown) => "unknown",
        })
    }
}

/// Kinds of rows that are no locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Other {
    /// `F_SETLEASE` of fcntl(2), or somebody who breaks one.
    Lease,
    /// A lease of the NFS server's.
    Delegation,
    /// `ACCESS`: a test of a mandatory lock, in old kernels.
    Access,
    /// A word that is not known.
    Unknown,
}

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Row {
    /// The number in front: of the held lock, in this listing only. Those that wait for it repeat it.
    pub ordinal: u64,
    /// 0 where it is held; else how many it waits behind, one by one, the holder included.
    pub depth: u32,
    /// Index in the same list of the row that it waits behind; none where it is held.
    pub behind: Option<usize>,
    /// Which family.
    pub kind: Kind,
    /// Shared or exclusive; none for words like `UNLCK`.
    pub mode: Option<LockMode>,
    /// Who asked, as our pid namespace numbers it; 0 where it has no number for it, -1 for open-file-description
    /// locks. It need not keep the lock any more, nor even live.
    pub pid: i32,
    /// The file; none for `<none>:0`.
    pub file: Option<FileId>,
    /// Which bytes.
    pub range: Range,
}

impl Row {
    /// Whether it waits; else it is held.
    pub fn waits(&self) -> bool {
        self.depth > 0
    }

    /// The lock that it is about, where it is about one.
    pub fn key(&self) -> Option<LockKey> {
        Some(LockKey { file: self.file?, family: Family::from(self.kind.lock()?) })
    }
}

/// Appends the rows of `text`; gives the number of lines that were not understood.
pub fn parse(text: &[u8], rows: &mut Vec<Row>) -> usize {
    let (mut rest, mut malformed) = (text, 0);
    // The rows that a waiter may stand behind, each deeper than the one before: of one ordinal.
    let mut above: Vec<(u32, usize)> = Vec::new();
    let mut ordinal = None;
    while !rest.is_empty() {
        let mut line = Cursor(rest);
        match line.row() {
            Some(mut row) => {
                if row.depth == 0 || ordinal != Some(row.ordinal) {
                    above.clear();
                    ordinal = Some(row.ordinal);
                }
                while above.last().is_some_and(|(depth, _)| *depth >= row.depth) {
                    above.pop();
                }
                row.behind = above.last().map(|(_, index)| *index);
                above.push((row.depth, rows.len()));
                rows.push(row);
            }
            None => {
                line.skip_line();
                malformed += 1;
            }
        }
        rest = line.0;
    }
    malformed
}

/// One line without an end, as fdinfo has it after `lock:`.
pub fn line(text: &[u8]) -> Option<Row> {
    Cursor(text).row()
}

/// Length of the first record: a held lock and all that wait for it.
pub(super) fn first_record(text: &[u8]) -> usize {
    let mut length = 0;
    for line in text.split_inclusive(|b| *b == b'\n') {
        let waits = {
            let mut cursor = Cursor(line);
            cursor.number();
            cursor.byte(b':') && cursor.spaces() > 0 && cursor.0.starts_with(b"->")
        };
        if length > 0 && !waits {
            break;
        }
        length += line.len();
    }
    length
}

/// What is left of the text.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    /// A whole line, with its end; leaves the rest. Where it gives none, it has gone no further than the line's end.
    fn row(&mut self) -> Option<Row> {
        self.spaces();
        let ordinal = self.number()?;
        if !self.byte(b':') {
            return None;
        }
        let spaces = self.spaces();
        let depth = match self.0.strip_prefix(b"->") {
            Some(rest) => {
                self.0 = rest;
                spaces.max(1)
            }
            None => 0,
        };
        let kind = match self.word()? {
            b"FLOCK" => Kind::Lock(LockKind::Flock),
            b"POSIX" => Kind::Lock(LockKind::Posix),
            b"OFDLCK" => Kind::Lock(LockKind::Ofd),
            b"LEASE" => Kind::Other(Other::Lease),
            b"DELEG" => Kind::Other(Other::Delegation),
            b"ACCESS" => Kind::Other(Other::Access),
            _ => Kind::Other(Other::Unknown),
        };
        self.word()?;
        let mode = match self.word()? {
            b"WRITE" => Some(LockMode::Exclusive),
            b"READ" => Some(LockMode::Shared),
            _ => None,
        };
        self.spaces();
        let negative = self.byte(b'-');
        let pid = i32::try_from(self.number()?).ok()?;
        let file = self.file()?;
        self.spaces();
        let start = self.number()?;
        let end = match self.word()? {
            b"EOF" => None,
            digits => Some(Cursor(digits).number()?),
        };
        self.spaces();
        if !(self.0.is_empty() || self.byte(b'\n')) {
            return None;
        }
        let pid = if negative { -pid } else { pid };
        let range = Range { start, end };
        Some(Row { ordinal, depth, behind: None, kind, mode, pid, file, range })
    }

    /// `fe:00:1042` or `<none>:0`.
    fn file(&mut self) -> Option<Option<FileId>> {
        let mut word = Cursor(self.word()?);
        if word.0.starts_with(b"<none>") {
            return Some(None);
        }
        let major = word.hex()?;
        word.byte(b':').then_some(())?;
        let minor = word.hex()?;
        word.byte(b':').then_some(())?;
        let inode = word.number()?;
        word.0.is_empty().then_some(Some(FileId { major, minor, inode }))
    }

    /// Steps over spaces; how many.
    fn spaces(&mut self) -> u32 {
        let count = self.0.iter().position(|b| *b != b' ').unwrap_or(self.0.len());
        self.0 = &self.0[count..];
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    fn byte(&mut self, byte: u8) -> bool {
        let found = self.0.first() == Some(&byte);
        self.0 = &self.0[usize::from(found)..];
        found
    }

    /// What comes before the next space or the end of the line; none if that is nothing.
    fn word(&mut self) -> Option<&'a [u8]> {
        self.spaces();
        let length = self.0.iter().position(|b| matches!(b, b' ' | b'\n')).unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(length);
        self.0 = rest;
        (!word.is_empty()).then_some(word)
    }

    fn number(&mut self) -> Option<u64> {
        let mut value = None;
        while let Some(digit @ b'0'..=b'9') = self.0.first() {
            value = Some(value.unwrap_or(0u64).checked_mul(10)?.checked_add(u64::from(digit - b'0'))?);
            self.0 = &self.0[1..];
        }
        value
    }

    fn hex(&mut self) -> Option<u32> {
        let mut value = None;
        while let Some(digit) = self.0.first().and_then(|b| char::from(*b).to_digit(16)) {
            value = Some(value.unwrap_or(0u32).checked_mul(16)?.checked_add(digit)?);
            self.0 = &self.0[1..];
        }
        value
    }

    /// Goes to the next line.
    fn skip_line(&mut self) {
        let length = self.0.iter().position(|b| *b == b'\n').map_or(self.0.len(), |at| at + 1);
        let (_, rest) = self.0.split_at(length);
        self.0 = rest;
    }
}

#[cfg(test)]
mod tests;
