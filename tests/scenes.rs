//! Each scene leads to what it shows: real forks, waited for until it is said. And none leaves anything behind.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::path::PathBuf;
use support::{Headless, Terminal, children, refused, run, signal, state, wait_for, wait_gone};

/// Plays a scene until a finding of this kind is told; gives its text, and the run.
fn play(args: &[&str], kind: &str) -> (String, Headless) {
    let run = Headless::start(&[&["-o", "jsonl", "--scene"], args].concat());
    let line = run.see(&format!("\"kind\":\"{kind}\""));
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["type"], "finding", "{line}");
    (line["text"].as_str().unwrap().to_owned(), run)
}

/// Ends it; gives its summary and its exit status.
fn summary(run: Headless) -> (Value, Option<i32>) {
    let workers = children(run.pid());
    let (text, status) = run.end();
    wait_gone(&workers);
    (serde_json::from_str(text.lines().last().unwrap()).unwrap(), status)
}

/// The same, of the summary the findings.
fn end(run: Headless) -> (Vec<String>, Option<i32>) {
    let (summary, status) = summary(run);
    let findings = summary["findings"].as_array().unwrap();
    (findings.iter().map(|f| f["kind"].as_str().unwrap().to_owned()).collect(), status)
}

fn says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not in {text:?}");
    }
}

/// Process ids in a text, as `(pid 123)`.
fn pids(text: &str) -> Vec<i32> {
    text.split("(pid ").skip(1).filter_map(|t| t.split(')').next()?.parse().ok()).collect()
}

#[test]
fn containers() {
    let out = run(&["--scene", "containers", "--hold", "5ms", "-n", "100", "-o", "json"]);
    let summary: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(summary["workers"].as_array().unwrap().len(), 10);
    assert_eq!(summary["findings"], serde_json::json!([]));
}

#[test]
fn greedy() {
    // With the patience of a fly: streaks are ordinary here, and only the long ones a finding.
    let limits = ["--threshold", "starvation-wait=1ms", "--threshold", "starvation-streak=2"];
    let (text, run) = play(&[&["greedy", "--hold", "2ms"], &limits[..]].concat(), "starvation");
    says(&text, &["times in a row", "1 ms"]);
    assert_eq!(end(run).1, Some(0));
}

#[test]
fn courteous() {
    let (text, run) = play(&["courteous", "--hold", "2ms", "--threshold", "convoy-time=100ms"], "convoy");
    says(&text, &["nobody has found the lock free", "wait now"]);
    assert_eq!(end(run).1, Some(0));
}

/// The two that differ by one millisecond of think time.
#[test]
fn courtesy_ends_barging() {
    let same_holder = |scene: &str| {
        let out = run(&["--scene", scene, "--hold", "2ms", "-n", "600", "-o", "json"]);
        let summary: Value = serde_json::from_slice(&out.stdout).unwrap();
        summary["same_holder"].as_f64().unwrap()
    };
    let (greedy, courteous) = (same_holder("greedy"), same_holder("courteous"));
    assert!(courteous < greedy, "{courteous} {greedy}");
}

#[test]
fn readers() {
    let (text, run) = play(&["readers", "--hold", "2ms..6ms", "--threshold", "starvation-wait=5ms"], "starvation");
    says(&text, &["readers who came later were served first"]);
    assert_eq!(end(run).1, Some(0));
}

#[test]
fn stalled() {
    let (text, run) = play(&["stalled", "--hold", "5ms"], "holder_stopped");
    let holder = pids(&text)[0];
    assert_eq!(state(holder), Some('T'));
    // Resumed, the rest goes on, and it does not happen again.
    signal(holder, Signal::SIGCONT);
    wait_for("turns to go on", || (run.lines().iter().filter(|l| l.contains("acquired")).count() > 30).then_some(()));
    assert_eq!(end(run), (vec![], Some(0)));
    let (_, run) = play(&["stalled", "--hold", "5ms"], "holder_stopped");
    let (summary, status) = summary(run);
    assert_eq!((&summary["findings"][0]["kind"], status), (&"holder_stopped".into(), Some(0)));
    let stopped: Vec<&Value> = summary["workers"].as_array().unwrap().iter().filter(|w| w["stopped"] == true).collect();
    assert!(matches!(stopped[..], [one] if one["state"] == "holding"), "{summary}");
}

#[test]
fn split() {
    let (text, run) = play(&["split", "--hold", "20ms"], "path_changed");
    says(&text, &["names another file", "two locks exist"]);
    run.see("\"kind\":\"violation\"");
    let path = lock_path(&run);
    assert!(path.exists());
    let (found, status) = end(run);
    assert_eq!((found, status), (vec!["violation".to_owned(), "path_changed".to_owned()], Some(3)));
    assert!(!path.exists() && !path.parent().unwrap().exists(), "{path:?} is left behind");
}

fn lock_path(run: &Headless) -> PathBuf {
    let begin: Value = serde_json::from_str(&run.lines()[0]).unwrap();
    begin["lock"]["path"].as_str().unwrap().into()
}

#[test]
fn split_leaves_files_of_the_user_alone() {
    use std::os::unix::fs::MetadataExt;
    let file = tempfile::NamedTempFile::new().unwrap();
    let inode = std::fs::metadata(file.path()).unwrap().ino();
    refused(&["--scene", "split", file.path().to_str().unwrap()], &["is yours", "leave LOCKFILE out"]);
    let missing = file.path().with_extension("missing");
    refused(&["--scene", "split", missing.to_str().unwrap()], &["is yours"]);
    assert!(!missing.exists());
    assert_eq!(std::fs::metadata(file.path()).unwrap().ino(), inode);
}

const SOON: [&str; 2] = ["--threshold", "inherited-time=50ms"];

#[test]
fn inherited() {
    for kind in ["flock", "ofd"] {
        let args = [&["inherited", "--hold", "5ms", "--lock", kind], &SOON[..]].concat();
        let (text, run) = play(&args, "inherited");
        let [taker, keeper] = pids(&text)[..] else { panic!("{text}") };
        says(&text, &["took the lock", "flockmon-child", "frees nothing"]);
        assert!(state(taker).is_none() && state(keeper).is_some());
        // It belongs to the monitor now, which reaps it.
        assert!(children(run.pid()).contains(&keeper));
        assert_eq!(end(run), (vec!["inherited".to_owned()], Some(0)));
        assert!(!PathBuf::from(format!("/proc/{keeper}")).exists(), "{keeper} is left behind");
    }
    refused(&["--scene", "inherited", "--lock", "posix"], &["posix", "--lock flock"]);
}

#[test]
fn the_child_that_inherits_dies_with_the_monitor() {
    let (text, mut run) = play(&[&["inherited", "--hold", "5ms"], &SOON[..]].concat(), "inherited");
    let keeper = pids(&text)[1];
    run.child.kill().unwrap();
    wait_gone(&[keeper]);
}

#[test]
fn killing_the_child_that_inherits_frees_the_lock() {
    let args = [&["--scene", "inherited", "--hold", "5ms"], &SOON[..]].concat();
    let mut terminal = Terminal::start(&args);
    terminal.see("frees nothing");
    terminal.press("k");
    terminal.see_that("no finding", |t| !t.contains("frees nothing"));
    terminal.see("running");
    let text = terminal.end();
    says(&text, &["violations 0"]);
}

#[test]
fn pollers() {
    let limits = ["--threshold", "starvation-wait=50ms"];
    let args = [&["pollers", "--hold", "5ms", "--acquire", "poll:10ms"], &limits[..]].concat();
    let (text, run) = play(&args, "poll_starvation");
    says(&text, &["polls and starves", "tries", "let it block too"]);
    assert!(pids(&text).iter().all(|pid| children(run.pid()).contains(pid)));
    assert_eq!(end(run).1, Some(0));
}

#[test]
fn deadlock() {
    for kind in ["flock", "ofd"] {
        let (text, run) = play(&["deadlock", "--hold", "20ms", "--lock", kind], "deadlock");
        let named = pids(&text);
        let workers = children(run.pid());
        // Each of two, and the first again.
        assert!(named.len() == 3 && named.iter().all(|pid| workers.contains(pid)), "{text} {workers:?}");
        says(&text, &["/lock", "/second", "nothing will end it but a signal"]);
        let (_, status) = end(run);
        assert_eq!(status, Some(0));
    }
}

#[test]
fn a_deadlock_that_cannot_be_is_refused() {
    refused(&["--scene", "deadlock", "--lock", "posix"], &["EDEADLK", "--lock ofd"]);
    refused(&["--scene", "deadlock", "--workers", "1"], &["--workers 2"]);
}

#[test]
fn a_deadlock_ends_when_a_member_dies() {
    let mut terminal = Terminal::start(&["--scene", "deadlock", "--hold", "50ms", "--restart", "never"]);
    terminal.see("deadlock");
    terminal.press("k");
    terminal.see_that("no deadlock", |t| !t.contains("deadlock, nothing"));
    terminal.end();
}

/// Each worker holds one of the two locks: keys act on the one that is shown.
#[test]
fn the_holder_of_the_lock_on_the_screen_is_stopped() {
    let mut terminal = Terminal::start(&["--scene", "deadlock", "--hold", "50ms", "-w", "2"]);
    let holder = |text: &str| Some(pids(text.lines().find(|l| l.contains("has held it"))?)[0]);
    let first = holder(&terminal.see("deadlock, nothing will end it")).unwrap();
    terminal.press("\x1b");
    terminal.see_that("a list of locks", |t| t.contains("/second") && holder(t).is_none());
    terminal.press("G\r");
    let second = wait_for("the second lock", || holder(&terminal.text()).filter(|pid| *pid != first));
    terminal.press("s");
    terminal.see(&format!("(pid {second}): it keeps what it holds"));
    wait_for("it to be stopped", || (state(second) == Some('T')).then_some(()));
    assert_ne!(state(first), Some('T'));
    terminal.end();
}

/// What is recorded of two locks is read again as it was.
#[test]
fn a_recorded_scene_has_its_findings() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.jsonl");
    let (_, run_) = play(&["deadlock", "--hold", "20ms", "--record", file.to_str().unwrap()], "deadlock");
    end(run_);
    let out = run(&["replay", "-o", "summary", file.to_str().unwrap()]);
    says(&String::from_utf8_lossy(&out.stdout), &["deadlock, nothing will end it"]);
    let begin: Value = serde_json::from_str(std::fs::read_to_string(&file).unwrap().lines().next().unwrap()).unwrap();
    assert_eq!(begin["config"]["scene"], "deadlock");
}

#[test]
fn scenes_can_be_listed() {
    let out = run(&["--scene", "list"]);
    let text = String::from_utf8(out.stdout).unwrap();
    assert_eq!(out.status.code(), Some(0));
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    for scene in flockmon::lab::scene::SCENES {
        assert!(text.contains(scene.name));
        assert!(readme.contains(&format!("| `{}` | {} |", scene.name, scene.about)), "README lacks {}", scene.name);
    }
    refused(&["--scene", "greed"], &["greedy"]);
}
