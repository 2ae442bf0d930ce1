//! What is read, in which order, and what becomes of it: the pipes, what is in no pipe yet, and the orders of the main thread.

use super::{BATCH, LOOK_MS, Order, RESTLESS_NS, WAKE};
use crate::event::{Event, LockMode, What, in_order};
use crate::lab::command::Program;
use crate::lab::decode::{Amount, SECOND, Stream, said};
use crate::lab::judge::Judge;
use crate::lab::ledger::Owner;
use crate::lab::places::{Places, Seen, Sight};
use crate::lab::shared::{self, Doing, Shared, Slot};
use crate::lab::target::Target;
use crate::lab::wire::UNIT;
use crossbeam_channel::Receiver;
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags, EpollTimeout};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::PathBuf;

/// A wait younger than this, in ns, need not be shown.
const HIDDEN_NS: u64 = 1_000_000;
/// Bytes read at once, a few of a worker's batches: they are decoded while they are in the nearest cache, and nobody is read
/// further ahead of the others than this, as what comes after what is not read yet is kept until then.
const READ: usize = 8 * 1024;
/// After a look at so many drafts the memory for that is given back: for each, the kernel maps those around it too
/// (mm/memory.c, `do_fault_around`), and a thousand of them would be a seventh of what the monitor may take.
const PEEKS: usize = 16;
/// How often a worker is looked at again that writes meanwhile.
const PATIENCE: usize = 3;

struct Source {
    pipe: std::fs::File,
    stream: Stream,
    /// How many units came through the pipe; what was read before it was written is among them.
    piped: u64,
}

/// What is known of what a worker has told.
struct Told {
    /// All.
    all: bool,
    /// When the latest turn that is known was won, in ns since the run began.
    latest: u64,
}

/// Reads, and gathers the next batch.
pub(super) struct Reading {
    /// By the worker's number less one.
    sources: Vec<Option<Source>>,
    epoll: Epoll,
    pub judge: Judge,
    pub places: Places,
    /// When there was something last whose place was to be found.
    without: Option<u64>,
    /// [`Ledger::changes`](crate::lab::ledger::Ledger::changes) then.
    changes: u64,
    path_was: Option<Option<u64>>,
    /// The latest acquisition that is told to be over.
    let_go: u64,
    pub batch: Vec<Event>,
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
    pub fn new(epoll: Epoll) -> Self {
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
    pub fn await_any(&mut self, timeout: u16) -> Vec<u64> {
        self.ready.resize(self.sources.len() + 1, EpollEvent::empty());
        let n = self.epoll.wait(&mut self.ready, EpollTimeout::from(timeout)).unwrap_or(0);
        self.ready.iter().take(n).map(EpollEvent::data).collect()
    }

    /// Reads those that are `ready`, as much as a batch takes: always the one that has been read the least far, so that what is
    /// read ahead of others, which has to wait for them, stays little however full the pipes are, and nobody is left out for
    /// good. Up to which time all is read, where more is left.
    pub fn read_in_order(&mut self, ready: Vec<u64>) -> (Amount, Option<u64>) {
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
    pub fn obey_all(&mut self, orders: &Receiver<Order>, shared: &Shared) -> bool {
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

    /// Reads all that anybody has told.
    pub fn read_to_end(&mut self, shared: &Shared) -> Amount {
        let mut read = Amount::default();
        for worker in 1..=self.sources.len() as u32 {
            let mut is_left = true;
            while is_left {
                let (more, left) = self.drain(worker);
                read += more;
                is_left = left;
            }
            read += self.peek(worker, shared).0;
        }
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
    pub fn find_places(&mut self, mut until: u64, shared: &Shared) -> Amount {
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
    pub fn lacks_a_release(&mut self) -> bool {
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
    pub fn reveal_waits(&mut self, shared: &Shared, now: u64) {
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
    pub fn trim_logs(&self, program: &Program, shared: &Shared, now: u64) {
        for worker in self.sources.iter().flatten().map(|s| s.stream.owner().worker) {
            let doing = shared.slot(worker).map(|s| s.doing());
            let long = |since: u64| now.saturating_sub(since) >= u64::from(LOOK_MS) * 1_000_000;
            if doing.is_some_and(|(doing, since)| doing == Doing::Holds && long(since)) {
                program.logs().trim(worker);
            }
        }
    }

    pub fn look_at_path(&mut self, (path, inode, device): &(PathBuf, u64, u64), t: u64) {
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

#[cfg(test)]
mod tests;
