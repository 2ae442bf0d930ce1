//! Forks the workers, reaps them, signals them. Everything here runs in the main thread: a worker's
//! parent-death signal fires when the *thread* that forked it ends (prctl(2)).

use super::child::{Files, travel_light};
use super::clock::Tuner;
use super::collector::{Collector, Order};
use super::command::Program;
use super::config::Config;
use super::mischief::{Act, Mischief};
use super::scene::Scene;
use super::shared::Shared;
use super::target::Target;
use super::warden::Warden;
use crate::dist::Dist;
use crate::event::{Begin, Event, Origin, Setup, What};
use crate::source::Batch;
use anyhow::{Context, Result, bail};
use crossbeam_channel::{Receiver, Sender};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use std::ffi::CString;
use std::fs::File;
use std::sync::Arc;
use std::thread::JoinHandle;

mod command;
mod life;
mod nursery;
mod reap;
use nursery::Newborn;

/// How long workers may take to tell the rest and leave at the end, in ns.
const FAREWELL_NS: u64 = 300_000_000;
/// The same where they run commands, which get a SIGTERM first.
const FAREWELL_OF_COMMANDS_NS: u64 = 2_000_000_000;
/// How often it is looked whether they have.
const STEP: std::time::Duration = std::time::Duration::from_millis(1);
/// Descriptors the monitor needs beside a pipe a worker.
const SPARE_FDS: u64 = 64;

/// One place in the fleet.
#[derive(Debug, Default)]
struct Member {
    /// Its present process.
    pid: Option<Pid>,
    born: u64,
    got_at_birth: u64,
    births: u64,
    /// Deaths at birth in a row.
    stillborn: u32,
    /// When it is to be started again, in ns of [`Clock::now`](super::clock::Clock::now).
    due: Option<u64>,
    stopped: bool,
    removed: bool,
    /// No worker, but a child of one that died, which keeps its lock.
    orphan: bool,
}

/// The fleet and what belongs to it.
#[derive(Debug)]
pub struct Lab {
    config: Config,
    /// What workers run while they hold the lock, instead of holding it for a time.
    program: Option<Arc<Program>>,
    target: Target,
    path: CString,
    shared: Arc<Shared>,
    /// Goes to the collector.
    tuner: Option<Tuner>,
    members: Vec<Member>,
    epoch: u64,
    started_at: String,
    null: File,
    wake: Arc<EventFd>,
    orders: Sender<Order>,
    waiting_orders: Option<Receiver<Order>>,
    collector: Option<JoinHandle<()>>,
    paused: bool,
    scene: Option<&'static Scene>,
    mischief: Option<Mischief>,
    warden: Option<Warden>,
    nursery: Vec<Newborn>,
    phase: Phase,
}

/// How far the run is.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Not at its end.
    Runs,
    /// The workers are asked to leave.
    Leaves {
        /// When they are made to, in ns of [`Clock::now`](super::clock::Clock::now).
        until: u64,
    },
    /// All are reaped; their last words are yet to be read.
    Left,
}

impl Lab {
    /// Forks the first fleet. Call it in the main thread, before any other thread and before the terminal is taken.
    ///
    /// # Errors
    /// The lock file cannot be used, or a limit does not suffice for so many workers.
    pub fn start(config: Config, target: Target) -> Result<Self> {
        Self::start_scene(config, target, None)
    }

    /// As [`Lab::start`], with what goes wrong in a scene. Its options are the caller's business.
    ///
    /// # Errors
    /// As there; and a file of the user's is never split.
    pub fn start_scene(config: Config, target: Target, scene: Option<&'static Scene>) -> Result<Self> {
        Self::begin_with(config, target, scene, None)
    }

    /// As [`Lab::start`], of workers that run `program` while they hold the lock.
    ///
    /// # Errors
    /// As [`Lab::start`].
    pub fn start_with(config: Config, target: Target, program: Option<Program>) -> Result<Self> {
        Self::begin_with(config, target, None, program)
    }

    fn begin_with(
        config: Config,
        target: Target,
        scene: Option<&'static Scene>,
        program: Option<Program>,
    ) -> Result<Self> {
        let act = scene.and_then(|s| s.act);
        if act == Some(Act::Split) && !target.is_private() {
            bail!("{} is not split: only a temporary lock file may be unlinked", target.path().display());
        }
        let mischief = act.map(|act| Mischief::prepare(act, config.kind)).transpose()?;
        super::heap::keep_what_is_freed();
        raise_limits(config.workers)?;
        let shared = Arc::new(Shared::new().context("cannot map the page shared with the workers: is memory short?")?);
        shared.control().configure(config.hold, config.think, config.limit.unwrap_or(0));
        let warden = program.is_some().then(|| Warden::post(&shared)).transpose()?;
        let tuner = Tuner::start(shared.clock());
        let wake = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
            .context("cannot make an eventfd: raise the limit on open files (ulimit -n)")?;
        let (orders, waiting_orders) = crossbeam_channel::unbounded();
        let mut lab = Self {
            path: target.c_path()?,
            null: File::options().read(true).write(true).open("/dev/null").context("cannot open /dev/null")?,
            tuner: Some(tuner),
            epoch: 0,
            shared,
            members: Vec::new(),
            started_at: String::new(),
            wake: Arc::new(wake),
            orders,
            waiting_orders: Some(waiting_orders),
            collector: None,
            paused: false,
            warden,
            program: program.map(Arc::new),
            config,
            target,
            scene,
            mischief,
            nursery: Vec::new(),
            phase: Phase::Runs,
        };
        if let Some(second) = lab.mischief.as_ref().and_then(Mischief::second_info) {
            let what = What::Announced(Box::new(second.clone()));
            lab.order(Order::Say(Event { t: 0, lock: 1, actor: 0, pid: 0, what }));
        }
        if let Some(program) = &lab.program {
            program.logs().clear()?;
        }
        let files = Files::best();
        let workers = lab.config.workers as usize;
        lab.members.resize_with(workers, Member::default);
        lab.nursery.reserve(workers);
        travel_light();
        for id in 1..=lab.config.workers {
            let newborn = lab.fork_with(id, files).with_context(|| {
                format!(
                    "cannot start worker {id} of {}: raise the limit on processes (ulimit -u, or pids.max of the control group) to at least {} or use fewer --workers",
                    lab.config.workers,
                    u64::from(lab.config.workers) + SPARE_FDS
                )
            })?;
            lab.nurse(newborn);
        }
        lab.set_out();
        Ok(lab)
    }

    /// Begins the run when all of the first workers are there: thousands that contend would leave no time to fork the rest,
    /// and what the forks take is no part of the time in which they contend.
    fn set_out(&mut self) {
        self.await_tables();
        self.epoch = self.clock_now();
        self.started_at = humantime::format_rfc3339_millis(std::time::SystemTime::now()).to_string();
        self.members.iter_mut().for_each(|m| m.born = self.epoch);
        self.shared.control().set_begun(self.epoch);
        self.leave_nursery();
    }

    /// Starts the thread that turns what workers tell into events.
    ///
    /// # Errors
    /// The thread or its epoll descriptor cannot be made.
    pub fn listen(&mut self, events: Sender<Batch>) -> Result<()> {
        let (Some(orders), Some(tuner)) = (self.waiting_orders.take(), self.tuner.take()) else { return Ok(()) };
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("cannot make an epoll descriptor")?;
        epoll
            .add(&*self.wake, EpollEvent::new(EpollFlags::EPOLLIN, 0))
            .context("cannot watch the wake-up descriptor")?;
        let collector = Collector {
            shared: Arc::clone(&self.shared),
            epoch: self.epoch,
            tuner,
            orders,
            events,
            wake: Arc::clone(&self.wake),
            program: self.program.clone(),
            watched: (self.target.path().to_owned(), self.target.inode(), self.target.device()),
            epoll,
        };
        let thread = std::thread::Builder::new().name("collector".into()).spawn(move || collector.run());
        self.collector = Some(thread.context("cannot start the collector thread")?);
        self.shared.control().set_heard();
        super::slice::ask_for_short_ones();
        self.wake_collector();
        Ok(())
    }

    /// What the faces are told before the first event.
    pub fn begin(&self) -> Begin {
        Begin {
            origin: Origin::Lab,
            version: env!("CARGO_PKG_VERSION").into(),
            started_at: self.started_at.clone(),
            lock: self.target.info(self.config.kind),
            workers: self.config.workers,
            hold_ns: self.hold().mean(),
            think_ns: self.config.think.mean(),
            setup: Setup {
                hold: self.hold().to_string(),
                think: self.config.think.to_string(),
                shared: self.config.shared,
                acquire: self.config.acquire.to_string(),
                keep_open: self.config.keep_open,
                restart: self.config.restart.to_string(),
                seed: self.config.seed,
                scene: self.scene.map(|s| s.name.to_owned()),
                command: self.program.as_ref().map(|p| p.words()),
                ..Setup::default()
            },
            watch: None,
        }
    }

    /// How long to hold, where that is set.
    fn hold(&self) -> Dist {
        if self.program.is_some() { Dist::Fixed(0) } else { self.config.hold }
    }

    /// The end of what the command of worker `id` has written, at most so many `bytes`; none where there is no command.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn output(&self, id: u32, bytes: u64) -> Option<std::io::Result<Vec<u8>>> {
        Some(self.program.as_ref()?.logs().tail(id, bytes))
    }

    /// ns since the run began.
    pub fn now(&self) -> u64 {
        self.clock_now().saturating_sub(self.epoch)
    }

    fn clock_now(&self) -> u64 {
        self.shared.clock().now()
    }

    /// The lock file.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Whether the lab is paused.
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// Whether no worker lives and none is to be started again.
    pub fn is_over(&self) -> bool {
        self.members.iter().all(|m| m.pid.is_none() && m.due.is_none())
    }

    /// When the next worker is to be started again, in ns from now.
    pub fn next_due(&self) -> Option<u64> {
        let due = self.members.iter().filter_map(|m| m.due).min()?;
        Some(due.saturating_sub(self.clock_now()))
    }

    /// Ends the run: workers tell what is left and leave, the rest is killed, all are reaped, the last events sent.
    /// `received` is called while waiting, to take batches off the channel.
    pub fn finish(&mut self, mut received: impl FnMut()) {
        while !self.end() {
            received();
        }
        received();
    }

    /// A step of that; `true` once all is sent. Batches are to be taken off the channel after each.
    pub(super) fn end(&mut self) -> bool {
        let phase = self.phase;
        match phase {
            Phase::Runs => self.phase = Phase::Leaves { until: self.bid_farewell() },
            Phase::Leaves { until } if self.reap_quietly() && self.clock_now() <= until => std::thread::sleep(STEP),
            Phase::Leaves { .. } => {
                self.kill_all();
                self.warden = None;
                self.order(Order::End);
                self.phase = Phase::Left;
            }
            Phase::Left if self.collector.as_ref().is_some_and(|collector| !collector.is_finished()) => {
                std::thread::sleep(STEP);
            }
            Phase::Left => {
                if let Some(collector) = self.collector.take() {
                    let _ = collector.join();
                }
                return true;
            }
        }
        false
    }

    /// Asks all to leave; until when they may, as [`Clock::now`](super::clock::Clock::now) has it.
    fn bid_farewell(&mut self) -> u64 {
        for member in &mut self.members {
            member.due = None;
        }
        self.shared.control().set_stop();
        for member in &self.members {
            let Some(pid) = member.pid else { continue };
            if member.stopped {
                let _ = self.signal(pid, Signal::SIGKILL);
            } else if self.program.is_some() {
                // It ends the command; of the worker it ends but the wait.
                let _ = self.signal(pid, Signal::SIGTERM);
            }
        }
        self.clock_now() + if self.program.is_some() { FAREWELL_OF_COMMANDS_NS } else { FAREWELL_NS }
    }

    fn say_settings(&self) {
        self.say(0, 0, What::Settings { hold_ns: self.config.hold.mean(), think_ns: self.config.think.mean() });
    }

    fn say(&self, actor: u32, pid: i32, what: What) {
        self.order(Order::Say(Event { t: self.now(), lock: 0, actor, pid, what }));
    }

    fn order(&self, order: Order) {
        // The collector ends only after us, or with the process.
        let _ = self.orders.send(order);
        self.wake_collector();
    }

    fn wake_collector(&self) {
        let _ = self.wake.write(1);
        self.shared.reader().call();
    }

    fn find(&self, pid: Pid) -> Option<u32> {
        (1..).zip(&self.members).find(|(_, m)| m.pid == Some(pid)).map(|(id, _)| id)
    }

    fn member(&self, id: u32) -> Option<&Member> {
        self.members.get((id as usize).checked_sub(1)?)
    }

    fn member_mut(&mut self, id: u32) -> Option<&mut Member> {
        self.members.get_mut((id as usize).checked_sub(1)?)
    }
}

impl Drop for Lab {
    /// Whatever happened, no worker outlives the lab.
    fn drop(&mut self) {
        self.kill_all();
    }
}

/// Raises the limit on open files as far as needed and allowed.
fn raise_limits(workers: u32) -> Result<()> {
    let need = u64::from(workers) + SPARE_FDS;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("cannot read the limit on open files")?;
    if soft >= need {
        return Ok(());
    }
    let target = need.max(hard.min(16_384));
    if setrlimit(Resource::RLIMIT_NOFILE, target, hard.max(target)).is_ok() {
        return Ok(());
    }
    bail!(
        "{workers} workers need {need} open files, the hard limit (RLIMIT_NOFILE) is {hard}: raise it (ulimit -Hn {need}, as root) or use at most {} workers",
        hard.saturating_sub(SPARE_FDS)
    )
}
