//! The thread that sees: takes in what its eyes tell and what the probe finds out, and makes events of both.
//! It alone has the [`Roster`]; orders come in and events go out through channels.

use super::action::{Asked, Intent, Wish};
use super::aside::Aside;
use super::change::{Change, FileId, LockKey};
use super::eyes::{Eyes, kind_in_use};
use super::probe::{self, Fact, Job, Nameless};
use super::process::{Mark, Names};
use super::roster::{Entry, Informant, Known, Roster};
use crate::clock;
use crate::event::{ActorId, Event, LockId, LockKind, What};
use crate::source::{Batch, Children};
use anyhow::{Context, Result};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use std::collections::{HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;

mod scope;

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
    /// Processes whose locks are watched, and when each began, in clock ticks since boot.
    pub pids: Vec<(i32, u64)>,
}

/// What the main thread tells the watcher.
#[derive(Debug)]
pub enum Order {
    /// These events, in their place.
    Say(Event),
    /// This lock, or these rows of the list, are looked at; of that lock, this one in detail.
    Look(Option<LockId>, Vec<LockId>, Option<ActorId>),
    /// To ask before something is done to the holders of a lock, or to one actor at it.
    Ask(Intent, LockId, Option<ActorId>),
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
    /// Children of the one in detail.
    pub children: Receiver<(LockId, ActorId, Children)>,
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
}

#[derive(Debug)]
struct Watcher {
    epoch: u64,
    eyes: Eyes,
    roster: Roster,
    names: Namer,
    wanted: Wanted,
    /// Files that are watched, where not all are.
    files: HashSet<FileId>,
    /// Processes are watched: all that is seen goes by here, and what is not of those files is kept aside.
    by_pid: bool,
    aside: Aside,
    /// The file that each path named last.
    named: HashMap<PathBuf, FileId>,
    /// When paths came to name other files of late; none once that was said to be often.
    moves: Option<VecDeque<u64>>,
    /// When files were last looked over that nobody wants any more.
    pruned: u64,
    on_screen: bool,
    opened: Option<LockId>,
    visible: Vec<LockId>,
    in_detail: Option<ActorId>,
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
    wish: Option<(Intent, LockId, Option<ActorId>)>,
}

/// Starts to see. What is held already comes first.
///
/// # Errors
/// No thread is to be had.
pub fn spawn(epoch: u64, eyes: Eyes, wanted: Wanted, files: Vec<FileId>) -> Result<Link> {
    let (orders, ordered) = unbounded();
    let (to_us, batches) = bounded(BATCHES);
    let ((ask, asked), (tell, children)) = (unbounded(), unbounded());
    let (jobs, to_do) = bounded(1);
    let (to_watcher, facts) = unbounded();
    probe::spawn(to_do, to_watcher, probe::ToMain { asked: ask, children: tell })?;
    let mut watcher = Watcher {
        epoch,
        roster: Roster::new(epoch, eyes.is_exact()),
        eyes,
        by_pid: !wanted.pids.is_empty(),
        aside: Aside::default(),
        named: HashMap::new(),
        moves: Some(VecDeque::new()),
        pruned: epoch,
        names: Namer { names: Names::new(), budget: NAMES_A_JOB },
        wanted,
        files: files.into_iter().collect(),
        on_screen: false,
        opened: None,
        visible: Vec::new(),
        in_detail: None,
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
    Ok(Link { orders, batches, asked, children, thread: Some(thread) })
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
            self.prune(clock::now())?;
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
            self.named.insert(path.clone(), *file);
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
            if self.is_wanted(change) {
                self.roster.apply(change, &mut self.names, &mut self.batch);
            } else {
                self.aside.note(change);
            }
        }
    }

    fn say(&mut self, lock: LockId, actor: ActorId, pid: i32, what: What) {
        let t = clock::now().saturating_sub(self.epoch);
        self.batch.push(Event { t, lock, actor, pid, what });
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Say(event) => self.batch.push(event),
            Order::Look(opened, visible, in_detail) => {
                if in_detail.is_some() && in_detail != self.in_detail {
                    self.probed = 0;
                }
                (self.on_screen, self.opened, self.visible, self.in_detail) = (true, opened, visible, in_detail);
            }
            Order::Ask(intent, lock, actor) => {
                self.wish = Some((intent, lock, actor));
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
        if self.probing {
            return;
        }
        if now.saturating_sub(self.probed) < PROBE_EVERY_NS {
            // Who holds a lock now may have let go of it by the next job.
            let fresh: HashSet<LockId> = self.roster.take_nameless().into_iter().collect();
            if !fresh.is_empty() {
                let entries: Vec<Entry> = self.roster.entries().filter(|e| fresh.contains(&e.lock)).collect();
                let nameless = self.nameless(now, &entries, |_| true);
                if !nameless.is_empty() {
                    self.give(Job { nameless, ..Job::default() });
                }
            }
            return;
        }
        self.end_rows(now);
        self.roster.remove_ended(now.saturating_sub(SHOWN_NS), now, &mut self.batch);
        self.names.budget = NAMES_A_JOB;
        let job = self.job(now);
        if self.give(job) {
            self.probed = now;
        }
    }

    fn give(&mut self, job: Job) -> bool {
        // One that is not taken: the one before is not done, which the flag should have told.
        self.probing = self.jobs.try_send(job).is_ok();
        self.probing
    }

    /// The locks of these rows that have no name and are `wanted`, or whose name may be a former file's.
    fn nameless(&mut self, now: u64, entries: &[Entry], wanted: impl Fn(&Entry) -> bool) -> Vec<Nameless> {
        let mut nameless: HashMap<LockId, Nameless> = HashMap::new();
        for entry in entries.iter().filter(|e| (e.holds.is_some() || e.waits) && wanted(e)) {
            let (id, key) = (entry.lock, entry.key);
            let known = self.roster.name(id).map(str::to_owned);
            if let Some(lock) = nameless.get_mut(&id) {
                lock.pids.push(entry.task.pid);
            } else if nameless.len() < ROWS_A_JOB
                && !self.roster.is_given(key.file)
                && (known.is_none() || self.roster.is_name_stale(id, now))
            {
                nameless.insert(id, Nameless { id, key, name: known, pids: vec![entry.task.pid] });
            }
        }
        nameless.into_values().collect()
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

    fn job(&mut self, now: u64) -> Job {
        let looked: HashSet<LockId> = match self.opened {
            Some(lock) => HashSet::from([lock]),
            None => self.visible.iter().copied().collect(),
        };
        // Where no screen says what it shows, all of it matters.
        let everything = !self.on_screen;
        let mut job = Job { paths: self.wanted.paths.clone(), pids: self.wanted.pids.clone(), ..Job::default() };
        let entries: Vec<Entry> = self.roster.entries().filter(|e| !e.over).collect();
        let pids: HashSet<i32> = entries.iter().map(|e| e.task.pid).collect();
        self.names.names.retain(|pid| pids.contains(&pid));
        for entry in &entries {
            let (active, seen) = (entry.holds.is_some() || entry.waits, everything || looked.contains(&entry.lock));
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
        self.roster.take_nameless();
        job.nameless = self.nameless(now, &entries, |e| everything || looked.contains(&e.lock) || e.waits);
        job.detail = self
            .in_detail
            .and_then(|id| entries.iter().find(|e| Some(e.lock) == self.opened && e.actor == id).cloned());
        job.ask = self.wish.take().map(|(intent, lock, actor)| self.wish_of(intent, lock, actor, &entries));
        job
    }

    fn wish_of(&self, intent: Intent, lock: LockId, actor: Option<ActorId>, entries: &[Entry]) -> Wish {
        let at_lock = entries.iter().filter(|e| e.lock == lock);
        let rows = match actor {
            Some(actor) => at_lock.filter(|e| e.actor == actor).cloned().collect(),
            None => at_lock.filter(|e| e.holds.is_some()).cloned().collect(),
        };
        Wish { intent, rows }
    }

    fn take(&mut self, fact: Fact) -> Result<()> {
        let now = clock::now();
        match fact {
            Fact::Done => self.probing = false,
            Fact::Named(entry, known) => self.roster.name_row(now, &entry, known, &mut self.batch),
            Fact::Path(id, key, name) => {
                if self.roster.number(key) == Some(id) && !self.roster.is_given(key.file) {
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
            Fact::Unclear(text) => self.say(0, 0, 0, What::Warning { text }),
            // Which they may keep without having taken them.
            Fact::Files(files) => files.into_iter().for_each(|file| self.adopt(file, now)),
            Fact::PidEnded(pid) => {
                self.wanted.pids.retain(|(wanted, _)| *wanted != pid);
                let text = format!("pid {pid} has ended: the files that it locked are watched on, for others");
                self.say(0, 0, 0, What::Warning { text });
            }
        }
        Ok(())
    }
}
