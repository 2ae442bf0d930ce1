//! The columns of the table: what they are called and how rows are sorted by them. Pure: no clock, no I/O.

use crate::model::runs::End;
use crate::model::{Actor, Model, State};

/// A column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the titles say it")]
pub enum Column {
    Worker,
    Pid,
    State,
    Now,
    Last,
    P50,
    P99,
    Max,
    Got,
    Share,
    Overtaken,
    Restarts,
    Failed,
    Status,
    Range,
    User,
    Container,
}

impl Column {
    /// All, from left to right.
    pub const ALL: [Self; 17] = [
        Self::Worker,
        Self::Pid,
        Self::State,
        Self::Now,
        Self::Last,
        Self::P50,
        Self::P99,
        Self::Max,
        Self::Got,
        Self::Share,
        Self::Overtaken,
        Self::Restarts,
        Self::Failed,
        Self::Status,
        Self::Range,
        Self::User,
        Self::Container,
    ];

    /// Its heading, for a lab or for tasks of other programs.
    pub fn title_of(self, watched: bool) -> &'static str {
        if watched && self == Self::Worker { "task" } else { self.title() }
    }

    /// Its heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Pid => "pid",
            Self::State => "state",
            Self::Now => "now",
            Self::Last => "last",
            Self::P50 => "p50",
            Self::P99 => "p99",
            Self::Max => "max",
            Self::Got => "got",
            Self::Share => "share",
            Self::Overtaken => "overtaken",
            Self::Restarts => "restarts",
            Self::Failed => "failed",
            Self::Status => "status",
            Self::Range => "bytes",
            Self::User => "user",
            Self::Container => "container",
        }
    }

    /// Whether the largest come first: numbers are most interesting from the top, names and states from the beginning.
    pub(super) fn falls(self) -> bool {
        !matches!(self, Self::Worker | Self::Pid | Self::State | Self::Range | Self::User | Self::Container)
    }

    /// What sorts the rows.
    pub(super) fn key(self, model: &Model, a: &Actor) -> u64 {
        match self {
            Self::Worker => number(model, a),
            Self::Pid => a.pid as u64,
            Self::State => {
                let rank: u64 = match a.state {
                    State::Holding(_) => 0,
                    State::Waiting(_) => 1,
                    State::Thinking => 2,
                    State::Starting => 3,
                    _ => 4,
                };
                // Within a state the longest first: those that wait stand as they queue.
                rank << 60 | a.since.min((1 << 60) - 1)
            }
            Self::Now => model.in_state(a),
            Self::Last => a.last_wait.unwrap_or(0),
            Self::P50 => a.wait.quantile(0.5).unwrap_or(0),
            Self::P99 => a.wait.quantile(0.99).unwrap_or(0),
            Self::Max => a.wait.max().unwrap_or(0),
            Self::Got | Self::Share => a.got,
            Self::Overtaken => overtaken(model, a),
            Self::Restarts => a.restarts,
            Self::Failed => a.runs.as_ref().map_or(0, |r| r.failed),
            // Signals above statuses.
            Self::Status => a.runs.as_ref().and_then(|r| r.last()).map_or(0, |run| match run.end {
                End::Status(code) => u64::from(code.unsigned_abs()),
                End::Signal(signal) => 1 << 32 | u64::from(signal.unsigned_abs()),
            }),
            Self::Range => a.range().map_or(0, |(from, _)| from),
            // Words: the first letters decide.
            Self::User => leading(a.task.as_ref().map_or("", |t| t.user.as_str())),
            Self::Container => leading(a.task.as_ref().and_then(|t| t.container.as_deref()).unwrap_or("")),
        }
    }
}

/// How many others were served since it began to wait; where it waits no more, during the worst of its waits.
pub(super) fn overtaken(model: &Model, a: &Actor) -> u64 {
    model.overtaken_now(a).unwrap_or(a.overtaken_max)
}

/// Its number; what a dead worker left stands below that one.
fn number(model: &Model, a: &Actor) -> u64 {
    let left = a.task.as_ref().filter(|_| !model.is_watched());
    let whose: Option<u32> = left.and_then(|task| task.comm.strip_prefix("worker-")?.parse().ok());
    u64::from(whose.unwrap_or(a.id)) << 32 | u64::from(a.id)
}

/// A number that sorts as the first letters of `text` do.
fn leading(text: &str) -> u64 {
    let bytes = text.bytes().chain(std::iter::repeat(0)).take(8);
    bytes.fold(0, |sum, b| sum << 8 | u64::from(b))
}
