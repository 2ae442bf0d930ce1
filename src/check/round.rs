//! Rounds of contention: a lab whose ledger sees every acquisition.

use super::stage::{Found, Stage, Stop, heed};
use crate::dist::Dist;
use crate::event::{Command, Event, FailedAction, What};
use crate::format::{count, dur_or_dash};
use crate::lab::target::Target;
use crate::lab::{Acquire, Config, Lab, LabSource, Restart};
use crate::lock::flaw::{self, Flaw};
use crate::model::{Latency, Model};
use crate::source::Source;
use anyhow::anyhow;
use crossbeam_channel::select;
use nix::errno::Errno;
use std::time::{Duration, Instant};

/// Holds in a round are short and of all lengths up to this, in ns: long enough that two at once are seen.
const HOLD_NS: u64 = 50_000;
/// Share of readers in a round of readers and writers, in percent.
const READERS: u8 = 50;
/// A hold that ends only with its holder, in ns.
const FOR_EVER: u64 = 3_600_000_000_000;
/// Batches taken in a row before anything else has its turn.
const BATCHES: usize = 256;
/// The longest nap between two looks.
const NAP: Duration = Duration::from_millis(20);

/// A lab at work, and what has become of it so far.
struct Round<'a> {
    stage: &'a Stage<'a>,
    source: LabSource,
    model: Model,
    /// The latest acquisition told: its number, whose, when.
    latest: Option<(u64, u32, u64)>,
    failed: Option<(FailedAction, i32)>,
    /// Inode and device of the file.
    file: (u64, u64),
}

impl<'a> Round<'a> {
    fn start(stage: &'a Stage<'a>, hold: Dist, shared: u8, keep_open: bool) -> Result<Self, Stop> {
        let config = Config {
            workers: stage.workers,
            hold,
            think: Dist::Fixed(0),
            kind: stage.kind,
            shared,
            acquire: Acquire::Block,
            keep_open,
            restart: Restart::Always,
            seed: crate::clock::now(),
            limit: None,
        };
        let target = Target::prepare(Some(stage.path), stage.kind)?;
        let file = (target.inode(), target.device());
        let source = LabSource::listen(Lab::start(config, target)?)?;
        let model = Model::new(source.begin());
        Ok(Self { stage, source, model, latest: None, failed: None, file })
    }

    /// Goes on until `enough`; `false` where that was not reached within `patience`.
    fn until(&mut self, patience: Duration, enough: impl Fn(&Self) -> bool) -> Result<bool, Stop> {
        let began = Instant::now();
        let incoming = self.source.incoming();
        loop {
            // First what has come: this process may have been stopped for longer than anyone waits.
            if self.stage.heed()? {
                self.source.reap();
            }
            for batch in incoming.try_iter().take(BATCHES) {
                self.source.admit(batch);
            }
            for event in self.source.due() {
                self.take(event);
            }
            if let Some((action, errno)) = self.failed {
                let errno = Errno::from_raw(errno);
                return Err(match action {
                    FailedAction::Open => Stop::cannot_open(errno),
                    FailedAction::Lock | FailedAction::Unlock => Stop::by(self.stage.kind, errno),
                });
            }
            if enough(self) {
                return Ok(true);
            }
            let Some(left) = patience.checked_sub(began.elapsed()).filter(|l| !l.is_zero()) else { return Ok(false) };
            let due = self.source.next_due().map_or(NAP, Duration::from_nanos);
            select! {
                recv(self.stage.signals) -> signal => {
                    if heed(signal.unwrap_or(0))? {
                        self.source.reap();
                    }
                }
                recv(incoming) -> batch => match batch {
                    Ok(batch) => self.source.admit(batch),
                    Err(_) => return Err(Stop::Failed(anyhow!("the thread that reads what the workers tell has ended"))),
                },
                default(left.min(due).min(NAP)) => {}
            }
        }
    }

    fn take(&mut self, event: Event) {
        self.model.apply(&event);
        event.singly().for_each(|event| self.note(&event));
    }

    fn note(&mut self, event: &Event) {
        match &event.what {
            What::Acquired(won) | What::Cycle { acquired: won, .. } => {
                let newest = self.latest.map_or(0, |(seq, ..)| seq) < won.seq;
                self.latest = if newest { Some((won.seq, event.actor, event.t)) } else { self.latest };
            }
            What::Failed { action, errno } => self.failed = Some((*action, *errno)),
            _ => {}
        }
    }

    /// Ends it; where two held the lock at once, says so.
    fn end(mut self) -> Result<Self, Stop> {
        while let Some(last) = self.source.finish() {
            last.into_iter().for_each(|event| self.take(event));
        }
        if !Target::check(self.stage.path, self.file.0, self.file.1).0 {
            // Each worker opens it anew: some have locked one file, some another.
            return Err(Stop::cannot_open(Errno::ENOENT));
        }
        let violations = self.model.violations();
        if violations == 0 {
            return Ok(self);
        }
        let who = self.model.notes().find_map(|n| match n.event.what {
            What::Violation { other, other_pid, .. } => Some((n.event.actor, n.event.pid, other, other_pid)),
            _ => None,
        });
        let who = who.map_or_else(String::new, |(a, a_pid, b, b_pid)| {
            format!(": worker-{a} (pid {a_pid}) got it while worker-{b} (pid {b_pid}) had it, for example")
        });
        let of = self.model.acquisitions();
        let text =
            format!("VIOLATION of mutual exclusion, {} times in {} acquisitions{who}", count(violations), count(of));
        Err(Stop::Broken(Found::new(text).with("acquisitions", of).with("violations", violations)))
    }

    fn seq(&self) -> u64 {
        self.latest.map_or(0, |(seq, ..)| seq)
    }
}

impl Drop for Round<'_> {
    /// Whatever happened, no worker and no thread of it goes on.
    fn drop(&mut self) {
        while self.source.finish().is_some() {}
    }
}

/// Many take and release it as fast as they can, a part of them (in percent) shared.
fn contend<'a>(stage: &'a Stage<'a>, shared: u8) -> Result<Round<'a>, Stop> {
    let mut round = Round::start(stage, Dist::Uniform(0, HOLD_NS), shared, false)?;
    round.until(Duration::from_nanos(stage.round_ns), |_| false)?;
    round.until(stage.patience, |r| r.model.contended() > 0 || r.model.violations() > 0)?;
    let stuck = round.model.waiting();
    let round = round.end()?;
    if round.seq() == 0 {
        return Err(Stop::broken(nobody_got_it(stage)));
    }
    if stuck > 0 && round.model.contended() == 0 {
        let (times, waited) = (count(round.seq()), stage.waited());
        return Err(Stop::broken(format!(
            "{stuck} that waited never got the lock within {waited}, though it was taken and released {times} times"
        )));
    }
    Ok(round)
}

fn nobody_got_it(stage: &Stage<'_>) -> String {
    format!("nobody got the lock within {}, though nobody had it", stage.waited())
}

fn turns(round: &Round<'_>) -> String {
    let model = &round.model;
    let lost = match model.dropped() {
        0 => String::new(),
        n => format!(" ({} events lost, the machine is busy)", count(n)),
    };
    format!("{} acquisitions, {} had to wait{lost}", count(round.seq()), count(model.contended()))
}

/// What a round in which nothing was violated has to say.
fn found(round: &Round<'_>, text: String) -> Found {
    let model = &round.model;
    let found = if model.contended() > 0 {
        Found::new(text)
    } else {
        Found::info(format!("{text}; but no two met, which proves nothing: try more --workers or a longer --duration"))
    };
    found
        .with("acquisitions", round.seq())
        .with("contended", model.contended())
        .with("violations", model.violations())
        .with("dropped", model.dropped())
        .with("handoff_p50_ns", model.handoff().all().quantile(0.5))
}

/// Writers only: never two at once.
pub(super) fn exclusive(stage: &Stage<'_>) -> Result<Found, Stop> {
    let round = contend(stage, 0)?;
    Ok(found(&round, format!("{}, never two at once", turns(&round))))
}

/// Readers and writers: never a writer beside anybody.
pub(super) fn readers_and_writers(stage: &Stage<'_>, together: Found) -> Result<Found, Stop> {
    let round = contend(stage, READERS)?;
    let text = format!("{}; half writers: {}, never a writer beside another", together.text, turns(&round));
    Ok(found(&round, text))
}

/// Kills each holder: the kernel frees its lock, and one that waits gets it.
pub(super) fn death(stage: &Stage<'_>) -> Result<Found, Stop> {
    let mut round = Round::start(stage, Dist::Fixed(FOR_EVER), 0, false)?;
    let round_time = Duration::from_nanos(stage.round_ns);
    let (began, mut latencies) = (Instant::now(), Latency::default());
    // The acquisition whose holder was killed last, and when.
    let mut killed: Option<(u64, u64)> = None;
    loop {
        let last = killed.map_or(0, |(seq, ..)| seq);
        let got = round.until(stage.patience, |r| r.seq() > last)?;
        let Some((seq, holder, t)) = round.latest.filter(|_| got) else { break };
        if let Some((_, at)) = killed {
            latencies.record(t.saturating_sub(at));
        }
        if began.elapsed() >= round_time && killed.is_some() {
            break;
        }
        // Somebody must wait, else the next one would only find it free.
        if !round.until(stage.patience, |r| r.model.waiting() > 0 || r.model.violations() > 0)? {
            round.end()?;
            return Err(Stop::broken("while one held the lock, nobody had to wait for it"));
        }
        killed = Some((seq, round.source.now()));
        // How a lock that outlives its holder looks from outside.
        let command = if flaw::is(Flaw::OutlivesDeath) { Command::StallHolder(0) } else { Command::Kill(0, holder) };
        round.source.command(command)?;
    }
    let round = round.end()?;
    let waited = stage.waited();
    match killed {
        None => Err(Stop::broken(nobody_got_it(stage))),
        Some((seq, _)) if round.seq() <= seq => Err(Stop::broken(format!(
            "the holder was killed (SIGKILL) and its lock stayed: those that waited did not get it within {waited}"
        ))),
        Some(_) => {
            let (kills, half) = (latencies.count(), latencies.quantile(0.5));
            let text = format!(
                "{} holders killed (SIGKILL), each time another had it, after {} (median)",
                count(kills),
                dur_or_dash(half, 0)
            );
            Ok(Found::new(text).with("kills", kills).with("freed_p50_ns", half).with("violations", 0))
        }
    }
}

/// Acquisitions a second, on a file kept open, without a hold.
pub(super) fn rate(stage: &Stage<'_>, ns: u64) -> Result<f64, Stop> {
    let mut round = Round::start(stage, Dist::Fixed(0), 0, true)?;
    round.until(Duration::from_nanos(ns), |_| false)?;
    round.until(stage.patience, |r| r.seq() > 0)?;
    let round = round.end()?;
    match round.latest {
        Some((seq, _, t)) if t > 0 => Ok(seq as f64 * 1e9 / t as f64),
        _ => Err(Stop::broken(nobody_got_it(stage))),
    }
}
