//! What the faces read of a lock. Nothing here changes it.

use super::contest::Turns;
use super::fairness::{self, Streaks};
use super::history::Holds;
use super::runs::Runs;
use super::timeline::Timeline;
use super::{Actor, Model, Note, State, Windowed, locks};
use crate::event::{ActorId, Begin, LockId, LockInfo, LockMode};

impl Model {
    /// What was known before the first event.
    pub fn begin(&self) -> &Begin {
        &self.begin
    }

    /// The lock.
    pub fn info(&self) -> &LockInfo {
        &self.info
    }

    /// Its number.
    pub fn lock(&self) -> LockId {
        self.id
    }

    /// Whether it is one of other programs rather than a lab's.
    pub fn is_watched(&self) -> bool {
        self.begin.watch.is_some()
    }

    /// Whether its workers run a command while they hold it.
    pub fn runs_command(&self) -> bool {
        self.begin.setup.command.is_some()
    }

    /// How the commands ended, if any did.
    pub fn runs(&self) -> Option<&Runs> {
        self.runs.as_deref()
    }

    /// Whether anything goes on or went on at it that could be found fault with.
    pub fn is_lively(&self) -> bool {
        !self.actors.is_empty() || self.path.is_some()
    }

    /// How far times may be off, in ns.
    pub fn precision(&self) -> u64 {
        self.begin.watch.as_ref().map_or(0, |w| w.precision_ns)
    }

    /// The latest time known, in ns since the run began.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// Time `t` on a clock that stands still while the lab is paused, in ns.
    pub fn active(&self, t: u64) -> u64 {
        self.pauses.active(t)
    }

    /// The same as [`Model::active`] for a time before pauses that are over by now.
    pub fn active_at(&self, t: u64) -> u64 {
        self.pauses.active_at(t)
    }

    /// When the lab was paused, on the clock that stands still meanwhile, the latest first.
    pub fn pauses(&self) -> impl Iterator<Item = u64> {
        self.pauses.begins().map(|since| self.active_at(since))
    }

    /// What share of the time anyone held the lock; of shared holds at once, the sum.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// The latest holds that are over.
    pub fn holds(&self) -> &Holds {
        &self.holds
    }

    /// Unpaused time since the statistics began, in ns.
    pub fn duration_active(&self) -> u64 {
        self.active(self.now).saturating_sub(self.reset_active)
    }

    /// When the statistics began, on the clock that leaves pauses out, in ns.
    pub fn counted_from(&self) -> u64 {
        self.reset_active
    }

    /// What a source or a face said last of its troubles.
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// Time since the statistics began, pauses included, in ns.
    pub fn duration(&self) -> u64 {
        self.now.saturating_sub(self.reset_at)
    }

    /// Whether the lab is paused.
    pub fn is_paused(&self) -> bool {
        self.pauses.are_on()
    }

    /// Those that have been at this lock, but for those removed: each has a row.
    pub fn here(&self) -> impl Iterator<Item = &Actor> {
        // Actors are numbered over all locks: one without a process was only ever at another.
        self.actors.iter().filter(|a| a.state != State::Removed && a.pid != 0)
    }

    /// Workers of a lab or tasks of other programs, but for those removed; a child that a dead worker left is neither.
    pub fn members(&self) -> impl Iterator<Item = &Actor> {
        self.here().filter(|a| self.is_watched() || a.task.is_none())
    }

    /// What a row about `actor` is called, and its process: in a lab the row of what a dead worker left is about the child
    /// that keeps it.
    pub fn label(&self, actor: &Actor) -> (String, i32) {
        let keeper = actor.keepers.as_deref().and_then(|k| k.first());
        match (&actor.task, keeper) {
            (Some(task), keeper) if !self.is_watched() => {
                let whose = task.comm.strip_prefix("worker-").unwrap_or(&task.comm);
                (format!("child of {whose}"), keeper.map_or(actor.pid, |k| k.pid))
            }
            _ => (actor.name(), actor.pid),
        }
    }

    /// All actors in order of their numbers, those that ended included.
    pub fn actors(&self) -> &[Actor] {
        &self.actors
    }

    /// One actor by its number.
    pub fn actor(&self, id: ActorId) -> Option<&Actor> {
        self.actors.get((id as usize).checked_sub(1)?)
    }

    /// Those that hold the lock, the longest holder first.
    pub fn holders(&self) -> impl Iterator<Item = &Actor> {
        self.holders.iter().filter_map(|id| self.actor(*id))
    }

    /// How many hold the lock.
    pub fn holder_count(&self) -> usize {
        self.holders.len()
    }

    /// How many wait for it.
    pub fn waiting(&self) -> u32 {
        self.waiting
    }

    /// How long `actor` has been in its present state, in ns, pauses left out.
    pub fn in_state(&self, actor: &Actor) -> u64 {
        self.active(self.now).saturating_sub(actor.since_active)
    }

    /// How many acquisitions by others came since `actor` began to wait, if it waits.
    pub fn overtaken_now(&self, actor: &Actor) -> Option<u64> {
        actor.state.is_waiting().then(|| self.last_seq.saturating_sub(actor.seq_at_wait))
    }

    /// The most of them during any one of its waits, the present one included.
    pub fn overtaken_at_most(&self, actor: &Actor) -> u64 {
        actor.overtaken_max.max(self.overtaken_now(actor).unwrap_or(0))
    }

    /// The actor that has waited longest, and for how long in ns.
    pub fn longest_waiter(&self) -> Option<(&Actor, u64)> {
        let oldest = self.actors.iter().filter(|a| a.state.is_waiting()).min_by_key(|a| a.since_active)?;
        Some((oldest, self.in_state(oldest)))
    }

    /// Acquisitions since the statistics began.
    pub fn acquisitions(&self) -> u64 {
        self.acquisitions
    }

    /// Acquisitions a second of unpaused time.
    pub fn rate(&self) -> Option<f64> {
        let ns = self.duration_active();
        (ns > 0).then(|| self.acquisitions as f64 * 1e9 / ns as f64)
    }

    /// Share of unpaused time that the lock was held, 0 to 1; the present hold counts.
    pub fn utilization(&self) -> Option<f64> {
        let total = self.duration_active();
        let now = self.active(self.now);
        let mut busy = self.busy;
        if let Some(first) = self.holders().map(|h| h.since_active).min() {
            busy.add(first.max(busy.until), now, false);
        }
        (total > 0).then(|| (busy.total as f64 / total as f64).min(1.0))
    }

    /// For how long nobody has held it, in ns, pauses left out; none where somebody does.
    pub fn free_for(&self) -> Option<u64> {
        self.holders.is_empty().then(|| self.active(self.now).saturating_sub(self.busy.until))
    }

    /// Acquisitions of what somebody else had when it was asked for.
    pub fn contended(&self) -> u64 {
        self.contended
    }

    /// Attempts that were given up.
    pub fn gave_up(&self) -> u64 {
        self.gave_up
    }

    /// Processes ended by `SIGKILL`.
    pub fn kills(&self) -> u64 {
        self.kills
    }

    /// Times when two held the lock that must exclude each other.
    pub fn violations(&self) -> u64 {
        self.violations
    }

    /// Whether mutual exclusion was violated at any time, statistics forgotten since or not.
    pub fn was_violated(&self) -> bool {
        self.violated
    }

    /// Events known to be lost.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Workers that could not do their work.
    pub fn failures(&self) -> u64 {
        self.failures
    }

    /// Most acquisitions by others after an actor began to wait, of any wait, present ones included.
    pub fn overtaken_max(&self) -> u64 {
        let now = self.actors.iter().filter_map(|a| self.overtaken_now(a)).max();
        self.overtaken_max.max(now.unwrap_or(0))
    }

    /// Same-holder share and streaks, as of now.
    pub fn streaks(&self) -> Streaks {
        self.order.settled()
    }

    /// The streak that goes on: who, and how many acquisitions in a row.
    pub fn streak(&self) -> (ActorId, u64) {
        self.order.streaks.current()
    }

    /// How often others, who asked for the same after `waiter` began to wait, were served before it; taking the lock
    /// again right after one's own release is the same turn. And how often by readers. Of the latest that are remembered,
    /// at least [`ROUNDS_KNOWN`](crate::event::thresholds::ROUNDS_KNOWN) for each actor.
    pub fn passed(&self, waiter: &Actor) -> (u64, u64) {
        let since = waiter.since_active.saturating_add(self.precision());
        let rivals = |t: &&Turns| self.actor(t.actor).is_none_or(|a| locks::overlap(waiter, a));
        let count = |(all, readers), t: &Turns| {
            let n = t.later(since);
            (all + n, readers + if t.mode == LockMode::Shared { n } else { 0 })
        };
        self.contest.later(since, waiter.id).filter(rivals).fold((0, 0), count)
    }

    /// For how long nobody has found the lock free with nobody waiting, in ns, pauses left out, and how many
    /// acquisitions there were since.
    pub fn since_calm(&self) -> (u64, u64) {
        let (at, turns) = self.contest.last_calm();
        (self.active(self.now).saturating_sub(at), turns)
    }

    /// Jain's index over acquisitions an actor.
    pub fn fairness(&self) -> Option<f64> {
        fairness::jain(self.actors.iter().filter(|a| a.state != State::Removed || a.got > 0).map(|a| a.got))
    }

    /// Waits, by window.
    pub fn wait(&self) -> &Windowed {
        &self.wait
    }

    /// Holds, by window.
    pub fn hold(&self) -> &Windowed {
        &self.hold
    }

    /// Handoffs, by window.
    pub fn handoff(&self) -> &Windowed {
        &self.handoff
    }

    /// Mean hold and think time as set now, in ns.
    pub fn settings(&self) -> (u64, u64) {
        (self.hold_ns, self.think_ns)
    }

    /// Inode at the start and inode now, where the path no longer names the same file.
    pub fn path_change(&self) -> Option<(u64, Option<u64>)> {
        self.path
    }

    /// The latest notable happenings, oldest first.
    pub fn notes(&self) -> impl DoubleEndedIterator<Item = &Note> {
        self.notes.iter()
    }
}
