//! Locks of programs that flockmon did not start: real ones, seen from outside.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use nix::sys::signal::Signal;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;
use support::foreign::*;
use support::*;

#[test]
fn the_screen_names_the_holder_and_the_queue_in_its_order() {
    let place = Place::new();
    let holder = sleeper(&place.file);
    place.queue(1, 0);
    let first = sleeper(&place.file);
    place.queue(1, 1);
    let second = sleeper(&place.file);
    place.queue(1, 2);
    let mut t = Terminal::start(&sampled(&[place.path()]));
    let text = t.see_that("a holder that blocks two", |s| s.contains("has held it for") && s.contains("blocks 2"));
    assert!(text.contains(&format!("sleep (pid {})", holder.pid())), "{text}");
    assert!(text.contains("sampled") && text.contains("watching"), "{text}");
    let tasks = |l: &str, pid: i32| l.contains(&format!(" {pid} ")) && !l.contains("has held it");
    let row = |pid: i32| text.lines().position(|l| tasks(l, pid)).unwrap();
    assert!(row(holder.pid()) < row(first.pid()) && row(first.pid()) < row(second.pid()), "{text}");
    // The next in the queue gets it when the holder ends.
    drop(holder);
    t.see(&format!("sleep (pid {}) has held it for", first.pid()));
    t.end();
    assert_eq!(fs::read_to_string(&place.file).unwrap(), "precious");
}

#[test]
fn nothing_is_killed_that_was_not_named_and_confirmed() {
    let place = Place::new();
    let mut holder = sleeper(&place.file);
    place.queue(1, 0);
    let next = sleeper(&place.file);
    place.queue(1, 1);
    let mut t = Terminal::start(&sampled(&[place.path()]));
    t.see("blocks 1");
    t.press("k");
    let asked = t.see("Kill this process?");
    assert!(asked.contains(&format!("pid {}  sleep 1000  user", holder.pid())), "{asked}");
    t.press("n");
    t.see("nothing was done");
    assert_eq!(holder.0.try_wait().unwrap(), None);
    // Stopped, it keeps the lock, which the screen says; then it goes on.
    t.press("s");
    t.see("Stop this process?");
    t.press("y");
    wait_for("it to be stopped", || (state(holder.pid()) == Some('T')).then_some(()));
    t.see(", is stopped");
    t.press("s");
    t.see("Resume this process?");
    t.press("y");
    wait_for("it to go on", || (state(holder.pid()) != Some('T')).then_some(()));
    t.see_that("it to go on", |s| !s.contains(", is stopped"));
    t.press("k");
    t.see("Kill this process?");
    t.press("y");
    t.see(&format!("sleep (pid {}) has held it for", next.pid()));
    assert!(!holder.0.wait().unwrap().success());
    t.end();
}

#[test]
fn the_one_that_keeps_an_inherited_lock_is_named() {
    let place = Place::new();
    let mut job = flock(&place.file, &["sleep", "1000"]);
    let taker = job.pid();
    place.queue(1, 0);
    let keeper = wait_for("its child", || children(taker).first().copied());
    wait_for("sleep to run", || (fs::read_to_string(format!("/proc/{keeper}/comm")).ok()? == "sleep\n").then_some(()));
    signal(taker, Signal::SIGKILL);
    job.0.wait().unwrap();
    let mut t = Terminal::start(&sampled(&[place.path()]));
    t.see(&format!("kept by sleep (pid {keeper})"));
    t.press("k");
    let asked = t.see("Kill this process?");
    assert!(asked.contains(&format!("pid {taker} took the lock, but pid {keeper} keeps it")), "{asked}");
    t.press("y");
    t.see("nobody holds it and nobody waits");
    assert!(proc_locks(&place.file).is_empty());
    t.end();
}

#[test]
fn the_detail_lists_children_as_they_come_and_go_and_which_keep_the_lock() {
    let place = Place::new();
    let go = place.file.with_extension("go");
    // The shell keeps the lock with flock(1); of what it starts, one does too and one does not.
    let script = format!(
        "sleep 1001 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&- & while ! [ -e {} ]; do sleep 0.01; done; kill $!; sleep 1002",
        go.display()
    );
    let holder = flock(&place.file, &["sh", "-c", &script]);
    let pid = holder.pid();
    place.queue(1, 0);
    let waiter = sleeper(&place.file);
    place.queue(1, 1);
    let shell = wait_for("the shell", || children(pid).first().copied());
    wait_for("its child", || children(shell).first().copied());
    let mut t = Terminal::start(&sampled(&[place.path()]));
    t.see("blocks 1");
    t.press("\r");
    // Those that keep the lock come first, though the shell's first child is older.
    let text = t.see("\u{b7} sleep 1001");
    let row = |what: &str| text.lines().position(|l| l.contains(what)).unwrap_or_else(|| panic!("{what}: {text}"));
    assert!(row(&format!("pid {shell} \u{b7} keeps the lock \u{b7} sh -c")) < row("\u{b7} sleep 1001"), "{text}");
    assert!(text.contains(&format!("of {shell} \u{b7} sleep 1001")), "{text}");
    assert!(
        text.contains(&format!("keeps the lock when pid {pid} ends")) || text.contains("keep the lock when"),
        "{text}"
    );
    fs::write(&go, "").unwrap();
    t.see(&format!("of {shell} \u{b7} keeps the lock \u{b7} sleep 1002"));
    t.see(&format!("2 child processes; 2 of them keep the lock when pid {pid} ends"));
    assert!(!t.text().contains("\u{b7} sleep 1001"), "{}", t.text());
    // Of the one that waits as well: it has none.
    t.press("j");
    t.see("no child processes");
    t.end();
    drop(waiter);
}

#[test]
fn read_only_takes_the_keys_away() {
    let place = Place::new();
    let mut holder = sleeper(&place.file);
    place.queue(1, 0);
    let mut t = Terminal::start(&sampled(&["--read-only", place.path()]));
    let text = t.see("has held it for");
    assert!(!text.contains("kill holder"), "{text}");
    for key in ["k", "s", "x"] {
        t.press(key);
        t.see("read-only: nothing is done to other programs");
        t.press("w");
    }
    t.end();
    assert_eq!(holder.0.try_wait().unwrap(), None);
}

#[test]
fn the_list_opens_a_lock_and_comes_back() {
    let place = Place::new();
    let holder = sleeper(&place.file);
    place.queue(1, 0);
    let waiters = [sleeper(&place.file), sleeper(&place.file), sleeper(&place.file)];
    place.queue(1, 3);
    let mut t = Terminal::start(&sampled(&["--pid", &holder.pid().to_string()]));
    let row = format!("{} sleep", holder.pid());
    // Its name is found a little later.
    t.see_that("the lock and its holder", |s| {
        ["all locks", "waiters", "jobs.lock", &row].iter().all(|word| s.contains(word))
    });
    t.press("\r");
    t.see("blocks 3");
    t.press("\x1b");
    t.see("all locks");
    t.press("\r");
    t.see("blocks 3");
    t.end();
    drop(waiters);
    // All locks of the system: ours is among them.
    let out = run(&sampled(&["-d", "300ms", "-o", "json"]));
    let all: Value = serde_json::from_slice(&out.stdout).unwrap();
    let ours = all["locks"].as_array().unwrap().iter().find(|l| l["lock"]["path"] == place.path());
    assert_eq!(ours.unwrap()["workers"][0]["pid"], holder.pid(), "{all}");
}

#[test]
fn a_recording_of_a_watch_is_as_the_schema_says_and_gives_the_same_figures() {
    let place = Place::new();
    let record = place.file.with_extension("jsonl");
    let jobs: Vec<Job> = (0..3).map(|_| Job::start("python3", &["-c", WORKER, place.path(), "0.02"])).collect();
    wait_for("the jobs to contend", || (proc_locks(&place.file).len() >= 2).then_some(()));
    let out = run(&sampled(&["-n", "20", "-o", "json", "--record", record.to_str().unwrap(), place.path()]));
    drop(jobs);
    let live: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!((&live["source"], &live["watch"]["how"]), (&"watch".into(), &"sampled".into()));
    assert!(live["acquisitions"].as_u64().unwrap() >= 20, "{live}");
    assert_eq!(live["locks"][0]["acquisitions"], live["acquisitions"]);
    assert_eq!(live["total"]["acquisitions"], live["acquisitions"], "there is but one lock");
    let again = run(&["replay", "-o", "json", record.to_str().unwrap()]);
    assert_eq!(String::from_utf8_lossy(&again.stdout), String::from_utf8_lossy(&out.stdout));
    let copy = run(&["replay", "-o", "jsonl", record.to_str().unwrap()]);
    let lines = fs::read_to_string(&record).unwrap();
    assert_eq!(String::from_utf8_lossy(&copy.stdout), lines);
    let schema: Value = serde_json::from_slice(&run(&["schema"]).stdout).unwrap();
    let any = jsonschema::validator_for(&schema).unwrap();
    for line in lines.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(any.is_valid(&line), "{line}");
        if line["type"] == "acquired" {
            assert_eq!((&line["precision_ns"], &line["lock"]), (&20_000_000.into(), &0.into()), "{line}");
        }
    }
    assert!(any.is_valid(&live));
    let log = run(&["replay", "-o", "log", record.to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&log.stdout).contains("python3"), "the log names programs");
}

#[test]
fn a_circle_of_waits_is_found_and_its_members_named() {
    let (a, b) = (Place::new(), Place::new());
    // Each takes one and then wants the other.
    let both = |first: &Place, second: &Place| {
        let script = "exec 8>>$0 9>>$1; flock 8; while ! [ -e $2 ]; do sleep 0.01; done; flock 9";
        Job::start("bash", &["-c", script, first.path(), second.path(), a.file.with_extension("go").to_str().unwrap()])
    };
    let jobs = [both(&a, &b), both(&b, &a)];
    a.queue(1, 0);
    b.queue(1, 0);
    fs::write(a.file.with_extension("go"), "").unwrap();
    a.queue(1, 1);
    b.queue(1, 1);
    let waiting = |place: &Place| place.queue(1, 1).iter().find(|(waits, _)| *waits).unwrap().1;
    let mut t = Terminal::start(&sampled(&[a.path(), b.path()]));
    t.see("deadlock, nothing will end it but a signal");
    // The list has room for all of it.
    t.press("!");
    let text = t.see("! or esc closes");
    let text: String = text.lines().map(|l| l.trim_matches(['\u{2502}', ' ']).to_owned() + " ").collect();
    for place in [&a, &b] {
        assert!(text.contains(&format!("(pid {})", waiting(place))), "{text}");
    }
    t.end();
    drop(jobs);
}

#[test]
fn a_path_that_names_another_file_is_followed() {
    let place = Place::new();
    let first = sleeper(&place.file);
    place.queue(1, 0);
    let mut t = Terminal::start(&sampled(&[place.path()]));
    t.see(&format!("sleep (pid {}) has held it for", first.pid()));
    fs::rename(&place.file, place.file.with_extension("old")).unwrap();
    t.see("the path names nothing any more");
    fs::write(&place.file, "").unwrap();
    t.see("the path names another file now");
    let second = sleeper(&place.file);
    t.see(&format!("sleep (pid {}) has held it for", second.pid()));
    t.press("\x1b");
    let both = t.see("all locks");
    assert!(both.contains(&first.pid().to_string()) && both.contains(&second.pid().to_string()), "{both}");
    t.end();
}

#[test]
fn watching_takes_no_lock_and_needs_none() {
    let place = Place::new();
    let mut watch = Headless::start(&sampled(&["-o", "jsonl", place.path()]));
    watch.see("\"type\":\"lock\"");
    for _ in 0..20 {
        let taken = Command::new("flock").args(["-n", place.path(), "true"]).status().unwrap();
        assert!(taken.success());
    }
    signal(watch.pid(), Signal::SIGTERM);
    let (text, status) = watch.wait();
    assert_eq!(status, Some(0));
    assert!(text.lines().last().unwrap().contains("\"type\":\"summary\""), "{text}");
    assert_eq!(fs::read_to_string(&place.file).unwrap(), "precious");
}

#[test]
fn bad_input_is_refused_with_what_to_do() {
    let place = Place::new();
    let folder = place.file.parent().unwrap().to_str().unwrap();
    let missing = place.file.with_extension("missing");
    for (args, words) in [
        (vec!["watch", missing.to_str().unwrap()], &["jobs.missing", "No such file"][..]),
        (vec!["watch", folder], &["is a folder", "name the lock file"]),
        (vec!["watch", "--pid", "2147483647"], &["no such process", "2147483647"]),
        (vec!["watch", "--pid", "0"], &["--pid"]),
        (vec!["watch", "--interval", "1ns", place.path()], &["interval", "100ms"]),
        (vec!["watch", "--how", "exact", "--interval", "1s", place.path()], &["--interval is for --how sampled"]),
        (vec!["watch", "--how", "guess", place.path()], &["--how"]),
    ] {
        let args: Vec<&str> = args;
        refused(&[&args[..], &["-o", "json"]].concat(), words);
    }
}

/// As the example among the assets, but it says on a line when it has the lock, while it has it: the lines stand in the
/// order in which the lock was held.
const CONTAINED: &str = "
import fcntl, os, sys, time
path, accounts, name = sys.argv[1:]
book = os.open(accounts, os.O_WRONLY | os.O_APPEND)
while True:
    with open(path, 'a') as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        os.write(book, (name + '\\n').encode())
        time.sleep(0.1)
";

/// A container as good as any: a pid namespace with a /proc of its own, in which the worker is process 1.
fn contain(place: &Place, accounts: &Path, name: usize) -> Option<(Job, i32)> {
    let (path, book, name) = (place.path(), accounts.to_str().unwrap(), name.to_string());
    let inner = ["--pid", "--fork", "--mount-proc", "--kill-child", "python3", "-c", CONTAINED, path, book, &name];
    let mut job = Job::start("unshare", &inner);
    let pid = job.pid();
    let child = wait_for("the container", || {
        let over = job.0.try_wait().unwrap().is_some();
        let child = children(pid).first().copied();
        (over || child.is_some()).then_some(child)
    })?;
    Some((job, child))
}

/// The scene that flockmon grew from: ten containers that are started again whenever they die. Screen and recording name
/// the right holder each time, as the processes themselves tell it.
#[test]
fn ten_containers_are_seen_as_they_see_themselves() {
    let place = Place::new();
    let (accounts, record) = (place.file.with_extension("book"), place.file.with_extension("jsonl"));
    fs::write(&accounts, "").unwrap();
    if !may_watch_exactly(place.path()) {
        return;
    }
    let mut t = Terminal::start(&["watch", "--how", "exact", "--record", record.to_str().unwrap(), place.path()]);
    t.see("nobody holds it and nobody waits");
    let mut pids: Vec<i32> = Vec::new();
    let mut jobs: Vec<Job> = Vec::new();
    let start = |pids: &mut Vec<i32>, jobs: &mut Vec<Job>| {
        let Some((job, pid)) = contain(&place, &accounts, pids.len()) else { return false };
        pids.push(pid);
        jobs.push(job);
        true
    };
    for _ in 0..10 {
        if !start(&mut pids, &mut jobs) {
            return skipped("containers: a pid namespace is not to be had");
        }
    }
    let last = |pids: &[i32]| {
        let book = fs::read_to_string(&accounts).unwrap();
        book.lines().last().and_then(|name| pids.get(name.parse::<usize>().unwrap()).copied())
    };
    wait_for("every one to have been there", || {
        let book = fs::read_to_string(&accounts).unwrap();
        (0..10).all(|name| book.lines().any(|l| l == name.to_string())).then_some(())
    });
    for _ in 0..4 {
        // The screen says what the one says that holds it: both are asked until neither has moved on in between.
        let holder = wait_for("the screen to name the holder", || {
            let before = last(&pids)?;
            let named = t.text().contains(&format!("python3 (pid {before}) has held it for"));
            (named && last(&pids) == Some(before)).then_some(before)
        });
        signal(holder, Signal::SIGKILL);
        wait_for("it to be gone", || state(holder).is_none().then_some(()));
        assert!(start(&mut pids, &mut jobs));
        wait_for("another one", || last(&pids).filter(|pid| *pid != holder));
    }
    // Who gets the lock while all are being killed may die before it says so.
    let told: Vec<i32> =
        fs::read_to_string(&accounts).unwrap().lines().map(|l| pids[l.parse::<usize>().unwrap()]).collect();
    drop(jobs);
    t.see("nobody holds it and nobody waits");
    t.end();
    let lines = fs::read_to_string(&record).unwrap();
    let seen: Vec<i32> = lines
        .lines()
        .map(|l| serde_json::from_str::<Value>(l).unwrap())
        .filter(|l| l["type"] == "acquired")
        .map(|l| l["pid"].as_i64().unwrap() as i32)
        .collect();
    assert_eq!(seen[..told.len().min(seen.len())], told);
    let dropped = lines.lines().filter(|l| l.contains("\"type\":\"dropped\"")).count();
    assert_eq!(dropped, 0);
}

fn exists(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|out| out.status.success())
}

/// A build that waits for another one, as people meet it: "Blocking waiting for file lock".
#[test]
fn cargo_that_waits_for_cargo_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    if !exists(&cargo) {
        return skipped("there is no cargo here");
    }
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    fs::create_dir(folder.path().join("src")).unwrap();
    write("Cargo.toml", "[package]\nname = \"slow\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n");
    write("src/lib.rs", "");
    write("build.rs", "fn main() { std::thread::sleep(std::time::Duration::from_secs(1000)) }");
    let manifest = folder.path().join("Cargo.toml");
    let target = folder.path().join("target");
    let (manifest, target_text) = (manifest.to_str().unwrap(), target.to_str().unwrap());
    let build =
        || Job::start(&cargo, &["build", "--offline", "--manifest-path", manifest, "--target-dir", target_text]);
    let lock = target.join("debug/.cargo-lock");
    let (first, place) = (build(), Place { file: lock, folder: tempfile::tempdir().unwrap() });
    wait_for("the first build", || place.file.exists().then_some(()));
    place.queue(1, 0);
    let second = build();
    place.queue(1, 1);
    let mut t = Terminal::start(&sampled(&[place.path()]));
    let text = t.see_that("cargo behind cargo", |s| s.contains("cargo (pid") && s.contains("blocks 1"));
    for job in [&first, &second] {
        assert!(text.contains(&format!(" {} ", job.pid())) || text.contains(&format!("(pid {})", job.pid())), "{text}");
    }
    t.end();
}

/// A package that takes long to install holds two record locks, as the one who waits for apt knows.
#[test]
fn dpkg_that_installs_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    if !exists("dpkg") || !exists("dpkg-deb") {
        return skipped("there is no dpkg here");
    }
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for dir in ["package/DEBIAN", "admin/info", "admin/updates", "inst"] {
        fs::create_dir_all(at(dir)).unwrap();
    }
    let control = "Package: slow\nVersion: 1\nArchitecture: all\nMaintainer: n <n@example.invalid>\nDescription: x\n";
    fs::write(at("package/DEBIAN/control"), control).unwrap();
    let script = at("package/DEBIAN/preinst");
    fs::write(&script, "#!/bin/sh\nsleep 1000\n").unwrap();
    let run = Command::new("chmod").args(["755", &script]).status().unwrap();
    assert!(run.success());
    let made = Command::new("dpkg-deb").args(["-b", &at("package"), &at("slow.deb")]).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    for file in ["admin/status", "admin/available"] {
        fs::write(at(file), "").unwrap();
    }
    let (admin, inst) = (format!("--admindir={}", at("admin")), format!("--instdir={}", at("inst")));
    let dpkg =
        Job::start("dpkg", &[&admin, &inst, "--force-script-chrootless", "--force-not-root", "-i", &at("slow.deb")]);
    let place = Place { file: at("admin/lock").into(), folder: tempfile::tempdir().unwrap() };
    wait_for("dpkg", || place.file.exists().then_some(()));
    place.queue(1, 0);
    let mut t = Terminal::start(&sampled(&[place.path()]));
    let text = t.see(&format!("dpkg (pid {}) has held it for", dpkg.pid()));
    assert!(text.contains("posix"), "{text}");
    t.end();
}
