//! The finding `convoy`: the lock itself limits the work.

use super::Here;
use crate::format::{count, dur};
use std::fmt;

/// The lock is held without a break and its queue never empties: the lock is what limits the work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Convoy {
    /// For how long nobody has found it free, in ns.
    pub ns: u64,
    /// How many acquisitions were made meanwhile.
    pub turns: u64,
    /// How many wait now.
    pub waiting: u32,
    /// The usual hold, in ns.
    pub hold: Option<u64>,
}

impl Convoy {
    /// A lab whose workers come back at once keeps its queue full by design: without think time it is not said.
    pub(super) fn find(here: Here<'_>) -> Option<Self> {
        let (model, limits) = (here.model, here.limits);
        let asked_for = !model.is_watched() && model.settings().1 == 0;
        if asked_for || model.waiting() == 0 || model.holder_count() == 0 {
            return None;
        }
        let (ns, turns) = model.since_calm();
        (ns >= limits.convoy_time && turns >= limits.convoy_turns).then(|| Self {
            ns,
            turns,
            waiting: model.waiting(),
            hold: model.hold().quantile(0.5),
        })
    }
}

impl fmt::Display for Convoy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hold = self.hold.map(|ns| format!(" of {} each", dur(ns))).unwrap_or_default();
        write!(
            f,
            "convoy: nobody has found the lock free for {} ({} turns{hold}), {} wait now: do less under the lock, or use more than one",
            dur(self.ns),
            count(self.turns),
            self.waiting
        )
    }
}
