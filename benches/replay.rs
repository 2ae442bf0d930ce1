//! How fast a recording is replayed, against a loop of only the JSON parser over the same file, in turn.
//!
//! `cargo bench --bench replay -- [EVENTS] [PAIRS]`, by default 10 million events and 7 pairs (and a file of 1.6 GB in
//! the temporary folder, which is removed).
#![allow(missing_docs, clippy::print_stdout, clippy::expect_used)]

use flockmon::event::{Acquisition, Begin, Event, LockInfo, LockKind, LockMode, Origin, Setup, What};
use flockmon::record::{Line, LineWriter, write_begin};
use std::fs::File;
use std::hint::black_box;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

const WORKERS: u64 = 10;

fn main() {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let events = numbers.first().copied().unwrap_or(10_000_000);
    let pairs = numbers.get(1).copied().unwrap_or(7).max(1);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("run.jsonl");
    write(&file, events);
    let size = std::fs::metadata(&file).expect("the file").len();
    let mut rows: Vec<(f64, f64)> = Vec::new();
    for _ in 0..pairs {
        rows.push((seconds(|| parse(&file)), seconds(|| replay(&file))));
    }
    let median = |mut v: Vec<f64>| -> (f64, f64, f64) {
        v.sort_by(f64::total_cmp);
        (v[v.len() / 2], v[0], v[v.len() - 1])
    };
    let (parser, ..) = median(rows.iter().map(|r| r.0).collect());
    let (replayed, ..) = median(rows.iter().map(|r| r.1).collect());
    let (ratio, low, high) = median(rows.iter().map(|r| r.0 / r.1).collect());
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_CHILDREN).expect("getrusage");
    println!(
        "| events | file | parser only, events/s | replay, events/s | replay/parser | peak memory of the replay |"
    );
    println!("|---|---|---|---|---|---|");
    println!(
        "| {:.1} M | {} MB | {:.2} M | {:.2} M | {ratio:.2} ({low:.2} - {high:.2}) | {:.1} MB |",
        events as f64 / 1e6,
        size / 1_000_000,
        events as f64 / parser / 1e6,
        events as f64 / replayed / 1e6,
        usage.max_rss() as f64 / 1e3,
    );
}

fn seconds(run: impl FnOnce()) -> f64 {
    let began = Instant::now();
    run();
    began.elapsed().as_secs_f64()
}

/// The parser that the replay uses, into the same type, and nothing else.
fn parse(file: &Path) {
    let mut from = BufReader::with_capacity(1 << 17, File::open(file).expect("the file"));
    let mut text = Vec::new();
    let mut lines = 0u64;
    while from.read_until(b'\n', &mut text).expect("a line") > 0 {
        // The first line is of another type; it counts as little as one line does.
        lines += u64::from(serde_json::from_slice::<Line>(black_box(&text)).map(black_box).is_ok());
        text.clear();
    }
    assert!(lines > 0);
}

/// The real program: reads, folds, and prints the summary.
fn replay(file: &Path) {
    let status = Command::new(env!("CARGO_BIN_EXE_flockmon"))
        .args(["replay", "--no-config", "--output", "json"])
        .arg(file)
        .stdout(Stdio::null())
        .status()
        .expect("flockmon");
    assert!(status.success());
}

/// Ten workers in turn, three lines a turn, as a busy lab records them.
fn write(file: &Path, events: u64) {
    let mut out = BufWriter::new(File::create(file).expect("a file"));
    let begin = Begin {
        origin: Origin::Lab,
        version: "0".into(),
        started_at: "2026-01-01T00:00:00Z".into(),
        lock: LockInfo { name: "/run/jobs.lock".into(), kind: LockKind::Flock, file: Some(("254:0".into(), 42)) },
        workers: WORKERS as u32,
        hold_ns: 10_000,
        think_ns: 0,
        setup: Setup { hold: "10us".into(), think: "0".into(), ..Setup::default() },
        watch: None,
    };
    write_begin(&mut out, &begin).expect("a line");
    let mut lines = LineWriter::new(&begin);
    for turn in 0..events / 3 {
        let (t, seq, actor) = (turn * 50_000, turn + 1, (turn % WORKERS) as u32 + 1);
        let waited_ns = 400_000 + turn % 100_000;
        let mode = LockMode::Exclusive;
        let acquired = Acquisition {
            mode,
            seq,
            waited_ns,
            contended: true,
            handoff_ns: Some(30_000 + turn % 9_000),
            overtaken: 9,
        };
        let held_ns = 10_000 + turn % 3_000;
        for (t, what) in [
            (t.saturating_sub(waited_ns), What::Waiting { mode }),
            (t, What::Acquired(acquired)),
            (t + held_ns, What::Released { seq, held_ns }),
        ] {
            lines.event(&mut out, &Event { t, lock: 0, actor, pid: 1000 + actor as i32, what }).expect("a line");
        }
    }
    out.flush().expect("a flush");
}
