//! Descriptors lent to new workers. A fork copies the table of open files, so that a fleet of thousands, each with its pipe,
//! would cost the square of that in copying and closing. The first fleet shares our table instead, until each worker has
//! made a small one of its own: all that it needs has a low number, and the ends that we read from are out of the way.

use super::{Lab, SPARE_FDS};
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use std::collections::VecDeque;
use std::os::fd::{FromRawFd, OwnedFd};
use std::time::Duration;

/// So many new workers at most have no table of their own yet: a few are always under way.
const MOST: usize = 16;
/// Between two looks at one that is waited for.
const LOOK: Duration = Duration::from_micros(50);

/// The ends of pipes that new workers write to, oldest first: none may be closed before its worker has a table of its own.
#[derive(Debug, Default)]
pub(super) struct Lent(VecDeque<(u32, Pid, OwnedFd)>);

impl Lab {
    /// Lends worker `id` its end of the pipe.
    pub(super) fn lend(&mut self, id: u32, pid: Pid, end: OwnedFd) {
        self.lent.0.push_back((id, pid, end));
        self.settle(MOST);
    }

    /// Waits until at most so many workers use our table of open files.
    pub(super) fn settle(&mut self, most: usize) {
        while self.lent.0.len() > most {
            let Some((id, pid, _end)) = self.lent.0.pop_front() else { return };
            let leads = |pid: Pid| self.shared.slot(id).is_none_or(|slot| slot.leader() == pid.as_raw() as u32);
            while !leads(pid) && lives(pid) {
                std::thread::sleep(LOOK);
            }
        }
    }
}

/// Whether a child has not ended yet.
fn lives(pid: Pid) -> bool {
    let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    matches!(waitid(Id::Pid(pid), look), Ok(WaitStatus::StillAlive) | Err(Errno::EINTR))
}

/// The same file by a number above those that workers keep.
#[allow(unsafe_code)]
pub(super) fn out_of_the_way(end: OwnedFd) -> Result<OwnedFd> {
    let above = FcntlArg::F_DUPFD_CLOEXEC(SPARE_FDS as i32);
    let number = fcntl(&end, above).context("cannot keep a pipe: raise the limit on open files (ulimit -n)")?;
    // SAFETY: fcntl(2) has just made this descriptor, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
