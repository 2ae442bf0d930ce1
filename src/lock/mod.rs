//! Taking and releasing advisory locks on an open file: three families behind one small trait.
//!
//! Everything here is async-signal-safe: it runs in forked children, between system calls only.

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
    fn try_acquire(&self, fd: RawFd, mode: LockMode) -> Result<bool, Errno> {
        let done = match self {
            Self::Flock => sys::flock(fd, flock_op(mode) | libc::LOCK_NB),
            Self::Posix => sys::fcntl(fd, libc::F_SETLK, fcntl_type(mode)),
            Self::Ofd => sys::fcntl(fd, libc::F_OFD_SETLK, fcntl_type(mode)),
        };
        match done {
            Ok(()) => Ok(true),
            // fcntl(2), F_SETLK: EACCES or EAGAIN; EWOULDBLOCK is EAGAIN on Linux.
            Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    fn acquire(&self, fd: RawFd, mode: LockMode) -> Result<(), Errno> {
        match self {
            Self::Flock => sys::flock(fd, flock_op(mode)),
            Self::Posix => sys::fcntl(fd, libc::F_SETLKW, fcntl_type(mode)),
            Self::Ofd => sys::fcntl(fd, libc::F_OFD_SETLKW, fcntl_type(mode)),
        }
    }

    fn release(&self, fd: RawFd) -> Result<(), Errno> {
        match self {
            Self::Flock => sys::flock(fd, libc::LOCK_UN),
            Self::Posix => sys::fcntl(fd, libc::F_SETLK, libc::F_UNLCK),
            Self::Ofd => sys::fcntl(fd, libc::F_OFD_SETLK, libc::F_UNLCK),
        }
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
    fn a_bad_descriptor_is_an_error() {
        for kind in [LockKind::Flock, LockKind::Posix, LockKind::Ofd] {
            assert_eq!(kind.try_acquire(-1, LockMode::Exclusive), Err(Errno::EBADF));
        }
    }
}
