//! The real program at a pseudo-terminal: every key, every way to end it; the terminal comes back, no worker stays.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;
use nix::sys::signal::Signal;
use std::process::Command;
use support::{Terminal, children, command, proc_locks, signal, state, wait_for, wait_gone};

const ARGS: &[&str] = &["--workers", "3", "--hold", "50ms"];
/// A hold that does not end while a test looks at it.
const LONG: &[&str] = &["--workers", "3", "--hold", "1h"];

fn started(args: &[&str]) -> (Terminal, Vec<i32>) {
    let terminal = Terminal::start(args);
    terminal.see("worker-1 ");
    terminal.see("holding");
    let workers = terminal.workers();
    (terminal, workers)
}

fn ended_well(mut terminal: Terminal, workers: &[i32]) {
    let status = terminal.wait_exit();
    assert_eq!(status.code(), Some(0), "{}", terminal.text());
    terminal.assert_restored();
    terminal.see("acquisitions in");
    wait_gone(workers);
}

#[test]
fn q_ends_it() {
    let (mut terminal, workers) = started(ARGS);
    assert!(terminal.in_alternate_screen());
    assert_eq!(workers.len(), 3);
    terminal.press("q");
    ended_well(terminal, &workers);
}

#[test]
fn ctrl_c_and_escape_end_it() {
    for key in ["\x03", "\x1b"] {
        let (mut terminal, workers) = started(ARGS);
        terminal.press(key);
        ended_well(terminal, &workers);
    }
}

#[test]
fn signals_end_it() {
    for which in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
        let (terminal, workers) = started(ARGS);
        signal(terminal.pid(), which);
        ended_well(terminal, &workers);
    }
}

#[test]
fn kill_9_leaves_no_worker() {
    let folder = tempfile::tempdir().unwrap();
    let lock = folder.path().join("lock");
    let (mut terminal, workers) = started(&[LONG, &[lock.to_str().unwrap()]].concat());
    assert_eq!(proc_locks(&lock).len(), 3);
    signal(terminal.pid(), Signal::SIGKILL);
    wait_gone(&workers);
    terminal.wait_exit();
    // An entry may stand in the process table until init reaps it; it holds nothing and waits for nothing.
    assert!(proc_locks(&lock).is_empty());
    let file = std::fs::File::open(&lock).unwrap();
    assert!(nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusiveNonblock).is_ok());
}

#[test]
fn a_terminal_that_is_closed_ends_it() {
    let (mut terminal, workers) = started(ARGS);
    terminal.hang_up();
    terminal.wait_exit();
    wait_gone(&workers);
}

/// As a shell with job control runs it.
#[test]
fn ctrl_z_gives_the_terminal_back_and_fg_takes_it_again() {
    for by_key in [true, false] {
        let flockmon = command(ARGS);
        let mut shell = Command::new("sh");
        shell.args(["-c", "set -m; \"$@\"; read back; fg", "sh"]).arg(flockmon.get_program()).args(flockmon.get_args());
        for (name, value) in flockmon.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        let mut terminal = Terminal::over(shell, 36, 120);
        terminal.see("worker-1 ");
        terminal.see("holding");
        let pid = terminal.workers()[0];
        let workers = children(pid);
        assert_eq!(workers.len(), 3);
        if by_key {
            terminal.press("\x1a");
        } else {
            signal(pid, Signal::SIGTSTP);
        }
        wait_for("flockmon to stop", || (state(pid) == Some('T')).then_some(()));
        terminal.assert_restored();
        assert!(
            workers.iter().all(|w| state(*w).is_some_and(|s| s != 'T')),
            "the workers are not stopped, only paused"
        );
        terminal.press("\n");
        wait_for("the screen to come back", || terminal.in_alternate_screen().then_some(()));
        terminal.see("running");
        terminal.press("q");
        ended_well(terminal, &workers);
    }
}

#[test]
fn without_a_shell_ctrl_z_does_not_stop_it() {
    let (mut terminal, workers) = started(ARGS);
    terminal.press("\x1a");
    terminal.see("no shell is there");
    signal(terminal.pid(), Signal::SIGTSTP);
    terminal.press("q");
    ended_well(terminal, &workers);
}

#[test]
fn a_panic_in_any_thread_gives_the_terminal_back() {
    for thread in ["main", "collector", "keyboard", "signals"] {
        let mut terminal = Terminal::start_sized(ARGS, 36, 120, &[("FLOCKMON_TEST_PANIC", thread)]);
        // Some of the threads only run on when something comes.
        terminal.press("?");
        let (pid, mut workers) = (terminal.pid(), Vec::new());
        let status = wait_for("flockmon to end", || {
            workers.extend(children(pid));
            signal(pid, Signal::SIGCHLD);
            terminal.child.try_wait().unwrap()
        });
        assert!(!status.success(), "{thread}");
        terminal.assert_restored();
        terminal.see("a panic was asked for");
        wait_gone(&workers);
    }
}

#[test]
fn any_size_is_survived() {
    let (mut terminal, workers) = started(ARGS);
    for (rows, cols) in [(1, 1), (9, 39), (10, 40), (24, 80), (2, 200), (60, 3), (36, 120)] {
        terminal.resize(rows, cols);
        if (rows, cols) == (9, 39) {
            terminal.see("needs 40×10, has 39×9");
        }
        if cols >= 40 && rows >= 10 {
            terminal.see("holding");
        }
    }
    terminal.press("q");
    ended_well(terminal, &workers);
}

#[test]
fn killing_the_holder_hands_over_and_it_comes_back() {
    let (mut terminal, _) = started(LONG);
    let holder = |text: &str| text.lines().find(|l| l.contains("has held it")).map(|l| l[..30].to_owned());
    let before = holder(&terminal.text());
    terminal.press("k");
    terminal.see("killed worker-");
    terminal.see_that("another holder", |t| holder(t).is_some_and(|h| Some(h) != before));
    let pid = terminal.pid();
    wait_for("three workers again", || (children(pid).len() == 3).then_some(()));
    terminal.press("!");
    terminal.see("was killed, holding the lock");
}

#[test]
fn pause_freezes_the_scene() {
    let (mut terminal, _) = started(ARGS);
    terminal.press(" ");
    let paused = terminal.see("PAUSED");
    let waits = |text: &str| -> Vec<String> {
        text.lines().filter(|l| l.contains("waiting")).map(|l| l.chars().skip(1).take(60).collect()).collect()
    };
    let first = waits(&terminal.see_that("a settled scene", |t| waits(t).len() >= 2));
    assert!(paused.contains("worker-1"));
    // The next frame is drawn when the clock of the header has moved on: nobody's wait has.
    let clock = |t: &str| t.lines().next().unwrap_or_default().to_owned();
    let then = clock(&terminal.text());
    let later = terminal.see_that("a later frame", |t| clock(t) != then);
    assert_eq!(first, waits(&later));
    terminal.press("p");
    terminal.see("running");
}

#[test]
fn stalling_the_holder_is_said_and_undone() {
    let (mut terminal, _) = started(LONG);
    terminal.press("s");
    terminal.see("is stopped and keeps the lock");
    let stopped = wait_for("a stopped worker", || terminal.workers().into_iter().find(|w| state(*w) == Some('T')));
    terminal.press("s");
    wait_for("it to go on", || (state(stopped) != Some('T')).then_some(()));
    terminal.see_that("no finding", |t| !t.contains("is stopped"));
}

#[test]
fn workers_come_and_go() {
    let (mut terminal, _) = started(ARGS);
    terminal.press("++");
    terminal.see("5 workers");
    terminal.see("worker-5 ");
    terminal.press("-");
    terminal.see("4 workers");
    let row_of_5 = |t: &str| t.lines().any(|l| l.contains("worker-5 ") && l.contains('│'));
    terminal.see_that("four rows", |t| !row_of_5(t));
    let pid = terminal.pid();
    wait_for("four processes", || (children(pid).len() == 4).then_some(()));
    terminal.press("---");
    terminal.see("1 workers");
    terminal.press("-");
    terminal.see("the last worker stays");
}

#[test]
fn hold_and_think_change_live() {
    let (mut terminal, _) = started(LONG);
    // A hold of an hour, shortened step by step, must end at once when it is over.
    let before = terminal.see("hold 1h");
    assert!(before.contains("think 0"));
    terminal.press(&"[".repeat(15));
    terminal.see_that("many acquisitions", |t| {
        t.split(" acquired")
            .next()
            .and_then(|s| s.split_whitespace().last()?.parse::<u64>().ok())
            .is_some_and(|n| n > 3)
    });
    terminal.press("}}");
    terminal.see("think 20us");
    terminal.press("{");
    terminal.see("think 10us");
}

#[test]
fn every_other_key_does_what_the_help_says() {
    let (mut terminal, workers) = started(ARGS);
    terminal.press("?");
    terminal.see("kill the selected worker");
    terminal.press("\x1b");
    terminal.see_that("no help", |t| !t.contains("kill the selected worker"));
    terminal.press("x");
    terminal.see("select a worker first");
    terminal.press("\x1b[B");
    terminal.see("▶ worker-1");
    terminal.press("j");
    terminal.see("▶ worker-2");
    terminal.press("x");
    terminal.see("killed worker-2");
    terminal.press("\r");
    terminal.see("everyone's wait");
    // An escape and a key read together are one Alt+key to any terminal program: wait between them.
    terminal.press("\x1b");
    terminal.see_that("no detail", |t| !t.contains("everyone's wait"));
    terminal.press("\t");
    terminal.see(" hold · last 60 s");
    terminal.press("w");
    terminal.see(" hold · all");
    terminal.press(">");
    terminal.see("by pid");
    terminal.press("r");
    terminal.see("by pid, reversed");
    terminal.press("f");
    terminal.see("FROZEN");
    terminal.press("f");
    terminal.see("running");
    terminal.press("e");
    terminal.see_that("the table alone", |t| !t.contains("timeline"));
    terminal.press("eee");
    terminal.see("timeline");
    terminal.press("0");
    terminal.press("\x1b[<0;10;10M");
    terminal.see("▶");
    terminal.press("q");
    let mut workers = workers;
    workers.extend(terminal.workers());
    ended_well(terminal, &workers);
}

#[test]
fn no_color_and_ascii_are_honoured() {
    let terminal = Terminal::start_sized(&["-w", "3", "--hold", "20ms", "--ascii"], 36, 120, &[("NO_COLOR", "1")]);
    terminal.see("p99");
    let text = terminal.see("* holding");
    assert!(text.is_ascii(), "{text}");
}
