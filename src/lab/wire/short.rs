//! A whole turn told against the whole turn before it, in two words or in one: what workers at full speed write by the million.
//! Half the bytes are half the pages that the pipe needs and half of what is copied.
//!
//! | word | low bits | | high bits |
//! |---|---|---|---|
//! | 0 | ns from winning the turn before to asking for this one (24) | waited in ns (28), record number (4) | flags (4), kind (4) |
//! | 1 | held in ns (20) | handoff in ns (20) | acquisitions since the turn before (16), those of them by others before it asked (8) |
//!
//! Bare, where its place is not told:
//!
//! | word | low bits | | high bits |
//! |---|---|---|---|
//! | 0 | ns from winning the turn before to asking for this one (20) | waited in ns (20), held in ns (16) | record number (4), kind (4) |
//!
//! What does not fit is told in full.

use super::{CONTENDED, Cycle, HANDOFF, KINDS, SHARED, Unit, Won};

/// The sort of record that is a turn in two words.
pub(in super::super) const SHORT: u64 = 12;
/// The sort of record that is a turn in one.
pub(in super::super) const BARE: u64 = 13;
const GAP: u32 = 24;
const WAITED: u32 = 28;
const NUMBER: u32 = 4;
const HELD: u32 = 20;
const HANDED: u32 = 20;
const SINCE: u32 = 16;
const EARLY: u32 = 8;
const BARE_GAP: u32 = 20;
const BARE_WAITED: u32 = 20;
const BARE_HELD: u32 = 16;
const BARE_NUMBER: u32 = BARE_GAP + BARE_WAITED + BARE_HELD;

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

    /// When the lock was won in it, in ns since the run began.
    pub(in super::super) fn t(self) -> u64 {
        self.t
    }

    /// A turn bare, where it fits, and what the next one is told against.
    #[inline(always)]
    pub(super) fn encode_bare(self, t: u64, waited: u64, held: u64, number: u16) -> Option<(Unit, Self)> {
        // What lies before it does not fit either.
        let gap = t.wrapping_sub(self.t).wrapping_sub(waited);
        if gap >> BARE_GAP | waited >> BARE_WAITED | held >> BARE_HELD != 0 {
            return None;
        }
        let number = (u64::from(number) & mask(NUMBER)) << BARE_NUMBER;
        let durations = gap | waited << BARE_GAP | held << (BARE_GAP + BARE_WAITED);
        Some(((durations | number | BARE << KINDS).to_le_bytes(), Self { t, seq: 0 }))
    }

    /// Reads what is [`BARE`].
    #[inline]
    pub(in super::super) fn decode_bare(self, unit: &Unit) -> Cycle {
        let word = u64::from_le_bytes(*unit);
        let waited = word >> BARE_GAP & mask(BARE_WAITED);
        let held = word >> (BARE_GAP + BARE_WAITED) & mask(BARE_HELD);
        let won = Won { seq: 0, shared: false, contended: false, handoff: None, overtaken: None };
        let t = self.t.wrapping_add(word & mask(BARE_GAP)).wrapping_add(waited);
        Cycle { t, won, waited: waited as u32, held: held as u32 }
    }

    /// `cycle` in short, where it fits; it must be one whose place is told.
    #[inline]
    pub(super) fn encode(self, cycle: &Cycle, number: u16) -> Option<[Unit; 2]> {
        let Cycle { t, won, waited, held } = cycle;
        let (waited, held) = (u64::from(*waited), u64::from(*held));
        let gap = t.checked_sub(self.t)?.checked_sub(waited)?;
        let since = won.seq.checked_sub(self.seq)?;
        let early = since.checked_sub(1)?.checked_sub(u64::from(won.overtaken?))?;
        let handoff = u64::from(won.handoff.unwrap_or(0));
        let too_large =
            gap >> GAP | waited >> WAITED | held >> HELD | handoff >> HANDED | since >> SINCE | early >> EARLY;
        if too_large != 0 {
            return None;
        }
        let number = u64::from(number) & mask(NUMBER);
        let head = gap | waited << GAP | number << (GAP + WAITED) | won.flags() | SHORT << KINDS;
        let rest = held | handoff << HELD | since << (HELD + HANDED) | early << (HELD + HANDED + SINCE);
        Some([head, rest].map(u64::to_le_bytes))
    }

    /// Reads what is [`SHORT`].
    #[inline]
    pub(in super::super) fn decode(self, units: &[Unit; 2]) -> Cycle {
        let [head, rest] = units.map(u64::from_le_bytes);
        let waited = head >> GAP & mask(WAITED);
        let since = rest >> (HELD + HANDED) & mask(SINCE);
        let early = rest >> (HELD + HANDED + SINCE);
        let handoff = (rest >> HELD & mask(HANDED)) as u32;
        let won = Won {
            seq: self.seq.wrapping_add(since),
            shared: head & SHARED != 0,
            contended: head & CONTENDED != 0,
            handoff: (head & HANDOFF != 0).then_some(handoff),
            overtaken: Some(since.saturating_sub(1).saturating_sub(early) as u32),
        };
        let t = self.t.wrapping_add(head & mask(GAP)).wrapping_add(waited);
        Cycle { t, won, waited: waited as u32, held: (rest & mask(HELD)) as u32 }
    }
}

/// How many records the writer numbered between `number` and the one in short or bare that begins here, modulo 16.
#[inline]
pub(in super::super) fn missing(first: &Unit, number: u16) -> u16 {
    let head = u64::from_le_bytes(*first);
    let place = if head >> KINDS == BARE { BARE_NUMBER } else { GAP + WAITED };
    (head >> place).wrapping_sub(u64::from(number)) as u16 & mask(NUMBER) as u16
}

const fn mask(bits: u32) -> u64 {
    (1 << bits) - 1
}

#[cfg(test)]
mod tests {
    use super::super::kind;
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
                overtaken: Some(overtaken as u32),
            };
            let cycle = Cycle { t: t + gap + waited, won, waited: waited as u32, held: held as u32 };
            let fits = gap <= mask(GAP)
                && waited <= mask(WAITED)
                && held <= mask(HELD)
                && handoff.unwrap_or(0) <= mask(HANDED)
                && 1 + overtaken + early <= mask(SINCE)
                && early <= mask(EARLY);
            let units = before.encode(&cycle, number);
            prop_assert_eq!(units.is_some(), fits);
            if let Some(units) = units {
                prop_assert_eq!(kind(&units[0]), SHORT);
                prop_assert_eq!(before.decode(&units), cycle);
                prop_assert_eq!(missing(&units[0], number), 0);
                prop_assert_eq!(missing(&units[0], number.wrapping_sub(3)), 3);
            }
        }

        #[test]
        fn bare_too(
            t in up_to(50),
            (gap, waited, held) in (up_to(BARE_GAP + 1), up_to(BARE_WAITED + 1), up_to(BARE_HELD + 1)),
            number: u16,
        ) {
            let before = Before { t, seq: 0 };
            let won = Won { seq: 0, shared: false, contended: false, handoff: None, overtaken: None };
            let cycle = Cycle { t: t + gap + waited, won, waited: waited as u32, held: held as u32 };
            let fits = gap <= mask(BARE_GAP) && waited <= mask(BARE_WAITED) && held <= mask(BARE_HELD);
            let unit = before.encode_bare(cycle.t, waited, held, number);
            prop_assert_eq!(unit.is_some(), fits);
            if let Some((unit, after)) = unit {
                prop_assert_eq!(after, Before::of(&cycle));
                prop_assert_eq!(kind(&unit), BARE);
                prop_assert_eq!(before.decode_bare(&unit), cycle);
                prop_assert_eq!(missing(&unit, number), 0);
                prop_assert_eq!(missing(&unit, number.wrapping_sub(3)), 3);
            }
        }

        #[test]
        fn what_lies_before_it_is_not_told_in_short(t in 1..1000u64, seq in 1..1000u64) {
            let before = Before { t: 1000, seq: 1000 };
            let won = |seq| Won { seq, shared: false, contended: false, handoff: None, overtaken: Some(0) };
            let cycle = Cycle { t, won: won(1001), waited: 0, held: 0 };
            prop_assert_eq!(before.encode(&cycle, 0), None);
            prop_assert_eq!(before.encode(&Cycle { t: 1001, won: won(seq), ..cycle }, 0), None);
            prop_assert_eq!(before.encode_bare(t, 0, 0, 0), None);
            prop_assert_eq!(before.encode_bare(1001, 2, 0, 0), None, "asked for before it");
        }

        #[test]
        fn any_bytes_are_survived(units: [Unit; 2], t: u64, seq: u64) {
            let _ = (Before { t, seq }.decode(&units), Before { t, seq }.decode_bare(&units[0]));
        }
    }
}
