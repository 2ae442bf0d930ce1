//! What a worker has told and not yet written into its pipe: the one that reads the pipe may look at it, so that nothing is
//! hidden by being gathered, whoever is out of the processor or blocked.

use crate::lab::wire::{UNIT, Unit};
use std::sync::atomic::{AtomicU64, Ordering::*};

/// The records of a batch, on a page of their own. How many there are stands in the worker's slot.
#[repr(C, align(4096))]
#[derive(Debug)]
pub struct Draft {
    units: [AtomicU64; Draft::ROOM],
}

impl Draft {
    /// What a batch takes, in bytes: `PIPE_BUF`, so that the write is all or nothing.
    pub const BYTES: usize = 4096;
    /// The same in units of a record.
    pub const ROOM: usize = Self::BYTES / UNIT;

    /// Puts a unit at a place in the batch.
    #[inline]
    pub fn put(&self, place: usize, unit: Unit) {
        if let Some(at) = self.units.get(place) {
            at.store(u64::from_ne_bytes(unit), Relaxed);
        }
    }

    /// Its first units, for write(2).
    pub fn units(&self, len: usize) -> &[AtomicU64] {
        self.units.get(..len).unwrap_or_default()
    }

    /// Adds units to `out`.
    pub fn copy(&self, from: usize, to: usize, out: &mut Vec<u8>) {
        let units = self.units.get(from..to).unwrap_or_default();
        out.extend(units.iter().flat_map(|unit| unit.load(Relaxed).to_ne_bytes()));
    }
}

/// How far a worker has come: units written into its pipe, and units in its draft, which follow them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Written.
    pub written: u64,
    /// In the draft.
    pub drafted: usize,
}

impl Progress {
    const BITS: u32 = 16;

    pub(super) fn word(self) -> u64 {
        self.written << Self::BITS | self.drafted as u64
    }

    pub(super) fn of(word: u64) -> Self {
        Self { written: word >> Self::BITS, drafted: (word & ((1 << Self::BITS) - 1)) as usize }
    }

    /// All of them.
    pub fn told(self) -> u64 {
        self.written + self.drafted as u64
    }
}
