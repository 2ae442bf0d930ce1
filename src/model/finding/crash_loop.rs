//! The finding `crash_loop`: workers that die without ever having the lock.

use super::Here;
use crate::event::FailedAction;
use crate::model::Actor;
use std::fmt;

/// A worker cannot get as far as the lock, or dies again and again before it has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrashLoop {
    /// Its name.
    pub name: String,
    /// How often it ended since it last had the lock.
    pub deaths: u64,
    /// What it said, with its `errno(3)`.
    pub failed: Option<(FailedAction, i32)>,
    /// The signal that ended it last, if one did.
    pub signal: Option<i32>,
}

impl CrashLoop {
    /// One that says why it failed is told at once: that is no accident.
    pub(super) fn find(here: Here<'_>) -> Option<Self> {
        let loops = |a: &&Actor| a.failed.is_some() || a.deaths >= here.limits.crash_loop_deaths;
        let actors = here.model.actors().iter().filter(loops);
        let worst = actors.max_by_key(|a| (a.failed.is_some(), a.deaths, std::cmp::Reverse(a.id)))?;
        Some(Self { name: worst.name(), deaths: worst.deaths, failed: worst.failed, signal: worst.last_signal })
    }
}

impl fmt::Display for CrashLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match (self.failed, self.signal) {
            (Some((action, errno)), _) => {
                let why = std::io::Error::from_raw_os_error(errno);
                write!(f, "{name} ends before it gets the lock: cannot {}: {why}", action.as_str())
            }
            (None, Some(signal)) => write!(
                f,
                "{name} died {} times in a row before it got the lock, last by signal {signal}: find out who sends it",
                self.deaths
            ),
            (None, None) => write!(
                f,
                "{name} ended {} times in a row before it got the lock: see what it says when it starts",
                self.deaths
            ),
        }
    }
}
