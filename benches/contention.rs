//! What monitoring costs the lock: acquisitions a second of a bare fleet (same fork, same loop, no clock
//! reads, no events) and of the monitored one (pipes, fold, a screen drawn 30 times a second), in turn, in one run.
//!
//! `cargo bench --bench contention`; `-- SECONDS PAIRS` changes how long each side runs and how often.
#![allow(unsafe_code)]

use crossbeam_channel::bounded;
use flockmon::cli::{Acquire, Restart};
use flockmon::dist::Dist;
use flockmon::event::{LockKind, LockMode};
use flockmon::lab::ledger::{Doing, Shared};
use flockmon::lab::target::Target;
use flockmon::lab::{Config, Lab};
use flockmon::lock::Lock;
use flockmon::model::Locks;
use flockmon::tui::{Look, Ui, view};
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use ratatui::{Terminal, TerminalOptions, Viewport};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

const FRAME: Duration = Duration::from_millis(33);

fn main() {
    // Cargo passes `--bench`; other words that are no numbers are no concern of ours either.
    let mut numbers = std::env::args().skip(1).filter_map(|a| a.parse::<f64>().ok());
    let seconds = Duration::from_secs_f64(numbers.next().unwrap_or(0.7));
    let pairs = numbers.next().unwrap_or(7.0) as usize;
    println!("zero hold, keep-open, flock; {pairs} pairs of {seconds:?} a side; median (lowest - highest)\n");
    println!("| workers | bare, acq/s | monitored, acq/s | monitored/bare | lost |");
    println!("|---|---|---|---|---|");
    for workers in [1, 2, 10, 100] {
        let mut ratios = Vec::new();
        let (mut bares, mut watched, mut lost) = (Vec::new(), Vec::new(), 0);
        for _ in 0..pairs {
            let bare = bare(workers, seconds);
            let (monitored, dropped) = monitored(workers, seconds);
            ratios.push(monitored / bare);
            bares.push(bare);
            watched.push(monitored);
            lost += dropped;
        }
        let (low, ratio, high) = spread(&mut ratios);
        println!(
            "| {workers} | {:.0} k | {:.0} k | {ratio:.2} ({low:.2} - {high:.2}) | {lost} |",
            spread(&mut bares).1 / 1e3,
            spread(&mut watched).1 / 1e3,
        );
    }
}

fn spread(values: &mut [f64]) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    (values[0], values[values.len() / 2], values[values.len() - 1])
}

/// The loop alone.
fn bare(workers: u32, run_for: Duration) -> f64 {
    let target = Target::prepare(None, LockKind::Flock).expect("a temporary lock file");
    let shared = Shared::new().expect("a shared page");
    let control = shared.control();
    let start = control.generation();
    let mut children = Vec::new();
    for id in 1..=workers {
        // SAFETY: the child only makes system calls and leaves by _exit.
        match unsafe { nix::unistd::fork() }.expect("fork") {
            nix::unistd::ForkResult::Parent { child } => children.push(child),
            nix::unistd::ForkResult::Child => {
                let file = File::options().read(true).write(true).open(target.path()).expect("the lock file");
                let slot = shared.slot(id).expect("a slot");
                control.sleep(start, None);
                let mut turns = 0u64;
                while !control.stopping() {
                    let _ = LockKind::Flock.acquire(file.as_raw_fd(), LockMode::Exclusive);
                    let _ = LockKind::Flock.release(file.as_raw_fd());
                    turns += 1;
                }
                slot.set_doing(Doing::Else, turns);
                // SAFETY: leaves without running anything of the parent's.
                unsafe { libc::_exit(0) }
            }
        }
    }
    std::thread::sleep(Duration::from_millis(50));
    let began = Instant::now();
    control.announce();
    std::thread::sleep(run_for);
    control.set_stop();
    let took = began.elapsed();
    for child in children {
        let _ = nix::sys::wait::waitpid(child, None);
    }
    let turns: u64 = (1..=workers).filter_map(|id| shared.slot(id)).map(|s| s.doing().1).sum();
    turns as f64 / took.as_secs_f64()
}

/// The whole program but for the keys: pipes, collector, fold, frames of 120x36.
fn monitored(workers: u32, run_for: Duration) -> (f64, u64) {
    let target = Target::prepare(None, LockKind::Flock).expect("a temporary lock file");
    let config = Config {
        workers,
        hold: Dist::Fixed(0),
        think: Dist::Fixed(0),
        kind: LockKind::Flock,
        shared: 0,
        acquire: Acquire::Block,
        keep_open: true,
        restart: Restart::Always,
        seed: 1,
        limit: None,
    };
    let mut lab = Lab::start(config, target).expect("a fleet");
    let mut model = Locks::new(lab.begin());
    let (tx, batches) = bounded(256);
    lab.listen(tx).expect("a collector");
    let mut ui = Ui::new(Look::default());
    let sink = File::options().write(true).open("/dev/null").expect("/dev/null");
    let viewport = Viewport::Fixed(Rect::new(0, 0, 120, 36));
    let mut terminal =
        Terminal::with_options(CrosstermBackend::new(sink), TerminalOptions { viewport }).expect("a terminal");
    let (began, mut drawn) = (Instant::now(), Instant::now());
    while began.elapsed() < run_for {
        if let Ok(batch) = batches.recv_timeout(FRAME) {
            batch.events.iter().for_each(|event| model.apply(event));
        }
        if drawn.elapsed() >= FRAME {
            drawn = Instant::now();
            model.advance(lab.now());
            terminal.draw(|frame| view::draw(frame, &model, &mut ui)).expect("a frame");
        }
    }
    let took = began.elapsed();
    let mut rest = Vec::new();
    lab.finish(|| rest.extend(batches.try_iter().flat_map(|b| b.events)));
    rest.iter().for_each(|event| model.apply(event));
    (model.acquisitions() as f64 / took.as_secs_f64(), model.first().dropped())
}
