//! The one that reads the pipes, and how it sleeps.

use crate::lab::clock;
use std::sync::atomic::{AtomicU32, Ordering::*};

/// How those that write and the one that reads their pipes come to terms, so that it is not woken for each batch.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Reader {
    /// Counts the rounds in which all pipes are read.
    round: AtomicU32,
    /// Changes when somebody wants the next round to begin.
    calls: AtomicU32,
}

impl Reader {
    /// Number of the round that is being read, or was last.
    pub fn round(&self) -> u32 {
        self.round.load(Relaxed)
    }

    /// Begins a round: what was written before is read in it.
    pub fn begin_round(&self) {
        self.round.store(self.round().wrapping_add(1), Relaxed);
    }

    /// How often it was called; for [`Reader::nap`].
    pub fn calls(&self) -> u32 {
        self.calls.load(Acquire)
    }

    /// Sleeps for `ns`, or until somebody calls, as nobody has since there were so many `calls`.
    pub fn nap(&self, calls: u32, ns: u64) {
        clock::futex_wait(&self.calls, calls, Some(ns));
    }

    /// Ends the nap.
    pub fn call(&self) {
        self.calls.fetch_add(1, AcqRel);
        // Fails only for an address that is none.
        let _ = clock::futex_wake_all(&self.calls);
    }
}
