//! A lock whose holder is dead: somebody else must have its open file.

use super::{Here, inherited};
use crate::event::Condition;
use crate::model::Actor;
use std::fmt;

/// The process that took the lock is gone, or none was found that keeps it, and yet it is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HolderGone {
    /// The name and process id that it had.
    pub name: String,
}

impl HolderGone {
    pub(super) fn find(here: Here<'_>) -> Option<Self> {
        let gone = |a: &&Actor| {
            a.condition.0 == Condition::Gone && for_long(here, a)
                || a.keepers.as_ref().is_some_and(|k| k.is_empty()) && here.model.in_state(a) >= here.limits.dead_time
        };
        let mut dead = here.model.holders().filter(gone);
        let holder = dead.find(|a| a.condition.0 != Condition::Zombie && inherited::keepers(a).is_none())?;
        Some(Self { name: holder.full_name() })
    }
}

impl fmt::Display for HolderGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} took the lock and is gone, and no process is seen that keeps it: look as root and outside of containers (lslocks, fuser FILE)",
            self.name
        )
    }
}

/// The process that took the lock has ended, and its parent has not reaped it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HolderZombie {
    /// Its name and process id.
    pub name: String,
}

impl HolderZombie {
    pub(super) fn find(here: Here<'_>) -> Option<Self> {
        let zombie = |a: &&Actor| a.condition.0 == Condition::Zombie && for_long(here, a);
        let holder = here.model.holders().filter(zombie).find(|a| inherited::keepers(a).is_none())?;
        Some(Self { name: holder.full_name() })
    }
}

impl fmt::Display for HolderZombie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "holder {} is a zombie, which keeps no files: a thread or child of it must keep the lock; end that (fuser FILE), killing the zombie does nothing",
            self.name
        )
    }
}

fn for_long(here: Here<'_>, actor: &Actor) -> bool {
    here.model.now().saturating_sub(actor.condition.1) >= here.limits.dead_time
}
