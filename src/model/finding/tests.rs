//! One test a kind: what leads to it, what does not, and the words.

use super::*;
use crate::event::thresholds::Thresholds;
use crate::event::{
    Acquisition, Begin, Condition, FailedAction, How, Keeper, LockInfo, LockKind, LockMode, Origin, Setup, Task,
    Watching,
};

const S: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;

fn lab(think_ns: u64) -> Locks {
    Locks::new(Begin {
        hold_ns: S,
        think_ns,
        ..Begin::of_lab(LockInfo { name: "x".into(), kind: LockKind::Flock, file: Some(("8:1".into(), 42)) }, 3)
    })
}

fn watch(kinds: &[LockKind]) -> Locks {
    let watching = Watching { how: How::Exact, precision_ns: 0, list: false, blind: Vec::new() };
    let mut locks = Locks::new(Begin { origin: Origin::Watch, watch: Some(watching), ..lab(0).begin().clone() });
    for (lock, kind) in (0..).zip(kinds) {
        let info = LockInfo { kind: *kind, ..locks.begin().lock.clone() };
        locks.apply(&Event { t: 0, lock, actor: 0, pid: 0, what: What::Announced(Box::new(info)) });
    }
    locks
}

fn at(locks: &mut Locks, lock: LockId, t: u64, actor: u32, what: What) {
    locks.apply(&Event { t, lock, actor, pid: 100 + actor as i32, what });
}

fn tell(locks: &mut Locks, t: u64, actor: u32, what: What) {
    at(locks, 0, t, actor, what);
}

const EXCLUSIVE: LockMode = LockMode::Exclusive;

fn waits(locks: &mut Locks, t: u64, actor: u32) {
    tell(locks, t, actor, What::Waiting { mode: EXCLUSIVE });
}

fn won(seq: u64, waited_ns: u64, mode: LockMode) -> Acquisition {
    Acquisition { mode, seq, waited_ns, contended: waited_ns > 0, handoff_ns: None, overtaken: 0 }
}

fn wins(locks: &mut Locks, t: u64, actor: u32, seq: u64, waited_ns: u64) {
    tell(locks, t, actor, What::Acquired(won(seq, waited_ns, EXCLUSIVE)));
}

fn lets_go(locks: &mut Locks, t: u64, actor: u32, seq: u64, held_ns: u64) {
    tell(locks, t, actor, What::Released { seq, held_ns });
}

/// Held by 1, waited for by 2, since the start.
fn held(mut locks: Locks) -> Locks {
    wins(&mut locks, 0, 1, 1, 0);
    waits(&mut locks, 0, 2);
    locks
}

fn kinds(locks: &mut Locks, now: u64) -> Vec<FindingKind> {
    locks.advance(now);
    findings(locks, locks.first()).iter().map(Finding::kind).collect()
}

/// The one that there is, as text.
fn only(locks: &mut Locks, now: u64, kind: FindingKind) -> String {
    locks.advance(now);
    let found = findings(locks, locks.first());
    assert_eq!(found.iter().map(Finding::kind).collect::<Vec<_>>(), [kind], "{found:?}");
    found[0].text()
}

fn says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not in {text:?}");
    }
}

#[test]
fn a_holder_and_a_waiter_are_ordinary() {
    assert_eq!(kinds(&mut held(lab(0)), 3600 * S), []);
    assert_eq!(kinds(&mut held(watch(&[LockKind::Flock])), 60 * S), []);
}

#[test]
fn deadlock() {
    let mut locks = watch(&[LockKind::Flock, LockKind::Ofd]);
    for (lock, holder, waiter) in [(0, 1, 2), (1, 2, 1)] {
        at(&mut locks, lock, 0, holder, What::Acquired(won(1, 0, EXCLUSIVE)));
        at(&mut locks, lock, 0, waiter, What::Waiting { mode: EXCLUSIVE });
    }
    assert_eq!(kinds(&mut locks, 299 * MS), []);
    let text = only(&mut locks, 300 * MS, FindingKind::Deadlock);
    says(&text, &["pid 102) waits for ", "pid 101) at x, that for ", "signal"]);
    // It concerns both locks and is told once.
    let mut news = News::default();
    assert_eq!(news.since(&locks).len(), 1);
    assert_eq!(news.since(&locks).len(), 0);
}

#[test]
fn violation() {
    let mut locks = held(lab(0));
    tell(&mut locks, 0, 2, What::Violation { seq: 2, other: 1, other_pid: 101 });
    says(&only(&mut locks, 0, FindingKind::Violation), &["violated once", "file system"]);
    tell(&mut locks, 0, 0, What::PathChanged { was: 42, now: Some(57) });
    assert_eq!(kinds(&mut locks, 0), [FindingKind::Violation, FindingKind::PathChanged]);
    assert!(findings(&locks, locks.first())[0].text().contains("another file"));
}

#[test]
fn path_changed() {
    let mut locks = held(lab(0));
    tell(&mut locks, 0, 0, What::PathChanged { was: 42, now: Some(57) });
    says(&only(&mut locks, 0, FindingKind::PathChanged), &["inode 42", "57", "two locks"]);
    tell(&mut locks, 0, 0, What::PathChanged { was: 42, now: None });
    says(&only(&mut locks, 0, FindingKind::PathChanged), &["names nothing", "next opener"]);
    tell(&mut locks, 0, 0, What::PathChanged { was: 42, now: Some(42) });
    assert_eq!(kinds(&mut locks, 0), []);
}

#[test]
fn mixed_kinds() {
    let mixed = |b: LockKind, actor: u32| {
        let mut locks = watch(&[LockKind::Flock, b]);
        at(&mut locks, 0, 0, 1, What::Acquired(won(1, 0, EXCLUSIVE)));
        at(&mut locks, 1, 0, actor, What::Acquired(won(1, 0, EXCLUSIVE)));
        locks
    };
    // One program that takes both is careful, not mistaken; fcntl's two kinds see each other.
    assert_eq!(kinds(&mut mixed(LockKind::Posix, 1), 0), []);
    let mut locks = watch(&[LockKind::Ofd, LockKind::Posix]);
    for lock in [0, 1] {
        at(&mut locks, lock, 0, lock + 1, What::Acquired(won(1, 0, EXCLUSIVE)));
    }
    assert_eq!(kinds(&mut locks, 0), []);
    let text = only(&mut mixed(LockKind::Posix, 2), 0, FindingKind::MixedKinds);
    says(&text, &["(pid 101) takes it with flock", "(pid 102) with posix", "same kind"]);
}

#[test]
fn crash_loop() {
    let mut locks = held(lab(0));
    let dies = |locks: &mut Locks, n: u64| {
        for _ in 0..n {
            tell(locks, 0, 2, What::Exited { code: Some(1), signal: None });
            tell(locks, 0, 2, What::Spawned);
        }
    };
    dies(&mut locks, 2);
    assert_eq!(kinds(&mut locks, 0), []);
    dies(&mut locks, 1);
    says(&only(&mut locks, 0, FindingKind::CrashLoop), &["worker-2 ended 3 times in a row"]);
    wins(&mut locks, 0, 2, 2, 0);
    lets_go(&mut locks, 0, 2, 2, 1);
    assert_eq!(kinds(&mut locks, 0), []);
    dies(&mut locks, 2);
    assert_eq!(kinds(&mut locks, 0), []);
    tell(&mut locks, 0, 2, What::Failed { action: FailedAction::Open, errno: 2 });
    says(&only(&mut locks, 0, FindingKind::CrashLoop), &["cannot open the lock file: No such file"]);
    tell(&mut locks, 0, 2, What::Removed);
    assert_eq!(kinds(&mut locks, 0), [], "it is gone for good");
    // One that dies with the lock got as far as that.
    let mut locks = lab(0);
    wins(&mut locks, 0, 2, 1, 0);
    dies(&mut locks, 1);
    assert_eq!(kinds(&mut locks, 0), []);
    dies(&mut locks, 2);
    assert_eq!(kinds(&mut locks, 0), []);
    dies(&mut locks, 1);
    assert_eq!(kinds(&mut locks, 0), [FindingKind::CrashLoop]);
}

#[test]
fn holder_stopped() {
    let mut locks = held(lab(0));
    tell(&mut locks, 0, 2, What::Stopped);
    assert_eq!(kinds(&mut locks, S), [], "a stopped waiter harms nobody");
    tell(&mut locks, S, 1, What::Stopped);
    let text = only(&mut locks, S, FindingKind::HolderStopped);
    let fact = "holder worker-1 (pid 101) is stopped and keeps the lock";
    assert_eq!(text, format!("{fact}: resume it (SIGCONT) or kill it"));
    let found = &findings(&locks, locks.first())[0];
    let with = |resume: Option<&str>, kill: Option<&str>| {
        let key = |step| match step {
            Step::Resume => resume,
            Step::Kill => kill,
            Step::Detail => None,
        };
        found.text_with(&|step| key(step).map(str::to_owned))
    };
    assert_eq!(with(Some("S"), Some("ctrl-k")), format!("{fact}: press S to resume or ctrl-k to kill"));
    assert_eq!(with(Some("S"), None), format!("{fact}: press S to resume, or kill it"));
    assert_eq!(with(None, Some("K")), format!("{fact}: resume it (SIGCONT), or press K to kill"));
    tell(&mut locks, S, 1, What::Continued);
    assert_eq!(kinds(&mut locks, S), []);
}

#[test]
fn failed_runs() {
    let mut locks = lab(0);
    let setup = Setup { command: Some(vec!["./deploy.sh".into(), "--all".into()]), ..Setup::default() };
    locks = Locks::new(Begin { setup, ..locks.begin().clone() });
    let ran = |locks: &mut Locks, seq: u64, actor: u32, code: Option<i32>, signal: Option<i32>| {
        wins(locks, seq * S, actor, seq, 0);
        tell(locks, seq * S + 1, actor, What::Ran { seq, code, signal, ran_ns: 1 });
        lets_go(locks, seq * S + 2, actor, seq, 2);
    };
    for seq in 1..=40 {
        ran(&mut locks, seq, 1 + seq as u32 % 3, Some(0), None);
        assert_eq!(kinds(&mut locks, seq * S + 3), [], "a run that ends well is none");
    }
    ran(&mut locks, 41, 3, Some(1), None);
    ran(&mut locks, 42, 2, None, Some(9));
    // More than are kept of one worker.
    for seq in 43..=100 {
        ran(&mut locks, seq, 2, Some(0), None);
    }
    let text = only(&mut locks, 101 * S, FindingKind::FailedRuns);
    let fact = "2 of 100 runs of ./deploy.sh failed, last with signal 9 in worker-2";
    assert_eq!(text, format!("{fact}; see what it wrote (--log DIR keeps it)"));
    let found = &findings(&locks, locks.first())[0];
    let with_key = found.text_with(&|step| (step == Step::Detail).then(|| "enter".into()));
    assert_eq!(with_key, format!("{fact}; enter on it shows its output"));
    let mut patient = Thresholds::default();
    patient.set("failed-runs", "3").unwrap();
    locks.set_thresholds(patient);
    assert_eq!(kinds(&mut locks, 101 * S), []);
    locks.set_thresholds(Thresholds::default());
    tell(&mut locks, 101 * S, 0, What::Reset);
    assert_eq!(kinds(&mut locks, 101 * S), [], "forgotten with the statistics");
}

#[test]
fn holder_gone() {
    let mut locks = held(watch(&[LockKind::Flock]));
    tell(&mut locks, S, 1, What::Condition(Condition::Gone));
    assert_eq!(kinds(&mut locks, 2 * S - 1), [], "one that dies now is about to release");
    says(&only(&mut locks, 2 * S, FindingKind::HolderGone), &["pid 101", "no process", "as root"]);
    let mut locks = held(watch(&[LockKind::Flock]));
    tell(&mut locks, 0, 1, What::Keepers(Box::new([])));
    assert_eq!(kinds(&mut locks, S - 1), []);
    only(&mut locks, S, FindingKind::HolderGone);
}

#[test]
fn holder_zombie() {
    let mut locks = held(watch(&[LockKind::Flock]));
    tell(&mut locks, S, 1, What::Condition(Condition::Zombie));
    assert_eq!(kinds(&mut locks, 2 * S - 1), []);
    says(&only(&mut locks, 2 * S, FindingKind::HolderZombie), &["pid 101", "zombie"]);
    tell(&mut locks, 2 * S, 1, What::Keepers(Box::new([])));
    only(&mut locks, 3 * S, FindingKind::HolderZombie);
}

#[test]
fn holder_uninterruptible() {
    let mut locks = held(watch(&[LockKind::Flock]));
    tell(&mut locks, 0, 1, What::Condition(Condition::Uninterruptible));
    assert_eq!(kinds(&mut locks, 5 * S - 1), [], "disks take their time");
    says(&only(&mut locks, 5 * S, FindingKind::HolderUninterruptible), &["pid 101", "state D", "5.00 s"]);
    tell(&mut locks, 5 * S, 1, What::Condition(Condition::Alive));
    assert_eq!(kinds(&mut locks, 60 * S), []);
}

#[test]
fn inherited() {
    let keeper = |pid| Keeper { pid, fd: 3, comm: "sleep".into() };
    let mut locks = held(watch(&[LockKind::Flock]));
    // flock(1) and what it runs share the lock: both keep it.
    tell(&mut locks, 0, 1, What::Keepers(Box::new([keeper(101), keeper(555)])));
    assert_eq!(kinds(&mut locks, 60 * S), []);
    let mut locks = held(watch(&[LockKind::Flock]));
    tell(&mut locks, 0, 1, What::Keepers(Box::new([keeper(555)])));
    tell(&mut locks, 0, 1, What::Condition(Condition::Gone));
    assert_eq!(kinds(&mut locks, 2 * S - 1), []);
    let text = only(&mut locks, 2 * S, FindingKind::Inherited);
    says(&text, &["pid 101) took the lock", "sleep (pid 555) keeps it", "killing pid 101 frees nothing"]);
    tell(&mut locks, 2 * S, 2, What::GaveUp { waited_ns: 1 });
    assert_eq!(kinds(&mut locks, 60 * S), [], "nobody waits");
}

/// `n` holds of `ns` each by 1, with 2 waiting; gives the number of the next acquisition.
fn holds(locks: &mut Locks, n: u64, ns: u64) -> u64 {
    for seq in 1..=n {
        wins(locks, seq * ns, 1, seq, 0);
        lets_go(locks, (seq + 1) * ns, 1, seq, ns);
    }
    n + 1
}

#[test]
fn long_hold() {
    let mut locks = watch(&[LockKind::Flock]);
    let seq = holds(&mut locks, 40, S);
    wins(&mut locks, 50 * S, 1, seq, 0);
    assert_eq!(kinds(&mut locks, 300 * S), [], "nobody waits");
    waits(&mut locks, 300 * S, 2);
    let text = only(&mut locks, 300 * S, FindingKind::LongHold);
    says(&text, &["pid 101) has held it for 4m 10s", "99 %", "1.0", ", then kill it"]);
    let with_key = findings(&locks, locks.first())[0].text_with(&|step| (step == Step::Kill).then(|| "K".into()));
    says(&with_key, &["/proc/PID/stack), then K to kill"]);
    // Not before five times the usual, nor where little is known, nor below a second.
    let mut locks = watch(&[LockKind::Flock]);
    let seq = holds(&mut locks, 40, S);
    wins(&mut locks, 50 * S, 1, seq, 0);
    waits(&mut locks, 50 * S, 2);
    assert_eq!(kinds(&mut locks, 55 * S), []);
    let mut locks = watch(&[LockKind::Flock]);
    let seq = holds(&mut locks, 29, S);
    wins(&mut locks, 50 * S, 1, seq, 0);
    waits(&mut locks, 50 * S, 2);
    assert_eq!(kinds(&mut locks, 110 * S), []);
    // But for one that lasts by any measure.
    let text = only(&mut locks, 111 * S, FindingKind::LongHold);
    says(&text, &["has held it for 1m 01s while another waits: see what it does"]);
    let mut locks = watch(&[LockKind::Flock]);
    let mode = LockMode::Exclusive;
    tell(&mut locks, S, 1, What::Found { mode, holds: true });
    tell(&mut locks, S, 2, What::Found { mode, holds: false });
    waits(&mut locks, S, 3);
    assert_eq!(kinds(&mut locks, 61 * S), []);
    says(&only(&mut locks, 62 * S, FindingKind::LongHold), &["at least 1m 01s while 2 others wait"]);
    let mut locks = watch(&[LockKind::Flock]);
    let seq = holds(&mut locks, 40, MS);
    wins(&mut locks, S, 1, seq, 0);
    waits(&mut locks, S, 2);
    assert_eq!(kinds(&mut locks, 2 * S), []);
    only(&mut locks, 2 * S + 1, FindingKind::LongHold);
    // A stopped one is stopped, whatever it held before.
    tell(&mut locks, 3 * S, 1, What::Stopped);
    only(&mut locks, 4 * S, FindingKind::HolderStopped);
}

#[test]
fn held_outside() {
    let mut locks = lab(0);
    waits(&mut locks, S, 1);
    waits(&mut locks, S, 2);
    assert_eq!(kinds(&mut locks, 2 * S), []);
    let text = only(&mut locks, 14 * S, FindingKind::HeldOutside);
    says(
        &text,
        &["another program holds the lock: 2 wait, and no worker has held it for 14.0 s; see which: flockmon watch x"],
    );
    wins(&mut locks, 15 * S, 1, 1, 0);
    assert_eq!(kinds(&mut locks, 60 * S), [], "a worker does");
    lets_go(&mut locks, 60 * S, 1, 1, 45 * S);
    assert_eq!(kinds(&mut locks, 61 * S), []);
    // One that polls finds nobody there, and naps.
    let mut locks = lab(0);
    waits(&mut locks, S, 1);
    tell(&mut locks, S, 1, What::Tried { mode: LockMode::Exclusive, count: 1 });
    assert_eq!(kinds(&mut locks, 60 * S), []);
    // Who waits in a watch waits for whoever holds it, seen or not.
    let mut locks = watch(&[LockKind::Flock]);
    waits(&mut locks, S, 1);
    assert_eq!(kinds(&mut locks, 60 * S), []);
}

#[test]
fn starvation_by_those_who_come_later() {
    let mut locks = lab(0);
    waits(&mut locks, 0, 3);
    // 1 and 2 take turns of a second; each asks after 3 did. Three others are reckoned with, so twelve make it.
    let mut t = 0;
    for seq in 1..=12 {
        let (who, other) = if seq % 2 == 0 { (1, 2) } else { (2, 1) };
        assert_eq!(kinds(&mut locks, t), [], "{seq}");
        t += S;
        waits(&mut locks, t, other);
        wins(&mut locks, t + 1, who, seq, 1);
        lets_go(&mut locks, t + S / 2, who, seq, S / 2);
    }
    let text = only(&mut locks, t + S, FindingKind::Starvation);
    says(&text, &["worker-3 (pid 103) starves: 13.0 s waited", "12 who asked later"]);
    let mut patient = Thresholds::default();
    patient.set("starvation-rounds", "5").unwrap();
    locks.set_thresholds(patient);
    assert_eq!(kinds(&mut locks, t + S), []);
}

#[test]
fn barging_is_ordinary_until_it_does_not_end() {
    let mut locks = lab(0);
    waits(&mut locks, 0, 2);
    waits(&mut locks, 0, 3);
    for seq in 1..=100 {
        assert_eq!(kinds(&mut locks, seq * S), [], "{seq}");
        wins(&mut locks, seq * S, 1, seq, 0);
        lets_go(&mut locks, seq * S + S / 2, 1, seq, S / 2);
    }
    let text = only(&mut locks, 101 * S, FindingKind::Starvation);
    says(&text, &["worker-2 (pid 102) starves", "worker-1 (pid 101) took the lock 100 times in a row", "1 ms"]);
}

#[test]
fn readers_starve_a_writer() {
    let mut locks = lab(0);
    waits(&mut locks, 0, 3);
    for seq in 1..=12 {
        let who = 1 + seq as u32 % 2;
        tell(&mut locks, seq * S, who, What::Acquired(won(seq, 0, LockMode::Shared)));
        if seq > 1 {
            lets_go(&mut locks, seq * S + S / 2, 3 - who, seq - 1, S);
        }
    }
    says(&only(&mut locks, 13 * S, FindingKind::Starvation), &["worker-3", "12 readers", "pause"]);
}

#[test]
fn poll_starvation() {
    let mut locks = watch(&[LockKind::Flock]);
    for (actor, comm) in [(1, "cron"), (2, "cron"), (3, "python")] {
        tell(&mut locks, 0, actor, What::Seen(Box::new(Task { comm: comm.into(), ..Task::default() })));
    }
    tell(&mut locks, 0, 3, What::Tried { mode: EXCLUSIVE, count: 7 });
    for seq in 1..=12 {
        let (who, other) = if seq % 2 == 0 { (1, 2) } else { (2, 1) };
        assert_eq!(kinds(&mut locks, seq * S), [], "{seq}");
        wins(&mut locks, seq * S, who, seq, 1);
        waits(&mut locks, seq * S + 1, other);
        lets_go(&mut locks, seq * S + S / 2, who, seq, S / 2);
        tell(&mut locks, seq * S + S / 2, 3, What::Tried { mode: EXCLUSIVE, count: 1 });
    }
    wins(&mut locks, 13 * S, 1, 13, 1);
    waits(&mut locks, 13 * S, 2);
    let text = only(&mut locks, 13 * S, FindingKind::PollStarvation);
    says(&text, &["python (pid 103) polls", "19 tries", "13 others", "block"]);
}

#[test]
fn convoy() {
    // Three take strict turns of a second; the one that holds in the end holds by acquisition 100.
    let busy = |locks: &mut Locks| {
        let after = |who: u32| who % 3 + 1;
        let (mut t, mut holder) = (0, 1);
        wins(locks, 0, 1, 1, 0);
        waits(locks, 1, 2);
        waits(locks, 1, 3);
        for seq in 2..=100 {
            t += S;
            lets_go(locks, t, holder, seq - 1, S);
            waits(locks, t + 1, holder);
            holder = after(holder);
            wins(locks, t + 2, holder, seq, 2 * S);
        }
        (t, holder, after(holder), after(after(holder)))
    };
    let mut locks = watch(&[LockKind::Flock]);
    let (t, holder, next, last) = busy(&mut locks);
    let text = only(&mut locks, t, FindingKind::Convoy);
    says(&text, &["1m 39s", "99 turns of 1.0", "2 wait now", "less under the lock"]);
    // One that finds it free ends it.
    lets_go(&mut locks, t + S, holder, 100, S);
    for actor in [next, last] {
        tell(&mut locks, t + S, actor, What::GaveUp { waited_ns: 1 });
    }
    wins(&mut locks, t + 2 * S, next, 101, 0);
    waits(&mut locks, t + 2 * S, last);
    assert_eq!(kinds(&mut locks, t + 3 * S), []);
    // In a lab it is asked for, unless there is time to think.
    let mut locks = lab(0);
    let (t, ..) = busy(&mut locks);
    assert_eq!(kinds(&mut locks, t), []);
    let mut locks = lab(MS);
    let (t, ..) = busy(&mut locks);
    only(&mut locks, t, FindingKind::Convoy);
}

#[test]
fn dropped_and_warning() {
    let mut locks = held(lab(0));
    tell(&mut locks, 0, 0, What::Dropped { count: 1200 });
    says(&only(&mut locks, 0, FindingKind::Dropped), &["1200 events lost", "lower bound"]);
    let mut deaf = Thresholds::default();
    deaf.set("lost-events", "1201").unwrap();
    locks.set_thresholds(deaf);
    assert_eq!(kinds(&mut locks, 0), []);
    tell(&mut locks, 0, 0, What::Warning { text: "the disk is full".into() });
    assert_eq!(only(&mut locks, 0, FindingKind::Warning), "the disk is full");
    assert!(News::default().since(&locks).is_empty(), "a warning is told as it comes");
}

#[test]
fn a_loss_of_the_run_is_told_once() {
    let mut locks = watch(&[LockKind::Flock; 3]);
    locks.apply(&Event::of_run(S, What::Dropped { count: 7 }));
    // One that somebody is at.
    at(&mut locks, 2, S, 1, What::Acquired(won(1, 0, EXCLUSIVE)));
    let mut news = News::default();
    let told = |news: &mut News, locks: &Locks| {
        news.since(locks).iter().map(|e| (e.lock, format!("{:?}", e.what))).collect::<Vec<_>>()
    };
    let all = told(&mut news, &locks);
    let [(0, text)] = all.as_slice() else { panic!("{all:?}") };
    says(text, &["7 events lost", "lower bound"]);
    assert!(!text.contains("workers"), "{text}");
    assert_eq!(told(&mut news, &locks), []);
    // What was lost of an actor is of its lock.
    at(&mut locks, 2, S, 1, What::Dropped { count: 2 });
    let all = told(&mut news, &locks);
    let [(2, text)] = all.as_slice() else { panic!("{all:?}") };
    says(text, &["2 events lost"]);
}

#[test]
fn each_is_told_when_it_comes_and_again_only_after_it_went() {
    let (mut locks, mut news) = (held(lab(0)), News::default());
    assert!(news.since(&locks).is_empty());
    for _ in 0..2 {
        tell(&mut locks, S, 1, What::Stopped);
        let told = news.since(&locks);
        assert!(matches!(
            told.as_slice(),
            [Event { what: What::Finding { kind: FindingKind::HolderStopped, .. }, .. }]
        ));
        assert!(news.since(&locks).is_empty());
        tell(&mut locks, S, 1, What::Continued);
        assert!(news.since(&locks).is_empty());
    }
}

#[test]
fn the_words_for_kinds_are_those_in_recordings() {
    let schema: serde_json::Value = serde_json::from_str(crate::record::SCHEMA_TEXT).unwrap();
    let words: Vec<&str> = KINDS.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(serde_json::json!(words), serde_json::to_value(KINDS).unwrap());
    assert_eq!(schema["$defs"]["finding_kind"]["enum"], serde_json::json!(words));
}
