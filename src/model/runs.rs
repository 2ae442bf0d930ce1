//! How the commands ended that workers run while they hold the lock.

use super::latency::Latency;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;

/// How many of the latest runs are kept.
pub const KEPT: usize = 20;
/// How many ways to end are told apart: a recording may claim any number.
const ENDS: usize = 256;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// By itself, with this status.
    Status(i32),
    /// By this signal.
    Signal(i32),
}

impl End {
    /// From the two fields of an event; one without either is not known to have ended well.
    pub fn of(code: Option<i32>, signal: Option<i32>) -> Self {
        match (code, signal) {
            (_, Some(signal)) => Self::Signal(signal),
            (code, None) => Self::Status(code.unwrap_or(-1)),
        }
    }

    /// Whether it failed, as a shell sees it.
    pub fn is_failure(self) -> bool {
        self != Self::Status(0)
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(127) => f.write_str("status 127 (not found)"),
            Self::Status(126) => f.write_str("status 126 (cannot be started)"),
            Self::Status(code) => write!(f, "status {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// A run that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// When it ended, in ns since the run of flockmon began.
    pub t: u64,
    /// The acquisition under which it ran.
    pub seq: u64,
    /// How it ended.
    pub end: End,
    /// How long it ran, in ns, pauses included.
    pub ran_ns: u64,
}

/// Runs, by one worker or by all.
#[derive(Clone, Debug, Default)]
pub struct Runs {
    /// How many have ended.
    pub count: u64,
    /// How many of them failed.
    pub failed: u64,
    /// How long they ran.
    pub ran: Latency,
    /// The latest, oldest first.
    pub latest: VecDeque<Run>,
    /// The latest of those that failed.
    pub last_failure: Option<Run>,
    ends: BTreeMap<End, u64>,
}

impl Runs {
    pub(super) fn add(&mut self, run: Run) {
        self.count += 1;
        if run.end.is_failure() {
            self.failed += 1;
            self.last_failure = Some(run);
        }
        self.ran.record(run.ran_ns);
        if self.latest.len() == KEPT {
            self.latest.pop_front();
        }
        self.latest.push_back(run);
        if self.ends.len() < ENDS || self.ends.contains_key(&run.end) {
            *self.ends.entry(run.end).or_default() += 1;
        }
    }

    /// The latest one.
    pub fn last(&self) -> Option<&Run> {
        self.latest.back()
    }

    /// How often they ended in each way, good ends left out.
    pub fn failures(&self) -> impl Iterator<Item = (End, u64)> {
        self.ends.iter().filter(|(end, _)| end.is_failure()).map(|(end, count)| (*end, *count))
    }

    /// The same in words: `2 with status 3, 1 with signal 9`; empty where none failed.
    pub fn failures_in_words(&self) -> String {
        self.failures().map(|(end, count)| format!("{count} with {end}")).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_counted_and_the_latest_kept() {
        let mut runs = Runs::default();
        for n in 0..100 {
            let end = match n % 10 {
                3 => End::of(Some(3), None),
                7 => End::of(None, Some(9)),
                _ => End::of(Some(0), None),
            };
            runs.add(Run { t: n, seq: n, end, ran_ns: n });
        }
        assert_eq!((runs.count, runs.failed, runs.latest.len()), (100, 20, KEPT));
        assert_eq!(runs.last().map(|r| r.seq), Some(99));
        assert_eq!(runs.last_failure.map(|r| r.seq), Some(97));
        assert_eq!(runs.failures_in_words(), "10 with status 3, 10 with signal 9");
    }

    #[test]
    fn no_recording_makes_it_grow_without_bound() {
        let mut runs = Runs::default();
        for n in 0..10_000 {
            runs.add(Run { t: 0, seq: 0, end: End::of(Some(n), None), ran_ns: 0 });
        }
        assert_eq!(runs.failed, 9_999);
        assert!(runs.ends.len() <= ENDS);
    }
}
