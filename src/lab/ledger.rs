//! The pages that monitor and workers share: the ledger of the lock, the controls, a slot a worker.
//!
//! The ledger is written only under the lock under test, so that every acquisition has a place in a
//! total order, the handoff is exact, and mutual exclusion is checked. All fields are atomics: if the
//! lock does not exclude, the ledger must survive that and say so.

use super::clock::{self, Clock};
use crate::dist::Dist;
use nix::errno::Errno;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};

/// The most workers there can be.
pub const MAX_WORKERS: u32 = 10_000;

/// A process of a worker: its number and its process id in one word; 0 is nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// Number of the worker, from 1.
    pub worker: u32,
    /// Its process id.
    pub pid: u32,
}

impl Owner {
    pub(super) fn word(self) -> u64 {
        u64::from(self.pid) << 32 | u64::from(self.worker)
    }

    pub(super) fn from_word(word: u64) -> Option<Self> {
        (word != 0).then_some(Self { worker: word as u32, pid: (word >> 32) as u32 })
    }
}

/// Written under the lock under test. One cache line: whoever gets the lock needs all of it.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Ledger {
    owner: AtomicU64,
    last_release: AtomicU64,
    seq: AtomicU64,
}

/// What a holder finds when it enters itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the total order of acquisitions, from 1.
    pub seq: u64,
    /// Who stood there as the exclusive holder, which should be nobody.
    pub other: Option<Owner>,
    /// When the lock was released before, in ns on the clock that stands still while paused.
    pub last_release: u64,
}

impl Ledger {
    /// The exclusive holder's process, as it entered itself.
    pub fn owner(&self) -> Option<Owner> {
        Owner::from_word(self.owner.load(Acquire))
    }

    /// Number of the latest acquisition.
    pub fn seq(&self) -> u64 {
        self.seq.load(Relaxed)
    }

    /// When the lock was last released, in ns on the clock that stands still while paused.
    pub fn last_release(&self) -> u64 {
        self.last_release.load(Relaxed)
    }

    /// Enters `me` as the exclusive holder. The swap comes first: it fetches the line to be written, once.
    #[inline]
    pub fn enter(&self, me: Owner) -> Entry {
        let other = Owner::from_word(self.owner.swap(me.word(), AcqRel));
        let seq = if other.is_none() {
            // Nobody else may be here, so that load and store need not be one. Where the lock does not exclude, two may
            // get the same number; that they were here together, the owner's entry tells.
            let seq = self.seq.load(Acquire).wrapping_add(1);
            self.seq.store(seq, Release);
            seq
        } else {
            self.count()
        };
        Entry { seq, other, last_release: self.last_release() }
    }

    /// Counts a shared holder, who enters itself in its slot.
    pub fn enter_shared(&self) -> Entry {
        Entry { seq: self.count(), other: self.owner(), last_release: self.last_release() }
    }

    fn count(&self) -> u64 {
        self.seq.fetch_add(1, AcqRel).wrapping_add(1)
    }

    /// Takes `me` out again, but nobody else, and notes the time of the release that is about to be made, on the clock that
    /// stands still while paused: a pause is no part of a handoff. Load and
    /// store need not be one: whoever enters between them holds the lock together with `me`, and has been told so by
    /// [`Ledger::enter`].
    #[inline]
    pub fn leave(&self, me: Owner, now: u64) {
        if self.owner.load(Relaxed) == me.word() {
            self.owner.store(0, Release);
        }
        self.releasing(now);
    }

    /// Notes the time of a release that is about to be made, as [`Ledger::leave`] does.
    pub fn releasing(&self, now: u64) {
        self.last_release.store(now, Relaxed);
    }
}

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
        self.active.load(Acquire) & 1 == 1
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

    /// Pauses (`true`) or goes on at time `now`.
    pub fn set_paused(&self, paused: bool, now: u64) {
        let active = self.active_at(now);
        let word = if paused { active << 1 | 1 } else { now.saturating_sub(active) << 1 };
        self.active.store(word, Release);
        self.announce();
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
#[derive(Clone, Copy, Debug)]
pub struct Active(u64);

impl Active {
    /// What it shows at time `now` (of [`Clock::now`]), in ns.
    #[inline]
    pub fn at(self, now: u64) -> u64 {
        let Self(word) = self;
        if word & 1 == 1 { word >> 1 } else { now.saturating_sub(word >> 1) }
    }
}

/// How those that write and the one that reads their pipes come to terms, so that it is not woken for each batch.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Reader {
    /// Counts the rounds in which all pipes are read.
    round: AtomicU32,
    /// Changes when somebody wants the next round to begin.
    calls: AtomicU32,
}

impl Reader {
    /// Number of the round that is being read, or was last.
    pub fn round(&self) -> u32 {
        self.round.load(Relaxed)
    }

    /// Begins a round: what was written before is read in it.
    pub fn begin_round(&self) {
        self.round.store(self.round().wrapping_add(1), Relaxed);
    }

    /// How often it was called; for [`Reader::nap`].
    pub fn calls(&self) -> u32 {
        self.calls.load(Acquire)
    }

    /// Sleeps for `ns`, or until somebody calls, as nobody has since there were so many `calls`.
    pub fn nap(&self, calls: u32, ns: u64) {
        clock::futex_wait(&self.calls, calls, Some(ns));
    }

    /// Ends the nap.
    pub fn call(&self) {
        self.calls.fetch_add(1, AcqRel);
        // Fails only for an address that is none.
        let _ = clock::futex_wake_all(&self.calls);
    }
}

/// What a worker does, as it last said in its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// Nothing known, or thinking.
    Else,
    /// Waits for an exclusive lock.
    WaitsExclusive,
    /// Waits for a shared lock.
    WaitsShared,
    /// Holds the lock.
    Holds,
}

/// A cache line a worker: written by the worker alone, but for `retired`.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Slot {
    doing: AtomicU64,
    reader: AtomicU64,
    got: AtomicU64,
    retired: AtomicU32,
    leader: AtomicU32,
}

impl Slot {
    /// Says what the worker does since `since` (ns since the run began).
    pub fn set_doing(&self, doing: Doing, since: u64) {
        self.doing.store(since << 2 | doing as u64, Release);
    }

    /// What the worker said last, and since when.
    pub fn doing(&self) -> (Doing, u64) {
        let word = self.doing.load(Acquire);
        let doing = match word & 3 {
            1 => Doing::WaitsExclusive,
            2 => Doing::WaitsShared,
            3 => Doing::Holds,
            _ => Doing::Else,
        };
        (doing, word >> 2)
    }

    /// The process that holds a shared lock for this worker.
    pub fn reader(&self) -> Option<Owner> {
        Owner::from_word(self.reader.load(Acquire))
    }

    /// Enters a shared holder, or takes it out.
    pub fn set_reader(&self, owner: Option<Owner>) {
        self.reader.store(owner.map_or(0, Owner::word), Release);
    }

    /// Acquisitions by this worker, over all its processes.
    pub fn got(&self) -> u64 {
        self.got.load(Relaxed)
    }

    /// Counts one. Only the worker's present process may: there is no other writer.
    pub fn count(&self) {
        self.got.store(self.got.load(Relaxed).wrapping_add(1), Relaxed);
    }

    /// The process that leads the session of this worker, where it runs commands; 0 where none lives.
    pub fn leader(&self) -> u32 {
        self.leader.load(Acquire)
    }

    /// Notes which process that is.
    pub fn set_leader(&self, pid: u32) {
        self.leader.store(pid, Release);
    }

    /// Whether this worker shall leave.
    pub fn retired(&self) -> bool {
        self.retired.load(Relaxed) != 0
    }

    /// Asks this worker to leave, or to stay.
    pub fn set_retired(&self, retired: bool) {
        self.retired.store(u32::from(retired), Relaxed);
    }
}

#[repr(C)]
struct Layout {
    ledger: Ledger,
    control: Control,
    clock: Clock,
    reader: Reader,
    slots: [Slot; MAX_WORKERS as usize],
}

/// The shared pages, mapped before the first fork. Unused slots cost no memory.
#[derive(Debug)]
pub struct Shared {
    at: NonNull<Layout>,
}

// SAFETY: behind the pointer are only atomics, made to be used by many at once.
#[allow(unsafe_code)]
unsafe impl Send for Shared {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl Sync for Shared {}

impl Shared {
    /// Maps fresh, zeroed pages that children will share.
    ///
    /// # Errors
    /// What mmap(2) says.
    #[allow(unsafe_code)]
    pub fn new() -> Result<Self, Errno> {
        // SAFETY: a fresh anonymous mapping at an address of the kernel's choice aliases nothing.
        let at = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size_of::<Layout>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if at == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        NonNull::new(at.cast()).map(|at| Self { at }).ok_or(Errno::ENOMEM)
    }

    #[allow(unsafe_code)]
    fn layout(&self) -> &Layout {
        // SAFETY: the mapping is page-aligned, as large as Layout, lives as long as self, and zeroed
        // pages are a valid Layout: it consists of atomic integers.
        unsafe { self.at.as_ref() }
    }

    /// The ledger of the lock.
    pub fn ledger(&self) -> &Ledger {
        &self.layout().ledger
    }

    /// The live settings.
    pub fn control(&self) -> &Control {
        &self.layout().control
    }

    /// Between those that write and the one that reads.
    pub fn reader(&self) -> &Reader {
        &self.layout().reader
    }

    /// The clock of the run.
    pub fn clock(&self) -> &Clock {
        &self.layout().clock
    }

    /// The slot of worker `id` (from 1); none for a number that no worker has.
    pub fn slot(&self, id: u32) -> Option<&Slot> {
        self.layout().slots.get((id as usize).checked_sub(1)?)
    }

    /// The shared holders.
    pub fn readers(&self) -> impl Iterator<Item = Owner> {
        let members = self.control().members() as usize;
        self.layout().slots.iter().take(members).filter_map(Slot::reader)
    }
}

impl Drop for Shared {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: the mapping was made by new() with this size, and no reference outlives self.
        unsafe { libc::munmap(self.at.as_ptr().cast(), size_of::<Layout>()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ledger_tells_who_stood_there() {
        let shared = Shared::new().unwrap();
        let (a, b) = (Owner { worker: 1, pid: 100 }, Owner { worker: 2, pid: 200 });
        assert_eq!(shared.ledger().enter(a).other, None);
        assert_eq!(shared.ledger().enter(b).other, Some(a));
        shared.ledger().leave(a, 5);
        assert_eq!(shared.ledger().owner(), Some(b));
        shared.ledger().leave(b, 7);
        assert_eq!(shared.ledger().owner(), None);
        assert_eq!(shared.ledger().enter(a), Entry { seq: 3, other: None, last_release: 7 });
    }

    #[test]
    fn numbers_run_on_whoever_asks() {
        let shared = Shared::new().unwrap();
        let ledger = shared.ledger();
        let me = Owner { worker: 1, pid: 100 };
        assert_eq!([ledger.enter_shared(), ledger.enter_shared(), ledger.enter(me)].map(|e| e.seq), [1, 2, 3]);
        // Whoever finds somebody there counts on as well.
        let two = [ledger.enter_shared(), ledger.enter(Owner { worker: 2, pid: 200 })];
        assert_eq!(two.map(|e| (e.seq, e.other)), [(4, Some(me)), (5, Some(me))]);
    }

    #[test]
    fn paused_time_does_not_pass() {
        let shared = Shared::new().unwrap();
        let control = shared.control();
        assert_eq!(control.active_at(100), 100);
        control.set_paused(true, 100);
        assert_eq!((control.paused(), control.active_at(500)), (true, 100));
        control.set_paused(false, 600);
        assert_eq!((control.paused(), control.active_at(700)), (false, 200));
    }

    #[test]
    fn settings_and_slots_come_back() {
        let shared = Shared::new().unwrap();
        for dist in [Dist::Fixed(7), Dist::Uniform(1, 9), Dist::Exponential(3)] {
            shared.control().set_hold(dist);
            assert_eq!(shared.control().hold(), dist);
        }
        let slot = shared.slot(MAX_WORKERS).unwrap();
        slot.set_doing(Doing::WaitsShared, 12_345);
        assert_eq!(slot.doing(), (Doing::WaitsShared, 12_345));
        assert!(shared.slot(0).is_none() && shared.slot(MAX_WORKERS + 1).is_none());
    }
}
