//! The fold: events in, facts out. No clock, no I/O, no terminal: time enters as an argument,
//! and the same events give the same facts, live or replayed.

pub mod actor;
mod contest;
pub mod fairness;
pub mod finding;
pub mod history;
pub mod latency;
mod locks;
pub mod runs;
pub mod timeline;
mod window;

pub use actor::{Actor, State};
pub use latency::{Figures, Latency};
pub use locks::Locks;
pub use window::{Span, Windowed};

use crate::event::{Acquisition, ActorId, Begin, Event, LockId, LockInfo, LockKind, LockMode, MAX_ACTORS, What};
use contest::{Contest, Turn};
use fairness::Order;
use history::{Became, Holds};
use runs::{End, Run, Runs};
use std::collections::VecDeque;
use std::sync::Arc;
use timeline::{Marks, Timeline};

/// Pauses whose place in time is kept.
const PAUSES_KEPT: usize = 64;

/// How many of the latest notable happenings are kept for the screen and the summary.
const NOTES_KEPT: usize = 200;

/// A happening worth a line of its own: a death, a violation, a failure.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// The event as it came.
    pub event: Event,
    /// Whether the actor held the lock at that moment.
    pub was_holding: bool,
}

/// Everything known about one lock and its actors.
#[derive(Clone, Debug)]
pub struct Model {
    begin: Arc<Begin>,
    id: LockId,
    info: LockInfo,
    actors: Vec<Actor>,
    now: u64,
    paused_since: Option<u64>,
    paused_total: u64,
    pauses: VecDeque<(u64, u64)>,
    reset_at: u64,
    reset_active: u64,
    holders: Vec<ActorId>,
    waiting: u32,
    last_seq: u64,
    first_seq: u64,
    busy: Busy,
    timeline: Timeline,
    holds: Holds,
    order: Order,
    contest: Contest,
    wait: Windowed,
    hold: Windowed,
    handoff: Windowed,
    acquisitions: u64,
    contended: u64,
    gave_up: u64,
    kills: u64,
    violations: u64,
    violated: bool,
    dropped: u64,
    failures: u64,
    overtaken_max: u64,
    hold_ns: u64,
    think_ns: u64,
    path: Option<(u64, Option<u64>)>,
    notes: VecDeque<Note>,
    warning: Option<String>,
    runs: Option<Box<Runs>>,
}

/// For how long the lock was held by anyone, from holds that may be told late and overlap.
#[derive(Clone, Copy, Debug, Default)]
struct Busy {
    total: u64,
    until: u64,
}

impl Busy {
    /// Adds a hold from `from` to `to` on the active clock; shared holds that overlap count once
    /// as long as they are told in the order of their ends.
    fn add(&mut self, from: u64, to: u64, exclusive: bool) {
        let from = if exclusive { from } else { from.max(self.until) };
        self.total = self.total.saturating_add(to.saturating_sub(from));
        self.until = self.until.max(to);
    }
}

impl Model {
    /// The lock that the run began with; nothing has happened yet.
    pub fn new(begin: Begin) -> Self {
        let info = begin.lock.clone();
        Self::of(Arc::new(begin), 0, info)
    }

    /// A lock that was announced as number `id`.
    fn of(begin: Arc<Begin>, id: LockId, info: LockInfo) -> Self {
        Self {
            hold_ns: begin.hold_ns,
            think_ns: begin.think_ns,
            begin,
            id,
            info,
            actors: Vec::new(),
            now: 0,
            paused_since: None,
            paused_total: 0,
            pauses: VecDeque::new(),
            reset_at: 0,
            reset_active: 0,
            holders: Vec::new(),
            waiting: 0,
            last_seq: 0,
            first_seq: 0,
            busy: Busy::default(),
            timeline: Timeline::default(),
            holds: Holds::default(),
            order: Order::default(),
            contest: Contest::default(),
            wait: Windowed::default(),
            hold: Windowed::default(),
            handoff: Windowed::default(),
            acquisitions: 0,
            contended: 0,
            gave_up: 0,
            kills: 0,
            violations: 0,
            violated: false,
            dropped: 0,
            failures: 0,
            overtaken_max: 0,
            path: None,
            notes: VecDeque::new(),
            warning: None,
            runs: None,
        }
    }

    /// Takes in one event. Order matters only within an actor; any order is survived.
    pub fn apply(&mut self, event: &Event) {
        if let What::Cycle { acquired, held_ns } = &event.what {
            return self.cycle(event, acquired, *held_ns);
        }
        self.now = self.now.max(event.t);
        let t = event.t;
        match &event.what {
            What::Paused => {
                self.paused_since.get_or_insert(t);
                return;
            }
            What::Resumed => {
                if let Some(since) = self.paused_since.take() {
                    self.paused_total = self.paused_total.saturating_add(t.saturating_sub(since));
                    if self.pauses.len() == PAUSES_KEPT {
                        self.pauses.pop_front();
                    }
                    self.pauses.push_back((since, t));
                }
                return;
            }
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
            What::Reset => return self.reset(),
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
                self.set_state(event.actor, State::Thinking, t);
            }
            What::Left { waited_ns } => {
                let active = self.active(t);
                self.actor_mut(event.actor).left(active, *waited_ns);
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
                self.set_state(event.actor, if killed.is_some() { State::Killed } else { State::Exited }, t);
                self.note(event, was_holding);
            }
            What::Removed => {
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
            | What::Ended => {}
        }
        let actor = self.actor_mut(event.actor);
        if let Some(became) = Became::of(&event.what, event.pid, was_holding, actor.restarts > 0) {
            actor.history.changed(t, became);
        }
    }

    /// Moves the clock on to `t` without anything having happened.
    pub fn advance(&mut self, t: u64) {
        self.now = self.now.max(t);
    }

    /// Forgets the statistics, keeps who holds and who waits.
    fn reset(&mut self) {
        self.reset_at = self.now;
        self.reset_active = self.active(self.now);
        self.busy = Busy { total: 0, until: self.reset_active };
        self.timeline = Timeline::default();
        self.holds = Holds::default();
        self.order = Order::default();
        self.contest = Contest::default();
        self.contest.calm(self.reset_active);
        self.wait = Windowed::default();
        self.hold = Windowed::default();
        self.handoff = Windowed::default();
        self.first_seq = self.last_seq;
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

    /// A whole turn: the same as its events, without the states in between, which nobody sees.
    fn cycle(&mut self, event: &Event, won: &Acquisition, held_ns: u64) {
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
        actor.holding_seq = won.seq;
        if actor.state == State::Thinking {
            (actor.since, actor.since_active) = (end, active);
        } else {
            self.set_state(id, State::Thinking, end);
        }
        self.acquired(id, t, won);
        self.released(id, end, active, held_ns, won.mode);
    }

    /// If its process was stopped, it is no more.
    fn goes_on(&mut self, id: ActorId, t: u64) {
        if let Some(since) = self.actor_mut(id).stopped_since.take() {
            let (since, active) = (self.active_at(since), self.active(t));
            self.actor_mut(id).timeline.mark_all(since, active, Marks::STOPPED);
        }
    }

    fn turn_begins(&mut self, id: ActorId, t: u64, won: &Acquisition) {
        self.acquired(id, t, won);
        let active = self.active(t);
        self.actor_mut(id).acquired(t, active, won);
        self.set_state(id, State::Holding(won.mode), t);
        self.actor_mut(id).holding_seq = won.seq;
    }

    fn turn_ends(&mut self, id: ActorId, t: u64, held_ns: u64) {
        let mode = self.actor_mut(id).mode();
        self.actor_released(id, t, held_ns, mode);
        self.set_state(id, State::Thinking, t);
    }

    fn actor_released(&mut self, id: ActorId, t: u64, held_ns: u64, mode: LockMode) {
        let active = self.active(t);
        self.released(id, t, active, held_ns, mode);
        self.actor_mut(id).released(active, held_ns);
    }

    fn acquired(&mut self, id: ActorId, t: u64, won: &Acquisition) {
        self.acquisitions += 1;
        self.contended += u64::from(won.contended);
        if self.first_seq == 0 {
            self.first_seq = won.seq;
        }
        self.last_seq = self.last_seq.max(won.seq);
        self.overtaken_max = self.overtaken_max.max(won.overtaken);
        self.order.won(won.seq, id);
        let active = self.active(t);
        let last = self.actor_mut(id).holding_seq;
        let again = last != 0 && last.saturating_add(1) == won.seq;
        let free = (!won.contended && self.waiting == 0).then_some(active);
        let turn = Turn { actor: id, mode: won.mode, asked: active.saturating_sub(won.waited_ns) };
        self.contest.won(turn, again, free, self.actors.len());
        self.wait.record(t, won.waited_ns);
        if let Some(ns) = won.handoff_ns {
            self.handoff.record(t, ns);
        }
    }

    /// A hold ended at `t`, which is `to` on the active clock.
    fn released(&mut self, id: ActorId, t: u64, to: u64, held_ns: u64, mode: LockMode) {
        self.hold.record(t, held_ns);
        let from = to.saturating_sub(held_ns).max(self.reset_active);
        // In a watch, locks on parts of a file may be held side by side, exclusive ones too.
        let parts = self.begin.watch.is_some() && self.info.kind != LockKind::Flock;
        self.busy.add(from, to, mode == LockMode::Exclusive && !parts);
        self.timeline.held(from, to);
        self.holds.add(from, to, id);
    }

    /// An event older than the state an actor is known to be in counts, but does not turn its state back.
    fn set_state(&mut self, id: ActorId, state: State, t: u64) {
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

    fn actor_mut(&mut self, id: ActorId) -> &mut Actor {
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

/// What the faces read.
impl Model {
    /// What was known before the first event.
    pub fn begin(&self) -> &Begin {
        &self.begin
    }

    /// The lock.
    pub fn info(&self) -> &LockInfo {
        &self.info
    }

    /// Its number.
    pub fn lock(&self) -> LockId {
        self.id
    }

    /// Whether it is one of other programs rather than a lab's.
    pub fn is_watched(&self) -> bool {
        self.begin.watch.is_some()
    }

    /// Whether its workers run a command while they hold it.
    pub fn runs_command(&self) -> bool {
        self.begin.setup.command.is_some()
    }

    /// How the commands ended, if any did.
    pub fn runs(&self) -> Option<&Runs> {
        self.runs.as_deref()
    }

    /// Whether anything goes on or went on at it that could be found fault with.
    pub fn is_lively(&self) -> bool {
        !self.actors.is_empty() || self.path.is_some() || self.dropped > 0
    }

    /// How far times may be off, in ns.
    pub fn precision(&self) -> u64 {
        self.begin.watch.as_ref().map_or(0, |w| w.precision_ns)
    }

    /// The latest time known, in ns since the run began.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// Time `t` on a clock that stands still while the lab is paused, in ns.
    pub fn active(&self, t: u64) -> u64 {
        let paused = self.paused_since.map_or(0, |since| t.saturating_sub(since));
        t.saturating_sub(self.paused_total.saturating_add(paused))
    }

    /// The same as [`Model::active`] for a time before pauses that are over by now.
    pub fn active_at(&self, t: u64) -> u64 {
        let after = self.pauses.iter().rev().take_while(|(_, until)| *until > t);
        let after = after.fold(0u64, |sum, (since, until)| sum.saturating_add(until.saturating_sub(t.max(*since))));
        let paused = self.paused_since.map_or(0, |since| t.saturating_sub(since));
        t.saturating_sub(self.paused_total.saturating_sub(after).saturating_add(paused))
    }

    /// When the lab was paused, on the clock that stands still meanwhile, the latest first.
    pub fn pauses(&self) -> impl Iterator<Item = u64> {
        let begins = self.paused_since.into_iter().chain(self.pauses.iter().rev().map(|(since, _)| *since));
        begins.map(|since| self.active_at(since))
    }

    /// What share of the time anyone held the lock; of shared holds at once, the sum.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// The latest holds that are over.
    pub fn holds(&self) -> &Holds {
        &self.holds
    }

    /// Unpaused time since the statistics began, in ns.
    pub fn duration_active(&self) -> u64 {
        self.active(self.now).saturating_sub(self.reset_active)
    }

    /// What a source or a face said last of its troubles.
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// Time since the statistics began, pauses included, in ns.
    pub fn duration(&self) -> u64 {
        self.now.saturating_sub(self.reset_at)
    }

    /// Whether the lab is paused.
    pub fn is_paused(&self) -> bool {
        self.paused_since.is_some()
    }

    /// All actors in order of their numbers, those that ended included.
    pub fn actors(&self) -> &[Actor] {
        &self.actors
    }

    /// One actor by its number.
    pub fn actor(&self, id: ActorId) -> Option<&Actor> {
        self.actors.get((id as usize).checked_sub(1)?)
    }

    /// Those that hold the lock, the longest holder first.
    pub fn holders(&self) -> impl Iterator<Item = &Actor> {
        self.holders.iter().filter_map(|id| self.actor(*id))
    }

    /// How many hold the lock.
    pub fn holder_count(&self) -> usize {
        self.holders.len()
    }

    /// How many wait for it.
    pub fn waiting(&self) -> u32 {
        self.waiting
    }

    /// How long `actor` has been in its present state, in ns, pauses left out.
    pub fn in_state(&self, actor: &Actor) -> u64 {
        self.active(self.now).saturating_sub(actor.since_active)
    }

    /// How many acquisitions by others came since `actor` began to wait, if it waits.
    pub fn overtaken_now(&self, actor: &Actor) -> Option<u64> {
        actor.state.is_waiting().then(|| self.last_seq.saturating_sub(actor.seq_at_wait))
    }

    /// The actor that has waited longest, and for how long in ns.
    pub fn longest_waiter(&self) -> Option<(&Actor, u64)> {
        let oldest = self.actors.iter().filter(|a| a.state.is_waiting()).min_by_key(|a| a.since_active)?;
        Some((oldest, self.in_state(oldest)))
    }

    /// Acquisitions since the statistics began.
    pub fn acquisitions(&self) -> u64 {
        self.acquisitions
    }

    /// Acquisitions a second of unpaused time.
    pub fn rate(&self) -> Option<f64> {
        let ns = self.duration_active();
        (ns > 0).then(|| self.acquisitions as f64 * 1e9 / ns as f64)
    }

    /// Share of unpaused time that the lock was held, 0 to 1; the present hold counts.
    pub fn utilization(&self) -> Option<f64> {
        let total = self.duration_active();
        let now = self.active(self.now);
        let mut busy = self.busy;
        if let Some(first) = self.holders().map(|h| h.since_active).min() {
            busy.add(first.max(busy.until), now, false);
        }
        (total > 0).then(|| (busy.total as f64 / total as f64).min(1.0))
    }

    /// Acquisitions whose first try failed.
    pub fn contended(&self) -> u64 {
        self.contended
    }

    /// Attempts that were given up.
    pub fn gave_up(&self) -> u64 {
        self.gave_up
    }

    /// Processes ended by `SIGKILL`.
    pub fn kills(&self) -> u64 {
        self.kills
    }

    /// Times when two held the lock that must exclude each other.
    pub fn violations(&self) -> u64 {
        self.violations
    }

    /// Whether mutual exclusion was violated at any time, statistics forgotten since or not.
    pub fn was_violated(&self) -> bool {
        self.violated
    }

    /// Events known to be lost.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Workers that could not do their work.
    pub fn failures(&self) -> u64 {
        self.failures
    }

    /// Most acquisitions by others after an actor began to wait, of any wait, present ones included.
    pub fn overtaken_max(&self) -> u64 {
        let now = self.actors.iter().filter_map(|a| self.overtaken_now(a)).max();
        self.overtaken_max.max(now.unwrap_or(0))
    }

    /// Same-holder share and streaks, as of now.
    pub fn order(&self) -> Order {
        self.order.settled()
    }

    /// The streak that goes on: who, and how many acquisitions in a row.
    pub fn streak(&self) -> (ActorId, u64) {
        self.order.current_streak()
    }

    /// How often others, who asked for the same after `waiter` began to wait, were served before it; taking the lock
    /// again right after one's own release is the same turn. At most [`ROUNDS_KNOWN`](crate::event::thresholds::ROUNDS_KNOWN) for each actor. And how often by
    /// readers.
    pub fn passed(&self, waiter: &Actor) -> (u64, u64) {
        let since = waiter.since_active.saturating_add(self.precision());
        let rivals = |t: &&Turn| self.actor(t.actor).is_none_or(|a| locks::overlap(waiter, a));
        let count = |(all, readers), t: &Turn| (all + 1, readers + u64::from(t.mode == LockMode::Shared));
        self.contest.later(since, waiter.id).filter(rivals).fold((0, 0), count)
    }

    /// For how long nobody has found the lock free with nobody waiting, in ns, pauses left out, and how many
    /// acquisitions there were since.
    pub fn since_calm(&self) -> (u64, u64) {
        let (at, turns) = self.contest.last_calm();
        (self.active(self.now).saturating_sub(at), turns)
    }

    /// Jain's index over acquisitions an actor.
    pub fn fairness(&self) -> Option<f64> {
        fairness::jain(self.actors.iter().filter(|a| a.state != State::Removed || a.got > 0).map(|a| a.got))
    }

    /// Waits, by window.
    pub fn wait(&self) -> &Windowed {
        &self.wait
    }

    /// Holds, by window.
    pub fn hold(&self) -> &Windowed {
        &self.hold
    }

    /// Handoffs, by window.
    pub fn handoff(&self) -> &Windowed {
        &self.handoff
    }

    /// Mean hold and think time as set now, in ns.
    pub fn settings(&self) -> (u64, u64) {
        (self.hold_ns, self.think_ns)
    }

    /// Inode at the start and inode now, where the path no longer names the same file.
    pub fn path_change(&self) -> Option<(u64, Option<u64>)> {
        self.path
    }

    /// The latest notable happenings, oldest first.
    pub fn notes(&self) -> impl DoubleEndedIterator<Item = &Note> {
        self.notes.iter()
    }
}

#[cfg(test)]
mod tests;
