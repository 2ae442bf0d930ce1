//! The loop: drains what has arrived, folds it, draws. Input comes first, then signals, then events.
//!
//! - `session/screen.rs`: the terminal, where there is one: what comes from it, when it is drawn on;
//! - `session/job.rs`: whether it may stop on ctrl-z;
//! - `session/end.rs`: how a run ends, and with which status.

mod end;
mod job;
mod screen;

use crate::cli::{Output, ShowArgs};
use crate::event::{Command, Event, What, singly};
use crate::failure::Failure;
use crate::format::printable_lines;
use crate::model::Locks;
use crate::model::finding::News;
use crate::report::{Json, Jsonl, Log, Outlet, Perfetto, Progress, Report, Summary, Trouble, told};
use crate::source::{Batch, Source};
use crate::tui::input::Input;
use anyhow::{Error, anyhow};
use crossbeam_channel::{Receiver, Sender, never, select_biased, unbounded};
use screen::OnScreen;
use signal_hook::consts::{SIGCHLD, SIGCONT, SIGTSTP};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Batches taken in a row before the screen has its turn.
const BATCHES: usize = 256;
/// How soon a replay looks again whether a slow reader has caught up.
const CATCH_UP: Duration = Duration::from_millis(5);
/// How often findings are looked for where no screen shows them, in ns.
const NEWS_NS: u64 = 100_000_000;
/// The longest sleep of the loop.
const NAP: Duration = Duration::from_secs(3600);

/// How the loop goes on.
#[derive(PartialEq, Eq)]
enum Next {
    On,
    Quit,
}

/// A run from its first event to its exit status.
pub(super) struct Session {
    source: Box<dyn Source>,
    locks: Locks,
    on_screen: Option<Box<OnScreen>>,
    outlets: Vec<Outlet>,
    troubles: (Sender<Trouble>, Receiver<Trouble>),
    news: News,
    /// When findings are looked for again, in ns since the run began.
    news_due: u64,
    /// Standard output was closed by its reader: end quietly.
    deaf: bool,
    signals: Receiver<i32>,
    inputs: Receiver<Input>,
    /// When to end, in ns since the run began.
    pub(super) end_at: Option<u64>,
    /// After how many acquisitions to end.
    pub(super) limit: Option<u64>,
    /// Whether a command that fails ends it.
    pub(super) stop_on_failure: bool,
    hgrm: Option<PathBuf>,
    progress: Option<Progress>,
    failed: bool,
}

impl Session {
    pub(super) fn new(
        source: Box<dyn Source>,
        signals: Receiver<i32>,
        show: &ShowArgs,
        output: Output,
    ) -> Result<Self, Failure> {
        let mut begin = source.begin();
        begin.setup.thresholds = show.thresholds(begin.setup.thresholds);
        let mut run = Self {
            locks: Locks::new(begin),
            source,
            on_screen: None,
            outlets: Vec::new(),
            troubles: unbounded(),
            news: News::default(),
            news_due: 0,
            deaf: false,
            signals,
            inputs: never(),
            end_at: None,
            limit: None,
            stop_on_failure: false,
            hgrm: show.hgrm.clone(),
            progress: Progress::new(output),
            failed: false,
        };
        let stdout = || "standard output".to_owned();
        match output {
            Output::Tui => run.take_terminal(show)?,
            Output::Log => run.open_outlet(stdout(), true, Box::new(Log::new(io::stdout())))?,
            Output::Jsonl => run.open_outlet(stdout(), true, Box::new(Jsonl::new(io::stdout())))?,
            Output::Json => run.open_outlet(stdout(), true, Box::new(Json::new(io::stdout())))?,
            Output::Perfetto => run.open_outlet(stdout(), true, Box::new(Perfetto::new(io::stdout())))?,
            Output::Summary => run.open_outlet(stdout(), true, Box::new(Summary::new(io::stdout())))?,
        }
        Ok(run)
    }

    pub(super) fn open_outlet(&mut self, name: String, vital: bool, report: Box<dyn Report>) -> Result<(), Error> {
        let (begin, troubles, number) = (self.locks.begin().clone(), self.troubles.0.clone(), self.outlets.len());
        self.outlets.push(Outlet::start(name, vital, report, begin, troubles, number)?);
        Ok(())
    }

    /// All of it, from the first event to the exit status.
    pub(super) fn go(mut self) -> Result<ExitCode, Failure> {
        let ended = self.turn_until_end();
        self.close();
        // What came before a fault in a recording is told whole, with the fault in it, whatever the output.
        self.tell_end();
        if let Some(fault) = self.source.fault() {
            return Err(Failure::BadInput(fault));
        }
        ended?;
        Ok(self.status())
    }

    fn turn_until_end(&mut self) -> Result<(), Error> {
        self.draw()?;
        crate::panic_if_asked("main");
        let troubles = self.troubles.1.clone();
        loop {
            let full = !self.source.is_live() && self.outlets.iter().any(Outlet::is_full);
            let batches = if full { never() } else { self.source.incoming() };
            let wake = if full { CATCH_UP } else { self.wake_in() };
            select_biased! {
                recv(self.inputs) -> input => {
                    let input = input.map_err(|_| anyhow!("the keyboard thread ended unexpectedly"))?;
                    if self.input(input)? == Next::Quit { return Ok(()) }
                }
                recv(self.signals) -> signal => {
                    let signal = signal.map_err(|_| anyhow!("the signal thread ended unexpectedly"))?;
                    if self.signal(signal)? == Next::Quit { return Ok(()) }
                }
                recv(troubles) -> trouble => {
                    if let Ok((number, error)) = trouble { self.trouble(number, &error); }
                }
                recv(batches) -> batch => {
                    match batch {
                        Ok(batch) => self.source.admit(batch),
                        Err(_) => {
                            let why = self.source.broken();
                            return Err(why.unwrap_or_else(|| anyhow!("the thread that reads events ended unexpectedly")));
                        }
                    }
                }
                default(wake) => {}
            }
            if !full {
                self.take_due(&batches);
            }
            let now = self.source.now();
            if self.deaf || self.is_enough() || self.source.is_over() || self.end_at.is_some_and(|t| now >= t) {
                return Ok(());
            }
            if let Some(progress) = &mut self.progress {
                let whole = self.end_at.or_else(|| self.source.position()?.length);
                progress.show(&self.locks, now, whole, self.limit);
            }
            self.draw_if_due()?;
        }
    }

    /// Whether what was asked for has happened.
    fn is_enough(&self) -> bool {
        let model = self.locks.first();
        let enough = self.limit.is_some_and(|n| self.locks.acquisitions_ever() >= n);
        // A hold can be cut short, a command is to come to its end.
        self.failed_run().is_some() || enough && !(model.runs_command() && model.holder_count() > 0)
    }

    /// What has come, but no longer than until somebody presses a key.
    fn take_due(&mut self, batches: &Receiver<Batch>) {
        for _ in 0..BATCHES {
            let events = self.source.due();
            if let Some(locks) = self.source.rewound() {
                let thresholds = *self.locks.thresholds();
                self.locks = *locks;
                self.locks.set_thresholds(thresholds);
            }
            let nothing = events.is_empty();
            self.take(events);
            self.source.folded(&self.locks);
            if let (Some(event), Some(on)) = (self.source.reached(), &mut self.on_screen) {
                on.ui.say(told(&event, &self.locks));
                on.changed = true;
            }
            if let (Some(question), Some(on)) = (self.source.question(), &mut self.on_screen) {
                on.ui.ask(question);
                on.changed = true;
            }
            if !self.inputs.is_empty() || !self.signals.is_empty() {
                break;
            }
            match batches.try_recv() {
                Ok(batch) => self.source.admit(batch),
                Err(_) if nothing => break,
                Err(_) => {}
            }
        }
        if self.tells_news() && self.source.now() >= self.news_due {
            self.tell_news();
        }
    }

    /// Whether a report is told of events.
    fn is_heard(&self) -> bool {
        self.outlets.iter().any(Outlet::hears)
    }

    /// A recording has its findings; nobody but the reports needs to be told those of a live run.
    fn tells_news(&self) -> bool {
        self.source.is_live() && self.is_heard()
    }

    /// Some findings come by time alone: nothing happens any more in a deadlock.
    fn tell_news(&mut self) {
        let now = self.source.now();
        self.news_due = now.saturating_add(NEWS_NS);
        self.locks.advance(now);
        let news = self.news.since(&self.locks);
        self.pass_on(news);
    }

    /// How long nothing needs to be done unless something comes.
    fn wake_in(&self) -> Duration {
        let mut wake = NAP;
        if let Some(on) = &self.on_screen {
            wake = on.due(&self.locks).saturating_sub(on.drawn.elapsed());
        }
        if let Some(progress) = &self.progress {
            wake = wake.min(progress.due());
        }
        if self.tells_news() {
            wake = wake.min(Duration::from_nanos(self.news_due.saturating_sub(self.source.now())));
        }
        if let Some(ns) = self.source.next_due() {
            wake = wake.min(Duration::from_nanos(ns));
        }
        if let Some(end) = self.end_at {
            wake = wake.min(Duration::from_nanos(end.saturating_sub(self.source.now())));
        }
        wake
    }

    fn take(&mut self, events: Vec<Event>) {
        // Reports tell what happened in its order, and a replay of theirs is to find what was found here; what concerns
        // the whole run, such as a reset, parts what was before from what is after.
        let parted = |events: &[Event]| events.iter().any(|e| e.what.is_of_the_run(e.actor));
        let events = if self.is_heard() || parted(&events) { singly(events) } else { events };
        for event in &events {
            self.locks.apply(event);
        }
        if let (Some(on), false) = (&mut self.on_screen, events.is_empty()) {
            on.changed = true;
        }
        self.pass_on(events);
    }

    fn pass_on(&mut self, events: Vec<Event>) {
        if events.is_empty() || !self.is_heard() {
            return;
        }
        let events = Arc::new(events);
        self.outlets.iter_mut().for_each(|o| o.tell(&events));
    }

    /// A report cannot be written. Where its reader is gone (`| head`) the run ends quietly; one beside the
    /// main output is given up, which the run survives and says.
    fn trouble(&mut self, number: usize, error: &io::Error) {
        let Some(outlet) = self.outlets.get(number) else { return };
        let (name, vital) = (outlet.name.clone(), outlet.vital);
        self.deaf |= vital;
        if vital && error.kind() == io::ErrorKind::BrokenPipe {
            return;
        }
        self.failed = true;
        let text = format!("cannot write to {name}: {error}; free space or write elsewhere");
        if self.on_screen.is_none() {
            complain(&text);
        }
        if !vital {
            let event = Event::of_run(self.source.now(), What::Warning { text });
            self.take(vec![event]);
        }
    }

    fn command(&mut self, command: Command) {
        let said = match self.source.command(command) {
            Ok(said) => said,
            Err(error) => Some(format!("{error:#}")),
        };
        if let (Some(text), Some(on)) = (said, &mut self.on_screen) {
            on.ui.say(text);
        }
    }

    fn signal(&mut self, signal: i32) -> Result<Next, Error> {
        match signal {
            SIGCHLD => self.source.reap(),
            SIGTSTP => self.suspend()?,
            SIGCONT => self.resumed()?,
            _ => return Ok(Next::Quit),
        }
        Ok(Next::On)
    }
}

/// Says something on standard error; where that is gone too, there is nobody to tell.
fn complain(text: &str) {
    let _ = io::stderr().write_all(format!("flockmon: {}\n", printable_lines(text)).as_bytes());
}
