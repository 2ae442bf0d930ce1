//! The finding `holder_uninterruptible`.

use super::Here;
use crate::event::Condition;
use crate::format::dur;
use crate::model::Actor;
use std::fmt;

/// A holder sleeps in the kernel and hears no signal (state `D`), for longer than a disk takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HolderUninterruptible {
    /// Its name and process id.
    pub name: String,
    /// For how long, in ns.
    pub ns: u64,
}

impl HolderUninterruptible {
    pub(super) fn find(here: Here<'_>) -> Option<Self> {
        let since = |a: &Actor| here.model.now().saturating_sub(a.condition.1);
        let sleeps =
            |a: &&Actor| a.condition.0 == Condition::Uninterruptible && since(a) >= here.limits.uninterruptible_time;
        let holder = here.model.holders().find(sleeps).filter(|_| here.model.waiting() > 0)?;
        Some(Self { name: holder.full_name(), ns: since(holder) })
    }
}

impl fmt::Display for HolderUninterruptible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "holder {} has slept in the kernel for {} (state D) and hears no signal: look at its disk or network mount (/proc/PID/stack)",
            self.name,
            dur(self.ns)
        )
    }
}
