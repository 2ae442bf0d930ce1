//! One worker or process: its state now and its own history in figures.

use super::history::History;
use super::latency::Latency;
use super::runs::Runs;
use super::timeline::{Marks, Timeline};
use crate::event::{Acquisition, ActorId, Condition, FailedAction, Keeper, LockMode, Task};

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
    /// It was found in this state when watching began: it has been in it for longer than is known.
    pub before: bool,
    /// The task of another program that it is; none for a worker of the lab.
    pub task: Option<Box<Task>>,
    /// The processes that keep the lock that it took, where that was found out.
    pub keepers: Option<Box<[Keeper]>>,
    /// How its process is, and since when in ns since the run began.
    pub condition: (Condition, u64),
    /// Non-blocking tries that failed since it began to wait; 0 where it waits in the kernel's queue.
    pub tries: u64,
    /// Since when its process is stopped by a signal, if it is.
    pub stopped_since: Option<u64>,
    /// How often its process ended since it last had the lock.
    pub deaths: u64,
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
    /// How its commands ended, where it runs any.
    pub runs: Option<Box<Runs>>,
    /// Its finished waits.
    pub wait: Latency,
    /// Its finished holds.
    pub hold: Latency,
    /// Most acquisitions by others during one of its waits that are over, given up ones included.
    pub overtaken_max: u64,
    /// What share of the time it held and waited.
    pub timeline: Timeline,
    /// What it did last.
    pub history: History,
    /// When it appeared, in ns on the clock that leaves pauses out.
    pub born: u64,
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
            before: false,
            task: None,
            keepers: None,
            condition: (Condition::Alive, 0),
            tries: 0,
            stopped_since: None,
            deaths: 0,
            restarts: 0,
            last_signal: None,
            failed: None,
            got: 0,
            gave_up: 0,
            dropped: 0,
            last_wait: None,
            runs: None,
            wait: Latency::default(),
            hold: Latency::default(),
            overtaken_max: 0,
            timeline: Timeline::default(),
            history: History::default(),
            born: 0,
            holding_seq: 0,
            seq_at_wait: 0,
            spawned_once: false,
        }
    }

    /// How it is called on the screen.
    pub fn name(&self) -> String {
        match &self.task {
            Some(task) if !task.comm.is_empty() => task.comm.clone(),
            Some(_) => format!("pid {}", self.pid),
            None => format!("worker-{}", self.id),
        }
    }

    /// How it is called in a sentence, with its process id.
    pub fn full_name(&self) -> String {
        match &self.task {
            Some(task) if task.comm.is_empty() => self.name(),
            _ => format!("{} (pid {})", self.name(), self.pid),
        }
    }

    /// Its thread, where threads are told apart. A worker of the lab has but one.
    pub fn thread(&self) -> Option<i32> {
        self.task.as_ref().map_or(Some(self.pid), |task| task.tid)
    }

    /// The bytes that it locks, where it does not lock the whole file.
    pub fn range(&self) -> Option<(u64, Option<u64>)> {
        self.task.as_ref()?.range
    }

    /// Whether it waits by trying again and again rather than in the kernel's queue.
    pub fn polls(&self) -> bool {
        self.state.is_waiting() && self.tries > 0
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
        self.before = false;
        self.tries = 0;
        self.keepers = None;
        self.since = t;
        self.since_active = active;
    }

    /// Whether it is this task already, of which more may be known now.
    pub(super) fn is(&self, task: &Task) -> bool {
        // Its bytes may be others now: a part of them was unlocked.
        let key = |t: &Task| (t.tid, t.kind);
        self.state.is_alive() && self.task.as_ref().is_some_and(|own| key(own) == key(task))
    }

    /// Another task takes this number.
    pub(super) fn seen(&mut self, task: Box<Task>, active: u64) {
        *self = Self { pid: self.pid, task: Some(task), born: active, ..Self::new(self.id) };
    }

    pub(super) fn spawned(&mut self, active: u64) {
        if !self.spawned_once {
            self.born = active;
        }
        self.restarts += u64::from(self.spawned_once);
        self.spawned_once = true;
        self.stopped_since = None;
    }

    /// It won the lock at `t`, which is `active` on the clock that leaves pauses out.
    pub(super) fn acquired(&mut self, t: u64, active: u64, won: &Acquisition) {
        self.count(t, won);
        self.timeline.waited(active.saturating_sub(won.waited_ns), active);
    }

    /// A whole turn: it won the lock at `t` and let go at `active` on the clock that leaves pauses out.
    #[inline]
    pub(super) fn turned(&mut self, t: u64, active: u64, won: &Acquisition, held_ns: u64) {
        self.count(t, won);
        self.hold.record(held_ns);
        let since = active.saturating_sub(held_ns);
        self.timeline.waited(since.saturating_sub(won.waited_ns), since);
        self.timeline.held(since, active);
        self.history.released(held_ns);
    }

    #[inline]
    fn count(&mut self, t: u64, won: &Acquisition) {
        self.got += 1;
        self.deaths = 0;
        self.failed = None;
        self.last_wait = Some(won.waited_ns);
        self.wait.record(won.waited_ns);
        self.overtaken_max = self.overtaken_max.max(won.overtaken);
        self.history.acquired(t, won, self.before);
    }

    pub(super) fn released(&mut self, active: u64, held_ns: u64) {
        self.hold.record(held_ns);
        self.timeline.held(active.saturating_sub(held_ns), active);
        self.history.released(held_ns);
    }

    pub(super) fn gave_up(&mut self, active: u64, waited_ns: u64) {
        self.gave_up += 1;
        self.left(active, waited_ns);
    }

    /// It waits no more; whether it got the lock is not known.
    pub(super) fn left(&mut self, active: u64, waited_ns: u64) {
        self.timeline.waited(active.saturating_sub(waited_ns), active);
    }

    pub(super) fn exited(&mut self, active: u64, signal: Option<i32>) {
        if self.state.is_waiting() {
            self.timeline.waited(self.since_active.min(active), active);
        }
        self.stopped_since = None;
        // One that died while it held the lock had got as far as that.
        self.deaths += u64::from(!self.state.is_holding());
        self.last_signal = signal;
        if signal.is_some() {
            self.timeline.mark(active, Marks::DIED);
        }
    }

    pub(super) fn stopped(&mut self, t: u64, active: u64) {
        self.stopped_since = Some(t);
        self.timeline.mark(active, Marks::STOPS);
    }

    pub(super) fn reset(&mut self) {
        let fresh = Self::new(self.id);
        self.restarts = 0;
        self.got = 0;
        self.gave_up = 0;
        self.dropped = 0;
        self.last_wait = None;
        self.runs = None;
        self.wait = fresh.wait;
        self.hold = fresh.hold;
        self.overtaken_max = 0;
        self.timeline = fresh.timeline;
        self.history = fresh.history;
    }
}
