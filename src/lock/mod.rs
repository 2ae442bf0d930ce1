//! Taking and releasing advisory locks on an open file: three families behind one small trait.
//!
//! Everything here is async-signal-safe: it runs in forked children, between system calls only.

pub(crate) mod flaw;
mod sys;

use crate::event::{LockKind, LockMode};
use nix::errno::Errno;
use std::os::fd::RawFd;

/// An advisory lock on a whole file, by an open descriptor of it.
pub trait Lock {
    /// Takes the lock if it is free; `Ok(false)` where somebody else has it.
    ///
    /// # Errors
    /// What the kernel says, but for "somebody has it".
    fn try_acquire(&self, fd: RawFd, mode: LockMode) -> Result<bool, Errno>;

    /// Waits in the kernel's queue until the lock is taken.
    ///
    /// # Errors
    /// What the kernel says; `EINTR` where a signal handler ran and the wait ended.
    fn acquire(&self, fd: RawFd, mode: LockMode) -> Result<(), Errno>;

    /// Releases the lock and keeps the descriptor open.
    ///
    /// # Errors
    /// What the kernel says.
    fn release(&self, fd: RawFd) -> Result<(), Errno>;
}

impl Lock for LockKind {
    #[inline]
    fn try_acquire(&self, fd: RawFd, mode: LockMode) -> Result<bool, Errno> {
        if let Some(answer) = flaw::try_acquire(*self, fd, mode) {
            return answer;
        }
        let mode = flaw::mode(mode);
        granted(match self {
            Self::Flock => sys::flock(fd, flock_op(mode) | libc::LOCK_NB),
            Self::Posix => sys::fcntl(fd, libc::F_SETLK, fcntl_type(mode), WHOLE),
            Self::Ofd => sys::fcntl(fd, libc::F_OFD_SETLK, fcntl_type(mode), WHOLE),
        })
    }

    #[inline]
    fn acquire(&self, fd: RawFd, mode: LockMode) -> Result<(), Errno> {
        if let Some(answer) = flaw::acquire(*self, fd, mode) {
            return answer;
        }
        let mode = flaw::mode(mode);
        match self {
            Self::Flock => sys::flock(fd, flock_op(mode)),
            Self::Posix => sys::fcntl(fd, libc::F_SETLKW, fcntl_type(mode), WHOLE),
            Self::Ofd => sys::fcntl(fd, libc::F_OFD_SETLKW, fcntl_type(mode), WHOLE),
        }
    }

    #[inline]
    fn release(&self, fd: RawFd) -> Result<(), Errno> {
        match self {
            Self::Flock => sys::flock(fd, libc::LOCK_UN),
            Self::Posix => sys::fcntl(fd, libc::F_SETLK, libc::F_UNLCK, WHOLE),
            Self::Ofd => sys::fcntl(fd, libc::F_OFD_SETLK, libc::F_UNLCK, WHOLE),
        }
    }
}

/// Bytes of a file: the first, and how many; none is all from there on, however long the file grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes {
    /// Offset of the first.
    pub start: u32,
    /// How many.
    pub len: u32,
}

const WHOLE: Bytes = Bytes { start: 0, len: 0 };

impl LockKind {
    /// Locks some bytes of the file if nobody else has any of them, or unlocks them where `mode` is none;
    /// `Ok(false)` where somebody else has some.
    ///
    /// # Errors
    /// What the kernel says; `EINVAL` for flock, which knows only whole files.
    pub fn try_bytes(&self, fd: RawFd, mode: Option<LockMode>, bytes: Bytes) -> Result<bool, Errno> {
        let command = match self {
            Self::Flock => return Err(Errno::EINVAL),
            Self::Posix => libc::F_SETLK,
            Self::Ofd => libc::F_OFD_SETLK,
        };
        let bytes = if flaw::is(flaw::Flaw::RangesCollide) { WHOLE } else { bytes };
        granted(sys::fcntl(fd, command, mode.map_or(libc::F_UNLCK, fcntl_type), bytes))
    }
}

/// What a call that does not wait came to.
#[inline]
fn granted(done: Result<(), Errno>) -> Result<bool, Errno> {
    match done {
        Ok(()) => Ok(true),
        // fcntl(2), F_SETLK: EACCES or EAGAIN; EWOULDBLOCK is EAGAIN on Linux.
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(errno) => Err(errno),
    }
}

fn flock_op(mode: LockMode) -> libc::c_int {
    match mode {
        LockMode::Exclusive => libc::LOCK_EX,
        LockMode::Shared => libc::LOCK_SH,
    }
}

fn fcntl_type(mode: LockMode) -> libc::c_int {
    match mode {
        LockMode::Exclusive => libc::F_WRLCK,
        LockMode::Shared => libc::F_RDLCK,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsRawFd;

    /// Two descriptions of one file in one process: flock and OFD exclude each other, POSIX does not
    /// (its owner is the process; the lab's real processes cover it).
    #[test]
    fn descriptions_exclude_each_other_and_readers_do_not() {
        for kind in [LockKind::Flock, LockKind::Ofd] {
            let file = tempfile::NamedTempFile::new().unwrap();
            let open = || File::options().read(true).write(true).open(file.path()).unwrap();
            let (a, b) = (open(), open());
            let (a, b) = (a.as_raw_fd(), b.as_raw_fd());
            assert_eq!(kind.try_acquire(a, LockMode::Exclusive), Ok(true));
            assert_eq!(kind.try_acquire(b, LockMode::Shared), Ok(false));
            kind.release(a).unwrap();
            assert_eq!(kind.try_acquire(b, LockMode::Shared), Ok(true));
            kind.acquire(a, LockMode::Shared).unwrap();
            assert_eq!(kind.try_acquire(a, LockMode::Exclusive), Ok(false));
        }
    }

    #[test]
    fn bytes_are_locked_apart() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let open = || File::options().read(true).write(true).open(file.path()).unwrap();
        let (a, b) = (open(), open());
        let (a, b) = (a.as_raw_fd(), b.as_raw_fd());
        let (low, high) = (Bytes { start: 0, len: 10 }, Bytes { start: 10, len: 0 });
        let exclusive = Some(LockMode::Exclusive);
        assert_eq!(LockKind::Ofd.try_bytes(a, exclusive, low), Ok(true));
        assert_eq!(LockKind::Ofd.try_bytes(b, exclusive, high), Ok(true));
        assert_eq!(LockKind::Ofd.try_bytes(b, exclusive, low), Ok(false));
        assert_eq!(LockKind::Ofd.try_bytes(a, None, low), Ok(true));
        assert_eq!(LockKind::Ofd.try_bytes(b, exclusive, low), Ok(true));
        assert_eq!(LockKind::Flock.try_bytes(a, exclusive, low), Err(Errno::EINVAL));
    }

    #[test]
    fn a_bad_descriptor_is_an_error() {
        for kind in [LockKind::Flock, LockKind::Posix, LockKind::Ofd] {
            assert_eq!(kind.try_acquire(-1, LockMode::Exclusive), Err(Errno::EBADF));
        }
    }
}
