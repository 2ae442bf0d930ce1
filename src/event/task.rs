//! A task of the system that uses a lock, as a watch sees it. Plain data, no I/O.

use super::LockKind;
use serde::{Deserialize, Serialize};

/// A task of the system, as it was when it appeared at a lock. Empty words where that cannot be seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Thread; none where threads are not told apart.
    pub tid: Option<i32>,
    /// Its name, `comm` of proc(5).
    pub comm: String,
    /// Its command line, arguments parted by blanks.
    pub cmdline: String,
    /// The user whose it is.
    pub user: String,
    /// The container that it runs in, as its control group names it.
    pub container: Option<String>,
    /// The kind of its lock: POSIX and open-file-description locks contend with each other.
    pub kind: LockKind,
    /// First and last byte (none: to the end) that it locks; none for a lock on the whole file.
    pub range: Option<(u64, Option<u64>)>,
}

/// A process that keeps a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keeper {
    /// Its process id.
    pub pid: i32,
    /// Its descriptor for the file.
    pub fd: i32,
    /// Its name, `comm` of proc(5).
    pub comm: String,
}

/// How a process is that others wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// It runs, or sleeps until something comes.
    #[default]
    Alive,
    /// It waits in the kernel and hears no signal (state `D`): a disk, a network file system.
    Uninterruptible,
    /// It has ended and was not reaped (state `Z`).
    Zombie,
    /// There is no such process any more.
    Gone,
}
