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

use super::change::{Change, FileId};
use super::grammar::{Grammar, SnapshotEntry, WINDOW};
use super::tracepoint::bpf::Bpf;
use super::tracepoint::merge::merge;
use super::tracepoint::perf::Perf;
use super::tracepoint::{Events, Record, Scope, TraceError, What, sys};
use crate::clock;
use std::sync::Arc;
use std::time::Duration;
mod snapshots;
use self::snapshots::Snapshots;

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
        // At a million records a second and CPU it lasts for 130 ms: half of that was too short once on a busy virtual machine.
        Self { ring: 8 << 20, way: None }
    }
}

/// The longest nap between two looks at the rings; a full one of perf's wakes us before.
const NAP: Duration = Duration::from_millis(10);
/// The same where nothing has happened of late.
const IDLE_NAP: Duration = Duration::from_millis(25);
/// How often the figures of [`Stats`] are made anew.
const STATS: u64 = 1_000_000_000;
/// What a record costs the one who makes it, in ns, where it hurts most; see benches/watch.rs.
const COST_PERF: f64 = 1000.0;
const COST_BPF: f64 = 250.0;

enum Source {
    Perf(Perf),
    Bpf(Bpf),
}

/// Sees every lock, wait and release in its scope from [`open`](Self::open) on. For one reader thread.
pub struct Tracer {
    source: Source,
    grammar: Grammar,
    snapshots: Snapshots,
    scope: Wanted,
    stats: Stats,
    /// Records, time and CPU time at the last making of the figures.
    mark: (u64, u64, u64),
    idle: bool,
    cheaper_refused: Option<TraceError>,
}

/// Which files the records may be of: what the kernel's filter lets through is more.
struct Wanted {
    files: Files,
    /// Before this time, in ns, the events of some CPUs were not there yet, but for the files of `before`.
    since: u64,
    before: Files,
}

enum Files {
    All,
    Some(Vec<FileId>),
}

impl Files {
    fn of(scope: &Scope) -> Self {
        match scope {
            Scope::All => Self::All,
            Scope::Files(files) => {
                let mut files = files.clone();
                files.sort_unstable();
                Self::Some(files)
            }
        }
    }

    fn has(&self, file: FileId) -> bool {
        match self {
            Self::All => true,
            Self::Some(files) => match files[..] {
                [only] => file == only,
                _ => files.binary_search(&file).is_ok(),
            },
        }
    }
}

impl Wanted {
    fn has(&self, file: FileId, t: u64) -> bool {
        self.files.has(file) && (t >= self.since || self.before.has(file))
    }
}

impl Tracer {
    /// Begins to watch. What is held and waited for already comes from `locks`.
    ///
    /// # Errors
    /// Where the kernel's records cannot be had; says which privilege or setting is missing and how to grant it.
    pub fn open(scope: &Scope, options: Options, locks: ReadLocks) -> Result<Self, TraceError> {
        let events = Arc::new(Events::read()?);
        let perf = |events| Perf::open(events, scope, options.ring).map(Source::Perf);
        let mut cheaper_refused = None;
        let source = match options.way {
            Some(Way::Perf) => perf(events)?,
            Some(Way::Bpf) => Source::Bpf(Bpf::open(&events, scope, options.ring)?),
            None => match Bpf::open(&events, scope, options.ring) {
                Ok(bpf) => Source::Bpf(bpf),
                Err(why) => {
                    cheaper_refused = Some(why);
                    perf(events)?
                }
            },
        };
        let own_pids = !sees_all_pids();
        let mut this = Self {
            source,
            grammar: Grammar::default(),
            snapshots: Snapshots::start(locks, own_pids)?,
            scope: Wanted { files: Files::of(scope), since: clock::now(), before: Files::Some(Vec::new()) },
            stats: Stats::default(),
            mark: (0, clock::now(), sys::thread_time()),
            idle: false,
            cheaper_refused,
        };
        this.snapshots.want_first(&mut this.grammar);
        Ok(this)
    }

    /// Waits until something may be there, `timeout` at most, and appends what was seen, in the order of time, some
    /// milliseconds behind it.
    ///
    /// # Errors
    /// Where the wait fails; the tracer is of no use then.
    pub fn poll(&mut self, timeout: Duration, changes: &mut Vec<Change>) -> Result<(), TraceError> {
        let nap = timeout.min(if self.idle { IDLE_NAP } else { NAP });
        match &self.source {
            Source::Perf(perf) => perf.wait(u16::try_from(nap.as_millis()).unwrap_or(u16::MAX))?,
            Source::Bpf(_) => std::thread::sleep(nap),
        }
        let now = clock::now();
        let before = self.stats.records;
        let scope = &self.scope;
        self.snapshots.exchange(now, &mut self.grammar, |entry| scope.files.has(entry.lock.file));
        let horizon = now.saturating_sub(WINDOW);
        let (grammar, scope, stats) = (&mut self.grammar, &self.scope, &mut self.stats);
        let sink = |record: &Record| match record.what {
            What::Lost(count) => {
                stats.lost += count;
                grammar.record(record);
            }
            _ => {
                stats.records += 1;
                // The kernel's filter is coarser.
                if !matches!(record.what, What::Lock(request) if !scope.has(request.file, record.t)) {
                    grammar.record(record);
                }
            }
        };
        match &mut self.source {
            Source::Perf(perf) => merge(perf.lanes(), horizon, sink),
            Source::Bpf(bpf) => merge(bpf.lanes(), horizon, sink),
        }
        self.grammar.advance(horizon);
        self.grammar.drain(changes);
        self.idle = self.stats.records == before;
        self.figure(now);
        Ok(())
    }

    /// Looks at other files from now on; what is held there already comes from a fresh snapshot.
    ///
    /// # Errors
    /// Where the kernel refuses the filter; the old scope stays.
    pub fn set_scope(&mut self, scope: &Scope) -> Result<(), TraceError> {
        match &mut self.source {
            Source::Perf(perf) => perf.set_scope(scope)?,
            Source::Bpf(bpf) => bpf.set_scope(scope),
        }
        let files = Files::of(scope);
        self.grammar.retain(|lock| files.has(lock.file));
        let before = std::mem::replace(&mut self.scope.files, files);
        (self.scope.before, self.scope.since) = (before, clock::now());
        self.snapshots.want_first(&mut self.grammar);
        Ok(())
    }

    /// How the records reach us.
    pub fn way(&self) -> Way {
        match self.source {
            Source::Perf(_) => Way::Perf,
            Source::Bpf(_) => Way::Bpf,
        }
    }

    /// Why it is not [`Way::Bpf`], where that was not asked for.
    pub fn cheaper_refused(&self) -> Option<&TraceError> {
        self.cheaper_refused.as_ref()
    }

    /// What watching did and costs so far.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    fn figure(&mut self, now: u64) {
        let (records, since, cpu) = self.mark;
        let elapsed = now.saturating_sub(since);
        if elapsed < STATS {
            return;
        }
        let used = sys::thread_time();
        let cost = if self.way() == Way::Bpf { COST_BPF } else { COST_PERF };
        self.stats.records_per_s = (self.stats.records - records) as f64 * 1e9 / elapsed as f64;
        self.stats.observed_cpu = self.stats.records_per_s * cost / 1e9;
        self.stats.own_cpu = used.saturating_sub(cpu) as f64 / elapsed as f64;
        self.mark = (self.stats.records, now, used);
    }
}

/// Whether `/proc` here numbers tasks as the initial pid namespace does: that one has a fixed inode
/// (`PID_NS_INIT_INO`, include/uapi/linux/nsfs.h).
fn sees_all_pids() -> bool {
    std::fs::read_link("/proc/self/ns/pid").is_ok_and(|name| name.as_os_str() == "pid:[4026531836]")
}
