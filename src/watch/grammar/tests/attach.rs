//! What was there before.

use super::*;

const KEY: LockKey = LockKey { file: FILE, family: Family::Flock };

/// Of a process with one thread.
fn entry(pid: i32, mode: LockMode, waiting: bool) -> SnapshotEntry {
    SnapshotEntry {
        lock: KEY,
        task: TaskId { pid, tid: pid },
        kind: Flock,
        mode,
        range: None,
        waiting,
        supposed: false,
    }
}

fn bytes(pid: i32, kind: LockKind, start: u64, end: u64, waiting: bool) -> SnapshotEntry {
    SnapshotEntry {
        lock: LockKey { family: Family::Record, ..KEY },
        task: TaskId { pid, tid: 0 },
        kind,
        mode: Exclusive,
        range: Some(Range { start, end: Some(end) }),
        waiting,
        supposed: false,
    }
}

impl Scene {
    /// A snapshot that is read in no time, now.
    fn found(&mut self, entries: &[SnapshotEntry]) -> &mut Self {
        self.t += 5 * MS;
        self.grammar.snapshot_begins();
        self.grammar.snapshot(Snapshot {
            began: self.t,
            ended: self.t,
            entries: Some(entries.to_vec()),
            torn: self.torn,
        });
        self
    }

    fn deeds(&mut self) -> Vec<String> {
        self.told().iter().map(|s| s.split_once(' ').unwrap().1.to_owned()).collect()
    }

    /// Attached long ago: time has passed since the snapshot.
    fn attached(entries: &[SnapshotEntry]) -> Self {
        let mut scene = Self::default();
        scene.at(10 * MS).found(entries);
        scene.deeds();
        scene
    }
}

#[test]
fn holders_and_waiters_are_told_and_go_on() {
    let mut scene = Scene::default();
    scene.at(10 * MS).found(&[entry(1, Exclusive, false), entry(2, Exclusive, true), entry(3, Exclusive, true)]);
    assert!(scene.changes().is_empty(), "not before the window has passed");
    assert_eq!(scene.deeds(), ["1 holding EX", "2 waits EX since before", "3 waits EX since before"]);
    scene.unlock(who(1, A)).ask(who(2, B), WRITE, 0).ask(who(3, C), WRITE, 1).unlock(who(2, B)).ask(
        who(3, C),
        WRITE,
        0,
    );
    assert_eq!(scene.deeds(), ["1 released", "2 won EX", "2 released", "3 won EX"]);
}

#[test]
fn a_process_with_a_record_is_known_from_its_records_alone() {
    let mut scene = Scene::default();
    scene.grammar.snapshot_begins();
    scene.at(10 * MS).ask(who(1, A), WRITE, 0).unlock(who(1, A)).ask(who(2, B), WRITE, 0);
    let entries = vec![entry(1, Exclusive, false), entry(2, Exclusive, true), entry(3, Exclusive, true)];
    scene.grammar.snapshot(Snapshot { began: 10 * MS, ended: 11 * MS, entries: Some(entries), torn: false });
    assert_eq!(scene.deeds(), ["1 got EX", "1 released", "2 got EX", "3 waits EX since before"]);
}

#[test]
fn a_record_just_after_the_reading_counts_too() {
    let mut scene = Scene::default();
    scene.at(10 * MS).found(&[entry(1, Exclusive, false)]).at(16 * MS).unlock(who(1, A));
    assert!(scene.deeds().is_empty(), "it let go before it was told that it held");
}

#[test]
fn nothing_is_told_twice() {
    let mut scene = Scene::attached(&[entry(1, Exclusive, false), entry(2, Exclusive, true)]);
    scene.ask(who(3, C), WRITE, 1);
    scene.deeds();
    for _ in 0..5 {
        scene.found(&[entry(1, Exclusive, false), entry(2, Exclusive, true), entry(3, Exclusive, true)]);
        assert!(scene.deeds().is_empty());
    }
}

#[test]
fn an_entry_that_is_missing_says_nothing_at_once_but_does_in_the_end() {
    let mut scene = Scene::attached(&[entry(1, Exclusive, false), entry(2, Exclusive, true)]);
    for _ in 1..3 {
        scene.found(&[]);
        assert!(scene.deeds().is_empty());
    }
    assert_eq!(scene.found(&[]).deeds(), ["1 released", "2 gave up"]);
    assert!(scene.grammar.waits.is_empty() && scene.grammar.unknown_waits == 0);
}

/// Stopped while it holds what it waited for in an earlier reading, or between two of its turns.
#[test]
fn what_is_only_supposed_keeps_a_wait_and_begins_none() {
    let supposed = |pid| SnapshotEntry { supposed: true, ..entry(pid, Exclusive, true) };
    let mut scene =
        Scene::attached(&[entry(1, Exclusive, false), entry(2, Exclusive, true), entry(3, Exclusive, true)]);
    scene.unlock(who(1, A)).ask(who(2, B), WRITE, 0);
    scene.deeds();
    for _ in 0..8 {
        scene.found(&[entry(2, Exclusive, false), supposed(1), supposed(2), supposed(3)]);
    }
    assert_eq!(scene.deeds(), [""; 0], "2 has got what it waited for, 1 waits for nothing, and 3 waits on");
}

#[test]
fn a_snapshot_that_failed_says_nothing_at_all() {
    let mut scene = Scene::attached(&[entry(1, Exclusive, false)]);
    for _ in 0..9 {
        scene.grammar.snapshot_begins();
        scene.grammar.snapshot(Snapshot::default());
        assert!(scene.deeds().is_empty());
    }
}

#[test]
fn a_wait_that_ended_without_a_record_of_the_lock_is_not_found_again() {
    let record = LockKey { family: Family::Record, ..KEY };
    let nameless = SnapshotEntry { lock: record, task: TaskId { pid: -1, tid: -1 }, ..bytes(-1, Ofd, 0, 9, true) };
    for signal in [false, true] {
        let mut scene = Scene::default();
        scene.at(10 * MS).ofd(who(2, B), WRITE, 0, 9, 1);
        assert_eq!(scene.deeds(), ["2 waits EX 0-9"]);
        scene.grammar.snapshot_begins();
        let began = scene.t;
        scene.t += MS;
        if signal {
            scene.signal(2, libc::SIGALRM, 0x4000, 0);
        } else {
            scene.exit(2);
        }
        // Long in reading.
        scene.t += 200 * MS;
        assert_eq!(scene.deeds(), ["2 gave up 0-9"]);
        let entries = Some(vec![nameless]);
        scene.grammar.snapshot(Snapshot { began, ended: scene.t, entries, torn: false });
        assert_eq!(scene.deeds(), [""; 0], "signal: {signal}");
    }
}

#[test]
fn another_s_grant_ends_a_hold_from_before() {
    // Whoever inherited it closed it: its pid is not the one that was listed.
    let mut scene = Scene::attached(&[entry(1, Exclusive, false), entry(2, Exclusive, true)]);
    scene.close(who(7, A)).ask(who(2, B), WRITE, 0);
    assert_eq!(scene.deeds(), ["1 released", "2 won EX"]);
}

#[test]
fn a_wrong_guess_is_put_right() {
    // The process unlocks another descriptor of the same file.
    let mut scene = Scene::attached(&[entry(1, Exclusive, false)]);
    scene.unlock(who(1, B));
    assert_eq!(scene.deeds(), ["1 released"]);
    assert!(scene.grammar.wants_snapshot());
    scene.found(&[entry(1, Exclusive, false)]);
    assert_eq!(scene.deeds(), ["1 holding EX"]);
    assert!(!scene.grammar.wants_snapshot());
}

#[test]
fn an_exclusive_holder_that_waits_is_another_descriptor() {
    let mut scene = Scene::attached(&[entry(1, Exclusive, false)]);
    scene.ask(who(1, B), WRITE, 1);
    assert_eq!(scene.deeds(), ["1 waits EX"], "it blocks itself");
    scene.unlock(who(1, A)).ask(who(1, B), WRITE, 0);
    assert_eq!(scene.deeds(), ["1 released", "1 won EX"]);
}

#[test]
fn a_shared_holder_from_before_that_wants_more_loses_it() {
    let mut scene = Scene::attached(&[entry(1, Shared, false), entry(2, Shared, false)]);
    scene.ask(who(1, A), WRITE, 1);
    assert_eq!(scene.deeds(), ["1 released", "1 waits EX"]);
    scene.found(&[entry(1, Exclusive, true), entry(2, Shared, false)]);
    assert!(scene.deeds().is_empty());
}

#[test]
fn two_locks_of_one_process_are_told_one_after_the_other() {
    // Torn readings have doubles, so rows that are alike count as one.
    let mut scene = Scene::attached(&[entry(1, Shared, false), entry(1, Shared, false)]);
    scene.unlock(who(1, A));
    assert_eq!(scene.deeds(), ["1 released"]);
    assert!(scene.grammar.wants_snapshot());
    scene.found(&[entry(1, Shared, false)]);
    assert_eq!(scene.deeds(), ["1 holding SH"]);
    scene.unlock(who(1, B)).unlock(who(1, C));
    assert_eq!(scene.deeds(), ["1 released"]);
}

#[test]
fn a_wait_from_before_ends_by_a_signal() {
    let mut scene = Scene::attached(&[entry(2, Exclusive, true), entry(3, Exclusive, true)]);
    scene.signal(2, 15, 0, 0).exit(2).exit(3);
    assert_eq!(scene.deeds(), ["2 gave up", "3 gave up"]);
}

#[test]
fn the_thread_that_waits_shows_itself() {
    let thread_entry = |tid| SnapshotEntry { task: TaskId { pid: 2, tid }, ..entry(2, Exclusive, true) };
    let mut scene = Scene::attached(&[thread_entry(0)]);
    let thread = Who { pid: 2, tid: 22, owner: A };
    scene.ask(thread, WRITE, 1).signal(22, 15, 0, 0).exit(22);
    assert_eq!(scene.deeds(), ["2.-1 gave up", "2.22 waits EX since before", "2.22 gave up"]);
    // Two of one process, whose threads are known to the snapshot.
    let mut scene = Scene::attached(&[thread_entry(2), thread_entry(22)]);
    scene.ask(thread, WRITE, 0).unlock(thread).ask(Who { pid: 2, tid: 2, owner: B }, WRITE, 0);
    assert_eq!(scene.deeds(), ["2.22 won EX", "2.22 released", "2 won EX"]);
}

#[test]
fn byte_ranges_are_found_and_bound_together() {
    let mut scene = Scene::attached(&[bytes(1, Posix, 0, 9, false), bytes(1, Posix, 20, 29, false)]);
    scene.posix(who(1, A), UNLOCK, 5, 24, 0);
    assert_eq!(scene.deeds(), ["1 released 0-9", "1 released 20-29", "1 kept EX 0-4", "1 kept EX 25-29"]);
    scene.posix_close(who(1, A));
    assert_eq!(scene.deeds(), ["1 released 0-4", "1 released 25-29"]);
}

#[test]
fn merged_rows_are_known_by_their_bytes() {
    let mut scene = Scene::default();
    scene.at(MS).posix(who(1, A), WRITE, 0, 9, 0).posix(who(1, A), WRITE, 0, 19, 0);
    scene.deeds();
    scene.found(&[bytes(1, Posix, 0, 19, false)]);
    assert!(scene.deeds().is_empty());
    scene.found(&[bytes(1, Posix, 0, 29, false)]);
    assert_eq!(scene.deeds(), ["1 holding EX 20-29"]);
}

#[test]
fn ofd_locks_without_a_pid_find_their_owner() {
    let mut scene = Scene::attached(&[bytes(-1, Ofd, 0, 9, false), bytes(-1, Ofd, 0, 9, true)]);
    scene.ofd(who(1, A), UNLOCK, 0, 9, 0).ofd(who(2, B), WRITE, 0, 9, 0);
    assert_eq!(
        scene.deeds(),
        ["-1.0 released 0-9", "-1 gave up 0-9", "2 waits EX since before 0-9", "2 won EX 0-9"],
        "a wait is told anew when its thread is known"
    );
    // By close: the process's own locks are told first, and are none.
    let mut scene = Scene::attached(&[bytes(1, Ofd, 0, 9, false)]);
    scene.posix_close(who(1, C));
    assert!(scene.deeds().is_empty());
    let t = scene.posix_close(who(1, C)).t;
    scene.posix_close(who(1, A)).found(&[]);
    assert_eq!(scene.told(), [format!("{t} 1 released 0-9")]);
}

#[test]
fn after_a_loss_the_snapshot_decides_sooner() {
    let mut scene = Scene::default();
    scene.at(MS).ask(who(1, A), WRITE, 0).ask(who(2, B), WRITE, 1);
    scene.deeds();
    scene.put(0, What::Lost(100));
    assert!(scene.grammar.wants_snapshot());
    scene.at(100 * MS).found(&[entry(3, Exclusive, false)]);
    assert_eq!(scene.deeds(), ["1 released", "3 holding EX"], "what the new holder excludes is over");
    scene.found(&[entry(3, Exclusive, false)]);
    assert_eq!(scene.deeds(), ["2 gave up"]);
}

#[test]
fn records_are_right_where_a_snapshot_disagrees() {
    let mut scene = Scene::default();
    scene.grammar.snapshot_begins();
    scene.at(10 * MS).ask(who(2, B), WRITE, 0);
    let entries = Some(vec![entry(1, Exclusive, false)]);
    scene.grammar.snapshot(Snapshot { began: 10 * MS, ended: 11 * MS, entries, torn: false });
    assert_eq!(scene.deeds(), ["2 got EX"]);
}

#[test]
fn what_is_watched_no_more_is_forgotten() {
    let mut scene = Scene::attached(&[entry(1, Exclusive, false), entry(2, Exclusive, true)]);
    scene.attempt(who(3, C), WRITE, -11);
    scene.deeds();
    scene.grammar.retain(|_| false);
    scene.exit(2).exit(3).unlock(who(1, A)).at(100_000 * MS);
    assert!(scene.deeds().is_empty());
}

#[test]
fn an_inferred_owner_ends_nobody_who_is_known() {
    let held = [bytes(1, Ofd, 0, 9, false)];
    let mut scene = Scene::attached(&held);
    scene.ofd(who(1, A), UNLOCK, 0, 9, 0).ofd(who(2, B), WRITE, 0, 9, 0);
    assert_eq!(scene.deeds(), ["1 released 0-9", "2 got EX 0-9"]);
    // Whether found wrongly or a child that inherited the descriptor: 2 has acquired it, and nothing says that it let go.
    for _ in 0..5 {
        assert!(scene.found(&held).deeds().is_empty());
    }
    // Nobody holds it, as far as can be seen.
    scene.found(&[]).found(&[]).found(&[]);
    assert_eq!(scene.deeds(), ["2 released 0-9"]);
    // Something was lost: then it may have let go.
    scene.ofd(who(2, B), WRITE, 0, 9, 0).put(0, What::Lost(1)).found(&held);
    assert_eq!(scene.deeds(), ["2 got EX 0-9"]);
    assert_eq!(scene.found(&held).deeds(), ["2 released 0-9", "1 holding EX 0-9"]);
}

#[test]
fn a_holder_that_closes_another_descriptor_goes_on_holding() {
    // It opened its own lock file anew, and closed that: the same record as if it let go.
    let held = [entry(1, Exclusive, false)];
    let mut scene = Scene::attached(&held);
    for n in 0..5 {
        scene.close(who(1, B + n));
        assert!(scene.deeds().is_empty());
        assert!(scene.grammar.wants_snapshot());
        assert!(scene.found(&held).deeds().is_empty());
        assert!(!scene.grammar.wants_snapshot());
    }
    // Its own: that is certain when a snapshot lacks it, two where they are torn, and it was then.
    scene.torn = true;
    let t = scene.at(scene.t + 400 * MS).t;
    scene.close(who(1, A));
    assert!(scene.at(t + 100 * MS).found(&[]).deeds().is_empty());
    assert!(scene.grammar.wants_snapshot());
    assert_eq!(scene.found(&[]).told(), [format!("{t} 1 released")]);
    assert!(!scene.grammar.wants_snapshot());
}

#[test]
fn a_holder_from_before_that_takes_it_anew_has_let_go_before() {
    for mode in [READ, WRITE] {
        let before = if mode == READ { Shared } else { Exclusive };
        let mut scene = Scene::attached(&[entry(1, before, false)]);
        let t = scene.t;
        scene.close(who(1, A)).ask(who(1, B), mode, 0).close(who(1, B));
        let word = if mode == READ { "SH" } else { "EX" };
        let want = [format!("{t} 1 released"), format!("{} 1 got {word}", t + 10), format!("{} 1 released", t + 20)];
        assert_eq!(scene.told(), want);
    }
    // Another's grant tells that it has, too, and what is told stays in the order of time.
    let mut scene = Scene::attached(&[entry(1, Exclusive, false)]);
    let t = scene.t;
    scene.close(who(1, A)).attempt(who(3, C), WRITE, -11).ask(who(2, B), WRITE, 0);
    let want = [format!("{} 3 tried EX 1", t + 10), format!("{} 1 released", t + 10), format!("{} 2 got EX", t + 20)];
    assert_eq!(scene.told(), want);
}

#[test]
fn one_who_inherited_it_lets_go() {
    // ( flock 9; work ) 9>lock: the process that is listed has long ended, the shell closes it.
    let held = [entry(1, Exclusive, false)];
    let mut scene = Scene::attached(&held);
    scene.close(who(7, B));
    assert!(scene.deeds().is_empty());
    assert!(scene.grammar.wants_snapshot() && scene.found(&held).deeds().is_empty(), "a stranger's descriptor");
    let t = scene.t;
    scene.close(who(7, A)).at(t + 30 * MS).found(&[]);
    assert_eq!(scene.told(), [format!("{t} 1 released")]);
    // One who was put off and closes what it has opened for that has nothing to let go of.
    let mut scene = Scene::attached(&held);
    scene.attempt(who(2, B), WRITE, -11).close(who(2, B)).attempt(who(1, C), WRITE, -11).close(who(1, C));
    scene.deeds();
    assert!(!scene.grammar.wants_snapshot());
}

#[test]
fn a_thread_that_waits_is_not_ended_by_what_another_does() {
    let (threads, holder) =
        (SnapshotEntry { task: TaskId { pid: 2, tid: 0 }, ..entry(2, Exclusive, true) }, entry(1, Exclusive, false));
    let mut scene = Scene::attached(&[holder, threads]);
    for _ in 0..3 {
        // The first thread uses another lock.
        scene.posix(who(2, B), WRITE, 0, 9, 0).posix(who(2, B), UNLOCK, 0, 9, 0);
        assert_eq!(scene.deeds(), ["2 got EX 0-9", "2 released 0-9"]);
        assert!(scene.found(&[holder, threads]).deeds().is_empty());
    }
    // Now its thread is known.
    let thread = SnapshotEntry { task: TaskId { pid: 2, tid: 22 }, ..threads };
    assert!(scene.found(&[holder, thread]).deeds().is_empty());
}

#[test]
fn a_waiter_that_is_stopped_is_in_no_snapshot_and_waits() {
    let holder = entry(1, Exclusive, false);
    let mut scene = Scene::attached(&[holder]);
    scene.ask(who(2, B), WRITE, 1);
    assert_eq!(scene.deeds(), ["2 waits EX"]);
    for _ in 0..9 {
        assert!(scene.found(&[holder]).deeds().is_empty());
    }
    scene.ask(who(2, B), WRITE, 1).unlock(who(1, A)).ask(who(2, B), WRITE, 0);
    assert_eq!(scene.deeds(), ["1 released", "2 won EX"]);
}
