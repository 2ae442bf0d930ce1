//! Reads the workers' pipes in a thread of its own and turns records into events.
//!
//! Busy, it naps between rounds rather than being woken for each batch; idle, it sleeps until somebody
//! writes. What the main thread has to say (a worker was born, died, the lab was paused) comes through
//! the same thread, so that all events leave in one order.

use super::clock;
use super::judge::Judge;
use super::ledger::{Doing, Owner, Shared};
use super::target::Target;
use super::wire::{Body, Record, SIZE, Stage, Won};
use crate::event::{Acquisition, Event, FailedAction, LockMode, What};
use crate::source::Batch;
use crossbeam_channel::{Receiver, Sender};
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::EventFd;
use std::collections::HashMap;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The nap between two rounds while records keep coming.
const NAP: Duration = Duration::from_millis(2);
/// How often the path is looked at, and the longest sleep.
const LOOK_MS: u16 = 250;
/// For how long after the last record hidden waits are looked for, in ns, and how often.
const RESTLESS_NS: u64 = 100_000_000;
const RESTLESS_MS: u16 = 20;
/// A wait younger than this, in ns, need not be shown.
const HIDDEN_NS: u64 = 10_000_000;
/// The token of the wake-up descriptor.
const WAKE: u64 = 0;

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
    owner: Owner,
    pipe: std::fs::File,
    number: u16,
    /// A wait that was announced from the slot, not by the worker: its begin.
    announced: Option<u64>,
    /// It has been at the second lock.
    second: bool,
}

pub(super) struct Collector {
    pub shared: Arc<Shared>,
    pub epoch: u64,
    pub orders: Receiver<Order>,
    pub events: Sender<Batch>,
    pub wake: Arc<EventFd>,
    pub watched: (PathBuf, u64, u64),
    pub epoll: Epoll,
}

impl Collector {
    /// Runs until told to end, or until nobody wants the events.
    pub(super) fn run(self) {
        let mut state = Reading {
            sources: HashMap::new(),
            epoll: self.epoll,
            judge: Judge::default(),
            path_was: None,
            batch: Vec::new(),
        };
        let mut last_record = 0;
        let mut last_look = 0;
        let mut ready = vec![EpollEvent::empty(); 256];
        loop {
            crate::panic_if_asked("collector");
            let now = since(self.epoch);
            let restless = now.saturating_sub(last_record) < RESTLESS_NS;
            let timeout = if restless { RESTLESS_MS } else { LOOK_MS };
            let n = state.epoll.wait(&mut ready, EpollTimeout::from(timeout)).unwrap_or(0);
            let mut records = 0;
            for event in ready.iter().take(n) {
                match u32::try_from(event.data()) {
                    Ok(worker) if event.data() != WAKE => records += state.drain(worker, false),
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
            let now = since(self.epoch);
            if records > 0 {
                last_record = now;
            } else if restless {
                state.reveal_waits(&self.shared, now);
            }
            if now.saturating_sub(last_look) >= u64::from(LOOK_MS) * 1_000_000 {
                last_look = now;
                state.look_at_path(&self.watched, now);
                let overdue = state.judge.overdue(now, lives);
                state.batch.extend(overdue);
            }
            if over {
                let workers: Vec<u32> = state.sources.keys().copied().collect();
                for worker in workers {
                    state.drain(worker, true);
                }
                let rest = state.judge.close(lives);
                state.batch.extend(rest);
            }
            if !state.batch.is_empty() {
                let mut batch = std::mem::take(&mut state.batch);
                batch.sort_by_key(|e| e.t);
                if self.events.send(Batch { events: batch, mark: None }).is_err() {
                    return;
                }
            }
            if over {
                return;
            }
            if records > 32 {
                std::thread::sleep(NAP);
            }
        }
    }
}

fn since(epoch: u64) -> u64 {
    clock::now().saturating_sub(epoch)
}

struct Reading {
    sources: HashMap<u32, Source>,
    epoll: Epoll,
    judge: Judge,
    path_was: Option<Option<u64>>,
    batch: Vec<Event>,
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
                self.sources.insert(owner.worker, Source { owner, pipe, number: 0, announced: None, second: false });
            }
            Order::Died { owner, t, code, signal } => {
                self.drain(owner.worker, true);
                if let Some(source) = self.sources.remove(&owner.worker) {
                    if source.second {
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

    /// Reads what a worker has written, all of it if `to_end`, else one buffer; gives the number of records.
    fn drain(&mut self, worker: u32, to_end: bool) -> usize {
        let mut buffer = [0u8; 64 * 1024];
        let mut records = 0;
        loop {
            let Some(source) = self.sources.get_mut(&worker) else { return records };
            // Writers write whole records at once, so a read gives whole records.
            let n = match source.pipe.read(&mut buffer) {
                Ok(0) => {
                    // The writer is gone; the order that says how comes from the main thread.
                    let _ = self.epoll.delete(source.pipe.as_fd());
                    return records;
                }
                Err(_) => return records,
                Ok(n) => n,
            };
            for bytes in buffer.get(..n).unwrap_or_default().chunks_exact(SIZE) {
                records += 1;
                match bytes.try_into().ok().and_then(Record::decode) {
                    Some(record) => self.take(worker, &record),
                    None => self.lost(worker, 1),
                }
            }
            if !to_end && n < buffer.len() {
                return records;
            }
        }
    }

    fn lost(&mut self, worker: u32, count: u64) {
        if let Some(owner) = self.sources.get(&worker).map(|s| s.owner) {
            let t = self.batch.last().map_or(0, |e| e.t);
            self.say(t, owner, What::Dropped { count });
        }
    }

    fn take(&mut self, worker: u32, record: &Record) {
        let Some(source) = self.sources.get_mut(&worker) else { return };
        let (owner, t) = (source.owner, record.t);
        let missing = record.number.wrapping_sub(source.number);
        source.number = record.number.wrapping_add(1);
        let announced = source.announced;
        if missing != 0 {
            self.say(t, owner, What::Dropped { count: u64::from(missing) });
        }
        let proof = self.judge.alive(owner, t);
        self.batch.extend(proof);
        let what = match record.body {
            Body::Waiting { .. } if announced == Some(t) => return,
            Body::Waiting { shared } => {
                self.announced(worker, Some(t));
                What::Waiting { mode: mode(shared) }
            }
            Body::Acquired { won, waited } => What::Acquired(acquisition(&won, waited)),
            Body::Released { seq, held } => What::Released { seq, held_ns: held },
            Body::Cycle { won, waited, held } => {
                let acquired = acquisition(&won, u64::from(waited));
                if announced.is_some_and(|since| since <= t) {
                    self.announced(worker, None);
                    self.say(t, owner, What::Acquired(acquired));
                    let end = t.saturating_add(u64::from(held));
                    return self.say(end, owner, What::Released { seq: won.seq, held_ns: u64::from(held) });
                }
                What::Cycle { acquired, held_ns: u64::from(held) }
            }
            Body::GaveUp { waited } => What::GaveUp { waited_ns: waited },
            Body::Conflict { seq, other, other_pid } => {
                return self.judge.accuse(t, owner, seq, Owner { worker: other, pid: other_pid });
            }
            Body::Dropped { count } => What::Dropped { count },
            Body::Tried { shared, count } => What::Tried { mode: mode(shared), count },
            Body::Second { stage, seq, ns, contended } => {
                if let Some(source) = self.sources.get_mut(&worker) {
                    source.second = true;
                }
                let mode = LockMode::Exclusive;
                let won = Won { seq, shared: false, contended, handoff: None, overtaken: 0 };
                let what = match stage {
                    Stage::Waits => What::Waiting { mode },
                    Stage::Acquired => What::Acquired(acquisition(&won, ns)),
                    Stage::Released => What::Released { seq, held_ns: ns },
                };
                return self.say_second(t, owner, what);
            }
            Body::Failed { action, errno } => {
                let action = match action {
                    0 => FailedAction::Open,
                    1 => FailedAction::Lock,
                    _ => FailedAction::Unlock,
                };
                What::Failed { action, errno }
            }
        };
        if matches!(what, What::Acquired(_) | What::GaveUp { .. }) {
            self.announced(worker, None);
        }
        self.say(t, owner, what);
    }

    /// A worker blocked in the kernel cannot write; what it does stands in its slot.
    fn reveal_waits(&mut self, shared: &Shared, now: u64) {
        let mut found = Vec::new();
        for source in self.sources.values_mut() {
            let Some((doing, since)) = shared.slot(source.owner.worker).map(|s| s.doing()) else { continue };
            let mode = match doing {
                Doing::WaitsExclusive => LockMode::Exclusive,
                Doing::WaitsShared => LockMode::Shared,
                _ => continue,
            };
            if now.saturating_sub(since) < HIDDEN_NS || source.announced == Some(since) {
                continue;
            }
            source.announced = Some(since);
            found.push((source.owner, since, mode));
        }
        for (owner, since, mode) in found {
            self.say(since, owner, What::Waiting { mode });
        }
    }

    fn announced(&mut self, worker: u32, since: Option<u64>) {
        if let Some(source) = self.sources.get_mut(&worker) {
            source.announced = since;
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
        self.batch.push(Event { t, lock: 1, actor: owner.worker, pid: owner.pid as i32, what });
    }

    fn say(&mut self, t: u64, owner: Owner, what: What) {
        self.batch.push(Event { t, lock: 0, actor: owner.worker, pid: owner.pid as i32, what });
    }
}

fn mode(shared: bool) -> LockMode {
    if shared { LockMode::Shared } else { LockMode::Exclusive }
}

fn acquisition(won: &Won, waited_ns: u64) -> Acquisition {
    Acquisition {
        mode: mode(won.shared),
        seq: won.seq,
        waited_ns,
        contended: won.contended,
        handoff_ns: won.handoff.map(u64::from),
        overtaken: u64::from(won.overtaken),
    }
}

/// Whether a process lives, as /proc/PID/stat has it (proc_pid_stat(5)): a zombie is dead, its lock is free.
fn lives(owner: Owner) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", owner.pid)).unwrap_or_default();
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
    !matches!(state, None | Some('Z' | 'X' | 'x'))
}
