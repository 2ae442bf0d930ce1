//! The finding `holder_stopped`.

use super::Here;
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
}

impl fmt::Display for HolderStopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "holder {} is stopped and keeps the lock: press s to resume or k to kill", self.name)
    }
}
