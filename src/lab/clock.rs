//! The one clock of a run: ns of `CLOCK_MONOTONIC`, the same in all processes of the machine.
//!
//! Where the kernel itself keeps time by the processor's time stamp counter, workers read that counter and put
//! it on a line that the monitor keeps on the kernel's time: a third of the price of clock_gettime(2), which a
//! worker at full speed would pay three times a turn. Everywhere else the kernel is asked. All stamps of a run are
//! of one kind: monitor and workers read the same [`Clock`], in the page that they share.
#![allow(unsafe_code)]

pub use crate::clock::now;

use nix::errno::Errno;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::*, fence};

/// The clock that monitor and workers share. Zeroed memory is a valid one: it asks the kernel.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Clock {
    /// Counts the lines there have been; its lowest bit tells which of the two holds.
    turn: AtomicU32,
    lines: [Shared; 2],
}

#[derive(Debug, Default)]
struct Shared {
    zero: AtomicU64,
    slope: AtomicU64,
}

/// Time as a line over the counter. Good for a while: whoever slept looks at the clock anew.
///
/// A stamp by it is one multiplication and one addition: at full speed the next system call waits for that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// The number of the line.
    turn: u32,
    /// What it shows, in ns, where the counter is 0; modulo 2^64.
    zero: u64,
    /// ns a tick, times 2^64; 0 where the kernel is to be asked.
    slope: u64,
    /// When time begins, in ns of `CLOCK_MONOTONIC`.
    epoch: u64,
}

impl Line {
    /// Through `ns` at `ticks`.
    fn through(Sample { ticks, ns }: Sample, slope: u64) -> Self {
        Self { zero: ns.wrapping_sub(product(ticks, slope)), slope, ..Self::default() }
    }

    /// The same in ns since `epoch`.
    #[inline]
    pub fn since(self, epoch: u64) -> Self {
        Self { zero: self.zero.wrapping_sub(epoch), epoch, ..self }
    }

    /// ns of `CLOCK_MONOTONIC`, or since when it was asked for; see [`Clock::now`].
    #[inline]
    pub fn now(self) -> u64 {
        if self.slope == 0 { now().saturating_sub(self.epoch) } else { self.at(counter()) }
    }

    #[inline]
    fn at(self, ticks: u64) -> u64 {
        self.zero.wrapping_add(product(ticks, self.slope))
    }
}

#[inline]
fn product(ticks: u64, slope: u64) -> u64 {
    ((u128::from(ticks) * u128::from(slope)) >> 64) as u64
}

impl Clock {
    /// ns of `CLOCK_MONOTONIC`. Async-signal-safe; never goes back within a process but for a clock that was wrong
    /// by more than `STEP_NS`.
    ///
    /// The counter is read without a fence: between any two stamps of different processes that are compared lies a
    /// system call in each, and nothing after it runs before it (Intel SDM 2B, SYSCALL and SYSRET, "Instruction ordering").
    #[inline]
    pub fn now(&self) -> u64 {
        self.line().now()
    }

    /// The line that holds now: for several stamps with nothing long between them.
    #[inline]
    pub fn line(&self) -> Line {
        loop {
            let turn = self.turn.load(Acquire);
            let [even, odd] = &self.lines;
            let shared = if turn & 1 == 0 { even } else { odd };
            let (zero, slope) = (shared.zero.load(Relaxed), shared.slope.load(Relaxed));
            let line = Line { turn, zero, slope, epoch: 0 };
            fence(Acquire);
            // Else it may have been overwritten while it was read.
            if self.turn.load(Relaxed) == turn {
                return line;
            }
        }
    }

    /// What `line` shows, for stamps whose order must be that in which they were made: by a line that still held when
    /// they were, which `line` is from then on.
    #[inline]
    pub fn stamp(&self, line: &mut Line) -> u64 {
        loop {
            let t = line.now();
            fence(Acquire);
            if self.turn.load(Relaxed) == line.turn {
                return t;
            }
            *line = self.line().since(line.epoch);
        }
    }

    /// Only one thread of one process may call it.
    fn set_line(&self, line: Line) {
        let turn = self.turn.load(Relaxed).wrapping_add(1);
        let [even, odd] = &self.lines;
        let shared = if turn & 1 == 0 { even } else { odd };
        shared.zero.store(line.zero, Relaxed);
        shared.slope.store(line.slope, Relaxed);
        self.turn.store(turn, Release);
    }
}

/// The kernel's time and the counter at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sample {
    ticks: u64,
    ns: u64,
}

/// For how long the counter is watched before the first line is drawn, in ns: good to about 10 ppm.
const FIRST_NS: u64 = 2_000_000;
/// Samples closer than this, in ns, tell nothing new.
const APART_NS: u64 = 100_000_000;
/// Within this time, in ns, a line that is off comes back to the kernel's time.
const HORIZON_NS: u64 = 1_000_000_000;
/// Whoever is off by more, in ns, steps: the machine was asleep.
const STEP_NS: u64 = 100_000_000;
/// Two readings of the counter further apart than this, in ticks, make no sample: something came between. Where that
/// is always so (a virtual machine that traps the counter) the kernel's clock is the cheaper one.
const BLUR: u64 = 2_000;

/// Keeps a [`Clock`] on the kernel's time over hours, as its rate is steered (adjtimex(2)). The monitor has it.
#[derive(Debug)]
pub struct Tuner {
    /// None where the kernel is asked each time.
    last: Option<Sample>,
    /// How often the clock was tuned.
    times: u32,
}

/// So many tunings from one look at the kernel's choice of clock to the next: it changes hardly ever.
const LOOK_EACH: u32 = 16;

impl Tuner {
    /// Starts `clock`: on the counter where that can be trusted, which takes 2 ms.
    pub fn start(clock: &Clock) -> Self {
        let mut tuner = Self { last: None, times: 0 };
        let Some(first) = counter_is_the_clock().then(sample).flatten() else { return tuner };
        let slope = loop {
            match sample() {
                Some(s) if s.ns.saturating_sub(first.ns) >= FIRST_NS => break slope(first, s),
                _ => std::hint::spin_loop(),
            }
            if now().saturating_sub(first.ns) > 10 * FIRST_NS {
                return tuner;
            }
        };
        if let Some(slope) = slope {
            clock.set_line(Line::through(first, slope));
            tuner.last = Some(first);
        }
        tuner
    }

    /// Compares with the kernel's time and turns the line towards it. To be called a few times a second. Gives the time, in
    /// ns of `CLOCK_MONOTONIC`, in which stamps of before and after the turn may be in a wrong order: almost always none.
    pub fn tune(&mut self, clock: &Clock) -> Option<RangeInclusive<u64>> {
        let last = self.last?;
        self.times = self.times.wrapping_add(1);
        let old = clock.line();
        if self.times.is_multiple_of(LOOK_EACH) && !counter_is_the_clock() {
            // The kernel has given the counter up; so do we, for good.
            self.last = None;
            let begin = counter();
            clock.set_line(Line::default());
            return doubt(old, Line::default(), begin, counter());
        }
        let sample = sample().filter(|s| s.ns.saturating_sub(last.ns) >= APART_NS)?;
        self.last = Some(sample);
        let line = turned(old, last, sample)?;
        clock.set_line(line);
        doubt(old, line, sample.ticks, counter())
    }
}

/// When stamps may be in a wrong order that were made by the `old` line and the `new` one, which holds from `ticks` on but
/// was known only by `known`.
fn doubt(old: Line, new: Line, ticks: u64, known: u64) -> Option<RangeInclusive<u64>> {
    let at = |line: Line, ticks| if line.slope == 0 { now() } else { line.at(ticks) };
    let ends = [at(old, ticks), at(new, ticks), at(old, known), at(new, known)];
    let [old_begin, new_begin, old_end, new_end] = ends;
    let agree = old_begin == new_begin && old_end == new_end;
    (!agree).then(|| ends.into_iter().min().unwrap_or(0)..=ends.into_iter().max().unwrap_or(u64::MAX))
}

/// ns a tick between two samples, times 2^64; none where the counter stood still, went back, or has no tick a ns.
fn slope(from: Sample, to: Sample) -> Option<u64> {
    let ticks = to.ticks.checked_sub(from.ticks).filter(|t| *t > 0)?;
    let slope = (u128::from(to.ns.saturating_sub(from.ns)) << 64) / u128::from(ticks);
    u64::try_from(slope).ok().filter(|s| *s > 0)
}

/// The line that follows `line` from `now` on: it goes on where that one is, at the rate measured since `last`, and
/// a little faster or slower, so that in [`HORIZON_NS`] it meets the kernel's time.
fn turned(line: Line, last: Sample, now: Sample) -> Option<Line> {
    let shown = line.at(now.ticks);
    if shown.abs_diff(now.ns) > STEP_NS || now.ticks < last.ticks {
        // The rate of the time asleep means nothing; the one before was right.
        return Some(Line::through(now, line.slope));
    }
    let slope = i128::from(slope(last, now)?);
    let off = i128::from(now.ns) - i128::from(shown);
    let slope = slope + slope * off / i128::from(HORIZON_NS);
    Some(Line::through(Sample { ns: shown, ..now }, u64::try_from(slope).ok()?))
}

/// The closest of a few readings of counter and clock together.
fn sample() -> Option<Sample> {
    let readings = (0..8).map(|_| {
        let (before, ns, after) = (counter(), now(), counter());
        (after.wrapping_sub(before), Sample { ticks: before.wrapping_add(after.wrapping_sub(before) / 2), ns })
    });
    readings.min_by_key(|(apart, _)| *apart).filter(|(apart, _)| *apart < BLUR).map(|(_, s)| s)
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn counter() -> u64 {
    // SAFETY: every x86-64 has RDTSC; it is used only where prctl(PR_GET_TSC) says that it does not trap.
    unsafe { std::arch::x86_64::_rdtsc() }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn counter() -> u64 {
    0
}

/// Whether the counter may stand for the clock: the kernel, which tests it (invariant, the same on all processors),
/// keeps its own time by it, and this process may read it.
fn counter_is_the_clock() -> bool {
    if !cfg!(target_arch = "x86_64") {
        return false;
    }
    let source = std::fs::read("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    source.is_ok_and(|name| name.trim_ascii() == b"tsc") && counter_is_readable()
}

fn counter_is_readable() -> bool {
    let mut state: libc::c_int = 0;
    // SAFETY: prctl(2) PR_GET_TSC writes one int of ours.
    let got = unsafe { libc::prctl(libc::PR_GET_TSC, &raw mut state) };
    got == 0 && state == libc::PR_TSC_ENABLE
}

/// Sleeps while `word` is `seen`, for at most `ns` where given. Wakes early for no reason at times, as futex(2) may.
pub fn futex_wait(word: &AtomicU32, seen: u32, ns: Option<u64>) {
    let time = ns.map(|ns| libc::timespec {
        tv_sec: (ns / 1_000_000_000) as libc::time_t,
        tv_nsec: (ns % 1_000_000_000) as libc::c_long,
    });
    let time_ptr = time.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: futex(2) FUTEX_WAIT reads the word and the timespec, both alive during the call. The word lies in
    // memory shared between processes, hence no FUTEX_PRIVATE_FLAG.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, seen, time_ptr) };
}

/// Wakes everyone that sleeps on `word`.
pub fn futex_wake_all(word: &AtomicU32) -> Result<(), Errno> {
    // SAFETY: futex(2) FUTEX_WAKE uses only the address of the word, which is alive.
    Errno::result(unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, i32::MAX) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_fresh_clock_asks_the_kernel() {
        let clock = Clock::default();
        let before = now();
        let read = clock.now();
        assert!((before..=now()).contains(&read));
    }

    /// On the counter or not, it is within a hair of the kernel's clock, and never goes back.
    #[test]
    fn keeps_the_kernels_time() {
        let clock = Clock::default();
        let mut tuner = Tuner::start(&clock);
        if tuner.last.is_none() {
            eprintln!("SKIPPED in part: the kernel's clock source is not the time stamp counter here");
        }
        let (begin, mut last) = (now(), 0);
        while now() - begin < 3 * APART_NS {
            tuner.tune(&clock);
            let (before, read, after) = (now(), clock.now(), now());
            assert!(read >= last, "{last} {read}");
            assert!((before.saturating_sub(20_000)..=after + 20_000).contains(&read), "{before} {read} {after}");
            last = read;
        }
    }

    #[test]
    fn a_line_replaced_while_it_is_read_is_never_seen_torn() {
        let clock = Clock::default();
        let line = |n: u64| Line { zero: n, slope: n, ..Line::default() };
        clock.set_line(line(1));
        std::thread::scope(|s| {
            let writer = s.spawn(|| (1..200_000).for_each(|n| clock.set_line(line(n))));
            while !writer.is_finished() {
                let seen = clock.line();
                assert_eq!(seen.zero, seen.slope);
            }
        });
    }

    #[test]
    fn a_machine_that_slept_steps() {
        let line = Line::through(Sample { ticks: 1000, ns: 5_000 }, 1 << 63);
        let last = Sample { ticks: 1000, ns: 5_000 };
        // The counter began anew; the counter ran on while the clock stood still.
        for now in [Sample { ticks: 10, ns: 900_000_000 }, Sample { ticks: 3_600_000_000_000, ns: 900_000_000 }] {
            let after = turned(line, last, now).unwrap();
            assert_eq!((after.at(now.ticks), after.slope), (now.ns, line.slope));
        }
    }

    #[test]
    fn stamps_are_in_doubt_as_long_as_two_lines_that_part_are_in_use() {
        let (half, quarter) = (1 << 63, 1 << 62);
        let old = Line::through(Sample { ticks: 1_000, ns: 5_000 }, quarter);
        let new = |ns, slope| Line::through(Sample { ticks: 2_000, ns }, slope);
        assert_eq!(doubt(old, new(5_250, quarter), 2_000, 9_000), None);
        // Known at once, they have not parted yet; known later, they have.
        assert_eq!(doubt(old, new(5_250, half), 2_000, 2_000), None);
        assert_eq!(doubt(old, new(5_250, half), 2_000, 3_000), Some(5_250..=5_750));
        // The machine slept.
        assert_eq!(doubt(old, new(900_000, quarter), 2_000, 2_004), Some(5_250..=900_001));
    }

    proptest! {
        /// Hours on a simulated machine: a counter of any rate, a kernel that steers its clock by up to 500 ppm,
        /// samples blurred by 50 ns. The line never goes back and stays within 2 us once it has settled.
        #[test]
        fn stays_right_over_hours(mhz in 1_010u64..6_000, steer in prop::collection::vec(-500i64..=500, 1..20), seed: u64) {
            let mut random = seed | 1;
            let mut blur = move || {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                random % 100
            };
            let (mut ticks, mut ns) = (7u64, 1_000_000u64);
            let mut last = Sample { ticks, ns };
            let mut line = Line::through(last, ((1000 << 64) / u128::from(mhz)) as u64);
            for ppm in steer {
                for quarter in 0..4 * 60 {
                    ticks += mhz * 250_000;
                    ns += (250_000_000 + 250 * ppm) as u64;
                    let now = Sample { ticks, ns: ns + blur() - 50 };
                    let before = line.at(ticks);
                    line = turned(line, last, now).unwrap();
                    last = now;
                    prop_assert_eq!(line.at(ticks), before);
                    if quarter > 40 {
                        prop_assert!(before.abs_diff(ns) < 2_000, "off by {} ns", before.abs_diff(ns));
                    }
                }
            }
        }
    }
}
