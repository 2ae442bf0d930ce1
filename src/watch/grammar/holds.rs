//! Who holds one lock, and what a grant or an unlock changes about it.

use super::out::Out;
use super::span::Span;
use super::tries::Ask;
use crate::event::LockKind;
use crate::event::LockMode::{self, Exclusive};
use crate::watch::change::{Deed, Family, LockKey, TaskId};

/// No owner has this address: of holds that were there before watching and whose owner has not shown itself.
pub(super) const UNKNOWN: u64 = 0;

/// A hold as it was told. Record locks are kept as they were won, not merged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Hold {
    pub task: TaskId,
    pub kind: LockKind,
    pub mode: LockMode,
    pub span: Span,
    /// None where it was held before watching.
    pub since: Option<u64>,
    /// When an event or a snapshot last told of it.
    pub seen: u64,
    /// Snapshots in a row that did not have it, though nothing happened.
    pub misses: u32,
    /// When an unlock came that may have been its own; a snapshot tells. Only where its owner is not known.
    pub doubted: Option<u64>,
}

/// A grant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grant {
    pub ask: Ask,
    pub t: u64,
    pub owner: u64,
    /// What it was seen to wait or to try for, if it was.
    pub waited: Option<Span>,
    /// When records were last lost: what is older may be wrong.
    pub lost_at: u64,
}

/// One lock.
#[derive(Debug)]
pub(super) struct LockState {
    lock: LockKey,
    /// Owners of `holds`, apart from them: with thousands of readers this is what is searched.
    owners: Vec<u64>,
    holds: Vec<Hold>,
    exclusive: usize,
    unknown: usize,
    /// The last unlock by close: thread and owner.
    pub last_close: (i32, u64),
    /// The owner that was put off last: it holds nothing.
    pub stranger: u64,
}

impl LockState {
    pub fn new(lock: LockKey) -> Self {
        let last_close = (0, UNKNOWN);
        Self { lock, owners: Vec::new(), holds: Vec::new(), exclusive: 0, unknown: 0, last_close, stranger: UNKNOWN }
    }

    pub fn holds(&self) -> impl Iterator<Item = (u64, &Hold)> {
        self.owners.iter().copied().zip(&self.holds)
    }

    pub fn holds_mut(&mut self) -> impl Iterator<Item = (u64, &mut Hold)> {
        self.owners.iter().copied().zip(&mut self.holds)
    }

    pub fn is_free(&self) -> bool {
        self.holds.is_empty()
    }

    /// Whether some owner has not shown itself yet.
    pub fn has_unknown(&self) -> bool {
        self.unknown > 0
    }

    pub fn knows(&self, owner: u64) -> bool {
        self.owners.contains(&owner)
    }

    /// The unknown holds that `which` picks are this owner's; at most one where it can have only one.
    pub fn bind(&mut self, owner: u64, which: impl Fn(&Hold) -> bool) -> bool {
        let mut bound = false;
        for (who, hold) in self.owners.iter_mut().zip(&self.holds) {
            if *who == UNKNOWN && which(hold) && !(bound && self.lock.family == Family::Flock) {
                *who = owner;
                self.unknown -= 1;
                bound = true;
            }
        }
        bound
    }

    /// An unlock at `t` may have been of the unknown holds that `which` picks; `true` where there are any.
    pub fn doubt(&mut self, t: u64, which: impl Fn(&Hold) -> bool) -> bool {
        let mut any = false;
        for (_, hold) in self.holds_mut().filter(|(owner, hold)| *owner == UNKNOWN && which(hold)) {
            (hold.doubted, hold.misses) = (Some(t), 0);
            any = true;
        }
        any
    }

    pub fn push(&mut self, owner: u64, hold: Hold) {
        self.exclusive += usize::from(hold.mode == Exclusive);
        self.unknown += usize::from(owner == UNKNOWN);
        self.owners.push(owner);
        self.holds.push(hold);
    }

    fn remove(&mut self, i: usize) -> Hold {
        let owner = self.owners.swap_remove(i);
        let hold = self.holds.swap_remove(i);
        self.exclusive -= usize::from(hold.mode == Exclusive);
        self.unknown -= usize::from(owner == UNKNOWN);
        hold
    }

    fn ask(&self, hold: &Hold) -> Ask {
        Ask { lock: self.lock, task: hold.task, kind: hold.kind, mode: hold.mode, span: hold.span }
    }

    fn release(&self, t: u64, hold: &Hold, out: &mut Out) {
        // What ended it is the unlock that it was doubted for, though that was not certain then.
        let t = hold.doubted.map_or(t, |at| out.belated(at));
        out.tell(self.ask(hold).change(t, Deed::Released));
    }

    /// Takes these bytes from the holds that `whose` picks; tells it, and what is left of them.
    fn cut(&mut self, t: u64, span: Span, whose: impl Fn(u64, &Hold) -> bool, out: &mut Out) {
        let mut i = 0;
        let mut left = Vec::new();
        while let (Some(&owner), Some(hold)) = (self.owners.get(i), self.holds.get(i)) {
            if !hold.span.overlaps(span) || !whose(owner, hold) {
                i += 1;
                continue;
            }
            let hold = self.remove(i);
            self.release(t, &hold, out);
            if self.lock.family == Family::Record {
                left.extend(hold.span.without(span).into_iter().flatten().map(|span| (owner, Hold { span, ..hold })));
            }
        }
        for (owner, hold) in left {
            out.tell(self.ask(&hold).change(t, Deed::Kept { mode: hold.mode, since: hold.since }));
            self.push(owner, hold);
        }
    }

    /// Whoever excludes this grant has let go unseen, or his unlock is stamped a little later.
    fn oust(&mut self, grant: &Grant, span: Span, out: &mut Out) {
        let exclusive = grant.ask.mode == Exclusive;
        let others = self.holds.len() > 1 || self.owners.first().is_some_and(|&owner| owner != grant.owner);
        if others && (exclusive || self.exclusive > 0) {
            let excluded = |owner, hold: &Hold| owner != grant.owner && (exclusive || hold.mode == Exclusive);
            self.cut(grant.t, span, excluded, out);
        }
    }

    /// It has been granted.
    pub fn grant(&mut self, grant: &Grant, out: &mut Out) {
        match self.lock.family {
            Family::Flock => self.grant_whole(grant, out),
            Family::Record => self.grant_bytes(grant, out),
        }
    }

    fn acquired(&mut self, grant: &Grant, span: Span, out: &mut Out) {
        let ask = Ask { span, ..grant.ask };
        let asked = grant.waited.filter(|_| ask.kind != LockKind::Flock).map(Span::range);
        out.tell(ask.change(grant.t, Deed::Acquired { mode: ask.mode, contended: grant.waited.is_some(), asked }));
        let (t, Ask { task, kind, mode, .. }) = (grant.t, ask);
        self.push(grant.owner, Hold { task, kind, mode, span, since: Some(t), seen: t, misses: 0, doubted: None });
    }

    fn grant_whole(&mut self, grant: &Grant, out: &mut Out) {
        let span = Span::WHOLE;
        self.oust(grant, span, out);
        if let Some(i) = self.owners.iter().position(|&owner| owner == grant.owner)
            && let Some(hold) = self.holds.get_mut(i)
        {
            let same_task = hold.task == grant.ask.task;
            let doubtful = hold.seen < grant.lost_at && !same_task;
            if hold.mode == grant.ask.mode && grant.waited.is_none() && !doubtful {
                // It had it already.
                (hold.seen, hold.misses) = (grant.t, 0);
                return;
            }
            let convert = same_task && hold.mode != grant.ask.mode;
            let old = self.remove(i);
            if !convert {
                // Through another task that shares the description.
                self.release(grant.t, &old, out);
            }
        }
        self.acquired(grant, span, out);
    }

    fn grant_bytes(&mut self, grant: &Grant, out: &mut Out) {
        let Ask { span, mode, task, .. } = grant.ask;
        self.oust(grant, span, out);
        let own = |owner, hold: &Hold| owner == grant.owner && hold.span.overlaps(span);
        let covered: Vec<Span> =
            self.holds().filter(|&(o, h)| own(o, h) && h.mode == mode).map(|(_, h)| h.span).collect();
        let fresh = span.without_all(covered);
        if fresh.is_empty() {
            if grant.waited.is_some() {
                // Another thread of the same owner got these bytes meanwhile.
                self.cut(grant.t, span, own, out);
                self.acquired(grant, span, out);
            }
            return;
        }
        let converted =
            self.holds().position(|(o, h)| own(o, h) && h.mode != mode && h.task == task && fresh == [h.span]);
        match converted {
            Some(i) => drop(self.remove(i)),
            None => self.cut(grant.t, span, |o, h| own(o, h) && h.mode != mode, out),
        }
        // One wait, one end of it.
        let awaited = grant.waited.and_then(|waited| fresh.iter().position(|s| s.overlaps(waited))).unwrap_or(0);
        for (i, span) in fresh.into_iter().enumerate() {
            let waited = grant.waited.filter(|_| i == awaited);
            self.acquired(&Grant { waited, ..*grant }, span, out);
        }
    }

    /// The owner lets go of these bytes, or loses what it has by asking for the other mode.
    pub fn unlock(&mut self, t: u64, owner: u64, span: Span, out: &mut Out) {
        if self.lock.family == Family::Flock {
            if let Some(i) = self.owners.iter().position(|&o| o == owner) {
                let hold = self.remove(i);
                self.release(t, &hold, out);
            }
        } else if self.knows(owner) {
            self.cut(t, span, |o, _| o == owner, out);
        }
    }

    /// Ends the holds that `which` picks: they were lost track of.
    pub fn end(&mut self, t: u64, which: impl Fn(u64, &Hold) -> bool, out: &mut Out) {
        let mut i = 0;
        while let (Some(&owner), Some(hold)) = (self.owners.get(i), self.holds.get(i)) {
            if which(owner, hold) {
                let hold = self.remove(i);
                self.release(t, &hold, out);
            } else {
                i += 1;
            }
        }
    }
}
