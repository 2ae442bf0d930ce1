//! From the kernel's records to what happened: pure, no clock, no I/O.

use super::change::{Change, LockKey, Range, TaskId};
use super::tracepoint::Record;
use crate::event::{LockKind, LockMode};

/// One row of `/proc/locks`, as much as the grammar asks of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotEntry {
    /// Which lock.
    pub lock: LockKey,
    /// Who, as the initial pid namespace numbers it: `pid` as the kernel lists it or, for an OFD lock, as its owner's
    /// descriptors tell; -1 where neither does. `tid` 0 where not known.
    pub task: TaskId,
    /// Which kind.
    pub kind: LockKind,
    /// Exclusive or shared.
    pub mode: LockMode,
    /// Which bytes; none for flock.
    pub range: Option<Range>,
    /// Whether it waits for the lock; else it holds it.
    pub waiting: bool,
}

/// What was read of the locks at some moment between two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Before the reading, in ns of `CLOCK_MONOTONIC`.
    pub began: u64,
    /// After it.
    pub ended: u64,
    /// What was found. An entry that is missing says nothing: reading is torn, and blind while a lock is handed over.
    pub entries: Vec<SnapshotEntry>,
}

/// The state of every lock seen, from the records on.
#[derive(Debug, Default)]
pub struct Grammar {}

impl Grammar {
    /// Takes the next record; those of all CPUs come in the order of their times.
    pub fn record(&mut self, record: &Record) {
        let _ = record;
    }

    /// All records before `now` were given.
    pub fn advance(&mut self, now: u64) {
        let _ = now;
    }

    /// A snapshot will be read from now on.
    pub fn snapshot_begins(&mut self) {}

    /// Takes what was read; to be told when [`advance`](Self::advance) has passed its end.
    pub fn snapshot(&mut self, snapshot: Snapshot) {
        let _ = snapshot;
    }

    /// So many records were lost before `now`.
    pub fn lost(&mut self, now: u64, count: u64) {
        let _ = (now, count);
    }

    /// Moves what is certain to `out`, in the order of time.
    pub fn drain(&mut self, out: &mut Vec<Change>) {
        let _ = out;
    }
}
