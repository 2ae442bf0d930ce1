//! The finding `long_hold`: measured by what is usual for the lock.

use super::{Here, Keys, Step, inherited};
use crate::event::Condition;
use crate::format::dur;
use crate::model::Actor;
use std::fmt;

/// The lock is held far longer than is usual for it, or for long where what is usual is not known, while others wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LongHold {
    /// The holder's name and process id.
    pub name: String,
    /// For how long so far, in ns.
    pub ns: u64,
    /// It held the lock already when watching began: for longer than that.
    pub before: bool,
    /// How long 99 of 100 of its holds lasted at most, in ns; none where too few have been seen.
    pub usual: Option<u64>,
    /// How many wait.
    pub waiting: u32,
}

impl LongHold {
    /// Usual is the 99th percentile rather than the median: where one hold in fifty is long, long is usual. In a lab
    /// it is also what the settings ask for. Of a lock that hung before anybody watched nothing is known, and nothing more
    /// will be: it is told by the time alone.
    pub(super) fn find(here: Here<'_>) -> Option<Self> {
        let (model, limits) = (here.model, here.limits);
        let holds = model.hold();
        if model.waiting() == 0 {
            return None;
        }
        let (usual, limit) = if holds.count() >= limits.long_hold_samples {
            let asked = if model.is_watched() { 0 } else { model.settings().0 };
            let usual = holds.quantile(0.99)?.max(asked);
            (Some(usual), usual.saturating_mul(limits.long_hold_factor).max(limits.long_hold_time))
        } else if model.is_watched() {
            (None, limits.long_hold_unknown)
        } else {
            return None;
        };
        // Where more is known than that it lasts, that is said.
        let plain = |a: &&Actor| {
            a.stopped_since.is_none() && a.condition.0 == Condition::Alive && inherited::keepers(a).is_none()
        };
        let holder = model.holders().filter(plain).find(|a| model.in_state(a) > limit)?;
        let (ns, waiting) = (model.in_state(holder), model.waiting());
        Some(Self { name: holder.full_name(), ns, before: holder.before, usual, waiting })
    }

    pub(super) fn next(&self, keys: Keys<'_>) -> String {
        keys(Step::Kill).map_or_else(|| ", then kill it".into(), |key| format!(", then {key} to kill"))
    }
}

impl fmt::Display for LongHold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let least = if self.before { "at least " } else { "" };
        write!(f, "{} has held it for {least}{}", self.name, dur(self.ns))?;
        match (self.usual, self.waiting) {
            (Some(usual), _) => write!(f, ", where 99 % of holds end within {}", dur(usual))?,
            (None, 1) => f.write_str(" while another waits")?,
            (None, n) => write!(f, " while {n} others wait")?,
        }
        f.write_str(": see what it does (strace -p, /proc/PID/stack)")
    }
}
