//! Takes the terminal and gives it back as it was: on leaving, on a panic in any thread, when dropped.

use super::surface::Surface;
use anyhow::{Context, Result};
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::event::{DisableMouseCapture, EnableMouseCapture};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::{Frame, Viewport};
use std::io::{self, BufWriter, Stdout, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once, PoisonError, TryLockError};
use std::time::{Duration, Instant};

/// Whether the terminal is ours at present; the panic hook must know, whichever thread panics.
static TAKEN: AtomicBool = AtomicBool::new(false);
static HOOK: Once = Once::new();
/// Held while a frame is written: whoever gives the terminal back meanwhile would have it drawn over.
static DRAWING: Mutex<()> = Mutex::new(());
/// For how long a frame under way is waited for; the panic may have come from within it.
const FRAME_ENDS: Duration = Duration::from_millis(100);

/// The terminal while it is ours.
pub struct Screen {
    surface: Surface<BufWriter<Stdout>>,
}

impl Screen {
    /// Takes the terminal: raw mode, alternate screen, mouse, no cursor.
    ///
    /// # Errors
    /// Standard output is no terminal, or does not answer.
    pub fn enter() -> Result<Self> {
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                restore();
                before(info);
            }));
        });
        take()?;
        let out = BufWriter::with_capacity(64 * 1024, io::stdout());
        let surface = Surface::new(out, Viewport::Fullscreen).context("cannot ask the terminal for its size");
        if surface.is_err() {
            restore();
        }
        Ok(Self { surface: surface? })
    }

    /// Gives the terminal back; does nothing where that has been done.
    pub fn leave(&mut self) {
        restore();
    }

    /// Takes the terminal again and draws everything anew with the next frame.
    ///
    /// # Errors
    /// The terminal does not answer.
    pub fn reenter(&mut self) -> Result<()> {
        take()?;
        self.surface.clear().context("cannot clear the terminal")
    }

    /// Draws a frame, unless the terminal has been given back.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn draw(&mut self, render: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        let _drawing = DRAWING.lock().unwrap_or_else(PoisonError::into_inner);
        if !TAKEN.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.surface.draw(render)
    }

    /// Draws the first line of a frame alone, where that can be: see [`Surface::draw_first_line`].
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn draw_first_line(&mut self, render: impl FnOnce(&mut Frame<'_>) -> bool) -> io::Result<bool> {
        let _drawing = DRAWING.lock().unwrap_or_else(PoisonError::into_inner);
        if !TAKEN.load(Ordering::SeqCst) {
            return Ok(true);
        }
        self.surface.draw_first_line(render)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

fn take() -> Result<()> {
    enable_raw_mode().context("cannot put the terminal into raw mode: is standard input a terminal?")?;
    TAKEN.store(true, Ordering::SeqCst);
    let entered = execute!(io::stdout(), EnterAlternateScreen, EnableMouseCapture, Hide);
    if entered.is_err() {
        restore();
    }
    entered.context("cannot switch the terminal to its alternate screen")
}

/// Gives the terminal back if it is ours. It may be gone: errors are of no use to anybody here.
fn restore() {
    let began = Instant::now();
    let _drawing = loop {
        match DRAWING.try_lock() {
            Err(TryLockError::WouldBlock) if began.elapsed() < FRAME_ENDS => std::thread::yield_now(),
            taken => break taken,
        }
    };
    if TAKEN.swap(false, Ordering::SeqCst) {
        let mut out = io::stdout();
        let _ = execute!(out, EndSynchronizedUpdate, DisableMouseCapture, LeaveAlternateScreen, Show);
        let _ = out.flush();
        let _ = disable_raw_mode();
    }
}
