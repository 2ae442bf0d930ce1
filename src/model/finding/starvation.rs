//! One waits while others are served again and again.
//!
//! The line between that and ordinary barging: a waiter is *passed* when another asks later than it did, waits or
//! not, and is served before it; taking the lock again right after one's own release counts as the same turn. In a
//! first-in-first-out queue nobody is passed, however long those ahead hold on and however often they barge (measured
//! on flock, posix and ofd locks, kept open or not, ten workers, no think time, 4157 turns on two cores: up to 53
//! others served during a wait, none of them passing). Readers that keep coming pass a writer; whoever queues passes one that polls. One who is passed by
//! everybody several times over is starved. Barging itself becomes starvation where it does not end: one holder, a
//! hundred turns in a row (the longest ordinary streak measured: 84).

use super::Here;
use crate::event::LockMode;
use crate::format::{count, dur};
use crate::model::Actor;
use std::fmt;

/// How one is starved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// So many who asked later were served first.
    Passed(u64),
    /// So many readers did that, which share the lock while a writer waits.
    Readers(u64),
    /// This one took the lock again at once so many times in a row.
    Streak(String, u64),
}

/// A waiter is starved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Starvation {
    /// Its name and process id.
    pub name: String,
    /// How long it has waited, in ns.
    pub waited_ns: u64,
    /// By what.
    pub cause: Cause,
}

/// At least so many others are reckoned with: few who come and go, passing in the instant of a handoff, are no queue.
const OTHERS: u64 = 3;

impl Starvation {
    pub(super) fn find(here: Here<'_>) -> Option<Self> {
        // Where it polls and others queue, that is the finding.
        let worst = oldest(here, |a| !(a.polls() && others_queue(here)))?;
        let cause = passed(here, worst).or_else(|| streak(here, worst))?;
        Some(Self { name: worst.full_name(), waited_ns: here.model.in_state(worst), cause })
    }
}

impl fmt::Display for Starvation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} starves: {} waited, ", self.name, dur(self.waited_ns))?;
        match &self.cause {
            Cause::Passed(n) => write!(
                f,
                "{} who asked later were served first; let those who come back pause, or take turns by a queue",
                count(*n)
            ),
            Cause::Readers(n) => write!(
                f,
                "{} readers who came later were served first; let readers pause, or take it exclusively too",
                count(*n)
            ),
            Cause::Streak(who, n) => write!(
                f,
                "{who} took the lock {} times in a row; a pause of 1 ms after its release lets others in",
                count(*n)
            ),
        }
    }
}

/// A waiter that tries again and again never finds the lock free, since others wait in the kernel's queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollStarvation {
    /// Its name and process id.
    pub name: String,
    /// How long it has waited, in ns.
    pub waited_ns: u64,
    /// How often it has tried.
    pub tries: u64,
    /// Acquisitions by others meanwhile.
    pub overtaken: u64,
}

impl PollStarvation {
    pub(super) fn find(here: Here<'_>) -> Option<Self> {
        let model = here.model;
        if !others_queue(here) {
            return None;
        }
        let worst = oldest(here, Actor::polls)?;
        passed(here, worst).or_else(|| streak(here, worst))?;
        Some(Self {
            name: worst.full_name(),
            waited_ns: model.in_state(worst),
            tries: worst.tries,
            overtaken: model.overtaken_now(worst).unwrap_or(0),
        })
    }
}

impl fmt::Display for PollStarvation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} polls and starves: {} tries in {}, {} others were served; those who block are always first: let it block too",
            self.name,
            count(self.tries),
            dur(self.waited_ns),
            count(self.overtaken)
        )
    }
}

/// The one that has waited longest, if long enough to be starved.
fn oldest<'m>(here: Here<'m>, is: impl Fn(&Actor) -> bool) -> Option<&'m Actor> {
    let model = here.model;
    let late = |a: &&Actor| a.state.is_waiting() && model.in_state(a) >= here.limits.starvation_wait.max(1);
    model.actors().iter().filter(late).filter(|a| is(a)).min_by_key(|a| a.since_active)
}

/// Whether somebody waits in the kernel's queue.
fn others_queue(here: Here<'_>) -> bool {
    here.model.actors().iter().any(|a| a.state.is_waiting() && !a.polls())
}

fn passed(here: Here<'_>, waiter: &Actor) -> Option<Cause> {
    let model = here.model;
    let others = (u64::from(model.waiting()) + model.holder_count() as u64).saturating_sub(1).max(OTHERS);
    let enough = here.limits.starvation_rounds.saturating_mul(others);
    let (passes, readers) = model.passed(waiter);
    let by_readers = waiter.mode() == LockMode::Exclusive && readers * 2 > passes;
    (passes >= enough).then_some(if by_readers { Cause::Readers(readers) } else { Cause::Passed(passes) })
}

fn streak(here: Here<'_>, waiter: &Actor) -> Option<Cause> {
    let model = here.model;
    let (who, n) = model.streak();
    let meanwhile = n.min(model.overtaken_now(waiter).unwrap_or(0));
    let who = model.actor(who).filter(|who| who.id != waiter.id)?;
    (meanwhile >= here.limits.starvation_streak).then(|| Cause::Streak(who.full_name(), meanwhile))
}
