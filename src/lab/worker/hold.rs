//! What a worker does with the lock: it enters itself in the ledger, lets the hold time pass, releases, and tells.

use super::wait::Asked;
use super::{End, SEEN_NS, Worker};
use crate::dist::Dist;
use crate::event::LockMode;
use crate::lab::clock::Line;
use crate::lab::ledger::{Entry, Owner};
use crate::lab::shared::Doing;
use crate::lab::wire::{Body, Won};
use crate::lock::Lock;

/// No record stays unwritten for longer while the worker runs (ns).
const OLDEST_NS: u64 = 10_000_000;
/// Shorter holds (ns) are spun, not slept: a sleep is longer than that by itself.
const SPIN_NS: u64 = 50_000;

/// A lock just won.
pub(super) struct Held {
    pub(super) won: Won,
    /// The clock as looked at when it was won.
    line: Line,
    pub(super) at: u64,
    active: u64,
    pub(super) waited: u64,
    /// Whether the wait was told already.
    told_wait: bool,
    /// Whether the acquisition was told already.
    pub(super) told: bool,
}

impl Held {
    /// Won at `at`, which is `active` on the clock that stands still while paused.
    fn new(mode: LockMode, asked: &Asked, entry: &Entry, at: u64, active: u64) -> Self {
        // Whoever still stands in the ledger has noted no release: it died, and when the kernel took the lock from it, only
        // the kernel knows.
        let noted = asked.before.is_some() && entry.other.is_none();
        let released = noted.then_some(entry.last_release).filter(|t| *t > asked.active);
        let overtaken = match asked.before {
            Some(before) => Some(clamp32(entry.seq.saturating_sub(before).saturating_sub(1))),
            None => (asked.contended == Some(false)).then_some(0),
        };
        let won = Won {
            seq: entry.seq,
            shared: mode == LockMode::Shared,
            contended: asked.contended == Some(true),
            handoff: released.map(|t| clamp32(active.saturating_sub(t))),
            overtaken,
        };
        let waited = active.saturating_sub(asked.active);
        Self { won, line: asked.line, at, active, waited, told_wait: asked.told, told: false }
    }
}

impl Worker<'_> {
    /// Enters this holder in the ledger; tells of anyone found there.
    pub(super) fn check_in(&mut self, mode: LockMode, asked: &Asked) -> Result<Held, End> {
        let (job, ledger) = (self.job, self.job.shared.ledger());
        let mut asked = *asked;
        let (at, active) = (self.clock.stamp(&mut asked.line), job.shared.control().active());
        let entry = match mode {
            LockMode::Exclusive => {
                if ledger.is_behind() {
                    // Whoever had it before has noted nothing here.
                    ledger.catch_up(job.shared.acquisitions());
                    asked.before = None;
                }
                let mut entry = ledger.enter(job.me);
                if entry.other.is_none() && job.shared_percent > 0 {
                    entry.other = job.shared.readers().find(|o| *o != job.me);
                }
                entry
            }
            LockMode::Shared => {
                job.slot.set_reader(Some(job.me));
                ledger.enter_shared()
            }
        };
        if self.is_after_the_end(&entry) {
            // Closing gives the lock back.
            self.check_out(mode, active.at(at));
            self.close();
            return Err(End::Told);
        }
        self.accuse(at, &entry);
        job.slot.set_doing(Doing::Holds, at.saturating_sub(job.epoch));
        job.slot.count();
        Ok(Held::new(mode, &asked, &entry, at, active.at(at)))
    }

    /// Takes this holder out of the ledger; a release follows, at `now` on the clock that stands still while paused.
    fn check_out(&self, mode: LockMode, now: u64) {
        let ledger = self.job.shared.ledger();
        match mode {
            LockMode::Exclusive => ledger.leave(self.job.me, now),
            LockMode::Shared => {
                self.job.slot.set_reader(None);
                ledger.releasing(now);
            }
        }
    }

    #[inline]
    pub(super) fn release(&mut self) -> Result<(), End> {
        if self.job.keep_open {
            return self.job.kind.release(self.fd).map_err(|e| End::Failed(2, e));
        }
        self.close();
        Ok(())
    }

    /// Whether it was won after the end, and so is nobody's acquisition.
    fn is_after_the_end(&self, entry: &Entry) -> bool {
        let control = self.job.shared.control();
        let limit = control.limit();
        control.stopping() || limit != 0 && entry.seq > limit
    }

    #[inline]
    fn accuse(&mut self, at: u64, entry: &Entry) {
        if let Some(Owner { worker, pid }) = entry.other {
            self.telling.push(at, Body::Conflict { seq: entry.seq, other: worker, other_pid: pid });
        }
    }

    /// Holds the lock for as long as the settings say, releases it, tells of both.
    pub(super) fn hold(&mut self, mode: LockMode, held: &Held) -> Result<(), End> {
        let job = self.job;
        let settings = self.settings();
        let at_once = settings.running && settings.hold == Dist::Fixed(0);
        let (mut told, mut over, mut line) = (held.told, false, held.line);
        if let Some(errand) = job.errand {
            (told, over) = self.run_command(errand, held);
            line = self.clock.line();
        } else if !at_once {
            (told, over) = self.pass_hold(held);
            line = self.clock.line();
        }
        let end = self.clock.stamp(&mut line);
        let active = job.shared.control().active_at(end);
        let lasted = active.saturating_sub(held.active);
        self.check_out(mode, active);
        job.slot.set_ended(end.saturating_sub(job.epoch));
        self.release()?;
        if over {
            job.slot.set_doing(Doing::Else, end.saturating_sub(job.epoch));
            // A hold that the end of the run cut short is not a hold that anyone asked about.
            if !told {
                self.telling.push(held.at, Body::Acquired { won: held.won, waited: held.waited });
            }
            self.still_wanted()?;
            return Err(End::Orphaned);
        }
        self.end_turn(held, lasted, end, told)
    }

    /// Lets the hold time pass: whether the acquisition has been told, and whether the run is over.
    fn pass_hold(&mut self, held: &Held) -> (bool, bool) {
        let (control, clock) = (self.job.shared.control(), self.clock);
        let (mut told, mut u) = (held.told, None);
        loop {
            let generation = control.generation();
            let paused = control.paused();
            let over = self.still_wanted().is_err();
            let want = self.random.of(control.hold(), &mut u);
            if over || want == 0 && !paused {
                return (told, over);
            }
            let left = want.saturating_sub(control.active_at(clock.now()).saturating_sub(held.active));
            if left == 0 && !paused {
                return (told, false);
            }
            if !told && (paused || left >= SEEN_NS) {
                told = true;
                self.telling.push(held.at, Body::Acquired { won: held.won, waited: held.waited });
                // Holding the lock, a full pipe must not stop us: what cannot be written stays in the batch.
                if self.telling.flush(clock.now()).is_err() {
                    return (told, true);
                }
            }
            if paused || left > SPIN_NS {
                control.sleep(generation, (!paused).then_some(left));
            } else {
                std::hint::spin_loop();
            }
        }
    }

    /// Tells of a turn that ended at `end`.
    #[inline]
    fn end_turn(&mut self, held: &Held, lasted: u64, end: u64, told: bool) -> Result<(), End> {
        let (won, waited) = (held.won, held.waited);
        match (u32::try_from(waited), u32::try_from(lasted)) {
            (Ok(waited), Ok(lasted)) if !told && !held.told_wait => {
                self.telling.push(held.at, Body::Cycle { won, waited, held: lasted });
            }
            _ => {
                if !told {
                    self.telling.push(held.at, Body::Acquired { won, waited });
                }
                self.telling.push(end, Body::Released { seq: won.seq, held: lasted });
            }
        }
        self.has_told(end)
    }

    /// Its turn, which ended at `end`, has been told: writes that where it is time to.
    #[inline(always)]
    pub(super) fn has_told(&mut self, end: u64) -> Result<(), End> {
        // Not before it is told: whoever sees that it holds nothing can have its turn already.
        self.job.slot.set_doing(Doing::Else, end.saturating_sub(self.job.epoch));
        // That it runs a command has been told: that it does no more must be, before it waits again.
        let soon = self.telling.oldest_before(end.saturating_sub(OLDEST_NS)) || self.job.errand.is_some();
        if soon || self.telling.full() { self.write(end) } else { Ok(()) }
    }

    #[cold]
    fn write(&mut self, now: u64) -> Result<(), End> {
        if self.telling.full() { self.telling.flush_soon(now, self.job.shared) } else { self.telling.flush(now) }
    }
}

fn clamp32(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handoff_is_from_a_release_that_was_noted_while_it_waited() {
        let dead = Owner { worker: 2, pid: 200 };
        let handoff = |before: Option<u64>, last_release, other| {
            let (line, contended) = (Line::default(), Some(before.is_some()));
            let asked = Asked { at: 9_000, active: 100, line, contended, before, told: false };
            // A pause lies between the two clocks.
            Held::new(LockMode::Exclusive, &asked, &Entry { seq: 9, other, last_release }, 10_000, 500).won.handoff
        };
        assert_eq!(handoff(Some(7), 400, None), Some(100));
        assert_eq!(handoff(Some(7), 99, None), None, "released before it asked");
        assert_eq!(handoff(None, 400, None), None, "it was free");
        assert_eq!(handoff(Some(7), 400, Some(dead)), None, "the last holder died, and noted none");
    }
}
