//! One reading of `/proc/locks` after the other, made into changes. No clock, no I/O.
//!
//! A reading is not the whole truth: while a lock is handed over it is in no list, and those that wait for it hang on
//! the request of the one that was woken, so that neither holder nor waiters are shown; and a list of more than a
//! page is torn (see [`super::procfs`]). So nobody leaves because one reading lacks him. Who is missing
//!
//! - as a holder has let go when another one's lock excludes his, when he waits for what he held (flock(2)
//!   drops the old lock to convert it), or when two readings in a row lack him;
//! - as a waiter has the lock when he is seen to hold it; else he left when two readings in a row lack him, and he
//!   gave up if the lock that kept him waiting was held on by the same task all the while.
//!
//! A torn reading counts half. The time of such a change is that of the first reading that lacked him. Changes come in
//! the order of their times, over all calls: what is known is held back while something earlier may turn up.

use super::change::{Change, Deed, Family, FileId, LockKey, Range, TaskId};
use super::ofd::Candidates;
pub use super::ofd::Tasks;
use super::procfs::{Row, Snapshot};
use crate::event::{LockKind, LockMode};
use std::collections::{HashMap, HashSet};

/// How much must be lacking: two whole readings, or four torn ones.
const PATIENCE: u8 = 4;

/// Locks of one file by more tasks than this are not compared with each other in a torn reading.
const COMPARED: usize = 256;

/// Whose request or lock it is, and for what: told apart by nothing else in `/proc/locks`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Claim {
    lock: LockKey,
    pid: i32,
    kind: LockKind,
    range: Range,
}

impl Claim {
    /// Its bytes, as they are told; none for flock.
    fn bytes(&self) -> Option<Range> {
        (self.kind != LockKind::Flock).then_some(self.range)
    }

    /// Whether both are of one task, of one kind, on one lock.
    fn same_task(&self, other: &Self) -> bool {
        (self.lock, self.pid, self.kind) == (other.lock, other.pid, other.kind)
    }
}

/// What is known of a claim.
#[derive(Clone, Copy, Debug)]
struct Known {
    mode: LockMode,
    /// When it was first seen.
    since: u64,
    /// The number of the reading that had it last.
    reading: u64,
    /// Where the last readings lacked it: since when, and how much.
    missing: Option<(u64, u8)>,
}

/// A claim in the present reading.
#[derive(Clone, Copy, Debug)]
struct Shown {
    claim: Claim,
    mode: LockMode,
}

impl Shown {
    /// Whether one of the two keeps the other from being granted. One task's own record locks never do.
    fn excludes(&self, claim: &Claim, mode: LockMode) -> bool {
        let own = self.claim.lock.family == Family::Record && self.claim.same_task(claim);
        !own && (self.mode == LockMode::Exclusive || mode == LockMode::Exclusive)
            && self.claim.range.overlaps(claim.range)
    }
}

/// Order among changes of one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    Release,
    Leave,
    Acquire,
    /// A range that the same task's new one replaces: so that it never holds nothing.
    Replaced,
    Wait,
}

/// Makes changes of readings.
#[derive(Debug, Default)]
pub struct Sampler {
    wanted: Option<HashSet<LockKey>>,
    /// Locks that are looked at for the first time.
    fresh: HashSet<LockKey>,
    reading: u64,
    held: HashMap<Claim, Known>,
    waiting: HashMap<Claim, Known>,
    /// What may not be told yet.
    found: Vec<(Turn, Change)>,
}

impl Sampler {
    /// Looks at some locks only, or at all of them.
    pub fn new(wanted: Option<HashSet<LockKey>>) -> Self {
        Self { wanted, ..Self::default() }
    }

    /// Whether it looks at this lock.
    pub fn wants(&self, lock: LockKey) -> bool {
        self.wanted.as_ref().is_none_or(|w| w.contains(&lock))
    }

    /// Looks at other locks from now on. What is held on a lock that was not looked at before is told as held before;
    /// of those that are looked at no more, nothing more is told.
    pub fn look_at(&mut self, wanted: Option<HashSet<LockKey>>) {
        if let (Some(new), Some(old)) = (&wanted, &self.wanted) {
            self.fresh.extend(new.difference(old));
        }
        let keep = |claim: &Claim| wanted.as_ref().is_none_or(|w| w.contains(&claim.lock));
        self.held.retain(|claim, _| keep(claim));
        self.waiting.retain(|claim, _| keep(claim));
        self.wanted = wanted;
    }

    /// Takes in a reading of the time `t` (ns of `CLOCK_MONOTONIC`, not before that of the last one). `ask` is asked
    /// once for each file that has open-file-description locks.
    pub fn fold(&mut self, t: u64, snapshot: &Snapshot, mut ask: impl FnMut(FileId) -> Tasks) -> Vec<Change> {
        self.reading += 1;
        let (mut holders, waiters) = self.shown(&snapshot.rows, &mut ask);
        if snapshot.approximate {
            leave_out_overtaken(&mut holders);
        }
        let mut by_lock: HashMap<LockKey, Vec<Shown>> = HashMap::new();
        for shown in &holders {
            by_lock.entry(shown.claim.lock).or_default().push(*shown);
        }
        // A process whose threads wait for both modes is one waiter, and goes on waiting as it did.
        let reading = self.reading;
        for shown in &waiters {
            if let Some(known) = self.waiting.get_mut(&shown.claim).filter(|known| known.mode == shown.mode) {
                known.reading = reading;
                known.missing = None;
            }
        }
        for shown in &waiters {
            self.see_waiting(t, *shown);
        }
        for shown in &holders {
            self.see_held(t, *shown);
        }
        let weight = if snapshot.approximate { 1 } else { 2 };
        self.miss_held(t, weight, &by_lock);
        self.miss_waiting(t, weight, &by_lock);
        self.fresh.clear();
        let pending = self.held.values().chain(self.waiting.values()).filter_map(|k| k.missing);
        self.tell(pending.map(|m| m.0).min().unwrap_or(u64::MAX))
    }

    /// What was held back; for the end.
    pub fn finish(&mut self) -> Vec<Change> {
        self.tell(u64::MAX)
    }

    /// The claims of a reading that are of interest, each with a pid where one can be found.
    fn shown(&self, rows: &[Row], ask: &mut impl FnMut(FileId) -> Tasks) -> (Vec<Shown>, Vec<Shown>) {
        let (mut holders, mut waiters) = (Vec::new(), Vec::new());
        let mut answers: HashMap<FileId, Candidates> = HashMap::new();
        for row in rows {
            let (Some(lock), Some(kind), Some(mode)) = (row.key(), row.kind.lock(), row.mode) else { continue };
            if !self.wants(lock) {
                continue;
            }
            let mut claim = Claim { lock, pid: row.pid, kind, range: row.range };
            if kind == LockKind::Ofd {
                let of_file = answers.entry(lock.file).or_insert_with(|| Candidates::of(&ask(lock.file)));
                let known = if row.waits() { &self.waiting } else { &self.held };
                let last = |pid: i32| known.contains_key(&Claim { pid, ..claim });
                claim.pid = of_file.take(row.waits(), (lock.file, row.range, mode), last).unwrap_or(row.pid);
            }
            if row.waits() { &mut waiters } else { &mut holders }.push(Shown { claim, mode });
        }
        (holders, waiters)
    }

    /// Whether its lock is looked at for the first time.
    fn is_before(&self, claim: &Claim) -> bool {
        self.reading == 1 || self.fresh.contains(&claim.lock)
    }

    fn see_waiting(&mut self, t: u64, shown: Shown) {
        let Shown { claim, mode } = shown;
        let new = Known { mode, since: t, reading: self.reading, missing: None };
        let before = self.is_before(&claim);
        match self.waiting.get_mut(&claim) {
            Some(known) if known.reading == self.reading => return,
            // Another request than the one that was seen last.
            Some(known) => {
                let left = known.missing.map_or(t, |m| m.0);
                *known = new;
                self.find(Turn::Leave, left, &claim, Deed::Left);
            }
            None => drop(self.waiting.insert(claim, new)),
        }
        self.find(Turn::Wait, t, &claim, Deed::Waiting { mode, before });
    }

    fn see_held(&mut self, t: u64, shown: Shown) {
        let Shown { claim, mode } = shown;
        if self.held.get(&claim).is_some_and(|known| known.reading == self.reading) {
            return;
        }
        let new = Known { mode, since: t, reading: self.reading, missing: None };
        let before = self.held.get(&claim).copied();
        let same = before.is_some_and(|known| known.mode == mode);
        // A reader that goes on reading says nothing about another thread's wait.
        let goes_on_reading = same && mode == LockMode::Shared;
        let waited = if goes_on_reading { None } else { self.granted(&claim, mode) };
        if let Some(known) = before.filter(|_| same) {
            if waited.is_none() {
                self.held.insert(claim, Known { since: known.since, ..new });
                return;
            }
            // Another of its threads waited and waits no more: the lock went from the one to the other.
            self.find(Turn::Release, known.missing.map_or(t, |m| m.0), &claim, Deed::Released);
        }
        self.held.insert(claim, new);
        let first = before.is_none() && self.is_before(&claim);
        let deed = if first { Deed::Holding { mode } } else { acquired(mode, waited) };
        self.find(Turn::Acquire, t, &claim, deed);
    }

    /// The wait of the same task that ended with this, if one did; it is forgotten then.
    fn granted(&mut self, claim: &Claim, mode: LockMode) -> Option<Claim> {
        let reading = self.reading;
        let over = |known: &Known| known.reading != reading && known.mode == mode;
        if self.waiting.get(claim).is_some_and(over) {
            self.waiting.remove(claim);
            return Some(*claim);
        }
        if claim.lock.family == Family::Flock || self.held.contains_key(claim) {
            return None;
        }
        // Adjacent ranges of one task become one (fcntl(2)): a part of it was waited for.
        let waits = self.waiting.iter().filter(|(w, k)| over(k) && w.same_task(claim));
        let part = waits.map(|(w, _)| *w).filter(|w| covers(claim.range, w.range)).min_by_key(|w| w.range);
        self.waiting.remove(&part?);
        part
    }

    /// Goes through the holders that the reading lacks.
    fn miss_held(&mut self, t: u64, weight: u8, by_lock: &HashMap<LockKey, Vec<Shown>>) {
        let (reading, found) = (self.reading, &mut self.found);
        let waiting = &self.waiting;
        self.held.retain(|claim, known| {
            if known.reading == reading {
                return true;
            }
            let (since, lacking) = known.missing.map_or((t, weight), |(since, w)| (since, w + weight));
            known.missing = Some((since, lacking));
            let others = by_lock.get(&claim.lock).map_or(&[][..], Vec::as_slice);
            let replaced = |s: &Shown| s.claim.same_task(claim) && s.claim.range.overlaps(claim.range);
            let turn = if others.iter().any(replaced) {
                Turn::Replaced
            } else if lacking >= PATIENCE
                || others.iter().any(|s| s.excludes(claim, known.mode))
                || waiting.get(claim).is_some_and(|w| w.reading == reading)
            {
                Turn::Release
            } else {
                return true;
            };
            found.push((turn, change(since, claim, Deed::Released)));
            false
        });
    }

    /// Goes through the waiters that the reading lacks.
    fn miss_waiting(&mut self, t: u64, weight: u8, by_lock: &HashMap<LockKey, Vec<Shown>>) {
        let (reading, found, held) = (self.reading, &mut self.found, &self.held);
        // Whether a lock that keeps it waiting has been held on since before it was gone.
        let kept_out = |claim: &Claim, mode, gone: u64| {
            let now = by_lock.get(&claim.lock).map_or(&[][..], Vec::as_slice);
            let throughout = |s: &Shown| held.get(&s.claim).is_some_and(|known| known.since < gone);
            now.iter().any(|s| s.excludes(claim, mode) && throughout(s))
        };
        self.waiting.retain(|claim, known| {
            if known.reading == reading {
                return true;
            }
            let (since, lacking) = known.missing.map_or((t, weight), |(since, w)| (since, w + weight));
            known.missing = Some((since, lacking));
            if lacking < PATIENCE {
                return true;
            }
            let deed = if kept_out(claim, known.mode, since) { Deed::GaveUp } else { Deed::Left };
            found.push((Turn::Leave, change(since, claim, deed)));
            false
        });
    }

    fn find(&mut self, turn: Turn, t: u64, claim: &Claim, deed: Deed) {
        self.found.push((turn, change(t, claim, deed)));
    }

    /// What happened up to `until`; nothing earlier can turn up any more.
    fn tell(&mut self, until: u64) -> Vec<Change> {
        let place = |(turn, c): &(Turn, Change)| {
            // Holders and waiters come in the order of the list; those that leave have none.
            let tie = if matches!(turn, Turn::Acquire | Turn::Wait) { None } else { Some((c.lock, c.task, c.range)) };
            (c.t, *turn, tie)
        };
        self.found.sort_by_key(place);
        let ready = self.found.partition_point(|(_, c)| c.t <= until);
        self.found.drain(..ready).map(|(_, change)| change).collect()
    }
}

fn change(t: u64, claim: &Claim, deed: Deed) -> Change {
    Change {
        t,
        lock: claim.lock,
        task: TaskId { pid: claim.pid, tid: 0 },
        kind: claim.kind,
        range: claim.bytes(),
        deed,
    }
}

/// It has the lock, and what it waited for, if it did.
fn acquired(mode: LockMode, waited: Option<Claim>) -> Deed {
    Deed::Acquired { mode, contended: waited.is_some(), asked: waited.and_then(|claim| claim.bytes()) }
}

fn covers(all: Range, part: Range) -> bool {
    all.start <= part.start && all.end.is_none_or(|end| part.end.is_some_and(|e| e <= end))
}

/// Two holders that exclude each other were seen at different moments: the later one in the list was seen later.
fn leave_out_overtaken(holders: &mut Vec<Shown>) {
    let mut later: HashMap<LockKey, Vec<Shown>> = HashMap::new();
    let mut kept: Vec<Shown> = Vec::with_capacity(holders.len());
    for shown in holders.drain(..).rev() {
        let seen = later.entry(shown.claim.lock).or_default();
        let overtakes = |s: &Shown| s.excludes(&shown.claim, shown.mode) || s.claim == shown.claim;
        if seen.iter().take(COMPARED).any(overtakes) {
            continue;
        }
        seen.push(shown);
        kept.push(shown);
    }
    kept.reverse();
    *holders = kept;
}

#[cfg(test)]
mod tests;
