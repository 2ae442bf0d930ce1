//! Reads the workers' pipes in a thread of its own and turns records into events.
//!
//! Busy, it naps between rounds rather than being woken for each batch, unless a pipe fills; idle, it sleeps until
//! somebody writes. What the main thread has to say (a worker was born, died, the lab was paused) comes through
//! the same thread, so that all events leave in one order.

use super::clock::Tuner;
use super::command::Program;
use super::decode::{Amount, SECOND, Stream, said};
use super::judge::Judge;
use super::ledger::Owner;
use super::shared::{Doing, Shared};
use super::target::Target;
use crate::event::{Event, LockMode, What, in_order};
use crate::source::Batch;
use crossbeam_channel::{Receiver, Sender};
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::EventFd;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;

/// The nap between two rounds while records keep coming, in ns.
const NAP_NS: u64 = 2_000_000;
/// The same while whole turns come by the ten thousand a second, so that nobody can follow single ones: each round takes
/// a processor from those that are watched, maybe while they hold the lock.
const LONG_NAP_NS: u64 = 8_000_000;
/// From so many records in one go on it naps.
const FEW: usize = 32;
/// From so many turns in one go on it naps long. What is told while it lasts, as longer waits and holds are, is no turn:
/// however much of it there is, it is to be seen soon.
const MANY: usize = 64;
/// For how long it lingers, in ns, where somebody is told to have the lock before the one before is told to have let go: both
/// tell at the same time, each through its own pipe, and nobody is to see two holders because one was read first.
const LINGER_NS: u64 = 300_000;
/// How often the path is looked at, and the longest sleep.
const LOOK_MS: u16 = 250;
/// For how long after the last record hidden waits are looked for, in ns, and how often.
const RESTLESS_NS: u64 = 100_000_000;
const RESTLESS_MS: u16 = 20;
/// A wait younger than this, in ns, need not be shown.
const HIDDEN_NS: u64 = 10_000_000;
/// The token of the wake-up descriptor.
const WAKE: u64 = 0;
/// Bytes read at once: they are decoded while they are in the nearest cache.
const READ: usize = 16 * 1024;
/// Records in a batch from which on no further worker is read: what is under way stays small however many write.
const BATCH: usize = 8 * 1024;
/// Bytes read from one worker before the others have their turn: as many as a pipe holds.
const TURN: usize = 256 * 1024;

/// What the main thread tells the collector.
pub(super) enum Order {
    /// A worker was forked; its records come through this pipe.
    Born { owner: Owner, pipe: std::fs::File, t: u64 },
    /// A worker was reaped.
    Died { owner: Owner, t: u64, code: Option<i32>, signal: Option<i32> },
    /// Something that the main thread did or saw.
    Say(Event),
    /// The run is over: read what is left and end.
    End,
}

struct Source {
    pipe: std::fs::File,
    stream: Stream,
}

pub(super) struct Collector {
    pub shared: Arc<Shared>,
    pub epoch: u64,
    pub tuner: Tuner,
    pub orders: Receiver<Order>,
    pub events: Sender<Batch>,
    pub wake: Arc<EventFd>,
    pub program: Option<Arc<Program>>,
    pub watched: (PathBuf, u64, u64),
    pub epoll: Epoll,
}

impl Collector {
    /// Runs until told to end, or until nobody wants the events.
    pub(super) fn run(mut self) {
        super::slice::ask_for_short_ones();
        let mut state = Reading {
            sources: Vec::new(),
            epoll: self.epoll,
            judge: Judge::default(),
            path_was: None,
            let_go: 0,
            batch: Vec::new(),
            buffer: vec![0; READ],
        };
        let clock = self.shared.clock();
        let since_begin = || clock.now().saturating_sub(self.epoch);
        let mut last_record = 0;
        let mut last_look = 0;
        let mut ready = vec![EpollEvent::empty(); 256];
        // In one go: over several rounds where there is more than a batch takes.
        let mut in_one_go = Amount::default();
        let mut lingered = false;
        loop {
            crate::panic_if_asked("collector");
            let reader = self.shared.reader();
            let calls = reader.calls();
            reader.begin_round();
            let now = since_begin();
            let restless = now.saturating_sub(last_record) < RESTLESS_NS;
            let timeout = match restless {
                _ if lingered => 0,
                true => RESTLESS_MS,
                false => LOOK_MS,
            };
            let n = state.epoll.wait(&mut ready, EpollTimeout::from(timeout)).unwrap_or(0);
            let mut read = Amount::default();
            for event in ready.iter().take(n) {
                match u32::try_from(event.data()) {
                    // Those left out are ready again at once: epoll(7) takes its turns.
                    Ok(worker) if event.data() != WAKE && read.records < BATCH => {
                        read += state.drain(worker, false);
                    }
                    Ok(_) if event.data() != WAKE => {}
                    _ => {
                        // Only clears the counter.
                        let _ = self.wake.read();
                    }
                }
            }
            let mut over = false;
            for order in self.orders.try_iter() {
                over |= matches!(order, Order::End);
                state.obey(order);
            }
            let now = since_begin();
            if read.records > 0 {
                last_record = now;
            } else if restless {
                state.reveal_waits(&self.shared, now);
            }
            if now.saturating_sub(last_look) >= u64::from(LOOK_MS) * 1_000_000 {
                last_look = now;
                self.tuner.tune(clock);
                state.look_at_path(&self.watched, now);
                if let Some(program) = &self.program {
                    state.trim_logs(program, &self.shared, now);
                }
                let overdue = state.judge.overdue(now, lives);
                state.batch.extend(overdue);
            }
            if over {
                for worker in 1..=state.sources.len() as u32 {
                    state.drain(worker, true);
                }
                let rest = state.judge.close(lives);
                state.batch.extend(rest);
            }
            in_one_go += read;
            lingered = !lingered && !over && (1..FEW).contains(&read.records) && state.lacks_a_release();
            if lingered {
                reader.nap(calls, LINGER_NS);
                continue;
            }
            if !state.batch.is_empty() {
                let mut batch = std::mem::take(&mut state.batch);
                in_order(&mut batch);
                if self.events.send(Batch { events: batch, mark: None }).is_err() {
                    return;
                }
            }
            if over {
                return;
            }
            if read.records < BATCH {
                match std::mem::take(&mut in_one_go) {
                    Amount { turns: MANY.., .. } => reader.nap(calls, LONG_NAP_NS),
                    Amount { records: FEW.., .. } => reader.nap(calls, NAP_NS),
                    _ => {}
                }
            }
        }
    }
}

struct Reading {
    /// By the worker's number less one.
    sources: Vec<Option<Source>>,
    epoll: Epoll,
    judge: Judge,
    path_was: Option<Option<u64>>,
    /// The latest acquisition that is told to be over.
    let_go: u64,
    batch: Vec<Event>,
    buffer: Vec<u8>,
}

impl Reading {
    fn obey(&mut self, order: Order) {
        match order {
            Order::Born { owner, pipe, t } => {
                let watch = EpollEvent::new(EpollFlags::EPOLLIN, u64::from(owner.worker));
                if self.epoll.add(&pipe, watch).is_err() {
                    // Without memory for one more descriptor its events are lost; it must not go unsaid.
                    self.say(t, owner, What::Dropped { count: 1 });
                }
                self.say(t, owner, What::Spawned);
                let place = (owner.worker as usize).saturating_sub(1);
                if place >= self.sources.len() {
                    self.sources.resize_with(place + 1, || None);
                }
                if let Some(source) = self.sources.get_mut(place) {
                    *source = Some(Source { pipe, stream: Stream::new(owner) });
                }
            }
            Order::Died { owner, t, code, signal } => {
                self.drain(owner.worker, true);
                if let Some(source) =
                    self.sources.get_mut((owner.worker as usize).wrapping_sub(1)).and_then(Option::take)
                {
                    if source.stream.has_been_at_second() {
                        self.say_second(t, owner, What::Exited { code, signal });
                    }
                    // Closing would remove it too, unless a child still being forked has a copy.
                    let _ = self.epoll.delete(source.pipe.as_fd());
                }
                self.judge.dead(owner);
                self.say(t, owner, What::Exited { code, signal });
            }
            Order::Say(event) => self.batch.push(event),
            Order::End => {}
        }
    }

    /// Reads what a worker has written, all of it if `to_end`, else no more than a pipe holds.
    fn drain(&mut self, worker: u32, to_end: bool) -> Amount {
        let Self { sources, epoll, judge, batch, buffer, .. } = self;
        let place = sources.get_mut((worker as usize).wrapping_sub(1));
        let Some(source) = place.and_then(Option::as_mut) else { return Amount::default() };
        let (mut read, mut bytes) = (Amount::default(), 0);
        while to_end || bytes < TURN {
            // Writers write whole records at once, so a read gives whole units of them.
            let n = match source.pipe.read(buffer) {
                Ok(0) => {
                    // The writer is gone; the order that says how comes from the main thread.
                    let _ = epoll.delete(source.pipe.as_fd());
                    break;
                }
                Err(_) => break,
                Ok(n) => n,
            };
            bytes += n;
            read += source.stream.take(buffer.get(..n).unwrap_or_default(), judge, batch);
            if !to_end && n < buffer.len() {
                break;
            }
        }
        read
    }

    /// Whether the batch has somebody who waited for the lock and got it, but not that the one before let go.
    fn lacks_a_release(&mut self) -> bool {
        let mut won = 0;
        for event in self.batch.iter().filter(|event| event.lock == 0) {
            match &event.what {
                What::Released { seq, .. } => self.let_go = self.let_go.max(*seq),
                What::Cycle { acquired, .. } => self.let_go = self.let_go.max(acquired.seq),
                What::Turns(turns) => self.let_go = self.let_go.max(turns.last().map_or(0, |turn| turn.seq)),
                What::Acquired(acquired) if acquired.contended => won = won.max(acquired.seq),
                _ => {}
            }
        }
        won > self.let_go + 1
    }

    /// A worker blocked in the kernel cannot write; what it does stands in its slot.
    fn reveal_waits(&mut self, shared: &Shared, now: u64) {
        let mut found = Vec::new();
        for stream in self.sources.iter_mut().flatten().map(|s| &mut s.stream) {
            let Some((doing, since)) = shared.slot(stream.owner().worker).map(|s| s.doing()) else { continue };
            let mode = match doing {
                Doing::WaitsExclusive => LockMode::Exclusive,
                Doing::WaitsShared => LockMode::Shared,
                _ => continue,
            };
            if now.saturating_sub(since) >= HIDDEN_NS && stream.announce(since) {
                found.push((stream.owner(), since, mode));
            }
        }
        for (owner, since, mode) in found {
            self.say(since, owner, What::Waiting { mode });
        }
    }

    /// Keeps small what commands write that run for long; a worker does it before each that it starts.
    fn trim_logs(&self, program: &Program, shared: &Shared, now: u64) {
        for worker in self.sources.iter().flatten().map(|s| s.stream.owner().worker) {
            let doing = shared.slot(worker).map(|s| s.doing());
            let long = |since: u64| now.saturating_sub(since) >= u64::from(LOOK_MS) * 1_000_000;
            if doing.is_some_and(|(doing, since)| doing == Doing::Holds && long(since)) {
                program.logs().trim(worker);
            }
        }
    }

    fn look_at_path(&mut self, (path, inode, device): &(PathBuf, u64, u64), t: u64) {
        let (same, now) = Target::check(path, *inode, *device);
        let seen = if same { None } else { Some(now) };
        if seen != self.path_was {
            self.path_was = seen;
            let now = if same { Some(*inode) } else { now };
            self.batch.push(Event::of_run(t, What::PathChanged { was: *inode, now }));
        }
    }

    fn say_second(&mut self, t: u64, owner: Owner, what: What) {
        self.batch.push(Event { lock: SECOND, ..said(t, owner, what) });
    }

    fn say(&mut self, t: u64, owner: Owner, what: What) {
        self.batch.push(said(t, owner, what));
    }
}

/// Whether a process lives, as /proc/PID/stat has it (proc_pid_stat(5)): a zombie is dead, its lock is free.
fn lives(owner: Owner) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", owner.pid)).unwrap_or_default();
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
    !matches!(state, None | Some('Z' | 'X' | 'x'))
}
