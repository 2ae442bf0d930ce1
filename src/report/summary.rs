//! What the run came to: totals, then a row a worker.

use super::Report;
use crate::event::How;
use crate::format::{clock, count, dur, dur_or_dash, dur_within, percent, printable, rate, seconds, shell};
use crate::model::finding::findings;
use crate::model::{Actor, Latency, Locks, Model, State};
use std::io::{self, Write};

/// More workers than this are not listed one by one.
const ROWS: usize = 100;
/// Nor are more locks than this.
const LOCKS: usize = 20;

/// A title, and what stands below it for a worker.
type Column<'a> = (&'static str, Box<dyn Fn(&Actor) -> String + 'a>);

/// Writes nothing until the end, then the totals and a table.
#[derive(Debug)]
pub struct Summary<W: Write> {
    out: W,
}

impl<W: Write> Summary<W> {
    /// A summary to `out`.
    pub fn new(out: W) -> Self {
        Self { out }
    }

    fn totals(&mut self, locks: &Locks, model: &Model) -> io::Result<()> {
        let begin = model.begin();
        let streaks = model.streaks();
        let share = |s: Option<f64>| s.map_or_else(|| "-".into(), percent);
        let out = &mut self.out;
        writeln!(
            out,
            "flockmon {} \u{b7} {} \u{b7} {}",
            begin.origin.as_str(),
            model.info().kind,
            printable(&model.info().name)
        )?;
        if let Some(watch) = begin.watch.as_ref().filter(|w| w.how == How::Sampled) {
            writeln!(
                out,
                "sampled: times are right to {}, what is shorter may not have been seen",
                dur(watch.precision_ns)
            )?;
        }
        let since = model.now().saturating_sub(model.duration());
        if since > 0 {
            writeln!(out, "since {}, when the statistics before were forgotten:", clock(since))?;
        }
        writeln!(
            out,
            "{} acquisitions in {} ({}/s), {} contended, lock held {} of the time",
            count(model.acquisitions()),
            seconds(model.duration_active()),
            model.rate().map_or_else(|| "-".into(), rate),
            count(model.contended()),
            share(model.utilization()),
        )?;
        writeln!(
            out,
            "fairness {}   same holder {}   longest streak {}   overtaken at most {}",
            model.fairness().map_or_else(|| "-".into(), |f| format!("{f:.2}")),
            share(streaks.same_share()),
            streaks.longest,
            count(model.overtaken_max()),
        )?;
        writeln!(
            out,
            "violations {}   dropped {}   gave up {}   killed {}",
            model.violations(),
            count(model.dropped()),
            count(model.gave_up()),
            count(model.kills()),
        )?;
        at_the_end(model).iter().try_for_each(|text| writeln!(out, "{text}"))?;
        if let Some(words) = &begin.setup.command {
            let (ended, failed) = model.runs().map_or((0, 0), |r| (r.count, r.failed));
            let how = model.runs().map(|r| r.failures_in_words()).filter(|w| !w.is_empty());
            writeln!(
                out,
                "{} runs of {}, {} failed{}",
                count(ended),
                shell(words),
                count(failed),
                how.map(|how| format!(": {how}")).unwrap_or_default(),
            )?;
        }
        for finding in findings(locks, model) {
            writeln!(out, "! {}", printable(&finding.text()))?;
        }
        Ok(())
    }

    fn latencies(&mut self, model: &Model) -> io::Result<()> {
        writeln!(
            self.out,
            "\n{:<10}{:>9}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}",
            "", "count", "min", "mean", "p50", "p90", "p99", "max"
        )?;
        for (name, latency) in
            [("wait", model.wait().all()), ("hold", model.hold().all()), ("handoff", model.handoff().all())]
        {
            self.latency(name, &latency, model.precision())?;
        }
        Ok(())
    }

    fn latency(&mut self, name: &str, latency: &Latency, precision: u64) -> io::Result<()> {
        let f = latency.figures();
        let mean = f.mean.map(|m| m.round() as u64);
        write!(self.out, "{name:<10}{:>9}", count(f.count))?;
        for figure in [f.min, mean, f.p50, f.p90, f.p99, f.max] {
            write!(self.out, "{:>10}", dur_or_dash(figure, precision))?;
        }
        writeln!(self.out)
    }

    /// A row a worker. Columns are as wide as they must be, and those of what never happened are left out: with ten
    /// workers the table fits into 80 columns.
    fn workers(&mut self, model: &Model) -> io::Result<()> {
        // Those removed count as far as they did anything; one that was never at this lock is none of its workers.
        let rows = model.actors().iter().filter(|a| a.pid != 0 && (a.state != State::Removed || a.got > 0));
        let rows: Vec<&Actor> = rows.collect();
        let all = model.acquisitions().max(1) as f64;
        let time = |ns| dur_or_dash(ns, model.precision());
        let mut columns: Vec<Column<'_>> = vec![
            ("worker", Box::new(|a| printable(&model.label(a).0))),
            ("pid", Box::new(|a| model.label(a).1.to_string())),
            ("got", Box::new(|a| count(a.got))),
            ("share", Box::new(|a| percent(a.got as f64 / all))),
            ("wait p50", Box::new(|a| time(a.wait.quantile(0.5)))),
            ("p99", Box::new(|a| time(a.wait.quantile(0.99)))),
            ("max", Box::new(|a| time(a.wait.max()))),
            ("hold p50", Box::new(|a| time(a.hold.quantile(0.5)))),
            ("overtaken", Box::new(|a| count(model.overtaken_at_most(a)))),
        ];
        if rows.iter().any(|a| a.restarts > 0) {
            columns.push(("restarts", Box::new(|a| count(a.restarts))));
        }
        if model.runs_command() {
            columns.push(("failed", Box::new(|a| count(a.runs.as_ref().map_or(0, |r| r.failed)))));
        }
        columns.push((
            "state",
            Box::new(|a| match a.stopped_since {
                Some(_) => format!("stopped, {}", a.state.as_str()),
                None => a.state.as_str().into(),
            }),
        ));
        let heading: Vec<String> = columns.iter().map(|(title, _)| (*title).to_owned()).collect();
        let cells = rows.iter().take(ROWS).map(|a| columns.iter().map(|(_, cell)| cell(a)).collect());
        let lines: Vec<Vec<String>> = std::iter::once(heading).chain(cells).collect();
        let chars = |text: &String| text.chars().count();
        let widths: Vec<usize> =
            (0..columns.len()).map(|n| lines.iter().filter_map(|l| l.get(n)).map(chars).max().unwrap_or(0)).collect();
        writeln!(self.out)?;
        for line in &lines {
            let padded = line.iter().zip(&widths).enumerate().map(|(n, (text, width))| match n {
                0 => format!("{text:<width$}"),
                // The last needs no blanks behind it.
                _ if n + 1 == line.len() => format!(" {text}"),
                _ => format!("{text:>width$}"),
            });
            writeln!(self.out, "{}", padded.collect::<Vec<_>>().join(" "))?;
        }
        if let Some(more) = rows.len().checked_sub(ROWS).filter(|n| *n > 0) {
            writeln!(self.out, "... and {more} more")?;
        }
        Ok(())
    }
}

/// Who still waits, and who holds it meanwhile: what is not over is in no figure of those that are.
fn at_the_end(model: &Model) -> Vec<String> {
    let since = |a: &Actor| {
        let least = if a.before { "at least " } else { "" };
        format!("{} for {least}{}", a.full_name(), dur_within(model.in_state(a), model.precision(), false))
    };
    let Some((waiter, _)) = model.longest_waiter() else { return Vec::new() };
    let holds = match (model.holder_count(), model.holders().next()) {
        (_, None) => "nobody".into(),
        (1, Some(holder)) => since(holder),
        (n, Some(first)) => format!("{n}, the first {}", since(first)),
    };
    let waits = match model.waiting() {
        1 => since(waiter),
        n => format!("{n}, longest {}", since(waiter)),
    };
    vec![format!("still holding: {}", printable(&holds)), format!("still waiting: {}", printable(&waits))]
}

impl<W: Write + Send> Report for Summary<W> {
    fn sums_up(&self) -> bool {
        true
    }

    fn end(&mut self, locks: &Locks) -> io::Result<()> {
        if locks.all().is_empty() {
            writeln!(self.out, "flockmon {} \u{b7} no lock was seen", locks.begin().origin.as_str())?;
        }
        let mut busiest: Vec<&Model> = locks.all().iter().collect();
        busiest.sort_by_key(|m| std::cmp::Reverse((m.acquisitions(), m.waiting(), m.holder_count())));
        for (n, model) in busiest.iter().take(LOCKS).enumerate() {
            if n > 0 {
                writeln!(self.out)?;
            }
            self.totals(locks, model)?;
            self.latencies(model)?;
            self.workers(model)?;
        }
        if let Some(more) = busiest.len().checked_sub(LOCKS).filter(|n| *n > 0) {
            writeln!(self.out, "\n... and {more} more locks; --output json has them all")?;
        }
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Acquisition, Begin, Event, LockInfo, LockKind, LockMode, What};

    #[test]
    fn since_when_and_for_whom_it_counts_is_said() {
        let mut locks = Locks::new(Begin::of_lab(LockInfo { name: "/x".into(), kind: LockKind::Flock, file: None }, 2));
        let mut tell = |t: u64, actor: u32, what| {
            locks.apply(&Event { t: t * 1_000_000_000, lock: 0, actor, pid: 100 + actor as i32, what });
        };
        tell(0, 1, What::Spawned);
        tell(0, 2, What::Spawned);
        tell(3, 0, What::Reset);
        tell(4, 2, What::Removed);
        let mode = LockMode::Exclusive;
        let won = Acquisition { mode, seq: 1, waited_ns: 0, contended: false, handoff_ns: None, overtaken: 0 };
        tell(4, 1, What::Acquired(won));
        tell(5, 1, What::Stopped);
        let mut out = Vec::new();
        Summary::new(&mut out).end(&locks).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("since 00:00:03, when the statistics before were forgotten"), "{text}");
        assert!(text.contains("1 acquisitions in 2.000 s"), "{text}");
        assert!(text.contains("  stopped, holding\n"), "{text}");
        assert!(!text.contains("worker-2"), "removed, and it did nothing since: {text}");
    }

    #[test]
    fn what_is_not_over_is_said() {
        let info = LockInfo { name: "/x".into(), kind: LockKind::Flock, file: None };
        let mut locks = Locks::new(Begin::of_watch(info.clone(), false));
        let mut tell = |t: u64, actor: u32, what| {
            locks.apply(&Event { t: t * 1_000_000_000, lock: 0, actor, pid: 100 + actor as i32, what });
        };
        let mode = LockMode::Exclusive;
        tell(0, 0, What::Announced(Box::new(info)));
        tell(1, 1, What::Found { mode, holds: true });
        tell(1, 2, What::Found { mode, holds: false });
        tell(3, 3, What::Waiting { mode });
        locks.advance(101_000_000_000);
        let mut out = Vec::new();
        Summary::new(&mut out).end(&locks).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("\nstill holding: worker-1 (pid 101) for at least 1m 40s\n"), "{text}");
        assert!(text.contains("\nstill waiting: 2, longest worker-2 (pid 102) for at least 1m 40s\n"), "{text}");
    }

    #[test]
    fn ten_workers_fit_into_a_small_terminal() {
        let mut locks = Locks::new(Begin::of_lab(
            LockInfo { name: "/run/jobs.lock".into(), kind: LockKind::Flock, file: None },
            10,
        ));
        for id in 1..=10 {
            let mut tell =
                |t: u64, what| locks.apply(&Event { t, lock: 0, actor: id, pid: 1_234_560 + id as i32, what });
            let acquired = Acquisition {
                mode: LockMode::Exclusive,
                seq: u64::from(id),
                waited_ns: 10_051_000_000,
                contended: true,
                handoff_ns: Some(1_234_567),
                overtaken: 123_456,
            };
            tell(1, What::Spawned);
            tell(11_000_000_000, What::Cycle { acquired, held_ns: 1_001_000_000 });
        }
        let mut out = Vec::new();
        Summary::new(&mut out).end(&locks).unwrap();
        let text = String::from_utf8(out).unwrap();
        let wide: Vec<&str> = text.lines().filter(|line| line.chars().count() > 80).collect();
        assert!(wide.is_empty(), "{wide:#?}");
        assert!(!text.contains("restarts"), "nobody was started again: {text}");
    }
}
