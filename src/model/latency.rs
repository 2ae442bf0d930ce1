//! Durations counted in log-linear buckets: exact to three significant digits,
//! small enough that every worker has its own.

use serde::{Deserialize, Serialize};

/// Linear sub-buckets a power of two: 2^11 keeps the error of a bucket's bounds under 1/2048.
const SUB_BITS: u32 = 11;
const SUB: u64 = 1 << SUB_BITS;
const PAGE_BITS: usize = 4;
const PAGE: usize = 1 << PAGE_BITS;

/// A set of durations in ns. Memory grows with the spread of what was recorded, not with the range
/// that could be: counters live in pages of 16 that exist only where something fell. What is counted each time is a
/// byte; what overflows it, one time in 256, is counted elsewhere, in pages that exist only where that happened. So the
/// bytes of all usual durations stay in the processor's nearest cache, and a thousand workers fit into some megabytes. A
/// bucket counts up to 2^40: at a million a second, all of them the same, that is twelve days.
#[derive(Clone, Debug, Default)]
pub struct Latency {
    /// Where each page is, up to the highest in use: 0 is nowhere, else one more than its index. All of u64 makes fewer
    /// than 2^12 pages.
    directory: Vec<u16>,
    low: Vec<[u8; PAGE]>,
    /// Where what overflowed each of them is, in the same way, up to the last that did: those in use most came first.
    above: Vec<u16>,
    high: Vec<[u32; PAGE]>,
    count: u64,
    sum: u128,
    min: u64,
    max: u64,
}

/// What fits the byte of a counter.
const CARRY: u64 = 1 << u8::BITS;

/// The counters of a page.
#[derive(Clone, Copy)]
struct Counts<'a> {
    low: &'a [u8; PAGE],
    high: Option<&'a [u32; PAGE]>,
}

impl Counts<'_> {
    fn total(self) -> u64 {
        let low: u64 = self.low.iter().map(|n| u64::from(*n)).sum();
        low + CARRY * self.high.map_or(0, |counts| counts.iter().map(|n| u64::from(*n)).sum())
    }

    /// Those that are not 0, with their places.
    fn filled(self) -> impl Iterator<Item = (usize, u64)> {
        let mut counts = self.low.map(u64::from);
        if let Some(high) = self.high {
            counts.iter_mut().zip(high).for_each(|(n, high)| *n += u64::from(*high) * CARRY);
        }
        counts.into_iter().enumerate().filter(|(_, n)| *n > 0)
    }
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
    if value < SUB {
        return value as usize;
    }
    let shift = 63 - value.leading_zeros() - (SUB_BITS - 1);
    // Each further power of two has SUB/2 buckets of its own: its upper half of the sub-buckets.
    ((shift as u64) * (SUB / 2) + (value >> shift)) as usize
}

/// Index of the page that stands at place `at` of a directory; beyond all pages where there is none.
#[inline]
fn index(directory: &[u16], at: usize) -> usize {
    usize::from(directory.get(at).copied().unwrap_or_default()).wrapping_sub(1)
}

/// The page at place `at` of a directory and its index; where there is none yet, an empty one is made. Pages grow by a
/// quarter and by 16 at most: thousands have some, and the room that one leaves as it grows fits others.
fn open<'a, C>(directory: &mut Vec<u16>, at: usize, pages: &'a mut Vec<[C; PAGE]>) -> Option<(usize, &'a mut [C; PAGE])>
where
    [C; PAGE]: Default,
{
    if at >= directory.len() {
        directory.reserve_exact(at + 1 - directory.len());
        directory.resize(at + 1, 0);
    }
    let place = directory.get_mut(at)?;
    if *place == 0 {
        if pages.len() == pages.capacity() {
            pages.reserve_exact((pages.len() / 4 + 1).min(16));
        }
        pages.push(Default::default());
        *place = pages.len() as u16;
    }
    let index = usize::from(*place).wrapping_sub(1);
    Some((index, pages.get_mut(index)?))
}

/// As much as a counter of what overflowed can hold.
fn carried(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// The largest value that falls into bucket `index`.
fn upper_bound(index: usize) -> u64 {
    let index = index as u64;
    if index < SUB {
        return index;
    }
    let shift = index / (SUB / 2) - 1;
    let sub = index - shift * (SUB / 2);
    (sub << shift) + ((1u64 << shift) - 1)
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
        let counts = self.low.get_mut(index(&self.directory, page));
        let counted = counts.and_then(|counts| counts[slot].checked_add(1).map(|n| counts[slot] = n));
        if counted.is_none() {
            self.add(page, slot, 1);
        }
    }

    /// Adds to a counter that may lack its page, or room.
    #[cold]
    fn add(&mut self, page: usize, slot: usize, n: u64) {
        let Some((at, counts)) = open(&mut self.directory, page, &mut self.low) else { return };
        let sum = u64::from(counts[slot]) + n;
        counts[slot] = sum as u8;
        if sum < CARRY {
            return;
        }
        if let Some((_, counts)) = open(&mut self.above, at, &mut self.high) {
            counts[slot] = carried(u64::from(counts[slot]) + sum / CARRY);
        }
    }

    /// The pages that exist, ascending, each with its first bucket. None is below that of the smallest duration.
    fn pages(&self) -> impl Iterator<Item = (usize, Counts<'_>)> {
        let first = if self.count == 0 { self.directory.len() } else { bucket(self.min) >> PAGE_BITS };
        (first..self.directory.len()).filter_map(|page| {
            let at = index(&self.directory, page);
            let (low, high) = (self.low.get(at)?, self.high.get(index(&self.above, at)));
            Some((page << PAGE_BITS, Counts { low, high }))
        })
    }

    /// Adds all that `other` counted.
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        for (first, counts) in other.pages() {
            counts.filled().for_each(|(slot, n)| self.add(first >> PAGE_BITS, slot, n));
        }
        self.min = if self.count == 0 { other.min } else { self.min.min(other.min) };
        self.max = self.max.max(other.max);
        self.count += other.count;
        self.sum += other.sum;
    }

    /// Takes out what `other` counted, which was added before. The bounds stay: they belong to whoever knows what is left.
    pub(super) fn take_out(&mut self, other: &Self) {
        for (first, counts) in other.pages() {
            let at = index(&self.directory, first >> PAGE_BITS);
            let Some(low) = self.low.get_mut(at) else { continue };
            let mut high = self.high.get_mut(index(&self.above, at));
            for (slot, n) in counts.filled() {
                let had = u64::from(low[slot]) + high.as_ref().map_or(0, |counts| u64::from(counts[slot]) * CARRY);
                let left = had.saturating_sub(n);
                low[slot] = left as u8;
                if let Some(counts) = &mut high {
                    counts[slot] = carried(left / CARRY);
                }
            }
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

    /// The value in ns that a share `q` (0 to 1) of the durations does not exceed.
    pub fn quantile(&self, q: f64) -> Option<u64> {
        Self::quantile_of([self], q)
    }

    /// The same of all that `parts` counted, without adding them up.
    pub(super) fn quantile_of<const N: usize>(parts: [&Self; N], q: f64) -> Option<u64> {
        let filled = || parts.iter().filter(|part| part.count > 0);
        let count: u64 = filled().map(|part| part.count).sum();
        let (min, max) = (filled().map(|part| part.min).min()?, filled().map(|part| part.max).max()?);
        let rank = ((q.clamp(0.0, 1.0) * count as f64).ceil() as u64).max(1);
        let mut seen = 0;
        let mut pages = parts.map(|part| part.pages().peekable());
        while let Some(first) = pages.iter_mut().filter_map(|pages| Some(pages.peek()?.0)).min() {
            let page = pages.each_mut().map(|pages| Some(pages.next_if(|(at, _)| *at == first)?.1));
            let total: u64 = page.iter().flatten().map(|counts| counts.total()).sum();
            if seen + total < rank {
                seen += total;
                continue;
            }
            let mut counts = [0; PAGE];
            page.iter().flatten().flat_map(|counts| counts.filled()).for_each(|(slot, n)| counts[slot] += n);
            for (slot, n) in counts.into_iter().enumerate() {
                seen += n;
                if seen >= rank {
                    return Some(upper_bound(first + slot).clamp(min, max));
                }
            }
        }
        Some(max)
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

    /// Each bucket that counted anything: its largest duration in ns, and how many; ascending.
    pub fn counts(&self) -> impl Iterator<Item = (u64, u64)> {
        self.pages().flat_map(move |(first, counts)| {
            counts.filled().map(move |(slot, n)| (upper_bound(first + slot).clamp(self.min, self.max), n))
        })
    }

    /// How many durations fell into each of the half-open ranges between `edges` (ascending, in ns):
    /// below the first, between each two, from the last up. A bucket counts where its upper bound lies.
    pub fn between(&self, edges: &[u64]) -> Vec<u64> {
        let mut out = vec![0; edges.len() + 1];
        let mut at = 0;
        for (first, counts) in self.pages() {
            for (slot, n) in counts.filled() {
                let bound = upper_bound(first + slot).min(self.max);
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
            let up = upper_bound(bucket(v));
            assert!(up >= v && bucket(up) == bucket(v), "{v} {up}");
        }
    }

    #[test]
    fn ranges_count_everything_once() {
        let mut l = Latency::default();
        [5, 10, 15, 99].iter().for_each(|v| l.record(*v));
        assert_eq!(l.between(&[10, 20]), vec![1, 2, 1]);
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
