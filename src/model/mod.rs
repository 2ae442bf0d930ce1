//! The fold: events in, facts out. No clock, no I/O, no terminal: time enters as an argument,
//! and the same events give the same facts, live or replayed. It may touch the vocabulary and nothing else.
//!
//! - `apply.rs`: what each event changes; `turns.rs`: the same for turns by the million; `facts.rs`: what the faces read;
//! - `locks.rs`: all locks of a run, a [`Model`] each, and who waits for whom; `actor.rs`: one worker or task;
//! - `latency.rs`, `window.rs`: histograms of durations, and those of the last 10 s and 60 s;
//! - `contest.rs`, `fairness.rs`: who came when, who was served how often;
//! - `history.rs`, `timeline.rs`, `runs.rs`: what happened when: to an actor, by share of time, to commands;
//! - `pauses.rs`: the clock without the pauses;
//! - `finding/`: what is wrong, in words.

pub mod actor;
mod apply;
mod contest;
mod facts;
pub mod fairness;
pub mod finding;
pub mod history;
pub mod latency;
mod locks;
mod pauses;
pub mod runs;
pub mod timeline;
mod turns;
mod window;

pub use actor::{Actor, State};
pub use latency::{Figures, Latency};
pub use locks::Locks;
pub use window::{Span, Windowed};

use crate::event::{ActorId, Begin, Event, LockId, LockInfo};
use contest::Contest;
use fairness::Order;
use history::Holds;
use pauses::Pauses;
use runs::Runs;
use std::collections::VecDeque;
use std::sync::Arc;
use timeline::Timeline;

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
    pauses: Pauses,
    reset_at: u64,
    reset_active: u64,
    holders: Vec<ActorId>,
    waiting: u32,
    last_seq: u64,
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

    /// Adds exclusive holds one after the other, `sum` ns in all, of which the last was over at `to`.
    fn add_all(&mut self, to: u64, sum: u64) {
        self.total = self.total.saturating_add(sum);
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
            pauses: Pauses::default(),
            reset_at: 0,
            reset_active: 0,
            holders: Vec::new(),
            waiting: 0,
            last_seq: 0,
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

    /// Moves the clock on to `t` without anything having happened.
    pub fn advance(&mut self, t: u64) {
        self.now = self.now.max(t);
    }
}

#[cfg(test)]
mod tests;
