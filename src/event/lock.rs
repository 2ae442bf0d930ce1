//! Which lock, and how it is held. Plain data, no I/O.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Whether several may hold the lock together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockMode {
    /// One holder (`LOCK_EX`, `F_WRLCK`).
    Exclusive,
    /// Any number of holders, none of them exclusive (`LOCK_SH`, `F_RDLCK`).
    Shared,
}

impl LockMode {
    /// The word used in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exclusive => "exclusive",
            Self::Shared => "shared",
        }
    }
}

/// Which of the kernel's advisory lock families is used; they do not see each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockKind {
    /// `flock(2)`: belongs to the open file description.
    #[default]
    Flock,
    /// `fcntl(2)` `F_SETLKW`: belongs to the process.
    Posix,
    /// `fcntl(2)` `F_OFD_SETLKW`: belongs to the open file description.
    Ofd,
}

impl LockKind {
    /// The word used in options and output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Flock => "flock",
            Self::Posix => "posix",
            Self::Ofd => "ofd",
        }
    }
}

impl fmt::Display for LockKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The file that is locked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockInfo {
    /// As the user named it.
    pub name: String,
    /// Which lock family.
    pub kind: LockKind,
    /// `major:minor` and inode where the lock is a file's.
    pub file: Option<(String, u64)>,
}
