//! Finds the places of turns that were told without: which number each has among all workers' turns, how long the lock took
//! to go from hand to hand, whether it was contended, how many went past whom, and whether two ever held it together.
//!
//! A turn in which there is nothing to be done is told with its times alone (`worker/at_once.rs`). The stamps of all
//! processes are of one clock and never in a wrong order (`clock.rs`), so their order is that in which the lock was won.
//! It is found as soon as all that was won before a moment is known, which the reader of the pipes says: nothing stays
//! hidden from it, as it looks at what is not written yet (`shared/draft.rs`). Only a turn that a worker has not
//! told although it is over, or is still in, is missing then: its slot says since when, and its number is kept for it.

mod recent;

use super::decode::UNTOLD;
use super::ledger::Owner;
use crate::event::{Acquisition, Event, Turn, What};
use recent::Recent;
use std::collections::VecDeque;
use std::ops::RangeInclusive;

/// Who waited this long, in ns, waited for somebody, and not only for a processor.
const LONG_NS: u64 = 10_000_000;
/// So many doubts about the clock are remembered: a few seconds of them.
const DOUBTS: usize = 8;
/// More of anything is told as this.
const MOST: u64 = UNTOLD as u64 - 1;

/// What a worker's slot says: it waits, or holds the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// Whose slot.
    pub owner: Owner,
    /// What it says.
    pub what: Seen,
    /// When it asked for the lock, in ns since the run began.
    pub asked: u64,
}

/// What it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Neither.
    Nothing,
    /// It waits.
    Waits,
    /// It is in a turn, or the turn is over and has not been told.
    Holds {
        /// When it won the lock, in ns since the run began.
        at: u64,
        /// When it was about to release it, if it was.
        ended: Option<u64>,
    },
}

/// Puts the turns of all workers in their order.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// Number of the latest acquisition.
    seq: u64,
    /// When it was won, in ns since the run began.
    won: u64,
    /// When that turn ended, in ns since the run began, where that is known.
    end: Option<u64>,
    /// The latest end of any turn, and whose it was.
    ended: (u64, Option<Owner>),
    recent: Recent,
    /// By the worker's number less one.
    workers: Vec<Known>,
    /// Who won last, where it is not known yet when that turn ended.
    open: Option<Owner>,
    /// What happened when more is yet to be known.
    rest: Vec<Event>,
    doubts: VecDeque<RangeInclusive<u64>>,
    /// The latest pause, in ns since the run began.
    pause: (u64, u64),
    violations: Vec<Event>,
}

/// What is known of a worker.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// Since when it waits, and the number of the latest acquisition at that time.
    wait: Option<(u64, u64)>,
    /// When it won its latest turn, and the number of that.
    won: (u64, u64),
    kept: Option<Kept>,
    /// Who won the lock next, when, and as which acquisition, where it was not known when this one's turn ended.
    next: Option<(Owner, u64, u64)>,
    /// Any of the three is there.
    more: bool,
}

/// A number kept for a turn that is not told yet.
#[derive(Clone, Copy, Debug)]
struct Kept {
    at: u64,
    seq: u64,
    /// Number of the latest acquisition when it was asked for.
    before: u64,
    /// When the turn before it ended.
    end_before: Option<u64>,
}

/// Turns of one worker that are to be placed.
struct List<'a> {
    owner: Owner,
    turns: &'a mut [Turn],
    /// When the first of them was won.
    t: u64,
    /// Which event they are of.
    event: usize,
}

impl Places {
    /// Whether any of `events` has no place yet, or others wait for theirs.
    pub fn concern(&self, events: &[Event]) -> bool {
        !self.rest.is_empty() || events.iter().any(|event| event.lock == 0 && is_without(&event.what))
    }

    /// Whether any wait for more to be known.
    pub fn are_wanting(&self) -> bool {
        !self.rest.is_empty()
    }

    /// In this time, in ns since the run began, the clock may have told a wrong order.
    pub fn doubt(&mut self, time: RangeInclusive<u64>) {
        self.doubts.truncate(DOUBTS - 1);
        self.doubts.push_front(time);
    }

    /// Takes note of `events`, all of which have their places.
    pub fn follow(&mut self, events: &[Event]) {
        for event in events.iter().filter(|event| event.lock == 0) {
            let (owner, t) = (owner(event), event.t);
            match &event.what {
                What::Acquired(won) => self.had_its_place(owner, t, won.seq, None),
                What::Cycle { acquired, held_ns } => {
                    self.had_its_place(owner, t, acquired.seq, Some(t.saturating_add(*held_ns)));
                }
                What::Turns(turns) => {
                    let last = turns.last();
                    last.into_iter().for_each(|turn| self.had_its_place(owner, turn.t, turn.seq, Some(turn.end())));
                }
                What::Released { seq, .. } => self.is_over(owner, *seq, t),
                what => self.other(owner, t, what),
            }
        }
        self.recent.turn();
    }

    /// `owner` won the lock at `t` as acquisition `seq`, which is known from the ledger.
    fn had_its_place(&mut self, owner: Owner, t: u64, seq: u64, end: Option<u64>) {
        *self.known(owner) = Known { won: (t, seq), ..Known::default() };
        if self.open == Some(owner) {
            self.open = None;
        }
        self.come_to(seq, t, end);
        end.into_iter().for_each(|end| self.is_over(owner, seq, end));
    }

    /// The lock was won at `t` as acquisition `seq`.
    fn come_to(&mut self, seq: u64, t: u64, end: Option<u64>) {
        if seq > self.seq {
            (self.seq, self.won, self.end) = (seq, t, end);
            self.recent.note(seq, t);
        }
    }

    /// Gives `events`, which are in the order of their times, back with their places, as far as they happened before
    /// `until`: all that was told before then is known. The others stay here until the next time. `sights` tell what the
    /// workers were seen to do then.
    pub fn place(&mut self, events: &mut Vec<Event>, until: u64, sights: &[Sight]) {
        self.recent.turn();
        let won = |sight: &Sight| match sight.what {
            Seen::Holds { at, .. } => Some(at).filter(|at| *at < until),
            _ => None,
        };
        let mut untold: Vec<(u64, &Sight)> = sights.iter().filter_map(|s| Some((won(s)?, s))).collect();
        untold.sort_unstable_by_key(|(at, _)| *at);
        let mut untold = untold.into_iter().peekable();
        let mut lists: Vec<List<'_>> = Vec::new();
        let (mut coming, mut next) = (events.as_mut_slice(), 0);
        loop {
            let starts = coming.first().map_or(u64::MAX, |event| event.t);
            let seen = untold.peek().map_or(u64::MAX, |(at, _)| *at);
            let (mut first, mut other, mut at) = (u64::MAX, starts.min(seen), 0);
            for (i, list) in lists.iter().enumerate() {
                if list.t < first {
                    (other, first, at) = (other.min(first), list.t, i);
                } else {
                    other = other.min(list.t);
                }
            }
            if first.min(other) >= until {
                break;
            }
            if first <= other {
                let Some(list) = lists.get_mut(at) else { break };
                self.go_on(list, other.min(until));
                if list.turns.is_empty() {
                    lists.swap_remove(at);
                }
            } else if seen < starts {
                untold.next().into_iter().for_each(|(_, s)| self.keep_a_place(s));
            } else {
                let Some((event, others)) = std::mem::take(&mut coming).split_first_mut() else { break };
                coming = others;
                let owner = owner(event);
                if !matches!(event.what, What::Turns(_)) {
                    self.single(event);
                } else if let Event { lock: 0, t, what: What::Turns(turns), .. } = event {
                    lists.push(List { owner, turns, t: *t, event: next });
                }
                next += 1;
            }
        }
        let left: Vec<(usize, usize)> = lists.iter().map(|list| (list.event, list.turns.len())).collect();
        self.rest = events.split_off(next);
        for (place, left) in left {
            if let Some(Event { t, lock, actor, pid, what: What::Turns(turns) }) = events.get_mut(place) {
                let later = turns.split_off(turns.len().saturating_sub(left));
                let t = later.first().map_or(*t, |turn| turn.t);
                self.rest.push(Event { t, lock: *lock, actor: *actor, pid: *pid, what: What::Turns(later) });
            }
        }
        events.retain(|event| !matches!(&event.what, What::Turns(turns) if turns.is_empty()));
        events.append(&mut self.violations);
        for s in sights.iter().filter(|s| s.what == Seen::Waits && s.asked < until) {
            self.note_a_wait(s.owner, s.asked);
        }
    }

    /// What happened when more was yet to be known.
    pub fn take_rest(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.rest)
    }

    /// Places the turns of a list that were won before `until`, at least one.
    fn go_on(&mut self, list: &mut List<'_>, until: u64) {
        let turns = std::mem::take(&mut list.turns);
        let mut n = 0;
        while let Some(turn) = turns.get_mut(n).filter(|turn| turn.t < until || n == 0) {
            if !self.goes_on_plainly(list.owner, turn) {
                self.turn(list.owner, turn);
            }
            n += 1;
        }
        list.turns = turns.get_mut(n..).unwrap_or_default();
        list.t = list.turns.first().map_or(u64::MAX, |turn| turn.t);
    }

    /// Places a turn where nothing needs to be known but the order; `false` where more does. Almost all are so: it is what
    /// the reader does a million times a second.
    #[inline]
    fn goes_on_plainly(&mut self, owner: Owner, turn: &mut Turn) -> bool {
        let place = (owner.worker as usize).wrapping_sub(1);
        let Some(known) = self.workers.get_mut(place).filter(|known| !known.more) else { return false };
        let (t, seq) = (turn.t, self.seq + 1);
        if turn.overtaken != UNTOLD || self.open.is_some() || t < self.ended.0 || !self.recent.goes_on_with(seq) {
            return false;
        }
        let (asked, end) = (turn.asked(), turn.end());
        if asked <= self.pause.1 {
            return false;
        }
        (turn.seq, turn.handoff_ns, turn.overtaken) = (seq, None, 0);
        let end_before = self.end.filter(|end| *end > asked);
        turn.contended |= end_before.is_some() || waited_long(turn.waited_ns.into());
        if turn.contended {
            turn.handoff_ns = end_before.map(|end| t.saturating_sub(end).min(MOST) as u32);
            turn.overtaken = (seq - 1 - self.recent.until(asked)).min(MOST) as u32;
        }
        self.recent.now.push(t);
        known.won = (t, seq);
        (self.seq, self.won, self.end, self.ended) = (seq, t, Some(end), (end, Some(owner)));
        true
    }

    #[inline]
    fn turn(&mut self, owner: Owner, turn: &mut Turn) {
        let end = turn.end();
        if turn.overtaken != UNTOLD {
            return self.had_its_place(owner, turn.t, turn.seq, Some(end));
        }
        let place = self.win(owner, (turn.t, turn.asked()), turn.seq, turn.contended, Some(end));
        (turn.seq, turn.contended) = (place.seq, place.contended);
        turn.handoff_ns = place.handoff.map(|ns| ns.min(MOST) as u32);
        turn.overtaken = place.overtaken.min(MOST) as u32;
    }

    fn single(&mut self, event: &mut Event) {
        if event.lock != 0 {
            return;
        }
        let (owner, t) = (owner(event), event.t);
        let mut won = |won: &mut Acquisition, end| {
            if won.overtaken != u64::from(UNTOLD) {
                return self.had_its_place(owner, t, won.seq, end);
            }
            let place = self.win(owner, (t, t.saturating_sub(won.waited_ns)), won.seq, won.contended, end);
            (won.seq, won.contended) = (place.seq, place.contended);
            (won.handoff_ns, won.overtaken) = (place.handoff, place.overtaken);
        };
        match &mut event.what {
            What::Acquired(acquired) => won(acquired, None),
            What::Cycle { acquired, held_ns } => won(acquired, Some(t.saturating_add(*held_ns))),
            What::Released { seq, .. } => {
                if *seq == 0 {
                    *seq = self.known(owner).won.1;
                }
                self.is_over(owner, *seq, t);
            }
            what => self.other(owner, t, what),
        }
    }

    /// What is neither won nor released.
    fn other(&mut self, owner: Owner, t: u64, what: &What) {
        match what {
            What::Waiting { .. } => self.note_a_wait(owner, t),
            What::GaveUp { .. } => self.known(owner).wait = None,
            What::Paused => self.pause = (t, u64::MAX),
            What::Resumed => self.pause.1 = t,
            _ => {}
        }
    }

    /// From `end` to `t`; a pause is no part of it.
    fn handoff(&self, end: u64, t: u64) -> u64 {
        let (from, to) = self.pause;
        t.saturating_sub(end).saturating_sub(t.min(to).saturating_sub(end.max(from)))
    }

    /// `owner` won the lock at `t`, having asked for it at `asked`, as acquisition `seq` if that is known.
    #[inline]
    fn win(&mut self, owner: Owner, (t, asked): (u64, u64), seq: u64, contended: bool, end: Option<u64>) -> Place {
        let waited = t.saturating_sub(asked);
        let known = self.known(owner);
        let wait = known.wait.take().filter(|(since, _)| (known.won.0..=t).contains(since));
        let kept = known.kept.take().filter(|kept| kept.at == t);
        known.next = known.next.filter(|_| kept.is_some());
        known.more = known.next.is_some();
        let seq = match (seq, &kept) {
            (0, Some(kept)) => kept.seq,
            (0, None) => self.seq + 1,
            (seq, _) => seq,
        };
        // Others have had it since: its number is from the ledger, which has seen for itself that it was free.
        let late = kept.is_none() && seq <= self.seq;
        self.known(owner).won = (t, seq);
        let end_before = kept.map_or(self.end, |kept| kept.end_before).filter(|_| !late);
        let asked = wait.map_or(asked, |(since, _)| since);
        let end_before = end_before.filter(|end| *end > asked);
        let contended = contended || end_before.is_some() || waited_long(waited);
        let before = match (wait, kept) {
            _ if !contended => seq - 1,
            (Some((_, before)), _) => before,
            (None, Some(kept)) => kept.before,
            (None, None) => self.recent.until(asked),
        };
        if kept.is_none() && !late {
            self.comes_next(owner, t, seq, end);
        }
        end.into_iter().for_each(|end| self.is_over(owner, seq, end));
        // A pause may be told after what was won in it: the wait, which is the worker's own, leaves it out all the same.
        let handoff = end_before.map(|end| self.handoff(end, t).min(waited));
        let overtaken = seq.saturating_sub(before).saturating_sub(1);
        Place { seq, contended, handoff, overtaken }
    }

    /// The order goes on with a turn that `owner` won at `t`, and ended as far as is known.
    #[inline]
    fn comes_next(&mut self, owner: Owner, t: u64, seq: u64, end: Option<u64>) {
        // One before it in its own place died in that turn, and before this one was born.
        if let Some(other) = self.open.take().filter(|other| other.worker != owner.worker) {
            let other = self.known(other);
            (other.next, other.more) = (Some((owner, t, seq)), true);
        }
        if let (ended, Some(other)) = self.ended
            && t < ended
            && other != owner
        {
            self.accuse(owner, t, seq, other, ended);
        }
        if end.is_none() {
            self.known(owner).next = None;
            self.open = Some(owner);
        }
        self.come_to(seq, t, end);
    }

    /// Keeps a number for a turn that is seen in a slot.
    fn keep_a_place(&mut self, sight: &Sight) {
        let Sight { owner, what: Seen::Holds { at, ended }, asked } = *sight else { return };
        let (seq, won, end_before, until) = (self.seq + 1, self.won, self.end, self.recent.until(asked));
        let known = self.known(owner);
        if let Some(kept) = known.kept.filter(|kept| kept.at == at) {
            return ended.into_iter().for_each(|end| self.is_over(owner, kept.seq, end));
        }
        // Where others have won it since, it is one that was in the ledger when they did, and has its number from there.
        if at <= known.won.0.max(won) {
            return;
        }
        let before = known.wait.filter(|(since, _)| *since == asked).map_or(until, |(_, before)| before);
        // Whoever came after a turn that is never told, as who was in it died, came after that one.
        (known.kept, known.next, known.more) = (Some(Kept { at, seq, before, end_before }), None, true);
        self.comes_next(owner, at, seq, ended);
        ended.into_iter().for_each(|end| self.is_over(owner, seq, end));
    }

    /// Notes how far the others were at `since`, when this one began to wait: when its wait ends, that may be long ago.
    fn note_a_wait(&mut self, owner: Owner, since: u64) {
        if self.known(owner).wait.is_none_or(|(noted, _)| noted != since) {
            let before = self.recent.until(since);
            let known = self.known(owner);
            (known.wait, known.more) = (Some((since, before)), true);
        }
    }

    /// The turn of `owner` that had number `seq` ended at `end`.
    fn is_over(&mut self, owner: Owner, seq: u64, end: u64) {
        if seq == self.seq {
            self.end = Some(end);
        }
        if self.open == Some(owner) {
            self.open = None;
        }
        if let Some((by, at, seq)) = self.known(owner).next.take()
            && end > at
        {
            self.accuse(by, at, seq, owner, end);
        }
        if end > self.ended.0 {
            self.ended = (end, Some(owner));
        }
    }

    /// `by` won the lock at `t` while `other` held it, until `end`.
    #[cold]
    fn accuse(&mut self, by: Owner, t: u64, seq: u64, other: Owner, end: u64) {
        if self.doubts.iter().any(|time| time.contains(&t) || time.contains(&end)) {
            return;
        }
        let what = What::Violation { seq, other: other.worker, other_pid: other.pid as i32 };
        self.violations.push(super::decode::said(t, by, what));
    }

    #[inline]
    fn known(&mut self, owner: Owner) -> &mut Known {
        let place = (owner.worker as usize).saturating_sub(1);
        if place >= self.workers.len() {
            self.workers.resize(place + 1, Known::default());
        }
        &mut self.workers[place]
    }
}

/// What is found.
struct Place {
    seq: u64,
    contended: bool,
    handoff: Option<u64>,
    overtaken: u64,
}

/// Whether somebody else had it who is not known to: who died in its turn, or is none of the workers.
fn waited_long(ns: u64) -> bool {
    ns >= LONG_NS
}

fn owner(event: &Event) -> Owner {
    Owner { worker: event.actor, pid: event.pid as u32 }
}

/// Whether the place is to be found of what was won, or of any of it.
fn is_without(what: &What) -> bool {
    match what {
        What::Turns(turns) => turns.iter().any(|turn| turn.overtaken == UNTOLD),
        What::Cycle { acquired, .. } | What::Acquired(acquired) => acquired.overtaken == u64::from(UNTOLD),
        What::Released { seq, .. } => *seq == 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
