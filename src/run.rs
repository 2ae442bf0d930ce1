//! The loop: drains what has arrived, folds it, draws. Input comes first, then signals, then events.

use crate::cli::{Cli, Output};
use crate::event::Command;
use crate::lab::target::Target;
use crate::lab::{Batch, Config, Lab};
use crate::model::Model;
use crate::report::{Log, Report, Summary};
use crate::tui::input::{Input, Keyboard};
use crate::tui::terminal::Screen;
use crate::tui::{Look, Request, Ui, view};
use anyhow::{Context, Error, anyhow};
use crossbeam_channel::{Receiver, Sender, bounded, never, select_biased, unbounded};
use signal_hook::consts::{SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
use signal_hook::iterator::Signals;
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Batches under way between the collector and this loop; when they are full, the pipes fill, and then workers count what they drop.
const BATCHES: usize = 256;
/// Between two frames when nothing happens but time passes.
const IDLE_FRAME: Duration = Duration::from_millis(100);
/// The same while paused, when only the clock moves.
const PAUSED_FRAME: Duration = Duration::from_secs(1);
/// The longest sleep of the loop.
const NAP: Duration = Duration::from_secs(3600);

/// Why a run did not end as it should.
#[derive(Debug)]
pub enum Failure {
    /// Wrong use or bad input: nothing was touched; exit status 2.
    BadInput(Error),
    /// It failed while running; exit status 1.
    Running(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Running(error)
    }
}

/// How the loop goes on.
#[derive(PartialEq, Eq)]
enum Next {
    On,
    Quit,
}

/// Runs what the command line asks for; gives the exit status.
///
/// # Errors
/// See [`Failure`].
pub fn run(cli: &Cli) -> Result<ExitCode, Failure> {
    let output = choose_output(cli)?;
    let target = Target::prepare(cli.lockfile.as_deref(), cli.lock).map_err(Failure::BadInput)?;
    let seed = u64::from(std::process::id()) ^ crate::lab::clock::now();
    let lab = Lab::start(Config::from_cli(cli, seed), target)?;
    // From here on there are threads; the first fleet was forked before.
    let mut run = Run::new(cli, lab, output)?;
    let ended = run.turn_until_end();
    run.close();
    let told = run.tell_end();
    ended?;
    told?;
    Ok(run.status())
}

fn choose_output(cli: &Cli) -> Result<Output, Failure> {
    let terminal = io::stdout().is_terminal();
    match cli.output {
        None if terminal => Ok(Output::Tui),
        None => Ok(Output::Log),
        Some(Output::Tui) if !terminal => Err(Failure::BadInput(anyhow!(
            "--output tui needs a terminal, but standard output is none: run it in a terminal, or use --output log or --output summary"
        ))),
        Some(output) => Ok(output),
    }
}

/// Who is told: the screen or a report.
enum Face {
    Screen(Box<OnScreen>),
    Report(Box<dyn Report>),
}

struct OnScreen {
    screen: Screen,
    ui: Ui,
    keyboard: Keyboard,
    changed: bool,
    drawn: Instant,
    frame: Duration,
}

struct Run {
    lab: Lab,
    model: Model,
    face: Face,
    /// A report's stream was closed by its reader: end quietly.
    deaf: bool,
    batches: Receiver<Batch>,
    signals: Receiver<i32>,
    inputs: Receiver<Input>,
    end_at: Option<u64>,
    limit: Option<u64>,
    failed: bool,
}

impl Run {
    fn new(cli: &Cli, mut lab: Lab, output: Output) -> Result<Self, Failure> {
        let model = Model::new(lab.begin());
        let signals = forward_signals()?;
        let (to_us, batches) = bounded(BATCHES);
        lab.listen(to_us)?;
        lab.reap();
        let mut inputs = never();
        let face = match output {
            Output::Tui => {
                let look = Look { theme: cli.theme, ascii: cli.ascii, no_color: cli.no_color || no_color() };
                let screen = Screen::enter()?;
                let (tx, rx) = unbounded();
                inputs = rx;
                Face::Screen(Box::new(OnScreen {
                    screen,
                    ui: Ui::new(look),
                    keyboard: Keyboard::spawn(tx).context("cannot start the keyboard thread")?,
                    changed: true,
                    drawn: Instant::now(),
                    frame: Duration::from_secs(1) / cli.fps,
                }))
            }
            Output::Log => Face::Report(Box::new(Log::new(io::stdout()))),
            Output::Summary => Face::Report(Box::new(Summary::new(io::stdout()))),
        };
        let (end_at, limit) = (cli.duration, cli.acquisitions);
        let mut run = Self { lab, model, face, deaf: false, batches, signals, inputs, end_at, limit, failed: false };
        let begin = run.model.begin().clone();
        run.report(|r| r.begin(&begin));
        Ok(run)
    }

    fn turn_until_end(&mut self) -> Result<(), Error> {
        self.draw()?;
        crate::panic_if_asked("main");
        loop {
            let wake = self.wake_in();
            select_biased! {
                recv(self.inputs) -> input => {
                    let input = input.map_err(|_| anyhow!("the keyboard thread ended unexpectedly"))?;
                    if self.input(input)? == Next::Quit { return Ok(()) }
                }
                recv(self.signals) -> signal => {
                    let signal = signal.map_err(|_| anyhow!("the signal thread ended unexpectedly"))?;
                    if self.signal(signal)? == Next::Quit { return Ok(()) }
                }
                recv(self.batches) -> batch => {
                    self.take(&batch.map_err(|_| anyhow!("the collector thread ended unexpectedly"))?);
                }
                default(wake) => {}
            }
            // What else has come, but no longer than until the next frame is due.
            for _ in 0..BATCHES {
                if !self.inputs.is_empty() || !self.signals.is_empty() {
                    break;
                }
                let Ok(batch) = self.batches.try_recv() else { break };
                self.take(&batch);
            }
            self.report(|r| r.flush());
            self.lab.respawn();
            let now = self.lab.now();
            let enough = self.limit.is_some_and(|n| self.model.acquisitions() >= n);
            if self.deaf || enough || self.lab.is_over() || self.end_at.is_some_and(|t| now >= t) {
                return Ok(());
            }
            self.draw_if_due()?;
        }
    }

    /// How long nothing needs to be done unless something comes.
    fn wake_in(&self) -> Duration {
        let mut wake = NAP;
        if let Face::Screen(on) = &self.face {
            wake = on.due(&self.model).saturating_sub(on.drawn.elapsed());
        }
        if let Some(ns) = self.lab.next_due() {
            wake = wake.min(Duration::from_nanos(ns));
        }
        if let Some(end) = self.end_at {
            wake = wake.min(Duration::from_nanos(end.saturating_sub(self.lab.now())));
        }
        wake
    }

    fn take(&mut self, batch: &Batch) {
        for event in batch {
            self.model.apply(event);
        }
        match &mut self.face {
            Face::Screen(on) => on.changed = true,
            Face::Report(_) => batch.iter().for_each(|event| self.report(|r| r.event(event))),
        }
    }

    /// Says something to a report; where its reader is gone (`| head`), the run ends quietly.
    fn report(&mut self, say: impl FnOnce(&mut dyn Report) -> io::Result<()>) {
        let Face::Report(report) = &mut self.face else { return };
        if self.deaf {
            return;
        }
        if let Err(error) = say(report.as_mut()) {
            self.deaf = true;
            if error.kind() != io::ErrorKind::BrokenPipe {
                self.failed = true;
                let text =
                    format!("flockmon: cannot write to standard output: {error}; free space or write elsewhere\n");
                let _ = io::Write::write_all(&mut io::stderr(), text.as_bytes());
            }
        }
    }

    fn input(&mut self, input: Input) -> Result<Next, Error> {
        let Face::Screen(on) = &mut self.face else { return Ok(Next::On) };
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
        let said = match self.lab.command(command) {
            Ok(said) => said,
            Err(error) => Some(format!("{error:#}")),
        };
        if let (Some(text), Face::Screen(on)) = (said, &mut self.face) {
            on.ui.say(text);
        }
    }

    fn signal(&mut self, signal: i32) -> Result<Next, Error> {
        match signal {
            SIGCHLD => self.lab.reap(),
            SIGTSTP => self.suspend()?,
            SIGCONT => self.resumed()?,
            _ => return Ok(Next::Quit),
        }
        Ok(Next::On)
    }

    /// Gives the terminal back and stops, as any program does on ctrl-z. The lab pauses meanwhile, since nobody
    /// would read what the workers tell; whoever continues us continues it.
    fn suspend(&mut self) -> Result<(), Error> {
        let was_paused = self.lab.is_paused();
        self.lab.pause(true);
        if let Face::Screen(on) = &mut self.face {
            on.keyboard.pause();
            on.screen.leave();
        }
        // Pid 0: the whole job, as the terminal would have done, so that whoever started us stops too.
        // The workers are in process groups of their own.
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(0), nix::sys::signal::Signal::SIGSTOP)
            .context("cannot stop on ctrl-z")?;
        self.resumed()?;
        self.lab.pause(was_paused);
        Ok(())
    }

    fn resumed(&mut self) -> Result<(), Error> {
        if let Face::Screen(on) = &mut self.face {
            on.screen.reenter()?;
            on.keyboard.resume();
            on.changed = true;
        }
        Ok(())
    }

    fn draw_if_due(&mut self) -> Result<(), Error> {
        match &self.face {
            Face::Screen(on) if on.drawn.elapsed() >= on.due(&self.model) => self.draw(),
            _ => Ok(()),
        }
    }

    fn draw(&mut self) -> Result<(), Error> {
        let Face::Screen(on) = &mut self.face else { return Ok(()) };
        self.model.advance(self.lab.now());
        on.changed = false;
        on.drawn = Instant::now();
        let (ui, model) = (&mut on.ui, &self.model);
        on.screen.draw(|frame| view::draw(frame, model, ui)).context("cannot draw on the terminal")
    }

    /// Stops the workers, takes in the last events, gives the terminal back.
    fn close(&mut self) {
        let now = self.lab.now();
        let batches = self.batches.clone();
        let mut last = Vec::new();
        self.lab.finish(|| last.extend(batches.try_iter().flatten()));
        self.take(&last);
        self.model.advance(now);
        if let Face::Screen(on) = &mut self.face {
            on.screen.leave();
        }
    }

    fn tell_end(&mut self) -> Result<(), Error> {
        if let Face::Screen(_) = &self.face {
            self.face = Face::Report(Box::new(Summary::new(io::stdout())));
        }
        let model = std::mem::replace(&mut self.model, Model::new(self.lab.begin()));
        self.report(|r| r.end(&model));
        self.model = model;
        if let Some(path) = self.lab.target().left_behind() {
            let text = format!(
                "flockmon: made the lock file {} and left it there: others may have opened it meanwhile\n",
                path.display()
            );
            let _ = io::Write::write_all(&mut io::stderr(), text.as_bytes());
        }
        Ok(())
    }

    fn status(&self) -> ExitCode {
        let idle = self.model.acquisitions() == 0 && self.model.failures() > 0;
        match (self.model.violations(), self.failed || idle) {
            (0, false) => ExitCode::SUCCESS,
            (0, true) => ExitCode::from(1),
            _ => ExitCode::from(3),
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

/// no-color.org: set and not empty.
fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty())
}

fn forward_signals() -> Result<Receiver<i32>, Error> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGCHLD, SIGTSTP, SIGCONT])
        .context("cannot install signal handlers")?;
    let (tx, rx): (Sender<i32>, _) = unbounded();
    let forward = move || {
        for signal in signals.forever() {
            crate::panic_if_asked("signals");
            if tx.send(signal).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(forward).context("cannot start the signal thread")?;
    Ok(rx)
}
