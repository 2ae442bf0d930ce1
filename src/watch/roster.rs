//! Numbers locks and tasks, and makes events of what was seen of them: who waited how long, whom it overtook, how the
//! lock was handed over. Pure: no clock, no I/O.
//!
//! A row of the screen is a task and the bytes that it locks, since one process may hold some bytes and wait for others.

use super::change::{Change, Deed, Family, FileId, LockKey, Range, TaskId};
use super::process::Mark;
use crate::event::{Acquisition, ActorId, Event, LockId, LockInfo, LockKind, LockMode, MAX_LOCKS, What};
use std::collections::HashMap;

mod naming;
mod telling;

use telling::{Telling, seen, take_cut};

/// So many locks are told apart; beyond that, numbers of locks that nobody uses any more are given anew.
const LOCKS: usize = 1 << 12;
/// The same for the rows of a lock, and for the rows of one task at one lock.
const ROWS: usize = 1 << 10;
const ROWS_OF_A_TASK: usize = 8;

/// What is known of a process that does not change while it lives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Which process it is, and which program it runs.
    pub mark: Mark,
    /// The earliest time at which it may have begun, in ns of `CLOCK_MONOTONIC`.
    pub began: u64,
    /// Its name.
    pub comm: String,
    /// Its command line.
    pub cmdline: String,
    /// Whose it is.
    pub user: String,
    /// Where it runs.
    pub container: Option<String>,
}

/// Tells what the seeing itself does not.
pub trait Informant {
    /// Who a process is; none where that is not known, or not yet.
    fn process(&mut self, pid: i32) -> Option<Known>;
}

#[derive(Clone, Copy, Debug)]
struct Wait {
    since: u64,
    seq_then: u64,
    mode: LockMode,
}

impl Wait {
    /// Whether who has the lock in this mode waits no more.
    fn ends_with(&self, mode: LockMode) -> bool {
        self.mode == mode || mode == LockMode::Exclusive
    }
}

#[derive(Clone, Copy, Debug)]
struct Hold {
    since: u64,
    seq: u64,
    mode: LockMode,
    range: Option<Range>,
    /// How many such locks the task has: shared ones, through several descriptors.
    count: u32,
}

/// A hold that has just been told to be over, some bytes of which may be kept.
#[derive(Clone, Copy, Debug)]
struct Cut {
    number: usize,
    index: usize,
    t: u64,
    hold: Hold,
    /// Where its end stands in the batch; as one event with its begin, if so.
    at: usize,
    cycle: bool,
}

/// A row: a task at a lock.
#[derive(Clone, Debug)]
struct Row {
    task: TaskId,
    kind: LockKind,
    /// As it was told.
    range: Option<Range>,
    /// Which process it is; none as long as that is not known.
    mark: Option<Mark>,
    /// When it asked for or got the lock last: so long it was there. A lock may be let go by others.
    acted: u64,
    wait: Option<Wait>,
    hold: Option<Hold>,
    used: u64,
    /// Its process has ended.
    over: bool,
    /// That has been so for a while: it is shown no more, and its number may be another's.
    removed: bool,
}

impl Row {
    fn is_idle(&self) -> bool {
        self.wait.is_none() && self.hold.is_none()
    }
}

#[derive(Debug)]
struct Lock {
    key: LockKey,
    name: Option<String>,
    /// When it was looked at last whether the name is right.
    named: u64,
    seq: u64,
    released: u64,
    rows: Vec<Row>,
    by_task: HashMap<TaskId, Vec<usize>>,
    used: u64,
}

impl Lock {
    fn new(key: LockKey, name: Option<String>, t: u64) -> Self {
        Self { key, name, named: t, seq: 0, released: 0, rows: Vec::new(), by_task: HashMap::new(), used: t }
    }

    fn of(&self, task: TaskId) -> impl Iterator<Item = (usize, &Row)> {
        self.by_task.get(&task).into_iter().flatten().filter_map(|i| Some((*i, self.rows.get(*i)?)))
    }

    /// The row that waits for this.
    fn waits(&self, task: TaskId, kind: LockKind, range: Option<Range>) -> Option<usize> {
        let same = |r: &Row| r.wait.is_some() && (r.kind, r.range) == (kind, range);
        self.of(task).find(|(_, r)| same(r)).map(|(i, _)| i)
    }

    /// The row that holds these bytes by a lock of this kind: a process may have a POSIX and an OFD lock on the same.
    fn holds(&self, task: TaskId, kind: LockKind, range: Option<Range>) -> Option<usize> {
        self.of(task).find(|(_, r)| r.kind == kind && r.hold.is_some_and(|h| h.range == range)).map(|(i, _)| i)
    }

    /// Whether it holds the very same already, and now once more.
    fn holds_again(&mut self, task: TaskId, kind: LockKind, range: Option<Range>, mode: LockMode) -> bool {
        let row = self.holds(task, kind, range).and_then(|index| self.rows.get_mut(index));
        let hold = row.and_then(|r| r.hold.as_mut()).filter(|h| h.mode == mode);
        hold.map(|h| h.count += u32::from(mode == LockMode::Shared)).is_some()
    }

    /// A row for a new request of `task`; `true` where it is another's or new, and has to be told.
    fn place(&mut self, task: TaskId, kind: LockKind, range: Option<Range>, t: u64) -> (usize, bool) {
        let same = self.of(task).find(|(_, r)| r.is_idle() && r.range == range && r.kind == kind && !r.over);
        if let Some((index, _)) = same {
            if let Some(row) = self.rows.get_mut(index) {
                row.acted = t;
            }
            return (index, false);
        }
        let oldest = |rows: &mut dyn Iterator<Item = (usize, &Row)>| {
            rows.filter(|(_, r)| r.is_idle()).min_by_key(|(_, r)| (!r.over, r.used)).map(|(i, _)| i)
        };
        let index = if self.of(task).count() >= ROWS_OF_A_TASK {
            oldest(&mut self.of(task))
        } else if self.rows.len() >= ROWS {
            oldest(&mut self.rows.iter().enumerate())
        } else {
            self.rows.iter().position(|r| r.removed)
        };
        let row = Row {
            task,
            kind,
            range,
            mark: None,
            acted: t,
            wait: None,
            hold: None,
            used: t,
            over: false,
            removed: false,
        };
        let index = index.unwrap_or(self.rows.len());
        match self.rows.get_mut(index) {
            Some(old) => {
                let former = std::mem::replace(old, row).task;
                if let Some(rows) = self.by_task.get_mut(&former) {
                    rows.retain(|i| *i != index);
                    if rows.is_empty() {
                        self.by_task.remove(&former);
                    }
                }
            }
            None => self.rows.push(row),
        }
        self.by_task.entry(task).or_default().push(index);
        (index, true)
    }
}

/// A row, as others are told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The lock's number.
    pub lock: LockId,
    /// The row's number, an actor.
    pub actor: ActorId,
    /// The lock.
    pub key: LockKey,
    /// The task.
    pub task: TaskId,
    /// The kind of its lock.
    pub kind: LockKind,
    /// Its bytes.
    pub range: Option<Range>,
    /// Whether it holds, and since when in ns since the run began.
    pub holds: Option<u64>,
    /// Whether it waits.
    pub waits: bool,
    /// Which process it is; none as long as that is not known.
    pub mark: Option<Mark>,
    /// When it asked for or got the lock last, in ns of `CLOCK_MONOTONIC`.
    pub acted: u64,
    /// Its process has ended.
    pub over: bool,
    /// When it did anything last, in ns since the run began.
    pub used: u64,
}

impl Entry {
    /// Whether the process that has the pid now, of this mark, is the one that was seen: it was there when it was.
    /// Where `mark` is not [`Entry::mark`], it is still to be told who it is.
    pub fn was_done_by(&self, mark: Mark) -> bool {
        mark.began() <= self.acted
    }
}

/// All locks and tasks seen so far.
#[derive(Debug, Default)]
pub struct Roster {
    /// `CLOCK_MONOTONIC` when the run began, in ns.
    epoch: u64,
    exact: bool,
    locks: Vec<Lock>,
    by_key: HashMap<LockKey, usize>,
    /// What the user calls a file.
    given: HashMap<FileId, String>,
    /// What others were found to be called.
    found: HashMap<FileId, String>,
    /// Locks that came without a name since this was asked last.
    nameless: Vec<LockId>,
    /// Where in the batch the acquisition of a row is that has not ended: lock, row, index.
    fresh: HashMap<(usize, usize), usize>,
    /// What ended last, at one time.
    cuts: Vec<Cut>,
    refused: u64,
}

impl Roster {
    /// Nobody yet; the run began at `epoch`, in ns of `CLOCK_MONOTONIC`. Where times are not `exact`, nothing is said of
    /// how long a handoff took: both of its ends were seen in one look.
    pub fn new(epoch: u64, exact: bool) -> Self {
        Self { epoch, exact, ..Self::default() }
    }

    /// Makes a lock known before anybody uses it.
    pub fn announce(&mut self, t: u64, key: LockKey, kind: LockKind, out: &mut Vec<Event>) {
        let t = t.saturating_sub(self.epoch);
        let _ = self.lock(t, key, kind, out);
    }

    /// How many changes were at locks beyond those that can be told apart.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Begins a new batch: what it holds may be changed until the next one begins.
    pub fn begin_batch(&mut self) {
        self.fresh.clear();
        self.cuts.clear();
    }

    /// Whether this row still holds what it held when it was listed.
    pub fn holds(&self, entry: &Entry) -> bool {
        let index = (entry.actor as usize).saturating_sub(1);
        let row = self.locks.get(entry.lock as usize).and_then(|l| l.rows.get(index));
        row.is_some_and(|r| r.task == entry.task && r.hold.map(|h| h.since) == entry.holds)
    }

    /// The kind of a lock: that of whoever used it last.
    pub fn kind(&self, id: LockId) -> LockKind {
        let rows = self.locks.get(id as usize).map(|l| l.rows.as_slice()).unwrap_or_default();
        rows.iter().max_by_key(|r| r.used).map_or(LockKind::Flock, |r| r.kind)
    }

    /// Takes in what was seen; gives what it means. `out` is the batch that was begun last.
    pub fn apply(&mut self, change: &Change, who: &mut dyn Informant, out: &mut Vec<Event>) {
        let t = change.t.saturating_sub(self.epoch);
        let Some(number) = self.lock(t, change.lock, change.kind, out) else {
            self.refused += 1;
            return;
        };
        let Some(lock) = self.locks.get_mut(number) else { return };
        lock.used = t;
        if !matches!(change.deed, Deed::Released | Deed::Kept { .. }) {
            self.cuts.clear();
        }
        let (task, kind, range) = (change.task, change.kind, change.range);
        let mut told = Telling { number, t, epoch: self.epoch, who, out };
        match change.deed {
            Deed::Waiting { before, mode } => {
                let index = lock.waits(task, kind, range).unwrap_or_else(|| told.place(lock, task, kind, range));
                let seq_then = lock.seq;
                let Some(row) = lock.rows.get_mut(index) else { return };
                row.wait.get_or_insert(Wait { since: t, seq_then, mode }).mode = mode;
                row.acted = t;
                let what = if before { What::Found { mode, holds: false } } else { What::Waiting { mode } };
                told.event(index, row, what);
            }
            Deed::Tried { mode, count } => {
                let index = lock.waits(task, kind, range).unwrap_or_else(|| told.place(lock, task, kind, range));
                let seq_then = lock.seq;
                let Some(row) = lock.rows.get_mut(index) else { return };
                row.wait.get_or_insert(Wait { since: t, seq_then, mode }).mode = mode;
                row.acted = t;
                told.event(index, row, What::Tried { mode, count });
            }
            Deed::GaveUp | Deed::Left => {
                let Some(index) = lock.waits(task, kind, range) else { return };
                let Some(row) = lock.rows.get_mut(index) else { return };
                let waited_ns = row.wait.take().map_or(0, |w| t.saturating_sub(w.since));
                let left = change.deed == Deed::Left;
                told.event(index, row, if left { What::Left { waited_ns } } else { What::GaveUp { waited_ns } });
            }
            Deed::Holding { mode } => {
                if lock.holds_again(task, kind, range, mode) {
                    return;
                }
                let index = told.place(lock, task, kind, range);
                let Some(row) = lock.rows.get_mut(index) else { return };
                row.hold = Some(Hold { since: t, seq: 0, mode, range, count: 1 });
                told.event(index, row, What::Found { mode, holds: true });
            }
            Deed::Kept { mode, since } => {
                if let Some(cut) = take_cut(&mut self.cuts, lock, &told, change) {
                    told.keep(lock, &cut, range, &mut self.fresh);
                    return;
                }
                // What is left beside that: another row, since a row has one range.
                let same = |e: &&Row| {
                    e.hold.is_some_and(|h| {
                        h.mode == mode && since.is_none_or(|s| h.since == s.saturating_sub(self.epoch))
                    })
                };
                let seq = lock.of(task).map(|(_, r)| r).find(same).and_then(|r| r.hold).map_or(0, |h| h.seq);
                let since = since.map_or(t, |since| since.saturating_sub(self.epoch));
                let index = told.place(lock, task, kind, range);
                let Some(row) = lock.rows.get_mut(index) else { return };
                row.hold = Some(Hold { since, seq, mode, range, count: 1 });
                told.event(index, row, What::Found { mode, holds: true });
            }
            Deed::Acquired { mode, contended, asked } => {
                // Between its tries for some bytes it may get others at once, or another of its threads the same in the
                // other mode: that ends no wait.
                let ends = |r: &Row| contended || r.wait.is_some_and(|wait| wait.ends_with(mode));
                let waits = lock.waits(task, kind, if contended { asked } else { range });
                let waits = waits.filter(|index| lock.rows.get(*index).is_some_and(ends));
                if waits.is_none() && lock.holds_again(task, kind, range, mode) {
                    return;
                }
                if let Some(index) = lock.holds(task, kind, range) {
                    told.release(lock, index, &mut self.fresh);
                }
                let index = waits.unwrap_or_else(|| told.place(lock, task, kind, range));
                lock.seq += 1;
                let (seq, released) = (lock.seq, lock.released);
                let Some(row) = lock.rows.get_mut(index) else { return };
                let wait = row.wait.take();
                row.acted = t;
                if row.range != range {
                    told.has_other_bytes(index, row, range);
                }
                let acquired = Acquisition {
                    mode,
                    seq,
                    waited_ns: wait.map_or(0, |w| t.saturating_sub(w.since)),
                    contended: contended || wait.is_some(),
                    handoff_ns: wait.filter(|w| self.exact && released > w.since).map(|_| t.saturating_sub(released)),
                    overtaken: wait.map_or(0, |w| seq.saturating_sub(w.seq_then + 1)),
                };
                row.hold = Some(Hold { since: t, seq, mode, range, count: 1 });
                if !acquired.contended {
                    self.fresh.insert((number, index), told.out.len());
                }
                told.event(index, row, What::Acquired(acquired));
            }
            Deed::Released => {
                let Some(index) = lock.holds(task, kind, range) else { return };
                if let Some(hold) = lock.rows.get_mut(index).and_then(|r| r.hold.as_mut())
                    && hold.count > 1
                {
                    hold.count -= 1;
                    return;
                }
                self.cuts.retain(|cut| cut.t == t);
                self.cuts.extend(told.release(lock, index, &mut self.fresh));
            }
        }
    }

    /// The number of a lock; a new one is announced. None where there are too many.
    fn lock(&mut self, t: u64, key: LockKey, kind: LockKind, out: &mut Vec<Event>) -> Option<usize> {
        if let Some(number) = self.by_key.get(&key) {
            return Some(*number);
        }
        // Announced before anybody used it, as it turns out of the wrong family: it is this one.
        if let Some(number) = self.unused_sibling(key) {
            let lock = self.locks.get_mut(number)?;
            self.by_key.remove(&lock.key);
            lock.key = key;
            self.by_key.insert(key, number);
            out.push(self.announcement(t, number, kind)?);
            return Some(number);
        }
        let name = self.given.get(&key.file).or_else(|| self.found.get(&key.file)).cloned();
        let is_named = name.is_some();
        let number = if self.locks.len() < LOCKS {
            self.locks.push(Lock::new(key, name, t));
            self.locks.len() - 1
        } else {
            let unused = |l: &&(usize, &Lock)| l.1.rows.iter().all(Row::is_idle);
            let rows: Vec<_> = self.locks.iter().enumerate().collect();
            let (number, oldest) = rows.iter().filter(unused).min_by_key(|(_, l)| l.used)?;
            let (number, former) = (*number, oldest.key);
            self.by_key.remove(&former);
            // The other lock of the file may go by it still.
            if [Family::Flock, Family::Record]
                .iter()
                .all(|f| !self.by_key.contains_key(&LockKey { family: *f, ..former }))
            {
                self.found.remove(&former.file);
            }
            *self.locks.get_mut(number)? = Lock::new(key, name, t);
            self.fresh.retain(|(lock, _), _| *lock != number);
            number
        };
        debug_assert!(number < MAX_LOCKS as usize);
        self.by_key.insert(key, number);
        if !is_named {
            self.nameless.push(number as LockId);
        }
        out.push(self.announcement(t, number, kind)?);
        Some(number)
    }

    fn announcement(&self, t: u64, number: usize, kind: LockKind) -> Option<Event> {
        let lock = self.locks.get(number)?;
        let file = lock.key.file;
        let name = lock.name.clone().unwrap_or_else(|| format!("inode {} on {}", file.inode, file.device()));
        let info = LockInfo { name, kind, file: Some((file.device(), file.inode)) };
        Some(Event { t, lock: number as LockId, actor: 0, pid: 0, what: What::Announced(Box::new(info)) })
    }

    /// Tells who a row is, which was not known when it appeared or has changed since. One that began after the row did
    /// anything is another.
    pub fn name_row(&mut self, t: u64, entry: &Entry, known: Known, out: &mut Vec<Event>) {
        let t = t.saturating_sub(self.epoch);
        let index = (entry.actor as usize).saturating_sub(1);
        let Some(row) = self.locks.get_mut(entry.lock as usize).and_then(|l| l.rows.get_mut(index)) else { return };
        if row.task != entry.task || row.range != entry.range || row.mark == Some(known.mark) {
            return;
        }
        if known.began > row.acted.saturating_add(self.epoch) {
            return;
        }
        row.mark = Some(known.mark);
        out.push(seen(t, entry.lock as usize, index, row, known));
    }

    /// The process of a row has ended; the row's number may go to another.
    pub fn ended(&mut self, t: u64, entry: &Entry, signal: Option<i32>, out: &mut Vec<Event>) {
        let t = t.saturating_sub(self.epoch);
        let index = (entry.actor as usize).saturating_sub(1);
        let Some(row) = self.locks.get_mut(entry.lock as usize).and_then(|l| l.rows.get_mut(index)) else { return };
        if row.task != entry.task || row.over || !row.is_idle() {
            return;
        }
        row.over = true;
        row.used = t;
        let what = What::Exited { code: None, signal };
        out.push(Event { t, lock: entry.lock, actor: entry.actor, pid: row.task.pid, what });
    }

    /// Those whose process ended before `t` are shown no more.
    pub fn remove_ended(&mut self, t: u64, now: u64, out: &mut Vec<Event>) {
        let (t, now) = (t.saturating_sub(self.epoch), now.saturating_sub(self.epoch));
        for (number, lock) in self.locks.iter_mut().enumerate() {
            for (index, row) in lock.rows.iter_mut().enumerate() {
                if row.over && !row.removed && row.is_idle() && row.used < t {
                    row.removed = true;
                    let (lock, actor) = (number as LockId, index as ActorId + 1);
                    out.push(Event { t: now, lock, actor, pid: row.task.pid, what: What::Removed });
                }
            }
        }
    }

    /// Every row.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        let epoch = self.epoch;
        self.locks.iter().enumerate().flat_map(move |(number, lock)| {
            lock.rows.iter().enumerate().map(move |(index, row)| Entry {
                lock: number as LockId,
                actor: index as ActorId + 1,
                key: lock.key,
                task: row.task,
                kind: row.kind,
                range: row.range,
                holds: row.hold.map(|h| h.since),
                waits: row.wait.is_some(),
                mark: row.mark,
                acted: row.acted.saturating_add(epoch),
                over: row.over,
                used: row.used,
            })
        })
    }

    /// The number of a lock, if it is known.
    pub fn number(&self, key: LockKey) -> Option<LockId> {
        self.by_key.get(&key).map(|n| *n as LockId)
    }
}

#[cfg(test)]
mod tests;
