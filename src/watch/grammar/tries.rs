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
        self.lock == other.lock
            && (self.mode == other.mode || self.mode == LockMode::Exclusive)
            && self.span.first <= other.span.first
            && self.span.last >= other.span.last
    }

    pub fn change(&self, t: u64, deed: Deed) -> Change {
        let range = (self.kind != LockKind::Flock).then(|| self.span.range());
        Change { t, lock: self.lock, task: self.task, kind: self.kind, range, deed }
    }
}

/// One that tries.
#[derive(Debug)]
struct Trier {
    ask: Ask,
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

/// All that try, by thread, one for each lock: they may reopen the file for each try, so its owner says nothing.
#[derive(Debug, Default)]
pub(super) struct Tries {
    threads: FastMap<i32, Vec<Trier>>,
    looked: u64,
}

impl Tries {
    pub fn is_empty(&self) -> bool {
        self.threads.is_empty()
    }

    /// A try has failed.
    pub fn failed(&mut self, t: u64, ask: Ask, out: &mut Out) {
        let of_thread = self.threads.entry(ask.task.tid).or_default();
        match of_thread.iter_mut().find(|trier| trier.ask.lock == ask.lock) {
            Some(trier) => {
                let gap = t.saturating_sub(trier.last);
                trier.gap = Some(trier.gap.map_or(gap, |usual| (usual.saturating_mul(3).saturating_add(gap)) / 4));
                if trier.ask != ask {
                    // It asks for something else, of which this is the first try.
                    trier.tell(t, out);
                }
                (trier.ask, trier.last) = (ask, t);
                trier.untold += 1;
                if t.saturating_sub(trier.told) >= TOLD_EVERY {
                    trier.tell(t, out);
                }
            }
            None => {
                let mut trier = Trier { ask, last: t, gap: None, told: t, untold: 1 };
                trier.tell(t, out);
                of_thread.push(trier);
            }
        }
    }

    /// The thread has it, or asks in another way: whether it had tried for `which`. Nobody gives up by that.
    pub fn end(&mut self, t: u64, tid: i32, which: impl Fn(&Ask) -> bool, out: &mut Out) -> bool {
        self.remove(tid, |trier| which(&trier.ask), |mut trier| trier.tell(t, out))
    }

    /// The thread is gone, or refused for good.
    pub fn give_up(&mut self, t: u64, tid: i32, which: impl Fn(&Ask) -> bool, out: &mut Out) {
        self.remove(tid, |trier| which(&trier.ask), |trier| give_up(t, trier, out));
    }

    fn remove(&mut self, tid: i32, which: impl Fn(&Trier) -> bool, mut then: impl FnMut(Trier)) -> bool {
        let Some(of_thread) = self.threads.get_mut(&tid) else { return false };
        let mut any = false;
        let mut i = 0;
        while i < of_thread.len() {
            if of_thread.get(i).is_some_and(&which) {
                then(of_thread.remove(i));
                any = true;
            } else {
                i += 1;
            }
        }
        if of_thread.is_empty() {
            self.threads.remove(&tid);
        }
        any
    }

    /// Time goes on: tells what is due and who tries no more.
    pub fn advance(&mut self, now: u64, out: &mut Out) {
        if self.threads.is_empty() || now.saturating_sub(self.looked) < LOOK_EVERY {
            return;
        }
        self.looked = now;
        let mut gone = Vec::new();
        for of_thread in self.threads.values_mut() {
            for trier in of_thread.iter_mut() {
                if trier.gone_at() <= now {
                    gone.push((trier.ask.task.tid, trier.ask.lock));
                } else if now.saturating_sub(trier.told) >= TOLD_EVERY {
                    trier.tell(now, out);
                }
            }
        }
        gone.sort_unstable();
        for (tid, lock) in gone {
            self.give_up(now, tid, |ask| ask.lock == lock, out);
        }
    }

    /// Those at locks that are watched no more are forgotten.
    pub fn retain(&mut self, keep: impl Fn(LockKey) -> bool) {
        self.threads.retain(|_, of_thread| {
            of_thread.retain(|trier| keep(trier.ask.lock));
            !of_thread.is_empty()
        });
    }
}

fn give_up(t: u64, mut trier: Trier, out: &mut Out) {
    trier.tell(t, out);
    out.tell(trier.ask.change(t, Deed::GaveUp));
}
