//! The vocabulary: what a source can say about a lock. Plain data, no I/O.
//!
//! Times are nanoseconds since the run began, on `CLOCK_MONOTONIC`. Durations
//! (`waited_ns`, `held_ns`) leave out the time during which the lab was paused.

use crate::model::finding::Thresholds;
use serde::{Deserialize, Serialize};
use std::fmt;

/// No actor has a higher number. It bounds what a recording can make the model allocate.
pub const MAX_ACTORS: ActorId = 1 << 16;

/// No lock has a higher number, for the same reason.
pub const MAX_LOCKS: LockId = 1 << 16;

/// No time or duration in a recording is longer, in ns (36 years): sums of a few of them never overflow.
pub const MAX_TIME: u64 = 1 << 60;

/// Whether several may hold the lock together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockMode {
    /// One holder (`LOCK_EX`, `F_WRLCK`).
    Exclusive,
    /// Any number of holders, none of them exclusive (`LOCK_SH`, `F_RDLCK`).
    Shared,
}

impl LockMode {
    /// The word used in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exclusive => "exclusive",
            Self::Shared => "shared",
        }
    }
}

/// Which of the kernel's advisory lock families is used; they do not see each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockKind {
    /// `flock(2)`: belongs to the open file description.
    #[default]
    Flock,
    /// `fcntl(2)` `F_SETLKW`: belongs to the process.
    Posix,
    /// `fcntl(2)` `F_OFD_SETLKW`: belongs to the open file description.
    Ofd,
}

impl LockKind {
    /// The word used in options and output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Flock => "flock",
            Self::Posix => "posix",
            Self::Ofd => "ofd",
        }
    }
}

impl fmt::Display for LockKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

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
    /// Whether the first try failed, so that the actor had to wait.
    pub contended: bool,
    /// From the last release to this acquisition, in ns, where the actor was already waiting at that release.
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

/// A task of the system, as it was when it appeared at a lock. Empty words where that cannot be seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Thread; none where threads are not told apart.
    pub tid: Option<i32>,
    /// Its name, `comm` of proc(5).
    pub comm: String,
    /// Its command line, arguments parted by blanks.
    pub cmdline: String,
    /// The user whose it is.
    pub user: String,
    /// The container that it runs in, as its control group names it.
    pub container: Option<String>,
    /// The kind of its lock: POSIX and open-file-description locks contend with each other.
    pub kind: LockKind,
    /// First and last byte (none: to the end) that it locks; none for a lock on the whole file.
    pub range: Option<(u64, Option<u64>)>,
}

/// A process that keeps a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keeper {
    /// Its process id.
    pub pid: i32,
    /// Its descriptor for the file.
    pub fd: i32,
    /// Its name, `comm` of proc(5).
    pub comm: String,
}

/// How a process is that others wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// It runs, or sleeps until something comes.
    #[default]
    Alive,
    /// It waits in the kernel and hears no signal (state `D`): a disk, a network file system.
    Uninterruptible,
    /// It has ended and was not reaped (state `Z`).
    Zombie,
    /// There is no such process any more.
    Gone,
}

/// The file that is locked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockInfo {
    /// As the user named it.
    pub name: String,
    /// Which lock family.
    pub kind: LockKind,
    /// `major:minor` and inode where the lock is a file's.
    pub file: Option<(String, u64)>,
}

/// Where events came from first; a replay keeps what the recording says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Worker processes that flockmon forked.
    Lab,
    /// Programs that flockmon did not start.
    Watch,
}

impl Origin {
    /// The word shown for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lab => "lab",
            Self::Watch => "watch",
        }
    }
}

/// How a lab was set up: each value as its option would be written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// `--hold`.
    pub hold: String,
    /// `--think`.
    pub think: String,
    /// `--shared`, in percent.
    pub shared: u8,
    /// `--acquire`.
    pub acquire: String,
    /// `--keep-open`.
    pub keep_open: bool,
    /// `--restart`.
    pub restart: String,
    /// `--seed`, given or drawn.
    pub seed: u64,
    /// `--scene`, if one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scene: Option<String>,
    /// `--threshold`; those of a watch stand here too.
    #[serde(default, skip_serializing_if = "Thresholds::is_default")]
    pub thresholds: Thresholds,
    /// COMMAND and its arguments, where workers run one; holds last as long as it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
}

/// How foreign locks are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// Each request and release, as the kernel's tracepoints tell them.
    Exact,
    /// What stands in `/proc/locks` each time it is read.
    Sampled,
}

impl How {
    /// The word shown for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Sampled => "sampled",
        }
    }
}

/// How a watch was set up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watching {
    /// How it sees.
    pub how: How,
    /// Times are right to so many ns; 0 is to the ns. What is shorter may not have been seen.
    pub precision_ns: u64,
    /// More than one lock is looked for: all of the system, those of a process, several files.
    pub list: bool,
    /// What cannot be seen from here, a sentence each.
    pub blind: Vec<String>,
}

/// What is known before the first event.
#[derive(Clone, Debug, PartialEq)]
pub struct Begin {
    /// Where the events come from.
    pub origin: Origin,
    /// The version of flockmon that saw them.
    pub version: String,
    /// When the run began, as RFC 3339 has it.
    pub started_at: String,
    /// The lock in question.
    pub lock: LockInfo,
    /// How many workers the run starts with.
    pub workers: u32,
    /// Mean hold in ns, as configured.
    pub hold_ns: u64,
    /// Mean think time in ns, as configured.
    pub think_ns: u64,
    /// The options that led to it.
    pub setup: Setup,
    /// How foreign locks are seen; none in a lab.
    pub watch: Option<Watching>,
}

/// What a user asks of a source; the faces send it, the source carries it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Pause the lab if it runs, else let it go on.
    TogglePause,
    /// Kill the process that holds this lock now.
    KillHolder(LockId),
    /// Stop the process that holds this lock now; resume all that are stopped if any is.
    StallHolder(LockId),
    /// Kill the process of this actor at this lock.
    Kill(LockId, ActorId),
    /// Yes or no to what the source asked.
    Answer(bool),
    /// Start one more worker.
    AddWorker,
    /// Take the last worker out.
    RemoveWorker,
    /// Hold the lock one step longer (`true`) or shorter.
    StepHold(bool),
    /// Think one step longer (`true`) or shorter between release and the next try.
    StepThink(bool),
    /// Forget the statistics so far.
    Reset,
    /// Replay only: one event further.
    Step,
    /// Replay only: so many ns forward, or backward where negative.
    Jump(i64),
    /// Replay only: to the next event that deserves attention; see [`What::is_landmark`].
    NextLandmark,
    /// Replay only: twice as fast (`true`) or half as fast.
    Pace(bool),
}
