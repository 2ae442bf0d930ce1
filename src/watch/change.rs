//! What was seen of a lock, as both ways of seeing tell it: by lock and task, not yet numbered.
//! Plain data, no I/O. Times are ns of `CLOCK_MONOTONIC`.

use crate::event::{LockKind, LockMode};
use std::fmt;

/// A file as the kernel's lock code knows it: the superblock's device and the inode.
/// `stat(2)` may disagree on the device (overlayfs, btrfs).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId {
    /// Major number of the superblock's device.
    pub major: u32,
    /// Minor number of the superblock's device.
    pub minor: u32,
    /// Inode number.
    pub inode: u64,
}

impl FileId {
    /// The kernel's own `dev_t` (`MKDEV`, include/linux/kdev_t.h), as tracepoints carry it in `s_dev`.
    pub fn kernel_dev(self) -> u32 {
        self.major << 20 | self.minor
    }

    /// From the kernel's own `dev_t`.
    pub fn from_kernel(dev: u32, inode: u64) -> Self {
        Self { major: dev >> 20, minor: dev & 0xf_ffff, inode }
    }

    /// `major:minor` in decimal, as recordings and mountinfo have it.
    pub fn device(self) -> String {
        format!("{}:{}", self.major, self.minor)
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} {}", self.major, self.minor, self.inode)
    }
}

/// Locks of one family on one file exclude each other; those of different families do not (flock(2), fcntl(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// `flock(2)`.
    Flock,
    /// `fcntl(2)` record locks, POSIX and open-file-description ones: these two exclude each other.
    Record,
}

impl From<LockKind> for Family {
    fn from(kind: LockKind) -> Self {
        match kind {
            LockKind::Flock => Self::Flock,
            LockKind::Posix | LockKind::Ofd => Self::Record,
        }
    }
}

/// One lock that can be contended for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LockKey {
    /// The file.
    pub file: FileId,
    /// Which of its two locks.
    pub family: Family,
}

/// First and last byte of a record lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Range {
    /// First byte.
    pub start: u64,
    /// Last byte; none up to the end of the file, however far it grows.
    pub end: Option<u64>,
}

impl Range {
    /// The whole file.
    pub const WHOLE: Self = Self { start: 0, end: None };

    /// Whether they share a byte.
    pub fn overlaps(self, other: Self) -> bool {
        self.end.is_none_or(|end| end >= other.start) && other.end.is_none_or(|end| end >= self.start)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.end {
            Some(end) => write!(f, "{}-{end}", self.start),
            None => write!(f, "{}-EOF", self.start),
        }
    }
}

/// Who holds, waits or tries: a task as the initial pid namespace, or ours, numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId {
    /// Process (thread group); 0 where it lives in a pid namespace that cannot be seen, -1 where the kernel does not
    /// tell (an open-file-description lock whose owner was not found).
    pub pid: i32,
    /// Thread; 0 where the way of seeing does not tell threads apart.
    pub tid: i32,
}

/// One thing that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// When, in ns of `CLOCK_MONOTONIC`.
    pub t: u64,
    /// At which lock.
    pub lock: LockKey,
    /// Whose lock or request it is: for a release, the task that had acquired it, whoever released it.
    pub task: TaskId,
    /// Which kind of lock or request.
    pub kind: LockKind,
    /// Which bytes; none for flock.
    pub range: Option<Range>,
    /// What.
    pub deed: Deed,
}

/// What was seen; see [`Change`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// It held the lock already when watching began; since when is not known.
    Holding {
        /// Exclusive or shared.
        mode: LockMode,
    },
    /// It has to wait.
    Waiting {
        /// Exclusive or shared.
        mode: LockMode,
        /// It waited already when watching began; since when is not known.
        before: bool,
    },
    /// Non-blocking tries that failed (`LOCK_NB`, `F_SETLK`): it waits in a way of its own, unknown to the kernel.
    Tried {
        /// Exclusive or shared.
        mode: LockMode,
        /// How many since the last such change.
        count: u64,
    },
    /// It has the lock. A task that held it in the other mode has converted it.
    Acquired {
        /// Exclusive or shared.
        mode: LockMode,
        /// Whether it was seen to wait or to try in vain before.
        contended: bool,
        /// Which bytes it waited or tried for, where it did. What it gets may be more, with what it had beside them, or
        /// less, where it had a part of them already.
        asked: Option<Range>,
    },
    /// It goes on holding these bytes, which are a part of what it let go of at this instant: a record lock of which
    /// some bytes were unlocked or converted is told as released, then what is left of it as kept.
    Kept {
        /// Exclusive or shared.
        mode: LockMode,
        /// Since when it has held them, in ns; none where it held them already when watching began.
        since: Option<u64>,
    },
    /// It let go, or died, or lost it.
    Released,
    /// It waits no more and did not get the lock: interrupted, timed out, refused, dead.
    GaveUp,
    /// It was seen to wait, and then neither to wait nor to hold: between two looks it gave up, or got the lock and let
    /// go again. Only a way of seeing that looks now and then says this.
    Left,
}
