//! What an actor did over the last half minute, as shares of quarter seconds: bounded however
//! fast the lock changes hands, and honest where it changes faster than the eye can follow.

use std::collections::VecDeque;

/// Width of a slot in ns.
pub const SLOT_NS: u64 = 250_000_000;
/// How many slots are kept: 30 s.
pub const SLOTS: usize = 120;

/// A quarter of a second in an actor's life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// For how many ns of it the actor held the lock.
    pub held_ns: u32,
    /// For how many ns of it the actor waited.
    pub waited_ns: u32,
    /// Whether its process was killed in it.
    pub died: bool,
}

/// The last [`SLOTS`] slots.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    /// Number of the first slot kept, counted from the run's begin.
    first: u64,
    slots: VecDeque<Slot>,
}

impl Timeline {
    /// Waited from `from` to `won`, held it from then to `to`.
    #[inline]
    pub(super) fn turn(&mut self, from: u64, won: u64, to: u64) {
        // Where the lock changes hands fast, almost all of it lies within the newest slot.
        let begin = (self.first + self.slots.len() as u64).wrapping_sub(1).wrapping_mul(SLOT_NS);
        match self.slots.back_mut() {
            Some(newest) if begin <= from && from <= won && won <= to && to - begin < SLOT_NS => {
                newest.waited_ns = newest.waited_ns.saturating_add((won - from) as u32);
                newest.held_ns = newest.held_ns.saturating_add((to - won) as u32);
            }
            _ => {
                self.waited(from, won);
                self.held(won, to);
            }
        }
    }

    pub(super) fn held(&mut self, from: u64, to: u64) {
        self.spread(from, to, |slot, ns| slot.held_ns = slot.held_ns.saturating_add(ns));
    }

    pub(super) fn waited(&mut self, from: u64, to: u64) {
        self.spread(from, to, |slot, ns| slot.waited_ns = slot.waited_ns.saturating_add(ns));
    }

    pub(super) fn died(&mut self, t: u64) {
        if let Some(slot) = self.slot_mut(t / SLOT_NS) {
            slot.died = true;
        }
    }

    /// The slot that time `t` (ns since the run began) falls into.
    pub fn at(&self, t: u64) -> Slot {
        let index = (t / SLOT_NS).checked_sub(self.first);
        index.and_then(|i| self.slots.get(usize::try_from(i).ok()?)).copied().unwrap_or_default()
    }

    fn slot_mut(&mut self, number: u64) -> Option<&mut Slot> {
        if self.slots.is_empty() {
            self.first = number;
        }
        if number >= self.first + self.slots.len() as u64 {
            let missing = number - self.first - self.slots.len() as u64 + 1;
            if missing > SLOTS as u64 {
                self.slots.clear();
                self.first = number.saturating_sub(SLOTS as u64 - 1);
            }
            while self.first + self.slots.len() as u64 <= number {
                self.slots.push_back(Slot::default());
            }
            while self.slots.len() > SLOTS {
                self.slots.pop_front();
                self.first += 1;
            }
        } else if number < self.first {
            while self.slots.len() < SLOTS && self.first > number {
                self.slots.push_front(Slot::default());
                self.first -= 1;
            }
        }
        self.slots.get_mut(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    fn spread(&mut self, from: u64, to: u64, add: impl Fn(&mut Slot, u32)) {
        let last = to / SLOT_NS;
        let oldest = last.saturating_sub(SLOTS as u64 - 1);
        // The newest first: an older slot that no longer fits is then simply left out.
        for number in ((from / SLOT_NS).max(oldest)..=last).rev() {
            let begin = number * SLOT_NS;
            let end = begin.saturating_add(SLOT_NS);
            let ns = to.min(end).saturating_sub(from.max(begin));
            if let Some(slot) = self.slot_mut(number) {
                add(slot, ns as u32);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_hold_over_a_border_is_split() {
        let mut line = Timeline::default();
        line.held(SLOT_NS - 10, SLOT_NS + 30);
        assert_eq!(line.at(0).held_ns, 10);
        assert_eq!(line.at(SLOT_NS).held_ns, 30);
    }

    proptest! {
        #[test]
        fn a_turn_is_its_wait_and_its_hold(turns in prop::collection::vec((0u64..SLOT_NS, 0u64..SLOT_NS, 0u64..SLOT_NS), 1..50)) {
            let (mut at_once, mut in_parts, mut t) = (Timeline::default(), Timeline::default(), 0);
            for (think, wait, hold) in turns {
                let from = t + think / 8;
                let won = from + wait / 8;
                t = won + hold / 8;
                at_once.turn(from, won, t);
                in_parts.waited(from, won);
                in_parts.held(won, t);
            }
            prop_assert_eq!((at_once.first, &at_once.slots), (in_parts.first, &in_parts.slots));
        }

        #[test]
        fn stays_bounded(spans in prop::collection::vec((0u64..100_000_000_000_000, 0u64..100_000_000_000), 0..50)) {
            let mut line = Timeline::default();
            for (from, len) in spans {
                line.held(from, from + len);
                prop_assert!(line.slots.len() <= SLOTS);
            }
        }
    }
}
