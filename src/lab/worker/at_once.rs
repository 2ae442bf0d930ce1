//! A turn in which there is nothing to be done while the lock is held: what a worker does a million times a second.
//!
//! The lock is asked for by the one call that a program would make. A try before it, as other turns have, costs nothing with a
//! hold of 10 µs; here it would change what is measured: two workers get the lock 0.4 to 1.6 times as often with it, up to the
//! machine. And what can wait is done after the release: the longer the lock is held, the more often others find it taken. So
//! nothing is touched meanwhile that another worker touches too, as the ledger is: who reads the times finds the place of the
//! turn and whether it was contended (`places.rs`).

use super::wait::Asked;
use super::{End, Worker};
use crate::event::LockMode;
use crate::lab::shared::Doing;
use crate::lock::Lock;

impl Worker<'_> {
    #[inline]
    pub(super) fn turn_at_once(&mut self) -> Result<(), End> {
        let (job, clock, mode) = (self.job, self.clock, LockMode::Exclusive);
        let (slot, control, ledger) = (job.slot, job.shared.control(), job.shared.ledger());
        let asked = clock.stamp(&mut self.line);
        slot.set_doing(Doing::WaitsExclusive, asked);
        if job.kind.acquire(self.fd, mode).is_err() {
            // It was interrupted, or fails again.
            self.queue(mode, self.settings.active.at(asked + job.epoch))?;
        }
        let won = clock.stamp(&mut self.line);
        if control.generation() != self.settings.generation || control.active() != self.settings.active {
            return self.goes_on(asked);
        }
        if !ledger.is_behind() {
            ledger.fall_behind(job.shared.acquisitions());
        }
        slot.count();
        slot.set_won(won);
        let end = clock.stamp(&mut self.line);
        slot.set_ended(end);
        self.release()?;
        self.telling.push_turn(won, won.saturating_sub(asked), end.saturating_sub(won));
        self.has_told(end + job.epoch)
    }

    /// The lock that was asked for at `asked` (ns since the run began) is won, and meanwhile somebody wished for longer holds, a
    /// pause, or the end.
    #[cold]
    fn goes_on(&mut self, asked: u64) -> Result<(), End> {
        let (mode, at) = (LockMode::Exclusive, asked + self.job.epoch);
        let (active, line) = (self.settings.active.at(at), self.clock.line());
        let asked = Asked { at, active, line, contended: None, before: None, told: false };
        let held = self.check_in(mode, &asked)?;
        self.hold(mode, &held)
    }
}
