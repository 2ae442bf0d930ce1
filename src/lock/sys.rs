//! The system calls themselves: nix has `flock` only as an owning type, and no OFD locks by raw descriptor.
#![allow(unsafe_code)]

use super::Bytes;
use nix::errno::Errno;
use std::os::fd::RawFd;

#[inline]
pub(super) fn flock(fd: RawFd, op: libc::c_int) -> Result<(), Errno> {
    // SAFETY: flock(2) takes two integers and touches no memory of ours.
    told(unsafe { libc::flock(fd, op) })
}

/// A record lock of `kind` over these bytes. On its own, so that what chooses among the families is small.
#[inline(never)]
pub(super) fn fcntl(fd: RawFd, command: libc::c_int, kind: libc::c_int, bytes: Bytes) -> Result<(), Errno> {
    let range = libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: libc::off_t::from(bytes.start),
        l_len: libc::off_t::from(bytes.len),
        // fcntl(2), open file description locks: l_pid must be 0.
        l_pid: 0,
    };
    // SAFETY: the three commands used here only read the struct, which lives until the call returns.
    told(unsafe { libc::fcntl(fd, command, &raw const range) })
}

/// What a call came to. That somebody has the lock is told at once: it is what most often comes, and the table of all
/// other errors then costs a worker no memory.
#[inline]
fn told(done: libc::c_int) -> Result<(), Errno> {
    if done == -1 { Err(why()) } else { Ok(()) }
}

#[cold]
fn why() -> Errno {
    if Errno::last_raw() == libc::EAGAIN { Errno::EAGAIN } else { Errno::last() }
}
