use super::{Here, Keys, Step};
use crate::format::count;
use crate::model::runs::End;
use std::fmt;

/// Runs of the command that workers run while they hold the lock failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedRuns {
    /// How many failed.
    pub failed: u64,
    /// Of how many that ended.
    pub of: u64,
    /// The program, as it was named.
    pub command: String,
    /// How the last of them ended.
    pub last: End,
    /// Whose it was.
    pub name: String,
}

impl FailedRuns {
    pub(super) fn find(here: Here<'_>) -> Option<Self> {
        let model = here.model;
        let runs = model.runs().filter(|runs| runs.failed >= here.limits.failed_runs)?;
        let failures = model.actors().iter().filter_map(|a| Some((a.runs.as_ref()?.last_failure?, a)));
        let (last, worst) = failures.max_by_key(|(run, a)| (run.t, run.seq, a.id))?;
        let command = model.begin().setup.command.as_deref().and_then(<[String]>::first);
        Some(Self {
            failed: runs.failed,
            of: runs.count,
            command: command.map_or("the command", String::as_str).to_owned(),
            last: last.end,
            name: worst.name(),
        })
    }

    pub(super) fn next(&self, keys: Keys<'_>) -> String {
        match keys(Step::Detail) {
            Some(key) => format!("; {key} on it shows its output"),
            None => "; see what it wrote (--log DIR keeps it)".into(),
        }
    }
}

impl fmt::Display for FailedRuns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (failed, of) = (count(self.failed), count(self.of));
        write!(f, "{failed} of {of} runs of {} failed, last with {} in {}", self.command, self.last, self.name)
    }
}
