//! Checks in steps: a few processes, each told what to do next, and what must come of it.

use super::stage::{Found, Stage, Stop};
use crate::event::{LockKind, LockMode::*};
use crate::format::{count, dur, dur_or_dash};
use crate::lab::puppet::{Answer, Ask, Puppet};
use crate::lock::Bytes;
use crate::model::Latency;
use anyhow::{Context, anyhow};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

/// How long the longest nap between two looks at the signals is.
const NAP: Duration = Duration::from_millis(20);
/// Handoffs from a holder to one that waits.
const HANDOFFS: u32 = 5;
/// For how long one that waits is watched, at most.
const WATCHED: Duration = Duration::from_millis(100);
/// Woken up that often while nothing was released, it polls. One more than an unlucky signal or two.
const POLLS: u64 = 3;
/// Readers that are let in together, at most.
const READERS: u32 = 16;

/// One process of a check.
struct Actor<'a> {
    stage: &'a Stage<'a>,
    kind: LockKind,
    puppet: Puppet,
}

impl<'a> Actor<'a> {
    fn enter(stage: &'a Stage<'a>, kind: LockKind) -> Result<Self, Stop> {
        stage.heed()?;
        let path = CString::new(stage.path.as_os_str().as_bytes()).context("the path has a NUL byte in it")?;
        Ok(Self { stage, kind, puppet: Puppet::start(kind, &path)? })
    }

    /// The next answer; none within the patience.
    fn answer(&mut self) -> Result<Option<Answer>, Stop> {
        let began = Instant::now();
        loop {
            let last = began.elapsed() >= self.stage.patience;
            match self.puppet.answer(NAP)? {
                None if last => return Ok(None),
                None => drop(self.stage.heed()?),
                Some(Answer::CannotOpen(errno)) => return Err(Stop::cannot_open(errno)),
                Some(Answer::Failed(errno)) => return Err(Stop::by(self.kind, errno)),
                answer => return Ok(answer),
            }
        }
    }

    /// Asks for something that is done at once, or refused.
    fn ask(&mut self, ask: Ask) -> Result<bool, Stop> {
        self.puppet.ask(ask)?;
        match self.answer()? {
            Some(Answer::Yes(_)) => Ok(true),
            Some(_) => Ok(false),
            None => {
                Err(Stop::broken(format!("a call that must not wait did not return within {}", self.stage.waited())))
            }
        }
    }

    /// It must be done; else `broken` tells what is wrong.
    fn must(&mut self, ask: Ask, broken: &str) -> Result<(), Stop> {
        if self.ask(ask)? { Ok(()) } else { Err(Stop::broken(broken)) }
    }

    /// It must be refused; else `broken` tells what is wrong.
    fn must_not(&mut self, ask: Ask, broken: &str) -> Result<(), Stop> {
        if self.ask(ask)? { Err(Stop::broken(broken)) } else { Ok(()) }
    }

    /// Releases or closes; when.
    fn let_go(&mut self, ask: Ask) -> Result<u64, Stop> {
        self.puppet.ask(ask)?;
        match self.answer()? {
            Some(Answer::Yes(t)) => Ok(t),
            _ => Err(Stop::broken(format!("a release did not return within {}", self.stage.waited()))),
        }
    }

    /// Begins to wait for the lock, which another holds; returns when it sleeps.
    fn queue(&mut self) -> Result<(), Stop> {
        self.puppet.ask(Ask::Take(Exclusive))?;
        match self.answer()? {
            Some(Answer::Waits) => {}
            Some(_) => return Err(Stop::broken("a second process got the lock while another held it")),
            None => return Err(Stop::broken("a non-blocking try did not return while another held the lock")),
        }
        let began = Instant::now();
        // Where /proc tells nothing, or it never sleeps, the rest shows what comes of it.
        while self.proc("stat").is_some_and(|s| !is_asleep(&s)) && began.elapsed() < self.stage.patience {
            std::thread::sleep(Duration::from_micros(100));
            self.stage.heed()?;
        }
        Ok(())
    }

    /// Waits until it has the lock that it queued for; when it got it.
    fn woken(&mut self, by: &str) -> Result<u64, Stop> {
        match self.answer()? {
            Some(Answer::Yes(t)) => Ok(t),
            _ => Err(Stop::broken(format!(
                "after {by} the process that waited did not get the lock within {}",
                self.stage.waited()
            ))),
        }
    }

    fn proc(&self, file: &str) -> Option<String> {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.puppet.pid())).ok()
    }

    /// How often it went to sleep by itself so far (proc_pid_status(5)): once more than it was woken up.
    fn switches(&self) -> Option<u64> {
        let status = self.proc("status")?;
        status.lines().find_map(|l| l.strip_prefix("voluntary_ctxt_switches:"))?.trim().parse().ok()
    }
}

/// Whether a line of /proc/PID/stat is of a process that sleeps, be it uninterruptibly as on some network file systems.
fn is_asleep(stat: &str) -> bool {
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with(['S', 'D']))
}

/// Whether there is this kind of lock at all.
pub(super) fn supported(stage: &Stage<'_>) -> Result<(), Stop> {
    Actor::enter(stage, stage.kind)?.ask(Ask::Try(Exclusive)).map(drop)
}

/// A non-blocking try fails while somebody holds it, and at once.
pub(super) fn non_blocking(stage: &Stage<'_>) -> Result<Found, Stop> {
    let (mut a, mut b) = (Actor::enter(stage, stage.kind)?, Actor::enter(stage, stage.kind)?);
    a.must(Ask::Try(Exclusive), "a try for a free lock failed")?;
    b.must_not(Ask::Try(Exclusive), "an exclusive try succeeded while another process held the lock exclusively")?;
    b.must_not(Ask::Try(Shared), "a shared try succeeded while another process held the lock exclusively")?;
    a.let_go(Ask::Unlock)?;
    b.must(Ask::Try(Exclusive), "a try failed though the holder had unlocked")?;
    a.must_not(Ask::Try(Exclusive), "a try of the holder before succeeded though another process had the lock")?;
    Ok(Found::new("fails at once while it is held, succeeds after an unlock"))
}

/// Several readers at once, and no writer beside them.
pub(super) fn readers(stage: &Stage<'_>) -> Result<Found, Stop> {
    let number = stage.workers.min(READERS);
    let mut readers = Vec::new();
    for n in 1..=number {
        let mut reader = Actor::enter(stage, stage.kind)?;
        reader.must(Ask::Try(Shared), &format!("reader {n} was refused while {} other readers held it", n - 1))?;
        readers.push(reader);
    }
    let mut writer = Actor::enter(stage, stage.kind)?;
    while let Some(mut reader) = readers.pop() {
        let beside = format!("a writer got the lock beside {} readers", readers.len() + 1);
        writer.must_not(Ask::Try(Exclusive), &beside)?;
        reader.let_go(Ask::Unlock)?;
    }
    writer.must(Ask::Try(Exclusive), "a writer was refused though all readers had unlocked")?;
    let mut late = Actor::enter(stage, stage.kind)?;
    late.must_not(Ask::Try(Shared), "a reader got the lock beside a writer")?;
    Ok(Found::new(format!("{number} hold it together")))
}

/// Closing the file releases, and one that waits gets it.
pub(super) fn close(stage: &Stage<'_>) -> Result<Found, Stop> {
    let (mut a, mut b) = (Actor::enter(stage, stage.kind)?, Actor::enter(stage, stage.kind)?);
    a.must(Ask::Try(Exclusive), "a try for a free lock failed")?;
    b.queue()?;
    let closed = a.let_go(Ask::Close)?;
    let took = b.woken("the holder had closed the file")?.saturating_sub(closed);
    a.must_not(Ask::Try(Exclusive), "the lock could be taken again though the process that waited has it")?;
    Ok(Found::new(format!("the holder closed the file, the one that waited had it after {}", dur(took)))
        .with("freed_p50_ns", took))
}

/// One that waits sleeps until the release, and is woken by it.
pub(super) fn wakes(stage: &Stage<'_>) -> Result<Found, Stop> {
    let (mut a, mut b) = (Actor::enter(stage, stage.kind)?, Actor::enter(stage, stage.kind)?);
    let (mut latencies, mut idle) = (Latency::default(), None);
    a.must(Ask::Try(Exclusive), "a try for a free lock failed")?;
    for turn in 0..HANDOFFS {
        b.queue()?;
        if turn == 0 {
            idle = watch(&b)?;
        }
        let released = a.let_go(Ask::Unlock)?;
        latencies.record(b.woken("an unlock")?.saturating_sub(released));
        (a, b) = (b, a);
    }
    let half = latencies.quantile(0.5);
    let seen = match idle {
        Some((n, watched)) if n >= POLLS => {
            return Err(Stop::Broken(
                Found::new(format!(
                    "one that waits is not woken but looks again and again: {} times in {}, while nothing was released",
                    count(n),
                    dur(watched)
                ))
                .with("wakeups", n),
            ));
        }
        Some((_, watched)) => format!("one that waits sleeps (seen for {})", dur(watched)),
        None => "one that waits (whether it sleeps, /proc does not tell)".into(),
    };
    let text = format!("{seen}, has it {} after a release (median of {HANDOFFS})", dur_or_dash(half, 0));
    Ok(Found::new(text).with("wakeups", idle.map(|(n, _)| n)).with("woken_p50_ns", half))
}

/// How often it went back to sleep while it was watched, and for how long that was, in ns.
fn watch(waiter: &Actor<'_>) -> Result<Option<(u64, u64)>, Stop> {
    let (before, began) = (waiter.switches(), Instant::now());
    let window = WATCHED.min(Duration::from_nanos(waiter.stage.round_ns));
    while let Some(left) = window.checked_sub(began.elapsed()).filter(|l| !l.is_zero()) {
        std::thread::sleep(left.min(NAP));
        waiter.stage.heed()?;
    }
    let after = waiter.switches();
    let watched = began.elapsed().as_nanos() as u64;
    Ok(before.zip(after).map(|(before, after)| (after.saturating_sub(before), watched)))
}

/// A holder may turn its lock into one of the other kind (flock(2), fcntl(2)).
pub(super) fn conversion(stage: &Stage<'_>) -> Result<Found, Stop> {
    let mut actors =
        [Actor::enter(stage, stage.kind)?, Actor::enter(stage, stage.kind)?, Actor::enter(stage, stage.kind)?];
    let [a, b, c] = &mut actors;
    a.must(Ask::Try(Shared), "a try for a free lock failed")?;
    b.must(Ask::Try(Shared), "a second reader was refused")?;
    a.must_not(Ask::Convert(Exclusive), "one of two readers became the writer beside the other")?;
    b.let_go(Ask::Unlock)?;
    let kept = !c.ask(Ask::Try(Exclusive))?;
    if !kept {
        // flock(2): "the existing lock is first removed, and then a new lock is established".
        if stage.kind != LockKind::Flock {
            return Err(Stop::broken("a reader that could not become the writer lost its shared lock"));
        }
        c.let_go(Ask::Unlock)?;
        a.must(Ask::Try(Shared), "a try for a free lock failed")?;
    }
    a.must(Ask::Convert(Exclusive), "the only reader could not become the writer")?;
    b.must_not(Ask::Try(Shared), "a reader that became the writer let another reader in")?;
    a.must(Ask::Convert(Shared), "the writer could not become a reader")?;
    b.must(Ask::Try(Shared), "a writer that became a reader kept another reader out")?;
    b.let_go(Ask::Unlock)?;
    b.must_not(Ask::Try(Exclusive), "a writer that became a reader let a writer in")?;
    let lost = if kept { "keeps its shared lock" } else { "loses its shared lock, as flock(2) warns" };
    Ok(Found::new(format!("shared to exclusive and back; one that is refused {lost}")).with("kept", kept))
}

/// Locks on different bytes of a file have nothing to do with each other (fcntl(2)).
pub(super) fn bytes(stage: &Stage<'_>) -> Result<Found, Stop> {
    let (mut a, mut b) = (Actor::enter(stage, stage.kind)?, Actor::enter(stage, stage.kind)?);
    let at = |start, len| Bytes { start, len };
    let lock = |bytes| Ask::Bytes(Some(Exclusive), bytes);
    let unlock = |bytes| Ask::Bytes(None, bytes);
    a.must(lock(at(0, 10)), "bytes of a free file were refused")?;
    b.must(lock(at(10, 10)), "the bytes behind those that another process had locked were refused")?;
    b.must_not(lock(at(9, 1)), "a byte that another process had locked could be locked again")?;
    a.must_not(lock(at(0, 0)), "the whole file could be locked though another process had some bytes of it")?;
    b.must(unlock(at(10, 10)), "some bytes could not be unlocked")?;
    a.must(lock(at(0, 100)), "bytes that another process had unlocked were refused")?;
    a.must(unlock(at(40, 20)), "the middle of what was locked could not be unlocked")?;
    b.must(lock(at(40, 20)), "the unlocked middle of a range was refused")?;
    b.must_not(lock(at(39, 1)), "unlocking the middle of a range unlocked the part before it")?;
    b.must_not(lock(at(60, 1)), "unlocking the middle of a range unlocked the part behind it")?;
    Ok(Found::new("different bytes are locked apart, common ones exclude, a range can be split"))
}

/// Whether a lock of one kind keeps one of another out; none where one of them is not supported.
pub(super) fn excludes(stage: &Stage<'_>, one: LockKind, other: LockKind) -> Result<bool, Stop> {
    let (mut a, mut b) = (Actor::enter(stage, one)?, Actor::enter(stage, other)?);
    if !a.ask(Ask::Try(Exclusive))? {
        return Err(Stop::Failed(anyhow!("cannot lock the file that was made for it: does somebody else lock it?")));
    }
    b.ask(Ask::Try(Exclusive)).map(|got| !got)
}
