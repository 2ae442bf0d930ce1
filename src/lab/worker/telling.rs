//! What a worker tells: records are gathered in a batch, and written when they must be seen or the batch is full.
//!
//! Async-signal-safe as all of the child. Whoever holds the lock is never stopped by a full pipe.

use super::{End, sys};
use crate::lab::ledger::{Control, Shared};
use crate::lab::wire::{Body, Record, SIZE};
use nix::errno::Errno;
use std::os::fd::RawFd;

/// A batch is written when it has this many records: 4 KiB, `PIPE_BUF`, so that the write is all or nothing.
const BATCH: usize = 4096 / SIZE;
/// For how long a worker that holds nothing waits for room in its pipe, in ms: with a thousand others at full speed,
/// the monitor and the worker itself may each wait that long for a processor.
const LATE_MS: i32 = 500;

/// Records on their way into the pipe.
pub(super) struct Telling {
    pipe: RawFd,
    epoch: u64,
    number: u16,
    len: usize,
    oldest: u64,
    flushed: u64,
    lost: u64,
    /// The monitor was waited for in vain.
    jammed: bool,
    batch: [[u8; SIZE]; BATCH],
}

impl Telling {
    /// Writes into `pipe`, or nowhere where it is -1; times are told since `epoch`.
    pub(super) fn new(pipe: RawFd, epoch: u64) -> Self {
        let batch = [[0; SIZE]; BATCH];
        Self { pipe, epoch, number: 0, len: 0, oldest: 0, flushed: 0, lost: 0, jammed: false, batch }
    }

    #[inline(always)]
    pub(super) fn push(&mut self, t: u64, body: Body) {
        if self.pipe < 0 {
            return;
        }
        // The last place is kept for the count of what was lost.
        if self.len + 1 >= BATCH && !matches!(body, Body::Dropped { .. }) && !self.make_room(t) {
            return;
        }
        if self.len == 0 {
            self.oldest = t;
        }
        let record = Record { t: t.saturating_sub(self.epoch), number: self.number, body };
        if let Some(place) = self.batch.get_mut(self.len) {
            *place = record.encode();
            self.len += 1;
            self.number = self.number.wrapping_add(1);
        }
    }

    /// Whether there is room now for a record, which else is lost.
    #[cold]
    fn make_room(&mut self, t: u64) -> bool {
        let _ = self.flush(t);
        let room = self.len + 1 < BATCH;
        self.lost += u64::from(!room);
        room
    }

    pub(super) fn full(&self) -> bool {
        self.len + 2 >= BATCH
    }

    pub(super) fn oldest_before(&self, t: u64) -> bool {
        self.len > 0 && self.oldest < t
    }

    /// Whether the last write was at least `ns` before `now`.
    pub(super) fn due(&self, now: u64, ns: u64) -> bool {
        now.saturating_sub(self.flushed) >= ns
    }

    /// Writes the batch at time `now` if the pipe takes it; else keeps it.
    pub(super) fn flush(&mut self, now: u64) -> Result<(), End> {
        if self.len == 0 && self.lost == 0 || self.pipe < 0 {
            return Ok(());
        }
        if self.lost > 0 {
            let count = self.lost;
            let len = self.len;
            self.push(now, Body::Dropped { count });
            if self.len > len {
                self.lost = 0;
            }
        }
        let bytes = self.batch.get(..self.len).unwrap_or_default().as_flattened();
        match sys::write(self.pipe, bytes) {
            Ok(()) => {
                self.len = 0;
                self.flushed = now;
                self.jammed = false;
                Ok(())
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {
                // Not written: what was counted as told stays in the batch, the count included.
                Ok(())
            }
            Err(_) => Err(End::Orphaned),
        }
    }

    /// Writes a full batch. Where the pipe is full, waits a little: nobody holds the lock here, and a monitor that
    /// is merely late loses nothing, nor does one that has not begun to read. One that does not read at all is waited
    /// for only once.
    pub(super) fn flush_soon(&mut self, now: u64, control: &Control) -> Result<(), End> {
        self.flush(now)?;
        while self.len > 0 && self.pipe >= 0 && !self.jammed {
            let late = control.heard() || control.stopping();
            sys::wait_writable(self.pipe, LATE_MS);
            self.flush(now)?;
            self.jammed = late && self.len > 0;
        }
        Ok(())
    }

    /// Writes what is left before the end, as long as the monitor takes it.
    pub(super) fn flush_patiently(&mut self, shared: &Shared) {
        for _ in 0..200 {
            if self.flush(shared.clock().now()).is_err() || self.len == 0 && self.lost == 0 {
                return;
            }
            let control = shared.control();
            control.sleep(control.generation(), Some(1_000_000));
        }
    }
}
