//! Finds out about processes what the seeing itself does not tell: who they are, how they are, which of them keep a
//! lock, what a lock is called. Reading `/proc` takes its time, so it is done in a thread of its own, for what is
//! looked at only, one [`Job`] after the other.

use super::change::{FileId, LockKey};
use super::file_id::{locate, named_now};
use super::process::{self, Mark, Names, Owner, owners, waits};
use super::roster::{Entry, Known};
use crate::clock;
use crate::event::{ActorId, Condition, Keeper, LockId, LockMode};
use crate::source::Children;
use anyhow::{Context, Result};
use crossbeam_channel::{Receiver, Sender};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

/// A scan of all descriptors may take at most one part in so many of the time.
const SCAN_SHARE: u64 = 20;
/// Nor is one made more often, in ns.
const SCAN_EVERY_NS: u64 = 2_000_000_000;
/// Nor are the children of one process, in ns.
const FAMILY_EVERY_NS: u64 = 1_000_000_000;
/// A process hangs in the kernel once it was found so this many times in a row: a second.
const HANGS: u32 = 4;

/// A lock whose name is to be found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nameless {
    /// Its number.
    pub id: LockId,
    /// The lock.
    pub key: LockKey,
    /// What it was called when that was looked at last.
    pub name: Option<String>,
    /// Processes that have the file open.
    pub pids: Vec<i32>,
}

/// What is to be found out.
#[derive(Debug, Default)]
pub struct Job {
    /// Rows of which it is not known who they are.
    pub unnamed: Vec<Entry>,
    /// Rows that hold or wait: how are their processes?
    pub active: Vec<Entry>,
    /// Rows that do neither: do their processes live?
    pub idle: Vec<Entry>,
    /// Locks without a name, or whose name may be another file's by now.
    pub nameless: Vec<Nameless>,
    /// Paths that were named, and what each was when it was last looked at.
    pub paths: Vec<(PathBuf, Option<FileId>)>,
    /// Processes whose locks are wanted, and when each began, in clock ticks since boot.
    pub pids: Vec<(i32, u64)>,
    /// The row that is shown in detail.
    pub detail: Option<Entry>,
    /// Signals to be asked about.
    pub ask: Option<super::action::Wish>,
}

/// What was found out.
#[derive(Debug)]
pub enum Fact {
    /// Who a row is.
    Named(Entry, Known),
    /// What a lock is called.
    Path(LockId, LockKey, String),
    /// Who keeps the lock of a row.
    Keepers(Entry, Vec<Keeper>),
    /// How the process of a row is.
    Condition(Entry, Condition),
    /// The process of a row was stopped, or goes on.
    Stopped(Entry, bool),
    /// The process of a row has ended.
    Ended(Entry),
    /// The path names this file now, or nothing.
    PathIs(PathBuf, Option<FileId>),
    /// What a path names cannot be found out, and why.
    Unclear(String),
    /// The files that the wanted processes hold or wait for locks on.
    Files(Vec<FileId>),
    /// A wanted process has ended; its pid may be another's.
    PidEnded(i32),
    /// All of the job was done.
    Done,
}

/// How a process was when it was looked at last, so that only changes are said.
#[derive(Clone, Debug)]
struct Life {
    /// The row of which it was said.
    entry: Entry,
    condition: Condition,
    stopped: bool,
    /// How often in a row it was found uninterruptible: anyone is for a moment.
    hangs: u32,
}

/// The probe and what it remembers.
#[derive(Debug)]
struct Probe {
    names: Names,
    /// How those that hold and wait were last.
    lives: HashMap<(i32, LockId, u32), Life>,
    keepers: HashMap<(LockId, u32), (u64, Vec<Keeper>)>,
    scanned: u64,
    scan_cost: u64,
    /// Paths of which it was said that they cannot be looked up.
    unclear: HashSet<PathBuf>,
    /// Whose children were read last, and when.
    family: Option<(LockId, ActorId, i32, u64)>,
    facts: Sender<Fact>,
    to_main: ToMain,
}

/// What the main thread is told without the watcher: answers to what its user looks at.
#[derive(Clone, Debug)]
pub struct ToMain {
    /// Questions.
    pub asked: Sender<super::action::Asked>,
    /// Children of the process that is shown in detail.
    pub children: Sender<(LockId, ActorId, Children)>,
}

/// Starts the thread; it ends when nobody gives it jobs any more.
///
/// # Errors
/// No thread is to be had.
pub fn spawn(jobs: Receiver<Job>, facts: Sender<Fact>, to_main: ToMain) -> Result<()> {
    let mut probe = Probe::new(facts, to_main);
    let run = move || {
        for job in jobs {
            crate::panic_if_asked("probe");
            // Nobody listens any more: the watch is over.
            if probe.work(&job).is_none() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("probe".into()).spawn(run).context("cannot start the thread that reads /proc")?;
    Ok(())
}

impl Probe {
    fn new(facts: Sender<Fact>, to_main: ToMain) -> Self {
        let (lives, keepers, unclear) = (HashMap::new(), HashMap::new(), HashSet::new());
        Self { names: Names::new(), lives, keepers, scanned: 0, scan_cost: 0, unclear, family: None, facts, to_main }
    }

    fn tell(&self, fact: Fact) -> Option<()> {
        self.facts.send(fact).ok()
    }

    fn work(&mut self, job: &Job) -> Option<()> {
        if let Some(wish) = &job.ask {
            // Where nobody waits for the answer any more, the watch is over.
            self.to_main.asked.send(super::action::prepare(wish, &mut self.names)).ok()?;
        }
        let rows = || job.unnamed.iter().chain(&job.active).chain(&job.idle);
        let pids: HashSet<i32> = rows().map(|e| e.task.pid).collect();
        self.names.retain(|pid| pids.contains(&pid));
        self.children(job.detail.as_ref())?;
        for entry in &job.unnamed {
            if let Some(known) = known(&mut self.names, entry.task.pid) {
                self.tell(Fact::Named(entry.clone(), known))?;
            }
        }
        for (path, was) in &job.paths {
            self.look_up(path, *was)?;
        }
        let lives = |start: u64, pid| process::life(pid).is_some_and(|l| l.mark.start == start && l.state != 'Z');
        let (live, ended): (Vec<_>, Vec<_>) = job.pids.iter().partition(|(pid, start)| lives(*start, *pid));
        for (pid, _) in ended {
            self.tell(Fact::PidEnded(pid))?;
        }
        if !live.is_empty() {
            let pids: Vec<i32> = live.into_iter().map(|(pid, _)| pid).collect();
            self.tell(Fact::Files(files_of(&pids)))?;
        }
        self.lives(job)?;
        for entry in &job.idle {
            if entry.task.pid <= 0 {
                continue;
            }
            match process::life(entry.task.pid) {
                Some(life) if life.state != 'Z' && entry.was_done_by(life.mark) => self.rename(entry, life.mark)?,
                // It is gone, and its pid may be another's.
                _ => self.tell(Fact::Ended(entry.clone()))?,
            }
        }
        self.paths(job)?;
        self.keepers(job)?;
        self.tell(Fact::Done)
    }

    /// Whether a path names another file than it `was`. One that cannot be followed is taken to name what it did.
    fn look_up(&mut self, path: &Path, was: Option<FileId>) -> Option<()> {
        match named_now(path) {
            Ok(now) if now != was => self.tell(Fact::PathIs(path.to_owned(), now)),
            Ok(_) => Some(()),
            Err(_) if self.unclear.contains(path) => Some(()),
            Err(why) => {
                self.unclear.insert(path.to_owned());
                let text = format!("{why:#}; until then {} is taken to name the file that it named", path.display());
                self.tell(Fact::Unclear(text))
            }
        }
    }

    /// The children of the one that is shown in detail: at once, then now and then.
    fn children(&mut self, detail: Option<&Entry>) -> Option<()> {
        let Some(entry) = detail else {
            self.family = None;
            return Some(());
        };
        let (now, whose) = (clock::now(), (entry.lock, entry.actor, entry.task.pid));
        let fresh = |&(lock, actor, pid, read): &(LockId, ActorId, i32, u64)| {
            (lock, actor, pid) == whose && now.saturating_sub(read) < FAMILY_EVERY_NS
        };
        if self.family.as_ref().is_some_and(fresh) {
            return Some(());
        }
        self.family = Some((entry.lock, entry.actor, entry.task.pid, now));
        match process::descendants::of(entry) {
            Some(children) => self.to_main.children.send((entry.lock, entry.actor, children)).ok(),
            None => Some(()),
        }
    }

    /// What locks are called. One process may hold thousands: its descriptors are gone through once for all of them.
    fn paths(&self, job: &Job) -> Option<()> {
        // A name that leads to the file is right, whatever others there are.
        let right = |lock: &&Nameless| {
            let file = lock.name.as_ref().and_then(|name| locate(Path::new(name)).ok());
            file.is_none_or(|located| located.id != lock.key.file)
        };
        let nameless: Vec<&Nameless> = job.nameless.iter().filter(right).collect();
        let pids: HashSet<i32> = nameless.iter().flat_map(|lock| &lock.pids).copied().filter(|pid| *pid > 0).collect();
        let files: HashSet<FileId> = nameless.iter().map(|lock| lock.key.file).collect();
        let mut at: HashMap<FileId, (i32, i32)> = HashMap::new();
        for owner in owners::scan_among(pids, None).owners {
            if files.contains(&owner.file) {
                at.entry(owner.file).or_insert((owner.pid, owner.fd));
            }
        }
        for lock in nameless {
            let held = at.get(&lock.key.file).and_then(|(pid, fd)| owners::path_of(*pid, *fd));
            let name = held.map(|path| called(&path)).or_else(|| path_of_waiter(lock.key.file, &lock.pids));
            if let Some(name) = name.filter(|name| lock.name.as_ref() != Some(name)) {
                self.tell(Fact::Path(lock.id, lock.key, name))?;
            }
        }
        Some(())
    }

    /// It became another program (execve(2)), as flock(1) does once it has the lock; or was not named yet.
    fn rename(&mut self, entry: &Entry, mark: Mark) -> Option<()> {
        let changed = entry.mark.is_some_and(|known| !known.is_same(mark));
        match changed.then(|| known(&mut self.names, entry.task.pid)).flatten() {
            Some(known) => self.tell(Fact::Named(entry.clone(), known)),
            None => Some(()),
        }
    }

    fn lives(&mut self, job: &Job) -> Option<()> {
        for entry in job.active.iter().filter(|e| e.task.pid > 0) {
            let life = process::life(entry.task.pid).filter(|l| entry.was_done_by(l.mark));
            let state = life.map(|l| l.state);
            if let Some(life) = life.filter(|l| l.state != 'Z') {
                self.rename(entry, life.mark)?;
            }
            let key = (entry.task.pid, entry.lock, entry.actor);
            let was = self.lives.remove(&key).map(|was| (was.condition, was.stopped, was.hangs));
            let (was_in, was_stopped, hung) = was.unwrap_or_default();
            let hangs = if state == Some('D') { hung.saturating_add(1) } else { 0 };
            let condition = match state {
                None | Some('X' | 'x') => Condition::Gone,
                Some('Z') => Condition::Zombie,
                Some('D') if hangs >= HANGS => Condition::Uninterruptible,
                Some(_) => Condition::Alive,
            };
            let stopped = matches!(state, Some('T' | 't'));
            self.lives.insert(key, Life { entry: entry.clone(), condition, stopped, hangs });
            if condition != was_in {
                self.tell(Fact::Condition(entry.clone(), condition))?;
            }
            if stopped != was_stopped {
                self.tell(Fact::Stopped(entry.clone(), stopped))?;
            }
        }
        let live: HashSet<_> = job.active.iter().map(|e| (e.task.pid, e.lock, e.actor)).collect();
        let to = &self.facts;
        let mut told = Some(());
        self.lives.retain(|key, life| {
            if live.contains(key) {
                return true;
            }
            // Nobody looks at it, or it holds and waits no more; but what was said of it must be taken back.
            let Some(facts) = taken_back(life) else { return true };
            told = facts.into_iter().try_fold((), |(), fact| to.send(fact).ok()).and(told);
            false
        });
        told
    }

    /// Every process that keeps what these rows hold. The rows of one hold are told once, and again when it changes.
    fn keepers(&mut self, job: &Job) -> Option<()> {
        let holders: Vec<&Entry> = job.active.iter().filter(|e| e.holds.is_some()).collect();
        let current: HashSet<_> = holders.iter().map(|e| (e.lock, e.actor)).collect();
        self.keepers.retain(|key, _| current.contains(key));
        let now = clock::now();
        let rest = SCAN_EVERY_NS.max(self.scan_cost.saturating_mul(SCAN_SHARE));
        let fresh = holders.iter().any(|e| self.since(e) != e.holds);
        if holders.is_empty() || now.saturating_sub(self.scanned) < if fresh { rest / 4 } else { rest } {
            return Some(());
        }
        let files: Vec<FileId> = holders.iter().map(|e| e.key.file).collect();
        let scan = owners::scan(Some(&files)).ok();
        self.scanned = now;
        self.scan_cost = clock::now().saturating_sub(now);
        // Where descriptors may not be read, nothing can be said of who else keeps it.
        let Some(scan) = scan.filter(|s| s.refused == 0 || !s.owners.is_empty()) else { return Some(()) };
        for entry in holders {
            let mut found: Vec<Keeper> = Vec::new();
            for owner in scan.owners.iter().filter(|o| keeps(o, entry)) {
                // One process may have it open more than once.
                if found.iter().all(|k| k.pid != owner.pid) {
                    let comm = process::comm(owner.pid).unwrap_or_default();
                    found.push(Keeper { pid: owner.pid, fd: owner.fd, comm });
                }
            }
            if found.is_empty() && scan.refused > 0 {
                continue;
            }
            let since = entry.holds.unwrap_or(0);
            let known = self.keepers.get(&(entry.lock, entry.actor));
            if known.is_none_or(|(s, k)| *s != since || *k != found) {
                self.keepers.insert((entry.lock, entry.actor), (since, found.clone()));
                self.tell(Fact::Keepers(entry.clone(), found))?;
            }
        }
        Some(())
    }

    fn since(&self, entry: &Entry) -> Option<u64> {
        self.keepers.get(&(entry.lock, entry.actor)).map(|(since, _)| *since)
    }
}

/// What has to be said of a process that was said to be stopped or to hang and is no more; none as long as it is. One
/// that has ended is told to have.
fn taken_back(life: &Life) -> Option<Vec<Fact>> {
    let hangs = life.condition == Condition::Uninterruptible;
    if !hangs && !life.stopped {
        return Some(Vec::new());
    }
    match process::life(life.entry.task.pid).map(|l| l.state) {
        Some('T' | 't') if life.stopped => return None,
        Some('D') if hangs => return None,
        None | Some('X' | 'x' | 'Z') => return Some(Vec::new()),
        Some(_) => {}
    }
    let alive = hangs.then(|| Fact::Condition(life.entry.clone(), Condition::Alive));
    let goes_on = life.stopped.then(|| Fact::Stopped(life.entry.clone(), false));
    Some(alive.into_iter().chain(goes_on).collect())
}

/// Whether a descriptor keeps what `entry` took: its own, or one of those that share the open file description.
/// The line of an open-file-description lock names nobody.
pub fn keeps(owner: &Owner, entry: &Entry) -> bool {
    let nameless = owner.named <= 0 && owner.mode == Some(LockMode::Exclusive);
    owner.key() == entry.key
        && entry.range.is_none_or(|r| r.overlaps(owner.range))
        && (owner.named == entry.task.pid || owner.pid == entry.task.pid || nameless)
}

/// Who a process is, in the words of events.
pub fn known(names: &mut Names, pid: i32) -> Option<Known> {
    if pid <= 0 {
        return None;
    }
    let identity = names.of(pid)?;
    Some(Known {
        mark: identity.mark,
        began: identity.mark.began(),
        comm: identity.comm.clone(),
        cmdline: identity.command.clone(),
        user: identity.user.clone(),
        container: identity.container.as_ref().map(ToString::to_string),
    })
}

/// The path of a lock file, by the descriptors of those that wait for it.
fn path_of_waiter(file: FileId, pids: &[i32]) -> Option<String> {
    let waiting = pids.iter().filter(|pid| **pid > 0).flat_map(|pid| waits::of(*pid));
    let path = waiting.filter(|w| w.file == Some(file)).find_map(|w| owners::path_of(w.pid, w.fd))?;
    Some(called(&path))
}

fn called(path: &owners::LockPath) -> String {
    format!("{}{}", path.path.display(), if path.deleted { " (deleted)" } else { "" })
}

/// The files on which processes hold locks or wait for them.
pub fn files_of(pids: &[i32]) -> Vec<FileId> {
    let held = owners::scan_among(pids.iter().copied(), None).owners.into_iter().map(|o| o.file);
    let wanted = pids.iter().flat_map(|pid| waits::of(*pid)).filter_map(|w| w.file);
    let mut files: Vec<FileId> = held.chain(wanted).collect();
    files.sort_unstable();
    files.dedup();
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::LockKind;
    use crate::watch::change::{Family, TaskId};
    use nix::sys::signal::{Signal, kill};

    #[test]
    fn a_path_that_cannot_be_looked_up_names_what_it_did() {
        let (mut probe, facts) = probe();
        let folder = tempfile::tempdir().unwrap();
        let (path, circle) = (folder.path().join("lock"), folder.path().join("circle"));
        std::fs::write(&path, "").unwrap();
        std::os::unix::fs::symlink("circle", &circle).unwrap();
        let id = Some(FileId::of_path(&path).unwrap());
        probe.look_up(&path, id).unwrap();
        assert!(facts.is_empty());
        // As a folder on the way that may not be entered, which is no obstacle to root. It is said once.
        for _ in 0..2 {
            probe.look_up(&circle, id).unwrap();
        }
        let told: Vec<Fact> = facts.try_iter().collect();
        assert!(matches!(&told[..], [Fact::Unclear(why)] if why.contains("in a circle")), "{told:?}");
        std::fs::remove_file(&path).unwrap();
        let under_none = path.join("lock");
        std::fs::write(&path, "").unwrap();
        for gone in [folder.path().join("none"), under_none, folder.path().to_owned()] {
            probe.look_up(&gone, id).unwrap();
            let told: Vec<Fact> = facts.try_iter().collect();
            assert!(matches!(&told[..], [Fact::PathIs(path, None)] if *path == gone), "{told:?}");
        }
    }

    fn probe() -> (Probe, Receiver<Fact>) {
        let (to, facts) = crossbeam_channel::unbounded();
        let to_main = ToMain { asked: crossbeam_channel::unbounded().0, children: crossbeam_channel::unbounded().0 };
        (Probe::new(to, to_main), facts)
    }

    /// A row of a process that holds a lock.
    fn holder(pid: i32) -> Entry {
        struct Nobody;
        impl crate::watch::roster::Informant for Nobody {
            fn process(&mut self, _: i32) -> Option<Known> {
                None
            }
        }
        let key = LockKey { file: FileId::default(), family: Family::Flock };
        let deed = crate::watch::change::Deed::Holding { mode: LockMode::Exclusive };
        let (task, kind) = (TaskId { pid, tid: pid }, LockKind::Flock);
        let change = crate::watch::change::Change { t: clock::now(), lock: key, task, kind, range: None, deed };
        let mut roster = crate::watch::roster::Roster::new(0, true);
        roster.apply(&change, &mut Nobody, &mut Vec::new());
        roster.entries().next().unwrap()
    }

    #[test]
    fn one_that_was_said_to_hang_is_said_to_go_on_though_it_holds_no_more() {
        let (mut probe, facts) = probe();
        let entry = holder(std::process::id() as i32);
        let life = Life { entry: entry.clone(), condition: Condition::Uninterruptible, stopped: false, hangs: HANGS };
        probe.lives.insert((entry.task.pid, entry.lock, entry.actor), life);
        probe.lives(&Job::default()).unwrap();
        let told: Vec<Fact> = facts.try_iter().collect();
        assert!(matches!(&told[..], [Fact::Condition(e, Condition::Alive)] if *e == entry), "{told:?}");
        assert!(probe.lives.is_empty());
    }

    #[test]
    fn one_that_was_said_to_be_stopped_is_said_to_go_on_though_nobody_looks_at_it() {
        let (mut probe, facts) = probe();
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = child.id() as i32;
        let become_of = |signal, stopped: bool| {
            kill(nix::unistd::Pid::from_raw(pid), signal).unwrap();
            let began = std::time::Instant::now();
            while process::life(pid).is_some_and(|l| (l.state == 'T') != stopped) {
                assert!(began.elapsed().as_secs() < 60);
                std::thread::yield_now();
            }
        };
        let looked = Job { active: vec![holder(pid)], ..Job::default() };
        let told = || -> Vec<bool> {
            facts.try_iter().filter_map(|f| if let Fact::Stopped(_, yes) = f { Some(yes) } else { None }).collect()
        };
        become_of(Signal::SIGSTOP, true);
        probe.lives(&looked).unwrap();
        assert_eq!(told(), [true]);
        probe.lives(&Job::default()).unwrap();
        assert!(told().is_empty());
        become_of(Signal::SIGCONT, false);
        probe.lives(&Job::default()).unwrap();
        assert_eq!(told(), [false]);
        probe.lives(&Job::default()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(told().is_empty() && probe.lives.is_empty());
    }
}
