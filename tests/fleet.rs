//! Real forks on real files: what a lab survives, and that the kernel sees what the screen says.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;
use nix::sys::signal::Signal;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Stdio;
use support::{Headless, Terminal, children, command, proc_locks, signal, state, wait_for, wait_gone};

fn lock_file() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lock");
    std::fs::write(&path, "").unwrap();
    (folder, path)
}

/// The pid of the one that holds the lock and has not been seen dead.
fn holder(path: &std::path::Path) -> Option<i32> {
    proc_locks(path).into_iter().find(|(waits, pid)| !waits && state(*pid).is_some()).map(|(_, pid)| pid)
}

#[test]
fn the_holder_dies_a_hundred_times_and_that_is_no_violation() {
    let (_folder, path) = lock_file();
    for keep_open in [false, true] {
        let mut args = vec!["-w", "5", "--hold", "1h", path.to_str().unwrap()];
        args.extend(keep_open.then_some("--keep-open"));
        let run = Headless::start(&args);
        for _ in 0..100 {
            let pid = wait_for("a holder", || holder(&path));
            signal(pid, Signal::SIGKILL);
            wait_for("another holder", || holder(&path).filter(|p| *p != pid));
        }
        wait_for("the hundred to be told", || {
            (run.lines().iter().filter(|l| l.contains("killed by signal 9")).count() == 100).then_some(())
        });
        let (text, status) = run.end();
        assert_eq!(status, Some(0), "{text}");
        assert!(text.contains("violations 0"), "{text}");
        assert!(text.contains("killed 100"), "{text}");
    }
}

#[test]
fn any_worker_may_die_at_any_time() {
    let run = Headless::start(&["-w", "6", "--hold", "0", "-o", "summary"]);
    let mut seen = BTreeSet::new();
    for round in 0..60 {
        let workers = wait_for("workers", || Some(children(run.pid())).filter(|w| w.len() == 6));
        let victim = workers[round % 6];
        seen.insert(victim);
        signal(victim, Signal::SIGKILL);
        wait_for("its successor", || (!children(run.pid()).contains(&victim)).then_some(()));
    }
    let (text, status) = run.end();
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("violations 0") && text.contains("killed 60"), "{text}");
    wait_gone(&seen.into_iter().collect::<Vec<_>>());
}

#[test]
fn kill_9_of_the_monitor_leaves_no_worker() {
    let mut run = Headless::start(&["-w", "20", "--hold", "100ms"]);
    run.see("released");
    let workers = children(run.pid());
    assert_eq!(workers.len(), 20);
    run.child.kill().unwrap();
    wait_gone(&workers);
}

/// A reader that died stands in no way of those that live.
#[test]
fn a_dead_reader_is_no_holder() {
    let mut terminal = Terminal::start(&["-w", "3", "--hold", "1h", "--shared", "100", "--restart", "never"]);
    terminal.see_that("three holders", |t| t.matches("● holding").count() == 3);
    signal(terminal.workers()[0], Signal::SIGKILL);
    terminal.see_that("two holders", |t| t.matches("● holding").count() == 2);
    terminal.press("k");
    terminal.see_that("one holder", |t| t.matches("● holding").count() == 1);
}

/// One that is taken out while it holds the lock ends its hold by itself, readers too: a kill would be told as a death.
#[test]
fn a_reader_taken_out_leaves_by_itself() {
    let (folder, path) = lock_file();
    let record = folder.path().join("run.jsonl");
    let record = record.to_str().unwrap();
    let args = ["-w", "3", "--hold", "1h", "--shared", "100", "--record", record, path.to_str().unwrap()];
    let mut terminal = Terminal::start(&args);
    terminal.see_that("three holders", |t| t.matches("● holding").count() == 3);
    terminal.press("-");
    terminal.see_that("two holders", |t| t.matches("● holding").count() == 2);
    terminal.press("q");
    assert!(terminal.wait_exit().success());
    let told = std::fs::read_to_string(record).unwrap();
    let exits: Vec<&str> = told.lines().filter(|l| l.contains(r#""type":"exited""#)).collect();
    assert!(exits.iter().all(|l| l.contains(r#""code":0"#)) && !exits.is_empty(), "{exits:?}");
}

/// A successor waits since it asked, not since its predecessor did.
#[test]
fn a_successor_waits_for_itself() {
    let (_folder, path) = lock_file();
    let run = Headless::start(&["-w", "3", "--hold", "1h", "-o", "jsonl", path.to_str().unwrap()]);
    for _ in 0..20 {
        let waiter = || proc_locks(&path).into_iter().find(|(waits, pid)| *waits && state(*pid).is_some());
        let (_, pid) = wait_for("a waiter", waiter);
        signal(pid, Signal::SIGKILL);
        wait_for("its end", || {
            let who = format!(r#""pid":{pid},"#);
            run.lines().iter().any(|l| l.contains("exited") && l.contains(&who)).then_some(())
        });
    }
    let (text, _) = run.end();
    let (mut born, mut waits) = (std::collections::HashMap::new(), 0);
    for line in text.lines().filter(|l| l.contains(r#""pid""#) && l.contains(r#""worker""#)) {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        let (Some(pid), Some(t)) = (event["pid"].as_u64(), event["t"].as_u64()) else { continue };
        match event["type"].as_str().unwrap() {
            "spawned" => drop(born.insert(pid, t)),
            "waiting" => {
                waits += 1;
                assert!(t >= born[&pid], "{line}");
            }
            _ => {}
        }
    }
    assert!(waits > 20, "{text}");
}

/// Somebody else may hold the lock file that a lab is given: then its workers wait, and none of them holds it.
#[test]
fn a_lock_that_another_program_holds_is_told() {
    let (_folder, path) = lock_file();
    let file = std::fs::File::open(&path).unwrap();
    let held = nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusive).map_err(|(_, e)| e).unwrap();
    let args = ["-w", "2", "--hold", "1h", "--threshold", "outside-time=100ms", path.to_str().unwrap()];
    let terminal = Terminal::start(&args);
    terminal.see("another program holds the lock: 2 wait");
    drop(held);
    terminal.see_that("a holder", |t| t.contains("● holding") && !t.contains("another program"));
}

/// The kernel's own list names the holder and the waiters that the screen names, for each kind of lock.
#[test]
fn proc_locks_agrees_with_the_screen() {
    for kind in ["flock", "posix", "ofd"] {
        let (_folder, path) = lock_file();
        let terminal = Terminal::start(&["-w", "4", "--hold", "1h", "--lock", kind, path.to_str().unwrap()]);
        let mut terminal = terminal;
        terminal.see_that("three waiters", |t| t.matches("◌ waiting").count() == 3);
        for _ in 0..3 {
            // It follows the name: of other numbers in the row some are those of processes too.
            let pid_of = |line: &str| -> Option<i32> {
                line.split_whitespace().skip_while(|word| !word.starts_with("worker-")).nth(1)?.parse().ok()
            };
            // A worker says that it waits just before it does, and a frame may be half read: both are looked at anew.
            let holds = wait_for("the kernel's list to agree with the screen", || {
                let text = terminal.text();
                let with = |sign: &str| -> BTreeSet<i32> {
                    text.lines().filter(|l| l.contains(sign)).filter_map(pid_of).collect()
                };
                let (holds, waits) = (with("● holding"), with("◌ waiting"));
                let kernel = proc_locks(&path);
                let theirs = |waiting: bool| kernel.iter().filter(move |(w, _)| *w == waiting).map(|(_, pid)| *pid);
                let agree = if kind == "ofd" {
                    // Open file descriptions have no pid there: the count must agree (fdinfo has the holder).
                    theirs(false).count() == holds.len() && theirs(true).count() == waits.len()
                } else {
                    theirs(false).collect::<BTreeSet<_>>() == holds && theirs(true).collect::<BTreeSet<_>>() == waits
                };
                (agree && holds.len() == 1 && waits.len() == 3).then_some(holds)
            });
            if kind == "ofd" {
                let holder = *holds.first().unwrap();
                let has_lock = std::fs::read_dir(format!("/proc/{holder}/fdinfo"))
                    .unwrap()
                    .any(|fd| std::fs::read_to_string(fd.unwrap().path()).unwrap_or_default().contains("OFDLCK"));
                assert!(has_lock, "{holder} holds no OFD lock");
            }
            let before = holds;
            terminal.press("k");
            terminal.see_that("another holder", |t| {
                t.lines().filter(|l| l.contains("● holding")).filter_map(pid_of).any(|p| !before.contains(&p))
                    && t.matches("◌ waiting").count() == 3
            });
        }
    }
}

#[test]
fn a_lock_file_removed_or_replaced_is_said() {
    let (_folder, path) = lock_file();
    let run = Headless::start(&["-w", "2", "--hold", "1h", path.to_str().unwrap()]);
    run.see("acquired");
    run.see("waits");
    std::fs::remove_file(&path).unwrap();
    run.see("the path names nothing any more");
    std::fs::write(path.with_extension("new"), "").unwrap();
    std::fs::rename(path.with_extension("new"), &path).unwrap();
    run.see("two locks exist");
}

#[test]
fn a_lock_that_is_split_is_a_violation() {
    let (_folder, path) = lock_file();
    let run = Headless::start(&["-w", "2", "--hold", "1h", path.to_str().unwrap()]);
    run.see("acquired");
    run.see("waits");
    // The waiter dies and its successor opens a new file of the same name: both hold "the" lock.
    std::fs::remove_file(&path).unwrap();
    let waiter = *children(run.pid()).iter().find(|p| Some(**p) != run_holder(&run)).unwrap();
    signal(waiter, Signal::SIGKILL);
    run.see("VIOLATION");
    let (text, status) = run.end();
    assert_eq!(status, Some(3), "{text}");
    assert!(text.contains("violations 1"), "{text}");
}

#[test]
fn a_lock_that_is_split_is_a_violation_at_full_speed_too() {
    let (_folder, path) = lock_file();
    let mut terminal = Terminal::start(&["-w", "2", "--hold", "0", "--keep-open", path.to_str().unwrap()]);
    let has_opened = |pid: &i32| {
        let open = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        open.filter_map(|fd| std::fs::read_link(fd.path()).ok()).any(|file| file == path)
    };
    let both = || Some(terminal.workers()).filter(|w| w.len() == 2 && w.iter().all(has_opened));
    let workers = wait_for("workers that have the file open", both);
    // A successor opens a new file of the same name, the other worker keeps the old one.
    std::fs::remove_file(&path).unwrap();
    signal(workers[0], Signal::SIGKILL);
    terminal.see("mutual exclusion violated");
    terminal.press("q");
    assert_eq!(terminal.wait_exit().code(), Some(3));
}

/// Who holds it changes a million times a second: whoever is killed, it is one of them.
#[test]
fn a_holder_is_found_at_full_speed() {
    let mut terminal = Terminal::start(&["-w", "2", "--hold", "0", "--keep-open"]);
    terminal.see("acquired");
    // Nobody may have it at that moment, where others take the processors.
    wait_for("a kill", || {
        terminal.press("k");
        terminal.text().contains("killed worker-").then_some(())
    });
    terminal.press("q");
    assert!(terminal.wait_exit().success());
}

fn run_holder(run: &Headless) -> Option<i32> {
    let lines = run.lines();
    let name = lines.iter().find(|l| l.contains("acquired"))?.split_whitespace().nth(2)?.to_owned();
    let birth = lines.iter().find(|l| l.contains(&format!("{name} ")) && l.contains("started, pid"))?;
    birth.rsplit(' ').next()?.parse().ok()
}

#[test]
fn workers_that_cannot_open_the_file_back_off_and_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    let path = inner.join("lock");
    let run = Headless::start(&["-w", "2", "--hold", "10ms", path.to_str().unwrap()]);
    run.see("released");
    std::fs::remove_dir_all(&inner).unwrap();
    run.see("cannot open the lock file: No such file or directory");
    // With the folder back, they come back.
    std::fs::create_dir(&inner).unwrap();
    let so_far = run.lines().len();
    wait_for("work to go on", || run.lines().iter().skip(so_far).any(|l| l.contains("released")).then_some(()));
    let births = run.lines().iter().filter(|l| l.contains("started, pid")).count();
    assert!(births < 100, "{births} births: no back-off");
    let (text, _) = run.end();
    assert!(text.contains("acquisitions in"), "{text}");
}

#[test]
fn full_pipes_stop_no_worker_and_what_is_lost_is_counted() {
    let (_folder, path) = lock_file();
    let child = command(&["-w", "3", "--hold", "0", "--keep-open", "-o", "json", path.to_str().unwrap()])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id() as i32;
    let workers = wait_for("workers", || Some(children(pid)).filter(|w| w.len() == 3));
    let ticks = |pid: i32| -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
        [11, 12].iter().filter_map(|i| fields.get(*i)?.parse::<u64>().ok()).sum()
    };
    // Until the monitor begins to read, workers wait for it; from then on they do not.
    wait_for("the monitor to read", || (workers.iter().map(|w| ticks(*w)).sum::<u64>() > 20).then_some(()));
    // A monitor that is stopped reads nothing: the pipes fill, the workers go on; their CPU time shows it.
    signal(pid, Signal::SIGSTOP);
    for worker in workers {
        let before = ticks(worker);
        wait_for("a worker to go on", || (ticks(worker) > before + 20).then_some(()));
    }
    signal(pid, Signal::SIGCONT);
    signal(pid, Signal::SIGTERM);
    let out = child.wait_with_output().unwrap();
    let summary: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert!(summary["dropped"].as_u64() > Some(0), "{summary}");
}

#[test]
fn a_thousand_workers_run() {
    let mut run = Headless::start(&["-w", "1000", "--hold", "0", "-n", "20000", "-o", "summary"]);
    let (text, status) = run.wait();
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("20.0k acquisitions") && text.contains("and 900 more"), "{text}");
}

/// A signal that comes while workers are still being forked, as soon as there is anything to leave behind.
#[test]
fn a_signal_while_workers_start_is_a_clean_end() {
    let temp = tempfile::tempdir().unwrap();
    let args = ["-w", "300", "-d", "1h", "-o", "json"];
    let mut started = command(&args);
    let child = started.env("TMPDIR", temp.path()).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut run = Headless::over(child);
    let made = || std::fs::read_dir(temp.path()).unwrap().next();
    wait_for("the temporary folder", || made().map(|_| ()));
    signal(run.pid(), Signal::SIGTERM);
    let (text, status) = run.wait();
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("\"acquisitions\""), "{text}");
    assert!(made().is_none(), "left behind");
}

#[test]
fn limits_that_do_not_suffice_are_named() {
    use std::os::unix::process::CommandExt;
    if nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: root may raise any limit");
        return;
    }
    let mut command = command(&["-w", "200"]);
    // SAFETY: setrlimit is a bare system call.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(|| {
            let low = libc::rlimit { rlim_cur: 100, rlim_max: 100 };
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const low);
            Ok(())
        });
    }
    let out = command.output().unwrap();
    let error = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(error.contains("RLIMIT_NOFILE") && error.contains("264"), "{error}");
    assert_eq!(out.status.code(), Some(1));
}

#[test]
fn giving_up_and_polling_are_told() {
    let run = Headless::start(&["-w", "2", "--hold", "1h", "--acquire", "timeout:20ms", "--think", "5ms"]);
    run.see("gave up, waited 0.0");
    let run = Headless::start(&["-w", "3", "--hold", "5ms", "--acquire", "poll:1ms", "-n", "20", "-o", "summary"]);
    let mut run = run;
    assert_eq!(run.wait().1, Some(0));
}

#[test]
fn never_restarting_ends_when_all_are_dead() {
    let mut run = Headless::start(&["-w", "2", "--hold", "1h", "--restart", "never"]);
    let workers = wait_for("workers", || Some(children(run.pid())).filter(|w| w.len() == 2));
    run.see("acquired");
    workers.iter().for_each(|w| signal(*w, Signal::SIGKILL));
    let (text, status) = run.wait();
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("killed 2"), "{text}");
}

#[test]
fn readers_share_and_exclude_writers() {
    for kind in ["flock", "posix", "ofd"] {
        let mut run = Headless::start(&[
            "-w", "6", "--hold", "100us", "--shared", "60", "--lock", kind, "-n", "3000", "-o", "summary",
        ]);
        let (text, status) = run.wait();
        assert_eq!(status, Some(0), "{text}");
        assert!(text.contains("violations 0"), "{text}");
    }
}

#[test]
fn the_same_seed_makes_the_same_choices() {
    // Whether a lock is shared is drawn from the same numbers as durations are, and unlike those no machine runs it late.
    let modes = |seed: &str| -> Vec<bool> {
        let args = ["-w", "1", "--hold", "0", "--shared", "50", "--seed", seed, "-n", "60", "-o", "log"];
        let text = Headless::start(&args).wait().0;
        text.lines().filter(|l| l.contains(" acquired #")).map(|l| l.contains("(shared)")).collect()
    };
    let first = modes("42");
    assert_eq!(first.len(), 60);
    assert!(first.contains(&true) && first.contains(&false));
    assert_eq!(first, modes("42"));
    assert_ne!(first, modes("43"));
}

/// What a process has open beside standard input, output and error.
fn opened(pid: i32) -> Vec<PathBuf> {
    let all = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let links = all.filter_map(|fd| std::fs::read_link(fd.path()).ok());
    let mut links: Vec<PathBuf> = links.filter(|link| link != std::path::Path::new("/dev/null")).collect();
    links.sort();
    links
}

/// The first fleet begins with the monitor's own table of open files, a successor with a copy: neither keeps any of it
/// but its pipe, and no two have the same.
#[test]
fn a_worker_has_its_pipe_and_the_lock_file_open_and_nothing_else() {
    let (_folder, path) = lock_file();
    let run = Headless::start(&["-w", "40", "--hold", "1h", path.to_str().unwrap()]);
    let check = || {
        let pipes = wait_for("40 workers at the lock", || {
            let workers = children(run.pid());
            let opened: Vec<_> = workers.iter().map(|pid| opened(*pid)).filter(|o| o.contains(&path)).collect();
            (workers.len() == 40 && opened.len() == 40).then_some(opened)
        });
        for opened in &pipes {
            assert!(opened.len() == 2 && opened.iter().any(|o| o.to_string_lossy().starts_with("pipe:")), "{opened:?}");
        }
        assert_eq!(pipes.iter().collect::<BTreeSet<_>>().len(), 40, "{pipes:?}");
        // Neither does the monitor keep an end that it has lent; the child may be at work before it has closed it.
        wait_for("the monitor to close the ends of the workers", || {
            let ends: Vec<_> = opened(run.pid()).into_iter().filter(|o| pipes.iter().any(|p| p.contains(o))).collect();
            (ends.len() == ends.iter().collect::<BTreeSet<_>>().len()).then_some(())
        });
    };
    check();
    let before = wait_for("a holder", || holder(&path));
    signal(before, Signal::SIGKILL);
    wait_for("another holder", || holder(&path).filter(|p| *p != before));
    wait_gone(&[before]);
    check();
}

#[test]
fn the_run_begins_when_all_workers_are_there() {
    let mut run = Headless::start(&["-w", "30", "--hold", "1h", "-n", "1", "-o", "jsonl"]);
    let (text, status) = run.wait();
    assert_eq!(status, Some(0), "{text}");
    let spawned = text.lines().filter(|l| l.contains(r#""type":"spawned""#));
    assert_eq!(spawned.filter(|l| l.contains(r#""t":0,"#)).count(), 30, "{text}");
}
