//! The finding `held_outside`: a lab's lock is held by somebody who is none of its workers.

use super::Here;
use crate::format::{dur, shell};
use std::fmt;

/// Workers wait in the kernel's queue, and none of them has held the lock for long: another program has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldOutside {
    /// For how long no worker has held it, in ns.
    pub ns: u64,
    /// How many wait.
    pub waiting: u32,
    /// The lock file.
    pub path: String,
}

impl HeldOutside {
    /// The kernel hands a lock that is free to whoever waits for it within less than a millisecond. Those who poll may
    /// find nobody there for as long as they nap.
    pub(super) fn find(here: Here<'_>) -> Option<Self> {
        let (model, limits) = (here.model, here.limits);
        let ns = model.free_for()?;
        if model.is_watched() || model.is_paused() || ns < limits.outside_time {
            return None;
        }
        let queued = model.actors().iter().filter(|a| a.state.is_waiting() && !a.polls() && a.stopped_since.is_none());
        let oldest = queued.map(|a| model.in_state(a)).max()?;
        let path = model.info().name.clone();
        (oldest >= limits.outside_time).then(|| Self { ns, waiting: model.waiting(), path })
    }
}

impl fmt::Display for HeldOutside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wait = if self.waiting == 1 { "1 waits" } else { &format!("{} wait", self.waiting) };
        write!(
            f,
            "another program holds the lock: {wait}, and no worker has held it for {}; see which: flockmon watch {}",
            dur(self.ns),
            shell(std::slice::from_ref(&self.path))
        )
    }
}
