//! The kernel's own tracepoints of file locks, read from its memory as they happen: no compiler, no tool chain.
//!
//! - `tracefs.rs` finds the tracing file system and reads what an event is called and looks like, `format.rs` parses it;
//! - `perf.rs` and `bpf.rs` are two ways to have the records written to memory, a ring a CPU; `asm.rs` is what the second
//!   needs of an assembler;
//! - `ring.rs` is a ring as the two read it, `merge.rs` puts those of all CPUs in the order of time;
//! - `sys.rs` holds the system calls.

mod asm;
pub(super) mod bpf;
pub mod format;
pub(super) mod merge;
pub(super) mod perf;
mod ring;
pub(super) mod sys;
mod tracefs;

use self::format::{Field, LockFormat, Missing, SignalFormat};
use self::tracefs::TraceFs;
use super::change::{Family, FileId, LockKey, Range};
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
    /// So many records of this CPU could not be kept at about this time; 0 where that is likely and the number not known yet.
    Lost(u64),
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

/// The four events as this kernel has them.
#[derive(Debug)]
pub(super) struct Events {
    flock: Lock,
    posix: Lock,
    signal: (u64, SignalFormat),
    exit: u64,
    kind: Field,
    tid: Field,
}

/// One of the two tracepoints of locks.
#[derive(Clone, Copy, Debug)]
struct Lock {
    id: u64,
    format: LockFormat,
    family: Family,
}

impl Events {
    /// Reads what tracefs says of them.
    pub fn read() -> Result<Self, TraceError> {
        let place = TraceFs::find()?;
        let unknown = |event: &str, why: Missing| TraceError::Format { event: event.to_owned(), why: why.to_string() };
        let lock = |name: &str, family| {
            let event = place.event(name)?;
            let format = LockFormat::of(&event.format).map_err(|why| unknown(name, why))?;
            Ok((Lock { id: event.id, format, family }, event.format))
        };
        let (flock, format) = lock("filelock:flock_lock_inode", Family::Flock)?;
        let (posix, _) = lock("filelock:posix_lock_inode", Family::Record)?;
        let common = |name: &str| format.field(&[name]).map_err(|why| unknown("filelock:flock_lock_inode", why));
        let (kind, tid) = (common("common_type")?, common("common_pid")?);
        let name = "signal:signal_deliver";
        let event = place.event(name)?;
        let signal = (event.id, SignalFormat::of(&event.format).map_err(|why| unknown(name, why))?);
        let exit = place.event("sched:sched_process_exit")?.id;
        Ok(Self { flock, posix, signal, exit, kind, tid })
    }

    /// The record in `raw`, as the kernel's tracing has it; none where it is none of ours.
    fn decode(&self, t: u64, cpu: u32, raw: &[u8]) -> Option<Record> {
        let tid = self.tid.read(raw)? as i32;
        let kind = self.kind.read(raw)?;
        let lock = |lock: &Lock| {
            let f = &lock.format;
            Some(What::Lock(Request {
                file: FileId::from_kernel(f.dev.read(raw)? as u32, f.ino.read(raw)?),
                family: lock.family,
                ret: f.ret.read(raw)? as i32,
                owner: f.owner.read(raw)?,
                fl: f.fl.read(raw)?,
                blocker: f.blocker.read(raw)?,
                pid: f.pid.read(raw)? as i32,
                flags: f.flags.read(raw)? as u32,
                op: f.op.read(raw)? as u8,
                start: f.start.read(raw)? as i64,
                end: f.end.read(raw)? as i64,
            }))
        };
        let what = if kind == self.flock.id {
            lock(&self.flock)?
        } else if kind == self.posix.id {
            lock(&self.posix)?
        } else if kind == self.signal.0 {
            let f = &self.signal.1;
            What::Signal { sig: f.sig.read(raw)? as i32, handler: f.handler.read(raw)?, flags: f.flags.read(raw)? }
        } else if kind == self.exit {
            What::Exit
        } else {
            return None;
        };
        Some(Record { t, cpu, tid, what })
    }
}

/// The CPUs that run now.
fn online_cpus() -> Result<Vec<u32>, TraceError> {
    cpus("/sys/devices/system/cpu/online")
}

/// The CPUs that may ever run.
fn possible_cpus() -> Result<Vec<u32>, TraceError> {
    cpus("/sys/devices/system/cpu/possible")
}

fn cpus(list: &str) -> Result<Vec<u32>, TraceError> {
    let refused = |source| TraceError::System { tried: format!("read {list}"), source };
    let text = std::fs::read_to_string(list).map_err(refused)?;
    parse_cpus(&text).ok_or_else(|| refused(std::io::Error::other(format!("no list of CPUs: {:?}", text.trim()))))
}

/// `0-3,6`.
fn parse_cpus(list: &str) -> Option<Vec<u32>> {
    let mut cpus = Vec::new();
    for part in list.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        if last > 1 << 16 {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus)
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

impl TraceError {
    /// A refusal for want of privilege, with what would grant it.
    fn refused(tried: String, source: std::io::Error) -> Self {
        let program = std::env::current_exe().map_or_else(|_| "flockmon".to_owned(), |exe| exe.display().to_string());
        let hint = format!(
            "run it as root, or grant CAP_PERFMON (kernel events), CAP_DAC_READ_SEARCH (their description in tracefs) and \
             CAP_BPF (optional: cheaper for the observed): \
             `sudo setcap cap_perfmon,cap_dac_read_search,cap_bpf+ep {program}` \
             (`sudo sysctl kernel.perf_event_paranoid=-1` stands for the first, for everyone)"
        );
        Self::Refused { tried, source, hint }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus_are_read() {
        assert_eq!(parse_cpus("0-3,6\n"), Some(vec![0, 1, 2, 3, 6]));
        assert_eq!(parse_cpus("0"), Some(vec![0]));
        for bad in ["", "x", "0-", "0-99999999"] {
            assert_eq!(parse_cpus(bad), None, "{bad}");
        }
    }
}
