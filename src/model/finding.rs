//! What is wrong, said in words, with the next step.

use super::{Actor, Locks, Model};
use crate::event::{Event, FindingKind, LockId, What};
use crate::format::dur;

/// Starvation: waited at least this many times the ideal wait, and others were served again meanwhile.
const STARVED_ROUNDS: u64 = 3;
/// Starvation is not said of waits shorter than this, in ns: nobody suffers from them.
const STARVED_AT_LEAST_NS: u64 = 2_000_000_000;

/// One thing that a person should know now.
#[derive(Clone, Debug, PartialEq)]
pub enum Finding {
    /// Processes wait for each other in a circle.
    Deadlock {
        /// Each member: who waits, at which lock, for whom.
        members: Vec<(String, String, String)>,
    },
    /// Two held the lock at once.
    Violation {
        /// How often.
        count: u64,
    },
    /// The path names another file than the run began with.
    PathChanged {
        /// The inode at the start.
        was: u64,
        /// The inode now, if the path names anything.
        now: Option<u64>,
    },
    /// A holder's process is stopped; it keeps the lock.
    HolderStopped {
        /// Its name.
        name: String,
        /// Its process id.
        pid: i32,
    },
    /// Workers end before they ever get the lock.
    CrashLoop {
        /// One of them.
        name: String,
        /// What it said.
        why: String,
    },
    /// One waits while others are served again and again.
    Starvation {
        /// Its name.
        name: String,
        /// How long it has waited, in ns.
        waited_ns: u64,
        /// Acquisitions by others since.
        overtaken: u64,
    },
    /// Something beside the lock failed: a recording, a reader.
    Warning {
        /// In words.
        text: String,
    },
    /// Events were lost.
    Dropped {
        /// How many.
        count: u64,
    },
}

impl Finding {
    /// Its kind, as scripts know it.
    pub fn kind(&self) -> FindingKind {
        match self {
            Self::Deadlock { .. } => FindingKind::Deadlock,
            Self::Violation { .. } => FindingKind::Violation,
            Self::PathChanged { .. } => FindingKind::PathChanged,
            Self::HolderStopped { .. } => FindingKind::HolderStopped,
            Self::CrashLoop { .. } => FindingKind::CrashLoop,
            Self::Starvation { .. } => FindingKind::Starvation,
            Self::Dropped { .. } => FindingKind::Dropped,
            Self::Warning { .. } => FindingKind::Warning,
        }
    }

    /// Whether it means that something is broken, rather than slow.
    pub fn is_severe(&self) -> bool {
        matches!(
            self,
            Self::Deadlock { .. } | Self::Violation { .. } | Self::PathChanged { .. } | Self::CrashLoop { .. }
        )
    }

    /// One line: what is the matter, and what to do.
    pub fn text(&self) -> String {
        match self {
            Self::Deadlock { members } if members.len() == 1 => {
                let who = members.first().map_or("", |(who, ..)| who.as_str());
                format!(
                    "{who} waits for a lock that it holds itself: it may wait for ever; end it, or mend its locking"
                )
            }
            Self::Deadlock { members } => {
                let waits: Vec<String> =
                    members.iter().map(|(who, lock, whom)| format!("{who} waits for {whom} at {lock}")).collect();
                format!("deadlock, nothing will end it but a signal: {}", waits.join(", "))
            }
            Self::Violation { count } => {
                format!(
                    "mutual exclusion violated {count} times: this lock does not exclude, do not trust it on this file system"
                )
            }
            Self::PathChanged { was, now: Some(now) } => format!(
                "the path now names another file (inode {was} \u{2192} {now}): two locks exist; never remove a lock file in use"
            ),
            Self::PathChanged { was, now: None } => format!(
                "the path names nothing any more (inode {was} was removed): the next opener makes a second lock"
            ),
            Self::HolderStopped { name, pid } => {
                format!("holder {name} (pid {pid}) is stopped and keeps the lock: press s to resume or k to kill")
            }
            Self::CrashLoop { name, why } => format!("{name} ends before it gets the lock: {why}"),
            Self::Starvation { name, waited_ns, overtaken } => {
                format!("{name} starves: {} waited, {overtaken} others were served since", dur(*waited_ns))
            }
            Self::Warning { text } => text.clone(),
            Self::Dropped { count } => {
                format!("{count} events lost: the figures are a lower bound; a longer hold or fewer workers lose none")
            }
        }
    }
}

/// All findings of this moment at `model`, one of `locks`, the gravest first.
pub fn findings(locks: &Locks, model: &Model) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(deadlocked(locks));
    if model.violations() > 0 {
        found.push(Finding::Violation { count: model.violations() });
    }
    if let Some((was, now)) = model.path_change() {
        found.push(Finding::PathChanged { was, now });
    }
    found.extend(model.actors().iter().find_map(|a| {
        let (action, errno) = a.failed?;
        let why = format!("cannot {}: {}", action.as_str(), std::io::Error::from_raw_os_error(errno));
        Some(Finding::CrashLoop { name: a.name(), why })
    }));
    if let Some(holder) = model.holders().find(|h| h.stopped_since.is_some()) {
        found.push(Finding::HolderStopped { name: holder.name(), pid: holder.pid });
    }
    found.extend(starved(model));
    found.extend(model.warning().map(|text| Finding::Warning { text: text.to_owned() }));
    if model.dropped() > 0 {
        found.push(Finding::Dropped { count: model.dropped() });
    }
    found
}

fn deadlocked(locks: &Locks) -> Option<Finding> {
    let circle = locks.deadlock()?;
    let members = circle.iter().filter_map(|wait| {
        let model = locks.get(wait.lock)?;
        let (waiter, holder) = (model.actor(wait.waiter)?, model.actor(wait.holder)?);
        Some((waiter.full_name(), model.info().name.clone(), holder.full_name()))
    });
    Some(Finding::Deadlock { members: members.collect() })
}

/// A waiter is starved when everyone else could have had several turns since it queued.
fn starved(model: &Model) -> Option<Finding> {
    let others = model.actors().iter().filter(|a| a.state.is_alive()).count() as u64;
    let overdue = |a: &&Actor| {
        model.in_state(a) >= STARVED_AT_LEAST_NS
            && model.overtaken_now(a).is_some_and(|n| n >= STARVED_ROUNDS * others.max(2))
    };
    let worst = model.actors().iter().filter(overdue).max_by_key(|a| model.in_state(a))?;
    Some(Finding::Starvation {
        name: worst.name(),
        waited_ns: model.in_state(worst),
        overtaken: model.overtaken_now(worst).unwrap_or(0),
    })
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
        for model in locks.all().iter().filter(|m| m.is_lively()) {
            for found in findings(locks, model) {
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
