//! One situation each.

use crate::watcher::{Program, WAYS, Watcher, lock_file, puppet, say, watch};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::Path;
use std::process::Command;

/// Plays the scene in both ways of seeing, on a file of its own.
fn play(scene: impl Fn(&Path, &Watcher)) {
    for way in WAYS {
        let file = lock_file();
        let Some(watcher) = watch(file.path(), way) else { continue };
        scene(file.path(), &watcher);
        assert_eq!(watcher.lost(), 0);
    }
}

fn send(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap();
}

fn words(watcher: &Watcher) -> Vec<String> {
    watcher.all().iter().map(say).collect()
}

#[test]
fn holders_and_waiters_that_are_killed() {
    play(|path, watcher| {
        let [mut a, mut b, mut c] = [puppet(path), puppet(path), puppet(path)];
        let [pa, pb, pc] = [a.pid(), b.pid(), c.pid()];
        a.ask("flock a EX");
        b.tell("flock a EX");
        watcher.expect(&[format!("{pb} waits EX")]);
        c.tell("flock a EX");
        watcher.expect(&[format!("{pc} waits EX")]);
        b.kill();
        watcher.expect(&[format!("{pb} gave up")]);
        a.kill();
        assert_eq!(c.hear(), "ok");
        let want = [
            format!("{pa} got EX"),
            format!("{pb} waits EX"),
            format!("{pc} waits EX"),
            format!("{pb} gave up"),
            format!("{pa} released"),
            format!("{pc} won EX"),
        ];
        c.ask("close a");
        assert_eq!(words(watcher), [&want[..], &[format!("{pc} released")]].concat());
    });
}

#[test]
fn flock_of_util_linux_times_out() {
    play(|path, watcher| {
        let mut holder = puppet(path);
        let (pid, path) = (holder.pid(), path.to_str().unwrap());
        holder.ask("flock a EX");
        let mut late = Command::new("flock").args(["-w", "0.3", path, "true"]).spawn().unwrap();
        let waiter = late.id() as i32;
        assert_eq!(late.wait().unwrap().code(), Some(1));
        holder.ask("flock a UN");
        assert!(Command::new("flock").args([path, "true"]).status().unwrap().success());
        let seen = words(watcher);
        let start = [format!("{pid} got EX"), format!("{waiter} waits EX"), format!("{waiter} gave up")];
        assert_eq!(seen[..3], start);
        assert_eq!(seen[3], format!("{pid} released"));
        assert!(seen[4].ends_with(" got EX") && seen[5].ends_with(" released") && seen.len() == 6, "{seen:?}");
    });
}

#[test]
fn conversions() {
    play(|path, watcher| {
        let [mut a, mut b] = [puppet(path), puppet(path)];
        let [pa, pb] = [a.pid(), b.pid()];
        a.ask("flock a SH");
        b.ask("flock a SH");
        // It loses what it has although it fails.
        assert_eq!(a.ask("flock a EX NB"), "BlockingIOError");
        a.tell("flock a EX");
        watcher.expect(&[format!("{pa} waits EX")]);
        // The other may go up now, the first waits on; down again lets nobody in but readers.
        b.ask("flock a EX");
        b.ask("flock a SH");
        b.ask("flock a UN");
        assert_eq!(a.hear(), "ok");
        a.ask("flock a EX");
        a.ask("flock a UN");
        let want = [
            format!("{pa} got SH"),
            format!("{pb} got SH"),
            format!("{pa} released"),
            format!("{pa} tries EX"),
            format!("{pa} waits EX"),
            format!("{pb} got EX"),
            format!("{pb} got SH"),
            format!("{pb} released"),
            format!("{pa} won EX"),
            format!("{pa} released"),
        ];
        assert_eq!(words(watcher), want);
    });
}

#[test]
fn signals_that_end_a_wait_and_those_that_do_not() {
    play(|path, watcher| {
        let [mut a, mut b] = [puppet(path), puppet(path)];
        let [pa, pb] = [a.pid(), b.pid()];
        a.ask("flock a EX");
        for (round, handler) in (1..).zip(["restart", "handle pass", "handle raise"]) {
            b.ask(handler);
            b.tell("flock a EX");
            watcher.expect(&vec![format!("{pb} waits EX"); round]);
            for signal in [Signal::SIGSTOP, Signal::SIGCONT, Signal::SIGWINCH, Signal::SIGUSR1] {
                send(pb, signal);
                if signal == Signal::SIGSTOP {
                    crate::support::wait_for("a stop", || (crate::support::state(pb) == Some('T')).then_some(()));
                }
            }
            if handler == "handle raise" {
                assert_eq!(b.hear(), "InterruptedError");
                watcher.expect(&[format!("{pb} gave up")]);
            } else {
                // Restarted by the kernel, or by Python itself: it stands in the queue again and gets the lock.
                crate::support::wait_for("a blocked call", || (crate::support::state(pb) == Some('S')).then_some(()));
                a.ask("flock a UN");
                assert_eq!(b.hear(), "ok");
                b.ask("flock a UN");
                a.ask("flock a EX");
            }
        }
        let turn = [
            format!("{pa} got EX"),
            format!("{pb} waits EX"),
            format!("{pa} released"),
            format!("{pb} won EX"),
            format!("{pb} released"),
        ];
        let end = [format!("{pa} got EX"), format!("{pb} waits EX"), format!("{pb} gave up")];
        a.ask("flock a UN");
        assert_eq!(words(watcher), [&turn[..], &turn[..], &end[..], &[format!("{pa} released")]].concat());
    });
}

#[test]
fn byte_ranges_of_processes() {
    play(|path, watcher| {
        let [mut a, mut b] = [puppet(path), puppet(path)];
        let [pa, pb] = [a.pid(), b.pid()];
        a.ask("posix a EX 0 10");
        b.ask("posix a EX 10 10");
        a.ask("posix a EX 20 10");
        b.tell("posix a EX 0 5");
        watcher.expect(&[format!("{pb} waits EX 0-4")]);
        assert_eq!(a.ask("posixnb a SH 12 1"), "BlockingIOError");
        // The kernel sees a circle.
        assert_eq!(a.ask("posix a EX 10 1"), "OSError");
        a.ask("posix a UN 2 4");
        a.ask("posix a UN 0 2");
        assert_eq!(b.hear(), "ok");
        // Any other descriptor of the file, closed, drops all.
        a.ask("open z");
        a.ask("close z");
        b.ask("close a");
        let want = [
            format!("{pa} got EX 0-9"),
            format!("{pb} got EX 10-19"),
            format!("{pa} got EX 20-29"),
            format!("{pb} waits EX 0-4"),
            format!("{pa} tries SH 12-12"),
            format!("{pa} tries EX 10-10"),
            // Who is refused for good tries for nothing else any more.
            format!("{pa} gave up 12-12"),
            format!("{pa} gave up 10-10"),
            format!("{pa} released 0-9"),
            format!("{pa} kept EX 0-1"),
            format!("{pa} kept EX 6-9"),
            format!("{pa} released 0-1"),
            format!("{pb} won EX 0-4"),
            format!("{pa} released 20-29"),
            format!("{pa} released 6-9"),
            format!("{pb} released 10-19"),
            format!("{pb} released 0-4"),
        ];
        // The end of a hold that a close drops comes in no order of ranges.
        let (mut seen, mut want) = (words(watcher), want.to_vec());
        seen.sort();
        want.sort();
        assert_eq!(seen, want);
    });
}

#[test]
fn byte_ranges_of_descriptions() {
    play(|path, watcher| {
        let mut a = puppet(path);
        let pid = a.pid();
        a.ask("open b");
        a.ask("ofd a EX 0 10");
        // Two descriptions of one process exclude each other; the close of a third drops nothing.
        assert_eq!(a.ask("ofdnb b EX 5 10"), "BlockingIOError");
        a.ask("open c");
        a.ask("close c");
        a.ask("ofd b SH 10 10");
        a.ask("close a");
        assert_eq!(a.ask("ofdnb b EX 5 10"), "ok");
        a.ask("close b");
        let want = [
            format!("{pid} got EX 0-9"),
            format!("{pid} tries EX 5-14"),
            format!("{pid} got SH 10-19"),
            format!("{pid} released 0-9"),
            format!("{pid} released 10-19"),
            format!("{pid} kept SH 15-19"),
            format!("{pid} won EX 5-14"),
            format!("{pid} released 5-14"),
            format!("{pid} released 15-19"),
        ];
        let (mut seen, mut want) = (words(watcher), want.to_vec());
        seen.sort();
        want.sort();
        assert_eq!(seen, want);
    });
}

#[test]
fn an_inherited_descriptor_keeps_the_lock() {
    play(|path, watcher| {
        let mut a = puppet(path);
        let pa = a.pid();
        a.ask("flock a EX");
        let child: i32 = a.ask("fork").parse().unwrap();
        a.kill();
        let mut b = puppet(path);
        let pb = b.pid();
        b.tell("flock a EX");
        // The first is gone, and the lock is not.
        watcher.expect(&[format!("{pb} waits EX")]);
        send(child, Signal::SIGKILL);
        assert_eq!(b.hear(), "ok");
        b.kill();
        let want = [
            format!("{pa} got EX"),
            format!("{pb} waits EX"),
            format!("{pa} released"),
            format!("{pb} won EX"),
            format!("{pb} released"),
        ];
        assert_eq!(words(watcher), want);
    });
}

/// As Python's filelock does: a new descriptor for each try.
const POLLER: &str = r"
import fcntl, sys, time
while True:
    f = open(sys.argv[1])
    try:
        fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        break
    except BlockingIOError:
        f.close()
        time.sleep(0.01)
print('got it', flush=True)
sys.stdin.read()
";

#[test]
fn those_who_try_again_and_again() {
    play(|path, watcher| {
        let mut a = puppet(path);
        let pa = a.pid();
        a.ask("flock a EX");
        let mut poller = Program::python(POLLER, path, &[]);
        let mut quitter = Program::python(POLLER, path, &[]);
        let (winner, loser) = (poller.pid(), quitter.pid());
        for pid in [winner, loser] {
            watcher.wait("tries", |seen| {
                (seen.iter().filter(|c| c.task.pid == pid && say(c).contains("tries")).count() > 3).then_some(())
            });
        }
        quitter.kill();
        a.ask("flock a UN");
        assert_eq!(poller.hear(), "got it");
        poller.kill();
        let mut seen = words(watcher);
        let tries = seen.len();
        seen.retain(|said| !said.contains("tries"));
        assert!(tries - seen.len() >= 8);
        let want = [
            format!("{pa} got EX"),
            format!("{loser} gave up"),
            format!("{pa} released"),
            format!("{winner} won EX"),
            format!("{winner} released"),
        ];
        assert_eq!(seen, want);
    });
}

#[test]
fn one_lock_through_two_descriptors_of_a_process() {
    play(|path, watcher| {
        let mut a = puppet(path);
        let pid = a.pid();
        a.ask("flock a SH");
        a.ask("open b");
        a.ask("flock b SH");
        // A self-made block: its own other descriptor stands in the way.
        assert_eq!(a.ask("flock b EX NB"), "BlockingIOError");
        a.ask("close b");
        a.ask("flock a EX NB");
        a.ask("close a");
        let seen = words(watcher);
        let want = ["got SH", "got SH", "released", "tries EX", "won EX", "released"].map(|w| format!("{pid} {w}"));
        assert_eq!(seen, want);
    });
}
