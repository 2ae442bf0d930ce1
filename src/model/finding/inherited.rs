//! The finding `inherited`: killing the one that took the lock would not free it.

use super::Here;
use crate::event::Keeper;
use crate::model::Actor;
use std::fmt;

/// A lock is kept by other processes than the one that took it, which share its open file (fork(2)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inherited {
    /// Who took it.
    pub taker: String,
    /// Who keep it.
    pub keepers: Vec<String>,
    /// The process id of the taker.
    pub pid: i32,
}

impl Inherited {
    /// A shell that locks with flock(1) keeps the lock of a dead one by design: it is said only where somebody waits
    /// and may want to end the holder.
    pub(super) fn find(here: Here<'_>) -> Option<Self> {
        let model = here.model;
        if model.waiting() == 0 {
            return None;
        }
        let old = |a: &&Actor| model.in_state(a) >= here.limits.inherited_time;
        let (taker, keepers) = model.holders().filter(old).find_map(|a| Some((a, keepers(a)?)))?;
        let keepers = keepers.iter().map(|k| format!("{} (pid {})", k.comm, k.pid)).collect();
        Some(Self { taker: taker.full_name(), keepers, pid: taker.pid })
    }
}

/// Those that keep the lock that `actor` took and does not keep itself.
pub(super) fn keepers(actor: &Actor) -> Option<&[Keeper]> {
    let keepers = actor.keepers.as_deref()?;
    (!keepers.is_empty() && keepers.iter().all(|k| k.pid != actor.pid)).then_some(keepers)
}

impl fmt::Display for Inherited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keepers = self.keepers.join(", ");
        write!(
            f,
            "{} took the lock, {keepers} keeps it: killing pid {} frees nothing; end the keeper, and open lock files close-on-exec",
            self.taker, self.pid
        )
    }
}
