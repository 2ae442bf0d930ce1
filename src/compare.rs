//! Two runs side by side: a row a figure, with the ratio. Reads their two files, and touches nothing else.

use crate::format::{count, dur, percent, printable, rate, seconds};
use crate::model::{Figures, Locks};
use crate::record::{Entry, Reader};
use crate::report::figures::RunFigures;
use anyhow::{Context, Result, anyhow, bail};
use std::fmt::Write;
use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

/// A summary of one object is no larger, in bytes.
const LARGEST: u64 = 32 << 20;

/// Reads both (a summary as JSON, or a recording, of which the summary is computed) and compares them.
///
/// # Errors
/// Which of them cannot be read, and what was expected.
pub fn compare(a: &Path, b: &Path) -> Result<String> {
    Ok(table(&a.display().to_string(), &figures(a)?, &b.display().to_string(), &figures(b)?))
}

fn figures(path: &Path) -> Result<RunFigures> {
    let shown = path.display();
    let mut file = File::open(path)
        .with_context(|| format!("cannot open {shown}: give a summary (--output json) or a recording (--record)"))?;
    if file.metadata().with_context(|| format!("cannot look at {shown}"))?.is_dir() {
        bail!("cannot compare {shown}: it is a folder; give a summary (--output json) or a recording (--record)");
    }
    let mut text = Vec::new();
    (&mut file).take(LARGEST).read_to_end(&mut text).with_context(|| format!("cannot read {shown}"))?;
    if let Ok(figures) = serde_json::from_slice::<RunFigures>(&text) {
        if figures.schema != crate::record::SCHEMA {
            bail!("cannot compare {shown}: it is written in schema {}, this flockmon reads 1", figures.schema);
        }
        return Ok(figures);
    }
    let whole = Cursor::new(text).chain(file);
    let wrong = |e| anyhow!("cannot compare {shown}: it is no summary (--output json), and as a recording: {e}");
    let (mut reader, begin) = Reader::open(whole).map_err(wrong)?;
    let mut locks = Locks::new(begin);
    loop {
        match reader.next().map_err(wrong)? {
            Entry::Event(event) => locks.apply(&event),
            Entry::Summary => {}
            Entry::Cut { .. } | Entry::End => return Ok(RunFigures::of(&locks)),
        }
    }
}

type Show = fn(f64) -> String;

fn table(name_a: &str, a: &RunFigures, name_b: &str, b: &RunFigures) -> String {
    let whole: Show = |n| count(n as u64);
    let share: Show = percent;
    let index: Show = |n| format!("{n:.2}");
    let time: Show = |n| dur(n as u64);
    let mut rows: Vec<(String, Option<f64>, Option<f64>, Show)> = Vec::new();
    let mut row = |name: &str, of: &dyn Fn(&RunFigures) -> Option<f64>, show: Show| {
        rows.push((name.to_owned(), of(a), of(b), show));
    };
    row("workers", &|f| Some(f.workers.len() as f64), whole);
    row("duration", &|f| Some(f.duration_ns as f64), |n| seconds(n as u64));
    row("acquisitions", &|f| Some(f.acquisitions as f64), whole);
    row("acquisitions/s", &|f| f.acquisitions_per_s, rate);
    row("contended", &|f| Some(f.contended as f64), whole);
    row("gave up", &|f| Some(f.gave_up as f64), whole);
    row("kills", &|f| Some(f.kills as f64), whole);
    row("violations", &|f| Some(f.violations as f64), whole);
    row("dropped", &|f| Some(f.dropped as f64), whole);
    if a.runs.is_some() || b.runs.is_some() {
        row("runs", &|f| Some(f.runs.as_ref()?.count as f64), whole);
        row("failed runs", &|f| Some(f.runs.as_ref()?.failed as f64), whole);
    }
    row("lock held", &|f| f.utilization, share);
    row("fairness", &|f| f.fairness, index);
    row("same holder", &|f| f.same_holder, share);
    row("longest streak", &|f| Some(f.longest_streak as f64), whole);
    row("overtaken at most", &|f| Some(f.overtaken_max as f64), whole);
    for (name, of) in [
        ("wait", (|f: &RunFigures| f.wait_ns) as fn(&RunFigures) -> Figures),
        ("hold", |f| f.hold_ns),
        ("handoff", |f| f.handoff_ns),
    ] {
        row(&format!("{name} mean"), &|f| of(f).mean, time);
        for (figure, pick) in [
            ("p50", (|d: &Figures| d.p50) as fn(&Figures) -> Option<u64>),
            ("p90", |d| d.p90),
            ("p99", |d| d.p99),
            ("max", |d| d.max),
        ] {
            row(&format!("{name} {figure}"), &|f| pick(&of(f)).map(|ns| ns as f64), time);
        }
    }
    if a.waiting > 0 || b.waiting > 0 {
        row("still waiting", &|f| Some(f64::from(f.waiting)), whole);
        row("longest so far", &|f| f.longest_wait_ns.map(|ns| ns as f64), time);
    }
    let mut out = String::new();
    for (letter, name, run) in [("A", name_a, a), ("B", name_b, b)] {
        let others = match run.locks.as_ref().map_or(0, Vec::len) {
            0 | 1 => String::new(),
            n => format!(" \u{b7} the first of {n} locks"),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{letter}  {name} \u{b7} {} \u{b7} {}{others}", run.lock.kind, printable(&run.lock.path));
    }
    let _ = writeln!(out);
    let _ = writeln!(out, "{:<18}{:>12}{:>12}{:>9}", "", "A", "B", "B/A");
    for (name, a, b, show) in rows {
        let cell = |n: Option<f64>| n.map_or_else(|| "-".into(), show);
        let ratio = match (a, b) {
            (Some(a), Some(b)) if a > 0.0 => format!("{:.2}", b / a),
            _ => "-".into(),
        };
        let _ = writeln!(out, "{name:<18}{:>12}{:>12}{ratio:>9}", cell(a), cell(b));
    }
    out
}
