//! Bytes of a file as closed intervals.

use crate::watch::change::Range;

/// From the first byte to the last; the end of the file is the greatest number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub first: u64,
    pub last: u64,
}

impl Span {
    pub const WHOLE: Self = Self { first: 0, last: u64::MAX };

    pub fn of(range: Option<Range>) -> Self {
        range.map_or(Self::WHOLE, |range| Self {
            first: range.start,
            last: range.end.unwrap_or(u64::MAX).max(range.start),
        })
    }

    pub fn range(self) -> Range {
        Range { start: self.first, end: (self.last != u64::MAX).then_some(self.last) }
    }

    pub fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// What of it lies before and behind `cut`.
    pub fn without(self, cut: Self) -> [Option<Self>; 2] {
        if !self.overlaps(cut) {
            return [Some(self), None];
        }
        let before = cut.first.checked_sub(1).filter(|&last| self.first <= last);
        let behind = cut.last.checked_add(1).filter(|&first| first <= self.last);
        [before.map(|last| Self { last, ..self }), behind.map(|first| Self { first, ..self })]
    }

    /// What of it none of `cuts` has.
    pub fn without_all(self, cuts: impl IntoIterator<Item = Self>) -> Vec<Self> {
        let mut rest = vec![self];
        for cut in cuts {
            rest = rest.into_iter().flat_map(|span| span.without(cut)).flatten().collect();
        }
        rest.sort_unstable_by_key(|span| span.first);
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn span(first: u64, last: u64) -> Span {
        Span { first, last }
    }

    #[test]
    fn the_ends_of_numbers_are_no_trouble() {
        assert_eq!(Span::WHOLE.without(Span::WHOLE), [None, None]);
        assert_eq!(Span::WHOLE.without(span(0, 9)), [None, Some(span(10, u64::MAX))]);
        assert_eq!(Span::WHOLE.without(span(9, u64::MAX)), [Some(span(0, 8)), None]);
        assert_eq!(Span::WHOLE.range(), Range::WHOLE);
    }

    proptest! {
        #[test]
        fn every_byte_is_where_it_belongs(
            whole in (0u64..40, 0u64..40),
            cuts in proptest::collection::vec((0u64..40, 0u64..40), 0..6),
            byte in 0u64..40,
        ) {
            let make = |(a, b): (u64, u64)| span(a.min(b), a.max(b));
            let has = |s: Span| s.first <= byte && byte <= s.last;
            let cuts: Vec<Span> = cuts.into_iter().map(make).collect();
            let rest = make(whole).without_all(cuts.iter().copied());
            let wanted = has(make(whole)) && !cuts.iter().any(|&c| has(c));
            prop_assert_eq!(rest.iter().filter(|&&s| has(s)).count(), usize::from(wanted));
        }
    }
}
