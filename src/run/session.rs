//! The loop: drains what has arrived, folds it, draws. Input comes first, then signals, then events.

use super::Failure;
use crate::cli::{Output, ShowArgs};
use crate::event::{Command, Event, What};
use crate::model::Locks;
use crate::model::finding::News;
use crate::report::hgrm;
use crate::report::{Json, Jsonl, Log, Outlet, Perfetto, Progress, Report, Summary, Trouble, told};
use crate::source::{Batch, Source};
use crate::tui::input::{Input, Keyboard};
use crate::tui::keymap::Place;
use crate::tui::terminal::Screen;
use crate::tui::{Column, Look, Request, Ui, view};
use anyhow::{Context, Error, anyhow};
use crossbeam_channel::{Receiver, Sender, never, select_biased, unbounded};
use signal_hook::consts::{SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Batches taken in a row before the screen has its turn.
const BATCHES: usize = 256;
/// How soon a replay looks again whether a slow reader has caught up.
const CATCH_UP: Duration = Duration::from_millis(5);
/// A stream that takes nothing for so long in the end is given up.
const STALLED: Duration = Duration::from_secs(5);
/// Between two frames when nothing happens but time passes.
const IDLE_FRAME: Duration = Duration::from_millis(125);
/// The same while paused, when only the clock moves.
const PAUSED_FRAME: Duration = Duration::from_secs(1);
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

struct OnScreen {
    screen: Screen,
    ui: Ui,
    keyboard: Keyboard,
    changed: bool,
    drawn: Instant,
    frame: Duration,
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

    fn take_terminal(&mut self, show: &ShowArgs) -> Result<(), Error> {
        let screen = Screen::enter()?;
        let (tx, rx) = unbounded();
        self.inputs = rx;
        let mut ui = Ui::new(Look::clone(&show.look));
        let watch = self.source.begin().watch;
        ui.place = match (&watch, self.source.is_live()) {
            (_, false) => Place::Replay,
            (Some(_), true) if self.source.is_read_only() => Place::ReadOnly,
            (Some(_), true) => Place::Watch,
            (None, true) => Place::Lab,
        };
        if watch.is_some() {
            // Holders first, then the queue.
            ui.sort = Column::State;
        }
        ui.opened = watch.is_none_or(|w| !w.list).then_some(0);
        self.on_screen = Some(Box::new(OnScreen {
            screen,
            ui,
            keyboard: Keyboard::spawn(tx).context("cannot start the keyboard thread")?,
            changed: true,
            drawn: Instant::now(),
            frame: Duration::from_secs(1) / show.fps,
        }));
        Ok(())
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
        if let Some(fault) = self.source.fault() {
            if self.on_screen.is_some() {
                self.print_summary();
            }
            return Err(Failure::BadInput(fault));
        }
        self.tell_end();
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
        let enough = self.limit.is_some_and(|n| self.locks.acquisitions() >= n);
        // A hold can be cut short, a command is to come to its end.
        self.failed_run().is_some() || enough && !(model.runs_command() && model.holder_count() > 0)
    }

    /// The run of the command that failed, where one may not.
    fn failed_run(&self) -> Option<String> {
        let model = self.locks.first();
        if !self.stop_on_failure || model.runs().is_none_or(|runs| runs.failed == 0) {
            return None;
        }
        let failed = model.actors().iter().filter_map(|a| {
            let run = a.runs.as_ref()?.latest.iter().find(|run| run.end.is_failure())?;
            Some((
                run.t,
                format!("stopped: the command of {} ended with {} (acquisition {})", a.name(), run.end, run.seq),
            ))
        });
        failed.min().map(|(_, text)| text)
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
                on.ui.say(told(&event));
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

    /// A recording has its findings; nobody but the reports needs to be told those of a live run.
    fn tells_news(&self) -> bool {
        self.source.is_live() && !self.outlets.is_empty()
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
        for event in &events {
            self.locks.apply(event);
        }
        if let (Some(on), false) = (&mut self.on_screen, events.is_empty()) {
            on.changed = true;
        }
        self.pass_on(events);
    }

    fn pass_on(&mut self, events: Vec<Event>) {
        if self.outlets.is_empty() || events.is_empty() {
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

    fn input(&mut self, input: Input) -> Result<Next, Error> {
        let Some(on) = &mut self.on_screen else { return Ok(Next::On) };
        on.changed = true;
        let request = match input {
            Input::Key(key) => on.ui.on_key(key, &self.locks),
            Input::Mouse(mouse) => on.ui.on_mouse(mouse, &self.locks),
            Input::Resize => None,
            // The terminal is gone; there is nothing to restore and nobody to ask.
            Input::Lost => return Ok(Next::Quit),
        };
        match request {
            None => {}
            Some(Request::Quit) => return Ok(Next::Quit),
            Some(Request::Suspend) => self.suspend()?,
            Some(Request::Source(command)) => self.command(command),
        }
        Ok(Next::On)
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

    /// Gives the terminal back and stops, as any program does on ctrl-z. The lab pauses meanwhile, since nobody
    /// would read what the workers tell; whoever continues us continues it.
    fn suspend(&mut self) -> Result<(), Error> {
        let was_paused = self.source.is_paused();
        self.source.pause(true);
        if let Some(on) = &mut self.on_screen {
            on.keyboard.pause();
            on.screen.leave();
        }
        // Pid 0: the whole job, as the terminal would have done, so that whoever started us stops too.
        // The workers are in process groups of their own.
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(0), nix::sys::signal::Signal::SIGSTOP)
            .context("cannot stop on ctrl-z")?;
        self.resumed()?;
        self.source.pause(was_paused);
        Ok(())
    }

    fn resumed(&mut self) -> Result<(), Error> {
        if let Some(on) = &mut self.on_screen {
            on.screen.reenter()?;
            on.keyboard.resume();
            on.changed = true;
        }
        Ok(())
    }

    fn draw_if_due(&mut self) -> Result<(), Error> {
        match &self.on_screen {
            Some(on) if on.drawn.elapsed() >= on.due(&self.locks) => self.draw(),
            _ => Ok(()),
        }
    }

    fn draw(&mut self) -> Result<(), Error> {
        let Some(on) = &mut self.on_screen else { return Ok(()) };
        self.locks.advance(self.source.now());
        on.ui.position = self.source.position();
        if on.ui.frozen.is_none() {
            on.ui.output = on.ui.in_detail().and_then(|id| self.source.output(id));
            on.ui.children = on.ui.in_detail().and_then(|_| self.source.children());
        }
        on.changed = false;
        on.drawn = Instant::now();
        on.ui.follow(&self.locks);
        let (ui, locks) = (&mut on.ui, &self.locks);
        on.screen.draw(|frame| view::draw(frame, locks, ui)).context("cannot draw on the terminal")?;
        self.source.looked_at(on.ui.opened, &on.ui.picker.rows, on.ui.in_detail());
        Ok(())
    }

    /// Ends the source, takes in the last events, gives the terminal back.
    fn close(&mut self) {
        let now = self.source.now();
        let last = self.source.finish();
        self.take(last);
        self.locks.advance(now);
        if self.tells_news() {
            let news = self.news.since(&self.locks);
            self.pass_on(news);
        }
        if self.source.is_live() {
            self.take(vec![Event::of_run(now, What::Ended)]);
        }
        self.progress = None;
        if let Some(on) = &mut self.on_screen {
            on.screen.leave();
        }
    }

    /// Lets every report end: those beside first, so that their troubles are in the main one.
    fn tell_end(&mut self) {
        if let Some(Err(error)) = self.hgrm.as_deref().map(|folder| hgrm::write(folder, &self.locks)) {
            self.failed = true;
            complain(&format!("{error:#}"));
        }
        for vital in [false, true] {
            for number in 0..self.outlets.len() {
                if self.outlets.get(number).is_some_and(|o| o.vital == vital) {
                    self.end_outlet(number);
                }
            }
            while let Ok((number, error)) = self.troubles.1.try_recv() {
                self.trouble(number, &error);
            }
        }
        if self.on_screen.is_some() {
            self.print_summary();
        }
        if let Some(text) = self.failed_run() {
            self.failed = true;
            complain(&text);
        }
        if let Some(text) = self.source.farewell() {
            complain(&text);
        }
    }

    /// Waits for a report to be written, as long as its stream takes anything and nobody is in a hurry.
    fn end_outlet(&mut self, number: usize) {
        let locks = &self.locks;
        let Some(outlet) = self.outlets.get_mut(number) else { return };
        outlet.end(locks);
        let (mut waiting, mut moved) = (outlet.waiting(), Instant::now());
        let hurry = |s: i32| matches!(s, SIGINT | SIGTERM | SIGQUIT | SIGHUP);
        while !outlet.is_done() {
            if outlet.waiting() != waiting {
                (waiting, moved) = (outlet.waiting(), Instant::now());
            }
            if moved.elapsed() > STALLED || self.signals.try_iter().any(hurry) {
                self.failed = true;
                complain(&format!("gave up writing to {}: nobody reads it; its end is missing", outlet.name));
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        if outlet.panicked() {
            self.failed = true;
            complain(&format!("a defect of flockmon ended the writing to {}: please report it", outlet.name));
        }
        if outlet.lost() > 0 && !outlet.vital {
            complain(&format!("{} lacks {} events that came too fast; it says so", outlet.name, outlet.lost()));
        }
    }

    fn print_summary(&mut self) {
        match Summary::new(io::stdout()).end(&self.locks) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                self.failed = true;
                complain(&format!("cannot write to standard output: {error}"));
            }
            _ => {}
        }
    }

    fn status(&self) -> ExitCode {
        let idle = self.locks.acquisitions() == 0 && self.locks.all().iter().any(|m| m.failures() > 0);
        match (self.locks.was_violated(), self.failed || idle) {
            (true, _) => ExitCode::from(3),
            (false, true) => ExitCode::from(1),
            (false, false) => ExitCode::SUCCESS,
        }
    }
}

impl OnScreen {
    /// The time from one frame to the next: short when something happened, longer when only clocks move.
    fn due(&self, locks: &Locks) -> Duration {
        match (self.changed, locks.first().is_paused()) {
            (true, _) => self.frame,
            (false, false) => IDLE_FRAME.max(self.frame),
            (false, true) => PAUSED_FRAME,
        }
    }
}

/// Says something on standard error; where that is gone too, there is nobody to tell.
fn complain(text: &str) {
    let _ = io::stderr().write_all(format!("flockmon: {text}\n").as_bytes());
}
