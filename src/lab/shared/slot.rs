//! What each worker says of itself without a word into its pipe.

use crate::lab::ledger::Owner;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};

/// What a worker does, as it last said in its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// Nothing known, or thinking.
    Else,
    /// Waits for an exclusive lock.
    WaitsExclusive,
    /// Waits for a shared lock.
    WaitsShared,
    /// Holds the lock.
    Holds,
}

/// A cache line a worker: written by the worker alone, but for `retired`.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Slot {
    doing: AtomicU64,
    reader: AtomicU64,
    got: AtomicU64,
    retired: AtomicU32,
    leader: AtomicU32,
}

impl Slot {
    /// Says what the worker does since `since` (ns since the run began).
    pub fn set_doing(&self, doing: Doing, since: u64) {
        self.doing.store(since << 2 | doing as u64, Release);
    }

    /// What the worker said last, and since when.
    pub fn doing(&self) -> (Doing, u64) {
        let word = self.doing.load(Acquire);
        let doing = match word & 3 {
            1 => Doing::WaitsExclusive,
            2 => Doing::WaitsShared,
            3 => Doing::Holds,
            _ => Doing::Else,
        };
        (doing, word >> 2)
    }

    /// The process that holds a shared lock for this worker.
    pub fn reader(&self) -> Option<Owner> {
        Owner::from_word(self.reader.load(Acquire))
    }

    /// Enters a shared holder, or takes it out.
    pub fn set_reader(&self, owner: Option<Owner>) {
        self.reader.store(owner.map_or(0, Owner::word), Release);
    }

    /// Acquisitions by this worker, over all its processes.
    pub fn got(&self) -> u64 {
        self.got.load(Relaxed)
    }

    /// Counts one. Only the worker's present process may: there is no other writer.
    pub fn count(&self) {
        self.got.store(self.got.load(Relaxed).wrapping_add(1), Relaxed);
    }

    /// The process that leads the session of this worker, where it runs commands; 0 where none lives.
    pub fn leader(&self) -> u32 {
        self.leader.load(Acquire)
    }

    /// Notes which process that is.
    pub fn set_leader(&self, pid: u32) {
        self.leader.store(pid, Release);
    }

    /// Whether this worker shall leave.
    pub fn retired(&self) -> bool {
        self.retired.load(Relaxed) != 0
    }

    /// Asks this worker to leave, or to stay.
    pub fn set_retired(&self, retired: bool) {
        self.retired.store(u32::from(retired), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_does_comes_back() {
        let slot = Slot::default();
        slot.set_doing(Doing::WaitsShared, 12_345);
        assert_eq!(slot.doing(), (Doing::WaitsShared, 12_345));
    }
}
