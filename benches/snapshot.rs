//! What a look at all locks of the system costs, against `lslocks`, in turn, in one run: reading and parsing
//! `/proc/locks`, and the same with the rows of a screen named (command and path), nothing remembered from before.
//!
//! `cargo bench --bench snapshot -- [PAIRS]`, by default 7. The locks are the bench's own: flock(2) on files of a
//! temporary folder, by processes with a hundred each. `lslocks` pays for its start, about 1.5 ms.
#![allow(missing_docs, clippy::print_stdout, clippy::expect_used)]

use flockmon::event::{LockKind, LockMode};
use flockmon::lock::Lock;
use flockmon::watch::change::FileId;
use flockmon::watch::process::{comm, owners};
use flockmon::watch::procfs::{Reader, Snapshot};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// Locks of one process.
const EACH: usize = 100;

/// Rows on a screen.
const VISIBLE: usize = 40;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [hold, folder, first] = words.as_slice()
        && hold == "hold"
    {
        return hold_locks(Path::new(folder), first.parse().expect("a number"));
    }
    let pairs = words.iter().find_map(|w| w.parse::<usize>().ok()).unwrap_or(7).max(1);
    println!("{pairs} pairs; median (lowest - highest)\n");
    println!("| locks | processes | what | ours, ms | lslocks, ms | lslocks/ours | at least | |");
    println!("|---|---|---|---|---|---|---|---|");
    for locks in [1_000, 10_000] {
        measure(locks, pairs);
    }
}

fn measure(locks: usize, pairs: usize) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let holders: Vec<Child> = (0..locks / EACH).map(|n| start_holder(folder.path(), n * EACH)).collect();
    let mut reader = Reader::new().expect("/proc/locks");
    let seen = reader.read().expect("a snapshot").rows.len();
    assert!(seen >= locks * 95 / 100, "only {seen} of {locks} locks are there");
    let mut times: Vec<[f64; 3]> = Vec::new();
    for _ in 0..pairs {
        times.push([
            seconds(|| {
                black_box(reader.read().expect("a snapshot").rows.len());
            }),
            seconds(|| {
                black_box(named(reader.read().expect("a snapshot")));
            }),
            seconds(lslocks),
        ]);
    }
    for (ours, what, at_least) in [(0, "read and parse", 40.0), (1, "and 40 rows named", 5.0)] {
        let column = |at: usize| spread(times.iter().map(|t| t[at] * 1e3).collect());
        let ratio = spread(times.iter().map(|t| t[2] / t[ours]).collect());
        let met = if ratio.1 >= at_least { "met" } else { "NOT MET" };
        println!(
            "| {locks} | {} | {what} | {:.2} ({:.2} - {:.2}) | {:.0} ({:.0} - {:.0}) | {:.0} ({:.0} - {:.0}) | {at_least:.0} | {met} |",
            holders.len(),
            column(ours).1,
            column(ours).0,
            column(ours).2,
            column(2).1,
            column(2).0,
            column(2).2,
            ratio.1,
            ratio.0,
            ratio.2,
        );
    }
    for mut holder in holders {
        drop(holder.stdin.take());
        let _ = holder.wait();
    }
}

fn seconds(run: impl FnOnce()) -> f64 {
    let began = Instant::now();
    run();
    began.elapsed().as_secs_f64()
}

/// Lowest, median, highest.
fn spread(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    (values[0], values[values.len() / 2], values[values.len() - 1])
}

/// Command and path of rows from all over the list, so that they are of as many processes as can be.
fn named(snapshot: &Snapshot) -> Vec<(String, std::path::PathBuf)> {
    let step = (snapshot.rows.len() / VISIBLE).max(1);
    let visible: Vec<(i32, FileId)> =
        snapshot.rows.iter().step_by(step).take(VISIBLE).filter_map(|r| Some((r.pid, r.file?))).collect();
    let pids: HashSet<i32> = visible.iter().map(|v| v.0).collect();
    let files: Vec<FileId> = visible.iter().map(|v| v.1).collect();
    let names: HashMap<i32, String> = pids.iter().filter_map(|pid| Some((*pid, comm(*pid)?))).collect();
    let mut paths = HashMap::new();
    for owner in owners::scan_among(pids, Some(&files)).owners {
        if let Entry::Vacant(free) = paths.entry(owner.file)
            && let Some(path) = owners::path_of(owner.pid, owner.fd)
        {
            free.insert(path);
        }
    }
    let named: Vec<_> = visible
        .iter()
        .filter_map(|(pid, file)| Some((names.get(pid)?.clone(), paths.get(file)?.path.clone())))
        .collect();
    assert!(named.len() >= VISIBLE - 5, "only {} of {VISIBLE} rows have a name", named.len());
    named
}

fn lslocks() {
    let status = Command::new("lslocks").stdout(Stdio::null()).status().expect("lslocks of util-linux");
    assert!(status.success(), "lslocks: {status}");
}

/// This program again, as one that holds locks until its standard input ends.
fn start_holder(folder: &Path, first: usize) -> Child {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["hold".as_ref(), folder.as_os_str(), first.to_string().as_ref()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process that holds locks");
    let mut line = String::new();
    let _ = BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line);
    assert_eq!(line, "holds\n");
    child
}

fn hold_locks(folder: &Path, first: usize) {
    let files: Vec<File> = (first..first + EACH)
        .map(|n| {
            let file = File::create(folder.join(n.to_string())).expect("a lock file");
            LockKind::Flock.acquire(file.as_raw_fd(), LockMode::Exclusive).expect("a lock");
            file
        })
        .collect();
    println!("holds");
    let _ = std::io::stdout().flush();
    let _ = std::io::stdin().read_line(&mut String::new());
    drop(files);
}
