//! Makes child processes, by the bare system call: what fork(3) does beside that is for children that go on to use
//! the C library (it takes the locks of malloc and stdio, and tidies the lists of threads). Ours make system calls only,
//! and each page that nobody writes to stays one for parent and children together.
#![allow(unsafe_code)]

use super::worker;
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::unistd::Pid;
use std::os::fd::RawFd;

/// How a child comes by its table of descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Files {
    /// It gets a copy of all, and closes what it does not keep: the more there are, the longer both take.
    Copied,
    /// It has the parent's own until it has made a table with only the descriptors up to the one that it keeps. So long the
    /// parent must leave that and `null` open; others may come and go.
    Lent,
}

impl Files {
    /// The way that takes least time here: lending needs close_range(2), which an old kernel or a strict seccomp(2) filter lacks.
    pub(super) fn best() -> Self {
        // SAFETY: close_range(2) takes integers, and no descriptor has such a number.
        let can = unsafe { libc::syscall(libc::SYS_close_range, libc::c_uint::MAX, libc::c_uint::MAX, 0) } == 0;
        if can { Self::Lent } else { Self::Copied }
    }
}

/// Forks a child that does `work` and leaves with the status that it gives. Of the parent's descriptors it keeps
/// `keep`; standard input, output and error become `null`. One that `leads` has a session of its own. Fork in the main thread: the child dies with its thread.
///
/// # Safety
/// `work` may do only what is async-signal-safe (signal-safety(7)): the parent may have threads.
///
/// # Errors
/// No process is to be had.
pub(super) unsafe fn fork_child(
    keep: RawFd,
    null: RawFd,
    files: Files,
    leads: bool,
    work: impl FnOnce() -> i32,
) -> Result<Pid> {
    let parent = nix::unistd::getpid().as_raw();
    // A signal that came between fork and prepare() would run the parent's handler in the child.
    let mut before = SigSet::empty();
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before)).context("cannot block signals")?;
    // SAFETY: the child calls only what prepare() and, by contract, `work` call, and leaves by _exit.
    let forked = match unsafe { fork(files) } {
        Ok(None) if own_table(keep.max(null), files) && worker::prepare(parent, keep, null, leads) => {
            worker::exit_now(work())
        }
        Ok(None) => worker::exit_now(worker::EXIT_FAILED),
        Ok(Some(child)) => Ok(child),
        Err(errno) => Err(errno),
    };
    let restored = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None);
    let child = forked.context("cannot fork")?;
    restored.context("cannot unblock signals")?;
    Ok(child)
}

/// The bare system call: none in the child, its process id in the parent.
///
/// # Safety
/// The child makes system calls only, and leaves by _exit. To the C library it is still its parent.
pub(super) unsafe fn fork(files: Files) -> nix::Result<Option<Pid>> {
    let share = if files == Files::Lent { libc::CLONE_FILES } else { 0 };
    let flags = libc::c_long::from(share | libc::SIGCHLD);
    let none: libc::c_long = 0;
    // On s390 alone the stack, which is none, comes before the flags (clone(2), "C library/kernel differences").
    let (first, second) = if cfg!(target_arch = "s390x") { (none, flags) } else { (flags, none) };
    // SAFETY: without a stack and CLONE_VM the child goes on in a copy of our memory, as after fork(2).
    let pid = Errno::result(unsafe { libc::syscall(libc::SYS_clone, first, second, none, none, none) })?;
    Ok((pid != 0).then(|| Pid::from_raw(pid as libc::pid_t)))
}

/// In the child: ends the sharing of the parent's descriptors, of which those up to `last` are copied. Whether that is done.
fn own_table(last: RawFd, files: Files) -> bool {
    let Ok(next) = libc::c_uint::try_from(last.saturating_add(1)) else { return false };
    // SAFETY: close_range(2) takes integers; of the table that it makes, this process is the only user.
    let own =
        || unsafe { libc::syscall(libc::SYS_close_range, next, libc::c_uint::MAX, libc::CLOSE_RANGE_UNSHARE) } == 0;
    files == Files::Copied || own()
}

/// Gives memory back that is free but still mapped, such as what reading the command line took: children would inherit it.
pub(super) fn travel_light() {
    // SAFETY: malloc_trim(3) touches only memory that is not in use.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}
