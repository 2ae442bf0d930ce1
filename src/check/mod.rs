//! `flockmon check DIR`: is the lock of this file system any good? A row a promise of flock(2) and fcntl(2), each
//! tried out with real processes on one private file in DIR, with a verdict.
//!
//! - `place.rs` is the folder, its file system, and the private file;
//! - `round.rs` has rounds of contention: a lab, whose ledger sees who holds the lock with whom;
//! - `steps.rs` has what is done step by step: one process holds, another tries;
//! - `stage.rs` is what these share; `report.rs` prints.

mod place;
mod report;
mod round;
mod stage;
mod steps;

use crate::cli::CheckArgs;
use crate::event::LockKind;
use crate::failure::Failure;
use crate::lock::flaw;
use crossbeam_channel::Receiver;
use place::{Place, Private, on_tmpfs};
use report::Report;
use serde::Serialize;
use serde_json::{Map, Value};
use stage::{Found, Stage, Stop};
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// What should come at once is given up after this time: a network file system may take seconds.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pairs of rounds, here and on a tmpfs, that the speed is taken from.
const PAIRS: u64 = 2;
const KINDS: [LockKind; 3] = [LockKind::Flock, LockKind::Posix, LockKind::Ofd];

/// What is checked: a promise, or something worth knowing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// Never two holders of an exclusive lock, under contention.
    Exclusive,
    /// Readers together, never with a writer.
    Shared,
    /// A holder that is killed loses the lock to one that waits.
    Death,
    /// So does one that closes the file.
    Close,
    /// One that waits sleeps, and is woken by the release.
    Wakes,
    /// Shared to exclusive and back.
    Conversion,
    /// A try fails at once while another holds the lock.
    NonBlocking,
    /// Different bytes of the file are locked apart.
    Bytes,
    /// Acquisitions a second, beside those on a tmpfs.
    Speed,
    /// Whether flock and fcntl locks see each other.
    FlockFcntl,
    /// POSIX and OFD locks see each other.
    PosixOfd,
}

impl Check {
    /// As it is called in the report.
    pub fn label(self) -> &'static str {
        match self {
            Self::Exclusive => "mutual exclusion",
            Self::Shared => "shared readers",
            Self::Death => "release on death",
            Self::Close => "release on close",
            Self::Wakes => "blocking wakes up",
            Self::Conversion => "conversion",
            Self::NonBlocking => "non-blocking try",
            Self::Bytes => "byte ranges",
            Self::Speed => "speed",
            Self::FlockFcntl => "flock and fcntl",
            Self::PosixOfd => "posix and ofd",
        }
    }

    /// Whether something is promised of it.
    pub fn is_promise(self) -> bool {
        !matches!(self, Self::Speed | Self::FlockFcntl)
    }

    /// Those of one kind of lock, in the order in which they are made.
    fn of(kind: LockKind) -> impl Iterator<Item = Self> {
        [
            Self::Exclusive,
            Self::Shared,
            Self::NonBlocking,
            Self::Wakes,
            Self::Close,
            Self::Death,
            Self::Conversion,
            Self::Bytes,
            Self::Speed,
        ]
        .into_iter()
        // flock knows only whole files.
        .filter(move |c| *c != Self::Bytes || kind != LockKind::Flock)
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As promised.
    Good,
    /// Not as promised.
    Broken,
    /// The file system does not have this kind of lock.
    NotSupported,
    /// Nothing is promised here, or nothing could be proved.
    Info,
}

/// One check of one kind of lock.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The kind; none where the check is about two of them.
    pub kind: Option<LockKind>,
    /// What was checked.
    pub check: Check,
    /// What came of it.
    pub verdict: Verdict,
    /// In words.
    pub text: String,
    /// In numbers, each null where there is none.
    pub figures: Map<String, Value>,
}

impl Row {
    /// As a row, unless nothing more can be checked.
    fn of(kind: Option<LockKind>, check: Check, done: Result<Found, Stop>) -> Result<Self, Failure> {
        let (verdict, found) = match done {
            Ok(found) => (if found.proves { Verdict::Good } else { Verdict::Info }, found),
            Err(Stop::Broken(found)) => (Verdict::Broken, found),
            Err(Stop::Unsupported(errno)) => (Verdict::NotSupported, Found::new(errno.desc())),
            Err(Stop::Failed(error)) => return Err(Failure::Running(error)),
        };
        Ok(Self { kind, check, verdict, text: found.text, figures: found.figures })
    }
}

/// What it comes to.
fn overall(rows: &[Row]) -> Verdict {
    let any = |v: Verdict| rows.iter().any(|r| r.verdict == v && r.check.is_promise());
    if any(Verdict::Broken) {
        Verdict::Broken
    } else if any(Verdict::Info) {
        Verdict::Info
    } else if any(Verdict::Good) {
        Verdict::Good
    } else {
        Verdict::NotSupported
    }
}

/// Checks the locks of the file system that a folder is on, and prints a verdict a row. The exit status is 3 where a
/// promise is broken, 1 where there is no kind of lock at all, and 0 where nothing is broken, proved or not. Call it in the main thread.
///
/// # Errors
/// The folder cannot be used (bad input), or what it takes to check is not to be had.
pub fn run(args: &CheckArgs, signals: &Receiver<i32>) -> Result<ExitCode, Failure> {
    flaw::take_on();
    let place = Place::prepare(&args.dir)?;
    let mut report = Report::begin(args, &place, io::stdout().lock())?;
    let plan = Plan { args, signals, reference: if place.is_tmpfs() { None } else { on_tmpfs() }, place: &place };
    plan.carry_out(&mut |row| report.row(row))?;
    let verdict = report.end()?;
    Ok(ExitCode::from(match verdict {
        Verdict::Broken => 3,
        Verdict::NotSupported => 1,
        Verdict::Good | Verdict::Info => 0,
    }))
}

struct Plan<'a> {
    args: &'a CheckArgs,
    signals: &'a Receiver<i32>,
    place: &'a Place,
    reference: Option<(Private, PathBuf)>,
}

impl Plan<'_> {
    fn carry_out(&self, tell: &mut dyn FnMut(Row) -> Result<(), Failure>) -> Result<(), Failure> {
        for kind in KINDS {
            let stage = self.stage(kind, &self.place.file);
            let missing = match steps::supported(&stage) {
                Err(Stop::Unsupported(errno)) => Some(errno),
                Err(Stop::Failed(error)) => return Err(Failure::Running(error)),
                // What else may be wrong is for the checks to tell.
                Ok(()) | Err(Stop::Broken(_)) => None,
            };
            for check in Check::of(kind) {
                let done = missing.map_or_else(|| self.check(check, &stage), |errno| Err(Stop::Unsupported(errno)));
                tell(Row::of(Some(kind), check, done)?)?;
            }
        }
        let stage = self.stage(LockKind::Flock, &self.place.file);
        tell(Row::of(None, Check::FlockFcntl, flock_and_fcntl(&stage))?)?;
        tell(Row::of(None, Check::PosixOfd, posix_and_ofd(&stage))?)
    }

    fn stage<'s>(&'s self, kind: LockKind, file: &'s Private) -> Stage<'s> {
        Stage {
            path: file.path(),
            kind,
            workers: self.args.workers,
            round_ns: self.args.duration,
            patience: flaw::patience().unwrap_or(PATIENCE),
            signals: self.signals,
        }
    }

    fn check(&self, check: Check, stage: &Stage<'_>) -> Result<Found, Stop> {
        match check {
            Check::Exclusive => round::exclusive(stage),
            Check::Shared => round::readers_and_writers(stage, steps::readers(stage)?),
            Check::Death => round::death(stage),
            Check::Close => steps::close(stage),
            Check::Wakes => steps::wakes(stage),
            Check::Conversion => steps::conversion(stage),
            Check::NonBlocking => steps::non_blocking(stage),
            Check::Bytes => steps::bytes(stage),
            Check::Speed => self.speed(stage),
            Check::FlockFcntl => flock_and_fcntl(stage),
            Check::PosixOfd => posix_and_ofd(stage),
        }
    }

    /// Both in turn, so that what else the machine does falls on both.
    fn speed(&self, stage: &Stage<'_>) -> Result<Found, Stop> {
        let (mut here, mut there) = (0.0, Some(0.0));
        for _ in 0..PAIRS {
            let ns = stage.round_ns / PAIRS;
            here += round::rate(stage, ns)? / PAIRS as f64;
            let reference = self.reference.as_ref().map(|(file, _)| round::rate(&self.stage(stage.kind, file), ns));
            there = match (there, reference) {
                (Some(sum), Some(Ok(rate))) => Some(sum + rate / PAIRS as f64),
                (_, Some(Err(Stop::Failed(error)))) => return Err(Stop::Failed(error)),
                // What is wrong with the lock of the tmpfs is not asked here.
                _ => None,
            };
        }
        let ratio = there.filter(|t| *t > 0.0).map(|t| here / t);
        let beside = match (&self.reference, there, ratio) {
            (Some((_, point)), Some(there), Some(ratio)) => {
                format!("{} on tmpfs ({}), ratio {ratio:.2}", per_second(there), point.display())
            }
            (Some((_, point)), ..) => format!("the tmpfs on {} has no such lock to compare with", point.display()),
            (None, ..) if self.place.is_tmpfs() => "this is a tmpfs itself".into(),
            (None, ..) => "no tmpfs to compare with that can be written to".into(),
        };
        let text = format!("{} acquisitions/s; {beside}", per_second(here));
        Ok(Found::info(text).with("per_s", here).with("tmpfs_per_s", there).with("ratio", ratio))
    }
}

fn per_second(rate: f64) -> String {
    crate::format::rate(rate)
}

fn flock_and_fcntl(stage: &Stage<'_>) -> Result<Found, Stop> {
    let exclude = steps::excludes(stage, LockKind::Flock, LockKind::Posix)?;
    let text = if exclude {
        "exclude each other, as on NFS, where flock is made of fcntl locks: one program must not use both"
    } else {
        "do not see each other, as on local file systems: programs that share a lock must use the same kind"
    };
    Ok(Found::info(text).with("exclude", exclude))
}

fn posix_and_ofd(stage: &Stage<'_>) -> Result<Found, Stop> {
    if steps::excludes(stage, LockKind::Posix, LockKind::Ofd)? {
        Ok(Found::new("exclude each other, as fcntl(2) says"))
    } else {
        Err(Stop::broken("do not see each other, though fcntl(2) says that they conflict"))
    }
}
