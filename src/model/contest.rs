//! Who came when: what tells barging from starvation, and a busy lock from one whose queue never empties.

use crate::event::ActorId;
use std::collections::VecDeque;

/// So many of the latest turns are known for each actor that there is.
pub const ROUNDS_KNOWN: u64 = 16;

/// The latest turns at a lock, and when it was last found free.
#[derive(Clone, Debug, Default)]
pub(super) struct Contest {
    /// When the winner of each turn had asked, on the active clock, and who it was. Acquisitions in a row by one
    /// actor are one turn.
    turns: VecDeque<(u64, ActorId)>,
    calm_at: u64,
    since_calm: u64,
}

impl Contest {
    /// `actor`, who had asked at `asked`, won; `again` right after its own release; `free`: nobody was in its way or
    /// waited. Times are on the active clock. Remembers what `actors` need.
    pub(super) fn won(&mut self, actor: ActorId, asked: u64, now: u64, again: bool, free: bool, actors: usize) {
        if !again {
            if self.turns.len() >= actors.max(4) * ROUNDS_KNOWN as usize {
                self.turns.pop_front();
            }
            self.turns.push_back((asked, actor));
        }
        self.since_calm += 1;
        if free {
            self.calm(now);
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

    /// Turns of others who asked after `since` (active clock) and are `rivals`.
    pub(super) fn later(&self, since: u64, actor: ActorId, rivals: impl Fn(ActorId) -> bool) -> u64 {
        self.turns.iter().filter(|(asked, who)| *asked > since && *who != actor && rivals(*who)).count() as u64
    }
}
