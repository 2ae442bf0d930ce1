//! What is found of turns whose places were not told.

use super::*;
use crate::event::LockMode;
use proptest::prelude::*;

fn by(worker: u32) -> Owner {
    Owner { worker, pid: 100 + worker }
}

/// Without its place; asked for at `asked`, held from `t` to `end`.
fn turn(asked: u64, t: u64, end: u64, contended: bool) -> Turn {
    Turn {
        t,
        seq: 0,
        waited_ns: (t - asked) as u32,
        held_ns: (end - t) as u32,
        handoff_ns: None,
        overtaken: UNTOLD,
        mode: LockMode::Exclusive,
        contended,
    }
}

fn list(worker: u32, turns: &[Turn]) -> Event {
    super::super::decode::said(turns[0].t, by(worker), What::Turns(turns.to_vec()))
}

fn sight(worker: u32, what: Seen, asked: u64) -> Sight {
    Sight { owner: by(worker), what, asked }
}

/// Number, handoff and how often it was overtaken of each, by when it was won; violations are as without.
fn found(events: Vec<Event>) -> Vec<(u64, u64, Option<u64>, u64)> {
    let single = events.into_iter().flat_map(Event::singly);
    let mut all: Vec<_> = single
        .map(|event| match event.what {
            What::Cycle { acquired: won, .. } | What::Acquired(won) => {
                (event.t, won.seq, won.handoff_ns, won.overtaken)
            }
            other => panic!("{other:?}"),
        })
        .collect();
    all.sort_unstable();
    all
}

#[test]
fn turns_of_several_are_put_in_order_as_far_as_all_is_known() {
    let mut places = Places::default();
    let mut events = vec![
        list(1, &[turn(0, 10, 20, false), turn(25, 50, 60, true), turn(80, 90, 95, false)]),
        list(2, &[turn(12, 30, 40, true), turn(45, 70, 75, true)]),
    ];
    assert!(places.concern(&events));
    places.place(&mut events, 70, &[]);
    // At 25 nobody but itself had had it; the other was faster.
    assert_eq!(found(events), [(10, 1, None, 0), (30, 2, Some(10), 0), (50, 3, Some(10), 1)]);
    assert!(places.are_wanting());
    let mut events = places.take_rest();
    crate::event::in_order(&mut events);
    places.place(&mut events, 100, &[]);
    assert_eq!(found(events), [(70, 4, Some(10), 1), (90, 5, None, 0)]);
}

/// Which are contended, by when they were won.
fn contended(events: &[Event]) -> Vec<bool> {
    let single = events.iter().cloned().flat_map(Event::singly);
    let mut all: Vec<(u64, bool)> = single
        .map(|event| match event.what {
            What::Cycle { acquired: won, .. } | What::Acquired(won) => (event.t, won.contended),
            other => panic!("{other:?}"),
        })
        .collect();
    all.sort_unstable();
    all.into_iter().map(|(_, contended)| contended).collect()
}

#[test]
fn it_was_contended_where_another_had_it_when_it_was_asked_for() {
    let mut places = Places::default();
    let mut events = vec![
        list(1, &[turn(0, 10, 20, false), turn(25, 50, 60, false)]),
        list(2, &[turn(19, 30, 40, false), turn(60, 70, 75, false)]),
        // What a try said holds, though the lock was as good as free.
        list(3, &[turn(76, 90, 95, true)]),
    ];
    places.place(&mut events, 100, &[]);
    assert_eq!(contended(&events), [false, true, true, false, true]);
    assert_eq!(found(events)[3..], [(70, 4, None, 0), (90, 5, None, 0)]);
}

/// Nobody told of the one that had it: it died, or is a program that nobody knows.
#[test]
fn a_long_wait_is_contended_whoever_had_it() {
    for (waited, expected) in [(LONG_NS - 1, false), (LONG_NS, true)] {
        let mut places = Places::default();
        let mut events = vec![list(1, &[turn(10, 10 + waited, 20 + waited, false)])];
        places.place(&mut events, u64::MAX, &[]);
        assert_eq!(contended(&events), [expected]);
        assert_eq!(found(events), [(10 + waited, 1, None, 0)]);
    }
}

#[test]
fn numbers_go_on_where_the_ledger_was() {
    let mut places = Places::default();
    let told = Turn { seq: 41, overtaken: 0, ..turn(0, 10, 20, false) };
    places.follow(&[list(1, &[told])]);
    let mut events = vec![list(2, &[turn(15, 30, 40, true)])];
    places.place(&mut events, 50, &[]);
    assert_eq!(found(events), [(30, 42, Some(10), 0)]);
}

/// It is out of the processor since it let go, and the others have gone on.
#[test]
fn who_is_in_the_ledger_and_has_not_told_is_no_violation() {
    let mut places = Places::default();
    places.follow(&[list(1, &[Turn { seq: 40, overtaken: 0, ..turn(0, 10, 20, false) }])]);
    places.follow(&[list(1, &[Turn { seq: 42, overtaken: 0, ..turn(35, 40, 45, false) }])]);
    let mut events = vec![list(1, &[turn(50, 60, 70, false)])];
    let held = |ended| sight(2, Seen::Holds { at: 25, ended }, 25);
    places.place(&mut events, 80, &[held(Some(30))]);
    assert_eq!(found(events), [(60, 43, None, 0)]);
    // Nor when it tells, which it does without how often it was overtaken.
    let mut events = vec![list(2, &[Turn { seq: 41, ..turn(15, 25, 30, true) }]), list(1, &[turn(80, 85, 86, false)])];
    places.place(&mut events, 90, &[]);
    assert_eq!(found(events), [(25, 41, None, 0), (85, 44, None, 0)]);
}

#[test]
fn a_pause_is_no_part_of_a_handoff() {
    let mut places = Places::default();
    let mut events = vec![list(1, &[turn(0, 10, 30, false)])];
    places.place(&mut events, 35, &[sight(2, Seen::Waits, 25)]);
    let [pause, resume] = [(40, What::Paused), (60, What::Resumed)].map(|(t, what)| Event::of_run(t, what));
    // It has waited for 25, the pause left out.
    let mut events = vec![pause, resume, list(2, &[turn(45, 70, 75, true)])];
    places.place(&mut events, 100, &[]);
    assert_eq!(found(events.split_off(2)), [(70, 2, Some(20), 0)]);
}

/// What it knows of it is how long the worker says that it waited.
#[test]
fn nor_is_one_that_is_told_late() {
    let mut places = Places::default();
    let mut events = vec![list(1, &[turn(0, 10, 30, false)])];
    places.place(&mut events, 35, &[sight(2, Seen::Waits, 25)]);
    let mut events = vec![list(2, &[turn(65, 70, 75, true)])];
    places.place(&mut events, 100, &[]);
    assert_eq!(found(events), [(70, 2, Some(5), 0)]);
}

#[test]
fn two_at_once_are_a_violation_but_where_the_clock_is_in_doubt() {
    for (doubt, expected) in [(None, 1), (Some(0..=24), 1), (Some(22..=25), 0), (Some(30..=31), 0)] {
        let mut places = Places::default();
        doubt.into_iter().for_each(|time| places.doubt(time));
        let mut events = vec![list(1, &[turn(0, 10, 30, false)]), list(2, &[turn(0, 25, 28, false)])];
        places.place(&mut events, 50, &[]);
        let said = events.iter().filter(|e| {
            let what = What::Violation { seq: 2, other: 1, other_pid: 101 };
            e.what == what && (e.t, e.actor) == (25, 2)
        });
        assert_eq!(said.count(), expected);
    }
}

#[test]
fn a_turn_that_is_not_told_keeps_its_number() {
    let mut places = Places::default();
    let mut events = vec![list(1, &[turn(25, 30, 35, false), turn(36, 40, 45, false)])];
    // Seen after the others were read: it has ended.
    places.place(&mut events, 100, &[sight(2, Seen::Holds { at: 10, ended: Some(20) }, 5)]);
    assert_eq!(found(events), [(30, 2, None, 0), (40, 3, None, 0)]);
    let mut events = vec![list(2, &[turn(5, 10, 20, true), turn(41, 50, 60, true)])];
    places.place(&mut events, 200, &[]);
    assert_eq!(found(events), [(10, 1, None, 0), (50, 4, Some(5), 0)]);
}

#[test]
fn one_that_was_seen_to_hold_it_and_goes_on_when_another_has_it_is_a_violation() {
    for (end, expected) in [(29, 0), (31, 1)] {
        let mut places = Places::default();
        let mut events = vec![list(1, &[turn(25, 30, 35, false)])];
        // Dead or alive: that is not known yet.
        places.place(&mut events, 100, &[sight(2, Seen::Holds { at: 10, ended: None }, 5)]);
        assert_eq!(found(events), [(30, 2, None, 0)]);
        let mut events = vec![list(2, &[turn(5, 10, end, false)])];
        places.place(&mut events, 200, &[]);
        let what = What::Violation { seq: 2, other: 2, other_pid: 102 };
        assert_eq!(events.iter().filter(|e| e.what == what).count(), expected, "{events:?}");
    }
}

#[test]
fn the_successor_of_one_that_died_in_its_turn_is_not_accused_of_that() {
    // Who wins next: the successor, or another one before it.
    for others in [0, 1] {
        let mut places = Places::default();
        places.place(&mut Vec::new(), 20, &[sight(2, Seen::Holds { at: 10, ended: None }, 5)]);
        let mut events: Vec<Event> = (0..others).map(|_| list(1, &[turn(12, 30, 35, true)])).collect();
        let successor = Event { pid: 202, ..list(2, &[turn(38, 40, 45, false), turn(46, 50, 55, false)]) };
        events.push(successor);
        places.place(&mut events, 100, &[]);
        let expected = [(30, 2, None, 0), (40, 2 + others, None, 0), (50, 3 + others, None, 0)];
        assert_eq!(found(events), expected[1 - others as usize..]);
    }
}

#[test]
fn what_is_told_in_two_has_one_number() {
    let mut places = Places::default();
    let won = turn(0, 10, 20, false).acquisition();
    let mut events = vec![
        super::super::decode::said(10, by(1), What::Acquired(won)),
        super::super::decode::said(20, by(1), What::Released { seq: 0, held_ns: 10 }),
        list(2, &[turn(15, 30, 40, true)]),
    ];
    places.place(&mut events, 50, &[]);
    assert!(matches!(events[1].what, What::Released { seq: 1, .. }), "{events:?}");
    events.remove(1);
    assert_eq!(found(events), [(10, 1, None, 0), (30, 2, Some(10), 0)]);
}

/// A turn of a lock that excludes.
#[derive(Clone, Debug)]
struct True {
    worker: u32,
    asked: u64,
    t: u64,
    end: u64,
    contended: bool,
}

/// Turns one after the other, each asked for after the worker's last one.
fn history() -> impl Strategy<Value = Vec<True>> {
    let step = (1..6u32, 0..40u64, 0..30u64, 0..100u64, any::<bool>());
    prop::collection::vec(step, 1..120).prop_map(|steps| {
        let (mut now, mut ends) = (0, [0u64; 6]);
        let one = |(worker, gap, held, asked, contended): (u32, u64, u64, u64, bool)| {
            let t = now + 1 + gap;
            let after = ends[worker as usize];
            let asked = after + (t - after) * asked / 100;
            now = t + held;
            ends[worker as usize] = now;
            True { worker, asked, t, end: now, contended }
        };
        steps.into_iter().map(one).collect()
    })
}

proptest! {
    /// However turns come in, what is found is what a look at all of them tells.
    #[test]
    fn what_is_found_is_what_all_of_them_tell(
        history in history(),
        cuts in prop::collection::vec((1..200u64, any::<u64>()), 1..40),
    ) {
        let mut places = Places::default();
        let mut told = [0usize; 6];
        let (mut out, mut next, mut cuts) = (Vec::new(), 1, cuts.into_iter().cycle());
        let end = history.last().map_or(0, |turn| turn.end) + 1;
        loop {
            let (step, random) = cuts.next().unwrap();
            let until = next;
            let last = until == end;
            next = (until + step).min(end);
            let mut sights = Vec::new();
            let mut events = places.take_rest();
            for worker in 1..6u32 {
                let own: Vec<&True> = history.iter().filter(|turn| turn.worker == worker).collect();
                let new = &own[told[worker as usize]..];
                // All that is over by then has been told, and maybe more; but the last one may be late.
                let ahead = (random >> (8 * worker) & 7) as usize;
                let over_by = |t| new.iter().take_while(|turn| turn.end < t).count();
                let (over, most) = (over_by(until), over_by(next));
                let stuck = new.get(over).is_none_or(|next| next.asked >= until);
                let late = !last && over > 0 && ahead == 0 && stuck;
                let n = if last { new.len() } else if late { over - 1 } else { (over + ahead % 3).min(most) };
                if n > 0 {
                    let turns: Vec<Turn> =
                        new[..n].iter().map(|true_| turn(true_.asked, true_.t, true_.end, true_.contended)).collect();
                    events.push(list(worker, &turns));
                }
                told[worker as usize] += n;
                if let Some(next) = new.get(n).filter(|next| next.asked < until) {
                    let ended = Some(next.end).filter(|end| *end < until);
                    let what = if next.t < until { Seen::Holds { at: next.t, ended } } else { Seen::Waits };
                    sights.push(sight(worker, what, next.asked));
                }
            }
            crate::event::in_order(&mut events);
            places.place(&mut events, until, &sights);
            out.extend(events);
            if last {
                break;
            }
        }
        prop_assert!(!places.are_wanting());
        let expected: Vec<_> = history
            .iter()
            .enumerate()
            .map(|(n, turn)| {
                let released = n.checked_sub(1).map(|before| history[before].end);
                let handoff = released.filter(|t| *t > turn.asked).map(|t| turn.t - t);
                let contended = turn.contended || handoff.is_some();
                let meanwhile = history[..n].iter().filter(|other| other.t >= turn.asked).count();
                (turn.t, n as u64 + 1, handoff, if contended { meanwhile as u64 } else { 0 })
            })
            .collect();
        let told = history.iter().enumerate().map(|(n, turn)| turn.contended || n > 0 && history[n - 1].end > turn.asked);
        prop_assert_eq!(contended(&out), told.collect::<Vec<_>>());
        prop_assert_eq!(found(out), expected);
    }
}
