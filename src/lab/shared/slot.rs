//! What each worker says of itself without a word into its pipe.

use super::draft::{Draft, Progress};
use crate::lab::ledger::Owner;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::*, fence};

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

/// A turn that has not ended, as far as it has come; in ns since the run began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// When the lock was asked for; when it was won where that was a while ago.
    pub since: u64,
    /// When it was won.
    pub won: Option<u64>,
    /// When it was about to be released.
    pub ended: Option<u64>,
}

/// Two cache lines a worker, of which it writes to the first one each turn: written by the worker alone, but for `retired`
/// and `known`.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Slot {
    doing: AtomicU64,
    got: AtomicU64,
    won: AtomicU64,
    ended: AtomicU64,
    progress: AtomicU64,
    /// The process that the draft is of.
    teller: AtomicU32,
    /// The process that the one that reads knows.
    known: AtomicU32,
    /// When the first process began that it did not know then.
    begun: AtomicU64,
    reader: AtomicU64,
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

    /// Says when it won the lock that it said it waits for, where it has nothing else to say of it (ns since the run began).
    #[inline]
    pub fn set_won(&self, at: u64) {
        self.won.store(at, Release);
    }

    /// Says when that ends, just before the lock is released.
    #[inline]
    pub fn set_ended(&self, at: u64) {
        self.ended.store(at, Release);
    }

    /// The wait for an exclusive lock, or the hold, that it is in, as far as it has come.
    pub fn turn(&self) -> Option<Turn> {
        let now = self.doing();
        let (won, ended) = (self.won.load(Acquire), self.ended.load(Acquire));
        if self.doing() != now {
            // They may be of another turn.
            return None;
        }
        let (doing, since) = now;
        let won = match doing {
            Doing::Holds => Some(since),
            Doing::WaitsExclusive => Some(won).filter(|t| *t >= since),
            _ => return None,
        };
        Some(Turn { since, won, ended: won.and_then(|won| Some(ended).filter(|t| *t >= won)) })
    }

    /// Process `pid` begins to tell at `now` (ns since the run began): it has told nothing yet, and does nothing that is known.
    pub fn begin(&self, pid: u32, now: u64) {
        let known = self.known.load(Acquire) == self.teller.swap(0, AcqRel);
        self.set_doing(Doing::Else, now);
        self.set_progress(Progress::default());
        if known {
            self.begun.store(now, Release);
        }
        self.teller.store(pid, Release);
    }

    /// The one that reads knows process `pid` now, and its pipe.
    pub fn set_known(&self, pid: u32) {
        self.known.store(pid, Release);
    }

    /// Since when processes may have told something that the one that reads does not know.
    pub fn unknown_since(&self) -> Option<u64> {
        let pid = self.teller.load(Acquire);
        (pid != 0 && pid != self.known.load(Acquire)).then(|| self.begun.load(Acquire))
    }

    /// Says how far it has come.
    #[inline]
    pub fn set_progress(&self, progress: Progress) {
        self.progress.store(progress.word(), Release);
        if progress.drafted == 0 {
            // Before anything is put where something else stood: see [`Slot::peek`].
            fence(Release);
        }
    }

    /// How far process `pid` has come; none where another one tells here.
    pub fn progress(&self, pid: u32) -> Option<Progress> {
        let ours = self.teller.load(Acquire) == pid;
        ours.then(|| Progress::of(self.progress.load(Acquire)))
    }

    /// Adds to `out` what process `pid` has told beyond its first `read` units, out of its `draft`. Whether that is all:
    /// what has been written is in the pipe.
    pub fn peek(&self, draft: &Draft, pid: u32, read: u64, out: &mut Vec<u8>) -> bool {
        let Some(progress) = self.progress(pid) else { return true };
        let Some(from) = read.checked_sub(progress.written) else { return false };
        let before = out.len();
        draft.copy(usize::try_from(from).unwrap_or(usize::MAX), progress.drafted, out);
        fence(Acquire);
        // Else some of it may have been overwritten while it was copied.
        let still = self.progress(pid).is_some_and(|now| now.written == progress.written);
        if !still {
            out.truncate(before);
        }
        still
    }

    /// The process that holds a shared lock for this worker.
    pub fn reader(&self) -> Option<Owner> {
        Owner::from_word(self.reader.load(Acquire))
    }

    /// Enters a shared holder, or takes it out.
    pub fn set_reader(&self, owner: Option<Owner>) {
        self.reader.store(owner.map_or(0, Owner::word), Release);
    }

    /// Acquisitions by this worker, over all its processes: counted while it holds the lock.
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
    use crate::lab::wire::UNIT;

    #[test]
    fn what_it_does_comes_back() {
        let slot = Slot::default();
        slot.set_doing(Doing::WaitsShared, 12_345);
        assert_eq!(slot.doing(), (Doing::WaitsShared, 12_345));
    }

    #[test]
    fn a_turn_is_seen_as_far_as_it_has_come() {
        let slot = Slot::default();
        assert_eq!(slot.turn(), None);
        let seen = |since, won, ended| Some(Turn { since, won, ended });
        for t in [10, 20] {
            slot.set_doing(Doing::WaitsExclusive, t);
            assert_eq!(slot.turn(), seen(t, None, None));
            slot.set_won(t + 1);
            assert_eq!(slot.turn(), seen(t, Some(t + 1), None));
            slot.set_ended(t + 2);
            assert_eq!(slot.turn(), seen(t, Some(t + 1), Some(t + 2)));
            slot.set_doing(Doing::Else, t + 2);
            assert_eq!(slot.turn(), None);
            slot.set_doing(Doing::Holds, t + 5);
            assert_eq!(slot.turn(), seen(t + 5, Some(t + 5), None));
            slot.set_ended(t + 6);
            assert_eq!(slot.turn(), seen(t + 5, Some(t + 5), Some(t + 6)));
        }
    }

    #[test]
    fn a_process_is_unknown_until_it_is_said_and_so_are_its_predecessors() {
        let slot = Slot::default();
        assert_eq!(slot.unknown_since(), None);
        slot.begin(7, 50);
        assert_eq!(slot.unknown_since(), Some(50));
        slot.set_known(7);
        assert_eq!(slot.unknown_since(), None);
        slot.begin(8, 60);
        slot.begin(9, 70);
        assert_eq!(slot.unknown_since(), Some(60));
        slot.set_known(8);
        assert_eq!(slot.unknown_since(), Some(60));
        slot.set_known(9);
        assert_eq!(slot.unknown_since(), None);
    }

    #[test]
    fn a_draft_is_read_by_what_is_written_of_it() {
        let (slot, shared) = (Slot::default(), crate::lab::shared::Shared::new().unwrap());
        let draft = shared.draft(1).unwrap();
        let peek = |read| {
            let mut out = Vec::new();
            let all = slot.peek(draft, 7, read, &mut out);
            (all, out)
        };
        slot.begin(7, 50);
        assert_eq!(peek(0), (true, vec![]));
        (0..3).for_each(|n| draft.put(n, [n as u8; UNIT]));
        slot.set_progress(Progress { written: 0, drafted: 3 });
        assert_eq!(peek(1), (true, [[1; UNIT], [2; UNIT]].concat()));
        // All three are in the pipe, and one more in the draft.
        draft.put(0, [9; UNIT]);
        slot.set_progress(Progress { written: 3, drafted: 1 });
        assert_eq!((peek(2), peek(3), peek(4)), ((false, vec![]), (true, vec![9; UNIT]), (true, vec![])));
        // Somebody else is at it.
        slot.begin(8, 60);
        assert_eq!(peek(0), (true, vec![]));
    }
}
