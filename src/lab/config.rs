//! What the lab is to do, whoever asks for it.

use crate::dist::{Dist, DurationError, parse_positive, plain};
use crate::event::LockKind;
use clap::ValueEnum;
use std::{fmt, str::FromStr};

/// What the lab is to do.
#[derive(Debug, Clone)]
pub struct Config {
    /// Workers at the start.
    pub workers: u32,
    /// How long to hold.
    pub hold: Dist,
    /// How long to think.
    pub think: Dist,
    /// The lock family.
    pub kind: LockKind,
    /// Share of shared locks, in percent.
    pub shared: u8,
    /// How to wait.
    pub acquire: Acquire,
    /// Open once.
    pub keep_open: bool,
    /// Whether workers come back.
    pub restart: Restart,
    /// Seeds the random choices.
    pub seed: u64,
    /// No acquisition beyond this number counts.
    pub limit: Option<u64>,
}

/// How a worker waits for the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acquire {
    /// In the kernel's queue.
    Block,
    /// Non-blocking tries, this many ns apart.
    Poll(u64),
    /// In the kernel's queue, for at most this many ns.
    Timeout(u64),
}

impl FromStr for Acquire {
    type Err = AcquireError;

    fn from_str(text: &str) -> Result<Self, AcquireError> {
        match text.split_once(':') {
            None if text == "block" => Ok(Self::Block),
            Some(("poll", every)) => Ok(Self::Poll(parse_positive(every)?)),
            Some(("timeout", after)) => Ok(Self::Timeout(parse_positive(after)?)),
            _ => Err(AcquireError::Unknown(text.into())),
        }
    }
}

impl fmt::Display for Acquire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Block => f.write_str("block"),
            Self::Poll(every) => write!(f, "poll:{}", plain(*every)),
            Self::Timeout(after) => write!(f, "timeout:{}", plain(*after)),
        }
    }
}

/// What is wrong with `--acquire`.
#[derive(Debug, thiserror::Error)]
pub enum AcquireError {
    /// Not one of the three words.
    #[error("'{0}' is not a way to wait: use block, poll:50ms or timeout:2s")]
    Unknown(String),
    /// The duration in it is wrong.
    #[error(transparent)]
    Duration(#[from] DurationError),
}

/// Whether workers that end come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Restart {
    /// Always, as containers do under `restart: always`.
    Always,
    /// Never: the run ends when the last one has ended.
    Never,
}

impl fmt::Display for Restart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Always => "always",
            Self::Never => "never",
        })
    }
}
