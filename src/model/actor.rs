//! One worker or process: its state now and its own history in figures.

use super::latency::Latency;
use super::timeline::Timeline;
use crate::event::{Acquisition, ActorId, FailedAction, LockMode};

/// What an actor does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its process has begun, nothing else is known yet.
    Starting,
    /// Neither holds nor wants the lock.
    Thinking,
    /// Wants the lock and does not have it.
    Waiting(LockMode),
    /// Has it.
    Holding(LockMode),
    /// Its process was killed by a signal.
    Killed,
    /// Its process ended by itself.
    Exited,
    /// Taken out of the fleet.
    Removed,
}

impl State {
    /// Whether it waits for the lock.
    pub fn is_waiting(self) -> bool {
        matches!(self, Self::Waiting(_))
    }

    /// Whether it holds the lock.
    pub fn is_holding(self) -> bool {
        matches!(self, Self::Holding(_))
    }

    /// Whether a process stands behind it.
    pub fn is_alive(self) -> bool {
        !matches!(self, Self::Killed | Self::Exited | Self::Removed)
    }

    /// The word shown for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Thinking => "thinking",
            Self::Waiting(_) => "waiting",
            Self::Holding(_) => "holding",
            Self::Killed => "killed",
            Self::Exited => "exited",
            Self::Removed => "removed",
        }
    }
}

/// What is known of one actor.
#[derive(Clone, Debug)]
pub struct Actor {
    /// Its number, from 1.
    pub id: ActorId,
    /// Its present process, or the last one it had.
    pub pid: i32,
    /// What it does now.
    pub state: State,
    /// Since when, in ns since the run began.
    pub since: u64,
    /// Since when on the clock that leaves pauses out, in ns.
    pub since_active: u64,
    /// Since when its process is stopped by a signal, if it is.
    pub stopped_since: Option<u64>,
    /// How often its process was started again.
    pub restarts: u64,
    /// The signal that ended its last process, if one did.
    pub last_signal: Option<i32>,
    /// What went wrong last, with its `errno(3)`.
    pub failed: Option<(FailedAction, i32)>,
    /// Acquisitions.
    pub got: u64,
    /// Attempts given up.
    pub gave_up: u64,
    /// Events lost.
    pub dropped: u64,
    /// Its last finished wait, in ns.
    pub last_wait: Option<u64>,
    /// Its finished waits.
    pub wait: Latency,
    /// Its finished holds.
    pub hold: Latency,
    /// Most acquisitions by others during one of its finished waits.
    pub overtaken_max: u64,
    /// What share of the recent past it held and waited.
    pub timeline: Timeline,
    /// The acquisition that it holds the lock by.
    pub holding_seq: u64,
    pub(super) seq_at_wait: u64,
    spawned_once: bool,
}

impl Actor {
    pub(super) fn new(id: ActorId) -> Self {
        Self {
            id,
            pid: 0,
            state: State::Starting,
            since: 0,
            since_active: 0,
            stopped_since: None,
            restarts: 0,
            last_signal: None,
            failed: None,
            got: 0,
            gave_up: 0,
            dropped: 0,
            last_wait: None,
            wait: Latency::default(),
            hold: Latency::default(),
            overtaken_max: 0,
            timeline: Timeline::default(),
            holding_seq: 0,
            seq_at_wait: 0,
            spawned_once: false,
        }
    }

    /// How it is called on the screen.
    pub fn name(&self) -> String {
        format!("worker-{}", self.id)
    }

    /// The mode it holds or wants the lock in.
    pub fn mode(&self) -> LockMode {
        match self.state {
            State::Holding(mode) | State::Waiting(mode) => mode,
            _ => LockMode::Exclusive,
        }
    }

    pub(super) fn enter(&mut self, state: State, t: u64, active: u64, seq: u64) {
        if state.is_waiting() {
            self.seq_at_wait = seq;
        }
        self.state = state;
        self.since = t;
        self.since_active = active;
    }

    pub(super) fn spawned(&mut self) {
        self.restarts += u64::from(self.spawned_once);
        self.spawned_once = true;
        self.stopped_since = None;
    }

    pub(super) fn acquired(&mut self, t: u64, won: &Acquisition) {
        self.count(won);
        self.timeline.waited(t.saturating_sub(won.waited_ns), t);
    }

    /// A whole turn that began to hold at `t`.
    #[inline]
    pub(super) fn turned(&mut self, t: u64, won: &Acquisition, held_ns: u64) {
        self.count(won);
        self.hold.record(held_ns);
        self.timeline.turn(t.saturating_sub(won.waited_ns), t, t.saturating_add(held_ns));
    }

    #[inline]
    fn count(&mut self, won: &Acquisition) {
        self.got += 1;
        self.failed = None;
        self.last_wait = Some(won.waited_ns);
        self.wait.record(won.waited_ns);
        self.overtaken_max = self.overtaken_max.max(won.overtaken);
    }

    pub(super) fn released(&mut self, t: u64, held_ns: u64) {
        self.hold.record(held_ns);
        self.timeline.held(t.saturating_sub(held_ns), t);
    }

    pub(super) fn gave_up(&mut self, t: u64, waited_ns: u64) {
        self.gave_up += 1;
        self.timeline.waited(t.saturating_sub(waited_ns), t);
    }

    pub(super) fn exited(&mut self, t: u64, signal: Option<i32>) {
        self.stopped_since = None;
        self.last_signal = signal;
        if signal.is_some() {
            self.timeline.died(t);
        }
    }

    pub(super) fn reset(&mut self) {
        let fresh = Self::new(self.id);
        self.restarts = 0;
        self.got = 0;
        self.gave_up = 0;
        self.dropped = 0;
        self.last_wait = None;
        self.wait = fresh.wait;
        self.hold = fresh.hold;
        self.overtaken_max = 0;
        self.timeline = fresh.timeline;
    }
}
