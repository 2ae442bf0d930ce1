//! All locks of a run: one [`Model`] each, and who waits for whom across them.

use super::{Actor, Model};
use crate::event::thresholds::Thresholds;
use crate::event::{ActorId, Begin, Event, LockId, MAX_LOCKS, What};
use std::collections::HashMap;
use std::sync::Arc;

/// A circle has no more members than this, or is not looked for.
const CIRCLE: usize = 64;

/// Every lock that was announced, by number. A lab has one from the start.
#[derive(Clone, Debug)]
pub struct Locks {
    begin: Arc<Begin>,
    models: Vec<Model>,
    /// Locks of each file: more than one where it is locked in ways that do not see each other.
    files: HashMap<(String, u64), Vec<LockId>>,
    thresholds: Thresholds,
    /// Stands for the lock where none is known.
    none: Model,
    now: u64,
}

/// One who waits, and whom it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Wait {
    /// At which lock.
    pub lock: LockId,
    /// Who waits.
    pub waiter: ActorId,
    /// Who holds what it waits for.
    pub holder: ActorId,
}

impl Locks {
    /// Nothing has happened yet.
    pub fn new(begin: Begin) -> Self {
        let begin = Arc::new(begin);
        let none = Model::of(Arc::clone(&begin), 0, begin.lock.clone());
        // A watch announces what it finds.
        let models = if begin.watch.is_none() { vec![none.clone()] } else { Vec::new() };
        let thresholds = begin.setup.thresholds;
        let file = begin.lock.file.clone().filter(|_| !models.is_empty());
        let files = file.into_iter().map(|f| (f, vec![0])).collect();
        Self { begin, models, files, thresholds, none, now: 0 }
    }

    /// Takes in one event; one at a lock that was never announced is nobody's.
    pub fn apply(&mut self, event: &Event) {
        self.now = self.now.max(event.t);
        if event.what.is_of_the_run(event.actor) {
            self.none.apply(event);
            self.models.iter_mut().for_each(|m| m.apply(event));
            return;
        }
        if let What::Announced(info) = &event.what
            && event.lock as usize == self.models.len()
            && event.lock < MAX_LOCKS
        {
            // What holds for the whole run, such as a pause, holds for it too.
            let mut fresh = Model { id: event.lock, info: (**info).clone(), ..self.none.clone() };
            fresh.advance(event.t);
            self.models.push(fresh);
            if let Some(file) = &info.file {
                self.files.entry(file.clone()).or_default().push(event.lock);
            }
        }
        let Some(model) = self.models.get_mut(event.lock as usize) else { return };
        match &event.what {
            // Its number was another's, which nobody used any more.
            What::Announced(info) if info.file != model.info().file => {
                *model = Model { id: event.lock, info: (**info).clone(), ..self.none.clone() };
            }
            _ => model.apply(event),
        }
    }

    /// Moves the clock on to `t` without anything having happened.
    pub fn advance(&mut self, t: u64) {
        self.now = self.now.max(t);
        self.none.advance(t);
        self.models.iter_mut().for_each(|m| m.advance(t));
    }

    /// What was known before the first event.
    pub fn begin(&self) -> &Begin {
        &self.begin
    }

    /// From when on findings are said.
    pub fn thresholds(&self) -> &Thresholds {
        &self.thresholds
    }

    /// Sets from when on findings are said, in place of what the run began with.
    pub fn set_thresholds(&mut self, thresholds: Thresholds) {
        self.thresholds = thresholds;
    }

    /// The other locks of the file of `model`.
    pub fn of_same_file(&self, model: &Model) -> impl Iterator<Item = &Model> {
        let file = model.info().file.as_ref();
        let ids = file.and_then(|f| self.files.get(f)).map_or(&[][..], Vec::as_slice);
        ids.iter().filter_map(|id| self.get(*id)).filter(move |m| m.lock() != model.lock())
    }

    /// The latest time known, in ns since the run began.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// Each lock, in order of number.
    pub fn all(&self) -> &[Model] {
        &self.models
    }

    /// One lock by its number.
    pub fn get(&self, id: LockId) -> Option<&Model> {
        self.models.get(id as usize)
    }

    /// The lock that the run is about: the only one, or the first one named. Where none is known, an empty one.
    pub fn first(&self) -> &Model {
        self.models.first().unwrap_or(&self.none)
    }

    /// Acquisitions of all locks since the statistics began.
    pub fn acquisitions(&self) -> u64 {
        self.models.iter().map(Model::acquisitions).sum()
    }

    /// Whether mutual exclusion was violated anywhere at any time.
    pub fn was_violated(&self) -> bool {
        self.models.iter().any(Model::was_violated)
    }

    /// Whom `actor` waits for at `lock`: those whose locks conflict with what it wants.
    pub fn blockers(&self, lock: LockId, actor: ActorId) -> Vec<Wait> {
        let Some(model) = self.get(lock) else { return Vec::new() };
        let Some(waiter) = model.actor(actor).filter(|a| a.state.is_waiting()) else { return Vec::new() };
        let in_its_way = model.holders().filter(|h| h.id != actor && conflict(waiter, h));
        in_its_way.map(|h| Wait { lock, waiter: actor, holder: h.id }).collect()
    }

    /// From `actor` at `lock` to the one that everything waits for in the end: each wait, and the wait of its holder
    /// at another lock. Ends where a holder waits for nothing, or where the chain closes.
    pub fn chain(&self, lock: LockId, actor: ActorId) -> Vec<Wait> {
        let waiting = self.waiting_by_process();
        let (mut chain, mut at) = (Vec::new(), Some((lock, actor)));
        while let Some((lock, actor)) = at {
            let Some(wait) = self.blockers(lock, actor).first().copied() else { break };
            if chain.contains(&wait) {
                break;
            }
            chain.push(wait);
            at = self.pids_of(wait).iter().find_map(|pid| waiting.get(pid)).and_then(|w| w.first().copied());
        }
        chain
    }

    /// Processes that wait for each other in a circle, which nothing but a signal will end: each wait once. The
    /// kernel refuses such waits for POSIX locks (`EDEADLK`, fcntl(2)), but not for the other kinds.
    pub fn deadlock(&self) -> Option<Vec<Wait>> {
        let waiting = self.waiting_by_process();
        if waiting.is_empty() {
            return None;
        }
        // In order, so that it is told the same each time.
        let mut starts: Vec<(LockId, ActorId)> = waiting.values().flatten().copied().collect();
        starts.sort_unstable();
        for start in starts {
            let mut path: Vec<Wait> = Vec::new();
            if self.closes(start, start, &waiting, &mut path, &mut Vec::new()) {
                return Some(path);
            }
        }
        None
    }

    /// Whether waits lead from `at` back to `start`; `path` is the way.
    fn closes(
        &self,
        at: (LockId, ActorId),
        start: (LockId, ActorId),
        waiting: &HashMap<i32, Vec<(LockId, ActorId)>>,
        path: &mut Vec<Wait>,
        seen: &mut Vec<(LockId, ActorId)>,
    ) -> bool {
        seen.push(at);
        if path.len() >= CIRCLE {
            return false;
        }
        for wait in self.blockers(at.0, at.1) {
            path.push(wait);
            let next = self.pids_of(wait).into_iter().filter_map(|pid| waiting.get(&pid)).flatten();
            for onward in next.copied().collect::<Vec<_>>() {
                if onward == start || !seen.contains(&onward) && self.closes(onward, start, waiting, path, seen) {
                    return true;
                }
            }
            path.pop();
        }
        false
    }

    /// Where each process has been waiting for some while. One that also runs in other threads may yet release.
    fn waiting_by_process(&self) -> HashMap<i32, Vec<(LockId, ActorId)>> {
        let mut waiting: HashMap<i32, Vec<(LockId, ActorId)>> = HashMap::new();
        for model in self.models.iter().filter(|m| m.waiting() > 0 && m.holder_count() > 0) {
            let old = self.thresholds.deadlock_time;
            let stuck = |a: &&Actor| a.state.is_waiting() && !a.polls() && a.pid > 0 && model.in_state(a) >= old;
            for actor in model.actors().iter().filter(stuck) {
                waiting.entry(actor.pid).or_default().push((model.lock(), actor.id));
            }
        }
        waiting
    }

    /// The processes that keep what is waited for.
    fn pids_of(&self, wait: Wait) -> Vec<i32> {
        let Some(holder) = self.get(wait.lock).and_then(|m| m.actor(wait.holder)) else { return Vec::new() };
        match &holder.keepers {
            Some(keepers) if !keepers.is_empty() => keepers.iter().map(|k| k.pid).collect(),
            _ => vec![holder.pid],
        }
    }
}

/// Whether what `holder` has keeps `waiter` from what it wants.
fn conflict(waiter: &Actor, holder: &Actor) -> bool {
    use crate::event::LockMode::Shared;
    let shared = waiter.mode() == Shared && holder.mode() == Shared;
    !shared && overlap(waiter, holder)
}

/// Whether two lock the same bytes, or might.
pub(super) fn overlap(a: &Actor, b: &Actor) -> bool {
    match (a.range(), b.range()) {
        (Some((a, a_end)), Some((b, b_end))) => a_end.is_none_or(|e| e >= b) && b_end.is_none_or(|e| e >= a),
        _ => true,
    }
}
