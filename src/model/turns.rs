//! Whole turns, which come by the million a second: the same as their events, without the states in between, which
//! nobody sees. Turns of one actor in a row are taken in figure by figure rather than turn by turn: so each figure stays
//! in the processor's nearest cache for all of them.

use super::history::NAMED_NS;
use super::{Actor, Model, State, contest};
use crate::event::{Acquisition, ActorId, Event, LockKind, LockMode, MAX_ACTORS, Turn};

impl Model {
    pub(super) fn cycle(&mut self, event: &Event, won: &Acquisition, held_ns: u64) {
        let (id, t) = (event.actor, event.t);
        let end = t.saturating_add(held_ns);
        self.now = self.now.max(end);
        if id == 0 || id > MAX_ACTORS {
            return;
        }
        let active = self.active(end);
        let actor = self.actor_mut(id);
        if event.pid != 0 {
            actor.pid = event.pid;
        }
        if t < actor.since {
            self.turn_begins(id, t, won);
            // Older than the state it is in, which so says nothing of this turn's mode.
            self.actor_released(id, end, held_ns, won.mode);
            return self.set_state(id, State::Thinking, end);
        }
        actor.turned(t, active, won, held_ns);
        if actor.state == State::Thinking {
            (actor.since, actor.since_active) = (end, active);
        } else {
            self.set_state(id, State::Thinking, end);
        }
        self.acquired(id, t, won);
        self.released(id, active, held_ns, won.mode);
    }

    /// The same as [`Model::cycle`] of each.
    pub(super) fn turns(&mut self, event: &Event, turns: &[Turn]) {
        let one = |model: &mut Self, turn: &Turn| {
            let single = Event { t: turn.t, what: turn.cycle(), ..*event };
            model.cycle(&single, &turn.acquisition(), u64::from(turn.held_ns));
        };
        let mut rest = turns;
        if self.at_work(event.actor).is_none() {
            // The first one may end something else.
            let Some((first, others)) = turns.split_first() else { return };
            one(self, first);
            rest = others;
        }
        match self.at_work(event.actor).and_then(|since| Sums::of(since, rest)) {
            Some(sums) => self.in_a_row(event, rest, &sums),
            None => rest.iter().for_each(|turn| one(self, turn)),
        }
    }

    /// Since when an actor is between two turns, where the lab was neither paused nor reset since.
    fn at_work(&self, id: ActorId) -> Option<u64> {
        let since = self.actor(id).filter(|actor| actor.state == State::Thinking)?.since;
        let active = self.active(since);
        (!self.is_paused() && active >= self.reset_active && active > 0).then_some(since)
    }

    /// Turns one after the other, and nothing else in between.
    fn in_a_row(&mut self, event: &Event, turns: &[Turn], sums: &Sums) {
        let id = event.actor;
        let Some(last) = turns.last() else { return };
        // The same for all of them: nothing was paused meanwhile.
        let paused = last.t - self.active(last.t);
        self.now = self.now.max(last.end());
        let Some(actor) = self.actors.get_mut((id as usize).wrapping_sub(1)) else { return };
        if event.pid != 0 {
            actor.pid = event.pid;
        }
        let before = actor.holding_seq;
        actor.turned_often(turns, sums, paused);
        self.wait.record_all(turns.iter().map(|turn| (turn.t - paused, turn.waited_ns)), Some(&mut actor.wait));
        self.hold.record_all(turns.iter().map(|turn| (turn.end() - paused, turn.held_ns)), Some(&mut actor.hold));

        self.acquisitions += turns.len() as u64;
        self.contended += sums.contended;
        self.last_seq = self.last_seq.max(sums.seq);
        self.overtaken_max = self.overtaken_max.max(u64::from(sums.overtaken));
        let runs = self.order.won_all(turns.iter().map(|turn| turn.seq), id);
        self.contested(id, turns, sums, runs, before, paused);
        if sums.handoffs {
            self.handoff.record_all(turns.iter().filter_map(|turn| Some((turn.t - paused, turn.handoff_ns?))), None);
        }
        let holds = turns.iter().map(|turn| (turn.t - paused, turn.end() - paused));
        self.timeline.held_in_a_row(holds.clone(), sums.held);
        if sums.exclusive && !self.has_parts() {
            self.busy.add_all(last.end() - paused, sums.held);
        } else {
            for (turn, (from, to)) in turns.iter().zip(holds.clone()) {
                self.was_busy(from, to, turn.mode);
            }
        }
        if u64::from(sums.longest) >= NAMED_NS {
            holds.for_each(|(from, to)| self.holds.add(from, to, id));
        }
    }

    /// Who came when, of turns in a row, of which so many `runs` have numbers that follow each other; the actor's turn
    /// before them had the number `before`.
    fn contested(&mut self, id: ActorId, turns: &[Turn], sums: &Sums, runs: u64, before: u64, paused: u64) {
        let again = |before: u64, turn: &Turn| before != 0 && before.saturating_add(1) == turn.seq;
        let first = turns.first().filter(|turn| !again(before, turn));
        let pairs = turns.windows(2).filter(|pair| matches!(pair, [a, b] if !again(a.seq, b)));
        // The first of each run, but for one that goes on.
        let mut own = first.into_iter().chain(pairs.filter_map(|pair| pair.last()));
        let took = |n, first: &Turn, last: &Turn| contest::Turns {
            actor: id,
            mode: first.mode,
            n,
            asked: (first.asked() - paused, last.asked() - paused),
        };
        let (n, actors) = (runs - u64::from(first.is_none()), self.actors.len());
        if n > 0 && sums.one_mode() {
            let first = own.next();
            let last = if n == 1 { first } else { own.next_back() };
            first.zip(last).into_iter().for_each(|(first, last)| self.contest.took(took(n, first, last), actors));
        } else if n > 0 {
            own.for_each(|turn| self.contest.took(took(1, turn, turn), actors));
        }
        let free = turns.iter().rev().zip(0..).find(|(turn, _)| !turn.contended).filter(|_| self.waiting == 0);
        self.contest.won(turns.len() as u64, free.map(|(turn, since)| (turn.t - paused, since)));
    }

    /// Whether parts of the file may be held side by side, exclusively too: those of a watch's record locks.
    pub(super) fn has_parts(&self) -> bool {
        self.begin.watch.is_some() && self.info.kind != LockKind::Flock
    }
}

/// What many turns come to.
struct Sums {
    waited: u64,
    held: u64,
    contended: u64,
    /// The highest number.
    seq: u64,
    /// The most overtaken.
    overtaken: u32,
    /// The longest hold, in ns.
    longest: u32,
    /// Any was handed over.
    handoffs: bool,
    /// All were exclusive.
    exclusive: bool,
    /// All were shared.
    shared: bool,
}

impl Sums {
    /// Of `turns`, none of which was asked for before `since`; none where they overlap.
    fn of(since: u64, turns: &[Turn]) -> Option<Self> {
        let mut sums = Self {
            waited: 0,
            held: 0,
            contended: 0,
            seq: 0,
            overtaken: 0,
            longest: 0,
            handoffs: false,
            exclusive: true,
            shared: true,
        };
        let (mut end, mut in_order) = (since, true);
        for turn in turns {
            in_order &= end.saturating_add(u64::from(turn.waited_ns)) <= turn.t;
            end = turn.end();
            sums.waited += u64::from(turn.waited_ns);
            sums.held += u64::from(turn.held_ns);
            sums.contended += u64::from(turn.contended);
            sums.seq = sums.seq.max(turn.seq);
            sums.overtaken = sums.overtaken.max(turn.overtaken);
            sums.longest = sums.longest.max(turn.held_ns);
            sums.handoffs |= turn.handoff_ns.is_some();
            sums.exclusive &= turn.mode == LockMode::Exclusive;
            sums.shared &= turn.mode == LockMode::Shared;
        }
        in_order.then_some(sums)
    }

    fn one_mode(&self) -> bool {
        self.exclusive || self.shared
    }
}

impl Actor {
    /// See [`Model::in_a_row`]; for so many ns the lab was `paused` before.
    fn turned_often(&mut self, turns: &[Turn], sums: &Sums, paused: u64) {
        let Some(last) = turns.last() else { return };
        self.got += turns.len() as u64;
        self.deaths = 0;
        self.failed = None;
        self.last_wait = Some(u64::from(last.waited_ns));
        self.overtaken_max = self.overtaken_max.max(u64::from(sums.overtaken));
        let waits = turns.iter().map(|turn| (turn.t - paused - u64::from(turn.waited_ns), turn.t - paused));
        self.timeline.waited_in_a_row(waits, sums.waited);
        let holds = turns.iter().map(|turn| (turn.t - paused, turn.end() - paused));
        self.timeline.held_in_a_row(holds, sums.held);
        self.history.turned_often(turns, self.before);
        (self.since, self.since_active) = (last.end(), last.end() - paused);
        self.holding_seq = last.seq;
    }
}
