//! Who won after whom: same-holder share, longest streak, Jain's index.

use crate::event::{ActorId, MAX_ACTORS};

/// How many acquisitions may be waited for before a missing one counts as lost: more than there are in what is read at
/// once from workers at full speed.
const SPAN: usize = 1 << 15;

/// Acquisition numbers have 48 bits; a larger one is not one.
const SEQ_MAX: u64 = 1 << 48;

/// Puts acquisitions, which arrive in batches a worker, back into their total order and
/// counts how often the last holder won again.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// Who won from acquisition `seq` on, at `seq % SPAN`; a run stands where it begins.
    ring: Vec<Run>,
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
    /// Takes note that `actor` won acquisition `seq`: numbers are dense, in any order, each told once. Where two claim the
    /// same, as they may if the lock does not exclude, either counts.
    pub fn won(&mut self, seq: u64, actor: ActorId) {
        self.won_in_a_row(seq, 1, actor);
    }

    /// Takes note that `actor` won `n` acquisitions, `seq` and those that follow it.
    pub fn won_in_a_row(&mut self, seq: u64, n: u64, actor: ActorId) {
        if seq >= SEQ_MAX || n == 0 || n > u64::from(RUN_MAX) {
            return;
        }
        let last = seq + n - 1;
        if self.ring.is_empty() {
            // The first one told need not be the first one won: leave room for those before it.
            self.ring = vec![Run::default(); SPAN];
            self.next = seq.saturating_sub(SPAN as u64 / 2).max(1);
        }
        if seq == self.next && seq > self.highest {
            // Told in order, nothing pending: it need not go through the ring.
            self.highest = last;
            self.next = last + 1;
            return self.follow(actor, n);
        }
        if seq >= self.next + 2 * SPAN as u64 {
            // So many are missing that none of those noted will ever have a neighbour.
            while self.next <= self.highest {
                self.step();
            }
            (self.last, self.streak) = (0, 0);
            self.next = seq - SPAN as u64 / 2;
        }
        while last >= self.next + SPAN as u64 {
            self.step();
        }
        // What comes too late is left out.
        let from = seq.max(self.next);
        if from <= last {
            self.put(from, Run::new(actor, last - from + 1));
            self.highest = self.highest.max(last);
            self.advance();
        }
    }

    /// Figures as of now: what is still missing counts as lost, without forgetting that it may come.
    pub fn settled(&self) -> Self {
        let mut end = Self { ring: Vec::new(), ..*self };
        let mut seq = self.next;
        while !self.ring.is_empty() && seq <= self.highest {
            let (actor, n) = self.at(seq).parts();
            end.follow(actor, n);
            seq += n;
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
        while self.next <= self.highest && self.at(self.next) != Run::default() {
            self.step();
        }
    }

    fn step(&mut self) {
        let (actor, n) = self.at(self.next).parts();
        for seq in self.next..self.next + n {
            self.put(seq, Run::default());
        }
        self.next += n;
        self.follow(actor, n);
    }

    /// Counts the winner of the next `n` acquisitions; 0 where it was not told.
    fn follow(&mut self, actor: ActorId, n: u64) {
        if actor == 0 {
            self.last = 0;
            self.streak = 0;
            return;
        }
        let again = self.last == actor;
        self.pairs += n - u64::from(self.last == 0);
        self.same += n - u64::from(!again);
        self.streak = if again { self.streak + n } else { n };
        self.last = actor;
        self.longest_streak = self.longest_streak.max(self.streak);
    }

    fn at(&self, seq: u64) -> Run {
        self.ring.get(seq as usize % SPAN).copied().unwrap_or_default()
    }

    fn put(&mut self, seq: u64, run: Run) {
        if let Some(cell) = self.ring.get_mut(seq as usize % SPAN) {
            *cell = run;
        }
    }
}

/// So many acquisitions in a row can be told at once.
pub const RUN_MAX: u32 = (1 << (u32::BITS - ACTOR_BITS)) - 1;
/// Bits of a number up to [`MAX_ACTORS`].
const ACTOR_BITS: u32 = MAX_ACTORS.ilog2() + 1;

/// Who won, and how many times in a row; nobody where that was not told yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Run(u32);

impl Run {
    fn new(actor: ActorId, n: u64) -> Self {
        Self((n as u32) << ACTOR_BITS | actor)
    }

    fn parts(self) -> (ActorId, u64) {
        (self.0 & ((1 << ACTOR_BITS) - 1), u64::from(self.0 >> ACTOR_BITS).max(1))
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
        fn batches_in_any_order_give_the_same_figures(runs in prop::collection::vec((1u32..4, 1u64..9), 1..200), seed in any::<u64>()) {
            let begins = runs.iter().scan(1, |next, (_, n)| Some(std::mem::replace(next, *next + n)));
            let mut told: Vec<(u64, ActorId, u64)> = begins.zip(&runs).map(|(seq, (actor, n))| (seq, *actor, *n)).collect();
            told.sort_by_key(|(seq, ..)| (seq ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let mut order = Order::default();
            for (seq, actor, n) in told {
                // Whether one by one or at once.
                match n % 2 {
                    0 => (seq..seq + n).for_each(|seq| order.won(seq, actor)),
                    _ => order.won_in_a_row(seq, n, actor),
                }
            }
            let end = order.settled();
            let winners: Vec<ActorId> = runs.iter().flat_map(|(actor, n)| (0..*n).map(|_| *actor)).collect();
            prop_assert_eq!((end.pairs, end.same, end.longest_streak), plain(&winners));
        }

        /// Numbers told twice, far apart, at the edge: nothing of it is left in the ring.
        #[test]
        fn whatever_is_told_is_forgotten(told in prop::collection::vec((prop_oneof![0u64..300, any::<u64>()], 0u64..200, 1u32..4), 1..100)) {
            let mut order = Order::default();
            told.into_iter().for_each(|(seq, n, actor)| order.won_in_a_row(seq, n, actor));
            while order.next <= order.highest && order.highest - order.next < 2 * SPAN as u64 {
                order.step();
            }
            prop_assert!(order.ring.iter().all(|run| *run == Run::default()));
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
