//! All locks of a run: one [`Model`] each, and who waits for whom across them.

use super::{Actor, Model};
use crate::event::thresholds::Thresholds;
use crate::event::{ActorId, Begin, Event, LockId, LockInfo, MAX_LOCKS, What};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// Where it is not known which thread of a process holds, which waits, and who shares what is held, another one may
/// yet release: a circle must be so many times as old.
const UNSURE: u64 = 20;

/// Who waits where.
type Place = (LockId, ActorId);

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
    /// Acquisitions that the models count no more.
    forgotten: u64,
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
        Self { begin, models, files, thresholds, none, forgotten: 0, now: 0 }
    }

    /// Takes in one event; one at a lock that was never announced is nobody's.
    pub fn apply(&mut self, event: &Event) {
        let latest = match &event.what {
            What::Turns(turns) => turns.last().map_or(event.t, |turn| turn.t),
            _ => event.t,
        };
        self.now = self.now.max(latest);
        if event.what.is_of_the_run(event.actor) {
            if event.what == What::Reset {
                self.forgotten = self.acquisitions_ever();
            }
            self.none.apply(event);
            self.models.iter_mut().for_each(|m| m.apply(event));
            return;
        }
        if let What::Announced(info) = &event.what {
            self.announce(event, info);
        }
        if let Some(model) = self.models.get_mut(event.lock as usize) {
            model.apply(event);
        }
    }

    /// Makes room for a lock that is new, also in the place of one whose number it has, which nobody used any more.
    fn announce(&mut self, event: &Event, info: &LockInfo) {
        let place = event.lock as usize;
        match self.models.get(place) {
            Some(model) if model.info().file == info.file => return,
            Some(model) => {
                self.forgotten += model.acquisitions();
                if let Some(file) = &model.info().file
                    && let Some(ids) = self.files.get_mut(file)
                {
                    ids.retain(|id| *id != event.lock);
                    if ids.is_empty() {
                        self.files.remove(file);
                    }
                }
            }
            None if place == self.models.len() && event.lock < MAX_LOCKS => {}
            None => return,
        }
        // What holds for the whole run, such as a pause, holds for it too.
        let mut fresh = Model { id: event.lock, info: info.clone(), ..self.none.clone() };
        fresh.advance(event.t);
        match self.models.get_mut(place) {
            Some(model) => *model = fresh,
            None => self.models.push(fresh),
        }
        if let Some(file) = &info.file {
            self.files.entry(file.clone()).or_default().push(event.lock);
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

    /// Events lost on their way, of which nobody knows at which lock; each lock counts them as its own too.
    pub fn lost(&self) -> u64 {
        self.none.dropped()
    }

    /// Acquisitions of all locks since the statistics began.
    pub fn acquisitions(&self) -> u64 {
        self.models.iter().map(Model::acquisitions).sum()
    }

    /// Acquisitions of all locks since the run began, statistics forgotten since or not.
    pub fn acquisitions_ever(&self) -> u64 {
        self.forgotten + self.acquisitions()
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
        let waiting = self.waits_of_holders(self.thresholds.deadlock_time);
        let (mut chain, mut at) = (Vec::new(), Some((lock, actor)));
        while let Some((lock, actor)) = at {
            let Some(wait) = self.blockers(lock, actor).first().copied() else { break };
            if chain.contains(&wait) {
                break;
            }
            chain.push(wait);
            at = self.onward(wait, &waiting, Link::Likely).first().copied();
        }
        chain
    }

    /// Where the one who holds `lock` as `actor` waits itself, at another lock; of several the longest. Where threads are told
    /// apart it is the very thread.
    pub fn waits_elsewhere(&self, lock: LockId, actor: ActorId) -> Option<(LockId, ActorId)> {
        let holder = self.get(lock)?.actor(actor).filter(|a| a.state.is_holding())?;
        let pids: Vec<i32> = owners(holder).collect();
        let other_thread = |a: &Actor| matches!((a.thread(), holder.thread()), (Some(a), Some(b)) if a != b);
        let it =
            |a: &&Actor| a.state.is_waiting() && pids.contains(&a.pid) && !(a.pid == holder.pid && other_thread(a));
        let others = self.models.iter().filter(|m| m.waiting() > 0 && m.lock() != lock);
        let waits = others.flat_map(|m| m.actors().iter().filter(it).map(|a| (m.in_state(a), (m.lock(), a.id))));
        waits.max_by_key(|(ns, _)| *ns).map(|(_, place)| place)
    }

    /// Processes that wait for each other in a circle, which nothing but a signal will end: each wait once, that at
    /// the lock with the lowest number first. The kernel refuses such waits for POSIX locks (`EDEADLK`, fcntl(2)), but
    /// not for the other kinds. Threads of a process that take turns are no circle: a holder waits only where its
    /// very thread does. Where threads are not told apart, two processes or more are a circle if it lasts.
    pub fn deadlock(&self) -> Option<Vec<Wait>> {
        let old = self.thresholds.deadlock_time;
        self.circle(old, Link::Sure).or_else(|| self.circle(old.saturating_mul(UNSURE), Link::Likely))
    }

    fn circle(&self, old: u64, least: Link) -> Option<Vec<Wait>> {
        let waiting = self.waits_of_holders(old);
        let mut starts: Vec<Place> = waiting.values().flatten().copied().collect();
        starts.sort_unstable();
        let ways = |(lock, actor): Place| {
            let waits = self.blockers(lock, actor).into_iter();
            waits.flat_map(|wait| self.onward(wait, &waiting, least).into_iter().map(move |to| (wait, to))).collect()
        };
        let mut circle = circle(&starts, ways)?;
        let first = (0..circle.len()).min_by_key(|n| circle.get(*n).map(|w| (w.lock, w.waiter)));
        circle.rotate_left(first.unwrap_or(0));
        Some(circle)
    }

    fn actor(&self, (lock, actor): Place) -> Option<&Actor> {
        self.get(lock)?.actor(actor)
    }

    /// Where what `wait` is for waits itself.
    fn onward(&self, wait: Wait, waiting: &BTreeMap<i32, Vec<Place>>, least: Link) -> Vec<Place> {
        let ends = (self.actor((wait.lock, wait.waiter)), self.actor((wait.lock, wait.holder)));
        let (Some(waiter), Some(holder)) = ends else { return Vec::new() };
        let linked = |at: &Place| self.actor(*at).is_some_and(|next| link(waiter, holder, next) >= Some(least));
        owners(holder).filter_map(|pid| waiting.get(&pid)).flatten().copied().filter(linked).collect()
    }

    /// Where each process has waited for `old` ns or more that also has what others wait for: only such a one can be
    /// part of a circle. Mostly there is none, and this is all that is looked at, each frame, of thousands.
    fn waits_of_holders(&self, old: u64) -> BTreeMap<i32, Vec<Place>> {
        let wanted = || self.models.iter().filter(|m| m.waiting() > 0 && m.holder_count() > 0);
        let mut holding: Vec<i32> = wanted().flat_map(Model::holders).flat_map(owners).collect();
        holding.sort_unstable();
        let mut waiting: BTreeMap<i32, Vec<Place>> = BTreeMap::new();
        for model in wanted() {
            let stuck = |a: &&Actor| a.state.is_waiting() && !a.polls() && a.pid > 0 && model.in_state(a) >= old;
            let holds = |a: &&Actor| holding.binary_search(&a.pid).is_ok();
            for actor in model.actors().iter().filter(stuck).filter(holds) {
                waiting.entry(actor.pid).or_default().push((model.lock(), actor.id));
            }
        }
        waiting
    }
}

/// How well it is known that one who waits must get on before a lock is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Link {
    /// It is of the same process, or shares the open file.
    Likely,
    /// It is the thread that took the lock.
    Sure,
}

/// Whether `holder`, for whom `waiter` waits, waits itself as `next`, which is of one of its [`owners`].
fn link(waiter: &Actor, holder: &Actor, next: &Actor) -> Option<Link> {
    if next.pid != holder.pid {
        return Some(Link::Likely);
    }
    match (holder.thread(), next.thread()) {
        (Some(a), Some(b)) => (a == b).then_some(Link::Sure),
        // As likely as not two threads of one process that take turns.
        _ => (waiter.pid != holder.pid).then_some(Link::Likely),
    }
}

/// The processes that keep what `holder` took.
fn owners(holder: &Actor) -> impl Iterator<Item = i32> {
    let keepers = holder.keepers.as_deref().unwrap_or_default();
    let taker = keepers.is_empty().then_some(holder.pid);
    keepers.iter().map(|k| k.pid).chain(taker)
}

/// The first way found that leads round, from `starts` in their order; no place is looked at twice.
fn circle(starts: &[Place], ways: impl Fn(Place) -> Vec<(Wait, Place)>) -> Option<Vec<Wait>> {
    struct Step {
        at: Place,
        by: Option<Wait>,
        ways: Vec<(Wait, Place)>,
    }
    let step = |at| Step { at, by: None, ways: ways(at) };
    let mut seen = HashSet::new();
    for start in starts {
        let mut path: Vec<Step> = seen.insert(*start).then(|| step(*start)).into_iter().collect();
        while let Some(last) = path.last_mut() {
            let Some((wait, to)) = last.ways.pop() else {
                path.pop();
                continue;
            };
            last.by = Some(wait);
            if seen.insert(to) {
                path.push(step(to));
            } else if let Some(from) = path.iter().position(|s| s.at == to) {
                return Some(path.drain(from..).filter_map(|s| s.by).collect());
            }
        }
    }
    None
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

#[cfg(test)]
mod tests;
