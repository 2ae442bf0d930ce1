//! Where the counters of durations are: pages that exist only where something was counted.

pub(super) const PAGE_BITS: usize = 4;
/// Counters a page.
pub(super) const PAGE: usize = 1 << PAGE_BITS;
/// A directory grows by so many pages.
const DIRECTORY: usize = 32;
/// So many pages, those made first and so of the most common durations, have a byte a counter and lie side by side.
const FIRST: usize = 128;
/// Others have half a byte a counter and come by pieces of so many: a thousand workers have hundreds each, and most of
/// their counters stay small. No piece ever moves and leaves a gap that fits no other.
const PIECE: usize = 32;

/// Pages of small counters, each made when it is first counted in. What does not fit into a counter is for somebody else
/// to keep.
#[derive(Clone, Debug, Default)]
pub(super) struct Pages {
    /// Where each page is, up to the highest in use: 0 is nowhere, else one more than its index.
    directory: Vec<u16>,
    first: Vec<[u8; PAGE]>,
    #[allow(clippy::vec_box, reason = "a vector of all would move, and leave ever larger gaps")]
    others: Vec<Box<[u64; PIECE]>>,
    used: u16,
}

/// The counters of a page.
#[derive(Clone, Copy, Debug)]
pub(super) enum Page {
    /// A byte each.
    Bytes([u8; PAGE]),
    /// Half a byte each, the first one in the lowest bits.
    Halves(u64),
}

impl Page {
    /// Bits a counter.
    pub(super) fn bits(self) -> u32 {
        match self {
            Self::Bytes(_) => u8::BITS,
            Self::Halves(_) => HALF,
        }
    }

    /// The sum of all.
    pub(super) fn total(self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.iter().map(|n| u64::from(*n)).sum(),
            // Each byte the sum of two, then the highest the sum of all eight: at most 16 times 15.
            Self::Halves(halves) => {
                let pairs = (halves & LOW_HALVES) + (halves >> HALF & LOW_HALVES);
                pairs.wrapping_mul(u64::MAX / 255) >> (u64::BITS - u8::BITS)
            }
        }
    }

    pub(super) fn counts(self) -> [u64; PAGE] {
        match self {
            Self::Bytes(bytes) => bytes.map(u64::from),
            Self::Halves(halves) => std::array::from_fn(|slot| halves >> (HALF * slot as u32) & HALF_FULL),
        }
    }
}

const HALF: u32 = u64::BITS / PAGE as u32;
const HALF_FULL: u64 = (1 << HALF) - 1;
const LOW_HALVES: u64 = u64::MAX / 255 * HALF_FULL;

impl Pages {
    /// Index of page `at`; beyond all pages where there is none.
    #[inline]
    fn index(&self, at: usize) -> usize {
        usize::from(self.directory.get(at).copied().unwrap_or_default()).wrapping_sub(1)
    }

    /// Behind the highest page in use.
    pub(super) fn end(&self) -> usize {
        self.directory.len()
    }

    /// Whether there is a page `at`.
    #[inline]
    pub(super) fn exists(&self, at: usize) -> bool {
        self.directory.get(at).is_some_and(|index| *index > 0)
    }

    /// Page `at`, where it exists.
    pub(super) fn get(&self, at: usize) -> Option<Page> {
        let index = self.index(at);
        match index.checked_sub(FIRST) {
            None => self.first.get(index).copied().map(Page::Bytes),
            Some(other) => self.others.get(other / PIECE)?.get(other % PIECE).copied().map(Page::Halves),
        }
    }

    /// Page `at`, if it is one of the first.
    #[inline]
    pub(super) fn common(&mut self, at: usize) -> Option<&mut [u8; PAGE]> {
        let index = self.index(at);
        self.first.get_mut(index)
    }

    /// Page `at`, if it is one of the others.
    fn other(&mut self, at: usize) -> Option<&mut u64> {
        let index = self.index(at).checked_sub(FIRST)?;
        self.others.get_mut(index / PIECE)?.get_mut(index % PIECE)
    }

    /// Counts one more in one of the others; `false` where it is none, or the counter is full.
    pub(super) fn count_in_other(&mut self, at: usize, slot: usize) -> bool {
        let place = HALF * slot as u32;
        let Some(halves) = self.other(at).filter(|halves| **halves >> place & HALF_FULL < HALF_FULL) else {
            return false;
        };
        *halves += 1 << place;
        true
    }

    /// Begins a counter anew.
    pub(super) fn clear(&mut self, at: usize, slot: usize) {
        if let Some(bytes) = self.common(at) {
            bytes[slot] = 0;
        } else if let Some(halves) = self.other(at) {
            *halves &= !(HALF_FULL << (HALF * slot as u32));
        }
    }

    /// Sets the counters of page `at` to as much of `counts` as fits. Where there is none, it is made.
    pub(super) fn set(&mut self, at: usize, counts: &[u64; PAGE]) {
        if !self.exists(at) {
            self.make(at);
        }
        if let Some(bytes) = self.common(at) {
            *bytes = counts.map(|n| n as u8);
        } else if let Some(halves) = self.other(at) {
            let place = |(slot, n): (usize, &u64)| (n & HALF_FULL) << (HALF * slot as u32);
            *halves = counts.iter().enumerate().map(place).sum();
        }
    }

    fn make(&mut self, at: usize) {
        if at >= self.directory.len() {
            // By steps, as the longest duration so far grows often.
            let len = (at + 1).next_multiple_of(DIRECTORY);
            self.directory.reserve_exact(len - self.directory.len());
            self.directory.resize(len, 0);
        }
        match usize::from(self.used).checked_sub(FIRST) {
            None => {
                let len = self.first.len();
                if len == self.first.capacity() {
                    // Few sizes, so that the gap that one leaves fits another, or some pieces.
                    self.first.reserve_exact(len.max(FIRST / 16).min(FIRST - len));
                }
                self.first.push([0; PAGE]);
            }
            Some(other) if other % PIECE == 0 => self.others.push(Box::new([0; PIECE])),
            Some(_) => {}
        }
        self.used += 1;
        self.directory[at] = self.used;
    }
}
