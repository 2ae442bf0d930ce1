//! The child: think, open, wait, hold, release, again, and tell.
//!
//! Between `fork` and `_exit` only async-signal-safe things happen here (signal-safety(7)): the parent
//! may have had threads, whose locks (malloc's among them) would never be released in the child. So: no
//! allocation, no panic, no stdio; a test runs workers under an allocator that aborts in children.

use super::clock::{Clock, Line};
use super::config::Acquire;
use super::errand::Errand;
use super::ledger::Owner;
use super::mischief::Mischief;
use super::shared::{Active, Draft, Shared, Slot};
use super::wire::Body;
use crate::dist::Dist;
use crate::event::{LockKind, LockMode};
use nix::errno::Errno;
use std::ffi::CStr;
use std::os::fd::RawFd;

mod at_once;
mod exec;
mod hold;
mod mischief;
mod sys;
mod telling;
mod wait;
pub(super) use exec::{Habits, trim};
pub(super) use sys::{close_others, exit_now, prepare};
use telling::Telling;

/// Exit status of a worker that did what it was told.
pub const EXIT_OK: i32 = 0;
/// Exit status of a worker that could not go on; it has told why.
pub const EXIT_FAILED: i32 = 1;

/// A sleep or wait at least this long (ns) is preceded by a write: it must be seen while it lasts.
const SEEN_NS: u64 = 1_000_000;

/// What a worker is to do. Made before the fork.
#[derive(Debug)]
pub struct Job<'a> {
    /// The shared pages.
    pub shared: &'a Shared,
    /// Its slot in them.
    pub slot: &'a Slot,
    /// Its draft in them.
    pub draft: &'a Draft,
    /// Its number and process id; the latter is filled in by the child.
    pub me: Owner,
    /// The lock file.
    pub path: &'a CStr,
    /// The lock family.
    pub kind: LockKind,
    /// Share of shared locks, in percent.
    pub shared_percent: u8,
    /// How to wait.
    pub acquire: Acquire,
    /// Open once.
    pub keep_open: bool,
    /// Seeds the random choices.
    pub seed: u64,
    /// When the run began, by [`Clock::now`]; filled in by the child.
    pub epoch: u64,
    /// What goes wrong on purpose.
    pub mischief: Option<&'a Mischief>,
    /// The command to run while it holds the lock, instead of holding it for a time.
    pub errand: Option<&'a Errand<'a>>,
    /// Write end of the pipe, or -1 for a silent twin (benchmarks).
    pub pipe: RawFd,
}

/// Why a worker ends.
enum End {
    /// It was told to.
    Told,
    /// The monitor is gone.
    Orphaned,
    /// It could not go on: what it tried and why that failed.
    Failed(u8, Errno),
}

/// Runs until told to stop; gives the exit status.
pub fn run(job: &Job<'_>) -> i32 {
    job.slot.begin(job.me.pid, job.shared.clock().now().saturating_sub(job.epoch));
    let mut worker = Worker {
        job,
        clock: job.shared.clock(),
        line: job.shared.clock().line().since(job.epoch),
        settings: Settings::of(job),
        random: Random(job.seed ^ 0x9E37_79B9_7F4A_7C15),
        telling: Telling::new(job),
        fd: -1,
        second: mischief::Second::default(),
    };
    match worker.turns() {
        End::Told => {
            worker.telling.flush_patiently(job.shared);
            EXIT_OK
        }
        End::Orphaned => EXIT_FAILED,
        End::Failed(action, errno) => {
            worker.telling.push(worker.clock.now(), Body::Failed { action, errno: errno as i32 });
            worker.telling.flush_patiently(job.shared);
            EXIT_FAILED
        }
    }
}

/// The settings as last looked at: one load a turn tells whether they still hold.
struct Settings {
    generation: u32,
    hold: Dist,
    think: Dist,
    /// The clock that stands still while paused.
    active: Active,
    /// Neither paused nor at its end.
    running: bool,
    /// There is nothing to be done, neither while the lock is held nor before; nor but one way to wait for it.
    at_once: bool,
}

impl Settings {
    fn of(job: &Job<'_>) -> Self {
        let control = job.shared.control();
        // First: a change that comes while the rest is read is then seen the next time.
        let generation = control.generation();
        let active = control.active();
        let running = !active.is_paused() && !control.stopping() && !job.slot.retired();
        let (hold, think) = (control.hold(), control.think());
        let nothing = [hold, think] == [Dist::Fixed(0); 2] && job.errand.is_none() && job.mischief.is_none();
        // With a limit each turn has to know its number.
        let plain = job.acquire == Acquire::Block && job.shared_percent == 0 && control.limit() == 0;
        Self { generation, hold, think, active, running, at_once: running && nothing && plain }
    }
}

struct Worker<'a> {
    job: &'a Job<'a>,
    clock: &'a Clock,
    /// The clock as looked at last in a turn at once: ns since the run began.
    line: Line,
    settings: Settings,
    random: Random,
    telling: Telling<'a>,
    fd: RawFd,
    second: mischief::Second,
}

impl Worker<'_> {
    fn turns(&mut self) -> End {
        loop {
            match self.turn() {
                Ok(()) => {}
                Err(end) => return end,
            }
        }
    }

    fn turn(&mut self) -> Result<(), End> {
        if !self.settings().at_once {
            self.think()?;
        }
        if self.fd < 0 {
            self.fd = sys::open(self.job.path).map_err(|e| End::Failed(0, e))?;
        }
        if self.settings.at_once {
            return self.turn_at_once();
        }
        let (mode, mischief) = (self.choose_mode(), self.job.mischief);
        mischief.map_or(Ok(()), |m| self.before_turn(m))?;
        let mut asked = self.ask(mode);
        if self.get(mode, &mut asked)? {
            let mut held = self.check_in(mode, &asked)?;
            mischief.map_or(Ok(()), |m| self.while_holding(m, &mut held))?;
            self.hold(mode, &held)?;
        }
        mischief.map_or(Ok(()), |m| self.after_turn(m))
    }

    fn choose_mode(&mut self) -> LockMode {
        let percent = self.job.shared_percent;
        if percent > 0 && self.random.unit() * 100.0 < f64::from(percent) {
            LockMode::Shared
        } else {
            LockMode::Exclusive
        }
    }

    /// The present settings.
    fn settings(&mut self) -> &Settings {
        if self.job.shared.control().generation() != self.settings.generation {
            self.settings = Settings::of(self.job);
        }
        &self.settings
    }

    fn close(&mut self) {
        sys::close(self.fd);
        self.fd = -1;
    }

    /// Lets the think time pass; where the lab is paused, stays here.
    fn think(&mut self) -> Result<(), End> {
        let settings = self.settings();
        if settings.running && settings.think == Dist::Fixed(0) {
            return Ok(());
        }
        let (control, clock) = (self.job.shared.control(), self.clock);
        let start = clock.now();
        let active = control.active_at(start);
        let (mut told, mut u) = (false, None);
        loop {
            let generation = control.generation();
            self.still_wanted()?;
            let want = self.random.of(control.think(), &mut u);
            let left = want.saturating_sub(control.active_at(clock.now()).saturating_sub(active));
            let paused = control.paused();
            if left == 0 && !paused {
                return Ok(());
            }
            if !told && (paused || left >= SEEN_NS) {
                told = true;
                self.telling.flush(clock.now())?;
            }
            control.sleep(generation, (!paused).then_some(left));
        }
    }

    fn still_wanted(&self) -> Result<(), End> {
        if self.job.shared.control().stopping() || self.job.slot.retired() { Err(End::Told) } else { Ok(()) }
    }
}

/// A small generator of random numbers (xorshift64*, Vigna 2016); good enough to spread durations.
struct Random(u64);

impl Random {
    /// A duration of `dist`, in ns. `u` keeps what was drawn, so that the same turn gets the same place in another
    /// distribution; nothing is drawn where all durations are the same.
    fn of(&mut self, dist: Dist, u: &mut Option<f64>) -> u64 {
        match dist {
            Dist::Fixed(ns) => ns,
            random => random.at(*u.get_or_insert_with(|| self.unit())),
        }
    }

    /// A number from 0 up to, not including, 1.
    fn unit(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        if self.0 == 0 {
            self.0 = 1;
        }
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1u64 << 53) as f64
    }
}
