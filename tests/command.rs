//! Commands as critical sections: real ones, from their start to what they must not leave behind.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Output;
use support::{Headless, Terminal, children, proc_locks, refused, run, signal, state, wait_for, wait_gone};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn at(folder: &tempfile::TempDir, name: &str) -> String {
    folder.path().join(name).to_str().unwrap().to_owned()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json(out: &Output) -> Value {
    serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {}{}", text(&out.stdout), text(&out.stderr)))
}

/// The numbers that stand in a file, a line each.
fn numbers(path: &str) -> Vec<i32> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    // The last line may be half written.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().filter_map(|l| l.trim().parse().ok()).collect()
}

/// A command that has a child, and notes both pids, its own last.
fn family(pids: &str) -> String {
    format!("sleep 1000 & echo $! >> {pids}; echo $$ >> {pids}; wait; sleep 1000")
}

/// Waits until `n` processes stand in the file.
fn living(pids: &str, n: usize) -> Vec<i32> {
    wait_for("the command to start", || Some(numbers(pids)).filter(|p| p.len() >= n))
}

#[test]
fn how_runs_end_is_counted_and_shown() {
    let out = run(&["-w", "3", "-n", "9", "-o", "json", "--", "sh", "-c", "exit $((FLOCKMON_ACQUISITION % 3))"]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    let summary = json(&out);
    let runs = &summary["runs"];
    assert_eq!((&runs["count"], &runs["failed"]), (&9.into(), &6.into()), "{summary}");
    assert_eq!(
        runs["failures"],
        serde_json::json!([{"code": 1, "signal": null, "count": 3}, {"code": 2, "signal": null, "count": 3}])
    );
    assert_eq!(runs["ran_ns"]["count"], 9);
    assert_eq!(summary["acquisitions"], 9);
    let of_each: u64 =
        summary["workers"].as_array().unwrap().iter().map(|w| w["runs"]["count"].as_u64().unwrap()).sum();
    assert_eq!(of_each, 9);
    let log = text(&run(&["-w", "1", "-n", "1", "--", "sh", "-c", "kill -9 $$"]).stdout);
    assert!(log.contains("worker-1   command ended with signal 9 after 0."), "{log}");
    assert!(log.contains("1 runs of sh -c 'kill -9 $$', 1 failed: 1 with signal 9"), "{log}");
}

/// Commands that must be alone: each makes a file that must not be there (`O_EXCL`) and removes it.
#[test]
fn commands_exclude_each_other_end_to_end() {
    let folder = folder();
    let alone = at(&folder, "alone");
    let script = format!("set -C; true > {alone} || exit 9; rm {alone}");
    for options in ["--lock=flock", "--lock=posix", "--lock=ofd", "--keep-open", "--acquire=poll:1ms"] {
        let out = run(&["-w", "6", "-n", "60", options, "-o", "json", "--", "sh", "-c", &script]);
        let summary = json(&out);
        assert_eq!(summary["runs"]["count"], 60, "{options}: {summary}");
        assert_eq!(summary["runs"]["failed"], 0, "{options}: {summary}");
        assert_eq!(summary["violations"], 0);
    }
    // Readers are not alone, and that is seen.
    let script = format!("set -C; true > {alone} || exit 9; sleep 0.02; rm {alone}");
    let out = run(&["-w", "6", "--shared", "100", "--stop-on-failure", "-o", "json", "--", "sh", "-c", &script]);
    assert_eq!(out.status.code(), Some(1), "{}", text(&out.stderr));
    assert!(text(&out.stderr).contains("ended with status 9"), "{}", text(&out.stderr));
}

#[test]
fn nobody_comes_after_the_failure_that_stops_the_run() {
    let folder = folder();
    let order = at(&folder, "order");
    let script = format!("echo $FLOCKMON_ACQUISITION >> {order}; [ $FLOCKMON_ACQUISITION -ne 17 ]");
    let out = run(&["-w", "5", "--stop-on-failure", "-o", "json", "--", "sh", "-c", &script]);
    assert_eq!(out.status.code(), Some(1));
    let error = text(&out.stderr);
    assert!(error.contains("ended with status 1 (acquisition 17)"), "{error}");
    assert_eq!(numbers(&order), (1..=17).collect::<Vec<_>>());
    assert_eq!(json(&out)["runs"]["failed"], 1);
}

#[test]
fn killing_the_holder_ends_its_command_and_all_that_it_started() {
    let folder = folder();
    let (lock, pids) = (at(&folder, "lock"), at(&folder, "pids"));
    for by_key in [true, false] {
        let _ = std::fs::remove_file(&pids);
        let mut terminal = Terminal::start(&["-w", "3", &lock, "--", "sh", "-c", &family(&pids)]);
        let first = living(&pids, 2);
        assert!(first.iter().all(|p| state(*p).is_some()));
        if by_key {
            terminal.press("k");
            terminal.see("and its command");
        } else {
            let holder = proc_locks(Path::new(&lock)).into_iter().find(|(waits, _)| !waits).unwrap().1;
            signal(holder, Signal::SIGKILL);
        }
        wait_gone(&first);
        let all = living(&pids, 4);
        // The end of the run leaves nobody either.
        terminal.end();
        wait_gone(&all);
        assert!(proc_locks(Path::new(&lock)).is_empty());
    }
}

#[test]
fn a_killed_monitor_leaves_nothing_of_a_command() {
    for stalled in [false, true] {
        let folder = folder();
        let (lock, pids) = (at(&folder, "lock"), at(&folder, "pids"));
        let mut terminal = Terminal::start(&["-w", "2", &lock, "--", "sh", "-c", &family(&pids)]);
        let family = living(&pids, 2);
        if stalled {
            terminal.see("holding");
            terminal.press("s");
            wait_for("both to stop", || family.iter().all(|p| state(*p) == Some('T')).then_some(()));
        }
        let ours = children(terminal.pid());
        signal(terminal.pid(), Signal::SIGKILL);
        wait_gone(&family);
        wait_gone(&ours);
    }
}

#[test]
fn a_stalled_holder_is_stopped_with_its_command_and_goes_on_with_it() {
    let folder = folder();
    let pids = at(&folder, "pids");
    let mut terminal = Terminal::start(&["-w", "2", "--", "sh", "-c", &family(&pids)]);
    let family = living(&pids, 2);
    terminal.see("holding");
    terminal.press("s");
    terminal.see("is stopped and keeps the lock");
    wait_for("both to stop", || family.iter().all(|p| state(*p) == Some('T')).then_some(()));
    terminal.press("s");
    wait_for("both to go on", || family.iter().all(|p| state(*p).is_some_and(|s| s != 'T')).then_some(()));
    terminal.see_that("no finding", |t| !t.contains("is stopped"));
    terminal.press("s");
    wait_for("both to stop again", || family.iter().all(|p| state(*p) == Some('T')).then_some(()));
    terminal.end();
    wait_gone(&family);
}

#[test]
fn the_end_asks_commands_to_end_first() {
    let folder = folder();
    let (ready, bye) = (at(&folder, "ready"), at(&folder, "bye"));
    let script = format!("trap 'echo bye > {bye}; exit' TERM; echo > {ready}; while :; do sleep 0.01; done");
    let run = Headless::start(&["-w", "2", "--", "sh", "-c", &script]);
    wait_for("the command", || Path::new(&ready).exists().then_some(()));
    // A signal before it listens to any is its end.
    run.see("acquired");
    let (text, status) = run.end();
    assert_eq!(status, Some(0), "{text}");
    assert!(Path::new(&bye).exists(), "{text}");
    // It was cut short, and so is no run that ended.
    assert!(text.contains("0 runs of sh"), "{text}");
}

#[test]
fn a_signal_to_the_whole_group_is_not_the_workers_end() {
    let run = Headless::start(&["-w", "2", "-n", "4", "--", "sh", "-c", "kill 0"]);
    let mut run = run;
    let (text, status) = run.wait();
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("4 runs of") && text.contains("4 failed: 4 with signal 15"), "{text}");
    assert!(!text.contains("killed by signal"), "{text}");
}

#[test]
fn a_command_that_becomes_a_daemon_keeps_neither_lock_nor_pipe() {
    for keep in [&[][..], &["--keep-open"]] {
        let folder = folder();
        let (lock, pids) = (at(&folder, "lock"), at(&folder, "pids"));
        // A session of its own, as daemon(3) makes one; it outlives its command and its worker.
        let mine = format!("{pids}.$FLOCKMON_ACQUISITION");
        let script =
            format!("setsid sh -c 'echo $$ > {mine}; exec sleep 1000' & while ! test -s {mine}; do sleep 0.01; done");
        let out = run(&[&["-w", "2", "-n", "4", "-o", "json"], keep, &[&lock, "--", "sh", "-c", &script]].concat());
        assert_eq!(json(&out)["runs"]["count"], 4, "{}", text(&out.stderr));
        for daemon in (1..=4).flat_map(|n| living(&format!("{pids}.{n}"), 1)) {
            let open = std::fs::read_dir(format!("/proc/{daemon}/fd")).unwrap();
            let names: Vec<PathBuf> = open.flatten().filter_map(|fd| std::fs::read_link(fd.path()).ok()).collect();
            signal(daemon, Signal::SIGKILL);
            let name = |p: &PathBuf| p.to_string_lossy().into_owned();
            assert!(!names.is_empty());
            assert!(names.iter().map(name).all(|n| n == "/dev/null" || n.contains("worker-")), "{names:?}");
        }
    }
}

#[test]
fn output_goes_to_the_log_and_the_detail_but_not_to_the_terminal() {
    let script = "printf 'to%s\\n' stdout; printf '\\033[31mto%s\\033[0m\\n' stderr >&2; printf 'to%s' tty > /dev/tty; test -t 0 && exit 1; sleep 1000";
    let mut terminal = Terminal::start(&["-w", "2", "--", "sh", "-c", script]);
    terminal.see("holding");
    terminal.see("runs sh");
    let before = terminal.text();
    assert!(!before.contains("tostdout") && !before.contains("tostderr"), "{before}");
    terminal.press("\r");
    terminal.see("its runs");
    terminal.see("tostdout");
    terminal.see("tostderr");
    terminal.press("[");
    terminal.see("as long as the command runs");
    let after = terminal.end();
    assert!(!after.contains("tostdout") && !after.contains("totty"), "{after}");
}

#[test]
fn the_detail_shows_how_runs_ended() {
    let mut terminal =
        Terminal::start(&["-w", "1", "--think", "5ms", "--", "sh", "-c", "echo $FLOCKMON_ACQUISITION; exit 3"]);
    // The column of the last status.
    terminal.see_that("a status", |t| {
        t.lines().any(|l| l.contains("worker-1") && l.split_whitespace().any(|word| word == "3"))
    });
    terminal.press("\r");
    terminal.see_that("runs in detail", |t| t.contains("its runs") && t.matches("status 3").count() > 3);
    let text = terminal.end();
    assert!(text.contains("with status 3"), "{text}");
}

#[test]
fn a_command_that_ends_while_paused_keeps_the_lock_until_it_goes_on() {
    let folder = folder();
    let (lock, go, record) = (at(&folder, "lock"), at(&folder, "go"), at(&folder, "run.jsonl"));
    std::fs::write(&lock, "").unwrap();
    let script = format!("while ! test -e {go}; do sleep 0.01; done");
    let mut terminal = Terminal::start(&["-w", "2", "--record", &record, &lock, "--", "sh", "-c", &script]);
    let holder = wait_for("a holder", || {
        let locks = proc_locks(Path::new(&lock));
        locks.iter().any(|(waits, _)| *waits).then(|| locks.into_iter().find(|(waits, _)| !waits))?
    });
    terminal.press("p");
    terminal.see("PAUSED");
    std::fs::write(&go, "").unwrap();
    let has =
        |word: &str| std::fs::read_to_string(&record).unwrap_or_default().contains(&format!("\"type\":\"{word}\""));
    wait_for("the command to end", || has("ran").then_some(()));
    // While many locks come and go, one reading can leave out some that stay. Once released, it would be the other's for good.
    wait_for("the holder to be listed", || proc_locks(Path::new(&lock)).contains(&holder).then_some(()));
    assert!(!has("released"));
    terminal.press("p");
    wait_for("the lock to be released", || has("released").then_some(()));
    terminal.end();
}

#[test]
fn a_removed_worker_leaves_when_its_command_has_ended() {
    let folder = folder();
    let go = at(&folder, "go");
    let script = format!("while ! test -e {go}; do sleep 0.01; done");
    let mut terminal = Terminal::start(&["-w", "1", "--", "sh", "-c", &script]);
    terminal.see("holding");
    terminal.press("+");
    terminal.see("◌ waiting");
    // A waiter goes at once, a holder when its command has ended.
    terminal.press("-");
    terminal.see_that("one worker", |t| !t.contains("◌ waiting"));
    std::fs::write(&go, "").unwrap();
    terminal.see_that("runs that ended", |t| !t.contains(" 1 acquired"));
    terminal.end();
}

#[test]
fn what_cannot_be_run_is_refused_before_anything_is_touched() {
    let folder = folder();
    let (lock, plain) = (at(&folder, "lock"), at(&folder, "plain"));
    std::fs::write(&plain, "").unwrap();
    refused(&[&lock, "--", "no-such-command-anywhere"], &["no-such-command-anywhere", "not found in PATH"]);
    refused(&[&lock, "--", "./no/such/file"], &["./no/such/file", "no such file"]);
    refused(&[&lock, "--", &plain], &["not executable", "chmod +x"]);
    refused(&[&lock, "--", folder.path().to_str().unwrap()], &["a folder"]);
    refused(&["--hold", "1s", &lock, "--", "true"], &["--hold", "COMMAND"]);
    refused(&["--stop-on-failure", &lock], &["COMMAND"]);
    assert!(!Path::new(&lock).exists());
}

#[test]
fn logs_are_kept_whole_where_asked_for_and_the_environment_helps() {
    let folder = folder();
    let (lock, logs) = (at(&folder, "lock"), at(&folder, "logs"));
    let script = "echo worker $FLOCKMON_WORKER acquisition $FLOCKMON_ACQUISITION of $FLOCKMON_LOCKFILE; head -c 300000 /dev/zero | tr '\\0' x; echo";
    let args = ["-w", "2", "-n", "6", "-o", "json", "--log", &logs, &lock, "--", "sh", "-c", script];
    let out = run(&args);
    assert_eq!(json(&out)["runs"]["failed"], 0);
    let mut seen = Vec::new();
    for worker in 1..=2 {
        let log = std::fs::read_to_string(format!("{logs}/worker-{worker}.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().filter(|l| l.starts_with("worker")).collect();
        assert_eq!(log.len(), lines.iter().map(|l| l.len() + 1 + 300_001).sum::<usize>());
        for line in lines {
            let words: Vec<&str> = line.split_whitespace().collect();
            assert_eq!((words[1], words[5]), (worker.to_string().as_str(), lock.as_str()));
            seen.push(words[3].parse::<u32>().unwrap());
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, [1, 2, 3, 4, 5, 6]);
    refused(&args, &["worker-", "--force"]);
    let again = run(&[&["--force"], &args[..]].concat());
    assert_eq!(again.status.code(), Some(0), "{}", text(&again.stderr));
}

#[test]
fn runs_that_fail_are_a_finding_and_its_next_step_is_the_key_that_is_bound() {
    let findings = |args: &[&str]| {
        let out = run(&[&["-w", "2", "-n", "6", "-o", "json"], args].concat());
        json(&out)["findings"].clone()
    };
    assert_eq!(findings(&["--", "true"]), serde_json::json!([]));
    let fails = "[ $FLOCKMON_ACQUISITION -ne 5 ]";
    let found = findings(&["--", "sh", "-c", fails]);
    assert_eq!(found[0]["kind"], "failed_runs", "{found}");
    let words = found[0]["text"].as_str().unwrap();
    assert!(words.starts_with("1 of 6 runs of sh failed, last with status 1 in worker-"), "{words}");
    assert!(words.ends_with("; see what it wrote (--log DIR keeps it)"), "{words}");
    assert_eq!(findings(&["--threshold", "failed-runs=2", "--", "sh", "-c", fails]), serde_json::json!([]));
    let log = text(&run(&["-w", "2", "-n", "6", "-o", "log", "--", "sh", "-c", fails]).stdout);
    assert_eq!(log.lines().filter(|l| l.contains(" -          ! 1 of ")).count(), 1, "told once: {log}");
    assert!(log.contains("\n! 1 of 6 runs of sh failed"), "{log}");

    let folder = folder();
    let config = at(&folder, "config.toml");
    std::fs::write(&config, "[keys]\ndetail = \"D\"\n").unwrap();
    let script = "echo why it failed; sleep 0.01; exit 3";
    let mut terminal = Terminal::start(&["--config", &config, "-w", "1", "--", "sh", "-c", script]);
    terminal.see("runs of sh failed, last with status 3 in worker-1; D on it shows its output");
    terminal.press("D");
    terminal.see("why it failed");
    terminal.end();
}

#[test]
fn scripts_without_a_first_line_run_and_one_that_is_gone_is_told() {
    let folder = folder();
    let script = at(&folder, "script");
    std::fs::write(&script, "test \"$1\" = one || exit 4\nrm \"$0\"\nexit 0\n").unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let logs = at(&folder, "logs");
    let out = run(&["-w", "1", "-o", "json", "--stop-on-failure", "--log", &logs, "--", &script, "one"]);
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out.stderr).contains("status 127 (not found) (acquisition 2)"), "{}", text(&out.stderr));
    let log = std::fs::read_to_string(format!("{logs}/worker-1.log")).unwrap();
    assert!(log.ends_with(&format!("flockmon: cannot run {script}: errno 2\n")), "{log}");
}

#[test]
fn recordings_of_commands_are_as_the_schema_says_and_replay_to_the_same_figures() {
    let folder = folder();
    let record = at(&folder, "run.jsonl");
    let script = "case $FLOCKMON_ACQUISITION in 3) exit 3;; 5) kill -9 $$;; esac";
    let out = run(&["-w", "3", "-n", "8", "-o", "json", "--record", &record, "--", "sh", "-c", script]);
    let summary = json(&out);
    let schema: Value = serde_json::from_slice(&run(&["schema"]).stdout).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    assert!(schema.is_valid(&summary), "{summary}");
    let lines = std::fs::read_to_string(&record).unwrap();
    let lines: Vec<Value> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    for line in &lines {
        assert!(schema.is_valid(line), "{line}");
    }
    assert_eq!(lines[0]["config"]["command"], serde_json::json!(["sh", "-c", script]));
    let ran = lines.iter().filter(|l| l["type"] == "ran");
    let mut ends: Vec<_> = ran.map(|l| (l["seq"].as_u64(), l["code"].as_i64(), l["signal"].as_i64())).collect();
    ends.sort_unstable();
    assert_eq!((ends.len(), ends[2], ends[4]), (8, (Some(3), Some(3), None), (Some(5), None, Some(9))));
    assert_eq!(json(&run(&["replay", "-o", "json", &record])), summary);
    let mut spoilt = lines.iter().find(|l| l["type"] == "ran").unwrap().clone();
    spoilt.as_object_mut().unwrap().remove("ran_ns");
    assert!(!schema.is_valid(&spoilt));
    let trace: Value = serde_json::from_slice(&run(&["replay", "-o", "perfetto", &record]).stdout).unwrap();
    let slices = trace["traceEvents"].as_array().unwrap().iter().filter(|e| e["name"] == "run").count();
    assert_eq!(slices, 8);
}
