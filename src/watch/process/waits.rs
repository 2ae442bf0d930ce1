//! Which thread of a process waits, on which descriptor and how: `/proc/PID/task/TID/syscall`, `wchan` and, for the
//! range that fcntl(2) was asked for, `/proc/PID/mem`. All three need the right to trace the process
//! (ptrace(2), PTRACE_MODE_ATTACH): root, or the same user. 32-bit programs on a 64-bit kernel number their system calls
//! otherwise and are not recognized.

use super::{numbers, read};
use crate::event::{LockKind, LockMode};
use crate::watch::change::{FileId, Range};
use crate::watch::file_id;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};

/// A thread that waits for a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Wait {
    /// The process.
    pub pid: i32,
    /// The thread.
    pub tid: i32,
    /// The descriptor that it named.
    pub fd: i32,
    /// The kind of lock.
    pub kind: LockKind,
    /// Exclusive or shared; none where its memory may not be read.
    pub mode: Option<LockMode>,
    /// Which bytes; the whole file for flock, none where its memory may not be read.
    pub range: Option<Range>,
    /// The file behind the descriptor.
    pub file: Option<FileId>,
}

/// The threads of a process that wait for locks. One that was stopped in its wait has lost its place in the kernel's
/// queue and is left out.
pub fn of(pid: i32) -> Vec<Wait> {
    let tids = numbers(&format!("/proc/{pid}/task")).unwrap_or_default();
    tids.into_iter().filter_map(|tid| of_thread(pid, tid)).collect()
}

/// How many threads a process has; none where there is no such process. One call: a folder has a link for each folder in
/// it, and two of its own.
pub fn threads(pid: i32) -> Option<u64> {
    std::fs::metadata(format!("/proc/{pid}/task")).ok()?.nlink().checked_sub(2)
}

/// Memory and descriptors are read by the thread itself: a first thread that has ended has none.
fn of_thread(pid: i32, tid: i32) -> Option<Wait> {
    let call = Call::parse(&read(&format!("/proc/{pid}/task/{tid}/syscall"))?)?;
    let wchan = read(&format!("/proc/{pid}/task/{tid}/wchan")).unwrap_or_default();
    if ["stop", "refrigerator", "freez"].iter().any(|w| String::from_utf8_lossy(&wchan).contains(w)) {
        return None;
    }
    let (mode, range) = match call.request {
        Request::Flock(mode) => (Some(mode), Some(Range::WHOLE)),
        Request::Fcntl { at } => of_memory(tid, at).map_or((None, None), |(mode, range)| (Some(mode), range)),
    };
    Some(Wait { pid, tid, fd: call.fd, kind: call.kind, mode, range, file: file_id::of_descriptor(tid, call.fd) })
}

/// A system call that blocks until the lock is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Call {
    kind: LockKind,
    fd: i32,
    request: Request,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    Flock(LockMode),
    /// Where the caller's `struct flock` is.
    Fcntl {
        at: u64,
    },
}

impl Call {
    /// `73 0x3 0x2 0x0 …`: number and six arguments; `running`, or `-1` and two pointers, where it is in none.
    fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let mut words = text.split_ascii_whitespace();
        let number: libc::c_long = words.next()?.parse().ok()?;
        let mut argument = || u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
        let (fd, command, at) = (argument()? as i32, argument()? as i32, argument()?);
        let (kind, request) = match number {
            libc::SYS_flock => {
                let mode = match command {
                    libc::LOCK_EX => LockMode::Exclusive,
                    libc::LOCK_SH => LockMode::Shared,
                    _ => return None,
                };
                (LockKind::Flock, Request::Flock(mode))
            }
            libc::SYS_fcntl => match command {
                libc::F_SETLKW => (LockKind::Posix, Request::Fcntl { at }),
                libc::F_OFD_SETLKW => (LockKind::Ofd, Request::Fcntl { at }),
                _ => return None,
            },
            _ => return None,
        };
        Some(Self { kind, fd, request })
    }
}

/// Length of the `struct flock` of 64-bit programs up to and with `l_len` (fcntl(2); asm-generic/fcntl.h).
const FLOCK_STRUCT: usize = 24;

/// What a waiting fcntl(2) was asked for.
fn of_memory(tid: i32, at: u64) -> Option<(LockMode, Option<Range>)> {
    let mut bytes = [0; FLOCK_STRUCT];
    File::open(format!("/proc/{tid}/mem")).ok()?.read_exact_at(&mut bytes, at).ok()?;
    asked(bytes)
}

/// `l_type` and `l_whence` of 16 bits, `l_start` and `l_len` of 64.
fn asked(bytes: [u8; FLOCK_STRUCT]) -> Option<(LockMode, Option<Range>)> {
    let short = |at: usize| Some(i32::from(i16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?)));
    let long = |at: usize| Some(i64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
    let mode = match short(0)? {
        libc::F_WRLCK => LockMode::Exclusive,
        libc::F_RDLCK => LockMode::Shared,
        _ => return None,
    };
    // Other origins count from where the file's offset or end was then.
    let range = (short(2)? == libc::SEEK_SET).then(|| range(long(8)?, long(16)?)).flatten();
    Some((mode, range))
}

/// fcntl(2): a length of 0 is up to the end of the file, a negative one the bytes before `start`.
fn range(start: i64, length: i64) -> Option<Range> {
    let (first, last) = match length {
        0 => (start, None),
        1.. => (start, Some(start.checked_add(length - 1)?)),
        _ => (start.checked_add(length)?, Some(start - 1)),
    };
    let end = match last {
        // OFFSET_MAX is printed as EOF (fs/locks.c).
        None | Some(i64::MAX) => None,
        Some(last) => Some(u64::try_from(last).ok()?),
    };
    Some(Range { start: u64::try_from(first).ok()?, end })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(words: &str) -> Option<Call> {
        Call::parse(words.as_bytes())
    }

    #[test]
    fn system_calls_that_wait() {
        let (flock, fcntl) = (libc::SYS_flock, libc::SYS_fcntl);
        let rest = "0x7ffc0 0x0 0x0 0x0 0x7ffe0 0x7f000\n";
        let got = |kind, fd, request| Some(Call { kind, fd, request });
        let at = Request::Fcntl { at: 0x7ffc0 };
        let exclusive = Request::Flock(LockMode::Exclusive);
        assert_eq!(call(&format!("{flock} 0x3 0x2 {rest}")), got(LockKind::Flock, 3, exclusive));
        assert_eq!(
            call(&format!("{flock} 0x64 0x1 {rest}")),
            got(LockKind::Flock, 100, Request::Flock(LockMode::Shared))
        );
        assert_eq!(call(&format!("{fcntl} 0x5 0x7 {rest}")), got(LockKind::Posix, 5, at));
        assert_eq!(call(&format!("{fcntl} 0x5 0x26 {rest}")), got(LockKind::Ofd, 5, at));
    }

    #[test]
    fn threads_are_counted() {
        let own = std::process::id() as i32;
        let before = threads(own).unwrap();
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || stopped.recv());
        // Other tests come and go in threads, too: at least this one and ours.
        assert!(before >= 1 && threads(own).unwrap() >= 2);
        drop(stop);
        assert!(thread.join().unwrap().is_err());
        assert_eq!(threads(i32::MAX), None);
    }

    #[test]
    fn system_calls_that_do_not_wait() {
        let (flock, fcntl) = (libc::SYS_flock, libc::SYS_fcntl);
        // Non-blocking tries, unlocking, reading, no system call at all, no right to know, garbage.
        let cases = [
            format!("{flock} 0x3 0x6 0x0"),
            format!("{flock} 0x3 0x8 0x0"),
            format!("{fcntl} 0x3 0x6 0x7ffc0"),
            format!("{fcntl} 0x3 0x3 0x0"),
            "99999 0x0 0x7f 0x20000".into(),
            "running".into(),
            "-1 0x7ffe 0x7f00".into(),
            "0".into(),
            String::new(),
            format!("{flock} 0x"),
            format!("{flock} 0x3"),
        ];
        for text in cases {
            assert_eq!(call(&text), None, "{text}");
        }
    }

    #[test]
    fn ranges_as_fcntl_counts_them() {
        let of = |start, length| range(start, length).map(|r| (r.start, r.end));
        assert_eq!(of(0, 0), Some((0, None)));
        assert_eq!(of(10, 10), Some((10, Some(19))));
        assert_eq!(of(10, -10), Some((0, Some(9))));
        assert_eq!(of(5, -10), None);
        assert_eq!(of(i64::MAX, 1), Some((i64::MAX as u64, None)));
        assert_eq!(of(i64::MAX, 2), None);
        assert_eq!(of(i64::MIN, -1), None);
    }
}
