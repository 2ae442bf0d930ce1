//! A ring in memory that the kernel writes and we read, a CPU each: where we are in it, and what may be overwritten.

use super::sys::Shared;

/// How much is taken before its room is given back while more is being taken.
const GIVE_BACK: u64 = 32 << 10;

/// The ring of one CPU. Positions count bytes since it was made.
#[derive(Default)]
pub(super) struct Ring {
    pub shared: Shared,
    /// Places of its head, which the kernel moves, and of its tail, which we move.
    places: (usize, usize),
    /// Where it begins in the mapping.
    pub data: usize,
    /// How long it is, a power of two.
    pub size: u64,
    pub head: u64,
    pub tail: u64,
    released: u64,
}

impl Ring {
    /// `size` bytes at `data` of `shared`, with head and tail at these places.
    pub fn new(shared: Shared, places: (usize, usize), data: usize, size: usize) -> Self {
        Self { shared, places, data, size: size as u64, ..Self::default() }
    }

    /// Looks how far the kernel has come.
    pub fn fetch(&mut self) {
        self.head = self.shared.load(self.places.0);
    }

    /// Where a position is in the mapping.
    #[inline]
    pub fn at(&self, position: u64) -> usize {
        self.data + (position & (self.size - 1)) as usize
    }

    /// The word at a position.
    #[inline]
    pub fn word(&self, position: u64) -> Option<u64> {
        Some(u64::from_ne_bytes(self.shared.bytes(self.at(position), 8).try_into().ok()?))
    }

    /// How much the kernel may not overwrite.
    pub fn used(&self) -> u64 {
        self.head - self.released.min(self.head)
    }

    /// A record of `len` bytes was taken; now and then its room is given back.
    #[inline]
    pub fn pass(&mut self, len: u64) {
        self.tail = self.tail.saturating_add(len).min(self.head);
        if self.tail - self.released >= GIVE_BACK {
            self.release();
        }
    }

    /// What was taken may be overwritten.
    pub fn release(&mut self) {
        if self.released != self.tail {
            self.released = self.tail;
            self.shared.store(self.places.1, self.tail);
        }
    }
}
