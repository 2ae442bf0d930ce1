//! A small deterministic world: actors that contend on one lock as the kernel serves it. First come, first served;
//! the one that releases may barge back in; readers share, and new ones get in while a writer waits.
#![allow(dead_code, missing_docs, clippy::unwrap_used, reason = "each test file uses a part of it")]

use flockmon::event::{Acquisition, Event, LockMode, What};
use flockmon::model::Locks;
use std::collections::VecDeque;

pub const MS: u64 = 1_000_000;
/// From a release to the next waiter, and back to the one that released, in ns.
const HANDOFF: u64 = 40_000;
const BARGE: u64 = 5_000;

/// What contends, and how.
#[derive(Clone, Copy, Debug)]
pub struct World {
    pub workers: u32,
    pub hold: Spread,
    pub think: Spread,
    /// How often of 100 times the one that releases gets it again at once, where it does not think.
    pub barging: u64,
    /// Percent of acquisitions that are shared.
    pub shared: u64,
    /// How often of 1000 times a holder is killed; it comes back at the end of the queue.
    pub killed: u64,
    /// Last come, first served: what no kernel does, for tests that must find it.
    pub backwards: bool,
}

#[derive(Clone, Copy, Debug)]
pub enum Spread {
    Fixed(u64),
    Uniform(u64, u64),
    Exponential(u64),
}

impl Spread {
    fn draw(self, luck: &mut Luck) -> u64 {
        match self {
            Self::Fixed(ns) => ns,
            Self::Uniform(low, high) => low + luck.below(high - low + 1),
            Self::Exponential(mean) => (mean as f64 * -(1.0 - luck.unit()).ln()) as u64,
        }
    }
}

/// splitmix64.
pub struct Luck(pub u64);

impl Luck {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[derive(Clone, Copy)]
struct One {
    mode: LockMode,
    /// When it does what it does next: ask, or release.
    due: Option<u64>,
    holds: Option<(u64, u64)>,
    asked: u64,
    seq_then: u64,
    /// An acquisition that is told with its release.
    untold: Option<Acquisition>,
}

struct Run<'a> {
    world: World,
    luck: Luck,
    locks: &'a mut Locks,
    ones: Vec<One>,
    queue: VecDeque<usize>,
    seq: u64,
    at_once: bool,
}

/// Shorter turns may be told when they are over, as the workers of a lab do, in ns.
const SHORT: u64 = 10 * MS;

/// How often [`simulate`] looks, in ns.
const LOOK: u64 = 250 * MS;

/// Lets `world` run until `end` (ns) and looks at it every quarter of a second of its time. Where the seed is odd,
/// short turns are told at once.
pub fn simulate(locks: &mut Locks, world: World, seed: u64, end: u64, mut look: impl FnMut(&Locks)) {
    let mut luck = Luck(seed);
    let one = One { mode: LockMode::Exclusive, due: None, holds: None, asked: 0, seq_then: 0, untold: None };
    let ones = (0..world.workers).map(|_| One { due: Some(luck.below(MS)), ..one }).collect();
    let mut run = Run { world, luck, locks, ones, queue: VecDeque::new(), seq: 0, at_once: !seed.is_multiple_of(2) };
    for id in 0..run.ones.len() {
        run.say(0, id, What::Spawned);
    }
    let mut seen = 0;
    while let Some((t, id)) = run.next().filter(|(t, _)| *t < end) {
        while seen + LOOK <= t {
            seen += LOOK;
            run.locks.advance(seen);
            look(run.locks);
        }
        match run.ones[id].holds {
            None => run.asks(t, id),
            Some(_) => run.releases(t, id),
        }
    }
    locks.advance(end);
    look(locks);
}

impl Run<'_> {
    fn next(&self) -> Option<(u64, usize)> {
        (0..self.ones.len()).filter_map(|id| Some((self.ones[id].due?, id))).min()
    }

    fn say(&mut self, t: u64, id: usize, what: What) {
        self.locks.apply(&Event { t, lock: 0, actor: id as u32 + 1, pid: 1901 + id as i32, what });
    }

    fn taken(&self) -> Option<LockMode> {
        self.ones.iter().find(|o| o.holds.is_some()).map(|o| o.mode)
    }

    fn asks(&mut self, t: u64, id: usize) {
        let shared = self.luck.below(100) < self.world.shared;
        let mode = if shared { LockMode::Shared } else { LockMode::Exclusive };
        self.ones[id] = One { mode, due: None, holds: None, asked: t, seq_then: self.seq, untold: None };
        let granted = match self.taken() {
            None => self.queue.is_empty(),
            Some(taken) => taken == LockMode::Shared && shared,
        };
        if granted {
            return self.wins(t, id, false);
        }
        self.say(t, id, What::Waiting { mode });
        if self.world.backwards { self.queue.push_front(id) } else { self.queue.push_back(id) }
    }

    fn wins(&mut self, t: u64, id: usize, contended: bool) {
        self.seq += 1;
        let one = self.ones[id];
        let acquired = Acquisition {
            mode: one.mode,
            seq: self.seq,
            waited_ns: t - one.asked,
            contended,
            handoff_ns: contended.then_some(HANDOFF),
            overtaken: (self.seq - one.seq_then).saturating_sub(1),
        };
        let held = self.world.hold.draw(&mut self.luck);
        if self.at_once && held < SHORT {
            self.ones[id].untold = Some(acquired);
        } else {
            self.say(t, id, What::Acquired(acquired));
        }
        self.ones[id].holds = Some((t, self.seq));
        self.ones[id].due = Some(t + held);
    }

    fn releases(&mut self, t: u64, id: usize) {
        let (since, seq) = self.ones[id].holds.take().unwrap();
        let killed = self.luck.below(1000) < self.world.killed;
        let held_ns = t - since;
        match (killed, self.ones[id].untold.take()) {
            (true, untold) => {
                if let Some(acquired) = untold {
                    self.say(since, id, What::Acquired(acquired));
                }
                self.say(t, id, What::Exited { code: None, signal: Some(9) });
                self.say(t, id, What::Spawned);
            }
            (false, Some(acquired)) => self.say(since, id, What::Cycle { acquired, held_ns }),
            (false, None) => self.say(t, id, What::Released { seq, held_ns }),
        }
        let think = self.world.think.draw(&mut self.luck);
        let barges = think == 0 && !killed && self.taken().is_none() && self.luck.below(100) < self.world.barging;
        if barges {
            let mode = LockMode::Exclusive;
            self.ones[id] = One { mode, due: None, holds: None, asked: t, seq_then: self.seq, untold: None };
            return self.wins(t + BARGE, id, false);
        }
        self.ones[id].due = Some(t + think.max(2_000));
        if self.taken().is_some() {
            return;
        }
        let Some(first) = self.queue.pop_front() else { return };
        self.wins(t + HANDOFF, first, true);
        if self.ones[first].mode == LockMode::Shared {
            let (readers, rest): (VecDeque<usize>, _) =
                self.queue.iter().partition(|id| self.ones[**id].mode == LockMode::Shared);
            self.queue = rest;
            readers.into_iter().for_each(|id| self.wins(t + HANDOFF, id, true));
        }
    }
}
