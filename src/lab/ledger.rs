//! The ledger of the lock: who holds it, how often it was won, when it was released last.
//!
//! It is written only under the lock under test, so that every acquisition has a place in a
//! total order, the handoff is exact, and mutual exclusion is checked. All fields are atomics: if the
//! lock does not exclude, the ledger must survive that and say so.
//!
//! Where there is nothing to be done while the lock is held, turns are not entered here: at a million a second this one
//! line, which goes from processor to processor with the lock, would cost up to a third of them. They are put in order by
//! their times instead (`places.rs`), and counted here as soon as somebody is entered again.

use std::sync::atomic::{AtomicU64, Ordering::*};

/// A process of a worker: its number and its process id in one word; 0 is nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// Number of the worker, from 1.
    pub worker: u32,
    /// Its process id.
    pub pid: u32,
}

impl Owner {
    pub(super) fn word(self) -> u64 {
        u64::from(self.pid) << 32 | u64::from(self.worker)
    }

    pub(super) fn from_word(word: u64) -> Option<Self> {
        (word != 0).then_some(Self { worker: word as u32, pid: (word >> 32) as u32 })
    }
}

/// Written under the lock under test. One cache line but for what is only read: whoever gets the lock needs all of it.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Ledger {
    owner: AtomicU64,
    last_release: AtomicU64,
    seq: AtomicU64,
    behind: Behind,
}

/// Read each turn and written hardly ever, so it has a line of its own.
#[repr(C, align(64))]
#[derive(Debug, Default)]
struct Behind {
    /// Acquisitions by all workers, and one more, when turns began that are not entered here; 0 where there are none.
    since: AtomicU64,
    /// How often that changed.
    changes: AtomicU64,
}

/// What a holder finds when it enters itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the total order of acquisitions, from 1.
    pub seq: u64,
    /// Who stood there as the exclusive holder, which should be nobody.
    pub other: Option<Owner>,
    /// When the lock was released before, in ns on the clock that stands still while paused.
    pub last_release: u64,
}

impl Ledger {
    /// The exclusive holder's process, as it entered itself.
    pub fn owner(&self) -> Option<Owner> {
        Owner::from_word(self.owner.load(Acquire))
    }

    /// Number of the latest acquisition.
    pub fn seq(&self) -> u64 {
        self.seq.load(Relaxed)
    }

    /// Whether turns were made since that are not counted here.
    pub fn is_behind(&self) -> bool {
        self.behind.since.load(Acquire) != 0
    }

    /// How often it fell behind or caught up. Whoever has read of a turn that is entered here knows by it of all before
    /// that are not.
    pub fn changes(&self) -> u64 {
        self.behind.changes.load(Acquire)
    }

    /// The holder says that from its turn on none is entered, after so many acquisitions by all workers.
    pub fn fall_behind(&self, acquisitions: u64) {
        self.behind.changes.fetch_add(1, AcqRel);
        self.behind.since.store(acquisitions.wrapping_add(1), Release);
    }

    /// The holder counts those that were not entered, after so many acquisitions by all workers.
    pub fn catch_up(&self, acquisitions: u64) {
        let missing = acquisitions.wrapping_add(1).saturating_sub(self.behind.since.load(Acquire));
        self.seq.fetch_add(missing, AcqRel);
        self.behind.changes.fetch_add(1, AcqRel);
        self.behind.since.store(0, Release);
    }

    /// When the lock was last released, in ns on the clock that stands still while paused.
    pub fn last_release(&self) -> u64 {
        self.last_release.load(Relaxed)
    }

    /// Enters `me` as the exclusive holder. The swap comes first: it fetches the line to be written, once.
    #[inline]
    pub fn enter(&self, me: Owner) -> Entry {
        let other = Owner::from_word(self.owner.swap(me.word(), AcqRel));
        let seq = if other.is_none() {
            // Nobody else may be here, so that load and store need not be one. Where the lock does not exclude, two may
            // get the same number; that they were here together, the owner's entry tells.
            let seq = self.seq.load(Acquire).wrapping_add(1);
            self.seq.store(seq, Release);
            seq
        } else {
            self.count()
        };
        Entry { seq, other, last_release: self.last_release() }
    }

    /// Counts a shared holder, who enters itself in its slot.
    pub fn enter_shared(&self) -> Entry {
        Entry { seq: self.count(), other: self.owner(), last_release: self.last_release() }
    }

    fn count(&self) -> u64 {
        self.seq.fetch_add(1, AcqRel).wrapping_add(1)
    }

    /// Takes `me` out again, but nobody else, and notes the time of the release that is about to be made, on the clock that
    /// stands still while paused: a pause is no part of a handoff. Load and
    /// store need not be one: whoever enters between them holds the lock together with `me`, and has been told so by
    /// [`Ledger::enter`].
    #[inline]
    pub fn leave(&self, me: Owner, now: u64) {
        if self.owner.load(Relaxed) == me.word() {
            self.owner.store(0, Release);
        }
        self.releasing(now);
    }

    /// Notes the time of a release that is about to be made, as [`Ledger::leave`] does.
    pub fn releasing(&self, now: u64) {
        self.last_release.store(now, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ledger_tells_who_stood_there() {
        let ledger = Ledger::default();
        let (a, b) = (Owner { worker: 1, pid: 100 }, Owner { worker: 2, pid: 200 });
        assert_eq!(ledger.enter(a).other, None);
        assert_eq!(ledger.enter(b).other, Some(a));
        ledger.leave(a, 5);
        assert_eq!(ledger.owner(), Some(b));
        ledger.leave(b, 7);
        assert_eq!(ledger.owner(), None);
        assert_eq!(ledger.enter(a), Entry { seq: 3, other: None, last_release: 7 });
    }

    #[test]
    fn turns_that_were_not_entered_are_counted_later() {
        let ledger = Ledger::default();
        let me = Owner { worker: 1, pid: 100 };
        assert_eq!((ledger.enter(me).seq, ledger.is_behind()), (1, false));
        ledger.leave(me, 5);
        // Whether or not the first one was counted before it died.
        ledger.fall_behind(0);
        assert!(ledger.is_behind());
        assert_eq!(ledger.changes(), 1);
        ledger.catch_up(7);
        assert_eq!((ledger.enter(me).seq, ledger.is_behind(), ledger.changes()), (9, false, 2));
    }

    #[test]
    fn numbers_run_on_whoever_asks() {
        let ledger = Ledger::default();
        let me = Owner { worker: 1, pid: 100 };
        assert_eq!([ledger.enter_shared(), ledger.enter_shared(), ledger.enter(me)].map(|e| e.seq), [1, 2, 3]);
        // Whoever finds somebody there counts on as well.
        let two = [ledger.enter_shared(), ledger.enter(Owner { worker: 2, pid: 200 })];
        assert_eq!(two.map(|e| (e.seq, e.other)), [(4, Some(me)), (5, Some(me))]);
    }
}
