//! The kernel's own tracepoints of file locks, read from its memory as they happen: no compiler, no tool chain.
//!
//! - `tracefs.rs` finds the tracing file system and reads what an event is called and looks like;
//! - `format.rs` parses that;
//! - `sys.rs` holds the system calls.

use super::change::{Family, FileId, LockKey, Range, TaskId};
use crate::event::{LockKind, LockMode};

/// `F_RDLCK`, as `type` of a record has it (include/uapi/asm-generic/fcntl.h).
pub const READ: u8 = 0;
/// `F_WRLCK`.
pub const WRITE: u8 = 1;
/// `F_UNLCK`.
pub const UNLOCK: u8 = 2;
/// The request comes from a close or an exit (`FL_CLOSE`, include/linux/filelock.h).
pub const FL_CLOSE: u32 = 64;
/// The call may block (`FL_SLEEP`); also set in most unlocks.
pub const FL_SLEEP: u32 = 128;
/// Of an open file description (`FL_OFDLCK`); missing in the unlock by close.
pub const FL_OFDLCK: u32 = 1024;
/// The request waits from now on (`FILE_LOCK_DEFERRED`).
pub const DEFERRED: i32 = 1;

/// One record of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// When it was written, in ns of `CLOCK_MONOTONIC`: after the deed, by up to some 100 us where the writer was preempted in between.
    pub t: u64,
    /// On which CPU.
    pub cpu: u32,
    /// By which thread, as the initial pid namespace numbers it (`common_pid`).
    pub tid: i32,
    /// What.
    pub what: What,
}

/// What a record tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// `filelock:flock_lock_inode` or `filelock:posix_lock_inode`.
    Lock(Request),
    /// `signal:signal_deliver`: the thread is about to act on a signal.
    Signal {
        /// Which.
        sig: i32,
        /// 0 for the default action, 1 to ignore it, else the address of a handler.
        handler: u64,
        /// `sa_flags` of sigaction(2).
        flags: u64,
    },
    /// `sched:sched_process_exit`: the thread ends.
    Exit,
}

/// A lock or an unlock that the kernel carried out, put in the queue or refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The file.
    pub file: FileId,
    /// Which tracepoint: flock(2) or fcntl(2).
    pub family: Family,
    /// 0 done, [`DEFERRED`] waits, else `-errno`.
    pub ret: i32,
    /// Whose lock: a kernel address, of a file description (flock, OFD) or of a process's table of descriptors (POSIX).
    pub owner: u64,
    /// The request's own address: the same while one call waits.
    pub fl: u64,
    /// What it waits behind: another waiter's [`fl`](Self::fl), or the held lock; 0 where it does not wait.
    pub blocker: u64,
    /// Process (thread group) that asks, in the initial pid namespace.
    pub pid: i32,
    /// `FL_*` bits.
    pub flags: u32,
    /// [`READ`], [`WRITE`] or [`UNLOCK`].
    pub op: u8,
    /// First byte.
    pub start: i64,
    /// Last byte; `i64::MAX` for the end of the file. The kernel has merged it with what the owner held already.
    pub end: i64,
}

impl Request {
    /// At which lock.
    pub fn lock(&self) -> LockKey {
        LockKey { file: self.file, family: self.family }
    }

    /// Which kind; an unlock by close of an OFD lock passes for a POSIX one.
    pub fn kind(&self) -> LockKind {
        match self.family {
            Family::Flock => LockKind::Flock,
            Family::Record if self.flags & FL_OFDLCK != 0 => LockKind::Ofd,
            Family::Record => LockKind::Posix,
        }
    }

    /// Exclusive or shared; none for an unlock.
    pub fn mode(&self) -> Option<LockMode> {
        match self.op {
            READ => Some(LockMode::Shared),
            WRITE => Some(LockMode::Exclusive),
            _ => None,
        }
    }

    /// Which bytes; none for flock.
    pub fn range(&self) -> Option<Range> {
        (self.family == Family::Record).then(|| Range {
            start: u64::try_from(self.start).unwrap_or(0),
            end: (self.end != i64::MAX).then(|| u64::try_from(self.end).unwrap_or(0)),
        })
    }

    /// Whether the caller is ready to wait.
    pub fn blocks(&self) -> bool {
        self.flags & FL_SLEEP != 0
    }
}

impl Record {
    /// Who asks.
    pub fn task(&self, request: &Request) -> TaskId {
        TaskId { pid: request.pid, tid: self.tid }
    }
}

/// Which locks to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every lock of the system.
    All,
    /// The locks of these files, of both families.
    Files(Vec<FileId>),
}

/// Why the kernel's records cannot be had.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each says what it is")]
pub enum TraceError {
    #[error(
        "cannot watch exactly: tracefs, where the kernel describes its events, is not mounted: run `mount -t tracefs tracefs /sys/kernel/tracing` as root"
    )]
    NotMounted,
    #[error("cannot watch exactly: {tried}: {source}: {hint}")]
    Refused { tried: String, source: std::io::Error, hint: String },
    #[error("cannot watch exactly: this kernel has no event {event} (looked in {place})")]
    NoEvent { event: String, place: String },
    #[error("cannot watch exactly: the kernel's description of {event} is not understood: {why}")]
    Format { event: String, why: String },
    #[error("cannot watch exactly: {tried}: {source}")]
    System { tried: String, source: std::io::Error },
}
