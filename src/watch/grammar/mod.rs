//! From the kernel's records to what happened: pure, no clock, no I/O.
//!
//! The truth about time and order is in the records alone. Each sets the state of its owner absolutely, so whoever had one
//! since watching began is known; a [`Snapshot`] speaks only for those who had none (`attach.rs`). A record is written
//! after the deed, when the kernel has dropped its own lock: "B acquired" may come before "A released". So a grant ends
//! what it excludes, then and there, and an unlock of what is not held is ignored, which also heals what was missed.
//!
//! - `holds.rs`: who holds one lock; `span.rs`: bytes;
//! - `tries.rs`: those who try without waiting;
//! - `out.rs`: what is told, in order, and for a moment taken back.

mod attach;
mod fast;
mod holds;
mod out;
mod span;
#[cfg(test)]
mod tests;
mod tries;

use self::fast::FastMap;
use self::holds::{Grant, LockState, UNKNOWN};
use self::out::Out;
use self::span::Span;
use self::tries::{Ask, Tries};
use super::change::{Change, Deed, LockKey, Range, TaskId};
use super::tracepoint::{DEFERRED, FL_CLOSE, Record, Request, UNLOCK, What};
use crate::event::{LockKind, LockMode};

/// A record comes at most so long after its deed, or after another CPU's record of a later time, in ns. Measured: 155 us
/// at worst.
pub const WINDOW: u64 = 2_000_000;
/// A wait that a signal interrupted is the same wait if it is taken up again within this time, in ns: a call that is
/// restarted by the program itself, as Python does (PEP 475).
/// The handler runs in between.
const RETRY: u64 = 100_000_000;
/// Locks that nobody holds are forgotten when there are so many more than the last time.
const SPARE_LOCKS: usize = 1024;
/// `SA_RESTART` of sigaction(2).
const SA_RESTART: u64 = 0x1000_0000;

/// One row of `/proc/locks`, as much as the grammar asks of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotEntry {
    /// Which lock.
    pub lock: LockKey,
    /// Who, as the initial pid namespace numbers it: `pid` as the kernel lists it or, for an OFD lock, as its owner's
    /// descriptors tell; -1 where neither does. `tid` 0 where not known: of a holder the process's first thread is assumed
    /// then, a waiter is told by a number below 0.
    pub task: TaskId,
    /// Which kind.
    pub kind: LockKind,
    /// Exclusive or shared.
    pub mode: LockMode,
    /// Which bytes; none for flock.
    pub range: Option<Range>,
    /// Whether it waits for the lock; else it holds it.
    pub waiting: bool,
    /// It waited in an earlier reading, is stopped, and in no queue: it may wait still, as long as nothing else is known.
    pub supposed: bool,
}

/// What was read of the locks at some moment between two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Before the reading, in ns of `CLOCK_MONOTONIC`.
    pub began: u64,
    /// After it.
    pub ended: u64,
    /// What was found; none where the reading failed. An entry that is missing says little: reading is torn, and blind
    /// while a lock is handed over.
    pub entries: Option<Vec<SnapshotEntry>>,
    /// It took several reads, each of another moment.
    pub torn: bool,
}

/// What one reading of `/proc/locks` gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Its rows.
    pub entries: Vec<SnapshotEntry>,
    /// As [`Snapshot::torn`].
    pub torn: bool,
}

/// A wait as it was told.
#[derive(Clone, Copy, Debug)]
struct Wait {
    ask: Ask,
    /// [`UNKNOWN`] where it began before watching and has not shown itself.
    owner: u64,
    /// Told as given up, for now: a signal ended it, unless it is taken up at once.
    leaving: bool,
    /// When an event or a snapshot last told of it.
    seen: u64,
    /// Snapshots in a row that did not have it, though nothing happened.
    misses: u32,
}

/// The state of every lock seen, from the records on.
#[derive(Debug, Default)]
pub struct Grammar {
    locks: FastMap<LockKey, LockState>,
    /// By thread, as told: it waits for one at a time. Those of unknown threads have numbers below 0.
    waits: FastMap<i32, Wait>,
    unknown_waits: usize,
    tries: Tries,
    out: Out,
    now: u64,
    lost_at: u64,
    attach: attach::Attach,
    forgot_at: usize,
}

impl Grammar {
    /// Takes the next record; those of all CPUs come in the order of their times. One that comes late is taken as of now.
    pub fn record(&mut self, record: &Record) {
        self.now = self.now.max(record.t);
        if self.out.is_open() {
            self.settle();
        }
        match record.what {
            What::Lock(ref request) => self.request(record.tid, request),
            What::Signal { sig, handler, flags } => self.signal(record.tid, sig, handler, flags),
            What::Exit => self.exit(record.tid),
            What::Lost(_) => self.lost(),
        }
    }

    /// All records before `now` were given.
    pub fn advance(&mut self, now: u64) {
        self.now = self.now.max(now);
        self.settle();
        self.tries.advance(self.now, &mut self.out);
        self.apply_snapshots();
        if self.locks.len() > self.forgot_at + SPARE_LOCKS {
            self.locks.retain(|_, lock| !lock.is_free());
            self.forgot_at = self.locks.len();
        }
    }

    /// Moves what is certain to `out`, in the order of time.
    pub fn drain(&mut self, out: &mut Vec<Change>) {
        self.out.drain(out);
    }

    /// Forgets, without a word, what it knows of other locks than these: they are watched no more.
    pub fn retain(&mut self, keep: impl Fn(LockKey) -> bool) {
        self.locks.retain(|&lock, _| keep(lock));
        self.tries.retain(&keep);
        let gone: Vec<i32> = self.waits.iter().filter(|(_, wait)| !keep(wait.ask.lock)).map(|(&tid, _)| tid).collect();
        for tid in gone {
            self.out.settle(tid);
            self.forget_wait(tid);
        }
    }

    fn lost(&mut self) {
        self.lost_at = self.now;
        self.attach.doubt();
    }

    fn settle(&mut self) {
        for tid in self.out.settle_until(self.now) {
            self.forget_wait(tid);
        }
    }

    fn forget_wait(&mut self, tid: i32) -> Option<Wait> {
        let wait = self.waits.remove(&tid)?;
        self.unknown_waits -= usize::from(wait.owner == UNKNOWN);
        Some(wait)
    }

    /// The wait has ended without the lock.
    fn end_wait(&mut self, tid: i32) {
        self.out.settle(tid);
        let Some(wait) = self.forget_wait(tid) else { return };
        // A snapshot that was read just before has it still.
        self.attach.touch(self.now, wait.ask.lock, wait.ask.task.pid);
        if !wait.leaving {
            self.out.tell(wait.ask.change(self.now, Deed::GaveUp));
        }
    }

    fn request(&mut self, tid: i32, request: &Request) {
        self.attach.touch(self.now, request.lock(), request.pid);
        if request.op == UNLOCK {
            self.unlock(tid, request);
            return;
        }
        let Some(mode) = request.mode() else { return };
        let task = TaskId { pid: request.pid, tid };
        let span = Span::of(request.range());
        let ask = Ask { lock: request.lock(), task, kind: request.kind(), mode, span };
        if self.unknown_waits > 0 {
            self.bind_wait(&ask, request);
        }
        // The wait that this request goes on with; another of the same thread must be over.
        let mut wait = None;
        if !self.waits.is_empty()
            && let Some(&known) = self.waits.get(&tid)
        {
            let goes_on = known.owner == request.owner
                && known.ask.task == task
                && known.ask.lock == ask.lock
                && (known.ask.kind, known.ask.mode) == (ask.kind, mode)
                && request.blocks()
                // A grant comes with what the owner holds beside it; see `Request::end`.
                && (known.ask.span == span || request.ret == 0 && known.ask.span.overlaps(span));
            if goes_on {
                wait = Some(known);
            } else {
                self.end_wait(tid);
            }
        }
        match request.ret {
            0 => self.granted(ask, request, wait),
            DEFERRED => self.deferred(ask, request, wait),
            _ => self.refused(ask, request, wait),
        }
    }

    fn granted(&mut self, mut ask: Ask, request: &Request, wait: Option<Wait>) {
        let (t, tid) = (self.now, ask.task.tid);
        let mut waited = wait.map(|wait| wait.ask.span);
        if let Some(wait) = wait {
            if wait.leaving {
                self.out.take_back(tid);
            }
            self.forget_wait(tid);
        }
        if waited.is_none() && !self.tries.is_empty() {
            let tried = self.tries.won(t, &ask, &mut self.out);
            self.tries.got(t, &ask, &mut self.out);
            if let Some(tried) = tried {
                // Told of whoever was told to try.
                (waited, ask.task) = (Some(tried.span), tried.task);
            }
        }
        let lock = self.locks.entry(ask.lock).or_insert_with(|| LockState::new(ask.lock));
        if lock.has_unknown() {
            self.attach.bind_hold(self.now, lock, &ask, request, &mut self.out);
        }
        let grant = Grant { ask, t, owner: request.owner, waited, lost_at: self.lost_at };
        lock.grant(&grant, &mut self.out);
    }

    /// It waits, or waits again: whoever is woken and finds the lock taken queues up once more.
    fn deferred(&mut self, ask: Ask, request: &Request, wait: Option<Wait>) {
        let (t, tid) = (self.now, ask.task.tid);
        self.drop_own(&ask, request);
        if let Some(wait) = wait {
            if wait.leaving {
                self.out.take_back(tid);
            }
            self.waits.insert(tid, Wait { leaving: false, seen: t, misses: 0, ..wait });
            return;
        }
        // It tried first; now it waits.
        self.tries.waits(t, &ask, &mut self.out);
        self.out.tell(ask.change(t, Deed::Waiting { mode: ask.mode, before: false }));
        self.waits.insert(tid, Wait { ask, owner: request.owner, leaving: false, seen: t, misses: 0 });
    }

    fn refused(&mut self, ask: Ask, request: &Request, wait: Option<Wait>) {
        self.drop_own(&ask, request);
        if wait.is_some() {
            self.end_wait(ask.task.tid);
        } else if request.blocks() && request.ret != -libc::EAGAIN {
            // A deadlock, refused, or no memory: it tried once and that was that.
            self.tries.failed(self.now, ask, &mut self.out);
            self.tries.refused(self.now, &ask, &mut self.out);
        } else {
            self.tries.failed(self.now, ask, &mut self.out);
        }
    }

    /// flock(2) drops the lock it has before it asks for the other mode, and does not get it back if it must wait or fails.
    fn drop_own(&mut self, ask: &Ask, request: &Request) {
        if ask.kind != LockKind::Flock {
            return;
        }
        let Some(lock) = self.locks.get_mut(&ask.lock) else { return };
        if lock.has_unknown() {
            self.attach.bind_hold(self.now, lock, ask, request, &mut self.out);
        }
        lock.unlock(self.now, request.owner, Span::WHOLE, &mut self.out);
    }

    fn unlock(&mut self, tid: i32, request: &Request) {
        let key = request.lock();
        if !self.waits.is_empty()
            && self.waits.get(&tid).is_some_and(|wait| wait.ask.lock == key && wait.owner == request.owner)
        {
            // Who unlocks does not wait.
            self.end_wait(tid);
        }
        let Some(lock) = self.locks.get_mut(&key) else { return };
        let span = Span::of(request.range());
        if lock.has_unknown() {
            let task = TaskId { pid: request.pid, tid };
            let ask = Ask { lock: key, task, kind: request.kind(), mode: LockMode::Shared, span };
            self.attach.bind_hold(self.now, lock, &ask, request, &mut self.out);
        }
        if request.flags & FL_CLOSE != 0 {
            lock.last_close = (tid, request.owner);
        }
        lock.unlock(self.now, request.owner, span, &mut self.out);
    }

    /// signal(7) says which of them end a call for good: those that kill, and those with a handler that does not restart it.
    fn signal(&mut self, tid: i32, sig: i32, handler: u64, flags: u64) {
        let harmless = match handler {
            // The default is to do nothing, or to stop; the call goes on after that.
            0 => [
                libc::SIGCHLD,
                libc::SIGCONT,
                libc::SIGURG,
                libc::SIGWINCH,
                libc::SIGSTOP,
                libc::SIGTSTP,
                libc::SIGTTIN,
                libc::SIGTTOU,
            ]
            .contains(&sig),
            1 => true,
            _ => flags & SA_RESTART != 0,
        };
        if harmless || self.waits.is_empty() {
            return;
        }
        if let Some(wait) = self.waits.get_mut(&tid)
            && !wait.leaving
        {
            wait.leaving = true;
            self.attach.touch(self.now, wait.ask.lock, wait.ask.task.pid);
            self.out.tell_for_now(wait.ask.change(self.now, Deed::GaveUp), tid, self.now.saturating_add(RETRY));
        }
    }

    fn exit(&mut self, tid: i32) {
        self.end_wait(tid);
        if !self.tries.is_empty() {
            self.tries.exit(self.now, tid, &mut self.out);
        }
    }
}
