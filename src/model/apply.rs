//! What each event changes. Whole turns ([`What::Cycle`], [`What::Turns`]) have a path of their own: `turns.rs`.

use super::contest::{Contest, Turns};
use super::fairness::Order;
use super::history::{Became, Holds};
use super::runs::{End, Run};
use super::timeline::{Marks, Timeline};
use super::{Actor, Busy, Model, Note, State, Windowed};
use crate::event::{Acquisition, ActorId, Event, LockMode, MAX_ACTORS, What};

/// How many of the latest notable happenings are kept for the screen and the summary.
const NOTES_KEPT: usize = 200;

impl Model {
    /// Takes in one event. Order matters only within an actor; any order is survived.
    pub fn apply(&mut self, event: &Event) {
        match &event.what {
            What::Cycle { acquired, held_ns } => return self.cycle(event, acquired, *held_ns),
            What::Turns(turns) => return self.turns(event, turns),
            _ => {}
        }
        self.now = self.now.max(event.t);
        let t = event.t;
        match &event.what {
            What::Paused => return self.pauses.begin(t),
            What::Resumed => return self.pauses.end(t),
            What::Settings { hold_ns, think_ns } => {
                self.hold_ns = *hold_ns;
                self.think_ns = *think_ns;
                return;
            }
            What::PathChanged { was, now } => {
                self.path = (Some(*was) != *now).then_some((*was, *now));
                self.note(event, false);
                return;
            }
            What::Reset => return self.reset(t),
            What::Warning { text } => {
                self.warning = Some(text.clone());
                self.note(event, false);
                return;
            }
            What::Dropped { count } => self.dropped = self.dropped.saturating_add(*count),
            // Findings are found again from what they were found in.
            What::Finding { .. } | What::Ended => return,
            What::Announced(info) => {
                self.info.clone_from(info);
                if self.acquisitions == 0 {
                    self.contest.calm(self.active(t));
                }
                return;
            }
            _ => {}
        }
        if event.actor == 0 || event.actor > MAX_ACTORS {
            return;
        }
        let known_pid = self.actor_mut(event.actor).pid;
        if event.pid != 0 {
            self.actor_mut(event.actor).pid = event.pid;
        }
        let was_holding = self.holders.contains(&event.actor);
        match &event.what {
            What::Spawned => {
                let active = self.active(t);
                self.actor_mut(event.actor).spawned(active);
                self.set_state(event.actor, State::Starting, t);
            }
            What::Seen(task) if known_pid == event.pid && self.actor_mut(event.actor).is(task) => {
                self.actor_mut(event.actor).task = Some(task.clone());
                return;
            }
            What::Seen(task) => {
                // The one whose number this was is gone: it neither holds nor waits.
                self.wait_ends(event.actor, t);
                self.set_state(event.actor, State::Removed, t);
                let active = self.active(t);
                self.actor_mut(event.actor).seen(task.clone(), active);
                self.set_state(event.actor, State::Thinking, t);
            }
            What::Found { mode, holds } => {
                self.set_state(event.actor, if *holds { State::Holding(*mode) } else { State::Waiting(*mode) }, t);
                let active = self.active(t);
                let actor = self.actor_mut(event.actor);
                actor.before = true;
                actor.timeline.mark(active, Marks::FOUND);
                if *holds {
                    actor.history.found(t, *mode);
                }
            }
            What::Waiting { mode } => {
                self.set_state(event.actor, State::Waiting(*mode), t);
                // One that tried before stands in the queue now.
                self.actor_mut(event.actor).tries = 0;
            }
            What::Tried { mode, count } => {
                self.set_state(event.actor, State::Waiting(*mode), t);
                let actor = self.actor_mut(event.actor);
                actor.tries = actor.tries.saturating_add(*count);
            }
            What::Keepers(keepers) => self.actor_mut(event.actor).keepers = Some(keepers.clone()),
            What::Condition(condition) => self.actor_mut(event.actor).condition = (*condition, t),
            What::Acquired(won) => self.turn_begins(event.actor, t, won),
            What::Released { held_ns, .. } => self.turn_ends(event.actor, t, *held_ns),
            What::Ran { seq, code, signal, ran_ns } => {
                let run = Run { t, seq: *seq, end: End::of(*code, *signal), ran_ns: *ran_ns };
                self.runs.get_or_insert_default().add(run);
                self.actor_mut(event.actor).runs.get_or_insert_default().add(run);
            }
            What::GaveUp { waited_ns } => {
                self.gave_up += 1;
                let active = self.active(t);
                self.actor_mut(event.actor).gave_up(active, *waited_ns);
                self.wait_ends(event.actor, t);
                self.set_state(event.actor, State::Thinking, t);
            }
            What::Left { waited_ns } => {
                let active = self.active(t);
                self.actor_mut(event.actor).left(active, *waited_ns);
                self.wait_ends(event.actor, t);
                self.set_state(event.actor, State::Thinking, t);
            }
            What::Exited { signal, .. } => {
                self.kills += u64::from(*signal == Some(9));
                if was_holding {
                    // The kernel released the lock: the hold that it ended is a hold all the same.
                    let (mode, since) = {
                        let a = self.actor_mut(event.actor);
                        (a.mode(), a.since_active)
                    };
                    let held = self.active(t).saturating_sub(since);
                    self.actor_released(event.actor, t, held, mode);
                }
                let killed = *signal;
                let active = self.active(t);
                self.goes_on(event.actor, t);
                self.actor_mut(event.actor).exited(active, killed);
                self.wait_ends(event.actor, t);
                self.set_state(event.actor, if killed.is_some() { State::Killed } else { State::Exited }, t);
                self.note(event, was_holding);
            }
            What::Removed => {
                self.wait_ends(event.actor, t);
                self.set_state(event.actor, State::Removed, t);
            }
            What::Failed { action, errno } => {
                self.failures += 1;
                self.actor_mut(event.actor).failed = Some((*action, *errno));
                self.note(event, was_holding);
            }
            What::Stopped => {
                let active = self.active(t);
                self.actor_mut(event.actor).stopped(t, active);
                self.note(event, was_holding);
            }
            What::Continued => {
                self.goes_on(event.actor, t);
                self.note(event, was_holding);
            }
            What::Violation { .. } => {
                self.violations += 1;
                self.violated = true;
                let active = self.active(t);
                self.actor_mut(event.actor).timeline.mark(active, Marks::VIOLATED);
                self.note(event, was_holding);
            }
            What::Dropped { count } => {
                let actor = self.actor_mut(event.actor);
                actor.dropped = actor.dropped.saturating_add(*count);
            }
            What::Paused
            | What::Resumed
            | What::Settings { .. }
            | What::PathChanged { .. }
            | What::Reset
            | What::Warning { .. }
            | What::Finding { .. }
            | What::Announced(_)
            | What::Cycle { .. }
            | What::Turns(_)
            | What::Ended => {}
        }
        let actor = self.actor_mut(event.actor);
        if let Some(became) = Became::of(&event.what, event.pid, was_holding, actor.restarts > 0) {
            actor.history.changed(t, became);
        }
    }

    /// Forgets the statistics so far, keeps who holds and who waits.
    fn reset(&mut self, t: u64) {
        self.reset_at = t;
        self.reset_active = self.active(t);
        self.busy = Busy { total: 0, until: self.reset_active };
        self.timeline = Timeline::default();
        self.holds = Holds::default();
        self.order = Order::default();
        self.contest = Contest::default();
        self.contest.calm(self.reset_active);
        self.wait = Windowed::default();
        self.hold = Windowed::default();
        self.handoff = Windowed::default();
        for counter in [
            &mut self.acquisitions,
            &mut self.contended,
            &mut self.gave_up,
            &mut self.kills,
            &mut self.violations,
            &mut self.dropped,
            &mut self.failures,
            &mut self.overtaken_max,
        ] {
            *counter = 0;
        }
        self.notes.clear();
        self.runs = None;
        self.actors.iter_mut().for_each(Actor::reset);
    }

    /// It waits no more and was not served: those who overtook it count all the same.
    fn wait_ends(&mut self, id: ActorId, t: u64) {
        let seq = self.last_seq;
        let actor = self.actor_mut(id);
        if actor.state.is_waiting() && t >= actor.since {
            let overtaken = seq.saturating_sub(actor.seq_at_wait);
            actor.overtaken_max = actor.overtaken_max.max(overtaken);
            self.overtaken_max = self.overtaken_max.max(overtaken);
        }
    }

    /// If its process was stopped, it is no more.
    fn goes_on(&mut self, id: ActorId, t: u64) {
        if let Some(since) = self.actor_mut(id).stopped_since.take() {
            let (since, active) = (self.active_at(since), self.active(t));
            self.actor_mut(id).timeline.mark_all(since, active, Marks::STOPPED);
        }
    }

    pub(super) fn turn_begins(&mut self, id: ActorId, t: u64, won: &Acquisition) {
        self.acquired(id, t, won);
        let active = self.active(t);
        self.actor_mut(id).acquired(t, active, won);
        self.set_state(id, State::Holding(won.mode), t);
    }

    pub(super) fn turn_ends(&mut self, id: ActorId, t: u64, held_ns: u64) {
        let mode = self.actor_mut(id).mode();
        self.actor_released(id, t, held_ns, mode);
        self.set_state(id, State::Thinking, t);
    }

    pub(super) fn actor_released(&mut self, id: ActorId, t: u64, held_ns: u64, mode: LockMode) {
        let active = self.active(t);
        self.released(id, active, held_ns, mode);
        self.actor_mut(id).released(active, held_ns);
    }

    pub(super) fn acquired(&mut self, id: ActorId, t: u64, won: &Acquisition) {
        self.acquisitions += 1;
        self.contended += u64::from(won.contended);
        self.last_seq = self.last_seq.max(won.seq);
        self.overtaken_max = self.overtaken_max.max(won.overtaken);
        self.order.won(won.seq, id);
        let active = self.active(t);
        let last = std::mem::replace(&mut self.actor_mut(id).holding_seq, won.seq);
        let again = last != 0 && last.saturating_add(1) == won.seq;
        if !again {
            let asked = active.saturating_sub(won.waited_ns);
            let turns = Turns { actor: id, mode: won.mode, n: 1, asked: (asked, asked) };
            self.contest.took(turns, self.actors.len());
        }
        self.contest.won(1, (!won.contended && self.waiting == 0).then_some((active, 0)));
        self.wait.record(active, won.waited_ns);
        if let Some(ns) = won.handoff_ns {
            self.handoff.record(active, ns);
        }
    }

    /// A hold ended at `to` on the active clock.
    pub(super) fn released(&mut self, id: ActorId, to: u64, held_ns: u64, mode: LockMode) {
        self.hold.record(to, held_ns);
        let from = to.saturating_sub(held_ns).max(self.reset_active);
        self.was_busy(from, to, mode);
        self.timeline.held(from, to);
        self.holds.add(from, to, id);
    }

    /// Somebody held it from `from` to `to`, maybe beside others: who holds it still has it since before, all the time.
    pub(super) fn was_busy(&mut self, from: u64, to: u64, mode: LockMode) {
        let alone = mode == LockMode::Exclusive && !self.has_parts();
        let first = if alone || from <= self.busy.until {
            from
        } else {
            self.holders().map(|a| a.since_active).min().map_or(from, |since| since.min(from))
        };
        self.busy.add(first, to, alone);
    }

    /// An event older than the state an actor is known to be in counts, but does not turn its state back.
    pub(super) fn set_state(&mut self, id: ActorId, state: State, t: u64) {
        let active = self.active(t);
        let seq = self.last_seq;
        let actor = self.actor_mut(id);
        if t < actor.since {
            return;
        }
        let was = actor.state;
        if matches!((was, state), (State::Waiting(_), State::Waiting(_))) {
            return;
        }
        actor.enter(state, t, active, seq);
        let (before, after) = (was.is_waiting(), state.is_waiting());
        self.waiting = self.waiting + u32::from(after) - u32::from(before);
        if was.is_holding() && !state.is_holding() {
            self.holders.retain(|h| *h != id);
        } else if state.is_holding() && !was.is_holding() {
            self.holders.push(id);
        }
    }

    pub(super) fn actor_mut(&mut self, id: ActorId) -> &mut Actor {
        let index = (id as usize).saturating_sub(1);
        if index >= self.actors.len() {
            self.add_actors(index);
        }
        &mut self.actors[index]
    }

    #[cold]
    fn add_actors(&mut self, index: usize) {
        while self.actors.len() <= index {
            let next = self.actors.len() as ActorId + 1;
            self.actors.push(Actor::new(next));
        }
    }

    fn note(&mut self, event: &Event, was_holding: bool) {
        if self.notes.len() == NOTES_KEPT {
            self.notes.pop_front();
        }
        self.notes.push_back(Note { event: event.clone(), was_holding });
    }
}
