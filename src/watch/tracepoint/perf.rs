//! Records by way of perf: perf_event_open(2), a ring a CPU.

use super::merge::Lane;
use super::ring::Ring;
use super::sys::{self, Attr, Shared};
use super::{Events, Record, Scope, TraceError, What, online_cpus};
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

const TYPE_TRACEPOINT: u32 = 2;
const SAMPLE_TIME: u64 = 1 << 2;
const SAMPLE_RAW: u64 = 1 << 10;
/// disabled, watermark, sample_id_all (a time in every record), use_clockid.
const FLAGS: u64 = 1 | 1 << 14 | 1 << 18 | 1 << 25;
/// Places in `struct perf_event_mmap_page`.
const HEAD: usize = 1024;
const TAIL: usize = 1032;
const RECORD_LOST: u32 = 2;
const RECORD_SAMPLE: u32 = 9;
/// No record of ours is longer.
const LONGEST: u64 = 512;
/// A signal whose handler lets the call go on (`SA_RESTART`, sigaction(2)) changes nothing.
const INTERRUPTS: &str = "sa_handler == 0 || !(sa_flags & 0x10000000)";
/// A filter may be a page long; with more files than that the reader alone tells them apart.
const FILES_IN_FILTER: usize = 64;

/// The events of all CPUs, recording.
pub(crate) struct Perf {
    lanes: Vec<PerfLane>,
    /// The events of files, which are opened anew to change the filter: the kernel lets it be set once.
    filtered: Vec<OwnedFd>,
    /// Events that go on; that of signals owns the ring of its CPU.
    rings: Vec<OwnedFd>,
    others: Vec<OwnedFd>,
    events: Arc<Events>,
}

impl Perf {
    /// Opens them and lets them record, `ring` bytes for each CPU, less where memory may not be locked.
    pub fn open(events: Arc<Events>, scope: &Scope, ring: usize) -> Result<Self, TraceError> {
        let cpus = online_cpus()?;
        raise_limit(cpus.len());
        let mut this = Self { lanes: Vec::new(), filtered: Vec::new(), rings: Vec::new(), others: Vec::new(), events };
        let page = page_size();
        let mut size = ring.next_power_of_two().clamp(page, 1 << 30);
        for cpu in cpus {
            let Some(owner) = open(this.events.signal.0, cpu, (size / 4) as u32)? else { continue };
            let shared = loop {
                match Shared::map(owner.as_fd(), 0, page + size) {
                    Ok(shared) => break shared,
                    // More than RLIMIT_MEMLOCK and perf_event_mlock_kb allow together.
                    Err(e) if e.raw_os_error() == Some(libc::EPERM) && size > 16 * page => size /= 2,
                    Err(source) => {
                        let tried = format!("map a ring of {} KiB for CPU {cpu}", size >> 10);
                        return Err(TraceError::System { tried, source });
                    }
                }
            };
            filter(&owner, INTERRUPTS)?;
            if let Some(exit) = open(this.events.exit, cpu, (size / 4) as u32)? {
                join(&exit, &owner)?;
                this.others.push(exit);
            }
            let ring = Ring::new(shared, (HEAD, TAIL), page, size);
            this.lanes.push(PerfLane::new(cpu, ring, this.events.clone()));
            this.rings.push(owner);
        }
        this.set_scope(scope)?;
        this.rings.iter().chain(&this.others).try_for_each(enable)?;
        Ok(this)
    }

    /// Looks at these files from now on. For an instant both the old and the new events record.
    pub fn set_scope(&mut self, scope: &Scope) -> Result<(), TraceError> {
        let filter_text = match scope {
            Scope::Files(files) if files.len() <= FILES_IN_FILTER => Some(
                files
                    .iter()
                    .map(|file| format!("(i_ino == {} && s_dev == {})", file.inode, file.kernel_dev()))
                    .collect::<Vec<_>>()
                    .join(" || "),
            ),
            _ => None,
        };
        let mut fresh = Vec::new();
        for (lane, owner) in self.lanes.iter().zip(&self.rings) {
            for lock in [&self.events.flock, &self.events.posix] {
                if scope == &Scope::Files(Vec::new()) {
                    continue;
                }
                let Some(event) = open(lock.id, lane.cpu, (lane.ring.size / 4) as u32)? else { continue };
                if let Some(text) = &filter_text {
                    filter(&event, text)?;
                }
                join(&event, owner)?;
                fresh.push(event);
            }
        }
        fresh.iter().try_for_each(enable)?;
        self.filtered = fresh;
        Ok(())
    }

    pub fn lanes(&mut self) -> &mut [PerfLane] {
        &mut self.lanes
    }

    /// Sleeps until a ring is a quarter full, for at most `ms`.
    pub fn wait(&self, ms: u16) -> Result<(), TraceError> {
        let mut fds: Vec<PollFd<'_>> =
            self.rings.iter().map(|ring| PollFd::new(ring.as_fd(), PollFlags::POLLIN)).collect();
        match nix::poll::poll(&mut fds, PollTimeout::from(ms)) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(e) => Err(TraceError::System { tried: "wait for records of perf".into(), source: e.into() }),
        }
    }
}

/// One event on one CPU; none where that CPU has gone.
fn open(id: u64, cpu: u32, watermark: u32) -> Result<Option<OwnedFd>, TraceError> {
    let mut attr = Attr {
        kind: TYPE_TRACEPOINT,
        config: id,
        sample_period: 1,
        sample_type: SAMPLE_TIME | SAMPLE_RAW,
        flags: FLAGS,
        wakeup_watermark: watermark,
        clock: libc::CLOCK_MONOTONIC,
        ..Attr::default()
    };
    match sys::perf_event_open(&mut attr, cpu) {
        Ok(event) => Ok(Some(event)),
        Err(source) => match source.raw_os_error() {
            Some(libc::ENODEV | libc::ENXIO) => Ok(None),
            Some(libc::EACCES | libc::EPERM) => {
                Err(TraceError::refused("open a kernel event (perf_event_open)".into(), source))
            }
            Some(libc::EMFILE) => Err(TraceError::System {
                tried: "open a kernel event: raise the limit of open files (`ulimit -n`)".into(),
                source,
            }),
            _ => {
                Err(TraceError::System { tried: format!("open a kernel event on CPU {cpu} (perf_event_open)"), source })
            }
        },
    }
}

fn filter(event: &OwnedFd, text: &str) -> Result<(), TraceError> {
    let refused = |source| TraceError::System { tried: format!("set the filter {text:?} of a kernel event"), source };
    let text = CString::new(text).map_err(|e| refused(e.into()))?;
    sys::set_filter(event, &text).map_err(refused)
}

fn join(event: &OwnedFd, ring: &OwnedFd) -> Result<(), TraceError> {
    sys::set_output(event, ring)
        .map_err(|source| TraceError::System { tried: "join a kernel event to a ring".into(), source })
}

fn enable(event: &OwnedFd) -> Result<(), TraceError> {
    sys::enable(event).map_err(|source| TraceError::System { tried: "let a kernel event record".into(), source })
}

/// Four descriptors a CPU, two more while the filter changes. A refusal shows when they are opened.
fn raise_limit(cpus: usize) {
    let wanted = (cpus * 6 + 256) as u64;
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < wanted
    {
        // Beyond the hard limit only root may go.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, wanted, hard.max(wanted))
            .or_else(|_| setrlimit(Resource::RLIMIT_NOFILE, wanted.min(hard), hard));
    }
}

pub(super) fn page_size() -> usize {
    nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)
        .ok()
        .flatten()
        .and_then(|size| usize::try_from(size).ok())
        .filter(|size| size.is_power_of_two())
        .unwrap_or(4096)
}

/// The ring of one CPU.
pub(crate) struct PerfLane {
    cpu: u32,
    ring: Ring,
    next: Option<Next>,
    /// When the last record was written.
    last: u64,
    /// The ring was found full: perf tells of a loss only with the next record that finds room, which may be never.
    full: bool,
    /// A record that lies across the end of the ring is put together here.
    scratch: Vec<u8>,
    events: Arc<Events>,
}

#[derive(Clone, Copy)]
struct Next {
    t: u64,
    kind: u32,
    len: u64,
}

impl PerfLane {
    fn new(cpu: u32, ring: Ring, events: Arc<Events>) -> Self {
        Self { cpu, ring, next: None, last: 0, full: false, scratch: Vec::new(), events }
    }

    /// Steps to the next record that tells something.
    fn seek(&mut self) {
        self.next = None;
        let ring = &mut self.ring;
        while ring.tail < ring.head {
            let header = ring.word(ring.tail).unwrap_or(0).to_ne_bytes();
            let [a, b, c, d, _, _, e, f] = header;
            let (kind, len) = (u32::from_ne_bytes([a, b, c, d]), u64::from(u16::from_ne_bytes([e, f])));
            if len < 8 || len % 8 != 0 || len > ring.head - ring.tail {
                // Never seen; without a length there is no next record.
                ring.tail = ring.head;
                return;
            }
            let time = match kind {
                RECORD_SAMPLE => 8,
                RECORD_LOST => 24,
                _ => len,
            };
            if time + 8 <= len {
                let t = ring.word(ring.tail + time).unwrap_or(0);
                self.next = Some(Next { t, kind, len });
                return;
            }
            ring.tail += len;
        }
    }

    fn decode(&mut self, next: Next) -> Option<Record> {
        if next.kind == RECORD_LOST {
            let count = self.ring.word(self.ring.tail + 16)?;
            return Some(Record { t: next.t, cpu: self.cpu, tid: 0, what: What::Lost(count) });
        }
        let ring = &self.ring;
        let (begin, len) = (ring.at(ring.tail), next.len as usize);
        let room = ring.size as usize - (begin - ring.data);
        let sample = if len <= room {
            ring.shared.bytes(begin, len)
        } else {
            self.scratch.clear();
            self.scratch.extend_from_slice(ring.shared.bytes(begin, room));
            self.scratch.extend_from_slice(ring.shared.bytes(ring.data, len - room));
            &self.scratch
        };
        // Header, time, length of what follows, the record as tracing has it.
        let size = u32::from_ne_bytes(sample.get(16..20)?.try_into().ok()?) as usize;
        self.events.decode(next.t, self.cpu, sample.get(20..20usize.checked_add(size)?)?)
    }
}

impl Lane for PerfLane {
    fn fetch(&mut self) {
        self.ring.fetch();
        self.full |= self.ring.used() > self.ring.size - LONGEST;
        if self.next.is_none() {
            self.seek();
        }
    }

    fn next(&self) -> Option<u64> {
        self.next.map(|next| next.t).or(self.full.then_some(self.last))
    }

    fn take(&mut self) -> Option<Record> {
        let Some(next) = self.next else {
            // How many, the kernel tells later.
            return std::mem::take(&mut self.full).then_some(Record {
                t: self.last,
                cpu: self.cpu,
                tid: 0,
                what: What::Lost(0),
            });
        };
        self.last = next.t;
        let record = self.decode(next);
        self.ring.pass(next.len);
        self.seek();
        record
    }

    fn release(&mut self) {
        self.ring.release();
    }
}
