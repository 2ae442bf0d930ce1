//! Who won after whom: same-holder share, longest streak, Jain's index.

use crate::event::ActorId;

/// How many acquisitions may be waited for before a missing one counts as lost.
const SPAN: usize = 1 << 14;

/// Acquisition numbers have 48 bits; a larger one is not one.
const SEQ_MAX: u64 = 1 << 48;

/// Puts acquisitions, which arrive in batches a worker, back into their total order and
/// counts how often the last holder won again.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// Winner of acquisition `seq` at `seq % SPAN`; 0 where not yet told.
    ring: Vec<ActorId>,
    next: u64,
    highest: u64,
    last: ActorId,
    streak: u64,
    /// Acquisitions that followed another one whose winner is known.
    pub pairs: u64,
    /// Those of them won by the same actor as the one before.
    pub same: u64,
    /// The longest run of acquisitions by one actor.
    pub longest_streak: u64,
}

impl Order {
    /// Takes note that `actor` won acquisition `seq` (numbers are dense, any order).
    pub fn won(&mut self, seq: u64, actor: ActorId) {
        if seq >= SEQ_MAX {
            return;
        }
        if self.ring.is_empty() {
            // The first one told need not be the first one won: leave room for those before it.
            self.ring = vec![0; SPAN];
            self.next = seq.saturating_sub(SPAN as u64 / 2).max(1);
        }
        if seq == self.next && seq > self.highest {
            // Told in order, nothing pending: it need not go through the ring.
            self.highest = seq;
            self.next += 1;
            return self.follows(actor);
        }
        if seq < self.next {
            return;
        }
        if seq >= self.next + 2 * SPAN as u64 {
            // So many are missing that none of those noted will ever have a neighbour.
            while self.next <= self.highest {
                self.step();
            }
            (self.last, self.streak) = (0, 0);
            self.next = seq - SPAN as u64 / 2;
        }
        while seq >= self.next + SPAN as u64 {
            self.step();
        }
        self.put(seq, actor);
        self.highest = self.highest.max(seq);
        self.advance();
    }

    /// Figures as of now: what is still missing counts as lost, without forgetting that it may come.
    pub fn settled(&self) -> Self {
        let mut end = Self { ring: Vec::new(), ..*self };
        if !self.ring.is_empty() {
            (self.next..=self.highest).for_each(|seq| end.follows(self.at(seq)));
        }
        end
    }

    /// The streak that is going on: who, and how many acquisitions in a row.
    pub fn current_streak(&self) -> (ActorId, u64) {
        (self.last, self.streak)
    }

    /// Share of acquisitions won by the actor that held the lock last, 0 to 1.
    pub fn same_share(&self) -> Option<f64> {
        (self.pairs > 0).then(|| self.same as f64 / self.pairs as f64)
    }

    fn advance(&mut self) {
        while self.next <= self.highest && self.at(self.next) != 0 {
            self.step();
        }
    }

    fn step(&mut self) {
        let actor = self.at(self.next);
        self.put(self.next, 0);
        self.next += 1;
        self.follows(actor);
    }

    /// Counts the winner of the next acquisition; 0 where it was not told.
    fn follows(&mut self, actor: ActorId) {
        if actor == 0 {
            self.last = 0;
            self.streak = 0;
            return;
        }
        if self.last != 0 {
            self.pairs += 1;
            self.same += u64::from(self.last == actor);
        }
        self.streak = if self.last == actor { self.streak + 1 } else { 1 };
        self.last = actor;
        self.longest_streak = self.longest_streak.max(self.streak);
    }

    fn at(&self, seq: u64) -> ActorId {
        self.ring.get(seq as usize % SPAN).copied().unwrap_or(0)
    }

    fn put(&mut self, seq: u64, actor: ActorId) {
        if let Some(cell) = self.ring.get_mut(seq as usize % SPAN) {
            *cell = actor;
        }
    }
}

/// Jain's fairness index of `counts`: 1 where all are equal, 1/n where one has all.
/// Jain, Chiu, Hawe, DEC-TR-301 (1984).
pub fn jain(counts: impl Iterator<Item = u64>) -> Option<f64> {
    let (mut n, mut sum, mut squares) = (0.0, 0.0, 0.0);
    for c in counts {
        let c = c as f64;
        n += 1.0;
        sum += c;
        squares += c * c;
    }
    (squares > 0.0).then(|| sum * sum / (n * squares))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(winners: &[ActorId]) -> (u64, u64, u64) {
        let same = winners.windows(2).filter(|w| w[0] == w[1]).count() as u64;
        let (mut longest, mut run, mut last) = (0, 0, 0);
        for &w in winners {
            run = if w == last { run + 1 } else { 1 };
            last = w;
            longest = longest.max(run);
        }
        (winners.len().saturating_sub(1) as u64, same, longest)
    }

    proptest! {
        #[test]
        fn batches_in_any_order_give_the_same_figures(winners in prop::collection::vec(1u32..4, 1..200), seed in any::<u64>()) {
            let mut told: Vec<usize> = (0..winners.len()).collect();
            told.sort_by_key(|i| (*i as u64 ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let mut order = Order::default();
            for i in told {
                order.won(i as u64 + 1, winners[i]);
            }
            let end = order.settled();
            prop_assert_eq!((end.pairs, end.same, end.longest_streak), plain(&winners));
        }
    }

    #[test]
    fn a_lost_one_breaks_the_streak_and_is_no_pair() {
        let mut o = Order::default();
        for seq in [1, 2, 4, 5] {
            o.won(seq, 7);
        }
        let end = o.settled();
        assert_eq!((end.pairs, end.same, end.longest_streak), (2, 2, 2));
    }

    #[test]
    fn a_long_gap_is_given_up() {
        let mut o = Order::default();
        o.won(1, 1);
        for seq in 3..=(SPAN as u64 + 10) {
            o.won(seq, 2);
        }
        assert!(o.pairs > 0);
    }

    #[test]
    fn jain_knows_its_ends() {
        assert_eq!(jain([5, 5, 5, 5].into_iter()), Some(1.0));
        assert_eq!(jain([8, 0, 0, 0].into_iter()), Some(0.25));
        assert_eq!(jain([0, 0].into_iter()), None);
    }
}
