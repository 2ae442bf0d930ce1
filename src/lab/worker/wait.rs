//! How a worker asks for the lock: a try first, which tells whether it is contended; then as the user wants it.

use super::{End, SEEN_NS, Worker, sys};
use crate::event::LockMode;
use crate::lab::clock::Line;
use crate::lab::config::Acquire;
use crate::lab::shared::Doing;
use crate::lab::wire::Body;
use crate::lock::Lock;
use nix::errno::Errno;

/// How often a worker that polls tells of its tries, in ns.
const TRIES_NS: u64 = 100_000_000;

/// For how long the alarm of a waiter with a timeout is put off while the lab is paused, in ns; when it goes on,
/// the monitor rings (`SIGALRM`). Each ring costs the waiter its place in the queue: the kernel's rule, not ours.
const PAUSED_ALARM_NS: u64 = 3600 * 1_000_000_000;

/// How the lock was asked for, and what came of it.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    /// When, by [`Clock::now`](crate::lab::clock::Clock::now).
    pub(super) at: u64,
    /// The same on the clock that stands still while paused.
    pub(super) active: u64,
    /// The clock as looked at last.
    pub(super) line: Line,
    /// The first try failed, where there was one.
    pub(super) contended: Option<bool>,
    /// Number of the latest acquisition when it did, where that was known.
    pub(super) before: Option<u64>,
    /// Whether the wait was told already.
    pub(super) told: bool,
}

impl Worker<'_> {
    /// Says that it wants the lock, now.
    #[inline(always)]
    pub(super) fn ask(&self, mode: LockMode) -> Asked {
        let job = self.job;
        let line = self.clock.line();
        let at = line.now();
        let active = job.shared.control().active_at(at);
        let doing = if mode == LockMode::Shared { Doing::WaitsShared } else { Doing::WaitsExclusive };
        job.slot.set_doing(doing, at.saturating_sub(job.epoch));
        Asked { at, active, line, contended: None, before: None, told: false }
    }

    /// Gets the lock; `false` where it gave up. What came of it stands in `asked`, not in what is returned: that would pass
    /// through memory in pieces of other sizes than it is read in, for which a processor waits, with the lock held.
    #[inline(always)]
    pub(super) fn get(&mut self, mode: LockMode, asked: &mut Asked) -> Result<bool, End> {
        let got = self.job.kind.try_acquire(self.fd, mode).map_err(|e| End::Failed(1, e))?;
        asked.contended = Some(!got);
        if got { Ok(true) } else { self.wait(mode, asked) }
    }

    /// Somebody else has the lock.
    #[cold]
    fn wait(&mut self, mode: LockMode, asked: &mut Asked) -> Result<bool, End> {
        let (job, clock, shared, start) = (self.job, self.clock, mode == LockMode::Shared, asked.at);
        let ledger = job.shared.ledger();
        asked.before = (!ledger.is_behind()).then(|| ledger.seq());
        asked.told = self.telling.due(start, SEEN_NS);
        if asked.told {
            self.telling.push(start, Body::Waiting { shared });
            self.telling.flush(start)?;
        }
        if self.queue(mode, asked.active)? {
            asked.line = clock.line();
            return Ok(true);
        }
        if !asked.told {
            self.telling.push(start, Body::Waiting { shared });
        }
        let now = clock.now();
        let waited = job.shared.control().active_at(now).saturating_sub(asked.active);
        job.slot.set_doing(Doing::Else, now.saturating_sub(job.epoch));
        self.telling.push(now, Body::GaveUp { waited });
        if !job.keep_open {
            self.close();
        }
        Ok(false)
    }

    /// Waits as the user asked; `false` where it gave up.
    pub(super) fn queue(&mut self, mode: LockMode, active: u64) -> Result<bool, End> {
        let (job, control, clock) = (self.job, self.job.shared.control(), self.clock);
        let waited = || control.active_at(clock.now()).saturating_sub(active);
        match job.acquire {
            Acquire::Block => loop {
                match job.kind.acquire(self.fd, mode) {
                    Ok(()) => return Ok(true),
                    Err(Errno::EINTR) => self.still_wanted()?,
                    Err(errno) => return Err(End::Failed(1, errno)),
                }
            },
            Acquire::Poll(every) => {
                // The first try failed before.
                let (mut tries, mut told) = (1, None);
                loop {
                    let generation = control.generation();
                    self.still_wanted()?;
                    let now = clock.now();
                    let long_ago = told.is_some_and(|t| now.saturating_sub(t) >= TRIES_NS);
                    if tries > 0 && (long_ago || told.is_none() && (every >= SEEN_NS || waited() >= SEEN_NS)) {
                        self.tell_tries(mode, now, tries)?;
                        (tries, told) = (0, Some(now));
                    }
                    let paused = control.paused();
                    control.sleep(generation, (!paused).then_some(every));
                    if !control.paused() {
                        if job.kind.try_acquire(self.fd, mode).map_err(|e| End::Failed(1, e))? {
                            return Ok(true);
                        }
                        tries += 1;
                    }
                }
            }
            Acquire::Timeout(after) => loop {
                self.still_wanted()?;
                let left = after.saturating_sub(waited());
                if left == 0 {
                    return Ok(false);
                }
                // While paused no time passes, so the alarm would ring for nothing.
                let paused = control.paused();
                sys::alarm_after(if paused { PAUSED_ALARM_NS } else { left });
                if control.paused() != paused {
                    continue;
                }
                let taken = job.kind.acquire(self.fd, mode);
                sys::alarm_off();
                match taken {
                    Ok(()) => return Ok(true),
                    Err(Errno::EINTR) => {}
                    Err(errno) => return Err(End::Failed(1, errno)),
                }
            },
        }
    }

    /// Tells that it waits, if that is not known, and how often it has tried.
    fn tell_tries(&mut self, mode: LockMode, now: u64, count: u64) -> Result<(), End> {
        let shared = mode == LockMode::Shared;
        let since = self.job.slot.doing().1.saturating_add(self.job.epoch);
        self.telling.push(since, Body::Waiting { shared });
        self.telling.push(now, Body::Tried { shared, count });
        self.telling.flush(now)
    }
}
