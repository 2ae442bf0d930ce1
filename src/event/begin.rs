//! What is known of a run before its first event: where it comes from and how it was set up. Plain data, no I/O.

use super::LockInfo;
use super::thresholds::Thresholds;
use serde::{Deserialize, Serialize};

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

#[cfg(test)]
impl Begin {
    /// A lab of so many workers, for tests.
    pub(crate) fn of_lab(lock: LockInfo, workers: u32) -> Self {
        let text = String::new;
        let (origin, setup) = (Origin::Lab, Setup::default());
        Self { origin, version: text(), started_at: text(), lock, workers, hold_ns: 0, think_ns: 0, setup, watch: None }
    }

    /// An exact watch, of a list of locks or of one, for tests.
    pub(crate) fn of_watch(lock: LockInfo, list: bool) -> Self {
        let watch = Some(Watching { how: How::Exact, precision_ns: 0, list, blind: Vec::new() });
        Self { origin: Origin::Watch, watch, ..Self::of_lab(lock, 0) }
    }
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
