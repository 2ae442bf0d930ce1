//! Who came when: what tells barging from starvation, and a busy lock from one whose queue never empties.

use crate::event::thresholds::ROUNDS_KNOWN;
use crate::event::{ActorId, LockMode};
use std::collections::VecDeque;

/// The latest turns at a lock, and when it was last found free.
#[derive(Clone, Debug, Default)]
pub(super) struct Contest {
    turns: VecDeque<Turn>,
    calm_at: u64,
    since_calm: u64,
}

/// Acquisitions in a row by one actor, of which this was the first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    pub(super) actor: ActorId,
    pub(super) mode: LockMode,
    /// When it had asked, on the active clock.
    pub(super) asked: u64,
}

impl Contest {
    /// A lock was won: `again` right after one's own release; `free` at this time, where nobody had it or waited.
    /// Remembers as much as `actors` need. Times are on the active clock.
    pub(super) fn won(&mut self, turn: Turn, again: bool, free: Option<u64>, actors: usize) {
        if !again {
            if self.turns.len() >= actors.max(4) * ROUNDS_KNOWN as usize {
                self.turns.pop_front();
            }
            self.turns.push_back(turn);
        }
        self.since_calm += 1;
        if let Some(now) = free {
            self.calm(now);
        }
    }

    /// The same lock was won `n` times more by the same actor, right after its own releases.
    pub(super) fn won_again(&mut self, n: u64) {
        self.since_calm += n;
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

    /// Turns of others than `actor` that asked after `since` (active clock).
    pub(super) fn later(&self, since: u64, actor: ActorId) -> impl Iterator<Item = &Turn> {
        self.turns.iter().filter(move |t| t.asked > since && t.actor != actor)
    }
}
