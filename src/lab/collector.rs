//! Reads the workers' pipes in a thread of its own and turns records into events.
//!
//! Busy, it naps between rounds rather than being woken for each batch, unless a pipe fills; idle, it sleeps until
//! somebody writes. What the main thread has to say (a worker was born, died, the lab was paused) comes through
//! the same thread, so that all events leave in one order.

mod reading;

use super::clock::Tuner;
use super::command::Program;
use super::decode::Amount;
use super::ledger::Owner;
use super::shared::Shared;
use crate::event::{Event, in_order};
use crate::source::Batch;
use crossbeam_channel::{Receiver, Sender};
use nix::sys::epoll::Epoll;
use nix::sys::eventfd::EventFd;
use reading::Reading;
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
/// The token of the wake-up descriptor.
const WAKE: u64 = 0;
/// Records in a batch from which on no further worker is read: what is under way stays small however many write.
const BATCH: usize = 8 * 1024;

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
                read += state.read_to_end(&self.shared);
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

/// Whether a process lives, as /proc/PID/stat has it (proc_pid_stat(5)): a zombie is dead, its lock is free.
fn lives(owner: Owner) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", owner.pid)).unwrap_or_default();
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
    !matches!(state, None | Some('Z' | 'X' | 'x'))
}
