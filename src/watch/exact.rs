//! The exact way of seeing: the kernel's records, merged over the CPUs, through the grammar.
//!
//! What its changes mean, beyond what [`change`](super::change) says:
//! - they come in the order of their times;
//! - a hold is told by lock, task and range: `Released` has the very range of one `Acquired`, `Holding` or `Kept`
//!   before it. Ranges are as they were won, not merged with neighbours as the kernel does;
//! - a wait is told by lock and task alone, since a thread waits once at a time; its end, `Acquired` or `GaveUp`, may
//!   have another range;
//! - `Tried` begins a wait, too. `Waiting` may follow it (it tries first, then blocks); one `Acquired` or `GaveUp` ends both.
//!   `GaveUp` after `Tried` is stamped when it was noticed that no try came any more, or when the thread ended;
//! - a task that holds and asks for the other mode is told `Acquired` again (it got it at once) or first `Released`.

use super::change::Change;
use super::grammar::SnapshotEntry;
use super::tracepoint::{Scope, TraceError};
use std::time::Duration;

/// Reads the locks as they are now (`/proc/locks`); called on a thread of its own, a few times when watching begins and
/// every few seconds as a check. An error skips this once.
pub type ReadLocks = Box<dyn FnMut() -> std::io::Result<Vec<SnapshotEntry>> + Send>;

/// How the records reach us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A ring a CPU, written by perf.
    Perf,
    /// A ring a CPU, written by a small BPF program: a fraction of perf's cost to the observed.
    Bpf,
}

/// What watching did and costs so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stats {
    /// Records read.
    pub records: u64,
    /// Records that the kernel could not keep: the rings were full.
    pub lost: u64,
    /// Records a second, over the last second or so.
    pub records_per_s: f64,
    /// What the writing of records costs the observed, an estimate: share of one CPU.
    pub observed_cpu: f64,
    /// What the reader itself uses: share of one CPU.
    pub own_cpu: f64,
}

/// How to watch; the default suits all but experiments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bytes of the ring of one CPU, rounded up to a power of two.
    pub ring: usize,
    /// One way only; else BPF where allowed, perf where not.
    pub way: Option<Way>,
}

impl Default for Options {
    fn default() -> Self {
        Self { ring: 4 << 20, way: None }
    }
}

/// Sees every lock, wait and release in its scope from [`open`](Self::open) on. For one reader thread.
pub struct Tracer {}

impl Tracer {
    /// Begins to watch. What is held and waited for already comes from `locks`.
    ///
    /// # Errors
    /// Where the kernel's records cannot be had; says which privilege or setting is missing and how to grant it.
    pub fn open(scope: &Scope, options: Options, locks: ReadLocks) -> Result<Self, TraceError> {
        let _ = (scope, options, locks);
        Err(TraceError::NotMounted)
    }

    /// Waits until something may be there, `timeout` at most, and appends what was seen, in the order of time, some
    /// milliseconds behind it.
    ///
    /// # Errors
    /// Where the wait fails; the tracer is of no use then.
    pub fn poll(&mut self, timeout: Duration, changes: &mut Vec<Change>) -> Result<(), TraceError> {
        let _ = (timeout, changes);
        Ok(())
    }

    /// Looks at other files from now on; what is held there already comes from a fresh snapshot.
    ///
    /// # Errors
    /// Where the kernel refuses the filter; the old scope stays.
    pub fn set_scope(&mut self, scope: &Scope) -> Result<(), TraceError> {
        let _ = scope;
        Ok(())
    }

    /// How the records reach us.
    pub fn way(&self) -> Way {
        Way::Perf
    }

    /// What watching did and costs so far.
    pub fn stats(&self) -> Stats {
        Stats::default()
    }

    /// Whether pids as listed in `/proc` here are other than those in the records, because we live in a pid namespace
    /// of our own: what began before watching is not known then.
    pub fn in_pid_namespace(&self) -> bool {
        false
    }
}
