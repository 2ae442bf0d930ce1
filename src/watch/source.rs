//! A watch as a source of events: the main thread's end of it.

use super::action::{Asked, Intent};
use super::eyes::Eyes;
use super::file_id::locate;
use super::process::sight::{Sight, initial_pid_namespace};
use super::process::{comm, life};
use super::watcher::{Link, Order, Wanted, spawn};
use crate::cli::WatchArgs;
use crate::clock;
use crate::dist::plain;
use crate::event::{ActorId, Begin, Command, Event, How, LockId, LockInfo, LockKind, Origin, Setup, Watching, What};
use crate::source::{Batch, Children, Question, Source};
use anyhow::{Error, Result, anyhow, bail};
use crossbeam_channel::Receiver;
use nix::sys::signal::Signal;
use std::path::PathBuf;

/// How long the watcher may take to end.
const FAREWELL: std::time::Duration = std::time::Duration::from_secs(2);

/// Why the kernel's records are of no use in a pid namespace.
const OTHER_PIDS: &str = "the kernel's records number processes as the host does, /proc in here does not";

/// What is to be watched and how, found out before anything is begun.
#[derive(Debug)]
pub struct Plan {
    wanted: Wanted,
    eyes: Eyes,
    files: Vec<super::change::FileId>,
    begin: Begin,
    read_only: bool,
    epoch: u64,
}

/// A watch that runs.
#[derive(Debug)]
pub struct WatchSource {
    begin: Begin,
    epoch: u64,
    read_only: bool,
    link: Link,
    ready: Vec<Event>,
    pending: Option<Asked>,
    /// Processes that we stopped and did not resume.
    stopped: Vec<i32>,
    looked: (Option<LockId>, Vec<LockId>, Option<ActorId>),
    /// Children of the one in detail, as read last.
    children: Option<(LockId, ActorId, Children)>,
}

impl Plan {
    /// Finds what the options name, and the way to see it.
    ///
    /// # Errors
    /// A path that names nothing lockable, a process that is not there, a privilege that is missing: bad input all.
    pub fn of(args: &WatchArgs) -> Result<Self> {
        let mut blind = Vec::new();
        let mut paths: Vec<(PathBuf, Option<super::change::FileId>)> = Vec::new();
        let mut files = Vec::new();
        for path in &args.lockfiles {
            let located = locate(path)?;
            blind.extend(located.ambiguity);
            if !files.contains(&located.id) {
                files.push(located.id);
                paths.push((path.clone(), Some(located.id)));
            }
        }
        let mut pids = Vec::new();
        for pid in &args.pid {
            let Some(life) = life(*pid) else {
                bail!("cannot watch the locks of pid {pid}: there is no such process; ps lists those there are");
            };
            pids.push((*pid, life.mark.start));
        }
        // A process may come to any file: then all of them are looked at, and those that it comes to are watched.
        let some = (pids.is_empty() && !paths.is_empty()).then_some(files.as_slice());
        let wanted = Wanted { paths, pids };
        let (eyes, how, why) = choose(args, some)?;
        let precision_ns = if how == How::Sampled { args.interval_ns() } else { 0 };
        blind.extend(Sight::look().sentences());
        blind.extend(eyes.cost());
        if how == How::Sampled {
            let often = plain(precision_ns);
            let why = why.map(|w| format!("; {w}")).unwrap_or_default();
            blind.insert(
                0,
                format!("sampled every {often}: waits are known to \u{b1} {often}, what falls between two readings is not seen{why}"),
            );
            blind.push(super::askers::BLIND.into());
        }
        let first = wanted.paths.first();
        let lock = LockInfo {
            name: first.map(|(p, _)| p.display().to_string()).unwrap_or_default(),
            kind: LockKind::Flock,
            file: first.and_then(|(_, f)| *f).map(|f| (f.device(), f.inode)),
        };
        let list = wanted.paths.len() != 1;
        let begin = Begin {
            origin: Origin::Watch,
            version: env!("CARGO_PKG_VERSION").into(),
            started_at: humantime::format_rfc3339_millis(std::time::SystemTime::now()).to_string(),
            lock,
            workers: 0,
            hold_ns: 0,
            think_ns: 0,
            setup: Setup::default(),
            watch: Some(Watching { how, precision_ns, list, blind }),
        };
        Ok(Self { wanted, eyes, files, begin, read_only: args.read_only, epoch: clock::now() })
    }

    /// Begins to watch.
    ///
    /// # Errors
    /// No thread is to be had.
    pub fn start(self) -> Result<WatchSource> {
        let link = spawn(self.epoch, self.eyes, self.wanted, self.files)?;
        Ok(WatchSource {
            begin: self.begin,
            epoch: self.epoch,
            read_only: self.read_only,
            link,
            ready: Vec::new(),
            pending: None,
            stopped: Vec::new(),
            looked: (None, Vec::new(), None),
            children: None,
        })
    }
}

/// The way that was asked for, or the better one that is allowed; where that is the lesser one, why.
fn choose(args: &WatchArgs, files: Option<&[super::change::FileId]>) -> Result<(Eyes, How, Option<String>)> {
    let sampled = || Eyes::sampled(files, args.interval_ns());
    let inside = initial_pid_namespace() == Some(false);
    match args.how {
        Some(How::Sampled) => Ok((sampled()?, How::Sampled, None)),
        Some(How::Exact) if inside => {
            bail!(
                "cannot watch exactly from inside a pid namespace (a container): {OTHER_PIDS}. Run flockmon on the host or in a container with --pid=host, or use --how sampled"
            )
        }
        None if inside => Ok((sampled()?, How::Sampled, Some(format!("exact is for the host: {OTHER_PIDS}")))),
        // Its text has the cause in it.
        Some(How::Exact) => Ok((Eyes::exact(files).map_err(|e| anyhow!("{e}"))?, How::Exact, None)),
        None => match Eyes::exact(files) {
            Ok(_) if args.interval.is_some() => bail!(
                "--interval is for --how sampled, and here exact seeing is allowed, which has no interval: add --how sampled"
            ),
            Ok(eyes) => Ok((eyes, How::Exact, None)),
            Err(error) => Ok((sampled()?, How::Sampled, Some(error.to_string()))),
        },
    }
}

impl WatchSource {
    fn order(&self, order: Order) {
        // Where the watcher has ended, the loop hears of it by its channel.
        let _ = self.link.orders.send(order);
    }

    fn ask(&mut self, intent: Intent, lock: LockId, actor: Option<ActorId>) -> Option<String> {
        if self.read_only {
            return Some("read-only: nothing is done to other programs".into());
        }
        self.order(Order::Ask(intent, lock, actor));
        None
    }

    /// Sends what was asked about; each process is looked at again first.
    fn carry_out(&mut self, asked: &Asked) -> String {
        let (mut done, mut said) = (Vec::new(), Vec::new());
        for (target, expect) in &asked.targets {
            match target.send(asked.signal, *expect) {
                Ok(()) => {
                    if asked.signal == Signal::SIGKILL {
                        self.order(Order::Killed(target.process()));
                    }
                    done.push(target.pid());
                }
                Err(refusal) => said.push(refusal.to_string()),
            }
        }
        match asked.signal {
            Signal::SIGSTOP => self.stopped.extend(&done),
            _ => self.stopped.retain(|pid| !done.contains(pid)),
        }
        if !done.is_empty() {
            let pids: Vec<String> = done.iter().map(ToString::to_string).collect();
            said.insert(0, format!("sent {} to {}", asked.signal, pids.join(", ")));
        }
        said.join("; ")
    }
}

impl Source for WatchSource {
    fn begin(&self) -> Begin {
        self.begin.clone()
    }

    fn now(&self) -> u64 {
        clock::now().saturating_sub(self.epoch)
    }

    fn is_live(&self) -> bool {
        true
    }

    fn is_read_only(&self) -> bool {
        self.read_only
    }

    fn incoming(&self) -> Receiver<Batch> {
        self.link.batches.clone()
    }

    fn admit(&mut self, batch: Batch) {
        batch.join(&mut self.ready);
    }

    fn due(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.ready)
    }

    fn next_due(&self) -> Option<u64> {
        None
    }

    fn command(&mut self, command: Command) -> Result<Option<String>> {
        Ok(match command {
            Command::KillHolder(lock) => self.ask(Intent::Kill, lock, None),
            Command::StallHolder(lock) => self.ask(Intent::Stall, lock, None),
            Command::Kill(lock, actor) => self.ask(Intent::Kill, lock, Some(actor)),
            Command::Answer(yes) => match self.pending.take() {
                Some(asked) if yes => Some(self.carry_out(&asked)),
                Some(_) => Some("nothing was done".into()),
                None => None,
            },
            Command::Reset => {
                self.order(Order::Say(Event::of_run(self.now(), What::Reset)));
                None
            }
            _ => Some("not in a watch: these are programs of others".into()),
        })
    }

    /// Other programs are never paused.
    fn pause(&mut self, _: bool) {}

    fn is_paused(&self) -> bool {
        false
    }

    fn is_over(&self) -> bool {
        false
    }

    fn finish(&mut self) -> Option<Vec<Event>> {
        self.order(Order::Stop);
        let ready = std::mem::take(&mut self.ready);
        if !ready.is_empty() {
            return Some(ready);
        }
        // It ends by closing the channel; what is in it was seen before.
        self.link.batches.recv_timeout(FAREWELL).ok().map(|batch| batch.events)
    }

    fn broken(&mut self) -> Option<Error> {
        self.link.thread.take()?.join().ok()?.err()
    }

    fn farewell(&self) -> Option<String> {
        let still = |pid: &&i32| life(**pid).is_some_and(|l| l.state == 'T');
        let left: Vec<&i32> = self.stopped.iter().filter(still).collect();
        let names = left.iter().map(|pid| format!("{pid} ({})", comm(**pid).unwrap_or_default()));
        let names: Vec<String> = names.collect();
        let pids: Vec<String> = left.iter().map(ToString::to_string).collect();
        (!left.is_empty()).then(|| {
            format!("still stopped, as you asked: {}; kill -CONT {} resumes", names.join(", "), pids.join(" "))
        })
    }

    fn question(&mut self) -> Option<Question> {
        let asked = self.link.asked.try_iter().last()?;
        let question = asked.question.clone();
        self.pending = Some(asked);
        Some(question)
    }

    fn looked_at(&mut self, opened: Option<LockId>, rows: &[LockId], in_detail: Option<ActorId>) {
        let rows = if opened.is_some() { &[] } else { rows };
        if self.looked.0 != opened || self.looked.1 != rows || self.looked.2 != in_detail {
            self.looked = (opened, rows.to_vec(), in_detail);
            self.children = None;
            self.order(Order::Look(opened, rows.to_vec(), in_detail));
        }
    }

    fn children(&mut self) -> Option<Children> {
        self.children = self.link.children.try_iter().last().or(self.children.take());
        let (lock, actor, children) = self.children.as_ref()?;
        let (opened, _, in_detail) = &self.looked;
        (*opened == Some(*lock) && *in_detail == Some(*actor)).then(|| children.clone())
    }
}
