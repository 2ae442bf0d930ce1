//! What all checks share: how long they wait, how they are interrupted, how they end.

use crate::event::LockKind;
use crate::format::dur;
use anyhow::{Error, anyhow};
use crossbeam_channel::Receiver;
use nix::errno::Errno;
use nix::sys::signal::{Signal, raise};
use serde_json::{Map, Value};
use signal_hook::consts::{SIGCHLD, SIGCONT, SIGTSTP};
use std::path::Path;
use std::time::Duration;

/// Why a check did not end well.
#[derive(Debug)]
pub(super) enum Stop {
    /// The lock broke a promise: which, in words.
    Broken(Found),
    /// The file system does not have this kind of lock.
    Unsupported(Errno),
    /// It could not be checked; nothing more can be.
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Stop {
    /// The lock broke a promise.
    pub(super) fn broken(text: impl Into<String>) -> Self {
        Self::Broken(Found::new(text))
    }

    /// A lock call failed.
    pub(super) fn by(kind: LockKind, errno: Errno) -> Self {
        match errno {
            Errno::ENOLCK | Errno::EOPNOTSUPP | Errno::ENOSYS => Self::Unsupported(errno),
            // What a kernel says that does not know the call (fcntl(2): OFD locks since 3.15).
            Errno::EINVAL if kind == LockKind::Ofd => Self::Unsupported(errno),
            _ => Self::Failed(anyhow!("cannot take or release a {kind} lock: {}", errno.desc())),
        }
    }

    /// The private file cannot be opened any more.
    pub(super) fn cannot_open(errno: Errno) -> Self {
        let hint = "does somebody else remove files there?";
        Self::Failed(anyhow!("cannot open the file that was made to be locked: {}; {hint}", errno.desc()))
    }
}

/// What a check has to say.
#[derive(Debug)]
pub(super) struct Found {
    /// A promise was seen to be kept, or to be broken.
    pub(super) proves: bool,
    pub(super) text: String,
    pub(super) figures: Map<String, Value>,
}

impl Found {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { proves: true, text: text.into(), figures: Map::new() }
    }

    /// Worth knowing, but it proves nothing.
    pub(super) fn info(text: impl Into<String>) -> Self {
        Self { proves: false, ..Self::new(text) }
    }

    pub(super) fn with(mut self, name: &str, figure: impl Into<Value>) -> Self {
        self.figures.insert(name.into(), figure.into());
        self
    }
}

/// Where a check takes place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stage<'a> {
    /// The file to lock.
    pub(super) path: &'a Path,
    /// How.
    pub(super) kind: LockKind,
    /// Processes in a round.
    pub(super) workers: u32,
    /// How long a round of contention lasts, in ns.
    pub(super) round_ns: u64,
    /// For how long something is waited for that should come at once.
    pub(super) patience: Duration,
    /// Signals to this process.
    pub(super) signals: &'a Receiver<i32>,
}

impl Stage<'_> {
    /// The patience in words.
    pub(super) fn waited(&self) -> String {
        dur(self.patience.as_nanos() as u64)
    }

    /// Heeds the signals that came. A child that ended is reported: whoever has a lab must reap.
    pub(super) fn heed(&self) -> Result<bool, Stop> {
        let mut ended = false;
        for signal in self.signals.try_iter() {
            ended |= heed(signal)?;
        }
        Ok(ended)
    }
}

/// Heeds one signal; whether a child ended.
pub(super) fn heed(signal: i32) -> Result<bool, Stop> {
    match signal {
        SIGCHLD => return Ok(true),
        // Ctrl-z stops us as it stops any program. The children are in groups of their own and wait for us.
        SIGTSTP => drop(raise(Signal::SIGSTOP)),
        SIGCONT => {}
        signal => {
            let name = Signal::try_from(signal).map_or("a signal", Signal::as_str);
            return Err(Stop::Failed(anyhow!("interrupted by {name} before all was checked; nothing is left behind")));
        }
    }
    Ok(false)
}
