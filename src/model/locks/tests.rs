//! Who waits for whom across locks.

use super::*;
use crate::event::{Acquisition, LockInfo, LockKind, LockMode, Task};

const S: u64 = 1_000_000_000;

fn watch(locks: u32) -> Locks {
    let info = |n: u32| LockInfo { name: format!("/{n}"), kind: LockKind::Flock, file: Some(("8:1".into(), n.into())) };
    let mut all = Locks::new(Begin::of_watch(info(0), false));
    for lock in 0..locks {
        all.apply(&Event { t: 0, lock, actor: 0, pid: 0, what: What::Announced(Box::new(info(lock))) });
    }
    all
}

/// An actor of a thread of a process; `tid` 0 where threads are not told apart.
#[derive(Clone, Copy)]
struct Who(ActorId, i32, i32);

fn tell(locks: &mut Locks, lock: LockId, Who(actor, pid, tid): Who, what: What) {
    let task = Task { tid: (tid != 0).then_some(tid), comm: format!("p{pid}"), ..Task::default() };
    for what in [What::Seen(Box::new(task)), what] {
        locks.apply(&Event { t: 0, lock, actor, pid, what });
    }
}

fn holds(locks: &mut Locks, lock: LockId, who: Who) {
    let acquired =
        Acquisition { mode: LockMode::Shared, seq: 1, waited_ns: 0, contended: false, handoff_ns: None, overtaken: 0 };
    tell(locks, lock, who, What::Acquired(acquired));
}

fn waits(locks: &mut Locks, lock: LockId, who: Who) {
    tell(locks, lock, who, What::Waiting { mode: LockMode::Exclusive });
}

/// Each process of `pids` holds a lock and waits for that of the next one.
fn ring(locks: &mut Locks, pids: &[(LockId, i32)]) {
    for (n, (lock, pid)) in pids.iter().enumerate() {
        holds(locks, *lock, Who(1, *pid, *pid));
        let (wanted, _) = pids[(n + 1) % pids.len()];
        waits(locks, wanted, Who(2, *pid, *pid));
    }
}

fn members(locks: &Locks) -> Vec<(LockId, i32)> {
    let pid = |w: &Wait| locks.get(w.lock).unwrap().actor(w.waiter).unwrap().pid;
    locks.deadlock().unwrap_or_default().iter().map(|w| (w.lock, pid(w))).collect()
}

#[test]
fn a_circle_is_told_in_the_same_words_each_time() {
    // Two of them, with bystanders; in maps of random order another one would come first now and then.
    for _ in 0..20 {
        let mut locks = watch(6);
        ring(&mut locks, &[(5, 15), (4, 14), (3, 13)]);
        ring(&mut locks, &[(2, 12), (0, 10), (1, 11)]);
        waits(&mut locks, 0, Who(9, 99, 99));
        locks.advance(S);
        assert_eq!(members(&locks), [(0, 12), (1, 10), (2, 11)]);
    }
}

#[test]
fn only_those_that_hold_and_wait_are_looked_at() {
    let mut locks = watch(2);
    for n in 1..=50 {
        holds(&mut locks, 0, Who(n, n as i32, n as i32));
        waits(&mut locks, 0, Who(50 + n, 1000 + n as i32, 1000 + n as i32));
    }
    locks.advance(S);
    assert_eq!(locks.waits_of_holders(0).len(), 0);
    // It holds and waits, but nobody wants what it holds.
    holds(&mut locks, 1, Who(1, 1001, 1001));
    assert_eq!(locks.waits_of_holders(0).len(), 0);
    waits(&mut locks, 1, Who(2, 2000, 2000));
    assert_eq!(locks.waits_of_holders(0).into_iter().collect::<Vec<_>>(), [(1001, vec![(0, 51)])]);
    assert_eq!(locks.deadlock(), None);
    waits(&mut locks, 1, Who(3, 7, 7));
    locks.advance(3 * S);
    assert_eq!(members(&locks), [(0, 1001), (1, 7)]);
}

#[test]
fn a_circle_may_be_long() {
    let pids: Vec<(LockId, i32)> = (0..500).map(|n| (n, 100 + n as i32)).collect();
    let mut locks = watch(500);
    ring(&mut locks, &pids);
    locks.advance(S);
    assert_eq!(members(&locks).len(), 500);
}

#[test]
fn threads_that_take_turns_are_no_circle() {
    for (tid, other) in [(70, 71), (0, 0)] {
        let mut locks = watch(1);
        holds(&mut locks, 0, Who(1, 7, tid));
        waits(&mut locks, 0, Who(2, 7, other));
        locks.advance(60 * S);
        assert_eq!(members(&locks), [], "threads {tid} and {other}");
        assert_eq!(locks.chain(0, 2).len(), 1);
    }
    // The thread that holds it waits for it: it has opened the file twice.
    let mut locks = watch(1);
    holds(&mut locks, 0, Who(1, 7, 71));
    waits(&mut locks, 0, Who(2, 7, 71));
    locks.advance(S);
    assert_eq!(members(&locks), [(0, 7)]);
}

#[test]
fn of_two_processes_the_threads_count() {
    let crossed = |tids: [i32; 4]| {
        let mut locks = watch(2);
        holds(&mut locks, 0, Who(1, 7, tids[0]));
        waits(&mut locks, 1, Who(2, 7, tids[1]));
        holds(&mut locks, 1, Who(1, 8, tids[2]));
        waits(&mut locks, 0, Who(2, 8, tids[3]));
        locks
    };
    let mut locks = crossed([7, 7, 8, 8]);
    locks.advance(S);
    assert_eq!(members(&locks), [(0, 8), (1, 7)]);
    // Another thread of 7 waits than the one that holds.
    let mut locks = crossed([7, 77, 8, 8]);
    locks.advance(60 * S);
    assert_eq!(members(&locks), []);
    // Nobody knows which: it must last.
    let mut locks = crossed([0, 0, 0, 0]);
    locks.advance(6 * S - 1);
    assert_eq!(members(&locks), []);
    locks.advance(6 * S);
    assert_eq!(members(&locks), [(0, 8), (1, 7)]);
}

#[test]
fn one_that_shares_what_it_waits_for_waits_for_ever() {
    use crate::event::Keeper;
    // A script under flock(1) that locks the same file again.
    let mut locks = watch(1);
    let keeper = |pid| Keeper { pid, fd: 3, comm: String::new() };
    holds(&mut locks, 0, Who(1, 7, 0));
    tell(&mut locks, 0, Who(1, 7, 0), What::Keepers(Box::new([keeper(7), keeper(9)])));
    waits(&mut locks, 0, Who(2, 9, 0));
    locks.advance(6 * S);
    assert_eq!(members(&locks), [(0, 9)]);
}

#[test]
fn what_was_won_before_a_reset_was_won_all_the_same() {
    let mut locks = watch(2);
    holds(&mut locks, 0, Who(1, 7, 7));
    holds(&mut locks, 1, Who(1, 8, 8));
    for _ in 0..2 {
        locks.apply(&Event::of_run(S, What::Reset));
    }
    assert_eq!((locks.acquisitions(), locks.acquisitions_ever()), (0, 2));
    holds(&mut locks, 1, Who(2, 9, 9));
    assert_eq!((locks.acquisitions(), locks.acquisitions_ever()), (1, 3));
    // Its number goes to another file.
    let info = LockInfo { name: "/new".into(), kind: LockKind::Flock, file: Some(("8:1".into(), 99)) };
    locks.apply(&Event { t: S, lock: 1, actor: 0, pid: 0, what: What::Announced(Box::new(info)) });
    assert_eq!((locks.acquisitions(), locks.acquisitions_ever()), (0, 3));
}

/// Neither is the file that it was known under, nor is the other file's lock in its place.
#[test]
fn a_number_given_anew_is_of_its_new_file() {
    let mut locks = watch(2);
    let info =
        |name: &str, inode| LockInfo { name: name.into(), kind: LockKind::Posix, file: Some(("8:1".into(), inode)) };
    let announce = |locks: &mut Locks, lock, info| {
        locks.apply(&Event { t: S, lock, actor: 0, pid: 0, what: What::Announced(Box::new(info)) });
    };
    announce(&mut locks, 1, info("/0", 0));
    announce(&mut locks, 2, info("/1", 1));
    let others = |lock| -> Vec<_> { locks.of_same_file(locks.get(lock).unwrap()).map(Model::lock).collect() };
    assert_eq!((others(0), others(1), others(2)), (vec![1], vec![0], vec![]));
}

#[test]
fn a_holder_may_wait_elsewhere() {
    let mut locks = watch(3);
    holds(&mut locks, 0, Who(1, 7, 71));
    holds(&mut locks, 2, Who(1, 8, 81));
    assert_eq!(locks.waits_elsewhere(0, 1), None);
    // Another thread's wait is not its own.
    waits(&mut locks, 1, Who(1, 7, 72));
    assert_eq!(locks.waits_elsewhere(0, 1), None);
    waits(&mut locks, 2, Who(2, 7, 71));
    assert_eq!(locks.waits_elsewhere(0, 1), Some((2, 2)));
    assert_eq!(locks.chain(2, 2), [Wait { lock: 2, waiter: 2, holder: 1 }]);
    assert_eq!(locks.waits_elsewhere(2, 2), None, "it holds nothing there");
}
