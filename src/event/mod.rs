//! The vocabulary: what a source can say about a lock. Plain data, no I/O; it knows nothing of who says it or reads it.
//!
//! Times are nanoseconds since the run began, on `CLOCK_MONOTONIC`. Durations
//! (`waited_ns`, `held_ns`) leave out the time during which the lab was paused.
//!
//! This file has the events. Beside it: `begin.rs`, what is known before the first of them; `lock.rs` and `task.rs`,
//! which lock and who; `turns.rs`, turns by the million; `thresholds.rs`, from when on a finding is said; `command.rs`, what a user asks of a source.

mod begin;
mod command;
mod lock;
mod task;
pub mod thresholds;
mod turns;

pub use begin::{Begin, How, Origin, Setup, Watching};
pub use command::Command;
pub use lock::{LockInfo, LockKind, LockMode};
pub use task::{Condition, Keeper, Task};
pub use turns::{Turn, in_order, singly};

use serde::{Deserialize, Serialize};

/// No actor has a higher number. It bounds what a recording can make the model allocate.
pub const MAX_ACTORS: ActorId = 1 << 16;

/// Actors of all locks together, each lock counted up to its highest number, are no more, for the same reason.
pub const MAX_ACTORS_IN_ALL: u64 = 1 << 20;

/// No lock has a higher number, for the same reason.
pub const MAX_LOCKS: LockId = 1 << 16;

/// No time or duration in a recording is longer, in ns (36 years): sums of a few of them never overflow.
pub const MAX_TIME: u64 = 1 << 60;

/// Who acts: workers of the lab, or tasks of the system, numbered from 1 in order of
/// appearance. A respawned worker keeps its number. 0 stands for nobody (the run itself).
pub type ActorId = u32;

/// Which lock, in the order in which they were announced, from 0. A lab has but one.
pub type LockId = u32;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When, in ns since the run began.
    pub t: u64,
    /// At which lock; 0 where the event concerns the run as a whole. Actors are numbered lock by lock.
    pub lock: LockId,
    /// Who; 0 where the event concerns the run as a whole.
    pub actor: ActorId,
    /// The actor's process id; 0 where `actor` is 0.
    pub pid: i32,
    /// What happened.
    pub what: What,
}

impl Event {
    /// One that concerns the run as a whole.
    pub fn of_run(t: u64, what: What) -> Self {
        Self { t, lock: 0, actor: 0, pid: 0, what }
    }
}

/// A won lock, as told when it is won.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acquisition {
    /// Exclusive or shared.
    pub mode: LockMode,
    /// Its place in the total order of acquisitions, from 1.
    pub seq: u64,
    /// How long the actor waited, in ns, pauses left out.
    pub waited_ns: u64,
    /// Whether somebody else had it when the actor asked for it, so that it had to wait.
    pub contended: bool,
    /// From the last release to this acquisition, in ns, pauses left out, where the actor was already waiting at that
    /// release. Of a holder that died a lab knows none.
    pub handoff_ns: Option<u64>,
    /// How many acquisitions by others fell between its first try and its success.
    pub overtaken: u64,
}

/// What happened; see [`Event`].
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// A lock came to be known; [`Event::lock`] is its number.
    Announced(Box<LockInfo>),
    /// A worker process began.
    Spawned,
    /// A task of another program appeared at the lock; where its number was another's, that one is forgotten.
    Seen(Box<Task>),
    /// The actor held the lock, or waited for it, already when watching began: since when is not known.
    Found {
        /// Exclusive or shared.
        mode: LockMode,
        /// It holds the lock; else it waits for it.
        holds: bool,
    },
    /// Non-blocking tries of the actor failed. It waits, but in no queue of the kernel's.
    Tried {
        /// Exclusive or shared.
        mode: LockMode,
        /// How many since it was last told.
        count: u64,
    },
    /// The processes that keep the lock that the actor took: those that share its open file description
    /// (fork(2), `SCM_RIGHTS`). None where no process was found to.
    Keepers(Box<[Keeper]>),
    /// The state of the actor's process changed in a way that concerns those who wait for it.
    Condition(Condition),
    /// The actor asked for the lock and has to wait for it.
    Waiting {
        /// Exclusive or shared.
        mode: LockMode,
    },
    /// The actor holds the lock.
    Acquired(Acquisition),
    /// The actor stopped trying (`--acquire timeout:…`).
    GaveUp {
        /// For how long it had waited, in ns, pauses left out.
        waited_ns: u64,
    },
    /// The actor waited, and between two looks ceased to: it gave up, or won the lock and let go again.
    Left {
        /// For how long it was seen to wait, in ns.
        waited_ns: u64,
    },
    /// The actor let go of the lock.
    Released {
        /// The acquisition that ends.
        seq: u64,
        /// How long it was held, in ns, pauses left out.
        held_ns: u64,
    },
    /// A whole turn that was over before it was told: waiting, acquired at [`Event::t`], released
    /// `held_ns` later. It means exactly what the three events would mean.
    Cycle {
        /// The acquisition.
        acquired: Acquisition,
        /// How long it was held, in ns, pauses left out.
        held_ns: u64,
    },
    /// Whole turns of the actor, one after the other, of which the first was won at [`Event::t`]. They mean exactly
    /// what a [`What::Cycle`] each would mean.
    Turns(Vec<Turn>),
    /// The command that the actor runs while it holds the lock has ended; the lock is released after it.
    Ran {
        /// The acquisition under which it ran.
        seq: u64,
        /// Its exit status, where it ended by itself; 127 where it could not be found, 126 where it could not be started.
        code: Option<i32>,
        /// The signal that killed it, if one did.
        signal: Option<i32>,
        /// From its start to its end, in ns, pauses included: nobody stops it for them.
        ran_ns: u64,
    },
    /// The process ended.
    Exited {
        /// Its exit status, where it ended by itself.
        code: Option<i32>,
        /// The signal that killed it, if one did.
        signal: Option<i32>,
    },
    /// A worker could not do its work and is about to end.
    Failed {
        /// What it tried.
        action: FailedAction,
        /// Why it failed, as `errno(3)`.
        errno: i32,
    },
    /// The process was stopped (`SIGSTOP`); if it holds the lock, it keeps it.
    Stopped,
    /// The process goes on (`SIGCONT`).
    Continued,
    /// The lab was paused: from here on time is nobody's wait and nobody's hold.
    Paused,
    /// The lab goes on.
    Resumed,
    /// Two held the lock at once where that must not be.
    Violation {
        /// The acquisition that found the other.
        seq: u64,
        /// The actor that was found to hold the lock.
        other: ActorId,
        /// Its process id.
        other_pid: i32,
    },
    /// Events of the actor were lost.
    Dropped {
        /// How many records.
        count: u64,
    },
    /// The path no longer names the file that the run began with.
    PathChanged {
        /// The inode that the run began with.
        was: u64,
        /// The inode found now; none where the path names nothing.
        now: Option<u64>,
    },
    /// The live settings changed.
    Settings {
        /// Mean time the lock is held, in ns.
        hold_ns: u64,
        /// Mean time between a release and the next try, in ns.
        think_ns: u64,
    },
    /// A worker was taken out of the fleet for good.
    Removed,
    /// The statistics begin anew.
    Reset,
    /// A source or a face is in trouble, in words; the run goes on.
    Warning {
        /// What was tried, on what, why it failed.
        text: String,
    },
    /// Something is wrong that was not before. The model finds it by itself; this tells it to those who only read.
    Finding {
        /// Which kind.
        kind: FindingKind,
        /// In words.
        text: String,
    },
    /// The run ended; nothing comes after it.
    Ended,
}

impl What {
    /// Whether it is always some actor that does it.
    pub fn is_of_an_actor(&self) -> bool {
        !matches!(
            self,
            Self::Paused
                | Self::Resumed
                | Self::Dropped { .. }
                | Self::PathChanged { .. }
                | Self::Settings { .. }
                | Self::Reset
                | Self::Warning { .. }
                | Self::Finding { .. }
                | Self::Ended
                | Self::Announced(_)
        )
    }

    /// Whether it concerns the run and so each lock, rather than the one that the event names.
    pub fn is_of_the_run(&self, actor: ActorId) -> bool {
        match self {
            Self::Paused | Self::Resumed | Self::Settings { .. } | Self::Reset | Self::Warning { .. } | Self::Ended => {
                true
            }
            Self::Dropped { .. } => actor == 0,
            _ => false,
        }
    }

    /// Whether somebody who skims a recording wants to stop here: deaths by a signal, failed runs, stops,
    /// violations, failures, findings.
    pub fn is_landmark(&self) -> bool {
        matches!(
            self,
            Self::Violation { .. }
                | Self::Exited { signal: Some(_), .. }
                | Self::Ran { signal: Some(_), .. }
                | Self::Ran { code: Some(1..), .. }
                | Self::Stopped
                | Self::Failed { .. }
                | Self::PathChanged { .. }
                | Self::Warning { .. }
                | Self::Finding { .. }
        )
    }
}

/// The kinds of [`crate::model::finding::Finding`], the gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "each is described where it is found")]
pub enum FindingKind {
    Deadlock,
    Violation,
    PathChanged,
    MixedKinds,
    CrashLoop,
    HolderStopped,
    HolderGone,
    HolderZombie,
    HolderUninterruptible,
    Inherited,
    HeldOutside,
    LongHold,
    Starvation,
    PollStarvation,
    FailedRuns,
    Convoy,
    Warning,
    Dropped,
}

impl FindingKind {
    /// The word used in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deadlock => "deadlock",
            Self::Violation => "violation",
            Self::PathChanged => "path_changed",
            Self::MixedKinds => "mixed_kinds",
            Self::CrashLoop => "crash_loop",
            Self::HolderStopped => "holder_stopped",
            Self::HolderGone => "holder_gone",
            Self::HolderZombie => "holder_zombie",
            Self::HolderUninterruptible => "holder_uninterruptible",
            Self::Inherited => "inherited",
            Self::HeldOutside => "held_outside",
            Self::LongHold => "long_hold",
            Self::Starvation => "starvation",
            Self::PollStarvation => "poll_starvation",
            Self::FailedRuns => "failed_runs",
            Self::Convoy => "convoy",
            Self::Warning => "warning",
            Self::Dropped => "dropped",
        }
    }
}

/// What a worker tried when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailedAction {
    /// To open the lock file.
    Open,
    /// To take the lock.
    Lock,
    /// To release the lock.
    Unlock,
}

impl FailedAction {
    /// The words used in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open the lock file",
            Self::Lock => "take the lock",
            Self::Unlock => "release the lock",
        }
    }
}
