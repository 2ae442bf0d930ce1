//! What is told rather than found out: violations, lost events, warnings.

use super::Here;
use crate::format::count;
use std::fmt;

/// Two held the lock at once that must exclude each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// How often.
    pub count: u64,
    /// The path has come to name another file, which explains it.
    pub split: bool,
}

impl Violation {
    pub(super) fn find(here: Here<'_>) -> Option<Self> {
        let (count, split) = (here.model.violations(), here.model.path_change().is_some());
        (count > 0).then_some(Self { count, split })
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = if self.count == 1 { "once".into() } else { format!("{} times", count(self.count)) };
        let why = match self.split {
            true => "the path has come to name another file, and each file is a lock of its own",
            false => "this lock does not exclude, do not trust it on this file system",
        };
        write!(f, "mutual exclusion violated {times}: {why}")
    }
}

/// Events were lost on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// How many.
    pub count: u64,
    /// They were of other programs.
    pub watched: bool,
}

impl Dropped {
    /// What was lost to the run as a whole is told at its first lock.
    pub(super) fn find(here: Here<'_>) -> Option<Self> {
        let elsewhere = if here.is_first() { 0 } else { here.locks.lost() };
        let count = here.model.dropped().saturating_sub(elsewhere);
        let watched = here.model.is_watched();
        (count >= here.limits.lost_events).then_some(Self { count, watched })
    }
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = count(self.count);
        let way_out = match self.watched {
            true => "name the lock files that matter, and fewer events have to be read",
            false => "a longer hold or fewer workers lose none",
        };
        write!(f, "{count} events lost: the figures are a lower bound; {way_out}")
    }
}

/// Something beside the lock failed: a recording, a reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// In words.
    pub text: String,
}

impl Warning {
    pub(super) fn find(here: Here<'_>) -> Option<Self> {
        here.model.warning().map(|text| Self { text: text.to_owned() })
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
