//! The system calls of a child that misbehaves, none of which may allocate.
#![allow(unsafe_code)]

use crate::lab::child::{self, Files};
use nix::errno::Errno;
use std::ffi::CStr;

pub(super) fn signal_me(signal: libc::c_int) {
    // SAFETY: kill(2) takes integers; a process may always signal itself.
    unsafe { libc::kill(libc::getpid(), signal) };
}

/// Unlinks a file and makes another of the same name.
pub(super) fn make_anew(path: &CStr) -> Result<(), Errno> {
    // SAFETY: the path is a C string that outlives the calls.
    unsafe {
        Errno::result(libc::unlink(path.as_ptr()))?;
        let flags = libc::O_CREAT | libc::O_RDWR | libc::O_CLOEXEC;
        libc::close(Errno::result(libc::open(path.as_ptr(), flags, 0o600))?);
    }
    Ok(())
}

pub(super) fn parent() -> i32 {
    // SAFETY: getppid(2) takes nothing and cannot fail.
    unsafe { libc::getppid() }
}

/// In the child none, in the parent the child's process id.
pub(super) fn fork() -> Result<Option<u32>, Errno> {
    // SAFETY: the child makes system calls only and leaves by _exit.
    let child = unsafe { child::fork(Files::Copied) }?;
    Ok(child.and_then(|pid| u32::try_from(pid.as_raw()).ok()))
}

pub(super) fn call_me(name: &CStr) {
    // SAFETY: prctl(2) reads a C string of at most 16 bytes.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}

pub(super) fn die_with_parent() {
    // SAFETY: this call of prctl(2) takes integers.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}
