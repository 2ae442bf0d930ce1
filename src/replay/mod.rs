//! A recording as a source of events: at its own pace, faster, step by step, forth and back. The recording is
//! read as it is shown and never held whole; a jump back starts from a kept model before the place.
//!
//! It touches the recording and the clock; `tape.rs` reads, in a thread of its own.

mod tape;

use crate::event::{Begin, Command, Event, What};
use crate::model::Locks;
use crate::source::{Batch, Mark, Position, Source};
use anyhow::{Error, Result, anyhow};
use crossbeam_channel::{Receiver, never};
use std::collections::VecDeque;
use std::path::Path;
use std::time::Instant;
use tape::Tape;

/// Events handed over at once, so that keys are heard in between.
const SLICE: usize = 1 << 14;
/// Models kept for jumps back, and after how many lines one is kept at first.
const KEPT: usize = 16;
const FIRST_KEPT: u64 = 1 << 14;
/// How far the clock may be ahead of what comes next, in ns of ours; what takes longer to read or to draw is made up
/// for by lagging, not by rushing through what follows.
const LEAD_NS: f64 = 50e6;
/// Slowest and fastest, in recorded time a second.
const SPEEDS: (f64, f64) = (1.0 / 64.0, 1024.0);

/// Where it is going without pause.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Goal {
    Time(u64),
    Landmark,
    Step,
}

#[derive(Debug)]
struct Kept {
    line: u64,
    offset: u64,
    t: u64,
    locks: Box<Locks>,
}

/// A recording that plays.
#[derive(Debug)]
pub struct Player {
    tape: Tape,
    begin: Begin,
    chunks: Receiver<Batch>,
    head: VecDeque<Event>,
    mark: Option<Mark>,
    /// Where recorded time stood at which moment of ours.
    clock: (u64, Instant),
    speed: Option<f64>,
    paused: bool,
    goal: Option<Goal>,
    /// The latest time shown.
    t: u64,
    /// The end was told.
    closed: bool,
    ended: bool,
    /// Stays at the end, as a screen wants it.
    stays: bool,
    kept: Vec<Kept>,
    keep_every: u64,
    passed: Option<(u64, u64)>,
    /// What a user did to the statistics is no part of the recording: such a model is not kept.
    touched: bool,
    own: Vec<Event>,
    rewound: Option<Box<Locks>>,
    reached: Option<Event>,
    fault: Option<Error>,
}

impl Player {
    /// Opens `path` (`-` is standard input) and reads its first line. `speed` none is as fast as can be; one that
    /// `stays` does not end by itself.
    ///
    /// # Errors
    /// It cannot be read, or is no recording that this version knows.
    pub fn open(path: &Path, speed: Option<f64>, stays: bool) -> Result<Self> {
        let (tape, begin, chunks) = Tape::open(path)?;
        Ok(Self {
            tape,
            begin,
            chunks,
            head: VecDeque::new(),
            mark: None,
            clock: (0, Instant::now()),
            speed,
            paused: false,
            goal: None,
            t: 0,
            closed: false,
            ended: false,
            stays,
            kept: Vec::new(),
            keep_every: FIRST_KEPT,
            passed: None,
            touched: false,
            own: Vec::new(),
            rewound: None,
            reached: None,
            fault: None,
        })
    }

    fn set_clock(&mut self, t: u64) {
        self.clock = (t, Instant::now());
    }

    /// Recorded time as the clock has it, whether or not it has been read so far.
    fn clock(&self, speed: f64) -> u64 {
        let (base, since) = self.clock;
        base.saturating_add((since.elapsed().as_nanos() as f64 * speed) as u64)
    }

    /// At what speed the clock runs, if it does.
    fn running(&self) -> Option<f64> {
        self.speed.filter(|_| !self.paused && !self.ended && self.goal.is_none())
    }

    /// Whether time goes on where nothing has come: in a stream that is written while it is read.
    fn is_live_at(&self, speed: f64) -> bool {
        !self.tape.can_rewind() && speed <= 1.0
    }

    /// Sets the clock back where it has run away from what could be read and shown.
    fn rein_in(&mut self) {
        let (Some(speed), Some(next)) = (self.running(), self.head.front()) else { return };
        let latest = next.t.max(self.t).saturating_add((LEAD_NS * speed) as u64);
        if !self.is_live_at(speed) && self.clock(speed) > latest {
            self.set_clock(latest);
        }
    }

    /// Events up to this time are due.
    fn horizon(&self) -> Option<u64> {
        match (self.goal, self.paused, self.speed) {
            (Some(Goal::Time(t)), ..) => Some(t),
            (Some(Goal::Landmark | Goal::Step), ..) | (None, false, None) => Some(u64::MAX),
            (None, true, _) => None,
            (None, false, Some(speed)) => Some(self.clock(speed)),
        }
    }

    /// A goal is reached, or cannot be reached any more.
    fn arrive(&mut self, t: u64) {
        self.goal = None;
        self.t = self.t.max(t);
        self.set_clock(self.t);
    }

    /// What stands after the events at hand: a place to come back to, or the end.
    fn pass(&mut self, out: &mut Vec<Event>) {
        let Some(mark) = self.mark.take() else { return };
        self.passed = Some((mark.line, mark.offset));
        let Some(end) = mark.end else { return };
        if let Err(error) = end {
            let text = format!("{error:#}");
            // A file that only lost its end is worth showing; anything else was never a recording of ours.
            if !error.is::<tape::CutOff>() {
                self.fault = Some(error);
            }
            out.push(Event::of_run(self.t, What::Warning { text }));
        }
        if !self.closed {
            out.push(Event::of_run(self.t, What::Ended));
        }
        if matches!(self.goal, Some(Goal::Landmark)) {
            let text = "no death, stop, violation or finding follows: this is the end".into();
            self.reached = Some(Event::of_run(self.t, What::Warning { text }));
        }
        let t = self.t;
        self.arrive(t);
        self.ended = true;
    }

    fn jump(&mut self, by: i64) -> Option<String> {
        let now = self.now();
        let to = now.saturating_add_signed(by);
        if by >= 0 {
            self.goal = Some(Goal::Time(to));
            return self.ended.then(|| "this is the end".into());
        }
        let from = self.kept.iter().rev().find(|k| k.t <= to);
        let (line, offset, t) = from.map_or((1, self.tape.first_offset(), 0), |k| (k.line, k.offset, k.t));
        let locks = from.map_or_else(|| Box::new(Locks::new(self.begin.clone())), |k| k.locks.clone());
        match self.tape.rewind(line, offset) {
            Err(error) => return Some(format!("{error:#}")),
            Ok(chunks) => self.chunks = chunks,
        }
        self.head.clear();
        (self.mark, self.passed, self.ended, self.closed, self.touched) = (None, None, false, false, false);
        self.t = t;
        self.rewound = Some(locks);
        self.goal = Some(Goal::Time(to));
        None
    }
}

impl Source for Player {
    fn begin(&self) -> Begin {
        self.begin.clone()
    }

    fn now(&self) -> u64 {
        let Some(speed) = self.running() else {
            let stands = self.speed.is_some() && self.paused && self.goal.is_none();
            return if stands { self.clock.0.max(self.t) } else { self.t };
        };
        // What has not been read may have happened by then.
        let known = match self.head.front() {
            Some(next) => next.t.saturating_sub(1).max(self.t),
            None if self.is_live_at(speed) => u64::MAX,
            None => self.t,
        };
        self.clock(speed).min(known)
    }

    fn is_live(&self) -> bool {
        false
    }

    fn incoming(&self) -> Receiver<Batch> {
        let wanted = self.head.is_empty() && self.mark.is_none() && !self.ended && self.horizon().is_some();
        if wanted { self.chunks.clone() } else { never() }
    }

    fn admit(&mut self, batch: Batch) {
        self.head.extend(batch.events);
        self.mark = batch.mark;
        self.rein_in();
    }

    fn due(&mut self) -> Vec<Event> {
        let mut out = std::mem::take(&mut self.own);
        self.rein_in();
        let Some(horizon) = self.horizon() else { return out };
        while out.len() < SLICE {
            match self.head.front() {
                Some(event) if event.t > horizon => {
                    if let Some(Goal::Time(to)) = self.goal {
                        self.arrive(to);
                    }
                    break;
                }
                Some(_) => {}
                None => {
                    self.pass(&mut out);
                    break;
                }
            }
            let Some(event) = self.head.pop_front() else { break };
            self.t = self.t.max(event.t);
            self.closed |= event.what == What::Ended;
            let here = match self.goal {
                Some(Goal::Landmark) => event.what.is_landmark(),
                Some(Goal::Step) => true,
                _ => false,
            };
            if here {
                self.paused = true;
                self.reached = Some(event.clone());
            }
            out.push(event);
            if here {
                let t = self.t;
                self.arrive(t);
                break;
            }
        }
        if self.head.is_empty() {
            self.pass(&mut out);
        }
        out
    }

    fn next_due(&self) -> Option<u64> {
        if !self.own.is_empty() || self.rewound.is_some() {
            return Some(0);
        }
        let next = self.head.front();
        let horizon = self.horizon()?;
        match next {
            Some(event) if event.t <= horizon || self.goal.is_some() => Some(0),
            Some(event) => Some(((event.t - horizon) as f64 / self.speed.unwrap_or(1.0)) as u64 + 1),
            None => self.mark.is_some().then_some(0),
        }
    }

    fn command(&mut self, command: Command) -> Result<Option<String>> {
        match command {
            Command::TogglePause => self.pause(!self.paused),
            Command::Reset => {
                self.touched = true;
                self.own.push(Event::of_run(self.now(), What::Reset));
            }
            Command::Step | Command::NextLandmark if self.ended => return Ok(Some("this is the end".into())),
            Command::Step => self.goal = Some(Goal::Step),
            Command::NextLandmark => self.goal = Some(Goal::Landmark),
            Command::Jump(by) => return Ok(self.jump(by)),
            Command::Pace(faster) => {
                let now = self.now();
                let (low, high) = SPEEDS;
                self.speed = match (self.speed, faster) {
                    (Some(speed), true) => Some((speed * 2.0).min(high)),
                    (Some(speed), false) => Some((speed / 2.0).max(low)),
                    (None, true) => None,
                    (None, false) => Some(high),
                };
                self.set_clock(now);
            }
            _ => return Ok(Some("this is a recording: nothing can be done to those in it".into())),
        }
        Ok(None)
    }

    fn pause(&mut self, paused: bool) {
        let now = self.now();
        self.paused = paused;
        self.set_clock(now);
    }

    fn is_paused(&self) -> bool {
        self.paused
    }

    fn is_over(&self) -> bool {
        self.ended && !self.stays
    }

    fn finish(&mut self) -> Option<Vec<Event>> {
        Some(std::mem::take(&mut self.own)).filter(|own| !own.is_empty())
    }

    fn position(&self) -> Option<Position> {
        let (t, length) = (self.now(), self.tape.length());
        Some(Position { t, length, speed: self.speed, paused: self.paused, ended: self.ended })
    }

    fn folded(&mut self, locks: &Locks) {
        let Some((line, offset)) = self.passed.take() else { return };
        if !self.stays || self.touched || !self.tape.can_rewind() {
            return;
        }
        let last = self.kept.last().map_or(0, |k| k.line);
        if line < last + self.keep_every {
            return;
        }
        self.kept.push(Kept { line, offset, t: self.t, locks: Box::new(locks.clone()) });
        if self.kept.len() > KEPT {
            self.keep_every *= 2;
            let mut index = 0;
            self.kept.retain(|_| {
                index += 1;
                index % 2 == 0
            });
        }
    }

    fn rewound(&mut self) -> Option<Box<Locks>> {
        self.rewound.take()
    }

    fn reached(&mut self) -> Option<Event> {
        self.reached.take()
    }

    fn fault(&mut self) -> Option<Error> {
        self.fault.take().map(|e| anyhow!("cannot replay {}: {e:#}", self.tape.name()))
    }
}
