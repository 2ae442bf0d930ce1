//! The terminal of a run, where there is one: taken, read, drawn on at most so many times a second, given back.

use super::{Next, Session};
use crate::cli::ShowArgs;
use crate::model::Locks;
use crate::tui::input::{Input, Keyboard};
use crate::tui::keymap::Place;
use crate::tui::terminal::Screen;
use crate::tui::{Column, Look, Request, Ui, view};
use anyhow::{Context, Error};
use crossbeam_channel::unbounded;
use std::time::{Duration, Instant};

/// Between two frames when nothing happens but time passes.
const IDLE_FRAME: Duration = Duration::from_millis(200);
/// The same while paused, when only the clock moves.
const PAUSED_FRAME: Duration = Duration::from_secs(1);

/// The screen and what is needed to draw on it.
pub(super) struct OnScreen {
    pub(super) screen: Screen,
    pub(super) ui: Ui,
    keyboard: Keyboard,
    pub(super) changed: bool,
    pub(super) drawn: Instant,
    frame: Duration,
}

impl OnScreen {
    /// The time from one frame to the next: short when something happened, longer when only clocks move.
    pub(super) fn due(&self, locks: &Locks) -> Duration {
        match (self.changed, locks.first().is_paused()) {
            (true, _) => self.frame,
            (false, false) => IDLE_FRAME.max(self.frame),
            (false, true) => PAUSED_FRAME,
        }
    }

    /// Whether nothing moves but the clock.
    fn stands_still(&self, locks: &Locks) -> bool {
        !self.changed && locks.first().is_paused()
    }
}

impl Session {
    pub(super) fn take_terminal(&mut self, show: &ShowArgs) -> Result<(), Error> {
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

    pub(super) fn input(&mut self, input: Input) -> Result<Next, Error> {
        let Some(on) = &mut self.on_screen else { return Ok(Next::On) };
        on.changed = true;
        let request = match input {
            Input::Key(key) => on.ui.on_key(key, &self.locks),
            Input::Mouse(mouse) => {
                on.ui.on_mouse(mouse, &self.locks);
                None
            }
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

    /// Gives the terminal back and stops, as any program does on ctrl-z. The lab pauses meanwhile, since nobody
    /// would read what the workers tell; whoever continues us continues it.
    pub(super) fn suspend(&mut self) -> Result<(), Error> {
        if !super::job::can_be_continued() {
            if let Some(on) = &mut self.on_screen {
                on.ui.say("no shell is there that could bring it back from ctrl-z: q quits".to_owned());
                on.changed = true;
            }
            return Ok(());
        }
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

    pub(super) fn resumed(&mut self) -> Result<(), Error> {
        if let Some(on) = &mut self.on_screen {
            on.screen.reenter()?;
            on.keyboard.resume();
            on.changed = true;
        }
        Ok(())
    }

    pub(super) fn draw_if_due(&mut self) -> Result<(), Error> {
        match &self.on_screen {
            Some(on) if on.drawn.elapsed() < on.due(&self.locks) => Ok(()),
            Some(on) if on.stands_still(&self.locks) => self.draw_clock(),
            Some(_) => self.draw(),
            None => Ok(()),
        }
    }

    /// Draws what moves while all else stands still. A whole frame needs some hundred pages of memory, and where processors are
    /// shared, each that rested for a second can take longer to be touched again than the frame would else.
    fn draw_clock(&mut self) -> Result<(), Error> {
        let Some(on) = &mut self.on_screen else { return Ok(()) };
        self.locks.advance(self.source.now());
        on.drawn = Instant::now();
        let (ui, locks) = (&on.ui, &self.locks);
        let is_drawn = on.screen.draw_first_line(|frame| view::draw_first_line(frame, locks, ui));
        if is_drawn.context("cannot draw on the terminal")? { Ok(()) } else { self.draw() }
    }

    pub(super) fn draw(&mut self) -> Result<(), Error> {
        let Some(on) = &mut self.on_screen else { return Ok(()) };
        self.locks.advance(self.source.now());
        on.ui.position = self.source.position();
        if on.ui.frozen.is_none() {
            on.ui.output = on.ui.in_detail().and_then(|id| Some((id, self.source.output(id)?)));
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
}
