//! The finding `holder_stopped`.

use super::{Here, Keys, Step};
use std::fmt;

/// A holder's process is stopped (`SIGSTOP`, ctrl-z, a debugger); it keeps the lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HolderStopped {
    /// Its name and process id.
    pub name: String,
}

impl HolderStopped {
    pub(super) fn find(here: Here<'_>) -> Option<Self> {
        let holder = here.model.holders().find(|h| h.stopped_since.is_some())?;
        Some(Self { name: holder.full_name() })
    }

    pub(super) fn next(&self, keys: Keys<'_>) -> String {
        match (keys(Step::Resume), keys(Step::Kill)) {
            (Some(resume), Some(kill)) => format!(": press {resume} to resume or {kill} to kill"),
            (Some(resume), None) => format!(": press {resume} to resume, or kill it"),
            (None, Some(kill)) => format!(": resume it (SIGCONT), or press {kill} to kill"),
            (None, None) => ": resume it (SIGCONT) or kill it".into(),
        }
    }
}

impl fmt::Display for HolderStopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "holder {} is stopped and keeps the lock", self.name)
    }
}
