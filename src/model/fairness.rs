//! Who won after whom: same-holder share, longest streak, Jain's index.

use crate::event::ActorId;

/// How many acquisitions may be waited for before a missing one counts as lost: more than there are in what is read at
/// once from workers at full speed.
const SPAN: usize = 1 << 15;

/// Acquisition numbers have 48 bits; a larger one is not one.
const SEQ_MAX: u64 = 1 << 48;

/// Puts acquisitions, which arrive in batches a worker, back into their total order and
/// counts how often the last holder won again.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// Who won acquisition `seq`, at `seq % SPAN`; 0 where that was not told yet. None before the first is told.
    ring: Option<Box<[ActorId; SPAN]>>,
    next: u64,
    highest: u64,
    /// Those before `next`.
    pub(super) streaks: Streaks,
}

/// Who won after whom, as far as that is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streaks {
    last: ActorId,
    streak: u64,
    /// Acquisitions that followed another one whose winner is known.
    pub pairs: u64,
    /// Those of them won by the same actor as the one before.
    pub same: u64,
    /// The longest run of acquisitions by one actor.
    pub longest: u64,
}

impl Order {
    /// Takes note that `actor` won acquisition `seq`: numbers are dense, in any order, each told once. Where two claim the
    /// same, as they may if the lock does not exclude, either counts.
    pub fn won(&mut self, seq: u64, actor: ActorId) {
        self.won_all([seq].into_iter(), actor);
    }

    /// The same for all of `seqs`; gives how many runs they are: those that follow each other are one.
    pub fn won_all(&mut self, seqs: impl Iterator<Item = u64>, actor: ActorId) -> u64 {
        // Its first and its last.
        let (mut run, mut runs) = (None, 0);
        for seq in seqs {
            run = match run {
                Some((first, last)) if seq.checked_sub(1) == Some(last) => Some((first, seq)),
                Some((first, last)) => {
                    self.note(first, last, actor);
                    runs += 1;
                    Some((seq, seq))
                }
                None => Some((seq, seq)),
            };
        }
        if let Some((first, last)) = run {
            self.note(first, last, actor);
            runs += 1;
        }
        self.advance();
        runs
    }

    /// Takes note of a run.
    #[inline]
    fn note(&mut self, first: u64, last: u64, actor: ActorId) {
        if first == self.next && first > self.highest && first > 0 {
            // Told in order, nothing pending: it need not go through the ring.
            (self.highest, self.next) = (last, last + 1);
            return self.streaks.follow(actor, last - first + 1);
        }
        if first < self.next || last >= self.next + SPAN as u64 || self.ring.is_none() {
            return self.note_far(first, last, actor);
        }
        self.put(first, last, actor);
    }

    /// The same where there may be no room.
    #[cold]
    fn note_far(&mut self, first: u64, last: u64, actor: ActorId) {
        if last >= SEQ_MAX {
            return;
        }
        if self.ring.is_none() {
            self.ring = vec![0; SPAN].into_boxed_slice().try_into().ok();
            // The first one told need not be the first one won: leave room for those before it.
            self.next = first.saturating_sub(SPAN as u64 / 2).max(1);
        }
        if first >= self.next + 2 * SPAN as u64 {
            // So many are missing that none of those noted will ever have a neighbour.
            while self.next <= self.highest {
                self.step();
            }
            self.streaks.follow(0, 1);
            self.next = first - SPAN as u64 / 2;
        }
        // What comes too late is left out.
        let mut from = first.max(self.next);
        while from <= last {
            // What does not fit in at once goes piece by piece.
            let to = last.min(from + SPAN as u64 / 2 - 1);
            while to >= self.next + SPAN as u64 {
                self.step();
            }
            self.put(from, to, actor);
            from = to + 1;
        }
    }

    /// Figures as of now: what is still missing counts as lost, without forgetting that it may come.
    pub fn settled(&self) -> Streaks {
        let mut streaks = self.streaks;
        if let Some(ring) = &self.ring {
            (self.next..=self.highest).for_each(|seq| streaks.follow(ring[place(seq)], 1));
        }
        streaks
    }

    /// Counts all before the first that was not told yet.
    fn advance(&mut self) {
        let Some(ring) = &mut self.ring else { return };
        // In registers: it runs a million times a second.
        let (mut streaks, mut next) = (self.streaks, self.next);
        while next <= self.highest {
            let actor = std::mem::take(&mut ring[place(next)]);
            if actor == 0 {
                break;
            }
            streaks.follow(actor, 1);
            next += 1;
        }
        (self.streaks, self.next) = (streaks, next);
    }

    /// Counts the next one, told or not.
    fn step(&mut self) {
        let actor = self.ring.as_mut().map_or(0, |ring| std::mem::take(&mut ring[place(self.next)]));
        self.streaks.follow(actor, 1);
        self.next += 1;
    }

    fn put(&mut self, first: u64, last: u64, actor: ActorId) {
        if let Some(ring) = &mut self.ring {
            (first..=last).for_each(|seq| ring[place(seq)] = actor);
            self.highest = self.highest.max(last);
        }
    }
}

/// Where an acquisition stands in the ring.
fn place(seq: u64) -> usize {
    seq as usize % SPAN
}

impl Streaks {
    /// Counts the winner of the next `n` acquisitions; 0 where it was not told.
    #[inline]
    fn follow(&mut self, actor: ActorId, n: u64) {
        if actor == 0 {
            (self.last, self.streak) = (0, 0);
            return;
        }
        let again = self.last == actor;
        self.pairs += n - u64::from(self.last == 0);
        self.same += n - u64::from(!again);
        self.streak = if again { self.streak + n } else { n };
        self.last = actor;
        self.longest = self.longest.max(self.streak);
    }

    /// The streak that is going on: who, and how many acquisitions in a row.
    pub fn current(&self) -> (ActorId, u64) {
        (self.last, self.streak)
    }

    /// Share of acquisitions won by the actor that held the lock last, 0 to 1.
    pub fn same_share(&self) -> Option<f64> {
        (self.pairs > 0).then(|| self.same as f64 / self.pairs as f64)
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
                    _ => assert_eq!(order.won_all(seq..seq + n, actor), 1),
                }
            }
            let winners: Vec<ActorId> = runs.iter().flat_map(|(actor, n)| (0..*n).map(|_| *actor)).collect();
            let end = order.settled();
            prop_assert_eq!((end.pairs, end.same, end.longest), plain(&winners));
        }

        /// Numbers told twice, far apart, at the edge: nothing of it is left in the ring.
        #[test]
        fn whatever_is_told_is_forgotten(told in prop::collection::vec((prop_oneof![0u64..300, any::<u64>()], 0u64..200, 1u32..4), 1..100)) {
            let mut order = Order::default();
            for (seq, n, actor) in told {
                order.won_all((0..n).map(|i| seq.saturating_add(i)), actor);
            }
            while order.next <= order.highest && order.highest - order.next < 2 * SPAN as u64 {
                order.step();
            }
            prop_assert!(order.ring.is_none_or(|ring| ring.iter().all(|actor| *actor == 0)));
        }
    }

    #[test]
    fn a_lost_one_breaks_the_streak_and_is_no_pair() {
        let mut o = Order::default();
        for seq in [1, 2, 4, 5] {
            o.won(seq, 7);
        }
        let end = o.settled();
        assert_eq!((end.pairs, end.same, end.longest), (2, 2, 2));
    }

    #[test]
    fn a_long_gap_is_given_up() {
        let mut o = Order::default();
        o.won(1, 1);
        for seq in 3..=(SPAN as u64 + 10) {
            o.won(seq, 2);
        }
        assert!(o.streaks.pairs > 0);
    }

    #[test]
    fn jain_knows_its_ends() {
        assert_eq!(jain([5, 5, 5, 5].into_iter()), Some(1.0));
        assert_eq!(jain([8, 0, 0, 0].into_iter()), Some(0.25));
        assert_eq!(jain([0, 0].into_iter()), None);
    }
}
