//! The clock that stands still while the lab is paused: from it durations leave out the pauses.

use std::collections::VecDeque;

/// Pauses whose place in time is kept.
const KEPT: usize = 64;

/// The pauses of a lab, the one that goes on included.
#[derive(Clone, Debug, Default)]
pub(super) struct Pauses {
    since: Option<u64>,
    /// Of those that are over, in ns.
    total: u64,
    latest: VecDeque<(u64, u64)>,
}

impl Pauses {
    /// The lab was paused at `t`.
    pub(super) fn begin(&mut self, t: u64) {
        self.since.get_or_insert(t);
    }

    /// It goes on.
    pub(super) fn end(&mut self, t: u64) {
        if let Some(since) = self.since.take() {
            self.total = self.total.saturating_add(t.saturating_sub(since));
            if self.latest.len() == KEPT {
                self.latest.pop_front();
            }
            self.latest.push_back((since, t));
        }
    }

    /// Whether it is paused.
    pub(super) fn are_on(&self) -> bool {
        self.since.is_some()
    }

    /// `t` on the clock that stands still meanwhile, for a time after all pauses that are over.
    #[inline]
    pub(super) fn active(&self, t: u64) -> u64 {
        t.saturating_sub(self.total.saturating_add(self.present(t)))
    }

    /// The same for a time that may be before some of them.
    pub(super) fn active_at(&self, t: u64) -> u64 {
        let after = self.latest.iter().rev().take_while(|(_, until)| *until > t);
        let after = after.fold(0u64, |sum, (since, until)| sum.saturating_add(until.saturating_sub(t.max(*since))));
        t.saturating_sub(self.total.saturating_sub(after).saturating_add(self.present(t)))
    }

    /// How much of the pause that goes on lies before `t`.
    #[inline]
    fn present(&self, t: u64) -> u64 {
        self.since.map_or(0, |since| t.saturating_sub(since))
    }

    /// When each began, the latest first.
    pub(super) fn begins(&self) -> impl Iterator<Item = u64> {
        self.since.into_iter().chain(self.latest.iter().rev().map(|(since, _)| *since))
    }
}
