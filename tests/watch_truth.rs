//! What a watch says and does where numbers are used again: pids, inodes; where a process changes its mind; where a
//! file is not used yet. Programs that flockmon did not start, seen from outside.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use support::foreign::*;
use support::*;

fn events(record: &Path) -> Vec<Value> {
    fs::read_to_string(record).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

fn of_type<'a>(events: &'a [Value], what: &str) -> Vec<&'a Value> {
    events.iter().filter(|e| e["type"] == what).collect()
}

/// Process 1 of a pid namespace. One takes the lock until it is told to end; then others are started until one of them
/// has its pid. In front of them, flockmon.
const REUSE: &str = "
import fcntl, os, subprocess, sys, time
folder, path, watch = sys.argv[1], sys.argv[2], sys.argv[3:]
def there(name): return os.path.exists(os.path.join(folder, name))
def say(name, text):
    with open(os.path.join(folder, name + '.new'), 'w') as f: f.write(str(text))
    os.rename(os.path.join(folder, name + '.new'), os.path.join(folder, name))
def begin(task):
    pid = os.fork()
    if pid == 0:
        try: task()
        finally: os._exit(0)
    return pid
def hold():
    f = open(path, 'a')
    fcntl.flock(f, fcntl.LOCK_EX)
    say('held', '')
    while not there('go'): time.sleep(0.01)
first = begin(hold)
while not there('held'): time.sleep(0.01)
seen = subprocess.Popen(watch)
os.waitpid(first, 0)
while True:
    with open('/proc/sys/kernel/ns_last_pid', 'w') as f: f.write(str(first - 1))
    stranger = begin(lambda: time.sleep(1000))
    if stranger == first: break
    os.kill(stranger, 9)
    os.waitpid(stranger, 0)
say('reused', stranger)
sys.exit(seen.wait())
";

/// Whether a pid namespace of its own is to be had, in which the next pid can be chosen.
fn may_choose_pids() -> bool {
    let try_it = "echo 100 > /proc/sys/kernel/ns_last_pid";
    let args = ["--pid", "--fork", "--mount-proc", "sh", "-c", try_it];
    let tried = Command::new("unshare").args(args).stderr(Stdio::null()).status();
    let may = tried.is_ok_and(|s| s.success());
    if !may {
        skipped("a pid that is used again: only root may have a pid namespace and choose pids in it");
    }
    may
}

#[test]
fn a_stranger_who_has_the_pid_now_is_not_signalled() {
    if !may_choose_pids() {
        return;
    }
    let place = Place::new();
    let at = |name: &str| place.folder.path().join(name);
    let record = at("record.jsonl");
    let mut inside = Command::new("unshare");
    inside.args(["--pid", "--fork", "--mount-proc", "--kill-child", "python3", "-c", REUSE]);
    inside.arg(place.folder.path()).arg(&place.file).arg(env!("CARGO_BIN_EXE_flockmon"));
    inside.args(sampled(&["--no-config", "--record", record.to_str().unwrap(), place.path()]));
    let mut t = Terminal::over(inside, 36, 120);
    t.see("has held it for");
    t.press("j");
    fs::write(at("go"), "").unwrap();
    let pid: i32 = wait_for("the pid to be used again", || fs::read_to_string(at("reused")).ok()?.parse().ok());
    t.see("nobody holds it and nobody waits");
    t.press("x");
    let asked = |s: &str| s.contains("Kill this process?") || s.contains("nobody to signal");
    let text = t.see_that("an answer", asked);
    assert!(text.contains("nobody to signal"), "pid {pid}: {text}");
    t.press("y");
    t.see_that("the question to be gone", |s| !s.contains("nobody to signal"));
    // That its process has ended is told, since the pid lives on.
    t.see("exited");
    t.press("q");
    t.wait_exit();
    let exits: Vec<(i64, bool)> = of_type(&events(&record), "exited")
        .iter()
        .map(|e| (e["pid"].as_i64().unwrap(), e["signal"].is_null()))
        .collect();
    assert_eq!(exits, [(i64::from(pid), true)]);
}

/// Lets go when there is `go`, ends when there is `end`.
const PATIENT: &str = "
import fcntl, os, sys, time
folder, path = sys.argv[1:]
def wait(name):
    while not os.path.exists(os.path.join(folder, name)): time.sleep(0.01)
f = open(path, 'a')
fcntl.flock(f, fcntl.LOCK_EX)
wait('go')
f.close()
wait('end')
";

#[test]
fn one_that_was_spared_is_not_told_as_killed_when_it_ends() {
    let place = Place::new();
    let at = |name: &str| place.folder.path().join(name);
    let record = at("record.jsonl");
    let mut job = Job::start("python3", &["-c", PATIENT, place.folder.path().to_str().unwrap(), place.path()]);
    place.queue(1, 0);
    let mut t = Terminal::start(&sampled(&["--record", record.to_str().unwrap(), place.path()]));
    t.see("has held it for");
    t.press("k");
    t.see("Kill this process?");
    fs::write(at("go"), "").unwrap();
    place.queue(0, 0);
    t.press("y");
    t.see("does not keep the lock any more: nothing was sent");
    fs::write(at("end"), "").unwrap();
    assert!(job.0.wait().unwrap().success());
    t.see("exited");
    t.end();
    let exits = events(&record);
    let exits = of_type(&exits, "exited");
    assert!(exits.iter().all(|e| e["signal"].is_null()), "{exits:?}");
    let kills = Command::new(env!("CARGO_BIN_EXE_flockmon"))
        .args(["replay", "-o", "json", record.to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&kills.stdout).unwrap()["kills"], 0);
}
