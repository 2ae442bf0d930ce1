//! The loop: drains what has arrived, folds it, draws. Input comes first, then signals, then events.

use super::Failure;
use crate::cli::{Output, ShowArgs};
use crate::event::{Command, Event, What};
use crate::model::Model;
use crate::model::finding::News;
use crate::report::hgrm;
use crate::report::{Json, Jsonl, Log, Outlet, Perfetto, Progress, Report, Summary, Trouble, told};
use crate::source::{Batch, Source};
use crate::tui::input::{Input, Keyboard};
use crate::tui::terminal::Screen;
use crate::tui::{Look, Request, Ui, view};
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
    model: Model,
    on_screen: Option<Box<OnScreen>>,
    outlets: Vec<Outlet>,
    troubles: (Sender<Trouble>, Receiver<Trouble>),
    news: News,
    /// Standard output was closed by its reader: end quietly.
    deaf: bool,
    signals: Receiver<i32>,
    inputs: Receiver<Input>,
    /// When to end, in ns since the run began.
    pub(super) end_at: Option<u64>,
    /// After how many acquisitions to end.
    pub(super) limit: Option<u64>,
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
        let mut run = Self {
            model: Model::new(source.begin()),
            source,
            on_screen: None,
            outlets: Vec::new(),
            troubles: unbounded(),
            news: News::default(),
            deaf: false,
            signals,
            inputs: never(),
            end_at: None,
            limit: None,
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
        let look = Look { theme: show.theme, ascii: show.ascii, no_color: show.no_color || no_color() };
        let screen = Screen::enter()?;
        let (tx, rx) = unbounded();
        self.inputs = rx;
        let ui = Ui::new(look);
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
        let (begin, troubles, number) = (self.source.begin(), self.troubles.0.clone(), self.outlets.len());
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
                    self.source.admit(batch.map_err(|_| anyhow!("the thread that reads events ended unexpectedly"))?);
                }
                default(wake) => {}
            }
            if !full {
                self.take_due(&batches);
            }
            let now = self.source.now();
            let enough = self.limit.is_some_and(|n| self.model.acquisitions() >= n);
            if self.deaf || enough || self.source.is_over() || self.end_at.is_some_and(|t| now >= t) {
                return Ok(());
            }
            if let Some(progress) = &mut self.progress {
                let whole = self.end_at.or_else(|| self.source.position()?.length);
                progress.show(&self.model, now, whole, self.limit);
            }
            self.draw_if_due()?;
        }
    }

    /// What has come, but no longer than until somebody presses a key.
    fn take_due(&mut self, batches: &Receiver<Batch>) {
        for _ in 0..BATCHES {
            let events = self.source.due();
            if let Some(model) = self.source.rewound() {
                self.model = *model;
            }
            let nothing = events.is_empty();
            self.take(events);
            self.source.folded(&self.model);
            if let (Some(event), Some(on)) = (self.source.reached(), &mut self.on_screen) {
                on.ui.say(told(&event));
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
        if self.source.is_live() && !self.outlets.is_empty() {
            let news = self.news.since(&self.model);
            self.pass_on(news);
        }
    }

    /// How long nothing needs to be done unless something comes.
    fn wake_in(&self) -> Duration {
        let mut wake = NAP;
        if let Some(on) = &self.on_screen {
            wake = on.due(&self.model).saturating_sub(on.drawn.elapsed());
        }
        if let Some(progress) = &self.progress {
            wake = wake.min(progress.due());
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
            self.model.apply(event);
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
            let event = Event { t: self.source.now(), actor: 0, pid: 0, what: What::Warning { text } };
            self.take(vec![event]);
        }
    }

    fn input(&mut self, input: Input) -> Result<Next, Error> {
        let Some(on) = &mut self.on_screen else { return Ok(Next::On) };
        on.changed = true;
        let request = match input {
            Input::Key(key) => on.ui.on_key(key, &self.model),
            Input::Mouse(mouse) => on.ui.on_mouse(mouse, &self.model),
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
            Some(on) if on.drawn.elapsed() >= on.due(&self.model) => self.draw(),
            _ => Ok(()),
        }
    }

    fn draw(&mut self) -> Result<(), Error> {
        let Some(on) = &mut self.on_screen else { return Ok(()) };
        self.model.advance(self.source.now());
        on.ui.position = self.source.position();
        on.changed = false;
        on.drawn = Instant::now();
        let (ui, model) = (&mut on.ui, &self.model);
        on.screen.draw(|frame| view::draw(frame, model, ui)).context("cannot draw on the terminal")
    }

    /// Ends the source, takes in the last events, gives the terminal back.
    fn close(&mut self) {
        let now = self.source.now();
        let mut last = self.source.finish();
        if self.source.is_live() {
            last.push(Event { t: now, actor: 0, pid: 0, what: What::Ended });
        }
        self.take(last);
        self.model.advance(now);
        self.progress = None;
        if let Some(on) = &mut self.on_screen {
            on.screen.leave();
        }
    }

    /// Lets every report end: those beside first, so that their troubles are in the main one.
    fn tell_end(&mut self) {
        if let Some(Err(error)) = self.hgrm.as_deref().map(|folder| hgrm::write(folder, &self.model)) {
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
        if let Some(text) = self.source.farewell() {
            complain(&text);
        }
    }

    /// Waits for a report to be written, as long as its stream takes anything and nobody is in a hurry.
    fn end_outlet(&mut self, number: usize) {
        let model = &self.model;
        let Some(outlet) = self.outlets.get_mut(number) else { return };
        outlet.end(model);
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
        match Summary::new(io::stdout()).end(&self.model) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                self.failed = true;
                complain(&format!("cannot write to standard output: {error}"));
            }
            _ => {}
        }
    }

    fn status(&self) -> ExitCode {
        let idle = self.model.acquisitions() == 0 && self.model.failures() > 0;
        match (self.model.was_violated(), self.failed || idle) {
            (true, _) => ExitCode::from(3),
            (false, true) => ExitCode::from(1),
            (false, false) => ExitCode::SUCCESS,
        }
    }
}

impl OnScreen {
    /// The time from one frame to the next: short when something happened, longer when only clocks move.
    fn due(&self, model: &Model) -> Duration {
        match (self.changed, model.is_paused()) {
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

/// no-color.org: set and not empty.
fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty())
}
