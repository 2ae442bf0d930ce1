//! What watching costs and how fast it is, each figure beside its target, in one table: `cargo bench --bench targets`.
//!
//! Whatever is compared is run in turn in one process tree: the median of the pairs' ratios, with the lowest and the highest.
//! Words name the parts to run (`cost hold prompt fold screen memory fleet rivals`), a number how many pairs:
//! `cargo bench --bench targets -- cost 11`.
#![allow(missing_docs, clippy::print_stdout, clippy::print_stderr, clippy::expect_used, unsafe_code)]

mod bare;
mod hop;
mod program;
mod rivals;
#[path = "../support/mod.rs"]
mod support;
mod table;

use bare::{Hold, Loop};
use flockmon::dist::Dist;
use flockmon::event::{Event, What};
use program::Lab;
use std::io::sink;
use std::time::{Duration, Instant};
use support::{Screen, Traffic, model, populated};
use table::{Rows, Target};

/// How long each side of a pair is measured.
const SIDE: Duration = Duration::from_millis(400);
const FRAME: Duration = Duration::from_millis(33);
const MIB: f64 = 1024.0 * 1024.0;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    match words.first().map(String::as_str) {
        Some("bare-loop") => return bare::as_a_program(&words),
        Some("an-hour") => return an_hour(),
        _ => {}
    }
    let pairs = words.iter().find_map(|w| w.parse().ok()).unwrap_or(7);
    let names: Vec<&String> = words.iter().filter(|w| w.parse::<usize>().is_err()).collect();
    let wanted = |name: &str| names.is_empty() || names.iter().any(|w| *w == name);
    let mut rows = Rows::new(pairs);
    type Part = fn(&mut Rows);
    let parts: [(&str, Part); 8] = [
        ("cost", cost),
        ("hold", hold),
        ("prompt", prompt),
        // While this process is small: what it has is copied with each fork.
        ("fleet", fleet),
        ("fold", fold),
        ("screen", screen),
        ("memory", memory),
        ("rivals", rivals::all),
    ];
    parts.into_iter().filter(|(name, _)| wanted(name)).for_each(|(_, part)| part(&mut rows));
    rows.print();
}

/// Zero hold, kept open: the worst case there is.
fn cost(rows: &mut Rows) {
    for (workers, least) in [(1, 0.92), (2, 0.92), (10, 0.92), (100, 0.92), (1000, 0.85)] {
        let what = format!("monitored/bare, zero hold, kept open, {workers} workers");
        let mut lost = Vec::new();
        let pair = || {
            let bare = Loop { workers, ..Loop::default() }.rate(SIDE);
            let run = Lab { workers, ..Lab::default() }.run(SIDE);
            lost.push(run.lost as f64);
            (run.rate, bare)
        };
        if workers > 1 {
            rows.ratio_by_distance(&what, Target::AtLeast(least), pair);
        } else {
            rows.ratio(&what, Target::AtLeast(least), pair);
        }
        rows.figure(
            &format!("events lost or not in the histogram, {workers} workers"),
            Target::AtMost(0.0),
            "",
            &mut lost,
        );
    }
    for workers in [2, 10] {
        // What a non-blocking try before each call that waits changes by itself: no target, for the record.
        rows.ratio(&format!("bare with/without a first try, {workers} workers"), Target::None, || {
            let bare = Loop { workers, ..Loop::default() };
            let with = Loop { try_first: true, ..bare }.rate(SIDE);
            (with, bare.rate(SIDE))
        });
    }
}

fn hold(rows: &mut Rows) {
    for workers in [2, 10] {
        rows.ratio(
            &format!("monitored/bare, 10 µs hold, kept open, {workers} workers"),
            Target::AtLeast(0.97),
            || {
                let bare = Loop { workers, hold: Hold::Spin(10_000), ..Loop::default() }.rate(SIDE);
                (Lab { workers, hold: Dist::Fixed(10_000), ..Lab::default() }.run(SIDE).rate, bare)
            },
        );
        rows.ratio_by_distance(
            &format!("monitored/bare, zero hold, open and close each time, {workers} workers"),
            Target::AtLeast(0.97),
            || {
                let bare = Loop { workers, keep_open: false, ..Loop::default() }.rate(SIDE);
                (Lab { workers, keep_open: false, ..Lab::default() }.run(SIDE).rate, bare)
            },
        );
    }
    rows.ratio("handoff p50, monitored/bare, 1 ms hold, 0.1 ms think, 2 workers", Target::AtMost(1.05), || {
        let ms = 1_000_000;
        let bare = Loop { workers: 2, hold: Hold::Sleep(ms), think: ms / 10, ..Loop::default() }.handoff(SIDE);
        let lab = Lab { workers: 2, hold: Dist::Fixed(ms), think: Dist::Fixed(ms / 10), ..Lab::default() };
        (lab.run(SIDE).model.first().handoff().all().quantile(0.5).unwrap_or(0) as f64, bare)
    });
}

/// From the acquisition to the end of the first frame that shows it.
fn prompt(rows: &mut Rows) {
    let mut late: Vec<f64> = (0..rows.pairs)
        .map(|_| {
            let mut shown = Lab { workers: 10, hold: Dist::Fixed(5_000_000), ..Lab::default() }.run(2 * SIDE).shown;
            shown.sort_unstable();
            shown.get(shown.len().saturating_sub(1) * 99 / 100).map_or(f64::NAN, |ns| *ns as f64 / 1e6)
        })
        .collect();
    rows.figure("acquired to drawn, 5 ms hold, 30 frames/s, p99", Target::AtMost(34.5), "ms", &mut late);
}

/// Records a second on one core, and whether many workers make it slower.
fn fold(rows: &mut Rows) {
    // Enough for a thousand to have their turn twice: before and while it is measured.
    let traffic = |workers| Traffic::in_stints(workers, 2_600_000, 3);
    let (few, many) = (traffic(10), traffic(1000));
    let speed = |traffic: &Traffic| {
        let mut model = model();
        let (mut reader, records) = traffic.half(&mut model);
        let began = Instant::now();
        reader.fold(&mut model);
        records as f64 / began.elapsed().as_secs_f64() / 1e6
    };
    let (mut of_few, mut of_many, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rows.pairs.max(15) {
        let (a, b) = (speed(&few), speed(&many));
        of_few.push(a);
        of_many.push(b);
        ratios.push(b / a);
    }
    rows.figure("decode and fold, 10 workers", Target::AtLeast(20.0), "M records/s", &mut of_few);
    rows.figure("decode and fold, 1,000 workers", Target::AtLeast(20.0), "M records/s", &mut of_many);
    rows.figure("the same, 1,000 workers/10 workers", Target::AtLeast(0.9), "", &mut ratios);
}

fn screen(rows: &mut Rows) {
    let mut model = populated(1000);
    let mut screen = Screen::new(sink(), 200, 60);
    let mut frames = |n, rest| -> Vec<f64> {
        let frame = |_| {
            std::thread::sleep(rest);
            model.advance(model.now() + 33_000_000);
            let began = Instant::now();
            screen.draw(&model);
            began.elapsed().as_secs_f64() * 1e3
        };
        (0..n).map(frame).collect()
    };
    rows.figure("frame of 200x60, 1,000 workers", Target::AtMost(2.0), "ms", &mut frames(50, Duration::ZERO));
    let rest = Duration::from_secs(1);
    rows.figure("- the same after a second of rest", Target::None, "ms", &mut frames(rows.pairs, rest));
    rows.figure("- a page of memory after a second of rest", Target::None, "µs", &mut pages_after(rest, rows.pairs));
    let (mut idle, mut paused) = program::idle_and_paused(rows.pairs);
    rows.figure("monitor on screen, 10 workers, 1 s hold", Target::AtMost(1.0), "% of a core", &mut idle);
    rows.figure("the same, paused", Target::AtMost(0.2), "% of a core", &mut paused);
}

/// What it takes to look at a page of memory, in µs, after so long, so many times: what a processor that is shared may ask of
/// whatever was at rest, and a screen that is drawn seldom has to pay.
fn pages_after(rest: Duration, times: usize) -> Vec<f64> {
    const PAGE: usize = 4096;
    let memory = vec![1u8; 1024 * PAGE];
    let look = |_| {
        std::thread::sleep(rest);
        let began = Instant::now();
        std::hint::black_box(memory.iter().step_by(PAGE).map(|byte| u64::from(*byte)).sum::<u64>());
        began.elapsed().as_secs_f64() * 1e6 / (memory.len() / PAGE) as f64
    };
    (0..times).map(look).collect()
}

fn memory(rows: &mut Rows) {
    let me = std::env::current_exe().expect("this bench");
    let out = std::process::Command::new(me).arg("an-hour").output().expect("this bench again");
    let bytes: f64 = String::from_utf8_lossy(&out.stdout).trim().parse().expect("bytes");
    rows.figure(
        "resident after an hour of 1,000 workers at full spread",
        Target::AtMost(30.0),
        "MiB",
        &mut [bytes / MIB],
    );
    rows.figure(
        "resident after a minute of 1,000 workers at zero hold, kept open",
        Target::AtMost(30.0),
        "MiB",
        &mut [program::resident_at_full_speed(1000, Duration::from_secs(60)) as f64 / MIB],
    );
    rows.figure("PSS of a worker, of 10", Target::AtMost(150.0), "KiB", &mut program::worker_pss());
}

/// An hour of a thousand workers, told in a minute: 3,600 seconds of windows, waits from 200 ns to 16 s. Prints what is resident.
fn an_hour() {
    let mut model = model();
    // Each of them writes once.
    let traffic = Traffic::new(1000, 250_000);
    for round in 0..20u64 {
        let mut reader = traffic.reader();
        let mut hour = |events: &[Event]| {
            for mut event in events.iter().cloned().flat_map(Event::singly) {
                // A round is the 180 s that follow, 1,400 acquisitions a second.
                event.t = round * 180_000_000_000 + (event.t - 1_000_000_000) * 1028;
                if let What::Cycle { acquired, .. } = &mut event.what {
                    acquired.seq += round * traffic.records as u64;
                    if acquired.contended {
                        acquired.waited_ns = acquired.waited_ns * (1 + round * 14 + acquired.seq % 13) % 16_000_000_000;
                    }
                }
                model.apply(&event);
            }
        };
        while reader.round(&mut hour) {}
    }
    let mut screen = Screen::new(sink(), 200, 60);
    screen.draw(&model);
    // What the workers wrote, 4 MiB, is no part of the monitor.
    drop(traffic);
    // SAFETY: malloc_trim(3) gives free memory back to the kernel.
    unsafe { libc::malloc_trim(0) };
    println!("{}", program::resident("self"));
}

fn fleet(rows: &mut Rows) {
    let (mut started, mut ended) = (Vec::new(), Vec::new());
    for _ in 0..rows.pairs {
        let (start, end) = program::start_and_end(1000);
        started.push(start.as_secs_f64());
        ended.push(end.as_secs_f64());
    }
    rows.figure("1,000 workers forked and contending", Target::AtMost(0.5), "s", &mut started);
    rows.figure("1,000 workers reaped at the end", Target::AtMost(0.5), "s", &mut ended);
    let (start, end) = program::start_and_end(10_000);
    rows.figure("10,000 workers forked and contending", Target::None, "s", &mut [start.as_secs_f64()]);
    rows.figure("10,000 workers reaped at the end", Target::None, "s", &mut [end.as_secs_f64()]);
}
