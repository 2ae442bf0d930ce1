//! A whole turn in 16 bytes, told against the whole turn before it: what workers at full speed write by the million. Half
//! the bytes are half the pages that the pipe needs and half of what is copied.
//!
//! | word | low bits | | high bits |
//! |---|---|---|---|
//! | 0 | ns from winning the turn before to asking for this one (24) | waited in ns (28), record number (4) | flags (4), kind (4) |
//! | 1 | held in ns (20) | handoff in ns (20) | acquisitions since the turn before (16), those of them by others before it asked (8) |
//!
//! What does not fit is told in full.

use super::{CONTENDED, Cycle, HANDOFF, KINDS, SHARED, Unit, Won, unit, words};

const KIND: u64 = 12;
const GAP: u32 = 24;
const WAITED: u32 = 28;
const NUMBER: u32 = 4;
const HELD: u32 = 20;
const HANDED: u32 = 20;
const SINCE: u32 = 16;
const EARLY: u32 = 8;

/// A whole turn that was told: the next one is told against it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Before {
    t: u64,
    seq: u64,
}

impl Before {
    /// This turn, for the next one.
    #[inline]
    pub(in super::super) fn of(cycle: &Cycle) -> Self {
        Self { t: cycle.t, seq: cycle.won.seq }
    }

    /// `cycle` in short, where it fits.
    #[inline]
    pub(super) fn encode(self, cycle: &Cycle, number: u16) -> Option<Unit> {
        let Cycle { t, won, waited, held } = cycle;
        let (waited, held) = (u64::from(*waited), u64::from(*held));
        let gap = t.checked_sub(self.t)?.checked_sub(waited)?;
        let since = won.seq.checked_sub(self.seq)?;
        let early = since.checked_sub(1)?.checked_sub(u64::from(won.overtaken))?;
        let handoff = u64::from(won.handoff.unwrap_or(0));
        let too_large =
            gap >> GAP | waited >> WAITED | held >> HELD | handoff >> HANDED | since >> SINCE | early >> EARLY;
        if too_large != 0 {
            return None;
        }
        let number = u64::from(number) & mask(NUMBER);
        let head = gap | waited << GAP | number << (GAP + WAITED) | won.flags() | KIND << KINDS;
        let rest = held | handoff << HELD | since << (HELD + HANDED) | early << (HELD + HANDED + SINCE);
        Some(unit(head, rest))
    }

    /// Reads what [`is_short`] said is one.
    #[inline]
    pub(in super::super) fn decode(self, unit: &Unit) -> Cycle {
        let [head, rest] = words(*unit);
        let waited = head >> GAP & mask(WAITED);
        let since = rest >> (HELD + HANDED) & mask(SINCE);
        let early = rest >> (HELD + HANDED + SINCE);
        let handoff = (rest >> HELD & mask(HANDED)) as u32;
        let won = Won {
            seq: self.seq.wrapping_add(since),
            shared: head & SHARED != 0,
            contended: head & CONTENDED != 0,
            handoff: (head & HANDOFF != 0).then_some(handoff),
            overtaken: since.saturating_sub(1).saturating_sub(early) as u32,
        };
        let t = self.t.wrapping_add(head & mask(GAP)).wrapping_add(waited);
        Cycle { t, won, waited: waited as u32, held: (rest & mask(HELD)) as u32 }
    }
}

/// Whether a record of this form begins here.
#[inline]
pub(in super::super) fn is_short(unit: &Unit) -> bool {
    let [head, _] = words(*unit);
    head >> KINDS == KIND
}

/// How many records the writer numbered between `number` and the one that is here, modulo 16.
#[inline]
pub(in super::super) fn missing(unit: &Unit, number: u16) -> u16 {
    let [head, _] = words(*unit);
    (head >> (GAP + WAITED)).wrapping_sub(u64::from(number)) as u16 & mask(NUMBER) as u16
}

const fn mask(bits: u32) -> u64 {
    (1 << bits) - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Below 2 to the power of about so many bits.
    fn up_to(bits: u32) -> impl Strategy<Value = u64> {
        (0..=bits).prop_flat_map(|bits| 0..=mask(bits))
    }

    proptest! {
        #[test]
        fn comes_back_as_it_went_or_does_not_fit(
            (t, seq) in (up_to(50), up_to(47)),
            (gap, waited, held) in (up_to(GAP + 1), up_to(WAITED + 1), up_to(HELD + 1)),
            (handoff, overtaken, early) in (prop::option::of(up_to(HANDED + 1)), up_to(SINCE + 1), up_to(EARLY + 1)),
            (shared, contended) in any::<(bool, bool)>(),
            number: u16,
        ) {
            let before = Before { t, seq };
            let won = Won {
                seq: seq + 1 + overtaken + early,
                shared,
                contended,
                handoff: handoff.map(|ns| ns as u32),
                overtaken: overtaken as u32,
            };
            let cycle = Cycle { t: t + gap + waited, won, waited: waited as u32, held: held as u32 };
            let fits = gap <= mask(GAP)
                && waited <= mask(WAITED)
                && held <= mask(HELD)
                && handoff.unwrap_or(0) <= mask(HANDED)
                && 1 + overtaken + early <= mask(SINCE)
                && early <= mask(EARLY);
            let unit = before.encode(&cycle, number);
            prop_assert_eq!(unit.is_some(), fits);
            if let Some(unit) = unit {
                prop_assert!(is_short(&unit));
                prop_assert_eq!(before.decode(&unit), cycle);
                prop_assert_eq!(missing(&unit, number), 0);
                prop_assert_eq!(missing(&unit, number.wrapping_sub(3)), 3);
            }
        }

        #[test]
        fn what_lies_before_it_is_not_told_in_short(t in 1..1000u64, seq in 1..1000u64) {
            let before = Before { t: 1000, seq: 1000 };
            let won = |seq| Won { seq, shared: false, contended: false, handoff: None, overtaken: 0 };
            let cycle = Cycle { t, won: won(1001), waited: 0, held: 0 };
            prop_assert_eq!(before.encode(&cycle, 0), None);
            prop_assert_eq!(before.encode(&Cycle { t: 1001, won: won(seq), ..cycle }, 0), None);
        }

        #[test]
        fn any_bytes_are_survived(unit: Unit, t: u64, seq: u64) {
            let _ = Before { t, seq }.decode(&unit);
        }
    }
}
