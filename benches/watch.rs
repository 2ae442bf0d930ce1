//! What being watched exactly costs others: acquisitions a second of ten forked processes on one file, alone and
//! watched, in turn, in one run.
//!
//! `cargo bench --bench watch`, as root with tracefs mounted; `-- [SECONDS PAIRS [HOLD_US]] [WAY]` changes how long each side
//! runs, how often, and tries one hold or one way (`bpf`, `perf`) only; with `all` every lock of the system is watched,
//! with `bystanders [signal] [fork]` it is what others pay
//! who use no watched lock.
#![allow(unsafe_code, missing_docs, clippy::print_stdout, clippy::print_stderr, clippy::expect_used)]

use flockmon::event::{LockKind, LockMode};
use flockmon::lab::clock;
use flockmon::lab::shared::{Doing, Shared};
use flockmon::lab::target::Target;
use flockmon::lock::Lock;
use flockmon::watch::change::{Change, Deed, FileId};
use flockmon::watch::exact::{Options, Tracer, Way};
use flockmon::watch::tracepoint::Scope;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const WORKERS: u32 = 10;
/// Hold in us, and how much of its speed the load keeps at least.
const LOADS: [(u64, f64); 3] = [(0, 0.5), (10, 0.9), (100, 0.99)];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mut numbers = words.iter().filter_map(|w| w.parse::<f64>().ok());
    let seconds = Duration::from_secs_f64(numbers.next().unwrap_or(0.5));
    let pairs = numbers.next().unwrap_or(9.0) as usize;
    let only = numbers.next().map(|us| us as u64);
    let ways = [("bpf", Way::Bpf), ("perf", Way::Perf)];
    let all_ways = !words.iter().any(|w| ways.iter().any(|(name, _)| w == name));
    let has = |word: &str| words.iter().any(|w| w == word);
    let what = if has("all") { Watched::All } else { Watched::File };
    for (_, way) in ways {
        if let Err(e) = Tracer::open(&Scope::All, Options { way: Some(way), ..Options::default() }, no_locks()) {
            eprintln!("SKIPPED: {e}");
            return;
        }
    }
    if has("bystanders") {
        return bystanders(seconds, pairs, &words);
    }
    println!(
        "{WORKERS} processes, flock, one file, keep-open; {pairs} pairs of {seconds:?} a side; median (lowest - highest)\n"
    );
    println!(
        "| hold | way | alone, acq/s | watched, acq/s | watched/alone | at least | met | records/s | lost | seen/done | reader CPU |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for (hold, least) in LOADS {
        if only.is_some_and(|us| us != hold) {
            continue;
        }
        for (name, way) in ways {
            if !all_ways && !words.iter().any(|w| w == name) {
                continue;
            }
            let (mut ratios, mut alone, mut watched) = (Vec::new(), Vec::new(), Vec::new());
            let (mut lost, mut seen, mut done, mut records, mut cpu) = (0, 0, 0, 0.0, 0.0);
            for _ in 0..pairs {
                let bare = load(hold, seconds, |work| work());
                let mut sight = Sight::default();
                let under = load(hold, seconds, |work| sight = watch(way, what, work));
                ratios.push(under.0 / bare.0);
                alone.push(bare.0);
                watched.push(under.0);
                lost += sight.lost;
                seen += sight.acquired;
                done += under.1;
                records += sight.records as f64 / sight.took;
                cpu += sight.cpu / sight.took;
            }
            let (low, ratio, high) = spread(&mut ratios);
            println!(
                "| {hold} us | {name} | {:.0} k | {:.0} k | {ratio:.3} ({low:.3} - {high:.3}) | {least} | {} | {:.0} k | {lost} | {:.5} | {:.1} % |",
                spread(&mut alone).1 / 1e3,
                spread(&mut watched).1 / 1e3,
                if ratio >= least { "yes" } else { "NO" },
                records / pairs as f64 / 1e3,
                seen as f64 / done as f64,
                cpu / pairs as f64 * 100.0,
            );
        }
    }
}

fn spread(values: &mut [f64]) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    (values[0], values[values.len() / 2], values[values.len() - 1])
}

/// What the watcher saw.
#[derive(Default)]
struct Sight {
    records: u64,
    acquired: u64,
    lost: u64,
    took: f64,
    cpu: f64,
}

/// What is looked at beside a load.
#[derive(Clone, Copy)]
enum Watched {
    /// Its file.
    File,
    /// A file that it does not use.
    Another,
    /// Every lock of the system.
    All,
}

fn no_locks() -> flockmon::watch::exact::ReadLocks {
    Box::new(|| Ok(Default::default()))
}

/// Runs `work` while a thread watches.
fn watch(way: Way, what: Watched, work: &mut dyn FnMut()) -> Sight {
    let file = std::fs::metadata(lock_file()).map_or((0, 0), |file| (file.dev(), file.ino()));
    let inode = if matches!(what, Watched::Another) { u64::from(u32::MAX) } else { file.1 };
    let id = FileId { major: libc::major(file.0), minor: libc::minor(file.0), inode };
    let scope = if matches!(what, Watched::All) { Scope::All } else { Scope::Files(vec![id]) };
    let options = Options { way: Some(way), ..Options::default() };
    let mut tracer = Tracer::open(&scope, options, no_locks()).expect("the kernel's events");
    let mut sight = Sight::default();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut sight = Sight::default();
            let mut changes: Vec<Change> = Vec::new();
            let (began, cpu) = (Instant::now(), thread_time());
            let mut last_round = false;
            loop {
                changes.clear();
                tracer.poll(Duration::from_millis(20), &mut changes).expect("records");
                sight.acquired += changes.iter().filter(|c| matches!(c.deed, Deed::Acquired { .. })).count() as u64;
                if last_round {
                    break;
                }
                last_round = over.load(Ordering::Relaxed);
            }
            sight.took = began.elapsed().as_secs_f64();
            sight.cpu = thread_time() - cpu;
            sight.records = tracer.stats().records;
            sight.lost = tracer.stats().lost;
            sight
        });
        work();
        over.store(true, Ordering::Relaxed);
        sight = reader.join().expect("the reader");
    });
    sight
}

/// What is done by one who uses no watched lock, in turns a second.
fn bystanders(seconds: Duration, pairs: usize, words: &[String]) {
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: a handler that does nothing; each call below takes integers, a child leaves by _exit at once.
    unsafe { libc::signal(libc::SIGUSR1, nothing as extern "C" fn(libc::c_int) as libc::sighandler_t) };
    let file = tempfile::tempfile().expect("a file");
    let lock = || {
        let _ = LockKind::Flock.acquire(file.as_raw_fd(), LockMode::Exclusive);
        let _ = LockKind::Flock.release(file.as_raw_fd());
    };
    // SAFETY: as above.
    let signal = || _ = unsafe { libc::raise(libc::SIGUSR1) };
    // SAFETY: as above.
    let fork = || match unsafe { libc::fork() } {
        0 => unsafe { libc::_exit(0) },
        child => _ = unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) },
    };
    let calm = || drop(std::hint::black_box(std::fs::metadata("/proc/self")));
    let deeds: [(&str, &dyn Fn()); 4] =
        [("flock of another file", &lock), ("signal to oneself", &signal), ("fork and exit", &fork), ("stat", &calm)];
    println!("one process; {pairs} pairs of {seconds:?} a side; median (lowest - highest)\n");
    println!("| deed | way | alone, /s | watched, /s | watched/alone |");
    println!("|---|---|---|---|---|");
    let named = |name: &str| words.iter().any(|word| name.split(' ').any(|part| part == word));
    let some = deeds.iter().any(|(name, _)| named(name));
    for (name, deed) in deeds.into_iter().filter(|(name, _)| !some || named(name)) {
        // In a process of its own: the watcher's memory is no concern of a bystander.
        let turns = || {
            let shared = Shared::new().expect("a shared page");
            let slot = shared.slot(1).expect("a slot");
            // SAFETY: the child has one thread and leaves by _exit.
            match unsafe { libc::fork() } {
                0 => {
                    let (began, mut turns) = (clock::now(), 0);
                    while clock::now() - began < seconds.as_nanos() as u64 {
                        (0..20).for_each(|_| deed());
                        turns += 20;
                    }
                    slot.set_doing(Doing::Else, turns * 1_000_000_000 / (clock::now() - began));
                    // SAFETY: as above.
                    unsafe { libc::_exit(0) }
                }
                // SAFETY: waits for the child just made.
                child => _ = unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) },
            }
            slot.doing().1 as f64
        };
        for (way_name, way) in [("bpf", Way::Bpf), ("perf", Way::Perf)] {
            let (mut ratios, mut alone, mut watched) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..pairs {
                let bare = turns();
                let mut under = 0.0;
                watch(way, Watched::Another, &mut || under = turns());
                ratios.push(under / bare);
                alone.push(bare);
                watched.push(under);
            }
            let (low, ratio, high) = spread(&mut ratios);
            println!(
                "| {name} | {way_name} | {:.0} k | {:.0} k | {ratio:.3} ({low:.3} - {high:.3}) |",
                spread(&mut alone).1 / 1e3,
                spread(&mut watched).1 / 1e3,
            );
        }
    }
}

fn thread_time() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: clock_gettime(2) writes one struct of ours.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn lock_file() -> std::path::PathBuf {
    std::env::temp_dir().join(format!("flockmon-watch-bench-{}", std::process::id()))
}

/// Acquisitions a second and in all; `around` is given what makes the load run.
fn load(hold_us: u64, run_for: Duration, around: impl FnOnce(&mut dyn FnMut())) -> (f64, u64) {
    let path = lock_file();
    File::create(&path).expect("a lock file");
    let target = Target::prepare(Some(&path), LockKind::Flock).expect("the lock file");
    let shared = Shared::new().expect("a shared page");
    let control = shared.control();
    let start = control.generation();
    let mut children = Vec::new();
    for id in 1..=WORKERS {
        // SAFETY: the child only makes system calls and leaves by _exit.
        match unsafe { nix::unistd::fork() }.expect("fork") {
            nix::unistd::ForkResult::Parent { child } => children.push(child),
            nix::unistd::ForkResult::Child => {
                // SAFETY: takes integers; whoever forked it may be ended at any time.
                unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
                let file = File::options().read(true).write(true).open(target.path()).expect("the lock file");
                let slot = shared.slot(id).expect("a slot");
                control.sleep(start, None);
                let mut turns = 0u64;
                while !control.stopping() {
                    let _ = LockKind::Flock.acquire(file.as_raw_fd(), LockMode::Exclusive);
                    if hold_us > 0 {
                        let until = clock::now() + hold_us * 1000;
                        while clock::now() < until {}
                    }
                    let _ = LockKind::Flock.release(file.as_raw_fd());
                    turns += 1;
                }
                slot.set_doing(Doing::Else, turns);
                // SAFETY: leaves without running anything of the parent's.
                unsafe { libc::_exit(0) }
            }
        }
    }
    let mut took = Duration::ZERO;
    around(&mut || {
        std::thread::sleep(Duration::from_millis(50));
        let began = Instant::now();
        control.announce();
        std::thread::sleep(run_for);
        control.set_stop();
        took = began.elapsed();
        for child in &children {
            let _ = nix::sys::wait::waitpid(*child, None);
        }
    });
    let turns: u64 = (1..=WORKERS).filter_map(|id| shared.slot(id)).map(|s| s.doing().1).sum();
    let _ = std::fs::remove_file(path);
    (turns as f64 / took.as_secs_f64(), turns)
}
