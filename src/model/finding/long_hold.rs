//! The finding `long_hold`: measured by what is usual for the lock.

use super::{Here, Keys, Step, inherited};
use crate::event::Condition;
use crate::format::dur;
use crate::model::Actor;
use std::fmt;

/// The lock is held far longer than is usual for it, while others wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LongHold {
    /// The holder's name and process id.
    pub name: String,
    /// For how long so far, in ns.
    pub ns: u64,
    /// How long 99 of 100 of its holds lasted at most, in ns.
    pub usual: u64,
}

impl LongHold {
    /// Usual is the 99th percentile rather than the median: where one hold in fifty is long, long is usual. In a lab
    /// it is also what the settings ask for.
    pub(super) fn find(here: Here<'_>) -> Option<Self> {
        let (model, limits) = (here.model, here.limits);
        let holds = model.hold();
        if model.waiting() == 0 || holds.count() < limits.long_hold_samples {
            return None;
        }
        let asked = if model.is_watched() { 0 } else { model.settings().0 };
        let usual = holds.quantile(0.99)?.max(asked);
        let limit = usual.saturating_mul(limits.long_hold_factor).max(limits.long_hold_time);
        // Where more is known than that it lasts, that is said.
        let plain = |a: &&Actor| {
            a.stopped_since.is_none() && a.condition.0 == Condition::Alive && inherited::keepers(a).is_none()
        };
        let holder = model.holders().filter(plain).find(|a| model.in_state(a) > limit)?;
        Some(Self { name: holder.full_name(), ns: model.in_state(holder), usual })
    }

    pub(super) fn next(&self, keys: Keys<'_>) -> String {
        keys(Step::Kill).map_or_else(|| ", then kill it".into(), |key| format!(", then {key} to kill"))
    }
}

impl fmt::Display for LongHold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ns, usual) = (dur(self.ns), dur(self.usual));
        write!(
            f,
            "{} has held it for {ns}, where 99 % of holds end within {usual}: see what it does (strace -p, /proc/PID/stack)",
            self.name
        )
    }
}
