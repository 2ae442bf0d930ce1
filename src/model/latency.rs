//! Durations counted in log-linear buckets: exact to three significant digits,
//! small enough that every worker has its own.

mod pages;

use pages::{PAGE, PAGE_BITS, Page, Pages};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Shorter durations, in ns, have a bucket each.
const LINEAR: u64 = 1 << 11;
/// From there on each power of two has so many: the middle of a bucket is off by less than 1/1024 of what fell into it,
/// which is as much as HdrHistogram's upper bounds are off at three significant digits.
const SUB: u64 = 1 << SUB_BITS;
const SUB_BITS: u32 = 9;

/// A set of durations in ns. Memory grows with the spread of what was recorded, not with the range
/// that could be: counters live in pages of 16 that exist only where something fell. What is counted each time is a
/// byte, or half of one where little falls; what overflows it is counted in a list of its own. So the counters of all usual
/// durations stay in the processor's nearest cache, and a thousand workers fit into some megabytes. A bucket counts up to
/// 2^52.
#[derive(Clone, Debug, Default)]
pub struct Latency {
    /// All of u64 makes fewer than 2^11 pages.
    pages: Pages,
    /// What overflowed, in the order of the buckets.
    over: Vec<Over>,
    count: u64,
    sum: u128,
    min: u64,
    max: u64,
}

/// How often the counter of a bucket overflowed: the bucket in the highest 16 bits.
#[derive(Clone, Copy, Debug)]
struct Over(u64);

impl Over {
    const BITS: u32 = 48;

    const MOST: u64 = (1 << Self::BITS) - 1;

    fn new(bucket: usize, times: u64) -> Self {
        Self((bucket as u64) << Self::BITS | times.min(Self::MOST))
    }

    fn bucket(self) -> usize {
        (self.0 >> Self::BITS) as usize
    }

    fn page(self) -> usize {
        self.bucket() >> PAGE_BITS
    }

    fn times(self) -> u64 {
        self.0 & Self::MOST
    }

    /// Counts one more; `false` where that does not fit.
    fn count(&mut self) -> bool {
        let fits = self.times() < Self::MOST;
        self.0 += u64::from(fits);
        fits
    }
}

/// The counters of a page, and what overflowed them.
#[derive(Clone, Copy)]
struct Counts<'a> {
    low: Page,
    over: &'a [Over],
}

impl Counts<'_> {
    fn all(self) -> [u64; PAGE] {
        let mut all = self.low.counts();
        for over in self.over {
            all[over.bucket() & (PAGE - 1)] += over.times() << self.low.bits();
        }
        all
    }

    fn total(self) -> u64 {
        self.low.total() + self.over.iter().map(|over| over.times() << self.low.bits()).sum::<u64>()
    }

    fn filled(self) -> impl Iterator<Item = (usize, u64)> {
        filled(self.all())
    }
}

/// Counts that are not 0, with their places.
fn filled(counts: [u64; PAGE]) -> impl Iterator<Item = (usize, u64)> + Clone {
    counts.into_iter().enumerate().filter(|(_, n)| *n > 0)
}

/// A [`Latency`] in figures, all in ns; none where nothing was recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// How many durations.
    pub count: u64,
    /// Smallest.
    pub min: Option<u64>,
    /// Arithmetic mean.
    pub mean: Option<f64>,
    /// Median.
    pub p50: Option<u64>,
    /// 90th percentile.
    pub p90: Option<u64>,
    /// 99th percentile.
    pub p99: Option<u64>,
    /// 99.9th percentile.
    pub p999: Option<u64>,
    /// Largest, exact.
    pub max: Option<u64>,
}

#[inline]
fn bucket(value: u64) -> usize {
    if value < LINEAR {
        return value as usize;
    }
    let shift = value.ilog2() - SUB_BITS;
    (START + u64::from(shift) * SUB + (value >> shift)) as usize
}

/// What makes the buckets of the first power of two follow the linear ones.
const START: u64 = LINEAR - (LINEAR.ilog2() - SUB_BITS + 1) as u64 * SUB;

/// The bucket of a counter.
fn bucket_at(page: usize, slot: usize) -> usize {
    (page << PAGE_BITS) + slot
}

/// The smallest and the largest value that falls into bucket `index`.
fn bounds(index: usize) -> (u64, u64) {
    let index = index as u64;
    if index < LINEAR {
        return (index, index);
    }
    let shift = (index - START) / SUB - 1;
    let first = (index - START - shift * SUB) << shift;
    (first, first + ((1 << shift) - 1))
}

/// What stands for all that fell into bucket `index`.
fn stands_for(index: usize) -> u64 {
    let (first, last) = bounds(index);
    first + (last - first) / 2
}

impl Latency {
    /// Counts one duration of `ns`.
    #[inline]
    pub fn record(&mut self, ns: u64) {
        self.count_in(bucket(ns));
        self.min = if self.count == 0 { ns } else { self.min.min(ns) };
        self.max = self.max.max(ns);
        self.count += 1;
        self.sum += u128::from(ns);
    }

    /// Counts many of them, each in ns, in each of `places`.
    #[inline]
    pub fn record_all<const N: usize>(mut places: [&mut Self; N], all: impl Iterator<Item = u32>) {
        let (mut count, mut sum, mut min, mut max) = (0, 0, u32::MAX, 0);
        for ns in all {
            let bucket = bucket(u64::from(ns));
            places.iter_mut().for_each(|place| place.count_in(bucket));
            (count, sum, min, max) = (count + 1, sum + u64::from(ns), min.min(ns), max.max(ns));
        }
        if count == 0 {
            return;
        }
        let (min, max) = (u64::from(min), u64::from(max));
        for place in places {
            place.min = if place.count == 0 { min } else { place.min.min(min) };
            place.max = place.max.max(max);
            place.count += count;
            place.sum += u128::from(sum);
        }
    }

    #[inline]
    fn count_in(&mut self, bucket: usize) {
        let (page, slot) = (bucket >> PAGE_BITS, bucket & (PAGE - 1));
        let counts = self.pages.common(page);
        let counted = counts.and_then(|counts| counts[slot].checked_add(1).map(|n| counts[slot] = n));
        if counted.is_none() {
            self.count_elsewhere(page, slot);
        }
    }

    #[cold]
    fn count_elsewhere(&mut self, page: usize, slot: usize) {
        if self.pages.count_in_other(page, slot) {
            return;
        }
        // The counter is full, or has no page yet.
        let bucket = bucket_at(page, slot);
        let known = self.over.binary_search_by_key(&bucket, |over| over.bucket()).ok();
        if known.and_then(|at| self.over.get_mut(at)).is_some_and(Over::count) {
            self.pages.clear(page, slot);
        } else {
            self.change(page, |counts| counts[slot] += 1);
        }
    }

    /// Changes counts of a page that may lack, or whose counters may lack room.
    fn change(&mut self, page: usize, change: impl FnOnce(&mut [u64; PAGE])) {
        let mut counts = self.page(page).map_or([0; PAGE], Counts::all);
        change(&mut counts);
        self.pages.set(page, &counts);
        let bits = self.pages.get(page).map_or(0, Page::bits);
        let place = self.over_of(page);
        let over = filled(counts.map(|n| n >> bits)).map(|(slot, times)| Over::new(bucket_at(page, slot), times));
        let more = over.clone().count().saturating_sub(place.len());
        if self.over.capacity() - self.over.len() < more {
            // By steps: half of what is doubled would lie idle a thousand times.
            self.over.reserve_exact(PAGE);
        }
        self.over.splice(place, over);
    }

    /// The pages in which something may be.
    fn range(&self) -> Range<usize> {
        let end = self.pages.end();
        (if self.count == 0 { end } else { bucket(self.min) >> PAGE_BITS })..end
    }

    /// What page `page` counted, if it exists.
    fn page(&self, page: usize) -> Option<Counts<'_>> {
        let low = self.pages.get(page)?;
        Some(Counts { low, over: self.over.get(self.over_of(page)).unwrap_or_default() })
    }

    /// Where that which overflowed the counters of page `page` is.
    fn over_of(&self, page: usize) -> Range<usize> {
        let first = self.over.partition_point(|over| over.page() < page);
        first..first + self.over.iter().skip(first).take_while(|over| over.page() == page).count()
    }

    /// The pages that exist, ascending, each with its number.
    fn pages(&self) -> impl Iterator<Item = (usize, Counts<'_>)> {
        self.range().filter_map(|page| Some((page, self.page(page)?)))
    }

    /// Adds all that `other` counted.
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        for (page, more) in other.pages().filter(|(_, counts)| counts.total() > 0) {
            let more = more.all();
            self.change(page, |counts| counts.iter_mut().zip(more).for_each(|(n, more)| *n += more));
        }
        self.min = if self.count == 0 { other.min } else { self.min.min(other.min) };
        self.max = self.max.max(other.max);
        self.count += other.count;
        self.sum += other.sum;
    }

    /// Takes out what `other` counted, which was added before. The bounds stay: they belong to whoever knows what is left.
    pub(super) fn take_out(&mut self, other: &Self) {
        for (page, less) in other.pages().filter(|(_, counts)| counts.total() > 0) {
            let less = less.all();
            self.change(page, |counts| counts.iter_mut().zip(less).for_each(|(n, less)| *n = n.saturating_sub(less)));
        }
        self.count = self.count.saturating_sub(other.count);
        self.sum = self.sum.saturating_sub(other.sum);
    }

    /// Says what the smallest and the largest of those left are.
    pub(super) fn set_bounds(&mut self, (min, max): (u64, u64)) {
        (self.min, self.max) = (min, max);
    }

    /// How many durations were recorded.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Their sum in ns.
    pub fn sum(&self) -> u128 {
        self.sum
    }

    /// The smallest, in ns.
    pub fn min(&self) -> Option<u64> {
        (self.count > 0).then_some(self.min)
    }

    /// The largest, in ns.
    pub fn max(&self) -> Option<u64> {
        (self.count > 0).then_some(self.max)
    }

    /// The arithmetic mean in ns.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum as f64 / self.count as f64)
    }

    /// The value in ns that a share `q` (0 to 1) of the durations does not exceed, to within 1/1024; for all of them, the
    /// largest.
    pub fn quantile(&self, q: f64) -> Option<u64> {
        Self::quantile_of([self], q)
    }

    /// The same of all that `parts` counted, without adding them up.
    pub(super) fn quantile_of<const N: usize>(parts: [&Self; N], q: f64) -> Option<u64> {
        let filled = || parts.iter().filter(|part| part.count > 0);
        let count: u64 = filled().map(|part| part.count).sum();
        let (min, max) = (filled().map(|part| part.min).min()?, filled().map(|part| part.max).max()?);
        let rank = ((q.clamp(0.0, 1.0) * count as f64).ceil() as u64).max(1);
        let (below, Some(above @ 1..)) = (rank - 1, count.checked_sub(rank)) else {
            return Some(max);
        };
        let ranges = || filled().map(|part| part.range());
        let (first, end) = (ranges().map(|range| range.start).min()?, ranges().map(|range| range.end).max()?);
        let bucket = if below < above {
            Self::bucket_behind(parts, below, first..end, 0..PAGE)
        } else {
            Self::bucket_behind(parts, above, (first..end).rev(), (0..PAGE).rev())
        };
        Some(bucket.map_or(max, |bucket| stands_for(bucket).clamp(min, max)))
    }

    /// Where the first duration is, in the order of `pages` and in each of its `slots`, that has `n` others before it.
    fn bucket_behind<const N: usize>(
        parts: [&Self; N],
        mut n: u64,
        pages: impl Iterator<Item = usize>,
        mut slots: impl Iterator<Item = usize>,
    ) -> Option<usize> {
        for page in pages.filter(|page| parts.iter().any(|part| part.pages.exists(*page))) {
            let counts = parts.map(|part| part.page(page));
            let total: u64 = counts.iter().flatten().map(|counts| counts.total()).sum();
            if total <= n {
                n -= total;
                continue;
            }
            let all = counts.map(|counts| counts.map_or([0; PAGE], Counts::all));
            let slot = slots.find(|slot| {
                let here = all.iter().map(|counts| counts[*slot]).sum();
                let found = n < here;
                n = n.saturating_sub(here);
                found
            });
            return slot.map(|slot| bucket_at(page, slot));
        }
        None
    }

    /// The usual figures at once.
    pub fn figures(&self) -> Figures {
        Figures {
            count: self.count,
            min: self.min(),
            mean: self.mean(),
            p50: self.quantile(0.5),
            p90: self.quantile(0.9),
            p99: self.quantile(0.99),
            p999: self.quantile(0.999),
            max: self.max(),
        }
    }

    /// Each bucket that counted anything: the duration in ns that stands for it, and how many; ascending. The last is the
    /// largest duration.
    pub fn counts(&self) -> impl Iterator<Item = (u64, u64)> {
        let (min, max, last) = (self.min, self.max, bucket(self.max));
        let value = move |bucket| if bucket == last { max } else { stands_for(bucket).clamp(min, max) };
        self.pages()
            .flat_map(move |(page, counts)| counts.filled().map(move |(slot, n)| (value(bucket_at(page, slot)), n)))
    }

    /// How many durations fell into each of the half-open ranges between `edges` (ascending, in ns):
    /// below the first, between each two, from the last up. A bucket counts where its upper bound lies.
    pub fn between(&self, edges: &[u64]) -> Vec<u64> {
        let mut out = vec![0; edges.len() + 1];
        let mut at = 0;
        for (page, counts) in self.pages() {
            for (slot, n) in counts.filled() {
                let bound = bounds(bucket_at(page, slot)).1.min(self.max);
                while edges.get(at).is_some_and(|edge| *edge <= bound) {
                    at += 1;
                }
                if let Some(cell) = out.get_mut(at) {
                    *cell += n;
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::Histogram;
    use proptest::prelude::*;

    #[test]
    fn empty_has_no_figures() {
        let f = Latency::default().figures();
        assert_eq!((f.count, f.min, f.p50, f.max), (0, None, None, None));
    }

    #[test]
    fn bounds_hold_their_bucket() {
        for v in [0, 1, 2047, 2048, 2049, 4095, 4096, 1 << 40, (1 << 40) + 12345, u64::MAX] {
            let (first, last) = bounds(bucket(v));
            assert!(first <= v && v <= last && [first, last].map(bucket) == [bucket(v); 2], "{v} {first} {last}");
        }
    }

    #[test]
    fn ranges_count_everything_once() {
        let mut l = Latency::default();
        [5, 10, 15, 99].iter().for_each(|v| l.record(*v));
        assert_eq!(l.between(&[10, 20]), vec![1, 2, 1]);
    }

    /// Which is not what stands for its bucket.
    #[test]
    fn the_largest_is_exact_wherever_it_is_told() {
        let mut l = Latency::default();
        (0..1000).for_each(|_| l.record(1_000_300_000));
        l.record(500);
        l.record(1_000_300_001);
        assert_ne!(stands_for(bucket(1_000_300_001)), 1_000_300_001);
        assert_eq!((l.quantile(1.0), l.figures().max), (Some(1_000_300_001), Some(1_000_300_001)));
        assert_eq!(l.counts().last().map(|(ns, _)| ns), Some(1_000_300_001));
    }

    /// Of those pages too that have half a byte a counter.
    #[test]
    fn counters_outgrow_their_pages() {
        let mut l = Latency::default();
        let values = |n: u64| (0..n).map(|i| i * 16 + i % 16);
        (1..=300).for_each(|n| values(n).for_each(|v| l.record(v)));
        let mut expected: Vec<(u64, u64)> = values(300).rev().zip(1..).collect();
        expected.reverse();
        assert!(l.counts().map(|(_, n)| n).eq(expected.iter().map(|(_, n)| *n)));
        let l2 = l.clone();
        l.merge(&l2);
        assert!(l.counts().map(|(_, n)| n).eq(expected.iter().map(|(_, n)| 2 * n)));
        l.take_out(&l2);
        assert!(l.counts().eq(l2.counts()) && l.over.len() == l2.over.len());
    }

    #[test]
    fn a_counter_outgrows_its_byte() {
        let mut l = Latency::default();
        for n in 0..1000 {
            l.record(77);
            l.record(n);
        }
        let mut twice = l.clone();
        twice.merge(&l);
        assert_eq!(l.counts().find(|(ns, _)| *ns == 77), Some((77, 1001)));
        assert_eq!(twice.counts().find(|(ns, _)| *ns == 77), Some((77, 2002)));
        assert_eq!((twice.count(), twice.counts().map(|(_, n)| n).sum()), (4000, 4000));
    }

    /// Doubled until it fills the counters of each size.
    #[test]
    fn a_counter_outgrows_all_below_it() {
        let mut l = Latency::default();
        l.record(77);
        l.record(1 << 40);
        for doubled in 1..=40 {
            let same = l.clone();
            l.merge(&same);
            let n = 1 << doubled;
            assert!(l.counts().map(|(_, n)| n).eq([n, n]), "{doubled}");
            let mut half = l.clone();
            half.take_out(&same);
            assert!(half.counts().eq(same.counts()), "{doubled}");
        }
        let last = l.clone();
        l.take_out(&last);
        assert_eq!((l.count(), l.counts().count()), (0, 0));
    }

    proptest! {
        #[test]
        fn what_is_taken_out_was_never_there(
            kept in prop::collection::vec(0u64..10_000, 1..600),
            gone in prop::collection::vec(0u64..10_000, 0..600),
        ) {
            let of = |values: &[u64]| {
                let mut l = Latency::default();
                values.iter().for_each(|v| l.record(*v));
                l
            };
            let (kept, gone) = (of(&kept), of(&gone));
            let mut both = kept.clone();
            both.merge(&gone);
            both.take_out(&gone);
            both.set_bounds((kept.min, kept.max));
            prop_assert_eq!(both.figures(), kept.figures());
            both.merge(&gone);
            for q in [0.0, 0.5, 0.9, 0.99, 1.0] {
                prop_assert_eq!(Latency::quantile_of([&gone, &kept], q), both.quantile(q));
            }
            both.take_out(&gone);
            both.set_bounds((kept.min, kept.max));
            prop_assert!(both.counts().eq(kept.counts()));
        }

        #[test]
        fn what_stands_for_a_duration_is_right_to_three_digits(bits in 0u32..64, any: u64) {
            let v = any >> bits;
            prop_assert!(stands_for(bucket(v)).abs_diff(v) <= v / 1024);
        }

        /// The crate that the field trusts is the oracle: the same values, the same percentiles to three digits.
        #[test]
        fn agrees_with_hdrhistogram(values in prop::collection::vec(0u64..60_000_000_000, 1..400), split in 0usize..400) {
            let mut theirs = Histogram::<u64>::new(3).unwrap();
            let (mut a, mut b) = (Latency::default(), Latency::default());
            for (i, v) in values.iter().enumerate() {
                theirs.record(*v).unwrap();
                if i < split { a.record(*v) } else { b.record(*v) }
            }
            a.merge(&b);
            prop_assert_eq!(a.count(), values.len() as u64);
            prop_assert_eq!(a.max(), values.iter().max().copied());
            prop_assert_eq!(a.min(), values.iter().min().copied());
            for q in [0.5, 0.9, 0.99, 0.999] {
                let (x, y) = (a.quantile(q).unwrap() as f64, theirs.value_at_quantile(q) as f64);
                prop_assert!((x - y).abs() <= 0.002 * y.max(1.0), "{} {} {}", q, x, y);
            }
            prop_assert_eq!(a.between(&[1_000, 1_000_000, 1_000_000_000]).iter().sum::<u64>(), a.count());
        }
    }
}
