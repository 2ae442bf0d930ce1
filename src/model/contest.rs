//! Who came when: what tells barging from starvation, and a busy lock from one whose queue never empties.

use crate::event::thresholds::ROUNDS_KNOWN;
use crate::event::{ActorId, LockMode};
use std::collections::VecDeque;

/// The latest turns at a lock, and when it was last found free.
#[derive(Clone, Debug, Default)]
pub(super) struct Contest {
    turns: VecDeque<Turns>,
    calm_at: u64,
    since_calm: u64,
}

/// Turns of one actor, told one after the other. What it won right after its own release is part of the turn before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turns {
    pub(super) actor: ActorId,
    pub(super) mode: LockMode,
    /// How many: at least one.
    pub(super) n: u64,
    /// When it had asked for the first and for the last of them, on the active clock.
    pub(super) asked: (u64, u64),
}

impl Turns {
    /// How many of them were asked for after `since`: at least so many.
    pub(super) fn later(&self, since: u64) -> u64 {
        let (first, last) = self.asked;
        if first > since { self.n } else { u64::from(last > since) }
    }
}

impl Contest {
    /// Takes note of turns. Remembers as much as `actors` need.
    pub(super) fn took(&mut self, turns: Turns, actors: usize) {
        if let Some(before) = self.turns.back_mut()
            && (before.actor, before.mode) == (turns.actor, turns.mode)
            && before.asked.1 <= turns.asked.0
        {
            before.n += turns.n;
            before.asked.1 = turns.asked.1;
            return;
        }
        if self.turns.len() >= actors.max(4) * ROUNDS_KNOWN as usize {
            self.turns.pop_front();
        }
        self.turns.push_back(turns);
    }

    /// The lock was won `n` times; where it was free before, with nobody waiting, at which time last (on the active
    /// clock), and how often it was won since.
    pub(super) fn won(&mut self, n: u64, free: Option<(u64, u64)>) {
        self.since_calm += n;
        if let Some((now, since)) = free {
            self.calm(now);
            self.since_calm = since;
        }
    }

    /// Nobody holds the lock or waits for it at `now`.
    pub(super) fn calm(&mut self, now: u64) {
        self.calm_at = self.calm_at.max(now);
        self.since_calm = 0;
    }

    /// When the lock was last found free, and how many acquisitions there were since.
    pub(super) fn last_calm(&self) -> (u64, u64) {
        (self.calm_at, self.since_calm)
    }

    /// Turns of others than `actor` of which some were asked for after `since` (active clock).
    pub(super) fn later(&self, since: u64, actor: ActorId) -> impl Iterator<Item = &Turns> {
        self.turns.iter().filter(move |t| t.asked.1 > since && t.actor != actor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(actor: ActorId, n: u64, asked: (u64, u64)) -> Turns {
        Turns { actor, mode: LockMode::Exclusive, n, asked }
    }

    #[test]
    fn turns_of_one_actor_are_one_item_and_never_count_for_more_than_they_were() {
        let mut contest = Contest::default();
        contest.took(turns(1, 1, (10, 10)), 2);
        contest.took(turns(1, 3, (20, 40)), 2);
        contest.took(turns(2, 1, (25, 25)), 2);
        assert_eq!(contest.turns, [turns(1, 4, (10, 40)), turns(2, 1, (25, 25))]);
        // Of all that were asked for later all count, of some of them at least one, and nobody passes itself.
        let passes = |since, waiter| contest.later(since, waiter).map(|t| t.later(since)).sum::<u64>();
        assert_eq!([passes(5, 3), passes(20, 3), passes(40, 3), passes(5, 1)], [5, 2, 0, 1]);
    }

    #[test]
    fn only_the_latest_are_remembered() {
        let mut contest = Contest::default();
        (0..1000).for_each(|t| contest.took(turns(t as ActorId % 2, 1, (t, t)), 2));
        assert_eq!(contest.turns.len(), 4 * ROUNDS_KNOWN as usize);
        assert_eq!(contest.turns.back(), Some(&turns(1, 1, (999, 999))));
    }
}
