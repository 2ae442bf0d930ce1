//! What commands have started ends with the monitor, whatever ends that. Workers and commands die with their parents
//! (`PR_SET_PDEATHSIG`); what commands have forked does not. This process lives a moment longer than the monitor and
//! kills the process groups that are left.
#![allow(unsafe_code)]

use super::shared::{MAX_WORKERS, Shared};
use super::worker::{close_others, exit_now};
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// The process; it goes when this is dropped.
#[derive(Debug)]
pub(super) struct Warden {
    pid: Pid,
    /// As long as this end of the pipe is open, the monitor lives.
    alive: Option<OwnedFd>,
}

impl Warden {
    /// Forks it. Call it in the main thread, before there are others.
    ///
    /// # Errors
    /// No process or descriptor is to be had.
    pub(super) fn post(shared: &Shared) -> Result<Self> {
        let (ends, alive) = nix::unistd::pipe2(OFlag::O_CLOEXEC)
            .context("cannot make a pipe: raise the limit on open files (ulimit -n)")?;
        let mut before = SigSet::empty();
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before))
            .context("cannot block signals")?;
        // SAFETY: the child only makes system calls, reads shared memory, and leaves by _exit.
        let forked = unsafe { nix::unistd::fork() };
        if let Ok(ForkResult::Child) = forked {
            watch(ends.as_raw_fd());
            // Numbers of the dead are taken out when they are reaped: what stands there has just died with the monitor.
            for leader in (1..=MAX_WORKERS).filter_map(|id| shared.slot(id)).map(|s| s.leader()) {
                if let Ok(leader @ 1..) = i32::try_from(leader) {
                    // SAFETY: kill(2) takes two integers.
                    unsafe { libc::kill(-leader, libc::SIGKILL) };
                }
            }
            exit_now(0);
        }
        let restored = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None);
        let ForkResult::Parent { child } = forked.context("cannot fork: raise the limit on processes (ulimit -u)")?
        else {
            exit_now(0)
        };
        restored.context("cannot unblock signals")?;
        Ok(Self { pid: child, alive: Some(alive) })
    }
}

impl Drop for Warden {
    fn drop(&mut self) {
        self.alive = None;
        while waitpid(self.pid, None) == Err(Errno::EINTR) {}
    }
}

/// Waits, deaf to all signals but SIGKILL, until nobody has the other end of the pipe `ends` any more.
fn watch(ends: RawFd) {
    // SAFETY: each call takes integers, a C string, or one byte on this stack, and is async-signal-safe.
    unsafe {
        // A ctrl-c or hang-up of the terminal, or a kill of the job, is not for this one.
        libc::setsid();
        libc::prctl(libc::PR_SET_NAME, c"flockmon-warden".as_ptr());
        close_others(0, ends);
        let mut byte = 0u8;
        loop {
            match libc::read(ends, (&raw mut byte).cast(), 1) {
                0 => return,
                n if n < 0 && Errno::last() != Errno::EINTR => return,
                _ => {}
            }
        }
    }
}
