//! Where the counters of durations are: pages that exist only where something was counted.

pub(super) const PAGE_BITS: usize = 4;
/// Counters a page.
pub(super) const PAGE: usize = 1 << PAGE_BITS;
/// A directory grows by so many pages.
const DIRECTORY: usize = 32;

/// Pages of counters, each made when it is first counted in. The `FIRST` of them, which are those of the most common
/// durations, lie side by side. Of others a thousand workers have hundreds each: they come by pieces of `PIECE` pages, none
/// of which ever moves and leaves a gap that fits no other.
#[derive(Clone, Debug, Default)]
pub(super) struct Pages<C, const FIRST: usize, const PIECE: usize> {
    /// Where each page is, up to the highest in use: 0 is nowhere, else one more than its index.
    directory: Vec<u16>,
    first: Vec<[C; PAGE]>,
    others: Vec<Box<[[C; PAGE]; PIECE]>>,
    used: u16,
}

impl<C: Copy + Default + PartialEq, const FIRST: usize, const PIECE: usize> Pages<C, FIRST, PIECE> {
    /// Index of page `at`; beyond all pages where there is none.
    #[inline]
    pub(super) fn index(&self, at: usize) -> usize {
        usize::from(self.directory.get(at).copied().unwrap_or_default()).wrapping_sub(1)
    }

    /// Behind the highest page in use.
    pub(super) fn end(&self) -> usize {
        self.directory.len()
    }

    /// Which piece of others a page is in, and where; none where it is one of the first.
    fn other(index: usize) -> Option<(usize, usize)> {
        let index = index.checked_sub(FIRST)?;
        Some((index / PIECE, index % PIECE))
    }

    /// Page `at`, where it exists.
    pub(super) fn get(&self, at: usize) -> Option<&[C; PAGE]> {
        let index = self.index(at);
        match Self::other(index) {
            None => self.first.get(index),
            Some((piece, at)) => self.others.get(piece)?.get(at),
        }
    }

    fn get_mut(&mut self, at: usize) -> Option<&mut [C; PAGE]> {
        let index = self.index(at);
        match Self::other(index) {
            None => self.first.get_mut(index),
            Some((piece, at)) => self.others.get_mut(piece)?.get_mut(at),
        }
    }

    /// Page `at`, if it is one of the first.
    #[inline]
    pub(super) fn common(&mut self, at: usize) -> Option<&mut [C; PAGE]> {
        let index = self.index(at);
        self.first.get_mut(index)
    }

    /// Page `at`; where there is none yet, an empty one is made.
    pub(super) fn open(&mut self, at: usize) -> Option<&mut [C; PAGE]> {
        if at >= self.directory.len() {
            // By steps, as the longest duration so far grows often.
            let len = (at + 1).next_multiple_of(DIRECTORY);
            self.directory.reserve_exact(len - self.directory.len());
            self.directory.resize(len, 0);
        }
        let place = self.directory.get_mut(at)?;
        if *place == 0 {
            match Self::other(usize::from(self.used)) {
                None => {
                    let len = self.first.len();
                    if len == self.first.capacity() {
                        // Few sizes, so that the gap that one leaves fits another, or some pieces.
                        self.first.reserve_exact((3 * len).max(FIRST / 16).min(FIRST - len));
                    }
                    self.first.push([C::default(); PAGE]);
                }
                Some((_, 0)) => self.others.push(Box::new([[C::default(); PAGE]; PIECE])),
                Some(_) => {}
            }
            self.used += 1;
            *place = self.used;
        }
        self.get_mut(at)
    }

    /// Sets a counter of page `at`; where that is missing, it is made only for a count that is not 0.
    pub(super) fn set(&mut self, at: usize, slot: usize, n: C) {
        let page = if n == C::default() { self.get_mut(at) } else { self.open(at) };
        if let Some(counts) = page {
            counts[slot] = n;
        }
    }
}
