//! What an actor did last: its latest acquisitions and changes of state, and for the whole lock who held it after whom.
//! Each is a ring of fixed size, allocated when the first thing happens.

use crate::event::{self, Acquisition, ActorId, Condition, FailedAction, LockMode, What};
use std::collections::VecDeque;
use std::fmt::{self, Debug, Formatter};

/// Acquisitions kept of each actor: more than can be told apart on a timeline of 120 columns.
pub const TURNS: usize = 64;
/// Changes of state kept of each actor.
const CHANGES: usize = 32;
/// Holds kept of each lock.
pub const HOLDS: usize = 256;

/// The latest `N` of something.
#[derive(Clone)]
pub struct Ring<T, const N: usize> {
    items: Vec<T>,
    /// Where the next one goes, once there are `N`.
    next: usize,
}

impl<T, const N: usize> Default for Ring<T, N> {
    fn default() -> Self {
        Self { items: Vec::new(), next: 0 }
    }
}

/// From the oldest to the newest, wherever in its memory they are.
impl<T: Debug, const N: usize> Debug for Ring<T, N> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<T, const N: usize> Ring<T, N> {
    #[inline]
    fn push(&mut self, item: T) {
        if self.items.len() < N {
            if self.items.capacity() == 0 {
                self.make_room();
            }
            return self.items.push(item);
        }
        if let Some(oldest) = self.items.get_mut(self.next) {
            *oldest = item;
        }
        self.next = (self.next + 1) % N;
    }

    /// Of all, `made` from `from`, only as many as are kept are made.
    #[inline]
    fn push_all<S>(&mut self, from: &[S], made: impl Fn(&S) -> T) {
        let kept = from.get(from.len().saturating_sub(N)..).unwrap_or_default().iter().map(made);
        if from.len() < N {
            return kept.for_each(|item| self.push(item));
        }
        self.items.clear();
        self.next = 0;
        self.items.reserve_exact(N);
        self.items.extend(kept);
    }

    /// Takes no item: one handed on would go through memory, on the way that is taken each time too.
    #[cold]
    fn make_room(&mut self) {
        self.items.reserve_exact(N);
    }

    fn last_mut(&mut self) -> Option<&mut T> {
        let last = self.next.checked_sub(1).unwrap_or(self.items.len().checked_sub(1)?);
        self.items.get_mut(last)
    }

    /// From the oldest to the newest.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        let (newer, older) = self.items.split_at_checked(self.next).unwrap_or((&self.items, &[]));
        older.iter().chain(newer)
    }

    /// Whether older ones have been forgotten.
    pub fn is_full(&self) -> bool {
        self.items.len() == N
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

/// One acquisition and what came of it, in 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// When the lock was won, in ns since the run began.
    pub at: u64,
    waited: u64,
    held: u64,
    handoff: u32,
    overtaken: u32,
}

/// Stands for a time that is not known, or not yet.
const UNKNOWN: u64 = u64::MAX;
/// Set in [`Turn::overtaken`] for a shared lock, and where the wait or hold began before watching.
const SHARED: u32 = 1 << 31;
const BEFORE: u32 = 1 << 30;
const COUNT: u32 = BEFORE - 1;

impl Turn {
    fn new(at: u64, won: &Acquisition, before: bool) -> Self {
        let ns = |handoff: u64| u32::try_from(handoff).unwrap_or(u32::MAX - 1).min(u32::MAX - 1);
        let flags = if before { BEFORE } else { 0 } | if won.mode == LockMode::Shared { SHARED } else { 0 };
        Self {
            at,
            waited: won.waited_ns,
            held: UNKNOWN,
            handoff: won.handoff_ns.map_or(u32::MAX, ns),
            overtaken: u32::try_from(won.overtaken).unwrap_or(COUNT).min(COUNT) | flags,
        }
    }

    /// How long it waited, in ns; none where it held the lock already when watching began.
    pub fn waited(&self) -> Option<u64> {
        (self.waited != UNKNOWN).then_some(self.waited)
    }

    /// How long it held the lock, in ns; none while it does.
    pub fn held(&self) -> Option<u64> {
        (self.held != UNKNOWN).then_some(self.held)
    }

    /// From the release before it to it, in ns, where it was already waiting then; more than 4.29 s count as that.
    pub fn handoff(&self) -> Option<u64> {
        (self.handoff != u32::MAX).then_some(u64::from(self.handoff))
    }

    /// Acquisitions by others while it waited.
    pub fn overtaken(&self) -> u64 {
        u64::from(self.overtaken & COUNT)
    }

    /// Exclusive or shared.
    pub fn mode(&self) -> LockMode {
        if self.overtaken & SHARED == 0 { LockMode::Exclusive } else { LockMode::Shared }
    }

    /// What it did when watching began: waited, or else held. It did so for longer than the figure says.
    pub fn before(&self) -> bool {
        self.overtaken & BEFORE != 0
    }
}

/// A change in an actor's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// When, in ns since the run began; the last time of several alike.
    pub t: u64,
    /// What became of it.
    pub what: Became,
}

/// See [`Change`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the event of the same name says it")]
pub enum Became {
    Spawned { pid: i32, again: bool },
    Seen { pid: i32 },
    Found { mode: LockMode, holds: bool },
    Exited { code: Option<i32>, signal: Option<i32>, holding: bool },
    Failed { action: FailedAction, errno: i32 },
    Stopped { holding: bool },
    Continued,
    GaveUp { times: u64, waited_ns: u64 },
    Left { times: u64, waited_ns: u64 },
    Violated { other: ActorId, other_pid: i32 },
    Dropped { count: u64 },
    Turned(Condition),
    Removed,
}

impl Became {
    /// What an event makes of the actor that it is about, if it changes its life rather than its turn.
    pub(super) fn of(what: &What, pid: i32, holding: bool, again: bool) -> Option<Self> {
        Some(match *what {
            What::Spawned => Self::Spawned { pid, again },
            What::Seen(_) => Self::Seen { pid },
            What::Found { mode, holds } => Self::Found { mode, holds },
            What::Exited { code, signal } => Self::Exited { code, signal, holding },
            What::Failed { action, errno } => Self::Failed { action, errno },
            What::Stopped => Self::Stopped { holding },
            What::Continued => Self::Continued,
            What::GaveUp { waited_ns } => Self::GaveUp { times: 1, waited_ns },
            What::Left { waited_ns } => Self::Left { times: 1, waited_ns },
            What::Violation { other, other_pid, .. } => Self::Violated { other, other_pid },
            What::Dropped { count } => Self::Dropped { count },
            What::Condition(condition) => Self::Turned(condition),
            What::Removed => Self::Removed,
            _ => return None,
        })
    }
}

/// What an actor did last.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Its acquisitions, the oldest first.
    pub turns: Ring<Turn, TURNS>,
    changes: VecDeque<Change>,
}

impl History {
    /// What became of it, the oldest first. Giving up again and again is one change.
    pub fn changes(&self) -> impl DoubleEndedIterator<Item = &Change> + ExactSizeIterator {
        self.changes.iter()
    }

    #[inline]
    pub(super) fn acquired(&mut self, t: u64, won: &Acquisition, before: bool) {
        self.turns.push(Turn::new(t, won, before));
    }

    /// Whole turns; only as many as are kept are looked at.
    #[inline]
    pub(super) fn turned_often(&mut self, turns: &[event::Turn], before: bool) {
        self.turns.push_all(turns, |turn| {
            let held = u64::from(turn.held_ns);
            Turn { held, ..Turn::new(turn.t, &turn.acquisition(), before) }
        });
    }

    /// It held the lock when watching began.
    pub(super) fn found(&mut self, t: u64, mode: LockMode) {
        let won = Acquisition { mode, seq: 0, waited_ns: UNKNOWN, contended: false, handoff_ns: None, overtaken: 0 };
        self.turns.push(Turn::new(t, &won, true));
    }

    #[inline]
    pub(super) fn released(&mut self, held_ns: u64) {
        if let Some(turn) = self.turns.last_mut().filter(|turn| turn.held == UNKNOWN) {
            turn.held = held_ns.min(UNKNOWN - 1);
        }
    }

    pub(super) fn changed(&mut self, t: u64, what: Became) {
        if let Some(last) = self.changes.back_mut() {
            let sum = match (last.what, what) {
                (Became::GaveUp { times, .. }, Became::GaveUp { waited_ns, .. }) => {
                    Some(Became::GaveUp { times: times + 1, waited_ns })
                }
                (Became::Left { times, .. }, Became::Left { waited_ns, .. }) => {
                    Some(Became::Left { times: times + 1, waited_ns })
                }
                (Became::Dropped { count }, Became::Dropped { count: more }) => {
                    Some(Became::Dropped { count: count.saturating_add(more) })
                }
                _ => None,
            };
            if let Some(what) = sum {
                *last = Change { t, what };
                return;
            }
        }
        if self.changes.len() == CHANGES {
            self.changes.pop_front();
        }
        self.changes.push_back(Change { t, what });
    }
}

/// Shorter holds, in ns, are left out of [`Holds`]: a cell of the shortest timeline is some ten times as long.
pub const NAMED_NS: u64 = 5_000_000;

/// A hold that is over, in ns on the clock that stands still in pauses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// When it began.
    pub from: u64,
    /// When it ended.
    pub to: u64,
    /// Whose it was.
    pub actor: ActorId,
}

/// Who held a lock after whom, as far as that can be followed.
pub type Holds = Ring<Hold, HOLDS>;

impl Holds {
    #[inline]
    pub(super) fn add(&mut self, from: u64, to: u64, actor: ActorId) {
        if to.saturating_sub(from) >= NAMED_NS {
            self.push(Hold { from, to, actor });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_keeps_the_latest_in_their_order() {
        let mut ring = Ring::<u32, 4>::default();
        assert!(ring.last_mut().is_none());
        for i in 0..11 {
            ring.push(i);
            assert_eq!(ring.last_mut().copied(), Some(i));
            let kept: Vec<u32> = ring.iter().copied().collect();
            assert_eq!(kept, (i.saturating_sub(3)..=i).collect::<Vec<_>>());
        }
        assert!(ring.is_full() && ring.items.capacity() == 4);
        for n in 0..9 {
            let all: Vec<u32> = (100..100 + n).collect();
            let (mut singly, mut at_once) = (ring.clone(), ring.clone());
            all.iter().for_each(|i| singly.push(*i));
            at_once.push_all(&all, |i| *i);
            singly.push(7);
            at_once.push(7);
            assert!(singly.iter().eq(at_once.iter()), "{n}");
        }
    }

    #[test]
    fn a_turn_tells_all_that_it_was_told() {
        let won = Acquisition {
            mode: LockMode::Shared,
            seq: 9,
            waited_ns: 5,
            contended: true,
            handoff_ns: Some(u64::MAX),
            overtaken: u64::MAX,
        };
        let mut history = History::default();
        history.acquired(7, &won, true);
        let turn = history.turns.iter().next().copied().unwrap();
        assert_eq!(
            (turn.at, turn.waited(), turn.held(), turn.mode(), turn.before()),
            (7, Some(5), None, LockMode::Shared, true)
        );
        assert_eq!((turn.handoff(), turn.overtaken()), (Some(u64::from(u32::MAX - 1)), u64::from(COUNT)));
        history.released(3);
        history.released(4);
        assert_eq!(history.turns.iter().next().unwrap().held(), Some(3), "only what is open is closed");
        assert_eq!(size_of::<Turn>(), 32);
    }

    #[test]
    fn what_repeats_is_told_once_with_its_count() {
        let mut history = History::default();
        for t in 0..100 {
            history.changed(t, Became::GaveUp { times: 1, waited_ns: t });
        }
        history.changed(100, Became::Continued);
        assert_eq!(history.changes().len(), 2);
        let first = *history.changes().next().unwrap();
        assert_eq!(first, Change { t: 99, what: Became::GaveUp { times: 100, waited_ns: 99 } });
        for t in 0..100 {
            history.changed(t, Became::Continued);
        }
        assert_eq!(history.changes().len(), CHANGES);
    }
}
