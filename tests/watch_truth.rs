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

/// From inside a pid namespace; none, loudly, where that is not to be had.
fn inside(args: &[&str]) -> Option<std::process::Output> {
    let contained = |args: &[&str]| {
        let unshare = ["--pid", "--fork", "--mount-proc", "--kill-child"];
        Command::new("unshare").args(unshare).args(args).stdin(Stdio::null()).output()
    };
    if !contained(&["true"]).is_ok_and(|out| out.status.success()) {
        skipped("a pid namespace is not to be had");
        return None;
    }
    Some(contained(&[&[env!("CARGO_BIN_EXE_flockmon")], args].concat()).unwrap())
}

#[test]
fn exact_is_refused_where_pids_are_others() {
    let place = Place::new();
    let Some(out) = inside(&["watch", "--no-config", "--how", "exact", "-d", "1ms", "-o", "json", place.path()]) else {
        return;
    };
    let error = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(2), "{error}");
    for words in ["pid namespace", "--pid=host", "--how sampled"] {
        assert!(error.contains(words), "{error}");
    }
    let out = inside(&["watch", "--no-config", "-d", "1ms", "-o", "json", place.path()]).unwrap();
    let told: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(told["watch"]["how"], "sampled");
    assert!(told["watch"]["blind"][0].as_str().unwrap().contains("exact is for the host"), "{told}");
}

/// One file after the other, each locked for a moment, from when there is `go`; until there is `end`, it lives.
const VISITOR: &str = "
import fcntl, os, sys, time
folder = sys.argv[1]
def wait(name):
    while not os.path.exists(os.path.join(folder, name)): time.sleep(0.01)
wait('go')
for n in range(20):
    with open(os.path.join(folder, 'file%d' % n), 'a') as f: fcntl.flock(f, fcntl.LOCK_EX)
f = open(os.path.join(folder, 'last'), 'a')
fcntl.flock(f, fcntl.LOCK_EX)
wait('end')
";

#[test]
fn every_file_that_a_process_comes_to_is_watched() {
    let place = Place::new();
    if !may_watch_exactly(place.path()) {
        return;
    }
    let at = |name: &str| place.folder.path().join(name);
    // Somebody else is at one of the files before it.
    fs::write(at("last"), "").unwrap();
    let other = sleeper(&at("last"));
    wait_for("the other", || (proc_locks(&at("last")).len() == 1).then_some(()));
    let job = Job::start("python3", &["-c", VISITOR, place.folder.path().to_str().unwrap()]);
    let pid = job.pid().to_string();
    let watch = Headless::start(&["watch", "--how", "exact", "--pid", &pid, "-o", "jsonl"]);
    watch.see("\"type\":\"begin\"");
    fs::write(at("go"), "").unwrap();
    let of = |lines: &[String], what: &str, pid: &str| {
        let (what, pid) = (format!("\"type\":\"{what}\""), format!("\"pid\":{pid},"));
        lines.iter().filter(|l| l.contains(&what) && l.contains(&pid)).count()
    };
    wait_for("the process to wait for the other", || (of(&watch.lines(), "waiting", &pid) == 1).then_some(()));
    let lines = watch.lines();
    assert_eq!(of(&lines, "acquired", &pid), 20, "{lines:#?}");
    let other_pid = other.pid().to_string();
    assert_eq!(of(&lines, "holding", &other_pid), 1, "{lines:#?}");
    drop(other);
    wait_for("the process to have it", || (of(&watch.lines(), "acquired", &pid) == 21).then_some(()));
    drop(job);
    watch.see(&format!("pid {pid} has ended"));
    let (text, status) = watch.end();
    assert_eq!(status, Some(0), "{text}");
}

#[test]
fn a_path_that_names_one_file_after_the_other_is_told_of_once_each() {
    let place = Place::new();
    let watch = Headless::start(&sampled(&["-o", "jsonl", place.path()]));
    watch.see("\"type\":\"lock\"");
    let told = |watch: &Headless| watch.lines().iter().filter(|l| l.contains("\"type\":\"path_changed\"")).count();
    let moves = 8;
    for n in 0..moves {
        fs::rename(&place.file, place.file.with_extension(n.to_string())).unwrap();
        fs::write(&place.file, "").unwrap();
        let inode = std::os::unix::fs::MetadataExt::ino(&fs::metadata(&place.file).unwrap());
        wait_for("the new file to be told", || {
            watch.lines().iter().any(|l| l.contains("path_changed") && l.contains(&inode.to_string())).then_some(())
        });
    }
    // A look may fall between the two halves of a move.
    assert!((moves..=2 * moves).contains(&told(&watch)), "{:#?}", watch.lines());
    watch.see("names another file again and again");
    watch.end();
}

/// Takes and releases a record lock, again and again.
const RECORDER: &str = "
import fcntl, sys, time
while True:
    with open(sys.argv[1], 'a') as f:
        fcntl.lockf(f, fcntl.LOCK_EX)
        time.sleep(0.05)
    time.sleep(0.05)
";

#[test]
fn a_file_that_is_used_later_is_the_lock_that_it_is_used_as() {
    let place = Place::new();
    let mut watch = Headless::start(&sampled(&["-n", "3", "-o", "jsonl", place.path()]));
    // It has looked whether the file is used when it says what it watches.
    watch.see("\"type\":\"lock\"");
    let job = Job::start("python3", &["-c", RECORDER, place.path()]);
    let (text, status) = watch.wait();
    drop(job);
    assert_eq!(status, Some(0));
    let told: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert!(told["acquisitions"].as_u64().unwrap() >= 3, "{told}");
    assert_eq!((&told["lock"]["kind"], told["locks"].as_array().unwrap().len()), (&"posix".into(), 1), "{told}");
}
