//! What the monitor tells all workers: the live settings, and the clock that stands still while paused.

use crate::dist::Dist;
use crate::lab::clock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};

/// What is done within this time, in ns, was not interrupted.
const AT_ONCE_NS: u64 = 10_000;
/// How often a pause is begun again that was interrupted: where the clock itself takes as long as that, it always is.
const TRIES: u32 = 8;

/// Written by the monitor, read by the workers.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Control {
    /// Changes with every change below: sleepers wait on it.
    generation: AtomicU32,
    stop: AtomicU32,
    /// Somebody reads the pipes.
    heard: AtomicU32,
    /// The clock without pauses: while running `total paused << 1`, while paused `active time << 1 | 1`.
    active: AtomicU64,
    /// No acquisition beyond this number counts.
    limit: AtomicU64,
    /// Workers there have been so far: no slot beyond is in use.
    members: AtomicU32,
    hold: Shape,
    think: Shape,
    /// When the run began, by the clock of the run; 0 until all of the first workers are there.
    begun: AtomicU64,
}

#[derive(Debug, Default)]
struct Shape {
    kind: AtomicU32,
    a: AtomicU64,
    b: AtomicU64,
}

impl Shape {
    fn set(&self, dist: Dist) {
        let (kind, a, b) = match dist {
            Dist::Fixed(ns) => (0, ns, 0),
            Dist::Uniform(low, high) => (1, low, high),
            Dist::Exponential(mean) => (2, mean, 0),
        };
        self.a.store(a, Relaxed);
        self.b.store(b, Relaxed);
        self.kind.store(kind, Release);
    }

    fn get(&self) -> Dist {
        let kind = self.kind.load(Acquire);
        let (a, b) = (self.a.load(Relaxed), self.b.load(Relaxed));
        match kind {
            0 => Dist::Fixed(a),
            // Read while being written, the ends may be of two settings for an instant.
            1 => Dist::Uniform(a.min(b), b.max(a)),
            _ => Dist::Exponential(a),
        }
    }
}

impl Control {
    /// Number of the present settings; wait on it with [`Control::sleep`].
    pub fn generation(&self) -> u32 {
        self.generation.load(Acquire)
    }

    /// Sleeps until the settings are no longer those of `generation`, for at most `ns`.
    pub fn sleep(&self, generation: u32, ns: Option<u64>) {
        clock::futex_wait(&self.generation, generation, ns);
    }

    /// Sleeps until the run has begun; gives the time when it did, by [`Clock::now`].
    pub fn begun(&self) -> u64 {
        loop {
            let generation = self.generation();
            match self.begun.load(Acquire) {
                0 if !self.stopping() => self.sleep(generation, None),
                t => return t,
            }
        }
    }

    /// Begins the run at time `now`: nobody contends before.
    pub fn set_begun(&self, now: u64) {
        self.begun.store(now, Release);
        self.announce();
    }

    /// Whether the run is over.
    pub fn stopping(&self) -> bool {
        self.stop.load(Relaxed) != 0
    }

    /// Whether anybody reads what the workers tell. The first of a large fleet run long before.
    pub fn heard(&self) -> bool {
        self.heard.load(Relaxed) != 0
    }

    /// Says that from now on somebody reads.
    pub fn set_heard(&self) {
        self.heard.store(1, Relaxed);
    }

    /// Whether the lab is paused.
    pub fn paused(&self) -> bool {
        self.active().is_paused()
    }

    /// The clock that stands still while paused.
    #[inline]
    pub fn active(&self) -> Active {
        Active(self.active.load(Acquire))
    }

    /// Time `now` (of [`Clock::now`]) on the clock that stands still while paused, in ns.
    pub fn active_at(&self, now: u64) -> u64 {
        self.active().at(now)
    }

    /// No acquisition beyond this number counts; 0 is no limit.
    pub fn limit(&self) -> u64 {
        self.limit.load(Relaxed)
    }

    /// How many workers there have been, those included that left: so many slots are in use.
    pub fn members(&self) -> u32 {
        self.members.load(Acquire)
    }

    /// Says how many slots are in use, before one more is.
    pub fn set_members(&self, members: u32) {
        self.members.store(members, Release);
    }

    /// How long to hold.
    pub fn hold(&self) -> Dist {
        self.hold.get()
    }

    /// How long to think.
    pub fn think(&self) -> Dist {
        self.think.get()
    }

    /// Sets what holds before the first worker starts.
    pub fn configure(&self, hold: Dist, think: Dist, limit: u64) {
        self.hold.set(hold);
        self.think.set(think);
        self.limit.store(limit, Relaxed);
    }

    /// Sets the hold time; sleepers notice at once.
    pub fn set_hold(&self, dist: Dist) {
        self.hold.set(dist);
        self.announce();
    }

    /// Sets the think time; sleepers notice at once.
    pub fn set_think(&self, dist: Dist) {
        self.think.set(dist);
        self.announce();
    }

    /// Pauses (`true`) or goes on, at the time that `clock` shows ([`Clock::now`](clock::Clock::now)), which it gives.
    pub fn set_paused(&self, paused: bool, clock: impl Fn() -> u64) -> u64 {
        let active = self.active();
        let mut now = clock();
        for _ in 0..TRIES {
            let word = if paused { active.at(now) << 1 | 1 } else { now.saturating_sub(active.at(now)) << 1 };
            self.active.store(word, Release);
            let stored = clock();
            if !paused || stored.saturating_sub(now) < AT_ONCE_NS {
                break;
            }
            // This thread lost its processor in between, and workers have seen later times than the one that now stands
            // still. They would have waited for less than nothing.
            now = stored;
        }
        self.announce();
        now
    }

    /// Ends the run.
    pub fn set_stop(&self) {
        self.stop.store(1, Release);
        self.announce();
    }

    /// Wakes all sleepers, so that they look again.
    pub fn announce(&self) {
        self.generation.fetch_add(1, AcqRel);
        // Fails only for an address that is none.
        let _ = clock::futex_wake_all(&self.generation);
    }
}

/// The clock that stands still while paused, as long as nobody pauses or goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Active(u64);

impl Active {
    /// Whether it stands still.
    pub fn is_paused(self) -> bool {
        self.0 & 1 == 1
    }

    /// What it shows at time `now` (of [`Clock::now`]), in ns.
    #[inline]
    pub fn at(self, now: u64) -> u64 {
        if self.is_paused() { self.0 >> 1 } else { now.saturating_sub(self.0 >> 1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn paused_time_does_not_pass() {
        let control = Control::default();
        assert_eq!(control.active_at(100), 100);
        assert_eq!(control.set_paused(true, || 100), 100);
        assert_eq!((control.paused(), control.active_at(500)), (true, 100));
        assert_eq!(control.set_paused(false, || 600), 600);
        assert_eq!((control.paused(), control.active_at(700)), (false, 200));
    }

    #[test]
    fn a_pause_begins_when_it_is_known() {
        let control = Control::default();
        let (times, looks) = ([100, 5_000_100, 5_000_200], Cell::new(0));
        let clock = || times[looks.replace(looks.get() + 1)];
        assert_eq!(control.set_paused(true, clock), 5_000_100);
        assert_eq!(control.active_at(9_000_000), 5_000_100);
    }

    #[test]
    fn a_pause_begins_however_slow_the_clock_is() {
        let (control, time) = (Control::default(), Cell::new(0));
        let begun = control.set_paused(true, || time.replace(time.get() + 1_000_000));
        assert!(control.paused());
        assert_eq!(control.active_at(u64::MAX), control.active_at(begun));
    }

    #[test]
    fn settings_come_back() {
        let control = Control::default();
        for dist in [Dist::Fixed(7), Dist::Uniform(1, 9), Dist::Exponential(3)] {
            control.set_hold(dist);
            assert_eq!(control.hold(), dist);
        }
    }
}
