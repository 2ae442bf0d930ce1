//! What was there before watching began: snapshots, and how their entries find their owners.
//!
//! A snapshot lists processes, a record has an owner: a kernel address. An entry is told when no record explains it, with
//! its owner unknown, and bound at the first record that can only be its owner's. Where a record could be of another
//! descriptor of the same process, the binding is a guess and the next snapshot, asked for at once, puts it right.
//! Rows that are alike in all count as one: a torn reading has doubles.

use super::fast::FastMap;
use super::holds::{Hold, LockState, UNKNOWN};
use super::out::Out;
use super::span::Span;
use super::tries::Ask;
use super::{Grammar, Snapshot, SnapshotEntry, WINDOW, Wait};
use crate::event::LockKind;
use crate::event::LockMode::{self, Exclusive, Shared};
use crate::watch::change::{Deed, LockKey, TaskId};
use crate::watch::tracepoint::{DEFERRED, FL_CLOSE, FL_OFDLCK, Request, UNLOCK};
use std::collections::VecDeque;

/// So many snapshots in a row without it end what no record ended.
const MISSES: u32 = 3;
/// The same for what may have ended while records were lost.
const MISSES_AFTER_LOSS: u32 = 2;
/// The same for what an unlock may have ended, in torn snapshots; of the others one will do.
const MISSES_IN_DOUBT: u32 = 2;

/// Snapshots under way, and who had a record meanwhile.
#[derive(Debug, Default)]
pub(super) struct Attach {
    /// Begun and not yet given.
    reading: usize,
    given: VecDeque<Snapshot>,
    /// When lock and process last had a record, since the first of those began.
    touched: FastMap<(LockKey, i32), u64>,
    doubt: bool,
    /// For waits of threads that are not known.
    stand_in: i32,
}

impl Attach {
    /// A snapshot soon would be good.
    pub fn doubt(&mut self) {
        self.doubt = true;
    }

    pub fn touch(&mut self, now: u64, lock: LockKey, pid: i32) {
        if self.reading > 0 || !self.given.is_empty() {
            self.touched.insert((lock, pid), now);
        }
    }

    fn is_touched(&self, lock: LockKey, pid: i32, since: u64) -> bool {
        if pid == -1 {
            return self.touched.iter().any(|((l, _), &t)| *l == lock && t >= since);
        }
        self.touched.get(&(lock, pid)).is_some_and(|&t| t >= since)
    }

    /// If the request can be of the owner of an unknown hold, it is. A close is of whichever descriptor, and the holder may
    /// have others; whoever inherited the holder's has another pid: then a snapshot has to tell, which is asked for.
    pub fn bind_hold(&mut self, t: u64, lock: &mut LockState, ask: &Ask, request: &Request, out: &mut Out) {
        if lock.knows(request.owner) {
            return;
        }
        let (close, unlock) = (request.flags & FL_CLOSE != 0, request.op == UNLOCK);
        let pid = request.pid;
        // A close tells of the process's record locks first, then of the description's.
        let of_description = ask.kind == LockKind::Flock
            || request.flags & FL_OFDLCK != 0
            || close && lock.last_close.0 == ask.task.tid && lock.last_close.1 != request.owner;
        if !of_description {
            let bound = lock.bind(request.owner, |hold| hold.kind == LockKind::Posix && hold.task.pid == pid);
            // The close of any descriptor drops them all.
            self.doubt |= bound && close;
            return;
        }
        let own = |hold: &Hold| match ask.kind {
            LockKind::Flock => hold.task.pid == pid,
            _ => is_ofd(hold, pid, ask.span),
        };
        if request.ret == 0 && !unlock {
            // What it let go of before is not what it has now.
            lock.end(t, |owner, hold| owner == UNKNOWN && hold.doubted.is_some() && own(hold), out);
        }
        let may = |mode: LockMode| match (request.ret, mode) {
            _ if ask.kind != LockKind::Flock || unlock => true,
            (0, _) => true,
            // Who has it exclusively is never put off; it is another descriptor of the same process.
            (_, Exclusive) => false,
            (_, Shared) => ask.mode == Exclusive,
        };
        let bound = !close && lock.bind(request.owner, |hold| own(hold) && may(hold.mode));
        if bound {
            // All but these may have been of another descriptor.
            self.doubt |= request.ret != 0 || unlock || ask.mode == Shared;
        } else if unlock && lock.stranger != request.owner {
            let inherited = |hold: &Hold| hold.kind != LockKind::Posix && hold.span.overlaps(ask.span);
            self.doubt |= lock.doubt(t, own) || lock.doubt(t, inherited);
        } else if request.ret != 0 {
            lock.stranger = request.owner;
        }
    }
}

fn is_ofd(hold: &Hold, pid: i32, span: Span) -> bool {
    hold.kind == LockKind::Ofd && (hold.task.pid == pid || hold.task.pid == -1) && hold.span.overlaps(span)
}

impl Grammar {
    /// A snapshot is about to be read; [`snapshot`](Self::snapshot) follows.
    pub fn snapshot_begins(&mut self) {
        self.attach.reading += 1;
        self.attach.doubt = false;
    }

    /// Takes what was read; it is told when [`advance`](Self::advance) has passed its end.
    pub fn snapshot(&mut self, snapshot: Snapshot) {
        self.attach.reading = self.attach.reading.saturating_sub(1);
        self.attach.given.push_back(snapshot);
    }

    /// Whether a snapshot soon would settle something.
    pub fn wants_snapshot(&self) -> bool {
        self.attach.doubt
    }

    pub(super) fn apply_snapshots(&mut self) {
        while let Some(first) = self.attach.given.front()
            && first.ended.saturating_add(WINDOW) <= self.now
            && let Some(snapshot) = self.attach.given.pop_front()
        {
            if let Some(entries) = &snapshot.entries {
                self.apply(&snapshot, entries);
            }
        }
        if self.attach.reading == 0 && self.attach.given.is_empty() && !self.attach.touched.is_empty() {
            self.attach.touched.clear();
        }
    }

    fn apply(&mut self, snapshot: &Snapshot, entries: &[SnapshotEntry]) {
        let since = snapshot.began.saturating_sub(WINDOW);
        let mut entries: Vec<SnapshotEntry> = entries
            .iter()
            .copied()
            // A process that cannot be seen from here has no number to go by.
            .filter(|e| e.task.pid != 0 && !self.attach.is_touched(e.lock, e.task.pid, since))
            .collect();
        // Holds first: they may end others that stand in the way.
        entries.sort_by_key(|entry| entry.waiting);
        self.compare(snapshot, &entries);
        for entry in &entries {
            match (entry.waiting, entry.kind) {
                // What is only supposed keeps a wait that is known, but is none where the records know better.
                (true, _) if entry.supposed => {}
                (true, _) => self.found_wait(entry),
                (false, LockKind::Flock) => self.found_whole(entry, since),
                (false, _) => self.found_bytes(entry, since),
            }
        }
    }

    /// What the model has and the snapshot has not, though nothing happened meanwhile.
    fn compare(&mut self, snapshot: &Snapshot, entries: &[SnapshotEntry]) {
        let (now, since, lost_at) = (self.now, snapshot.began.saturating_sub(WINDOW), self.lost_at);
        let limit = |seen: u64| if seen < lost_at { MISSES_AFTER_LOSS } else { MISSES };
        let enough = |hold: &Hold| match hold.doubted {
            Some(at) if at <= snapshot.began => hold.misses >= if snapshot.torn { MISSES_IN_DOUBT } else { 1 },
            _ => hold.misses >= limit(hold.seen),
        };
        let mut doubt = false;
        let mut listed: FastMap<LockKey, Vec<&SnapshotEntry>> = FastMap::default();
        for entry in entries {
            listed.entry(entry.lock).or_default().push(entry);
        }
        // Whose an open-file-description lock is was inferred: another may have its descriptor, too. Without a loss it is
        // still of whoever acquired it.
        let nameless = |e: &SnapshotEntry, seen: u64| e.task.pid == -1 || e.kind == LockKind::Ofd && seen >= lost_at;
        let nothing = Vec::new();
        for (key, lock) in &mut self.locks {
            let of_lock = listed.get(key).unwrap_or(&nothing);
            let mut gone = false;
            for (_, hold) in lock.holds_mut() {
                if hold.seen >= since || self.attach.is_touched(*key, hold.task.pid, since) {
                    doubt |= hold.doubted.is_some();
                    continue;
                }
                let is_there = |e: &&&SnapshotEntry| {
                    !e.waiting
                        && e.mode == hold.mode
                        && (e.task.pid == hold.task.pid || hold.kind == LockKind::Ofd && nameless(e, hold.seen))
                        && Span::of(e.range).overlaps(hold.span)
                };
                if of_lock.iter().any(|e| is_there(&e)) {
                    hold.misses = 0;
                    hold.seen = hold.seen.max(snapshot.began);
                    hold.doubted = hold.doubted.filter(|at| *at > snapshot.began);
                } else {
                    hold.misses += 1;
                    gone |= enough(hold);
                }
                doubt |= hold.doubted.is_some() && !enough(hold);
            }
            if gone {
                lock.end(now, |_, hold| enough(hold), &mut self.out);
            }
        }
        self.attach.doubt |= doubt;
        let mut gone = Vec::new();
        for (&tid, wait) in &mut self.waits {
            let (key, pid) = (wait.ask.lock, wait.ask.task.pid);
            // While a lock is handed over nobody waits for it as far as can be seen, so any record of it excuses.
            if wait.leaving || wait.seen >= since || self.attach.is_touched(key, -1, since) {
                continue;
            }
            // Whoever was seen to begin is seen to end; while it is stopped it is in no queue.
            if wait.owner != UNKNOWN && wait.seen >= lost_at {
                continue;
            }
            let is_there = |e: &&SnapshotEntry| {
                e.waiting
                    && e.mode == wait.ask.mode
                    && (e.task.pid == pid || e.task.pid == -1 && wait.ask.kind == LockKind::Ofd)
            };
            if listed.get(&key).unwrap_or(&nothing).iter().any(is_there) {
                wait.misses = 0;
                wait.seen = wait.seen.max(snapshot.began);
            } else {
                wait.misses += 1;
                if wait.misses >= limit(wait.seen) {
                    gone.push(tid);
                }
            }
        }
        gone.sort_unstable();
        gone.into_iter().for_each(|tid| self.end_wait(tid));
    }

    fn found_wait(&mut self, entry: &SnapshotEntry) {
        let (TaskId { pid, tid }, span) = (entry.task, Span::of(entry.range));
        let same = |wait: &Wait| {
            wait.ask.lock == entry.lock
                && wait.ask.mode == entry.mode
                && wait.ask.kind == entry.kind
                && (wait.ask.task.pid == pid && (tid == 0 || wait.ask.task.tid < 0 || wait.ask.task.tid == tid)
                    || pid == -1)
                && wait.ask.span == span
        };
        if self.waits.values().any(same) {
            return;
        }
        let mut task = entry.task;
        if task.tid <= 0 || self.waits.contains_key(&task.tid) {
            // What is told of waits has to be told apart.
            self.attach.stand_in -= 1;
            task.tid = self.attach.stand_in;
        }
        let ask = Ask { lock: entry.lock, task, kind: entry.kind, mode: entry.mode, span };
        self.wait_from_before(ask, UNKNOWN);
    }

    fn wait_from_before(&mut self, ask: Ask, owner: u64) {
        self.tries.waits(self.now, &ask, &mut self.out);
        self.out.tell(ask.change(self.now, Deed::Waiting { mode: ask.mode, before: true }));
        self.waits.insert(ask.task.tid, Wait { ask, owner, leaving: false, seen: self.now, misses: 0 });
        self.unknown_waits += usize::from(owner == UNKNOWN);
    }

    fn found_whole(&mut self, entry: &SnapshotEntry, since: u64) {
        if let Some(lock) = self.locks.get(&entry.lock) {
            let same = |hold: &Hold| hold.task.pid == entry.task.pid && hold.mode == entry.mode;
            if lock.holds().any(|(_, hold)| same(hold)) {
                return;
            }
        }
        self.found_hold(entry, Span::WHOLE, since);
    }

    fn found_bytes(&mut self, entry: &SnapshotEntry, since: u64) {
        let mut covered = Vec::new();
        if let Some(lock) = self.locks.get(&entry.lock) {
            let same = |hold: &Hold| {
                hold.kind == entry.kind
                    && hold.mode == entry.mode
                    && (hold.task.pid == entry.task.pid || entry.task.pid == -1 || hold.task.pid == -1)
            };
            covered.extend(lock.holds().filter(|(_, hold)| same(hold)).map(|(_, hold)| hold.span));
        }
        for span in Span::of(entry.range).without_all(covered) {
            self.found_hold(entry, span, since);
        }
    }

    /// Held already when watching began, or since records were lost.
    fn found_hold(&mut self, entry: &SnapshotEntry, span: Span, since: u64) {
        let attach = &self.attach;
        let lock = self.locks.entry(entry.lock).or_insert_with(|| LockState::new(entry.lock));
        let excludes = |hold: &Hold| {
            hold.span.overlaps(span)
                && (hold.mode == Exclusive || entry.mode == Exclusive)
                && hold.task.pid != entry.task.pid
        };
        // Whose an open-file-description lock is was inferred, and so ends nobody who is known by a record.
        let known_better = |owner: u64| entry.kind == LockKind::Ofd && owner != UNKNOWN;
        // Records are right about whoever had one meanwhile.
        let stands = |owner: u64, hold: &Hold| {
            excludes(hold)
                && (hold.seen >= since || known_better(owner) || attach.is_touched(entry.lock, hold.task.pid, since))
        };
        if lock.holds().any(|(owner, hold)| stands(owner, hold)) {
            return;
        }
        lock.end(self.now, |_, hold| excludes(hold), &mut self.out);
        // Of the same process in the other mode: it converted while records were lost.
        let stale = |hold: &Hold| {
            hold.task.pid == entry.task.pid
                && hold.span.overlaps(span)
                && (hold.mode == Exclusive || entry.mode == Exclusive)
        };
        if lock.holds().any(|(owner, hold)| stale(hold) && (hold.seen >= since || known_better(owner))) {
            return;
        }
        lock.end(self.now, |_, hold| stale(hold), &mut self.out);
        let ask = Ask { lock: entry.lock, task: known(entry.task), kind: entry.kind, mode: entry.mode, span };
        self.out.tell(ask.change(self.now, Deed::Holding { mode: entry.mode }));
        let Ask { task, kind, mode, .. } = ask;
        lock.push(UNKNOWN, Hold { task, kind, mode, span, since: None, seen: self.now, misses: 0, doubted: None });
    }

    /// If the request can be that of an unknown wait, it is.
    pub(super) fn bind_wait(&mut self, ask: &Ask, request: &Request) {
        let tid = ask.task.tid;
        if !request.blocks() || !(request.ret == 0 || request.ret == DEFERRED) {
            return;
        }
        let may = |wait: &Wait| {
            wait.owner == UNKNOWN
                && wait.ask.lock == ask.lock
                && wait.ask.mode == ask.mode
                && (wait.ask.kind == ask.kind)
                && (wait.ask.task.pid == request.pid || wait.ask.task.pid == -1)
                && (wait.ask.span == ask.span || request.ret == 0 && wait.ask.span.overlaps(ask.span))
        };
        let from = match self.waits.get(&tid) {
            Some(wait) if may(wait) => tid,
            // It waits for something else, as is known of itself.
            Some(wait) if wait.owner != UNKNOWN => return,
            _ => match self.waits.iter().filter(|(_, wait)| may(wait)).map(|(&tid, _)| tid).min() {
                Some(from) => from,
                None => return,
            },
        };
        if from == tid {
            if let Some(wait) = self.waits.get_mut(&tid) {
                wait.owner = request.owner;
                self.unknown_waits -= 1;
            }
            return;
        }
        // The wait was told of another thread, or of none: that was a guess. It is told anew.
        let span = self.waits.get(&from).map_or(ask.span, |wait| wait.ask.span);
        self.end_wait(from);
        self.end_wait(tid);
        self.wait_from_before(Ask { span, ..*ask }, request.owner);
    }
}

/// A thread that is not known is taken for the first of its process: most have no other.
fn known(task: TaskId) -> TaskId {
    TaskId { tid: if task.tid == 0 && task.pid > 0 { task.pid } else { task.tid }, ..task }
}
