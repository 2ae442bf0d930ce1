//! The program itself, attached in the middle: what its lines say. Here snapshots are its own.

use crate::support::{Headless, wait_for};
use crate::watcher::{Program, lock_file, puppet, watch_as};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// The program, and one who takes a lock that excludes nobody, so that its line tells that all before it were told.
struct Product {
    watch: Headless,
    marker: Program,
    marks: usize,
}

/// Watches these files; the first is where marks are made. None where the kernel's events cannot be had.
fn attach(paths: &[&Path]) -> Option<Product> {
    watch_as(paths[0], None)?;
    let mut args = vec!["watch", "--no-config", "--how", "exact", "-o", "jsonl"];
    args.extend(paths.iter().map(|p| p.to_str().unwrap()));
    let product = Product { watch: Headless::start(&args), marker: puppet(paths[0]), marks: 0 };
    product.watch.see("\"type\":\"lock\"");
    Some(product)
}

impl Product {
    fn lines(&self) -> Vec<Value> {
        self.watch.lines().iter().map(|l| serde_json::from_str(l).unwrap()).collect()
    }

    /// What was told of a process, without words about who it is and how it is: type, and whether it was so before.
    fn of(&self, pid: i32) -> Vec<String> {
        let deeds = ["holding", "waiting", "acquired", "released", "gave_up", "left"];
        let its = |l: &&Value| l["pid"] == pid && deeds.iter().any(|d| l["type"] == *d);
        let word = |l: Value| {
            format!("{}{}", l["type"].as_str().unwrap(), if l["since"] == "before" { " before" } else { "" })
        };
        self.lines().iter().filter(its).cloned().map(word).collect()
    }

    /// Waits until this is what was told of a process.
    fn expect(&self, pid: i32, want: &[&str]) {
        let shown =
            std::panic::AssertUnwindSafe(|| wait_for(&want.join(", "), || (self.of(pid) == want).then_some(())));
        if std::panic::catch_unwind(shown).is_err() {
            panic!("{pid}: {want:?} was to be told, not {:?}:\n{}", self.of(pid), self.watch.lines().join("\n"));
        }
    }

    /// Waits until all that has happened was told; the time of the last of it.
    fn mark(&mut self) -> u64 {
        self.marker.ask("posix a EX 4096 1");
        self.marker.ask("posix a UN 4096 1");
        self.marks += 1;
        let pid = self.marker.pid();
        wait_for("the mark", || {
            let lines = self.lines();
            let mut released = lines.iter().filter(|l| l["pid"] == pid && l["type"] == "released");
            released.nth(self.marks - 1).map(|l| l["t"].as_u64().unwrap())
        })
    }
}

#[test]
fn open_file_description_locks_that_change_hands_after_it_began() {
    let file = lock_file();
    let [mut a, mut b] = [puppet(file.path()), puppet(file.path())];
    a.ask("ofd a EX 0 10");
    let Some(product) = attach(&[file.path()]) else { return };
    let (first, second) = (a.pid(), b.pid());
    product.expect(first, &["holding before"]);
    let (mut of_first, mut of_second) = (vec!["holding before"], vec![]);
    // Snapshots come in between: one after the first release, and every few seconds.
    for turn in 0..40 {
        let first_holds = turn % 2 == 0;
        let (holder, waiter) = if first_holds { (&mut a, &mut b) } else { (&mut b, &mut a) };
        let (had, has) = if first_holds { (&mut of_first, &mut of_second) } else { (&mut of_second, &mut of_first) };
        waiter.tell("ofd a EX 0 10");
        has.push("waiting");
        product.expect(waiter.pid(), has);
        holder.ask("ofd a UN 0 10");
        assert_eq!(waiter.hear(), "ok");
        had.push("released");
        has.push("acquired");
        product.expect(first, &of_first);
        product.expect(second, &of_second);
        if turn < 2 {
            // Long enough for snapshots that have no record beside them: the probe looks less often.
            let keeper = |l: &&Value| l["type"] == "keepers" && l["pid"] == waiter.pid() && l["keepers"] != Value::Null;
            wait_for("who keeps it", || product.lines().iter().rev().find(keeper).map(drop));
            product.expect(first, &of_first);
            product.expect(second, &of_second);
        }
    }
}

#[test]
fn a_holder_that_opens_its_lock_file_anew_and_closes_that() {
    let file = lock_file();
    let mut a = puppet(file.path());
    let pid = a.pid();
    a.ask("flock a EX");
    let Some(mut product) = attach(&[file.path()]) else { return };
    product.expect(pid, &["holding before"]);
    for _ in 0..20 {
        a.ask("open z");
        a.ask("close z");
        product.mark();
        product.expect(pid, &["holding before"]);
    }
    a.ask("close a");
    let last = product.mark();
    product.expect(pid, &["holding before", "released"]);
    let released = product.lines().into_iter().rfind(|l| l["pid"] == pid && l["type"] == "released").unwrap();
    assert!(released["t"].as_u64().unwrap() <= last, "as of the close, not of when it was certain");
}

/// Waits for one file in a thread, and takes another in the first thread as often as it is told to.
const THREADS: &str = r"
import fcntl, sys, threading
def wait():
    f = open(sys.argv[1])
    fcntl.flock(f, fcntl.LOCK_EX)
    print('won', flush=True)
    sys.stdin.readline()
threading.Thread(target=wait, daemon=True).start()
g = open(sys.argv[2])
for line in sys.stdin:
    if line == 'end\n': break
    fcntl.flock(g, fcntl.LOCK_EX)
    fcntl.flock(g, fcntl.LOCK_UN)
    print('ok', flush=True)
";

#[test]
fn a_thread_that_waits_while_another_goes_on() {
    let (one, two) = (lock_file(), lock_file());
    let mut a = puppet(one.path());
    a.ask("flock a EX");
    let mut threads = Program::python(THREADS, one.path(), &[two.path().to_str().unwrap()]);
    let pid = threads.pid();
    wait_for("a thread that waits", || crate::support::proc_locks(one.path()).contains(&(true, pid)).then_some(()));
    let Some(mut product) = attach(&[one.path(), two.path()]) else { return };
    product.expect(pid, &["waiting before"]);
    let mut want = vec!["waiting before"];
    for _ in 0..20 {
        assert_eq!(threads.ask("turn"), "ok");
        want.extend(["acquired", "released"]);
        product.mark();
        product.expect(pid, &want);
    }
    a.ask("flock a UN");
    assert_eq!(threads.hear(), "won");
    want.push("acquired");
    product.expect(pid, &want);
}

#[test]
fn a_shell_that_holds_what_flock_took() {
    let file = lock_file();
    let mut shell =
        Program::start(Command::new("sh").args(["-c", "( flock 9; echo got; read word ) 9>>\"$0\""]).arg(file.path()));
    assert_eq!(shell.hear(), "got");
    // flock(1) has ended; it is the one that is listed.
    let listed = crate::support::proc_locks(file.path())[0].1;
    let Some(mut product) = attach(&[file.path()]) else { return };
    product.expect(listed, &["holding before"]);
    shell.tell("end");
    shell.child.wait().unwrap();
    let last = product.mark();
    product.expect(listed, &["holding before", "released"]);
    let released = product.lines().into_iter().rfind(|l| l["pid"] == listed && l["type"] == "released").unwrap();
    assert!(released["t"].as_u64().unwrap() <= last, "as of the close, not of when it was certain");
}

#[test]
fn what_is_left_of_a_record_lock_is_no_other() {
    let file = lock_file();
    let mut a = puppet(file.path());
    let pid = a.pid();
    let Some(mut product) = attach(&[file.path()]) else { return };
    product.mark();
    a.ask("posix a EX 0 100");
    product.mark();
    a.ask("posix a UN 50 50");
    product.mark();
    product.expect(pid, &["acquired"]);
    a.ask("posix a UN 0 0");
    product.mark();
    product.expect(pid, &["acquired", "released"]);
    let ranges: Vec<Value> = product.lines().into_iter().filter(|l| l["pid"] == pid && l["type"] == "seen").collect();
    assert_eq!(ranges.last().unwrap()["range"], serde_json::json!([0, 49]), "{ranges:?}");
}

#[test]
fn two_shared_locks_of_one_process_are_held_until_the_second_ends() {
    let file = lock_file();
    let mut a = puppet(file.path());
    let pid = a.pid();
    let Some(mut product) = attach(&[file.path()]) else { return };
    product.mark();
    a.ask("open b");
    a.ask("flock a SH");
    a.ask("flock b SH");
    a.ask("close a");
    product.mark();
    product.expect(pid, &["acquired"]);
    a.ask("close b");
    product.mark();
    product.expect(pid, &["acquired", "released"]);
}
