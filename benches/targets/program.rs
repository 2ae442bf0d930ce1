//! The program as its users run it: workers, collector, fold, frames on a pseudo-terminal.

use crate::{FRAME, support};
use crossbeam_channel::bounded;
use flockmon::dist::Dist;
use flockmon::event::{LockKind, What};
use flockmon::lab::target::Target;
use flockmon::lab::{self, Acquire, Config, Restart};
use flockmon::model::Locks;
use nix::pty::{OpenptyResult, Winsize, openpty};
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::Screen;

const SIZE: Winsize = Winsize { ws_row: 36, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };
/// Not measured: the first turns of a fleet.
pub const WARM_UP: Duration = Duration::from_millis(100);

/// How a lab is set up.
#[derive(Clone, Copy)]
pub struct Lab {
    pub workers: u32,
    pub hold: Dist,
    pub think: Dist,
    pub keep_open: bool,
}

impl Default for Lab {
    fn default() -> Self {
        Self { workers: 1, hold: Dist::Fixed(0), think: Dist::Fixed(0), keep_open: true }
    }
}

/// What came of it.
pub struct Run {
    /// Acquisitions a second.
    pub rate: f64,
    /// Events lost, and acquisitions that are not in the histogram.
    pub lost: u64,
    /// For each acquisition told while it lasted: ns until the end of the first frame that shows it.
    pub shown: Vec<u64>,
    pub model: Locks,
}

impl Lab {
    fn start(&self) -> lab::Lab {
        let config = Config {
            workers: self.workers,
            hold: self.hold,
            think: self.think,
            kind: LockKind::Flock,
            shared: 0,
            acquire: Acquire::Block,
            keep_open: self.keep_open,
            restart: Restart::Always,
            seed: 1,
            limit: None,
        };
        lab::Lab::start(config, Target::prepare(None, LockKind::Flock).expect("a temporary lock file"))
            .expect("a fleet")
    }

    pub fn run(&self, run_for: Duration) -> Run {
        let mut lab = self.start();
        let mut model = Locks::new(lab.begin());
        let (tx, batches) = bounded(8);
        lab.listen(tx).expect("a collector");
        let OpenptyResult { master, slave } = openpty(&SIZE, None).expect("a pseudo-terminal");
        let reader = std::thread::spawn(move || drain(File::from(master)));
        // Buffered, as the program does it: a frame is a few writes.
        let out = BufWriter::with_capacity(64 * 1024, File::from(slave));
        let mut screen = Screen::new(out, SIZE.ws_col, SIZE.ws_row);
        let (mut unseen, mut shown) = (Vec::new(), Vec::new());
        let mut from = None;
        let (began, mut drawn) = (Instant::now(), Instant::now());
        while began.elapsed() < WARM_UP + run_for {
            if let Ok(batch) = batches.recv_timeout(FRAME.saturating_sub(drawn.elapsed())) {
                for event in &batch.events {
                    model.apply(event);
                    unseen.extend(matches!(event.what, What::Acquired(_)).then_some(event.t));
                }
            }
            if from.is_none() && began.elapsed() >= WARM_UP {
                from = Some((Instant::now(), model.acquisitions()));
            }
            if drawn.elapsed() >= FRAME {
                drawn = Instant::now();
                model.advance(lab.now());
                screen.draw(&model);
                let now = lab.now();
                unseen.drain(..).filter(|_| from.is_some()).for_each(|t: u64| shown.push(now.saturating_sub(t)));
            }
        }
        let (from, before) = from.expect("a warm-up");
        let rate = (model.acquisitions() - before) as f64 / from.elapsed().as_secs_f64();
        let mut rest = Vec::new();
        lab.finish(|| rest.extend(batches.try_iter().flat_map(|b| b.events)));
        rest.iter().for_each(|event| model.apply(event));
        drop(screen);
        reader.join().expect("the terminal's reader");
        let missing = model.acquisitions().abs_diff(model.first().wait().all().count());
        Run { rate, lost: model.first().dropped() + missing, shown, model }
    }
}

/// Reads what is drawn until nobody can draw any more, as a terminal does.
fn drain(mut master: File) {
    let mut buffer = [0; 16 * 1024];
    while master.read(&mut buffer).is_ok_and(|n| n > 0) {}
}

/// From before the first fork until each worker waits for the lock or has had it, and from the order to end until all are reaped.
pub fn start_and_end(workers: u32) -> (Duration, Duration) {
    let began = Instant::now();
    let mut lab = Lab { workers, hold: Dist::Fixed(1_000_000_000), ..Lab::default() }.start();
    let mut model = Locks::new(lab.begin());
    let (tx, batches) = bounded(8);
    lab.listen(tx).expect("a collector");
    while u64::from(model.first().waiting()) + model.acquisitions() < u64::from(workers) {
        let batch = batches.recv_timeout(Duration::from_secs(60)).expect("events");
        batch.events.iter().for_each(|event| model.apply(event));
    }
    let started = began.elapsed();
    let asked = Instant::now();
    lab.finish(|| batches.try_iter().for_each(drop));
    (started, asked.elapsed())
}

/// The binary itself on a pseudo-terminal.
struct OnScreen {
    child: Child,
    keys: File,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl OnScreen {
    fn start(args: &[&str]) -> Self {
        let OpenptyResult { master, slave } = openpty(&SIZE, None).expect("a pseudo-terminal");
        let end = || Stdio::from(slave.try_clone().expect("a descriptor"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_flockmon"));
        command.args(args).env("TERM", "xterm-256color").stdin(end()).stdout(end()).stderr(Stdio::null());
        let child = command.spawn().expect("flockmon");
        let keys = File::from(master);
        let out = keys.try_clone().expect("a descriptor");
        Self { child, keys, reader: Some(std::thread::spawn(move || drain(out))) }
    }

    /// Time that its threads have run for, in ns (/proc/PID/task/TID/schedstat).
    fn ran(&self) -> u64 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("its threads");
        let of = |path: std::path::PathBuf| -> Option<u64> {
            std::fs::read_to_string(path.join("schedstat")).ok()?.split(' ').next()?.parse().ok()
        };
        tasks.flatten().filter_map(|task| of(task.path())).sum()
    }

    /// % of a core over so long.
    fn load(&self, over: Duration) -> f64 {
        let (began, before) = (Instant::now(), self.ran());
        std::thread::sleep(over);
        (self.ran() - before) as f64 / began.elapsed().as_nanos() as f64 * 100.0
    }
}

impl Drop for OnScreen {
    fn drop(&mut self) {
        let _ = self.keys.write_all(b"q");
        let _ = self.child.wait();
        self.reader.take().map(std::thread::JoinHandle::join);
    }
}

/// What the screen takes of a core with ten workers that hold for a second each, and paused, so many times each.
pub fn idle_and_paused(times: usize) -> (Vec<f64>, Vec<f64>) {
    let mut program = OnScreen::start(&["-w", "10"]);
    std::thread::sleep(Duration::from_secs(2));
    let second = Duration::from_secs(1);
    let idle = (0..times).map(|_| program.load(second)).collect();
    program.keys.write_all(b" ").expect("a key");
    std::thread::sleep(second);
    (idle, (0..times).map(|_| program.load(second)).collect())
}

/// Bytes resident of the monitor after so long with so many workers at zero hold.
pub fn resident_at_full_speed(workers: u32, run_for: Duration) -> u64 {
    let program = OnScreen::start(&["-w", &workers.to_string(), "--hold", "0", "--keep-open"]);
    std::thread::sleep(run_for);
    resident(&program.child.id().to_string())
}

/// KiB of each of ten workers, what they share shared out (/proc/PID/smaps_rollup, Pss).
pub fn worker_pss() -> Vec<f64> {
    let program = OnScreen::start(&["-w", "10", "--hold", "1ms"]);
    std::thread::sleep(Duration::from_secs(1));
    let pid = program.child.id();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("its children");
    let pss = |pid: &str| -> Option<f64> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        text.lines().find_map(|l| l.strip_prefix("Pss:"))?.trim().trim_end_matches(" kB").parse().ok()
    };
    children.split_whitespace().filter_map(pss).collect()
}

/// Bytes resident of a process.
pub fn resident(pid: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
    let kib = text.lines().find_map(|l| l.strip_prefix("VmRSS:")?.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.expect("its memory") * 1024
}
