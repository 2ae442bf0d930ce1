//! Durations counted in log-linear buckets: exact to three significant digits,
//! small enough that every worker has its own.

use serde::{Deserialize, Serialize};

/// Linear sub-buckets a power of two: 2^11 keeps the error of a bucket's bounds under 1/2048.
const SUB_BITS: u32 = 11;
const SUB: u64 = 1 << SUB_BITS;
const PAGE_BITS: usize = 6;
const PAGE: usize = 1 << PAGE_BITS;

/// A set of durations in ns. Memory grows with the spread of what was recorded, not with the range
/// that could be: counters live in pages of 64 that exist only where something fell.
#[derive(Clone, Debug, Default)]
pub struct Latency {
    pages: Vec<Page>,
    count: u64,
    sum: u128,
    min: u64,
    max: u64,
}

#[derive(Clone, Debug)]
struct Page {
    index: u32,
    counts: Box<[u64; PAGE]>,
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

fn bucket(value: u64) -> usize {
    if value < SUB {
        return value as usize;
    }
    let shift = 63 - value.leading_zeros() - (SUB_BITS - 1);
    // Each further power of two has SUB/2 buckets of its own: its upper half of the sub-buckets.
    ((shift as u64) * (SUB / 2) + (value >> shift)) as usize
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
    pub fn record(&mut self, ns: u64) {
        let index = bucket(ns);
        let slot = index & (PAGE - 1);
        let page = (index >> PAGE_BITS) as u32;
        let at = match self.pages.binary_search_by_key(&page, |p| p.index) {
            Ok(at) => at,
            Err(at) => {
                let fresh = Page { index: page, counts: Box::new([0; PAGE]) };
                self.pages.insert(at, fresh);
                at
            }
        };
        if let Some(count) = self.pages.get_mut(at).and_then(|p| p.counts.get_mut(slot)) {
            *count += 1;
        }
        self.min = if self.count == 0 { ns } else { self.min.min(ns) };
        self.max = self.max.max(ns);
        self.count += 1;
        self.sum += u128::from(ns);
    }

    /// Adds all that `other` counted.
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        for page in &other.pages {
            match self.pages.binary_search_by_key(&page.index, |p| p.index) {
                Ok(at) => {
                    if let Some(mine) = self.pages.get_mut(at) {
                        for (a, b) in mine.counts.iter_mut().zip(page.counts.iter()) {
                            *a += b;
                        }
                    }
                }
                Err(at) => self.pages.insert(at, page.clone()),
            }
        }
        self.min = if self.count == 0 { other.min } else { self.min.min(other.min) };
        self.max = self.max.max(other.max);
        self.count += other.count;
        self.sum += other.sum;
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
        if self.count == 0 {
            return None;
        }
        let rank = ((q.clamp(0.0, 1.0) * self.count as f64).ceil() as u64).max(1);
        let mut seen = 0;
        for page in &self.pages {
            for (slot, &n) in page.counts.iter().enumerate() {
                seen += n;
                if n > 0 && seen >= rank {
                    let index = ((page.index as usize) << PAGE_BITS) + slot;
                    return Some(upper_bound(index).clamp(self.min, self.max));
                }
            }
        }
        Some(self.max)
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
        self.pages.iter().flat_map(move |page| {
            let first = (page.index as usize) << PAGE_BITS;
            let counted = page.counts.iter().enumerate().filter(|(_, n)| **n > 0);
            counted.map(move |(slot, n)| (upper_bound(first + slot).clamp(self.min, self.max), *n))
        })
    }

    /// How many durations fell into each of the half-open ranges between `edges` (ascending, in ns):
    /// below the first, between each two, from the last up. A bucket counts where its upper bound lies.
    pub fn between(&self, edges: &[u64]) -> Vec<u64> {
        let mut out = vec![0; edges.len() + 1];
        for page in &self.pages {
            for (slot, &n) in page.counts.iter().enumerate().filter(|(_, n)| **n > 0) {
                let bound = upper_bound(((page.index as usize) << PAGE_BITS) + slot).min(self.max);
                let at = edges.partition_point(|e| *e <= bound);
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

    proptest! {
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
