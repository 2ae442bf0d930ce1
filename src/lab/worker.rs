//! The child: think, open, wait, hold, release, again, and tell.
//!
//! Between `fork` and `_exit` only async-signal-safe things happen here (signal-safety(7)): the parent
//! may have had threads, whose locks (malloc's among them) would never be released in the child. So: no
//! allocation, no panic, no stdio; a test runs workers under an allocator that aborts in children.

use super::clock::{Clock, Line};
use super::config::Acquire;
use super::errand::Errand;
use super::ledger::{Control, Doing, Owner, Shared, Slot};
use super::mischief::Mischief;
use super::wire::{Body, Record, SIZE, Won};
use crate::dist::Dist;
use crate::event::{LockKind, LockMode};
use crate::lock::Lock;
use nix::errno::Errno;
use std::ffi::CStr;
use std::os::fd::RawFd;

mod exec;
mod mischief;
mod sys;
pub(super) use exec::{Habits, trim};
pub(super) use sys::{close_others, exit_now, prepare};

/// Exit status of a worker that did what it was told.
pub const EXIT_OK: i32 = 0;
/// Exit status of a worker that could not go on; it has told why.
pub const EXIT_FAILED: i32 = 1;

/// A batch is written when it has this many records: 4 KiB, `PIPE_BUF`, so that the write is all or nothing.
const BATCH: usize = 4096 / SIZE;
/// A sleep or wait at least this long (ns) is preceded by a write: it must be seen while it lasts.
const SEEN_NS: u64 = 1_000_000;
/// No record stays unwritten for longer while the worker runs (ns).
const OLDEST_NS: u64 = 10_000_000;
/// For how long a worker that holds nothing waits for room in its pipe, in ms: with a thousand others at full speed,
/// the monitor and the worker itself may each wait that long for a processor.
const LATE_MS: i32 = 500;
/// Shorter holds (ns) are spun, not slept: a sleep is longer than that by itself.
const SPIN_NS: u64 = 50_000;

/// What a worker is to do. Made before the fork.
#[derive(Debug)]
pub struct Job<'a> {
    /// The shared pages.
    pub shared: &'a Shared,
    /// Its slot in them.
    pub slot: &'a Slot,
    /// Its number and process id; the latter is filled in by the child.
    pub me: Owner,
    /// How many slots a writer has to check for readers.
    pub slots_used: u32,
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
    /// When the run began, by [`Clock::now`].
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
    let mut worker = Worker {
        job,
        clock: job.shared.clock(),
        settings: Settings::of(job),
        random: Random(job.seed ^ 0x9E37_79B9_7F4A_7C15),
        telling: Telling { pipe: job.pipe, epoch: job.epoch, ..Telling::default() },
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
    /// Neither paused nor at its end.
    running: bool,
}

impl Settings {
    fn of(job: &Job<'_>) -> Self {
        let control = job.shared.control();
        // First: a change that comes while the rest is read is then seen the next time.
        let generation = control.generation();
        let running = !control.paused() && !control.stopping() && !job.slot.retired();
        Self { generation, hold: control.hold(), think: control.think(), running }
    }
}

struct Worker<'a> {
    job: &'a Job<'a>,
    clock: &'a Clock,
    settings: Settings,
    random: Random,
    telling: Telling,
    fd: RawFd,
    second: mischief::Second,
}

/// A lock just won.
struct Held {
    won: Won,
    /// The clock as looked at when it was won.
    line: Line,
    at: u64,
    active: u64,
    waited: u64,
    /// Whether the wait was told already.
    told_wait: bool,
    /// Whether the acquisition was told already.
    told: bool,
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
        self.think()?;
        if self.fd < 0 {
            self.fd = sys::open(self.job.path).map_err(|e| End::Failed(0, e))?;
        }
        let (mode, mischief) = (self.choose_mode(), self.job.mischief);
        mischief.map_or(Ok(()), |m| self.before_turn(m))?;
        if let Some(mut held) = self.wait(mode)? {
            mischief.map_or(Ok(()), |m| self.while_holding(m, &mut held))?;
            self.hold(mode, &held)?;
        } else if !self.job.keep_open {
            self.close();
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

    /// Gets the lock, or none where it gave up.
    fn wait(&mut self, mode: LockMode) -> Result<Option<Held>, End> {
        let (job, clock) = (self.job, self.clock);
        let (control, ledger) = (job.shared.control(), job.shared.ledger());
        let shared = mode == LockMode::Shared;
        let mut line = clock.line();
        let start = line.now();
        let active = control.active_at(start);
        let doing = if shared { Doing::WaitsShared } else { Doing::WaitsExclusive };
        job.slot.set_doing(doing, start.saturating_sub(job.epoch));

        let mut told_wait = false;
        // Number of the latest acquisition when the first try failed, where it did.
        let mut contended = None;
        if !job.kind.try_acquire(self.fd, mode).map_err(|e| End::Failed(1, e))? {
            contended = Some(ledger.seq());
            if self.telling.due(start, SEEN_NS) {
                told_wait = true;
                self.telling.push(start, Body::Waiting { shared });
                self.telling.flush(start)?;
            }
            if !self.queue(mode, active)? {
                if !told_wait {
                    self.telling.push(start, Body::Waiting { shared });
                }
                let now = clock.now();
                let waited = control.active_at(now).saturating_sub(active);
                job.slot.set_doing(Doing::Else, now.saturating_sub(job.epoch));
                self.telling.push(now, Body::GaveUp { waited });
                return Ok(None);
            }
            line = clock.line();
        }
        let at = line.now();
        let seq = ledger.next_seq(mode);
        let limit = control.limit();
        if control.stopping() || limit != 0 && seq > limit {
            // Won after the end: nobody's acquisition. Closing gives the lock back.
            self.close();
            return Err(End::Told);
        }
        let active_now = control.active_at(at);
        let released = contended.map(|_| ledger.last_release()).filter(|t| *t > start);
        let handoff = released.map(|t| clamp32(at.saturating_sub(t)));
        let overtaken = contended.map_or(0, |before| clamp32(seq.saturating_sub(before).saturating_sub(1)));
        self.check_in(mode, seq, at);
        job.slot.set_doing(Doing::Holds, at.saturating_sub(job.epoch));
        job.slot.count();
        Ok(Some(Held {
            won: Won { seq, shared, contended: contended.is_some(), handoff, overtaken },
            line,
            at,
            active: active_now,
            waited: active_now.saturating_sub(active),
            told_wait,
            told: false,
        }))
    }

    /// Waits as the user asked; `false` where it gave up.
    fn queue(&mut self, mode: LockMode, active: u64) -> Result<bool, End> {
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

    /// Enters this holder in the ledger; tells of anyone found there.
    fn check_in(&mut self, mode: LockMode, seq: u64, at: u64) {
        let job = self.job;
        let ledger = job.shared.ledger();
        let other = match mode {
            LockMode::Exclusive => {
                let before = ledger.enter(job.me);
                let reader = if before.is_none() && job.shared_percent > 0 {
                    job.shared.readers(job.slots_used).find(|o| *o != job.me)
                } else {
                    None
                };
                before.or(reader)
            }
            LockMode::Shared => {
                job.slot.set_reader(Some(job.me));
                ledger.owner()
            }
        };
        if let Some(Owner { worker, pid }) = other {
            self.telling.push(at, Body::Conflict { seq, other: worker, other_pid: pid });
        }
    }

    /// Holds the lock for as long as the settings say, releases it, tells of both.
    fn hold(&mut self, mode: LockMode, held: &Held) -> Result<(), End> {
        let (job, ledger) = (self.job, self.job.shared.ledger());
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
        let end = line.now();
        let lasted = job.shared.control().active_at(end).saturating_sub(held.active);
        match mode {
            LockMode::Exclusive => ledger.leave(job.me),
            LockMode::Shared => job.slot.set_reader(None),
        }
        ledger.releasing(end);
        if job.keep_open {
            job.kind.release(self.fd).map_err(|e| End::Failed(2, e))?;
        } else {
            self.close();
        }
        job.slot.set_doing(Doing::Else, end.saturating_sub(job.epoch));
        if over {
            // A hold that the end of the run cut short is not a hold that anyone asked about.
            if !told {
                self.telling.push(held.at, Body::Acquired { won: held.won, waited: held.waited });
            }
            self.still_wanted()?;
            return Err(End::Orphaned);
        }
        self.tell_turn(held, lasted, end, told)
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

    fn tell_turn(&mut self, held: &Held, lasted: u64, end: u64, told: bool) -> Result<(), End> {
        let (won, waited) = (held.won, held.waited);
        match (u32::try_from(waited), u32::try_from(lasted)) {
            (Ok(waited), Ok(held_ns)) if !told && !held.told_wait => {
                self.telling.push(held.at, Body::Cycle { won, waited, held: held_ns });
            }
            _ => {
                if !told {
                    self.telling.push(held.at, Body::Acquired { won, waited });
                }
                self.telling.push(end, Body::Released { seq: won.seq, held: lasted });
            }
        }
        if self.telling.full() {
            self.telling.flush_soon(end, self.job.shared.control())?;
        } else if self.job.errand.is_some() || self.telling.oldest_before(end.saturating_sub(OLDEST_NS)) {
            // That it runs a command has been told: that it does no more must be, before it waits again.
            self.telling.flush(end)?;
        }
        Ok(())
    }

    fn still_wanted(&self) -> Result<(), End> {
        if self.job.shared.control().stopping() || self.job.slot.retired() { Err(End::Told) } else { Ok(()) }
    }
}

/// How often a worker that polls tells of its tries, in ns.
const TRIES_NS: u64 = 100_000_000;

/// For how long the alarm of a waiter with a timeout is put off while the lab is paused, in ns; when it goes on,
/// the monitor rings (`SIGALRM`). Each ring costs the waiter its place in the queue: the kernel's rule, not ours.
const PAUSED_ALARM_NS: u64 = 3600 * 1_000_000_000;

fn clamp32(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// Records on their way into the pipe.
struct Telling {
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

impl Default for Telling {
    fn default() -> Self {
        Self {
            pipe: -1,
            epoch: 0,
            number: 0,
            len: 0,
            oldest: 0,
            flushed: 0,
            lost: 0,
            jammed: false,
            batch: [[0; SIZE]; BATCH],
        }
    }
}

impl Telling {
    #[inline]
    fn push(&mut self, t: u64, body: Body) {
        if self.pipe < 0 {
            return;
        }
        // The last place is kept for the count of what was lost.
        if self.len + 1 >= BATCH && !matches!(body, Body::Dropped { .. }) {
            let _ = self.flush(t);
        }
        if self.len + 1 >= BATCH && !matches!(body, Body::Dropped { .. }) {
            self.lost += 1;
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

    fn full(&self) -> bool {
        self.len + 2 >= BATCH
    }

    fn oldest_before(&self, t: u64) -> bool {
        self.len > 0 && self.oldest < t
    }

    /// Whether the last write was at least `ns` before `now`.
    fn due(&self, now: u64, ns: u64) -> bool {
        now.saturating_sub(self.flushed) >= ns
    }

    /// Writes the batch at time `now` if the pipe takes it; else keeps it.
    fn flush(&mut self, now: u64) -> Result<(), End> {
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
    fn flush_soon(&mut self, now: u64, control: &Control) -> Result<(), End> {
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
    fn flush_patiently(&mut self, shared: &Shared) {
        for _ in 0..200 {
            if self.flush(shared.clock().now()).is_err() || self.len == 0 && self.lost == 0 {
                return;
            }
            let control = shared.control();
            control.sleep(control.generation(), Some(1_000_000));
        }
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
