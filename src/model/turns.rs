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
            return self.turn_ends(id, end, held_ns);
        }
        actor.turned(t, active, won, held_ns);
        if actor.state == State::Thinking {
            (actor.since, actor.since_active) = (end, active);
        } else {
            self.set_state(id, State::Thinking, end);
        }
        self.acquired(id, t, won);
        self.released(id, end, active, held_ns, won.mode);
    }

    /// The same as [`Model::cycle`] of each.
    pub(super) fn turns(&mut self, event: &Event, turns: &[Turn]) {
        let one = |model: &mut Self, turn: &Turn| {
            let single = Event { t: turn.t, what: turn.cycle(), ..*event };
            model.cycle(&single, &turn.acquisition(), u64::from(turn.held_ns));
        };
        let Some((first, rest)) = turns.split_first() else { return };
        one(self, first);
        if self.are_in_a_row(event.actor, first, rest) {
            self.in_a_row(event.actor, rest);
        } else {
            rest.iter().for_each(|turn| one(self, turn));
        }
    }

    /// Whether the actor, after its turn `first`, made those of `rest` one after the other and nothing else, while
    /// nothing happened to the lab.
    fn are_in_a_row(&self, id: ActorId, first: &Turn, rest: &[Turn]) -> bool {
        let in_order = |a: &Turn, b: &Turn| a.end().checked_add(u64::from(b.waited_ns)).is_some_and(|t| t <= b.t);
        self.actor(id).is_some_and(|a| a.state == State::Thinking && a.since == first.end())
            && !self.is_paused()
            && self.active(first.end()) >= self.reset_active
            && self.active(first.end()) > 0
            && rest.first().is_some_and(|second| in_order(first, second))
            && rest.is_sorted_by(in_order)
    }

    fn in_a_row(&mut self, id: ActorId, turns: &[Turn]) {
        let (Some(last), actors) = (turns.last(), self.actors.len()) else { return };
        // The same for all of them: nothing was paused meanwhile.
        let paused = last.t - self.active(last.t);
        let sums = Sums::of(turns);
        self.now = self.now.max(last.end());
        let Some(actor) = self.actors.get_mut((id as usize).wrapping_sub(1)) else { return };
        let mut before = actor.holding_seq;
        actor.turned_often(turns, &sums, paused);

        self.acquisitions += turns.len() as u64;
        self.contended += sums.contended;
        self.last_seq = self.last_seq.max(sums.seq);
        self.overtaken_max = self.overtaken_max.max(u64::from(sums.overtaken));
        for run in turns.chunk_by(|a, b| a.seq.checked_add(1) == Some(b.seq)) {
            self.won_in_a_row(id, actors, run, before, paused);
            before = run.last().map_or(before, |turn| turn.seq);
        }
        self.wait.record_all(turns.iter().map(|turn| (turn.t, turn.waited_ns)));
        if sums.handoffs {
            for turn in turns {
                turn.handoff_ns.into_iter().for_each(|ns| self.handoff.record(turn.t, u64::from(ns)));
            }
        }
        self.hold.record_all(turns.iter().map(|turn| (turn.end(), turn.held_ns)));
        let holds = turns.iter().map(|turn| (turn.t - paused, turn.end() - paused));
        self.timeline.held_in_a_row(holds.clone(), sums.held);
        let parts = self.has_parts();
        if sums.exclusive && !parts {
            self.busy.add_all(last.end() - paused, sums.held);
        } else {
            for (turn, (from, to)) in turns.iter().zip(holds.clone()) {
                self.busy.add(from, to, turn.mode == LockMode::Exclusive && !parts);
            }
        }
        if u64::from(sums.longest) >= NAMED_NS {
            holds.for_each(|(from, to)| self.holds.add(from, to, id));
        }
    }

    /// Acquisitions that follow each other in the total order, the one before which this actor had too being `before`.
    fn won_in_a_row(&mut self, id: ActorId, actors: usize, run: &[Turn], before: u64, paused: u64) {
        let Some(first) = run.first() else { return };
        let n = run.len() as u64;
        self.order.won_in_a_row(first.seq, n, id);
        let again = before != 0 && before.saturating_add(1) == first.seq;
        let asked = first.t - paused - u64::from(first.waited_ns);
        self.contest.won(contest::Turn { actor: id, mode: first.mode, asked }, again, None, actors);
        self.contest.won_again(n - 1);
        if self.waiting == 0
            && let Some((last_free, turn)) = run.iter().enumerate().rfind(|(_, turn)| !turn.contended)
        {
            self.contest.calm(turn.t - paused);
            self.contest.won_again(n - 1 - last_free as u64);
        }
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
}

impl Sums {
    fn of(turns: &[Turn]) -> Self {
        let none = Self {
            waited: 0,
            held: 0,
            contended: 0,
            seq: 0,
            overtaken: 0,
            longest: 0,
            handoffs: false,
            exclusive: true,
        };
        turns.iter().fold(none, |sums, turn| Self {
            waited: sums.waited + u64::from(turn.waited_ns),
            held: sums.held + u64::from(turn.held_ns),
            contended: sums.contended + u64::from(turn.contended),
            seq: sums.seq.max(turn.seq),
            overtaken: sums.overtaken.max(turn.overtaken),
            longest: sums.longest.max(turn.held_ns),
            handoffs: sums.handoffs | turn.handoff_ns.is_some(),
            exclusive: sums.exclusive & (turn.mode == LockMode::Exclusive),
        })
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
        self.wait.record_all(turns.iter().map(|turn| turn.waited_ns));
        self.hold.record_all(turns.iter().map(|turn| turn.held_ns));
        let waits = turns.iter().map(|turn| (turn.t - paused - u64::from(turn.waited_ns), turn.t - paused));
        self.timeline.waited_in_a_row(waits, sums.waited);
        let holds = turns.iter().map(|turn| (turn.t - paused, turn.end() - paused));
        self.timeline.held_in_a_row(holds, sums.held);
        self.history.turned_often(turns, self.before);
        (self.since, self.since_active) = (last.end(), last.end() - paused);
        self.holding_seq = last.seq;
    }
}
