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
