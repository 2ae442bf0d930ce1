//! `/proc/locks`, read with as few system calls and as little memory traffic as can be.
//!
//! The file is a seq_file (fs/seq_file.c): one `read()` gives one page of whole records, whatever the buffer, and only
//! what one `read()` gives is of one moment. A record is a held lock with all that wait for it; one that is longer than
//! a page makes the kernel's buffer grow, for as long as the file stays open. The next `read()` goes on by ordinal, so
//! that locks taken or released in between show up twice or not at all. Hence a snapshot says when it took more than
//! one read ([`Snapshot::approximate`]), and what it lacks then says nothing.
//!
//! The first read after idling takes up to 16 ms, since it waits for an RCU grace period: never read it in the thread
//! that draws.

pub mod parse;

pub use parse::{Kind, Other, Row};

use super::change::{FileId, Range};
use crate::clock;
use crate::event::LockMode;
use anyhow::{Context, Result};
use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

/// What `/proc/locks` said.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// In the order of the file: a held lock, then those that wait for it.
    pub rows: Vec<Row>,
    /// It took several reads, each of another moment: a row that is missing says nothing.
    pub approximate: bool,
    /// Lines that could not be understood.
    pub malformed: usize,
    /// When reading began, in ns of `CLOCK_MONOTONIC`.
    pub began: u64,
    /// How long reading and parsing took, in ns.
    pub cost_ns: u64,
}

impl Snapshot {
    /// The rows about one file.
    pub fn of(&self, file: FileId) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.file == Some(file))
    }
}

/// Buffer to begin with, in bytes. Pages never written to cost nothing.
const BUFFER: usize = 1 << 20;

/// The kernel's buffer for an open seq_file: one page at first. A page of more than this only means one read more.
const KERNEL_BUFFER: usize = 4096;

/// Reads `/proc/locks` again and again into the same memory.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    file: File,
    text: Text,
    seen: HashSet<Held>,
    snapshot: Snapshot,
}

/// What tells a held lock from others, but for its place in the list.
type Held = (Kind, Option<LockMode>, i32, Option<FileId>, Range);

fn held(row: &Row) -> Held {
    (row.kind, row.mode, row.pid, row.file, row.range)
}

impl Reader {
    /// # Errors
    /// `/proc` is not mounted, or the kernel was built without file locks.
    pub fn new() -> Result<Self> {
        Self::over(Path::new("/proc/locks"))
    }

    /// As [`Reader::new`], for the `locks` of another mounted proc file system.
    ///
    /// # Errors
    /// As [`Reader::new`].
    pub fn over(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| {
            format!(
                "cannot open {}: check that /proc is mounted (mount -t proc proc /proc) and that the kernel has file locks (CONFIG_FILE_LOCKING)",
                path.display()
            )
        })?;
        Ok(Self {
            path: path.to_owned(),
            file,
            text: Text::default(),
            seen: HashSet::new(),
            snapshot: Snapshot::default(),
        })
    }

    /// A snapshot, good until the next one.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn read(&mut self) -> Result<&Snapshot> {
        self.snapshot.began = clock::now();
        let read = self.file.rewind().and_then(|()| self.text.fill(&self.file));
        read.with_context(|| format!("cannot read {}", self.path.display()))?;
        self.parse();
        self.snapshot.cost_ns = clock::now().saturating_sub(self.snapshot.began);
        Ok(&self.snapshot)
    }

    fn parse(&mut self) {
        let Snapshot { rows, approximate, malformed, .. } = &mut self.snapshot;
        rows.clear();
        *malformed = 0;
        *approximate = self.text.ends.len() > 1 || self.text.cut;
        self.seen.clear();
        let mut from = 0;
        for (number, &end) in self.text.ends.iter().enumerate() {
            let first = rows.len();
            *malformed += parse::parse(&self.text.buffer[from..end], rows);
            from = end;
            if number > 0 {
                leave_out_seen(rows, first, &self.seen);
            }
            // Within one read nothing is told twice: equal rows are equal locks (two threads that wait alike).
            if *approximate {
                self.seen.extend(rows[first..].iter().filter(|row| row.depth == 0).map(held));
            }
        }
    }
}

/// What the reads gave.
#[derive(Debug)]
struct Text {
    buffer: Vec<u8>,
    /// Where each read ended.
    ends: Vec<usize>,
    /// At least so many bytes can one read give, since one did.
    kernel_buffer: usize,
    /// The buffer was too small once; it is larger by now.
    cut: bool,
}

impl Default for Text {
    fn default() -> Self {
        Self { buffer: vec![0; BUFFER], ends: Vec::new(), kernel_buffer: KERNEL_BUFFER, cut: false }
    }
}

impl Text {
    /// Reads all of it. A read may end early because the next record did not fit, or because the list has ended. Which
    /// of the two, the next read tells: nothing more, or a record that would have fitted, so that it is a lock
    /// taken since or one that moved up: it belongs to another moment and is left out.
    fn fill(&mut self, mut from: impl Read) -> std::io::Result<()> {
        self.ends.clear();
        self.cut = false;
        let (mut filled, mut last, mut cut) = (0, None, false);
        loop {
            if self.buffer.len() - filled < self.kernel_buffer.max(BUFFER / 2) {
                self.buffer.resize(self.buffer.len() * 2, 0);
            }
            let space = &mut self.buffer[filled..];
            let got = match from.read(space) {
                Ok(0) => return Ok(()),
                Ok(got) => got,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            let full = got == space.len();
            if let Some(last) = last
                && !cut
                && last + parse::first_record(&space[..got]) < self.kernel_buffer
            {
                return Ok(());
            }
            filled += got;
            if cut {
                self.ends.pop();
            }
            self.ends.push(filled);
            // A full buffer of ours may have cut a record in two; the next read begins with its rest.
            cut = full;
            self.cut |= full;
            last = Some(got);
            self.kernel_buffer = self.kernel_buffer.max((got + 1).next_power_of_two());
        }
    }
}

/// Drops from `first` on the held locks that an earlier read told, with all that wait for them.
fn leave_out_seen(rows: &mut Vec<Row>, first: usize, seen: &HashSet<Held>) {
    let (mut kept, mut drop) = (first, false);
    for index in first..rows.len() {
        let mut row = rows[index];
        if row.depth == 0 {
            drop = seen.contains(&held(&row));
        }
        if !drop {
            // The record moves up as a whole.
            row.behind = row.behind.map(|behind| behind + kept - index);
            rows[kept] = row;
            kept += 1;
        }
    }
    rows.truncate(kept);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// Gives one piece a read, as a seq_file does.
    struct Pieces<'a>(Vec<&'a [u8]>);

    impl Read for Pieces<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let Some(piece) = self.0.first_mut() else { return Ok(0) };
            let count = piece.len().min(into.len());
            into[..count].copy_from_slice(&piece[..count]);
            *piece = &piece[count..];
            if piece.is_empty() {
                self.0.remove(0);
            }
            Ok(count)
        }
    }

    fn read_all(pieces: &[&str]) -> (Vec<Row>, bool) {
        let mut reader = Reader::over(Path::new("/dev/null")).unwrap();
        reader.text.fill(Pieces(pieces.iter().map(|p| p.as_bytes()).collect())).unwrap();
        reader.parse();
        (reader.snapshot.rows, reader.snapshot.approximate)
    }

    /// A record of one holder and `waiters` behind it.
    fn record(ordinal: usize, inode: usize, waiters: usize) -> String {
        let line = |n: usize| {
            let arrow = if n == 0 { String::new() } else { format!("{:>w$}", "-> ", w = n + 2) };
            format!("{ordinal}: {arrow}FLOCK  ADVISORY  WRITE {} fe:00:{inode} 0 EOF\n", 1000 * inode + n)
        };
        (0..=waiters).map(line).collect()
    }

    #[test]
    fn a_long_queue_behind_a_short_lock_is_read() {
        // The first read ends early because the second record is longer than what was left of the page.
        let (short, long) = (record(1, 1, 0), record(2, 2, 100));
        assert!(long.len() > 4096);
        let (rows, approximate) = read_all(&[&short, &long]);
        assert_eq!((rows.len(), approximate), (102, true));
    }

    #[test]
    fn what_would_have_fitted_is_of_another_moment() {
        // A lock was taken after the first read, so that the last one moved up; and one that is new at the end.
        let both = record(1, 1, 0) + &record(2, 2, 1);
        for later in [record(3, 2, 1), record(3, 3, 0)] {
            let (rows, approximate) = read_all(&[&both, &later]);
            assert_eq!((rows.len(), approximate), (3, false));
        }
    }

    #[test]
    fn many_locks_take_many_reads() {
        // As many whole records a read as fit into a page.
        let mut pages = vec![String::new()];
        for n in 1..=270 {
            let next = record(n, n, 0);
            if pages.last().unwrap().len() + next.len() >= 4096 {
                pages.push(String::new());
            }
            pages.last_mut().unwrap().push_str(&next);
        }
        let (rows, approximate) = read_all(&pages.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!((rows.len(), approximate), (270, true));
    }

    #[test]
    fn a_record_longer_than_our_buffer_is_one_read() {
        let long = record(1, 1, 1500);
        assert!(long.len() > BUFFER);
        let mut text = Text::default();
        for cut in [true, false] {
            text.fill(Pieces(vec![long.as_bytes()])).unwrap();
            assert_eq!(text.cut, cut);
            assert_eq!(text.ends, [long.len()]);
            assert_eq!(&text.buffer[..long.len()], long.as_bytes());
        }
    }

    #[test]
    fn what_two_reads_tell_is_told_once() {
        let filler: String = (100..177).map(|n| record(n, n, 0)).collect();
        let one = "1: FLOCK  ADVISORY  WRITE 10 fe:00:1 0 EOF\n1: -> FLOCK  ADVISORY  WRITE 11 fe:00:1 0 EOF\n\
            2: FLOCK  ADVISORY  WRITE 20 fe:00:2 0 EOF\n";
        let two = "3: FLOCK  ADVISORY  WRITE 10 fe:00:1 0 EOF\n3: -> FLOCK  ADVISORY  WRITE 11 fe:00:1 0 EOF\n\
            4: FLOCK  ADVISORY  WRITE 30 fe:00:3 0 EOF\n4: -> FLOCK  ADVISORY  WRITE 31 fe:00:3 0 EOF\n\
            4:  -> FLOCK  ADVISORY  WRITE 32 fe:00:3 0 EOF\n";
        let one = filler + one;
        assert!((4000..4096).contains(&one.len()), "{}", one.len());
        let (mut rows, approximate) = read_all(&[&one, two]);
        assert!(approximate);
        rows.drain(..77);
        rows.iter_mut().for_each(|r| r.behind = r.behind.map(|b| b - 77));
        assert_eq!(rows.iter().map(|r| r.pid).collect::<Vec<_>>(), [10, 11, 20, 30, 31, 32]);
        assert_eq!(rows.iter().map(|r| r.behind).collect::<Vec<_>>(), [None, Some(0), None, None, Some(3), Some(4)]);
    }

    #[test]
    fn equal_rows_of_one_read_are_two_locks() {
        let twice = "1: FLOCK  ADVISORY  READ 10 fe:00:1 0 EOF\n2: FLOCK  ADVISORY  READ 10 fe:00:1 0 EOF\n";
        let (rows, approximate) = read_all(&[twice]);
        assert_eq!((rows.len(), approximate), (2, false));
    }

    #[test]
    fn a_file_that_is_shorter_than_a_page_is_read_whole() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "1: POSIX  ADVISORY  READ 10 fe:00:1 0 9\nnonsense").unwrap();
        let mut reader = Reader::over(file.path()).unwrap();
        for _ in 0..2 {
            let snapshot = reader.read().unwrap();
            assert_eq!((snapshot.rows.len(), snapshot.malformed, snapshot.approximate), (1, 1, false));
            assert!(snapshot.cost_ns > 0);
        }
    }

    #[test]
    fn no_proc_is_told() {
        let error = format!("{:#}", Reader::over(Path::new("/nowhere/locks")).unwrap_err());
        assert!(error.contains("mount -t proc"), "{error}");
    }
}
