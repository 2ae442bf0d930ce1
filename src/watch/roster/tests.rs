//! Changes in, events out.

use super::*;
use crate::event::Begin;
use crate::model::Locks;
use crate::watch::change::Family;
use proptest::prelude::*;

const FILE: FileId = FileId { major: 254, minor: 0, inode: 42 };
const KEY: LockKey = LockKey { file: FILE, family: Family::Flock };
const RECORD: LockKey = LockKey { file: FILE, family: Family::Record };

fn change(t: u64, pid: i32, deed: Deed) -> Change {
    Change { t: 1000 + t, lock: KEY, task: TaskId { pid, tid: pid }, kind: LockKind::Flock, range: None, deed }
}

fn bytes(t: u64, pid: i32, start: u64, end: u64, deed: Deed) -> Change {
    let range = Some(Range { start, end: Some(end) });
    Change { lock: RECORD, kind: LockKind::Posix, range, ..change(t, pid, deed) }
}

const EX: LockMode = LockMode::Exclusive;
const FREE: Deed = Deed::Acquired { mode: EX, contended: false, asked: None };
const WON: Deed = Deed::Acquired { mode: EX, contended: true, asked: None };

/// Of these bytes, after a wait for them.
fn won_of(start: u64, end: u64) -> Deed {
    Deed::Acquired { mode: EX, contended: true, asked: Some(Range { start, end: Some(end) }) }
}

const WAITS: Deed = Deed::Waiting { mode: EX, before: false };

/// Knows names made of pids, or nothing.
struct Rumour(bool);

impl Informant for Rumour {
    fn process(&mut self, pid: i32) -> Option<Known> {
        self.0.then(|| Known { comm: format!("p{pid}"), ..Known::default() })
    }
}

fn events(changes: &[Change]) -> Vec<Event> {
    let mut roster = Roster::new(1000, true);
    let mut out = Vec::new();
    for change in changes {
        roster.begin_batch();
        roster.apply(change, &mut Rumour(true), &mut out);
    }
    out
}

fn events_in_one_batch(changes: &[Change]) -> Vec<Event> {
    let (mut roster, mut out) = (Roster::new(1000, true), Vec::new());
    changes.iter().for_each(|change| roster.apply(change, &mut Rumour(true), &mut out));
    out
}

fn begin() -> Begin {
    Begin::of_watch(LockInfo { name: "x".into(), kind: LockKind::Flock, file: None }, true)
}

fn folded(events: &[Event]) -> Locks {
    let mut locks = Locks::new(begin());
    events.iter().for_each(|e| locks.apply(e));
    locks
}

fn won(event: &Event) -> Option<Acquisition> {
    match &event.what {
        What::Acquired(a) | What::Cycle { acquired: a, .. } => Some(*a),
        _ => None,
    }
}

#[test]
fn a_wait_is_measured_from_its_begin_to_the_lock() {
    let out = events(&[
        change(0, 7, FREE),
        change(5, 8, WAITS),
        change(6, 9, WAITS),
        change(20, 7, Deed::Released),
        change(23, 8, WON),
        change(30, 8, Deed::Released),
        change(31, 9, WON),
    ]);
    let all: Vec<Acquisition> = out.iter().filter_map(won).collect();
    let figures: Vec<_> = all.iter().map(|a| (a.seq, a.waited_ns, a.contended, a.handoff_ns, a.overtaken)).collect();
    assert_eq!(figures, [(1, 0, false, None, 0), (2, 18, true, Some(3), 0), (3, 25, true, Some(1), 1)]);
    let locks = folded(&out);
    let model = locks.first();
    assert_eq!((model.acquisitions(), model.holder_count(), model.waiting()), (3, 1, 0));
    assert_eq!(model.holders().next().map(|h| (h.pid, h.name())), Some((9, "p9".into())));
}

#[test]
fn what_began_before_is_not_counted_as_won() {
    let out = events(&[
        change(0, 7, Deed::Holding { mode: EX }),
        change(0, 8, Deed::Waiting { mode: EX, before: true }),
        change(50, 7, Deed::Released),
        change(51, 8, WON),
    ]);
    let mut locks = folded(&out[..5]);
    assert!(locks.first().actors().iter().any(|a| a.state.is_waiting() && a.before));
    out[5..].iter().for_each(|e| locks.apply(e));
    assert_eq!((locks.acquisitions(), locks.first().wait().all().max()), (1, Some(51)));
}

#[test]
fn one_taken_and_let_go_within_a_batch_is_one_event() {
    let mut roster = Roster::new(0, true);
    let mut out = Vec::new();
    for c in [change(0, 7, FREE), change(4, 7, Deed::Released), change(5, 7, FREE)] {
        roster.apply(&c, &mut Rumour(false), &mut out);
    }
    assert!(matches!(out[2].what, What::Cycle { held_ns: 4, .. }), "{out:?}");
    roster.begin_batch();
    roster.apply(&change(9, 7, Deed::Released), &mut Rumour(false), &mut out);
    assert!(matches!(out.last().unwrap().what, What::Released { held_ns: 4, seq: 2 }));
}

#[test]
fn a_process_may_hold_some_bytes_and_wait_for_others() {
    let out = events(&[bytes(0, 7, 0, 9, FREE), bytes(1, 8, 20, 29, FREE), bytes(2, 7, 20, 29, WAITS)]);
    let locks = folded(&out);
    let model = locks.first();
    assert_eq!((model.holder_count(), model.waiting(), model.actors().len()), (2, 1, 3));
    let waiter = model.actors().iter().find(|a| a.state.is_waiting()).unwrap();
    let blockers = locks.blockers(0, waiter.id);
    assert_eq!(blockers.len(), 1);
    assert_eq!(model.actor(blockers[0].holder).unwrap().pid, 8);
}

#[test]
fn a_conversion_ends_one_hold_and_begins_another() {
    let shared = Deed::Acquired { mode: LockMode::Shared, contended: false, asked: None };
    let out = events(&[change(0, 7, FREE), change(5, 7, shared), change(9, 7, Deed::Released)]);
    let held: Vec<u64> = out
        .iter()
        .filter_map(|e| match e.what {
            What::Released { held_ns, .. } | What::Cycle { held_ns, .. } => Some(held_ns),
            _ => None,
        })
        .collect();
    assert_eq!(held, [5, 4]);
}

#[test]
fn pollers_wait_from_their_first_try() {
    let tried = |count| Deed::Tried { mode: EX, count };
    let out = events(&[
        change(0, 7, FREE),
        change(10, 8, tried(1)),
        change(110, 8, tried(9)),
        change(120, 7, Deed::Released),
        change(130, 8, WON),
    ]);
    let locks = folded(&out[..out.len() - 2]);
    let poller = locks.first().actors().iter().find(|a| a.polls()).unwrap();
    assert_eq!((poller.pid, poller.tries), (8, 10));
    assert_eq!(out.iter().rev().find_map(won).map(|a| (a.waited_ns, a.contended)), Some((120, true)));
}

#[test]
fn what_one_gets_between_its_tries_for_something_else_ends_no_wait() {
    let tried = |t| bytes(t, 7, 10, 10, Deed::Tried { mode: EX, count: 1 });
    let mut seen = vec![bytes(0, 5, 10, 10, FREE), tried(100)];
    for t in [110, 210, 310] {
        seen.extend([bytes(t, 7, 0, 0, FREE), bytes(t + 5, 7, 0, 0, Deed::Released), tried(t + 90)]);
    }
    let locks = folded(&events(&seen));
    let row =
        |range| locks.first().actors().iter().find(move |a| a.pid == 7 && a.range() == Some((range, Some(range))));
    let (tries, gets) = (row(10).unwrap(), row(0).unwrap());
    assert!(tries.state.is_waiting() && tries.polls());
    assert_eq!((tries.got, tries.since, gets.got), (0, 100, 3));
    seen.extend([bytes(500, 5, 10, 10, Deed::Released), bytes(520, 7, 10, 10, won_of(10, 10))]);
    let told = events(&seen);
    let won = told.iter().filter_map(won).next_back().unwrap();
    assert_eq!((won.waited_ns, won.contended, won.handoff_ns), (420, true, Some(20)));
}

#[test]
fn a_wait_that_is_won_is_of_the_bytes_that_were_got() {
    let waits = Deed::Waiting { mode: EX, before: false };
    let seen = [
        bytes(0, 7, 0, 9, FREE),
        bytes(5, 8, 10, 19, FREE),
        bytes(10, 7, 10, 19, waits),
        bytes(40, 8, 10, 19, Deed::Released),
        // Neighbours become one.
        bytes(50, 7, 0, 19, won_of(10, 19)),
        bytes(50, 7, 0, 9, Deed::Released),
    ];
    let mut told = events(&seen);
    let locks = folded(&told);
    let holders: Vec<_> = locks.first().holders().map(|h| (h.pid, h.range(), h.since)).collect();
    assert_eq!(holders, [(7, Some((0, Some(19))), 50)]);
    assert_eq!(told.iter().filter_map(won).next_back().map(|a| (a.waited_ns, a.contended)), Some((40, true)));
    let mut all = seen.to_vec();
    all.push(bytes(60, 7, 0, 19, Deed::Released));
    told = events(&all);
    assert_eq!((folded(&told).first().holder_count(), folded(&told).first().waiting()), (0, 0));
}

#[test]
fn who_tries_for_many_bytes_has_a_row_for_each() {
    let tried = |t, byte| bytes(t, 7, byte, byte, Deed::Tried { mode: EX, count: 1 });
    let seen = [tried(0, 0), tried(10, 1), tried(100, 0), tried(110, 1), bytes(200, 7, 1, 1, won_of(1, 1))];
    let told = events(&seen);
    let locks = folded(&told);
    let rows: Vec<_> =
        locks.first().actors().iter().map(|a| (a.range().unwrap().0, a.state.as_str(), a.tries)).collect();
    assert_eq!(rows, [(0, "waiting", 2), (1, "holding", 0)]);
    assert_eq!(told.iter().find_map(won).map(|a| (a.waited_ns, a.contended)), Some((190, true)));
    let mut all = seen.to_vec();
    all.push(bytes(300, 7, 0, 0, Deed::GaveUp));
    assert_eq!(folded(&events(&all)).first().waiting(), 0);
}

#[test]
fn a_shared_lock_ends_no_wait_for_an_exclusive_one() {
    let shared = Deed::Acquired { mode: LockMode::Shared, contended: false, asked: None };
    let seen = [
        change(0, 5, shared),
        change(10, 7, WAITS),
        // Another thread of it, through a descriptor of its own.
        change(30, 7, shared),
        change(60, 7, Deed::Released),
        change(80, 5, Deed::Released),
        change(90, 7, WON),
    ];
    let told = events(&seen[..3]);
    let locks = folded(&told);
    assert_eq!((locks.first().waiting(), locks.first().holder_count()), (1, 2));
    assert_eq!(told.iter().filter_map(won).next_back().map(|a| (a.waited_ns, a.contended)), Some((0, false)));
    let told = events(&seen);
    assert_eq!(told.iter().filter_map(won).next_back().map(|a| (a.waited_ns, a.contended)), Some((80, true)));
    // An exclusive one is more than a reader waits for.
    let reads = Deed::Waiting { mode: LockMode::Shared, before: false };
    assert_eq!(folded(&events(&[change(0, 7, reads), change(5, 7, FREE)])).first().waiting(), 0);
}

#[test]
fn locks_of_another_kind_are_in_a_row_of_their_own() {
    let ofd = |change: Change| Change { kind: LockKind::Ofd, ..change };
    let tried = ofd(bytes(0, 7, 0, 9, Deed::Tried { mode: EX, count: 1 }));
    for deed in [FREE, won_of(0, 9)] {
        let told = events(&[tried.clone(), bytes(10, 7, 0, 9, deed), ofd(bytes(20, 7, 0, 9, Deed::GaveUp))]);
        let locks = folded(&told);
        let kinds = locks.first().actors().iter().map(|a| (a.task.as_ref().unwrap().kind, a.state.as_str()));
        assert_eq!(kinds.collect::<Vec<_>>(), [(LockKind::Ofd, "thinking"), (LockKind::Posix, "holding")]);
    }
}

#[test]
fn locks_of_two_kinds_on_the_same_bytes_are_two() {
    let shared = Deed::Acquired { mode: LockMode::Shared, contended: false, asked: None };
    let posix = |t, deed| bytes(t, 7, 0, 9, deed);
    let ofd = |t, deed| Change { kind: LockKind::Ofd, ..posix(t, deed) };
    let seen = [posix(100, shared), ofd(200, shared), posix(300, Deed::Released)];
    let locks = folded(&events(&seen));
    let held: Vec<LockKind> = locks.first().holders().map(|a| a.task.as_ref().unwrap().kind).collect();
    assert_eq!(held, [LockKind::Ofd]);
}

#[test]
fn names_may_come_later_and_change_nothing_else() {
    let mut roster = Roster::new(1000, true);
    let mut out = Vec::new();
    roster.apply(&change(0, 7, FREE), &mut Rumour(false), &mut out);
    let entry = roster.entries().next().unwrap();
    assert!(entry.mark.is_none() && roster.name(0).is_none());
    roster.name_row(
        1005,
        &entry,
        Known { mark: Mark { start: 5, image: 1 }, comm: "cron".into(), ..Known::default() },
        &mut out,
    );
    roster.name_lock(1006, 0, "/run/x".into(), LockKind::Flock, &mut out);
    let locks = folded(&out);
    let holder = locks.first().holders().next().unwrap();
    assert_eq!((holder.name(), holder.got, locks.first().info().name.as_str()), ("cron".into(), 1, "/run/x"));
}

#[test]
fn rows_are_given_anew_only_where_nobody_needs_them() {
    let mut roster = Roster::new(0, true);
    let mut out = Vec::new();
    roster.apply(&change(0, 1, FREE), &mut Rumour(false), &mut out);
    for pid in 2..(ROWS as i32 * 2) {
        roster.begin_batch();
        roster.apply(&change(pid as u64, pid, WAITS), &mut Rumour(false), &mut out);
        roster.apply(&change(pid as u64, pid, Deed::GaveUp), &mut Rumour(false), &mut out);
    }
    assert_eq!(roster.entries().count(), ROWS);
    let locks = folded(&out);
    assert_eq!(locks.first().holders().map(|h| h.pid).collect::<Vec<_>>(), [1]);
    assert_eq!(locks.first().actors().len(), ROWS);
}

#[test]
fn a_circle_of_waits_is_a_deadlock_that_names_its_members() {
    let other = LockKey { file: FileId { inode: 43, ..FILE }, ..KEY };
    let at_other = |t, pid, deed| Change { lock: other, ..change(t, pid, deed) };
    let out = events(&[change(0, 7, FREE), at_other(0, 8, FREE), at_other(1, 7, WAITS), change(2, 8, WAITS)]);
    let mut locks = folded(&out);
    assert_eq!(locks.deadlock(), None, "it might pass yet");
    locks.advance(1_000_000_000);
    assert_eq!(locks.deadlock().map(|c| c.len()), Some(2));
    let text: Vec<String> = crate::model::finding::findings(&locks, locks.first())
        .iter()
        .map(crate::model::finding::Finding::text)
        .collect();
    assert!(
        text.iter().any(|t| t.contains("p7 (pid 7)") && t.contains("p8 (pid 8)") && t.contains("deadlock")),
        "{text:?}"
    );
    // A bystander behind them is in no circle.
    let more = events(&[change(0, 7, FREE), change(1, 9, WAITS)]);
    let mut locks = folded(&more);
    locks.advance(1_000_000_000);
    assert_eq!(locks.deadlock(), None);
    assert_eq!(locks.chain(0, 2).len(), 1);
}

#[test]
fn one_that_began_after_the_deed_is_not_the_one_who_did_it() {
    /// All pids are those of processes that began at 1010.
    struct Late;
    impl Informant for Late {
        fn process(&mut self, _: i32) -> Option<Known> {
            Some(Known { began: 1010, comm: "late".into(), ..Known::default() })
        }
    }
    let mut roster = Roster::new(1000, true);
    let mut out = Vec::new();
    roster.apply(&change(9, 7, FREE), &mut Late, &mut out);
    roster.apply(&change(10, 8, WAITS), &mut Late, &mut out);
    let marks: Vec<bool> = roster.entries().map(|e| e.mark.is_some()).collect();
    assert_eq!(marks, [false, true]);
    let known = Known { began: 1010, mark: Mark { start: 3, image: 3 }, ..Known::default() };
    let rows: Vec<Entry> = roster.entries().collect();
    let told = out.len();
    roster.name_row(1020, &rows[0], known.clone(), &mut out);
    assert_eq!(out.len(), told);
    // It did something later, by the same row: then it is another one.
    roster.apply(&change(12, 7, Deed::Released), &mut Late, &mut out);
    roster.apply(&change(13, 7, FREE), &mut Late, &mut out);
    let told = out.len();
    roster.name_row(1020, &rows[0], known, &mut out);
    assert!(matches!(out[told..], [Event { what: What::Seen(_), .. }]), "{out:?}");
}

#[test]
fn a_name_is_looked_at_again_where_the_lock_was_unused_in_between() {
    let (mut roster, mut out) = (Roster::new(0, true), Vec::new());
    let s = 1_000_000_000;
    let mut tell = |roster: &mut Roster, t, pid, deed| {
        roster.apply(&Change { t, ..change(0, pid, deed) }, &mut Rumour(false), &mut out);
    };
    tell(&mut roster, 0, 7, FREE);
    assert_eq!(roster.take_nameless(), [0]);
    roster.name_lock(0, 0, "/run/a".into(), LockKind::Flock, &mut Vec::new());
    assert!(!roster.is_name_stale(0, 9 * s), "somebody held it all the while");
    tell(&mut roster, 9 * s, 8, WAITS);
    assert!(!roster.is_name_stale(0, 10 * s));
    tell(&mut roster, 10 * s, 7, Deed::Released);
    tell(&mut roster, 10 * s, 8, Deed::GaveUp);
    assert!(!roster.is_name_stale(0, 10 * s), "nobody is there to be asked");
    tell(&mut roster, 11 * s, 9, FREE);
    assert!(roster.is_name_stale(0, 12 * s));
    assert!(!roster.is_name_stale(0, 20 * s), "it was looked at");
}

#[test]
fn a_name_that_the_user_gave_outlives_the_numbers_of_locks() {
    let (mut roster, mut out) = (Roster::new(0, true), Vec::new());
    roster.call(FILE, "mine");
    roster.announce(0, KEY, LockKind::Flock, &mut out);
    roster.apply(&change(1, 7, FREE), &mut Rumour(false), &mut out);
    roster.apply(&change(2, 7, Deed::Released), &mut Rumour(false), &mut out);
    // So many others that its number is needed.
    for inode in 100..100 + LOCKS as u64 {
        let lock = LockKey { file: FileId { inode, ..FILE }, ..KEY };
        roster.apply(&Change { lock, ..change(10 + inode, 8, FREE) }, &mut Rumour(false), &mut out);
        roster.apply(&Change { lock, ..change(10 + inode, 8, Deed::Released) }, &mut Rumour(false), &mut out);
    }
    assert_eq!(roster.number(KEY), None);
    roster.apply(&change(9999, 7, FREE), &mut Rumour(false), &mut out);
    assert_eq!(roster.number(KEY).and_then(|id| roster.name(id)), Some("mine"));
}

#[test]
fn a_lock_that_was_announced_and_never_used_becomes_what_it_is_used_as() {
    let (mut roster, mut out) = (Roster::new(1000, true), Vec::new());
    roster.announce(1000, KEY, LockKind::Flock, &mut out);
    roster.apply(&bytes(5, 7, 0, 9, FREE), &mut Rumour(false), &mut out);
    let locks = folded(&out);
    assert_eq!((locks.all().len(), locks.first().info().kind), (1, LockKind::Posix));
    assert_eq!(locks.first().acquisitions(), 1);
    // A lock of the other family beside it is another one.
    roster.apply(&change(6, 8, FREE), &mut Rumour(false), &mut out);
    let kinds: Vec<LockKind> = folded(&out).all().iter().map(|m| m.info().kind).collect();
    assert_eq!(kinds, [LockKind::Posix, LockKind::Flock]);
}

#[test]
fn a_file_is_in_use_while_somebody_is_at_it_and_a_while_after() {
    let (mut roster, mut out) = (Roster::new(1000, true), Vec::new());
    assert!(!roster.is_in_use(FILE, 0) && roster.kind_of(FILE).is_none());
    roster.apply(&bytes(5, 7, 0, 9, FREE), &mut Rumour(false), &mut out);
    roster.apply(&change(6, 8, FREE), &mut Rumour(false), &mut out);
    roster.apply(&change(7, 8, Deed::Released), &mut Rumour(false), &mut out);
    assert_eq!(roster.kind_of(FILE), Some(LockKind::Flock), "the last use counts");
    assert!(roster.is_in_use(FILE, 5000), "its record lock is held");
    roster.apply(&bytes(9, 7, 0, 9, Deed::Released), &mut Rumour(false), &mut out);
    assert!(roster.is_in_use(FILE, 1009) && !roster.is_in_use(FILE, 1010));
}

#[test]
fn what_is_kept_of_a_lock_goes_on_in_its_row() {
    let kept = Deed::Kept { mode: EX, since: Some(1000) };
    for middle in [false, true] {
        // In one batch, as it comes, and in two, where the acquisition was told before.
        for cut in [1, 2] {
            let mut roster = Roster::new(1000, true);
            let mut out = Vec::new();
            let mut seen = vec![bytes(0, 7, 0, 99, FREE), bytes(30, 7, 0, 99, Deed::Released)];
            seen.extend(middle.then(|| bytes(30, 7, 0, 9, kept)));
            seen.push(bytes(30, 7, 60, 99, kept));
            seen.extend(middle.then(|| bytes(40, 7, 0, 9, Deed::Released)));
            for (n, change) in seen.iter().enumerate() {
                if n == 0 || n == cut && cut == 1 {
                    roster.begin_batch();
                }
                roster.apply(change, &mut Rumour(true), &mut out);
            }
            roster.begin_batch();
            let locks = folded(&out);
            let model = locks.first();
            let holder = model.holders().next().unwrap();
            assert_eq!((model.acquisitions(), model.holder_count(), holder.since), (1, 1, if middle { 30 } else { 0 }));
            assert_eq!(holder.task.as_ref().unwrap().range, Some((60, Some(99))));
            roster.apply(&bytes(50, 7, 60, 99, Deed::Released), &mut Rumour(true), &mut out);
            let ends: Vec<_> = out
                .iter()
                .filter_map(|e| if let What::Released { seq, held_ns } = e.what { Some((seq, held_ns)) } else { None })
                .collect();
            assert_eq!(ends, if middle { vec![(1, 40), (1, 50)] } else { vec![(1, 50)] });
            let locks = folded(&out);
            let model = locks.first();
            assert_eq!((model.acquisitions(), model.holder_count()), (1, 0));
            assert_eq!(model.actors().len(), if middle { 2 } else { 1 });
            assert!(middle || !out.iter().any(|e| matches!(e.what, What::Found { .. })));
        }
    }
}

#[test]
fn what_is_kept_of_two_locks_finds_the_row_of_each() {
    let kept = |since| Deed::Kept { mode: EX, since: Some(since) };
    let out = events_in_one_batch(&[
        bytes(0, 7, 0, 9, FREE),
        bytes(5, 7, 20, 29, FREE),
        bytes(10, 7, 20, 29, Deed::Released),
        bytes(10, 7, 0, 9, Deed::Released),
        bytes(10, 7, 25, 29, kept(1005)),
        bytes(10, 7, 0, 4, kept(1000)),
    ]);
    let locks = folded(&out);
    let held: Vec<_> = locks.first().actors().iter().map(|a| (a.since, a.task.as_ref().unwrap().range)).collect();
    assert_eq!(held, [(0, Some((0, Some(4)))), (5, Some((25, Some(29))))]);
    assert_eq!((locks.acquisitions(), locks.first().holder_count()), (2, 2));
}

#[test]
fn two_shared_locks_of_one_thread_end_with_the_second() {
    let shared = Deed::Acquired { mode: LockMode::Shared, contended: false, asked: None };
    let out = events(&[change(0, 7, shared), change(5, 7, shared), change(10, 7, Deed::Released)]);
    assert_eq!(folded(&out).first().holder_count(), 1);
    let out = events(&[
        change(0, 7, shared),
        change(5, 7, shared),
        change(10, 7, Deed::Released),
        change(30, 7, Deed::Released),
        change(40, 7, shared),
        change(50, 7, Deed::Released),
    ]);
    let locks = folded(&out);
    assert_eq!((locks.first().holder_count(), locks.acquisitions()), (0, 2));
    assert!(matches!(out.last().unwrap().what, What::Released { held_ns: 10, .. }), "{out:?}");
}

proptest! {
    /// Whatever is seen, nobody counts twice and nothing is out of bounds.
    #[test]
    fn any_changes_are_survived(seen in prop::collection::vec((0u64..200, 0i32..5, 0u8..8, 0u64..4, any::<bool>()), 0..200)) {
        let mut roster = Roster::new(1000, true);
        let mut out = Vec::new();
        let mut got = 0;
        for (i, (t, pid, deed, at, record)) in seen.iter().enumerate() {
            let mode = if *at % 2 == 0 { EX } else { LockMode::Shared };
            let deed = match deed {
                0 => Deed::Holding { mode },
                1 => Deed::Waiting { mode, before: true },
                2 => Deed::Waiting { mode, before: false },
                3 => Deed::Tried { mode, count: 3 },
                4 => Deed::Acquired { mode, contended: true, asked: record.then_some(Range { start: at * 5, end: Some(9) }) },
                5 => Deed::Kept { mode, since: None },
                6 if *at == 3 => Deed::Left,
                6 => Deed::Released,
                _ => Deed::GaveUp,
            };
            let c = if *record { bytes(*t, *pid, at * 5, at * 5 + 9, deed) } else { change(*t, *pid, deed) };
            if i % 3 == 0 { roster.begin_batch(); out.clear(); }
            let from = out.len();
            roster.apply(&c, &mut Rumour(false), &mut out);
            got += out[from.min(out.len())..].iter().filter(|e| won(e).is_some()).count();
            for entry in roster.entries() {
                prop_assert!(!(entry.holds.is_some() && entry.waits));
            }
        }
        prop_assert!(got <= seen.len());
    }
}
