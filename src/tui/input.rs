//! Reads the terminal in a thread of its own, so that a terminal that is gone cannot hang the loop.

use crossbeam_channel::Sender;
use ratatui::crossterm::event::{self, Event, KeyEvent, KeyEventKind, MouseEvent, MouseEventKind};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often the thread looks whether it shall rest, while nothing comes.
const LOOK: Duration = Duration::from_secs(10);
/// How often it looks whether it shall go on.
const REST: Duration = Duration::from_millis(20);

/// What came from the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A key was pressed.
    Key(KeyEvent),
    /// The mouse did something that has a meaning here.
    Mouse(MouseEvent),
    /// The size changed.
    Resize,
    /// The terminal is gone.
    Lost,
}

/// The thread that reads.
#[derive(Debug)]
pub struct Keyboard {
    resting: Arc<AtomicBool>,
}

impl Keyboard {
    /// Starts reading into `tx`.
    ///
    /// # Errors
    /// No thread is to be had.
    pub fn spawn(tx: Sender<Input>) -> io::Result<Self> {
        let resting = Arc::new(AtomicBool::new(false));
        let rests = Arc::clone(&resting);
        std::thread::Builder::new().name("keyboard".into()).spawn(move || read(&tx, &rests))?;
        Ok(Self { resting })
    }

    /// Leaves the terminal's input alone, while others use it.
    pub fn pause(&self) {
        self.resting.store(true, Ordering::SeqCst);
    }

    /// Reads again.
    pub fn resume(&self) {
        self.resting.store(false, Ordering::SeqCst);
    }
}

fn read(tx: &Sender<Input>, resting: &AtomicBool) {
    loop {
        if resting.load(Ordering::SeqCst) {
            std::thread::sleep(REST);
            continue;
        }
        let input = match event::poll(LOOK) {
            Ok(false) => continue,
            Ok(true) if resting.load(Ordering::SeqCst) => continue,
            Ok(true) => event::read().map_or(Some(Input::Lost), meaning),
            Err(_) => Some(Input::Lost),
        };
        crate::panic_if_asked("keyboard");
        let Some(input) = input else { continue };
        if tx.send(input).is_err() || input == Input::Lost {
            return;
        }
    }
}

fn meaning(event: Event) -> Option<Input> {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => Some(Input::Key(key)),
        Event::Mouse(mouse) => {
            matches!(mouse.kind, MouseEventKind::Down(_) | MouseEventKind::ScrollUp | MouseEventKind::ScrollDown)
                .then_some(Input::Mouse(mouse))
        }
        Event::Resize(..) => Some(Input::Resize),
        _ => None,
    }
}
