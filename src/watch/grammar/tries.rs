//! Those who do not stand in the kernel's queue: they try, nap and try again.

use super::fast::FastMap;
use super::out::Out;
use super::span::Span;
use crate::event::{LockKind, LockMode};
use crate::watch::change::{Change, Deed, LockKey, TaskId};

/// Tries are told together, at most once in this time, in ns.
const TOLD_EVERY: u64 = 100_000_000;
/// One that does not try for so many of its usual gaps has given up.
const PATIENCE: u64 = 5;
/// But no sooner than after this, in ns: a gap may be short by chance.
const LEAST_PATIENCE: u64 = 250_000_000;
/// And no later than after this, in ns.
const MOST_PATIENCE: u64 = 10_000_000_000;
/// After its first try the gap is not known; most programs try again within a second. In ns.
const FIRST_PATIENCE: u64 = 2_000_000_000;
/// So many different bytes of a lock are told to be tried for by one thread at a time; tries for more are counted with
/// those that it made last.
const AT_ONCE: usize = 8;
/// How often it is looked whether somebody has given up, in ns.
const LOOK_EVERY: u64 = 20_000_000;

/// What a failed try asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ask {
    pub lock: LockKey,
    pub task: TaskId,
    pub kind: LockKind,
    pub mode: LockMode,
    pub span: Span,
}

impl Ask {
    /// Whether who gets this has got what `other` asks for.
    pub fn answers(&self, other: &Self) -> bool {
        (self.lock, self.kind) == (other.lock, other.kind)
            && (self.mode == other.mode || self.mode == LockMode::Exclusive)
            && self.span.first <= other.span.first
            && self.span.last >= other.span.last
    }

    /// Whether both are of one thread and for the same bytes, in whichever mode.
    fn is_same(&self, other: &Self) -> bool {
        Self { mode: other.mode, ..*self } == *other
    }

    pub fn change(&self, t: u64, deed: Deed) -> Change {
        let range = (self.kind != LockKind::Flock).then(|| self.span.range());
        Change { t, lock: self.lock, task: self.task, kind: self.kind, range, deed }
    }
}

/// One that tries.
#[derive(Debug)]
struct Trier {
    /// With the thread that tried first, by which it is told.
    ask: Ask,
    /// The thread that tried last.
    tid: i32,
    last: u64,
    /// Between its tries, on average; none before the second.
    gap: Option<u64>,
    told: u64,
    untold: u64,
}

impl Trier {
    fn tell(&mut self, t: u64, out: &mut Out) {
        if self.untold > 0 {
            out.tell(self.ask.change(t, Deed::Tried { mode: self.ask.mode, count: self.untold }));
            (self.told, self.untold) = (t, 0);
        }
    }

    fn gone_at(&self) -> u64 {
        let gap = |gap: u64| gap.saturating_mul(PATIENCE).clamp(LEAST_PATIENCE, MOST_PATIENCE);
        self.last.saturating_add(self.gap.map_or(FIRST_PATIENCE, gap))
    }
}

/// All that try, by process. They may reopen the file for each try, so its owner says nothing; and where tasks move over
/// threads, as in Go, the next try may be another thread's: those that ask for the same are one.
#[derive(Debug, Default)]
pub(super) struct Tries {
    processes: FastMap<i32, Vec<Trier>>,
    looked: u64,
}

impl Tries {
    pub fn is_empty(&self) -> bool {
        self.processes.is_empty()
    }

    /// A try has failed.
    pub fn failed(&mut self, t: u64, ask: Ask, out: &mut Out) {
        let tid = ask.task.tid;
        let of_process = self.processes.entry(ask.task.pid).or_default();
        let same = |trier: &Trier| Ask { task: ask.task, ..trier.ask } == ask;
        let at = of_process.iter().position(|trier| trier.ask.is_same(&ask));
        let at = at.or_else(|| of_process.iter().position(same)).or_else(|| in_place(of_process, &ask));
        match at.and_then(|at| of_process.get_mut(at)) {
            Some(trier) => {
                let gap = t.saturating_sub(trier.last);
                trier.gap = Some(trier.gap.map_or(gap, |usual| (usual.saturating_mul(3).saturating_add(gap)) / 4));
                if trier.ask.is_same(&ask) && trier.ask.mode != ask.mode {
                    // It asks for the other mode, of which this is the first try.
                    trier.tell(t, out);
                    trier.ask.mode = ask.mode;
                }
                (trier.tid, trier.last) = (tid, t);
                trier.untold += 1;
                if t.saturating_sub(trier.told) >= TOLD_EVERY {
                    trier.tell(t, out);
                }
            }
            None => {
                let mut trier = Trier { ask, tid, last: t, gap: None, told: t, untold: 1 };
                trier.tell(t, out);
                of_process.push(trier);
            }
        }
    }

    /// The process has got `ask`: what was told to be tried for, and by whom. Nobody gives up by that.
    pub fn won(&mut self, t: u64, ask: &Ask, out: &mut Out) -> Option<Ask> {
        let of_process = self.processes.get_mut(&ask.task.pid)?;
        let won = |trier: &Trier| ask.answers(&trier.ask);
        let own = |trier: &Trier| trier.ask.task == ask.task && won(trier);
        let at = of_process.iter().position(own).or_else(|| of_process.iter().position(won))?;
        let mut trier = of_process.remove(at);
        if of_process.is_empty() {
            self.processes.remove(&ask.task.pid);
        }
        trier.tell(t, out);
        Some(trier.ask)
    }

    /// The thread has got `ask`, which is not what it was told to try for. Who has a flock wants no other; of bytes it may
    /// go on trying for those that it did not get.
    pub fn got(&mut self, t: u64, ask: &Ask, out: &mut Out) {
        let its = |trier: &Trier| trier.ask.lock == ask.lock && trier.tid == ask.task.tid;
        let has = |trier: &Trier| Ask { kind: trier.ask.kind, ..*ask }.answers(&trier.ask);
        let over = |trier: &Trier| its(trier) && (ask.kind == LockKind::Flock || has(trier));
        self.remove(ask.task.pid, over, |trier| give_up(t, trier, out));
        // The tries came before what it got.
        let of_process = self.processes.get_mut(&ask.task.pid).into_iter().flatten();
        of_process.filter(|trier| its(trier)).for_each(|trier| trier.tell(t, out));
    }

    /// The thread stands in the queue now: what was told of its own tries goes on as that wait.
    pub fn waits(&mut self, t: u64, ask: &Ask, out: &mut Out) {
        self.remove(ask.task.pid, |trier| trier.ask.is_same(ask), |mut trier| trier.tell(t, out));
        // For other bytes, or told as another's.
        let its =
            |trier: &Trier| trier.ask.lock == ask.lock && (trier.ask.task == ask.task || trier.tid == ask.task.tid);
        self.remove(ask.task.pid, its, |trier| give_up(t, trier, out));
    }

    /// The thread was refused for good.
    pub fn refused(&mut self, t: u64, ask: &Ask, out: &mut Out) {
        let its = |trier: &Trier| trier.ask.lock == ask.lock && trier.tid == ask.task.tid;
        self.remove(ask.task.pid, its, |trier| give_up(t, trier, out));
    }

    /// The thread is gone.
    pub fn exit(&mut self, t: u64, tid: i32, out: &mut Out) {
        let its = |trier: &Trier| trier.tid == tid;
        let of = self.processes.iter().filter(|(_, triers)| triers.iter().any(its));
        let mut pids: Vec<i32> = of.map(|(&pid, _)| pid).collect();
        pids.sort_unstable();
        for pid in pids {
            self.remove(pid, its, |trier| give_up(t, trier, out));
        }
    }

    fn remove(&mut self, pid: i32, which: impl Fn(&Trier) -> bool, mut then: impl FnMut(Trier)) {
        let Some(of_process) = self.processes.get_mut(&pid) else { return };
        let mut i = 0;
        while i < of_process.len() {
            if of_process.get(i).is_some_and(&which) {
                then(of_process.remove(i));
            } else {
                i += 1;
            }
        }
        if of_process.is_empty() {
            self.processes.remove(&pid);
        }
    }

    /// Time goes on: tells what is due and who tries no more.
    pub fn advance(&mut self, now: u64, out: &mut Out) {
        if self.processes.is_empty() || now.saturating_sub(self.looked) < LOOK_EVERY {
            return;
        }
        self.looked = now;
        let mut gone = Vec::new();
        for (&pid, of_process) in &mut self.processes {
            for trier in of_process.iter_mut() {
                if trier.gone_at() <= now {
                    gone.push(pid);
                } else if now.saturating_sub(trier.told) >= TOLD_EVERY {
                    trier.tell(now, out);
                }
            }
        }
        gone.sort_unstable();
        for pid in gone {
            self.remove(pid, |trier| trier.gone_at() <= now, |trier| give_up(now, trier, out));
        }
    }

    /// Those at locks that are watched no more are forgotten.
    pub fn retain(&mut self, keep: impl Fn(LockKey) -> bool) {
        self.processes.retain(|_, of_process| {
            of_process.retain(|trier| keep(trier.ask.lock));
            !of_process.is_empty()
        });
    }
}

/// Where to count a try for which the thread has no place of its own left: with those that it made last.
fn in_place(of_process: &[Trier], ask: &Ask) -> Option<usize> {
    let own = |(_, trier): &(usize, &Trier)| trier.ask.lock == ask.lock && trier.ask.task == ask.task;
    let tried = || of_process.iter().enumerate().filter(own);
    let last = tried().max_by_key(|(_, trier)| trier.last)?.0;
    (tried().count() >= AT_ONCE).then_some(last)
}

fn give_up(t: u64, mut trier: Trier, out: &mut Out) {
    trier.tell(t, out);
    out.tell(trier.ask.change(t, Deed::GaveUp));
}
