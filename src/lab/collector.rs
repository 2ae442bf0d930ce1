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
use super::places::{Places, Seen, Sight};
use super::shared::{self, Doing, Shared, Slot};
use super::target::Target;
use super::wire::UNIT;
use crate::event::{Event, LockMode, What, in_order};
use crate::source::Batch;
use crossbeam_channel::{Receiver, Sender};
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::EventFd;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;

/// The nap between two rounds while records keep coming, in ns.
const NAP_NS: u64 = 2_000_000;
/// The same while whole turns come by the ten thousand a second, so that nobody can follow single ones: each round takes
/// a processor from those that are watched, maybe while they hold the lock. No longer than half a frame.
const LONG_NAP_NS: u64 = 16_000_000;
/// From so many records in one go on it naps.
const FEW: usize = 32;
/// From so many turns in one go on it naps long. What is told while it lasts, as longer waits and holds are, is no turn:
/// however much of it there is, it is to be seen soon.
const MANY: usize = 128;
/// For how long it lingers, in ns, where somebody is told to have the lock before the one before is told to have let go: both
/// tell at the same time, each through its own pipe, and nobody is to see two holders because one was read first.
const LINGER_NS: u64 = 300_000;
/// How often the path is looked at, and the longest sleep.
const LOOK_MS: u16 = 250;
/// The longest sleep in a pause.
const PAUSED_MS: u16 = 1_000;
/// How often memory that was needed for a while only is given back, in ns.
const GIVE_BACK_NS: u64 = 10_000_000_000;
/// For how long after the last record hidden waits are looked for, in ns, and how often.
const RESTLESS_NS: u64 = 100_000_000;
const RESTLESS_MS: u16 = 20;
/// A wait younger than this, in ns, need not be shown.
const HIDDEN_NS: u64 = 1_000_000;
/// The token of the wake-up descriptor.
const WAKE: u64 = 0;
/// Bytes read at once, a few of a worker's batches: they are decoded while they are in the nearest cache, and nobody is read
/// further ahead of the others than this, as what comes after what is not read yet is kept until then.
const READ: usize = 8 * 1024;
/// Records in a batch from which on no further worker is read: what is under way stays small however many write.
const BATCH: usize = 8 * 1024;
/// After a look at so many drafts the memory for that is given back: for each, the kernel maps those around it too
/// (mm/memory.c, `do_fault_around`), and a thousand of them would be a seventh of what the monitor may take.
const PEEKS: usize = 16;
/// How often a worker is looked at again that writes meanwhile.
const PATIENCE: usize = 3;

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
    /// How many units came through the pipe; what was read before it was written is among them.
    piped: u64,
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
        let mut state = Reading::new(self.epoll);
        let clock = self.shared.clock();
        let since_begin = || clock.now().saturating_sub(self.epoch);
        let mut last_record = 0;
        let (mut last_look, mut gave_back, mut revealed) = (0, 0, 0);
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
                _ if lingered || state.places.are_wanting() => 0,
                true => RESTLESS_MS,
                false if self.shared.control().paused() => PAUSED_MS,
                false => LOOK_MS,
            };
            let ready = state.await_any(timeout);
            if ready.contains(&WAKE) {
                // Only clears the counter.
                let _ = self.wake.read();
            }
            let began = since_begin();
            let (mut read, unread) = state.read_in_order(ready);
            let ends = state.obey_all(&self.orders, &self.shared);
            let mut until = unread.unwrap_or(began);
            let over = ends && unread.is_none();
            if over {
                (1..=state.sources.len() as u32).for_each(|worker| read += state.read_to_end(worker, &self.shared));
                until = u64::MAX;
            }
            read += state.find_places(until, &self.shared);
            let now = since_begin();
            if read.records > 0 {
                last_record = now;
            }
            if restless && (read.records == 0 || now.saturating_sub(revealed) >= u64::from(RESTLESS_MS) * 1_000_000) {
                revealed = now;
                state.reveal_waits(&self.shared, now);
            }
            if now.saturating_sub(last_look) >= u64::from(LOOK_MS) * 1_000_000 {
                last_look = now;
                if let Some(time) = self.tuner.tune(clock) {
                    let [begin, end] = [time.start(), time.end()].map(|t| t.saturating_sub(self.epoch));
                    state.places.doubt(begin..=end);
                }
                state.look_at_path(&self.watched, now);
                if let Some(program) = &self.program {
                    state.trim_logs(program, &self.shared, now);
                }
                if now.saturating_sub(gave_back) >= GIVE_BACK_NS {
                    gave_back = now;
                    super::heap::give_back();
                }
                let overdue = state.judge.overdue(now, lives);
                state.batch.extend(overdue);
            }
            if over {
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

/// What is known of what a worker has told.
struct Told {
    /// All.
    all: bool,
    /// When the latest turn that is known was won, in ns since the run began.
    latest: u64,
}

struct Reading {
    /// By the worker's number less one.
    sources: Vec<Option<Source>>,
    epoll: Epoll,
    judge: Judge,
    places: Places,
    /// When there was something last whose place was to be found.
    without: Option<u64>,
    /// [`Ledger::changes`](super::ledger::Ledger::changes) then.
    changes: u64,
    path_was: Option<Option<u64>>,
    /// The latest acquisition that is told to be over.
    let_go: u64,
    batch: Vec<Event>,
    buffer: Vec<u8>,
    peeked: Vec<u8>,
    ready: Vec<EpollEvent>,
    /// What is said of a dead worker when all that it told is read, which comes before what was ordered later.
    postponed: Option<Order>,
    /// The run is over.
    ends: bool,
    /// How many drafts were looked at since the memory for that was given back.
    peeks: usize,
}

impl Reading {
    fn new(epoll: Epoll) -> Self {
        Self {
            sources: Vec::new(),
            epoll,
            judge: Judge::default(),
            places: Places::default(),
            without: None,
            changes: 0,
            path_was: None,
            let_go: 0,
            batch: Vec::new(),
            buffer: vec![0; READ],
            peeked: Vec::new(),
            ready: Vec::new(),
            postponed: None,
            ends: false,
            peeks: 0,
        }
    }

    /// The tokens of those that have something to tell, once there are any or so many ms have gone by.
    fn await_any(&mut self, timeout: u16) -> Vec<u64> {
        self.ready.resize(self.sources.len() + 1, EpollEvent::empty());
        let n = self.epoll.wait(&mut self.ready, EpollTimeout::from(timeout)).unwrap_or(0);
        self.ready.iter().take(n).map(EpollEvent::data).collect()
    }

    /// Reads those that are `ready`, as much as a batch takes: always the one that has been read the least far, so that what is
    /// read ahead of others, which has to wait for them, stays little however full the pipes are, and nobody is left out for
    /// good. Up to which time all is read, where more is left.
    fn read_in_order(&mut self, ready: Vec<u64>) -> (Amount, Option<u64>) {
        let workers = ready.into_iter().filter(|token| *token != WAKE).filter_map(|token| u32::try_from(token).ok());
        let mut next: BinaryHeap<_> = workers.filter_map(|w| Some(Reverse((self.stream(w)?.reach(), w)))).collect();
        let mut read = Amount::default();
        while read.records < BATCH
            && let Some(Reverse((_, worker))) = next.pop()
        {
            let (more, is_left) = self.drain(worker);
            read += more;
            next.extend(self.stream(worker).filter(|_| is_left).map(|stream| Reverse((stream.reach(), worker))));
        }
        let left = next.into_iter().filter_map(|Reverse((_, worker))| Some(self.stream(worker)?.last_turn()));
        (read, left.min())
    }

    /// Does as was ordered, in that order; whether the run is over.
    fn obey_all(&mut self, orders: &Receiver<Order>, shared: &Shared) -> bool {
        while let Some(order) = self.postponed.take().or_else(|| orders.try_recv().ok()) {
            self.postponed = self.obey(order, shared);
            if self.postponed.is_some() {
                return false;
            }
        }
        self.ends
    }

    /// Does what was ordered, or gives it back where that is to wait.
    fn obey(&mut self, order: Order, shared: &Shared) -> Option<Order> {
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
                    shared.slot(owner.worker).into_iter().for_each(|slot| slot.set_known(owner.pid));
                    *source = Some(Source { pipe, stream: Stream::new(owner), piped: 0 });
                }
            }
            Order::Died { owner, t, code, signal } => {
                if self.drain(owner.worker).1 {
                    return Some(order);
                }
                self.peek(owner.worker, shared);
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
            Order::End => self.ends = true,
        }
        None
    }

    /// Reads some of what a worker has written; whether more may be left.
    fn drain(&mut self, worker: u32) -> (Amount, bool) {
        let Self { sources, epoll, judge, batch, buffer, .. } = self;
        let place = sources.get_mut((worker as usize).wrapping_sub(1));
        let Some(source) = place.and_then(Option::as_mut) else { return (Amount::default(), false) };
        // Writers write whole records at once, so a read gives whole units of them.
        let n = match source.pipe.read(buffer) {
            Ok(0) => {
                // The writer is gone; the order that says how comes from the main thread.
                let _ = epoll.delete(source.pipe.as_fd());
                return (Amount::default(), false);
            }
            Err(_) => return (Amount::default(), false),
            Ok(n) => n,
        };
        // Some of it may have been read before it was written.
        let known = source.stream.position().saturating_sub(source.piped);
        source.piped += (n / UNIT) as u64;
        let new = usize::try_from(known).unwrap_or(usize::MAX).saturating_mul(UNIT).min(n)..n;
        (source.stream.take(buffer.get(new).unwrap_or_default(), judge, batch), n == buffer.len())
    }

    /// Reads all that a worker has told.
    fn read_to_end(&mut self, worker: u32, shared: &Shared) -> Amount {
        let mut read = Amount::default();
        let mut is_left = true;
        while is_left {
            let (more, left) = self.drain(worker);
            read += more;
            is_left = left;
        }
        read += self.peek(worker, shared).0;
        read
    }

    /// Reads what a worker has told and not written yet; `false` where something is in the pipe that comes first.
    fn peek(&mut self, worker: u32, shared: &Shared) -> (Amount, bool) {
        let place = self.sources.get_mut((worker as usize).wrapping_sub(1));
        let source = place.and_then(Option::as_mut);
        let (Some(source), Some(slot), Some(draft)) = (source, shared.slot(worker), shared.draft(worker)) else {
            return (Amount::default(), true);
        };
        let Source { stream, .. } = source;
        self.peeks += 1;
        self.peeked.clear();
        let all = slot.peek(draft, stream.owner().pid, stream.position(), &mut self.peeked);
        (stream.take(&self.peeked, &mut self.judge, &mut self.batch), all)
    }

    /// Finds the places of what was told without, up to the time `until`: whatever happened before it was told then, or is
    /// seen in the slots. Reads what is not read yet.
    fn find_places(&mut self, mut until: u64, shared: &Shared) -> Amount {
        let mut read = Amount::default();
        // What has its place may have come after what has none and is not read yet: its worker may have been out of the
        // processor for long.
        let changes = shared.ledger().changes();
        let unread = std::mem::replace(&mut self.changes, changes) != changes || shared.ledger().is_behind();
        if unread || self.places.concern(&self.batch) {
            self.without = Some(until);
        }
        self.without = self.without.filter(|t| until.saturating_sub(*t) < RESTLESS_NS);
        if self.without.is_none() {
            in_order(&mut self.batch);
            self.places.follow(&self.batch);
            return read;
        }
        let mut sights = Vec::new();
        for (worker, slot) in (1..).zip(shared.members()) {
            if let Some(begun) = slot.unknown_since() {
                // Just born: nobody has told of it yet, and so its pipe is not known.
                until = until.min(begun);
            }
            let Some(owner) = self.stream(worker).map(Stream::owner) else { continue };
            // Before what it told is looked at: what it does no more has been told by then.
            let turn = slot.turn();
            let told = self.read_on(worker, shared, until, &mut read);
            if !told.all {
                until = until.min(told.latest);
            }
            if let Some(shared::Turn { since, won, .. }) = turn {
                let won = won.map(|at| Seen::Holds { at, ended: None });
                sights.push(Sight { owner, what: won.unwrap_or(Seen::Waits), asked: since });
            }
        }
        // After all others were looked at: if any won the lock meanwhile, it was said before then that the turn ended.
        for sight in &mut sights {
            let Seen::Holds { at, ended } = &mut sight.what else { continue };
            let turn = shared.slot(sight.owner.worker).and_then(Slot::turn);
            if let Some(turn) = turn.filter(|turn| turn.since == sight.asked) {
                *ended = turn.ended;
            }
            let at = *at;
            if self.read_on(sight.owner.worker, shared, until, &mut read).latest >= at {
                sight.what = Seen::Nothing;
            }
        }
        if self.peeks >= PEEKS {
            self.peeks = 0;
            // Where it cannot, they take a page a worker.
            let _ = shared.let_go_of_drafts();
        }
        self.batch.splice(0..0, self.places.take_rest());
        in_order(&mut self.batch);
        self.places.place(&mut self.batch, until, &sights);
        in_order(&mut self.batch);
        read
    }

    /// Reads what a worker has told by now, where that may have happened before `until`.
    fn read_on(&mut self, worker: u32, shared: &Shared, until: u64, read: &mut Amount) -> Told {
        let slot = shared.slot(worker);
        let mut all = false;
        for _ in 0..PATIENCE {
            let Some(stream) = self.stream(worker).filter(|stream| stream.last_turn() < until) else { break };
            let (position, pid) = (stream.position(), stream.owner().pid);
            match slot.and_then(|slot| slot.progress(pid)) {
                // Its successor tells already: what it wrote itself is in its pipe.
                None => {
                    let (more, is_left) = self.drain(worker);
                    *read += more;
                    all = !is_left;
                }
                Some(progress) if progress.told() == position => all = true,
                Some(_) => {
                    let (more, complete) = self.peek(worker, shared);
                    *read += more;
                    all = complete;
                }
            }
            if all || read.records >= BATCH {
                break;
            }
            *read += self.drain(worker).0;
        }
        Told { all, latest: self.stream(worker).map_or(0, Stream::last_turn) }
    }

    fn stream(&self, worker: u32) -> Option<&Stream> {
        let source = self.sources.get((worker as usize).wrapping_sub(1))?.as_ref();
        source.map(|source| &source.stream)
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
            let Owner { worker, pid } = stream.owner();
            let Some(slot) = shared.slot(worker) else { continue };
            let (doing, since) = slot.doing();
            let mode = match doing {
                Doing::WaitsExclusive => LockMode::Exclusive,
                Doing::WaitsShared => LockMode::Shared,
                _ => continue,
            };
            // What is told and not read comes before that; or its end, which may also have been read already, as it is told
            // before the slot says that it waits no more.
            let all_read = slot.progress(pid).is_some_and(|progress| progress.told() == stream.position());
            if all_read
                && stream.last_turn() < since
                && now.saturating_sub(since) >= HIDDEN_NS
                && stream.announce(since)
            {
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

#[cfg(test)]
mod tests;
