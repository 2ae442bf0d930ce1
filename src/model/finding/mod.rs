//! What is wrong, said in words, with the next step.
//!
//! Each kind is a small type in a file of its own (a few that belong together share one): it looks at a lock, says
//! whether there is something to find, and puts it into words. From when on it says so stands in [`crate::event::thresholds`].
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
mod failed_runs;
mod inherited;
mod long_hold;
mod outside;
mod split;
mod starvation;
mod step;
mod stopped;
mod trouble;
mod uninterruptible;

pub use convoy::Convoy;
pub use crash_loop::CrashLoop;
pub use dead::{HolderGone, HolderZombie};
pub use deadlock::Deadlock;
pub use failed_runs::FailedRuns;
pub use inherited::Inherited;
pub use long_hold::LongHold;
pub use outside::HeldOutside;
pub use split::{MixedKinds, PathChanged};
pub use starvation::{PollStarvation, Starvation};
pub use step::{Keys, Step};
pub use stopped::HolderStopped;
pub use trouble::{Dropped, Violation, Warning};
pub use uninterruptible::HolderUninterruptible;

use super::locks::Wait;
use super::{Locks, Model};
use crate::event::thresholds::Thresholds;
use crate::event::{Event, FindingKind, LockId, What};

/// What a finding looks at: one lock among all, and from when on something is said.
#[derive(Clone, Copy, Debug)]
struct Here<'a> {
    locks: &'a Locks,
    model: &'a Model,
    limits: &'a Thresholds,
    /// Waits that form a circle, if there is one.
    circle: Option<&'a [Wait]>,
}

impl Here<'_> {
    /// Whether it is the lock at which what concerns the whole run is told.
    fn is_first(&self) -> bool {
        self.model.lock() == self.locks.first().lock()
    }
}

macro_rules! findings {
    ($($kind:ident)*) => {
        /// One thing that a person should know now.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs, reason = "each is described at its type")]
        pub enum Finding {
            $($kind($kind),)*
        }

        /// All kinds, the gravest first.
        pub const KINDS: &[FindingKind] = &[$(FindingKind::$kind,)*];

        impl Finding {
            /// Its kind, as scripts know it.
            pub fn kind(&self) -> FindingKind {
                match self {
                    $(Self::$kind(_) => FindingKind::$kind,)*
                }
            }

            /// What is the matter, and what to do as far as no key does it.
            fn fact(&self) -> String {
                match self {
                    $(Self::$kind(found) => found.to_string(),)*
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
    HolderStopped HolderGone HolderZombie HolderUninterruptible Inherited HeldOutside
    LongHold Starvation PollStarvation FailedRuns Convoy
    Warning Dropped
}

impl Finding {
    /// One line: what is the matter, and what to do. It names no key.
    pub fn text(&self) -> String {
        self.text_with(&|_| None)
    }

    /// The same for a face that has keys.
    pub fn text_with(&self, keys: Keys<'_>) -> String {
        self.fact() + &self.next(keys)
    }

    /// What follows in words where keys may help.
    fn next(&self, keys: Keys<'_>) -> String {
        match self {
            Self::HolderStopped(found) => found.next(keys),
            Self::LongHold(found) => found.next(keys),
            Self::FailedRuns(found) => found.next(keys),
            _ => String::new(),
        }
    }
}

/// All findings of this moment at `model`, one of `locks`, the gravest first.
pub fn findings(locks: &Locks, model: &Model) -> Vec<Finding> {
    Finder::of(locks).at(model)
}

/// Finds what is wrong at many locks: what concerns all of them is looked for once.
#[derive(Debug)]
pub struct Finder<'a> {
    locks: &'a Locks,
    circle: Option<Vec<Wait>>,
}

impl<'a> Finder<'a> {
    /// Of this moment.
    pub fn of(locks: &'a Locks) -> Self {
        Self { locks, circle: locks.deadlock() }
    }

    /// All findings at `model`, one of the locks, the gravest first.
    pub fn at(&self, model: &Model) -> Vec<Finding> {
        look(self.here(model))
    }

    fn here<'m>(&'m self, model: &'m Model) -> Here<'m> {
        Here { locks: self.locks, model, limits: self.locks.thresholds(), circle: self.circle.as_deref() }
    }
}

/// Tells findings as events when they appear, once each until they are gone.
#[derive(Debug, Default)]
pub struct News {
    known: Vec<(LockId, FindingKind)>,
    deadlock: bool,
}

impl News {
    /// What has been found since the last call.
    pub fn since(&mut self, locks: &Locks) -> Vec<Event> {
        let (mut told, mut known) = (Vec::new(), Vec::new());
        let finder = Finder::of(locks);
        for model in locks.all() {
            let here = finder.here(model);
            if !model.is_lively() && !here.is_first() {
                continue;
            }
            for found in look(here) {
                let (kind, key) = (found.kind(), (model.lock(), found.kind()));
                // A deadlock concerns all locks; it is told at the first.
                let again = kind == FindingKind::Deadlock && known.iter().any(|(_, k)| *k == kind);
                if again || kind == FindingKind::Warning {
                    continue;
                }
                if !(self.known.contains(&key) || kind == FindingKind::Deadlock && self.deadlock) {
                    let what = What::Finding { kind, text: found.text() };
                    told.push(Event { t: model.now(), lock: model.lock(), actor: 0, pid: 0, what });
                }
                known.push(key);
            }
        }
        self.deadlock = known.iter().any(|(_, k)| *k == FindingKind::Deadlock);
        self.known = known;
        told
    }
}

#[cfg(test)]
mod tests;
