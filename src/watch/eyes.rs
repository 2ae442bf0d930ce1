//! The two ways of seeing behind one face: the kernel's records, or `/proc/locks` read again and again.

use super::askers::Askers;
use super::change::{Change, Family, FileId, LockKey};
use super::exact::{Options, ReadLocks, Tracer};
use super::grammar::Reading;
use super::ofd::{self, Tasks};
use super::process::{life, pids, waits};
use super::procfs::Reader;
use super::sampled::Sampler;
use super::tracepoint::{Scope, TraceError};
use crate::clock;
use crate::event::LockKind;
use anyhow::{Context, Result};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The files that are looked at; none is all.
type Files = Arc<Mutex<Option<Vec<FileId>>>>;

/// A way of seeing.
pub enum Eyes {
    /// By the kernel's own records.
    Exact(Box<Tracer>, Files),
    /// By reading `/proc/locks`.
    Sampled(Box<Readings>),
}

impl std::fmt::Debug for Eyes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Exact(..) => "Exact",
            Self::Sampled(_) => "Sampled",
        })
    }
}

/// Readings of `/proc/locks`, one after the other.
#[derive(Debug)]
pub struct Readings {
    reader: Reader,
    sampler: Sampler,
    every_ns: u64,
    due: u64,
    askers: Askers,
}

impl Eyes {
    /// Sees what the kernel records about `files`, or about all.
    ///
    /// # Errors
    /// Which privilege or setting is missing, and how to grant it.
    pub fn exact(files: Option<&[FileId]>) -> Result<Self, TraceError> {
        let wanted: Files = Arc::new(Mutex::new(files.map(<[FileId]>::to_vec)));
        let of = wanted.clone();
        let (mut reader, mut before) = (None, Vec::new());
        let read: ReadLocks = Box::new(move || {
            if reader.is_none() {
                reader = Some(Reader::new().map_err(std::io::Error::other)?);
            }
            let Some(reader) = reader.as_mut() else { return Ok(Reading::default()) };
            let read = reader.read().map_err(std::io::Error::other)?;
            let (mut rows, torn) = (read.rows.clone(), read.approximate);
            if let Some(files) = &*of.lock().unwrap_or_else(PoisonError::into_inner) {
                rows.retain(|row| row.file.is_some_and(|f| files.contains(&f)));
            }
            // Asked anew after each reading, while records still tell of whoever comes and goes: an older answer may name
            // one who has let go since.
            let asked = rows.iter().any(|row| row.kind.lock() == Some(LockKind::Ofd));
            let tasks = if asked { Tasks::among(&pids(), &rows) } else { Tasks::default() };
            let mut entries = ofd::entries(&rows, &tasks);
            ofd::find_threads(&mut entries, waits::threads, waits::of);
            let stopped = |pid| life(pid).is_some_and(|life| matches!(life.state, 'T' | 't'));
            ofd::add_stopped(&mut entries, &before, stopped);
            before.clone_from(&entries);
            Ok(Reading { entries, torn })
        });
        let tracer = Tracer::open(&scope(files), Options::default(), read)?;
        Ok(Self::Exact(Box::new(tracer), wanted))
    }

    /// Sees what stands in `/proc/locks` every `every_ns`.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn sampled(files: Option<&[FileId]>, every_ns: u64) -> Result<Self> {
        let reader = Reader::new()?;
        let sampler = Sampler::new(keys(files));
        Ok(Self::Sampled(Box::new(Readings { reader, sampler, every_ns, due: 0, askers: Askers::default() })))
    }

    /// Waits until there is something to see, `patience` at most, and appends it to `changes` in the order of time.
    ///
    /// # Errors
    /// It can see no more.
    pub fn see(&mut self, patience: Duration, changes: &mut Vec<Change>) -> Result<()> {
        match self {
            Self::Exact(tracer, _) => tracer.poll(patience, changes).context("the kernel's records cannot be read on"),
            Self::Sampled(readings) => readings.see(patience, changes),
        }
    }

    /// What was held back, at the end.
    pub fn finish(&mut self, changes: &mut Vec<Change>) {
        match self {
            // What is on its way comes within a moment; who is wrong about the last milliseconds harms nobody.
            Self::Exact(tracer, _) => drop(tracer.poll(Duration::ZERO, changes)),
            Self::Sampled(readings) => changes.extend(readings.sampler.finish()),
        }
    }

    /// Looks at other files from now on; none is all.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn look_at(&mut self, files: Option<&[FileId]>) -> Result<()> {
        match self {
            Self::Exact(tracer, wanted) => {
                // First: the snapshot that this asks for is of the new ones.
                *wanted.lock().unwrap_or_else(PoisonError::into_inner) = files.map(<[FileId]>::to_vec);
                tracer.set_scope(&scope(files)).context("cannot watch another file")
            }
            Self::Sampled(readings) => {
                readings.sampler.look_at(keys(files));
                Ok(())
            }
        }
    }

    /// Whether times are right to the ns, rather than to the interval.
    pub fn is_exact(&self) -> bool {
        matches!(self, Self::Exact(..))
    }

    /// Why it is not the cheapest way for those that are watched, where it is not.
    pub fn cost(&self) -> Option<String> {
        let why = match self {
            Self::Exact(tracer, _) => tracer.cheaper_refused()?,
            Self::Sampled(_) => return None,
        };
        let why = why.to_string();
        let why = why.trim_start_matches("cannot watch exactly: ");
        Some(format!("records come by perf, which slows busy locks more than BPF would: {why}"))
    }

    /// The threads that ended since this was asked last, and when; nothing where that is not seen.
    pub fn ended(&mut self) -> Vec<(u64, i32)> {
        match self {
            Self::Exact(tracer, _) => tracer.ended(),
            Self::Sampled(_) => Vec::new(),
        }
    }

    /// How many records were lost so far.
    pub fn lost(&self) -> u64 {
        match self {
            Self::Exact(tracer, _) => tracer.stats().lost,
            Self::Sampled(_) => 0,
        }
    }
}

/// Which kind of lock a file has now, if any.
pub fn kind_in_use(file: FileId) -> Option<LockKind> {
    Reader::new().ok()?.read().ok()?.of(file).find_map(|row| row.kind.lock())
}

impl Readings {
    fn see(&mut self, patience: Duration, changes: &mut Vec<Change>) -> Result<()> {
        let now = clock::now();
        if let Some(wait) = self.due.checked_sub(now).filter(|ns| *ns > 0) {
            std::thread::sleep(Duration::from_nanos(wait).min(patience));
            return Ok(());
        }
        // A reading that comes late does not make the next ones come in a heap.
        self.due = now.max(self.due).saturating_add(self.every_ns);
        self.reader.read()?;
        let sampler = &self.sampler;
        let tasks =
            self.askers.ask(&mut self.reader, self.every_ns, |row| row.key().is_some_and(|key| sampler.wants(key)))?;
        let mut tasks = tasks.by_file();
        let snapshot = self.reader.last();
        changes.extend(self.sampler.fold(snapshot.began, snapshot, |file| tasks.remove(&file).unwrap_or_default()));
        Ok(())
    }
}

fn scope(files: Option<&[FileId]>) -> Scope {
    files.map_or(Scope::All, |files| Scope::Files(files.to_vec()))
}

fn keys(files: Option<&[FileId]>) -> Option<HashSet<LockKey>> {
    let both = |file: &FileId| [Family::Flock, Family::Record].map(|family| LockKey { file: *file, family });
    files.map(|files| files.iter().flat_map(both).collect())
}
