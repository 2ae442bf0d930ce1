//! A worker that wins the lock and finds another in the ledger has seen one of two things: a holder
//! that died (the kernel freed its lock, the entry stayed), or a lock that does not exclude. Only time tells:
//! a dead one tells nothing any more and is reaped; a living one goes on.

use super::ledger::Owner;
use crate::event::{Event, What};
use std::collections::HashMap;

/// A living process has told something or is found alive by then, in ns.
const PATIENCE_NS: u64 = 1_000_000_000;

/// Somebody found in the ledger, not yet judged.
#[derive(Clone, Copy, Debug)]
struct Suspect {
    t: u64,
    by: Owner,
    seq: u64,
    other: Owner,
}

/// Holds the open cases, by whom they accuse: where the lock does not exclude at all there are thousands, and each
/// record of a worker is asked about.
#[derive(Clone, Debug, Default)]
pub struct Judge {
    open: HashMap<Owner, Vec<Suspect>>,
}

impl Judge {
    /// `by` won acquisition `seq` at `t` and found `other` in the ledger.
    pub fn accuse(&mut self, t: u64, by: Owner, seq: u64, other: Owner) {
        self.open.entry(other).or_default().push(Suspect { t, by, seq, other });
    }

    /// `who` told something that happened at `t`: it was alive then.
    pub fn alive(&mut self, who: Owner, t: u64) -> Vec<Event> {
        if self.open.is_empty() {
            return Vec::new();
        }
        let Some(cases) = self.open.get_mut(&who) else { return Vec::new() };
        let guilty = cases.extract_if(.., |s| t > s.t).map(violation).collect();
        if cases.is_empty() {
            self.open.remove(&who);
        }
        guilty
    }

    /// `who` was reaped: what it left in the ledger was a dead one's.
    pub fn dead(&mut self, who: Owner) {
        self.open.remove(&who);
    }

    /// Decides the cases that have been open too long at `now`; `lives` looks at the process itself.
    pub fn overdue(&mut self, now: u64, lives: impl Fn(Owner) -> bool) -> Vec<Event> {
        self.decide(lives, |s| now.saturating_sub(s.t) > PATIENCE_NS)
    }

    /// Decides all cases, at the end.
    pub fn close(&mut self, lives: impl Fn(Owner) -> bool) -> Vec<Event> {
        self.decide(lives, |_| true)
    }

    /// Whether no case is open.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    fn decide(&mut self, lives: impl Fn(Owner) -> bool, due: impl Fn(&Suspect) -> bool) -> Vec<Event> {
        let mut guilty = Vec::new();
        self.open.retain(|who, cases| {
            let decided: Vec<Suspect> = cases.extract_if(.., |s| due(s)).collect();
            if !decided.is_empty() && lives(*who) {
                guilty.extend(decided.into_iter().map(violation));
            }
            !cases.is_empty()
        });
        guilty
    }
}

fn violation(s: Suspect) -> Event {
    Event {
        t: s.t,
        lock: 0,
        actor: s.by.worker,
        pid: s.by.pid as i32,
        what: What::Violation { seq: s.seq, other: s.other.worker, other_pid: s.other.pid as i32 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Owner = Owner { worker: 1, pid: 100 };
    const B: Owner = Owner { worker: 2, pid: 200 };

    fn accused() -> Judge {
        let mut judge = Judge::default();
        judge.accuse(10, B, 5, A);
        judge
    }

    #[test]
    fn one_that_goes_on_is_a_violation() {
        let mut judge = accused();
        assert!(judge.alive(A, 9).is_empty());
        assert!(judge.alive(B, 20).is_empty());
        assert_eq!(judge.alive(A, 11).len(), 1);
        assert!(judge.is_idle());
    }

    #[test]
    fn one_that_died_is_none() {
        let mut judge = accused();
        judge.dead(A);
        assert!(judge.is_idle());
    }

    #[test]
    fn one_that_is_silent_is_looked_at() {
        let mut judge = accused();
        assert!(judge.overdue(11, |_| true).is_empty());
        assert_eq!(judge.overdue(11 + PATIENCE_NS, |_| true).len(), 1);
        let mut judge = accused();
        assert!(judge.close(|_| false).is_empty());
        assert!(judge.is_idle());
    }
}
