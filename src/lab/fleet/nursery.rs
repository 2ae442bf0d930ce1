//! The first fleet is forked in a row, and cheaply. A fork copies the table of open files, so that thousands of workers,
//! each with its pipe, would cost the square of that in copying and closing. These share our table instead, until each
//! has made a small one of its own: all that it needs has a low number, and the ends that we read are out of the way.
//!
//! And they share our memory: what we write to between two forks, each worker keeps as it was. So that is little.

use super::{Lab, SPARE_FDS};
use crate::lab::collector::Order;
use crate::lab::ledger::Owner;
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use std::fs::File;
use std::os::fd::{FromRawFd, OwnedFd};
use std::time::Duration;

/// So many new workers at most have no table of their own yet: a few are always under way.
const MOST: usize = 16;
/// Between two looks at one that is waited for.
const LOOK: Duration = Duration::from_micros(50);

/// A worker of which the collector has not been told.
#[derive(Debug)]
pub(super) struct Newborn {
    pub(super) owner: Owner,
    /// The end of its pipe that we read.
    pub(super) read: OwnedFd,
    /// Its own end, where it uses our table: not to be closed here before it has one of its own.
    pub(super) write: Option<OwnedFd>,
}

impl Lab {
    /// Takes in a worker of the first fleet.
    pub(super) fn nurse(&mut self, newborn: Newborn) {
        self.nursery.push(newborn);
        if let Some(oldest) = self.nursery.len().checked_sub(MOST + 1) {
            self.wean(oldest);
        }
    }

    /// Waits until each has a table of its own.
    pub(super) fn await_tables(&mut self) {
        (0..self.nursery.len()).for_each(|place| self.wean(place));
    }

    /// Tells the collector of all, as the run begins.
    pub(super) fn leave_nursery(&mut self) {
        for Newborn { owner, read, .. } in std::mem::take(&mut self.nursery) {
            self.order(Order::Born { owner, pipe: File::from(read), t: 0 });
        }
    }

    /// Waits until one has a table of its own, or has died.
    fn wean(&mut self, place: usize) {
        let Some(newborn) = self.nursery.get_mut(place).filter(|n| n.write.is_some()) else { return };
        let Owner { worker, pid } = newborn.owner;
        // It says so by entering itself.
        while self.shared.slot(worker).is_some_and(|slot| slot.leader() != pid) && lives(Pid::from_raw(pid as i32)) {
            std::thread::sleep(LOOK);
        }
        newborn.write = None;
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
