//! A worker that wins the lock and finds another in the ledger has seen one of two things: a holder
//! that died (the kernel freed its lock, the entry stayed), or a lock that does not exclude. Only time tells:
//! a dead one tells nothing any more and is reaped; a living one goes on.

use super::ledger::Owner;
use crate::event::{Event, What};

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

/// Holds the open cases.
#[derive(Clone, Debug, Default)]
pub struct Judge {
    open: Vec<Suspect>,
}

impl Judge {
    /// `by` won acquisition `seq` at `t` and found `other` in the ledger.
    pub fn accuse(&mut self, t: u64, by: Owner, seq: u64, other: Owner) {
        self.open.push(Suspect { t, by, seq, other });
    }

    /// `who` told something that happened at `t`: it was alive then.
    pub fn alive(&mut self, who: Owner, t: u64) -> Vec<Event> {
        if self.open.is_empty() {
            return Vec::new();
        }
        self.convict(|s| s.other == who && t > s.t)
    }

    /// `who` was reaped: what it left in the ledger was a dead one's.
    pub fn dead(&mut self, who: Owner) {
        self.open.retain(|s| s.other != who);
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
        let guilty = self.convict(|s| due(s) && lives(s.other));
        self.open.retain(|s| !due(s));
        guilty
    }

    fn convict(&mut self, guilty: impl Fn(&Suspect) -> bool) -> Vec<Event> {
        let mut events = Vec::new();
        self.open.retain(|s| {
            let convicted = guilty(s);
            if convicted {
                events.push(Event {
                    t: s.t,
                    actor: s.by.worker,
                    pid: s.by.pid as i32,
                    what: What::Violation { seq: s.seq, other: s.other.worker, other_pid: s.other.pid as i32 },
                });
            }
            !convicted
        });
        events
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
