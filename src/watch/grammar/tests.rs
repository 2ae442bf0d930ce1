//! Every situation of the study (§2.3) as the records that the kernel wrote in it, and any sequence at all.

use super::*;
use crate::event::LockKind::{Flock, Ofd, Posix};
use crate::event::LockMode::{Exclusive, Shared};
use crate::watch::change::{Family, FileId};
use crate::watch::tracepoint::{FL_OFDLCK, FL_SLEEP, READ, WRITE};

mod attach;
mod deed;
mod lawful;
mod record_locks;

const FILE: FileId = FileId { major: 254, minor: 0, inode: 42 };
const MS: u64 = 1_000_000;
/// Owners, by their letter.
const A: u64 = 0xa0;
const B: u64 = 0xb0;
const C: u64 = 0xc0;

/// Records in, changes out as short words.
#[derive(Default)]
struct Scene {
    grammar: Grammar,
    t: u64,
    /// Whether snapshots are.
    torn: bool,
}

/// One thread of a process and the description it uses.
#[derive(Clone, Copy)]
struct Who {
    pid: i32,
    tid: i32,
    owner: u64,
}

fn who(pid: i32, owner: u64) -> Who {
    Who { pid, tid: pid, owner }
}

impl Scene {
    fn at(&mut self, t: u64) -> &mut Self {
        self.t = t;
        self
    }

    fn put(&mut self, tid: i32, what: What) -> &mut Self {
        self.grammar.record(&Record { t: self.t, cpu: 0, tid, what });
        self.t += 10;
        self
    }

    fn flock(&mut self, who: Who, op: u8, flags: u32, ret: i32) -> &mut Self {
        let request = Request {
            file: FILE,
            family: Family::Flock,
            ret,
            owner: who.owner,
            fl: 0xf1,
            blocker: u64::from(ret == 1),
            pid: who.pid,
            flags: flags | 2,
            op,
            start: 0,
            end: i64::MAX,
        };
        self.put(who.tid, What::Lock(request))
    }

    /// A blocking flock(2).
    fn ask(&mut self, who: Who, op: u8, ret: i32) -> &mut Self {
        self.flock(who, op, FL_SLEEP, ret)
    }

    /// One with LOCK_NB.
    fn attempt(&mut self, who: Who, op: u8, ret: i32) -> &mut Self {
        self.flock(who, op, 0, ret)
    }

    fn unlock(&mut self, who: Who) -> &mut Self {
        self.flock(who, UNLOCK, FL_SLEEP, 0)
    }

    fn close(&mut self, who: Who) -> &mut Self {
        self.flock(who, UNLOCK, FL_CLOSE, 0)
    }

    fn signal(&mut self, tid: i32, sig: i32, handler: u64, flags: u64) -> &mut Self {
        self.put(tid, What::Signal { sig, handler, flags })
    }

    fn exit(&mut self, tid: i32) -> &mut Self {
        self.put(tid, What::Exit)
    }

    fn changes(&mut self) -> Vec<Change> {
        let mut out = Vec::new();
        self.grammar.advance(self.t);
        self.grammar.drain(&mut out);
        out
    }

    /// What was told so far, with time enough for all to be certain: `time task deed`.
    fn told(&mut self) -> Vec<String> {
        self.t += 10 * MS;
        self.changes().iter().map(say).collect()
    }
}

fn say(change: &Change) -> String {
    let deed = deed::in_words(change.deed);
    let TaskId { pid, tid } = change.task;
    let task = if pid == tid { pid.to_string() } else { format!("{pid}.{tid}") };
    let range = change.range.map_or(String::new(), |range| format!(" {range}"));
    format!("{} {task} {deed}{range}", change.t)
}

#[test]
fn a_free_lock_is_got_and_released() {
    let mut scene = Scene::default();
    scene.at(100).ask(who(1, A), WRITE, 0).unlock(who(1, A));
    assert_eq!(scene.told(), ["100 1 got EX", "110 1 released"]);
    let change = { scene.ask(who(1, A), READ, 0).changes() }.remove(0);
    assert_eq!((change.lock.file, change.lock.family, change.kind, change.range), (FILE, Family::Flock, Flock, None));
}

#[test]
fn whoever_finds_it_taken_waits_and_wins() {
    let mut scene = Scene::default();
    scene.at(100).ask(who(1, A), WRITE, 0).ask(who(2, B), WRITE, 1).unlock(who(1, A)).ask(who(2, B), WRITE, 0);
    assert_eq!(scene.told(), ["100 1 got EX", "110 2 waits EX", "120 1 released", "130 2 won EX"]);
}

#[test]
fn a_wait_that_is_queued_again_is_one_wait() {
    let mut scene = Scene::default();
    scene.at(100).ask(who(1, A), WRITE, 0).ask(who(2, B), WRITE, 1).ask(who(3, C), WRITE, 1).unlock(who(1, A));
    // 1 barges in; the woken 2 and then 3, who was chained behind it, queue up again.
    scene.ask(who(1, A), WRITE, 0).ask(who(2, B), WRITE, 1).ask(who(3, C), WRITE, 1).close(who(1, A));
    scene.ask(who(2, B), WRITE, 0);
    assert_eq!(
        scene.told(),
        [
            "100 1 got EX",
            "110 2 waits EX",
            "120 3 waits EX",
            "130 1 released",
            "140 1 got EX",
            "170 1 released",
            "180 2 won EX"
        ]
    );
}

#[test]
fn readers_hold_together_and_a_writer_waits_for_all() {
    let mut scene = Scene::default();
    scene.at(100).ask(who(1, A), READ, 0).ask(who(2, B), READ, 0).ask(who(3, C), WRITE, 1).unlock(who(1, A));
    scene.ask(who(3, C), WRITE, 1).unlock(who(2, B)).ask(who(3, C), WRITE, 0);
    assert_eq!(
        scene.told(),
        ["100 1 got SH", "110 2 got SH", "120 3 waits EX", "130 1 released", "150 2 released", "160 3 won EX"]
    );
}

#[test]
fn tries_are_told_together_and_win_or_end() {
    let mut scene = Scene::default();
    scene.at(MS).ask(who(1, A), WRITE, 0);
    // Reopened for each try: another owner, and a close.
    for i in 0..30 {
        scene.at((10 + 10 * i) * MS).attempt(who(2, B + i), WRITE, -11).close(who(2, B + i));
    }
    scene.at(305 * MS).unlock(who(1, A)).at(310 * MS).attempt(who(2, C), WRITE, 0);
    assert_eq!(
        scene.told(),
        [
            "1000000 1 got EX",
            "10000000 2 tried EX 1",
            "110000000 2 tried EX 10",
            "210000000 2 tried EX 10",
            "305000000 1 released",
            "310000000 2 tried EX 9",
            "310000000 2 won EX"
        ]
    );
}

#[test]
fn whoever_tries_no_more_has_given_up() {
    let mut scene = Scene::default();
    scene.at(MS).ask(who(1, A), WRITE, 0).attempt(who(2, B), WRITE, -11).at(101 * MS).attempt(who(2, B), WRITE, -11);
    scene.at(590 * MS);
    assert_eq!(scene.changes().len(), 3, "five gaps of 100 ms have not passed");
    assert_eq!(scene.at(620 * MS).told(), ["630000000 2 gave up"]);
    // One that ended is known at once.
    scene.attempt(who(3, C), WRITE, -11).exit(3);
    assert_eq!(scene.told(), ["630000000 3 tried EX 1", "630000010 3 gave up"]);
    // Of a single try the gap is not known: longer.
    scene.at(1000 * MS).attempt(who(4, C), WRITE, -11).at(2900 * MS);
    assert_eq!(scene.changes().len(), 1);
    assert_eq!(scene.at(3000 * MS).told(), ["3010000000 4 gave up"]);
}

#[test]
fn tries_that_go_unnoticed_by_records_are_told_in_time() {
    let mut scene = Scene::default();
    scene.at(MS).attempt(who(2, B), WRITE, -11).at(2 * MS).attempt(who(2, B), WRITE, -11);
    assert_eq!(scene.changes().len(), 1);
    assert_eq!(scene.at(140 * MS).told(), ["150000000 2 tried EX 1"]);
}

#[test]
fn one_who_tries_on_many_threads_is_one() {
    // Go and tokio move tasks over threads.
    let thread = |tid| Who { pid: 2, tid, owner: B };
    let mut scene = Scene::default();
    scene.at(MS).ask(who(1, A), WRITE, 0);
    for i in 0..8 {
        scene.at((10 + 10 * i) * MS).attempt(thread(21 + i as i32 % 4), WRITE, -11);
    }
    // Another task of the process asks for something else.
    scene.attempt(thread(25), READ, -11).exit(25);
    scene.at(90 * MS).unlock(who(1, A)).at(95 * MS).attempt(thread(24), WRITE, 0).unlock(thread(21)).at(9_000 * MS);
    assert_eq!(
        scene.told(),
        [
            "1000000 1 got EX",
            "10000000 2.21 tried EX 1",
            "80000010 2.25 tried SH 1",
            "80000020 2.25 gave up",
            "90000000 1 released",
            "95000000 2.21 tried EX 7",
            "95000000 2.21 won EX",
            "95000010 2.21 released"
        ]
    );
    // One who tried as another and then waits has its own wait.
    let mut scene = Scene::default();
    scene.at(MS).attempt(thread(21), WRITE, -11).attempt(thread(22), WRITE, -11).ask(thread(22), WRITE, 1);
    scene.ask(thread(22), WRITE, 0);
    assert_eq!(
        scene.told(),
        [
            "1000000 2.21 tried EX 1",
            "1000020 2.21 tried EX 1",
            "1000020 2.21 gave up",
            "1000020 2.22 waits EX",
            "1000030 2.22 won EX"
        ]
    );
}

#[test]
fn whoever_gets_it_in_the_other_mode_tries_no_more() {
    let mut scene = Scene::default();
    scene.at(100).ask(who(1, A), READ, 0);
    for _ in 0..3 {
        scene.attempt(who(2, B), WRITE, -11);
    }
    scene.attempt(who(2, B), READ, 0).at(3_000 * MS).unlock(who(2, B));
    assert_eq!(
        scene.told(),
        [
            "100 1 got SH",
            "110 2 tried EX 1",
            "140 2 tried EX 2",
            "140 2 gave up",
            "140 2 got SH",
            "3000000000 2 released"
        ]
    );
}

#[test]
fn first_a_try_and_then_a_wait_is_one_wait() {
    // As cargo does.
    let mut scene = Scene::default();
    scene.at(100).ask(who(1, A), WRITE, 0).attempt(who(2, B), WRITE, -11).ask(who(2, B), WRITE, 1).unlock(who(1, A));
    scene.ask(who(2, B), WRITE, 0).at(5_000 * MS);
    assert_eq!(scene.told(), ["100 1 got EX", "110 2 tried EX 1", "120 2 waits EX", "130 1 released", "140 2 won EX"]);
}

#[test]
fn an_unlock_of_nothing_means_nothing() {
    let mut scene = Scene::default();
    // LOCK_UN without a lock; the close of a file that was never locked, while another holds it; and after LOCK_UN.
    scene.at(100).unlock(who(1, A)).ask(who(1, A), WRITE, 0).close(who(2, B)).unlock(who(1, A)).close(who(1, A));
    assert_eq!(scene.told(), ["110 1 got EX", "130 1 released"]);
}

#[test]
fn a_killed_holder_lets_go() {
    let mut scene = Scene::default();
    scene.at(100).ask(who(1, A), WRITE, 0).ask(who(2, B), WRITE, 1).signal(1, 9, 0, 0).exit(1).close(who(1, A));
    scene.ask(who(2, B), WRITE, 0);
    assert_eq!(scene.told(), ["100 1 got EX", "110 2 waits EX", "140 1 released", "150 2 won EX"]);
}

#[test]
fn a_lock_that_a_child_inherited_lives_as_long_as_the_child() {
    let mut scene = Scene::default();
    scene.at(100).ask(who(1, A), WRITE, 0).exit(1).close(Who { pid: 7, tid: 7, owner: A });
    assert_eq!(scene.told(), ["100 1 got EX", "120 1 released"], "told of the one who acquired it");
}

#[test]
fn a_killed_waiter_gives_up() {
    let mut scene = Scene::default();
    scene.at(100).ask(who(1, A), WRITE, 0).ask(who(2, B), WRITE, 1).signal(2, 9, 0, 0).exit(2).close(who(2, B));
    assert_eq!(scene.told(), ["100 1 got EX", "110 2 waits EX", "120 2 gave up"]);
    assert!(scene.grammar.waits.is_empty());
}

#[test]
fn the_end_of_a_thread_ends_its_wait_without_a_signal() {
    let mut scene = Scene::default();
    scene.at(100).ask(who(2, B), WRITE, 1).exit(2);
    assert_eq!(scene.told(), ["100 2 waits EX", "110 2 gave up"]);
}

#[test]
fn a_handler_that_does_not_restart_ends_the_wait() {
    let mut scene = Scene::default();
    scene.at(100).ask(who(2, B), WRITE, 1).signal(2, libc::SIGALRM, 0x4000, 0);
    assert_eq!(scene.changes().len(), 1, "it may be taken up again for a moment");
    assert_eq!(scene.at(100 * MS).told(), ["110 2 gave up"]);
    scene.ask(who(2, B), WRITE, 1);
    assert_eq!(scene.told().len(), 1, "a new wait, long after");
}

#[test]
fn a_call_that_the_program_repeats_at_once_is_the_same_wait() {
    // Python, PEP 475.
    let mut scene = Scene::default();
    scene.at(100).ask(who(2, B), WRITE, 1).ask(who(3, C), WRITE, 1).signal(2, libc::SIGALRM, 0x4000, 0);
    scene.signal(3, libc::SIGALRM, 0x4000, 0).ask(who(4, A), READ, 0).at(50 * MS).ask(who(2, B), WRITE, 1);
    assert_eq!(scene.at(100 * MS).told(), ["100 2 waits EX", "110 3 waits EX", "130 3 gave up", "140 4 got SH"]);
    scene.signal(2, libc::SIGALRM, 0x4000, 0).unlock(who(4, A)).ask(who(2, B), WRITE, 0);
    assert_eq!(scene.told().last().map(|s| s.ends_with("2 won EX")), Some(true));
}

#[test]
fn restarts_and_stops_are_the_same_wait() {
    let mut scene = Scene::default();
    scene.at(100).ask(who(1, A), WRITE, 0).ask(who(2, B), WRITE, 1);
    scene.signal(2, libc::SIGUSR1, 0x4000, SA_RESTART).ask(who(2, B), WRITE, 1);
    for sig in [libc::SIGSTOP, libc::SIGTSTP, libc::SIGCONT, libc::SIGCHLD, libc::SIGWINCH] {
        scene.signal(2, sig, 0, 0);
    }
    scene.signal(2, libc::SIGUSR2, 1, 0).at(900 * MS).ask(who(2, B), WRITE, 1).unlock(who(1, A));
    scene.ask(who(2, B), WRITE, 0);
    assert_eq!(scene.told(), ["100 1 got EX", "110 2 waits EX", "900000010 1 released", "900000020 2 won EX"]);
}

#[test]
fn a_signal_to_one_who_does_not_wait_changes_nothing() {
    let mut scene = Scene::default();
    scene.at(100).ask(who(1, A), WRITE, 0).signal(1, libc::SIGALRM, 0x4000, 0).signal(9, 9, 0, 0);
    assert_eq!(scene.told(), ["100 1 got EX"]);
}

#[test]
fn whoever_wants_more_loses_what_he_has() {
    let mut scene = Scene::default();
    // It must wait: the shared lock is gone without a record.
    scene.at(100).ask(who(1, A), READ, 0).ask(who(2, B), READ, 0).ask(who(1, A), WRITE, 1).unlock(who(2, B));
    scene.ask(who(1, A), WRITE, 0);
    assert_eq!(
        scene.told(),
        ["100 1 got SH", "110 2 got SH", "120 1 released", "120 1 waits EX", "130 2 released", "140 1 won EX"]
    );
    // It fails: gone as well.
    let mut scene = Scene::default();
    scene.at(100).ask(who(1, A), READ, 0).ask(who(2, B), READ, 0).attempt(who(1, A), WRITE, -11);
    assert_eq!(scene.told(), ["100 1 got SH", "110 2 got SH", "120 1 released", "120 1 tried EX 1"]);
}

#[test]
fn conversions_that_succeed_are_told_as_such() {
    let mut scene = Scene::default();
    scene.at(100).ask(who(1, A), READ, 0).ask(who(1, A), WRITE, 0).ask(who(2, B), READ, 1).ask(who(1, A), READ, 0);
    scene.ask(who(2, B), READ, 0).unlock(who(1, A));
    assert_eq!(
        scene.told(),
        ["100 1 got SH", "110 1 got EX", "120 2 waits SH", "130 1 got SH", "140 2 won SH", "150 1 released"]
    );
}

#[test]
fn a_lock_taken_twice_is_held_since_the_first_time() {
    let mut scene = Scene::default();
    scene.at(100).ask(who(1, A), WRITE, 0).ask(who(1, A), WRITE, 0).attempt(who(1, A), WRITE, 0).unlock(who(1, A));
    assert_eq!(scene.told(), ["100 1 got EX", "130 1 released"]);
}

#[test]
fn threads_of_one_description_are_told_apart_while_they_wait() {
    let (one, two) = (Who { pid: 5, tid: 51, owner: A }, Who { pid: 5, tid: 52, owner: A });
    let mut scene = Scene::default();
    scene.at(100).ask(who(1, B), WRITE, 0).ask(one, WRITE, 1).ask(two, WRITE, 1).unlock(who(1, B));
    // The second finds that its description has the lock already.
    scene.ask(one, WRITE, 0).ask(two, WRITE, 0).unlock(one);
    assert_eq!(
        scene.told(),
        [
            "100 1 got EX",
            "110 5.51 waits EX",
            "120 5.52 waits EX",
            "130 1 released",
            "140 5.51 won EX",
            "150 5.51 released",
            "150 5.52 won EX",
            "160 5.52 released"
        ]
    );
}

#[test]
fn an_acquisition_that_is_stamped_before_the_release_ends_it() {
    let mut scene = Scene::default();
    scene.at(100).ask(who(1, A), WRITE, 0).ask(who(2, B), WRITE, 1).ask(who(2, B), WRITE, 0).unlock(who(1, A));
    scene.unlock(who(2, B));
    assert_eq!(scene.told(), ["100 1 got EX", "110 2 waits EX", "120 1 released", "120 2 won EX", "140 2 released"]);
}

#[test]
fn readers_end_for_a_writer_and_a_writer_for_a_reader() {
    let mut scene = Scene::default();
    scene.at(100).ask(who(1, A), READ, 0).ask(who(2, B), READ, 0).ask(who(3, C), WRITE, 0).ask(who(1, A), READ, 0);
    assert_eq!(
        scene.told(),
        [
            "100 1 got SH",
            "110 2 got SH",
            "120 1 released",
            "120 2 released",
            "120 3 got EX",
            "130 3 released",
            "130 1 got SH"
        ]
    );
}

#[test]
fn an_address_that_is_used_again_belongs_to_its_new_owner() {
    let mut scene = Scene::default();
    scene.at(100).ask(who(1, A), WRITE, 0).close(who(1, A)).ask(who(2, A), WRITE, 0).close(who(2, A));
    assert_eq!(scene.told(), ["100 1 got EX", "110 1 released", "120 2 got EX", "130 2 released"]);
    // Its last close was lost.
    scene.ask(who(1, A), WRITE, 0).put(0, What::Lost(3)).ask(who(2, A), WRITE, 0);
    let told: Vec<String> = scene.told().iter().map(|s| s.split_once(' ').unwrap().1.to_owned()).collect();
    assert_eq!(told, ["1 got EX", "1 released", "2 got EX"]);
}

#[test]
fn another_request_of_a_waiting_thread_ends_its_wait() {
    let mut scene = Scene::default();
    // A handler left by a jump.
    scene.at(100).ask(who(1, A), WRITE, 1).ask(who(1, B), WRITE, 0).ask(who(2, C), READ, 1).unlock(who(2, C));
    assert_eq!(scene.told(), ["100 1 waits EX", "110 1 gave up", "110 1 got EX", "120 2 waits SH", "130 2 gave up"]);
}

#[test]
fn a_record_that_comes_late_does_not_turn_back_time() {
    let mut scene = Scene::default();
    scene.at(500).ask(who(1, A), WRITE, 0).at(400).unlock(who(1, A));
    assert_eq!(scene.told(), ["500 1 got EX", "500 1 released"]);
}

#[test]
fn locks_that_nobody_holds_are_forgotten() {
    let mut grammar = Grammar::default();
    for inode in 0..5000 {
        let mut request = Request {
            file: FileId { inode, ..FILE },
            family: Family::Flock,
            ret: 0,
            owner: A,
            fl: 1,
            blocker: 0,
            pid: 1,
            flags: FL_SLEEP,
            op: WRITE,
            start: 0,
            end: i64::MAX,
        };
        grammar.record(&Record { t: inode, cpu: 0, tid: 1, what: What::Lock(request) });
        request.op = UNLOCK;
        grammar.record(&Record { t: inode, cpu: 0, tid: 1, what: What::Lock(request) });
        grammar.advance(inode);
    }
    assert!(grammar.locks.len() <= 2 * SPARE_LOCKS, "{}", grammar.locks.len());
}
