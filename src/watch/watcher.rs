//! The thread that sees: takes in what its eyes tell and what the probe finds out, and makes events of both.
//! It alone has the [`Roster`]; orders come in and events go out through channels.

use super::action::{self, Asked, Wish};
use super::change::{Change, FileId, LockKey};
use super::eyes::{Eyes, kind_in_use};
use super::probe::{self, Fact, Job};
use super::process::{Mark, Names};
use super::roster::{Entry, Informant, Known, Roster};
use crate::event::{ActorId, Event, LockId, LockKind, What};
use crate::lab::clock;
use crate::source::Batch;
use anyhow::{Context, Result};
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, unbounded};
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;

/// The longest that anything takes to be told.
const PATIENCE: Duration = Duration::from_millis(20);
/// How often the probe is given work, in ns.
const PROBE_EVERY_NS: u64 = 250_000_000;
/// Rows that one job is about, of each kind.
const ROWS_A_JOB: usize = 256;
/// Processes named at once when they appear, between two jobs; the rest is named when it is looked at.
const NAMES_A_JOB: usize = 200;
/// The end of a thread is remembered for so long, in ns: the changes that it made come a moment later.
const ENDS_KEPT_NS: u64 = 1_000_000_000;
/// For how long one that has ended is still shown, in ns.
const SHOWN_NS: u64 = 30_000_000_000;

/// What is watched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Files by the paths that the user gave, and what they name; none where a path names nothing for now.
    pub paths: Vec<(PathBuf, Option<FileId>)>,
    /// Processes whose locks are watched.
    pub pids: Vec<i32>,
}

impl Wanted {
    /// Every lock of the system.
    pub fn is_all(&self) -> bool {
        self.paths.is_empty() && self.pids.is_empty()
    }
}

/// What the main thread tells the watcher.
#[derive(Debug)]
pub enum Order {
    /// These events, in their place.
    Say(Event),
    /// This lock, or these rows of the list, are looked at.
    Look(Option<LockId>, Vec<LockId>),
    /// To ask before something is done to the holders of a lock, or to one actor at it.
    Ask(action::Deed, LockId, Option<ActorId>),
    /// We sent SIGKILL to this process, which began at this clock tick since boot.
    Killed((i32, u64)),
    /// It is over.
    Stop,
}

/// The main thread's ends of the channels.
#[derive(Debug)]
pub struct Link {
    /// To the watcher.
    pub orders: Sender<Order>,
    /// What was seen.
    pub batches: Receiver<Batch>,
    /// Questions.
    pub asked: Receiver<Asked>,
    /// The thread; gives what ended it, if that was not an order.
    pub thread: Option<JoinHandle<Result<()>>>,
}

/// Batches under way to the loop.
const BATCHES: usize = 256;

/// Names what appears at once, as long as that is not too much at a time.
#[derive(Debug)]
struct Namer {
    names: Names,
    budget: usize,
}

impl Informant for Namer {
    fn process(&mut self, pid: i32) -> Option<Known> {
        self.budget = self.budget.checked_sub(1)?;
        probe::known(&mut self.names, pid)
    }

    fn path(&mut self, file: FileId, pid: i32) -> Option<String> {
        self.budget = self.budget.checked_sub(1).filter(|_| pid > 0)?;
        probe::path_of(file, &[pid])
    }
}

#[derive(Debug)]
struct Watcher {
    epoch: u64,
    eyes: Eyes,
    roster: Roster,
    names: Namer,
    wanted: Wanted,
    /// Files that are looked at, where not all are.
    files: Vec<FileId>,
    on_screen: bool,
    opened: Option<LockId>,
    visible: Vec<LockId>,
    /// Processes that we sent SIGKILL to, and when they began.
    killed: HashSet<(i32, u64)>,
    /// Threads that were seen to end, and when.
    ended: HashMap<i32, u64>,
    lost: u64,
    refused: u64,
    batch: Vec<Event>,
    probed: u64,
    probing: bool,
    /// Where the next look for dead processes goes on.
    turn: usize,
    jobs: Sender<Job>,
    facts: Receiver<Fact>,
    wish: Option<(action::Deed, LockId, Option<ActorId>)>,
}

/// Starts to see. What is held already comes first.
///
/// # Errors
/// No thread is to be had.
pub fn spawn(epoch: u64, eyes: Eyes, wanted: Wanted, files: Vec<FileId>) -> Result<Link> {
    let (orders, ordered) = unbounded();
    let (to_us, batches) = bounded(BATCHES);
    let (to_main, asked) = unbounded();
    let (jobs, to_do) = bounded(1);
    let (to_watcher, facts) = unbounded();
    probe::spawn(to_do, to_watcher, to_main)?;
    let mut watcher = Watcher {
        epoch,
        roster: Roster::new(epoch, eyes.is_exact()),
        eyes,
        names: Namer { names: Names::new(), budget: NAMES_A_JOB },
        wanted,
        files,
        on_screen: false,
        opened: None,
        visible: Vec::new(),
        killed: HashSet::new(),
        ended: HashMap::new(),
        lost: 0,
        refused: 0,
        batch: Vec::new(),
        probed: 0,
        probing: false,
        turn: 0,
        jobs,
        facts,
        wish: None,
    };
    let thread = std::thread::Builder::new()
        .name("watcher".into())
        .spawn(move || watcher.run(&ordered, &to_us))
        .context("cannot start the thread that watches")?;
    Ok(Link { orders, batches, asked, thread: Some(thread) })
}

impl Watcher {
    fn run(&mut self, orders: &Receiver<Order>, to: &Sender<Batch>) -> Result<()> {
        crate::panic_if_asked("watcher");
        self.announce();
        let mut changes: Vec<Change> = Vec::new();
        loop {
            changes.clear();
            self.eyes.see(PATIENCE, &mut changes)?;
            self.fold(&changes);
            self.ended.extend(self.eyes.ended().into_iter().map(|(t, tid)| (tid, t)));
            while let Ok(fact) = self.facts.try_recv() {
                self.take(fact)?;
            }
            loop {
                match orders.try_recv() {
                    Ok(Order::Stop) => {
                        changes.clear();
                        self.eyes.finish(&mut changes);
                        self.fold(&changes);
                        self.send(to);
                        return Ok(());
                    }
                    Ok(order) => self.obey(order),
                    Err(crossbeam_channel::TryRecvError::Empty) => break,
                    Err(crossbeam_channel::TryRecvError::Disconnected) => return Ok(()),
                }
            }
            self.count_lost();
            self.give_work();
            if !self.send(to) {
                return Ok(());
            }
        }
    }

    /// Hands on what was seen; `false` where nobody wants it any more. Waits where the loop is behind: then the
    /// kernel's rings fill, and what they lose is counted.
    fn send(&mut self, to: &Sender<Batch>) -> bool {
        if self.batch.is_empty() {
            return true;
        }
        let events = std::mem::take(&mut self.batch);
        to.send(Batch { events, mark: None }).is_ok()
    }

    /// Files that were named are known from the start, used or not.
    fn announce(&mut self) {
        let now = clock::now();
        for (path, file) in &self.wanted.paths {
            let Some(file) = file else { continue };
            self.roster.call(*file, &path.display().to_string());
            let kind = kind_in_use(*file).unwrap_or(LockKind::Flock);
            self.roster.announce(now, LockKey { file: *file, family: kind.into() }, kind, &mut self.batch);
        }
    }

    fn fold(&mut self, changes: &[Change]) {
        if self.batch.is_empty() {
            self.roster.begin_batch();
        }
        for change in changes {
            self.roster.apply(change, &mut self.names, &mut self.batch);
        }
    }

    fn say(&mut self, lock: LockId, actor: ActorId, pid: i32, what: What) {
        let t = clock::now().saturating_sub(self.epoch);
        self.batch.push(Event { t, lock, actor, pid, what });
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Say(event) => self.batch.push(event),
            Order::Look(opened, visible) => (self.on_screen, self.opened, self.visible) = (true, opened, visible),
            Order::Ask(deed, lock, actor) => {
                self.wish = Some((deed, lock, actor));
                self.probed = 0;
            }
            Order::Killed(process) => drop(self.killed.insert(process)),
            Order::Stop => {}
        }
    }

    fn count_lost(&mut self) {
        let lost = self.eyes.lost();
        if let Some(count) = lost.checked_sub(self.lost).filter(|n| *n > 0) {
            self.lost = lost;
            self.say(0, 0, 0, What::Dropped { count });
        }
        if self.refused == 0 && self.roster.refused() > 0 {
            self.refused = self.roster.refused();
            let text = "more locks are in use than can be told apart; name those that matter".to_owned();
            self.say(0, 0, 0, What::Warning { text });
        }
    }

    /// Gives the probe its next job where it has done the last one.
    fn give_work(&mut self) {
        let now = clock::now();
        if self.probing || now.saturating_sub(self.probed) < PROBE_EVERY_NS {
            return;
        }
        self.end_rows(now);
        self.roster.remove_ended(now.saturating_sub(SHOWN_NS), now, &mut self.batch);
        self.names.budget = NAMES_A_JOB;
        let job = self.job();
        match self.jobs.try_send(job) {
            Ok(()) => (self.probing, self.probed) = (true, now),
            // The one before is not done, which the flag should have told.
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => self.probing = false,
        }
    }

    /// Ends the rows of threads whose end was seen: by the next look their numbers may be others'.
    fn end_rows(&mut self, now: u64) {
        if self.ended.is_empty() {
            return;
        }
        let over = |e: &Entry| self.ended.get(&e.task.tid).is_some_and(|t| *t >= e.acted);
        let (idle, active): (Vec<_>, Vec<_>) =
            self.roster.entries().filter(|e| !e.over && over(e)).partition(|e| e.holds.is_none() && !e.waits);
        for entry in idle {
            self.end_row(now, &entry);
        }
        // What they did last may not have been told yet; or another keeps their lock.
        let kept: HashSet<i32> = active.iter().map(|e| e.task.tid).collect();
        self.ended.retain(|tid, t| now.saturating_sub(*t) < ENDS_KEPT_NS || kept.contains(tid));
    }

    fn end_row(&mut self, now: u64, entry: &Entry) {
        let killed = |mark: Mark| self.killed.contains(&(entry.task.pid, mark.start));
        let signal = entry.mark.is_some_and(killed).then_some(9);
        self.roster.ended(now, entry, signal, &mut self.batch);
    }

    fn job(&mut self) -> Job {
        let looked: HashSet<LockId> = match self.opened {
            Some(lock) => HashSet::from([lock]),
            None => self.visible.iter().copied().collect(),
        };
        // Where no screen says what it shows, all of it matters.
        let everything = !self.on_screen;
        let mut job = Job { paths: self.wanted.paths.clone(), pids: self.wanted.pids.clone(), ..Job::default() };
        let mut nameless: HashMap<LockId, (LockKey, Vec<i32>)> = HashMap::new();
        let entries: Vec<Entry> = self.roster.entries().filter(|e| !e.over).collect();
        for entry in &entries {
            let (active, seen) = (entry.holds.is_some() || entry.waits, everything || looked.contains(&entry.lock));
            if active && !self.roster.is_named(entry.lock) && (seen || entry.waits) {
                nameless.entry(entry.lock).or_insert((entry.key, Vec::new())).1.push(entry.task.pid);
            }
            if active && seen && job.active.len() < ROWS_A_JOB {
                job.active.push(entry.clone());
            }
            if entry.mark.is_none() && active && (seen || entry.waits) && job.unnamed.len() < ROWS_A_JOB {
                job.unnamed.push(entry.clone());
            }
        }
        let idle: Vec<&Entry> = entries.iter().filter(|e| e.holds.is_none() && !e.waits).collect();
        if !idle.is_empty() {
            let from = self.turn % idle.len();
            let some = idle.iter().cycle().skip(from).take(idle.len().min(ROWS_A_JOB));
            job.idle = some.map(|e| (*e).clone()).collect();
            self.turn = from + job.idle.len();
        }
        job.nameless = nameless.into_iter().take(ROWS_A_JOB).map(|(id, (key, pids))| (id, key, pids)).collect();
        job.ask = self.wish.take().map(|(deed, lock, actor)| self.wish_of(deed, lock, actor, &entries));
        job
    }

    fn wish_of(&self, deed: action::Deed, lock: LockId, actor: Option<ActorId>, entries: &[Entry]) -> Wish {
        let at_lock = entries.iter().filter(|e| e.lock == lock);
        let rows = match actor {
            Some(actor) => at_lock.filter(|e| e.actor == actor).cloned().collect(),
            None => at_lock.filter(|e| e.holds.is_some()).cloned().collect(),
        };
        Wish { deed, rows }
    }

    fn take(&mut self, fact: Fact) -> Result<()> {
        let now = clock::now();
        match fact {
            Fact::Done => self.probing = false,
            Fact::Named(entry, known) => self.roster.name_row(now, &entry, known, &mut self.batch),
            Fact::Path(id, key, name) => {
                if self.roster.number(key) == Some(id) {
                    self.roster.call(key.file, &name);
                    let kind = self.roster.kind(id);
                    self.roster.name_lock(now, id, name, kind, &mut self.batch);
                }
            }
            Fact::Keepers(entry, keepers) => {
                if self.roster.holds(&entry) {
                    self.say(entry.lock, entry.actor, entry.task.pid, What::Keepers(keepers.into()));
                }
            }
            Fact::Condition(entry, condition) => {
                self.say(entry.lock, entry.actor, entry.task.pid, What::Condition(condition));
            }
            Fact::Stopped(entry, stopped) => {
                let what = if stopped { What::Stopped } else { What::Continued };
                self.say(entry.lock, entry.actor, entry.task.pid, what);
            }
            Fact::Ended(entry) => self.end_row(now, &entry),
            Fact::PathIs(path, file) => self.follow(path, file)?,
            Fact::Files(files) => {
                if files.iter().any(|f| !self.files.contains(f)) {
                    self.files.extend(files);
                    self.files.sort_unstable();
                    self.files.dedup();
                    self.eyes.look_at(Some(&self.files))?;
                }
            }
        }
        Ok(())
    }

    /// The path names another file than it did: from now on both are watched, since both may be locked.
    fn follow(&mut self, path: PathBuf, file: Option<FileId>) -> Result<()> {
        let Some(entry) = self.wanted.paths.iter_mut().find(|(p, _)| *p == path) else { return Ok(()) };
        entry.1 = file;
        let name = path.display().to_string();
        let former: Vec<LockId> = self.roster.called(&name).collect();
        for lock in &former {
            let was = self.roster.inode(*lock);
            self.say(*lock, 0, 0, What::PathChanged { was, now: file.map(|f| f.inode) });
        }
        let Some(file) = file else { return Ok(()) };
        self.roster.call(file, &name);
        if !self.files.contains(&file) {
            self.files.push(file);
            self.eyes.look_at(Some(&self.files))?;
        }
        // Whatever locked the one before will lock this one in the same way.
        let mut kinds: Vec<LockKind> = former.iter().map(|id| self.roster.kind(*id)).collect();
        if kinds.is_empty() {
            kinds.push(LockKind::Flock);
        }
        for kind in kinds {
            self.roster.announce(clock::now(), LockKey { file, family: kind.into() }, kind, &mut self.batch);
        }
        Ok(())
    }
}
