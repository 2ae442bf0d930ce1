//! What is wrong, said in words, with the next step.
//!
//! Each kind is a small type in a file of its own (a few that belong together share one): it looks at a lock, says
//! whether there is something to find, and puts it into words. From when on it says so stands in `thresholds.rs`.
//!
//! # What is ordinary
//! Waits are unequal on any busy lock: the kernel serves waiters in the order in which they queued, but hands nothing
//! over, so the one that releases may *barge* back in before the woken waiter runs (two humps, tens of others served
//! meanwhile). Nobody loses its place by that, and each gets its turn: it is ordinary, and no finding. What is said
//! is that somebody *loses its place*: others, who came later, queue, are served and come again. See `starvation.rs`.

mod convoy;
mod crash_loop;
mod dead;
mod deadlock;
mod inherited;
mod long_hold;
mod split;
mod starvation;
mod stopped;
mod thresholds;
mod trouble;
mod uninterruptible;

pub use convoy::Convoy;
pub use crash_loop::CrashLoop;
pub use dead::{HolderGone, HolderZombie};
pub use deadlock::Deadlock;
pub use inherited::Inherited;
pub use long_hold::LongHold;
pub use split::{MixedKinds, PathChanged};
pub use starvation::{PollStarvation, Starvation};
pub use stopped::HolderStopped;
pub use thresholds::{Setting, THRESHOLDS, Threshold, ThresholdError, Thresholds, Unit, list};
pub use trouble::{Dropped, Violation, Warning};
pub use uninterruptible::HolderUninterruptible;

use super::locks::Wait;
use super::{Locks, Model};
use crate::event::{Event, FindingKind, LockId, What};
use std::fmt;

/// What a finding looks at: one lock among all, and from when on something is said.
#[derive(Clone, Copy, Debug)]
struct Here<'a> {
    locks: &'a Locks,
    model: &'a Model,
    limits: &'a Thresholds,
    /// Waits that form a circle, if there is one.
    circle: Option<&'a [Wait]>,
}

macro_rules! findings {
    ($($kind:ident)*) => {
        /// One thing that a person should know now.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs, reason = "each is described at its type")]
        pub enum Finding {
            $($kind($kind),)*
        }

        impl Finding {
            /// Its kind, as scripts know it.
            pub fn kind(&self) -> FindingKind {
                match self {
                    $(Self::$kind(_) => FindingKind::$kind,)*
                }
            }
        }

        impl fmt::Display for Finding {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$kind(found) => found.fmt(f),)*
                }
            }
        }

        fn look(here: Here<'_>) -> Vec<Finding> {
            [$($kind::find(here).map(Finding::$kind),)*].into_iter().flatten().collect()
        }
    };
}

// The gravest first.
findings! {
    Deadlock Violation PathChanged MixedKinds CrashLoop
    HolderStopped HolderGone HolderZombie HolderUninterruptible Inherited
    LongHold Starvation PollStarvation Convoy
    Warning Dropped
}

impl Finding {
    /// One line: what is the matter, and what to do.
    pub fn text(&self) -> String {
        self.to_string()
    }
}

/// All findings of this moment at `model`, one of `locks`, the gravest first.
pub fn findings(locks: &Locks, model: &Model) -> Vec<Finding> {
    let circle = locks.deadlock();
    look(Here { locks, model, limits: locks.thresholds(), circle: circle.as_deref() })
}

/// As [`findings`], for a report on all locks: what concerns the whole run is said of the first one only.
pub fn findings_of_each(locks: &Locks, model: &Model) -> Vec<Finding> {
    let mut found = findings(locks, model);
    found.retain(|f| f.kind() != FindingKind::Dropped || model.lock() == locks.first().lock());
    found
}

/// Tells findings as events when they appear, once each until they are gone.
#[derive(Debug, Default)]
pub struct News {
    known: Vec<(LockId, FindingKind)>,
}

impl News {
    /// What has been found since the last call.
    pub fn since(&mut self, locks: &Locks) -> Vec<Event> {
        let (mut told, mut known) = (Vec::new(), Vec::new());
        let circle = locks.deadlock();
        for model in locks.all().iter().filter(|m| m.is_lively()) {
            for found in look(Here { locks, model, limits: locks.thresholds(), circle: circle.as_deref() }) {
                let (kind, key) = (found.kind(), (model.lock(), found.kind()));
                // These concern all locks, and are told at the first.
                let of_all = matches!(kind, FindingKind::Deadlock | FindingKind::Dropped);
                let again = of_all && known.iter().any(|(_, k)| *k == kind);
                if again || kind == FindingKind::Warning {
                    continue;
                }
                let was_told = self.known.contains(&key) || of_all && self.known.iter().any(|(_, k)| *k == kind);
                if !was_told {
                    let what = What::Finding { kind, text: found.text() };
                    told.push(Event { t: model.now(), lock: model.lock(), actor: 0, pid: 0, what });
                }
                known.push(key);
            }
        }
        self.known = known;
        told
    }
}

#[cfg(test)]
mod tests;
