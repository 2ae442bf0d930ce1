//! Event lists in, facts out.

use super::*;
use crate::event::{Acquisition, LockKind, LockMode, Turn, What};
use proptest::prelude::*;

const S: u64 = 1_000_000_000;

fn begin() -> Begin {
    Begin {
        hold_ns: S,
        ..Begin::of_lab(
            LockInfo { name: "/run/jobs.lock".into(), kind: LockKind::Flock, file: Some(("254:0".into(), 42)) },
            10,
        )
    }
}

fn event(t: u64, actor: u32, what: What) -> Event {
    Event { t, lock: 0, actor, pid: if actor == 0 { 0 } else { 1000 + actor as i32 }, what }
}

fn won(seq: u64, waited_ns: u64, overtaken: u64) -> Acquisition {
    Acquisition {
        mode: LockMode::Exclusive,
        seq,
        waited_ns,
        contended: waited_ns > 0,
        handoff_ns: (waited_ns > 0).then_some(40_000),
        overtaken,
    }
}

fn found(m: &Model) -> Vec<finding::Finding> {
    finding::findings(&Locks::new(begin()), m)
}

fn waits(t: u64, actor: u32) -> Event {
    event(t, actor, What::Waiting { mode: LockMode::Exclusive })
}

fn model(events: &[Event]) -> Model {
    let mut m = Model::new(begin());
    events.iter().for_each(|e| m.apply(e));
    m
}

#[test]
fn a_long_hold_counts_whole_though_shorter_ones_end_before_it() {
    let shared = |seq| What::Acquired(Acquisition { mode: LockMode::Shared, ..won(seq, 0, 0) });
    let mut m = model(&[event(0, 1, shared(1))]);
    for n in 0..8 {
        let t = (1 + n) * S;
        m.apply(&event(t, 2, shared(2 + n)));
        m.apply(&event(t + S / 10, 2, What::Released { seq: 2 + n, held_ns: S / 10 }));
    }
    m.advance(10 * S);
    assert_eq!(m.utilization(), Some(1.0));
    m.apply(&event(10 * S, 1, What::Released { seq: 1, held_ns: 10 * S }));
    m.advance(20 * S);
    assert_eq!(m.utilization(), Some(0.5));
}

#[test]
fn the_last_seconds_are_those_before_a_pause() {
    let turns: Vec<Turn> = (1..=9)
        .map(|seq| Turn {
            t: seq * S,
            seq,
            waited_ns: 5,
            held_ns: 7,
            handoff_ns: Some(3),
            overtaken: 0,
            mode: LockMode::Exclusive,
            contended: true,
        })
        .collect();
    let (single, many) = turns.split_at(4);
    let mut m = model(&[]);
    single.iter().for_each(|turn| m.apply(&event(turn.t, 1, turn.cycle())));
    m.apply(&event(many[0].t, 1, What::Turns(many.to_vec())));
    m.apply(&Event::of_run(10 * S, What::Paused));
    m.advance(100 * S);
    let last = |m: &Model| [m.wait(), m.hold(), m.handoff()].map(|w| w.within(Span::Ten, m.active(m.now())).count());
    assert_eq!(last(&m), [9; 3]);
    m.apply(&Event::of_run(100 * S, What::Resumed));
    m.apply(&event(101 * S, 1, Turn { t: 101 * S, seq: 10, ..turns[0] }.cycle()));
    assert_eq!(last(&m), [9; 3], "the first is more than ten seconds old, with the pause left out");
}

#[test]
fn a_turn_is_told_from_its_begin_to_its_end() {
    let mut m = model(&[
        event(0, 1, What::Spawned),
        event(0, 2, What::Spawned),
        event(0, 1, What::Acquired(won(1, 0, 0))),
        waits(0, 2),
    ]);
    m.advance(S / 2);
    assert_eq!(m.holders().map(|a| a.id).collect::<Vec<_>>(), [1]);
    assert_eq!(m.longest_waiter().map(|(a, ns)| (a.id, ns)), Some((2, S / 2)));
    m.apply(&event(S, 1, What::Released { seq: 1, held_ns: S }));
    m.apply(&event(S, 2, What::Acquired(won(2, S, 0))));
    m.advance(3 * S / 2);
    assert_eq!((m.acquisitions(), m.contended(), m.waiting()), (2, 1, 0));
    assert_eq!(m.wait().all().max(), Some(S));
    assert_eq!(m.hold().all().count(), 1);
    assert_eq!(m.utilization(), Some(1.0));
    assert_eq!(m.fairness(), Some(1.0));
}

#[test]
fn paused_time_is_nobodys() {
    let mut m = model(&[event(0, 1, What::Acquired(won(1, 0, 0))), waits(0, 2), event(S, 0, What::Paused)]);
    m.advance(5 * S);
    assert!(m.is_paused());
    assert_eq!(m.longest_waiter().map(|w| w.1), Some(S));
    m.apply(&event(6 * S, 0, What::Resumed));
    m.advance(7 * S);
    assert_eq!(m.longest_waiter().map(|w| w.1), Some(2 * S));
    assert_eq!(m.in_state(m.actor(1).unwrap()), 2 * S);
    assert_eq!((m.duration_active(), m.duration()), (2 * S, 7 * S));
    assert_eq!(m.utilization(), Some(1.0));
}

#[test]
fn a_killed_holder_is_no_holder_and_its_hold_counts() {
    let mut m = model(&[
        event(0, 1, What::Spawned),
        event(0, 1, What::Acquired(won(1, 0, 0))),
        event(S / 4, 1, What::Exited { code: None, signal: Some(9) }),
    ]);
    assert_eq!((m.holder_count(), m.kills()), (0, 1));
    assert_eq!(m.hold().all().max(), Some(S / 4));
    assert_eq!(m.actor(1).unwrap().state, State::Killed);
    assert!(m.notes().next().unwrap().was_holding);
    m.apply(&event(S, 1, What::Spawned));
    assert_eq!(m.actor(1).unwrap().restarts, 1);
    assert!(m.actor(1).unwrap().state.is_alive());
}

#[test]
fn late_news_counts_but_does_not_turn_the_clock_back() {
    let m = model(&[waits(10 * S, 1), event(2 * S, 1, What::Cycle { acquired: won(1, 0, 0), held_ns: S })]);
    assert_eq!(m.acquisitions(), 1);
    assert!(m.actor(1).unwrap().state.is_waiting());
    assert_eq!(m.waiting(), 1);
}

/// What it is doing now says nothing of what it did then.
#[test]
fn late_news_of_a_shared_turn_is_not_of_an_exclusive_one() {
    let read = |seq| Acquisition { mode: LockMode::Shared, ..won(seq, 0, 0) };
    let mut m = model(&[
        event(2 * S, 2, What::Cycle { acquired: read(1), held_ns: S }),
        waits(10 * S, 1),
        event(2 * S, 1, What::Cycle { acquired: read(2), held_ns: S }),
    ]);
    m.advance(10 * S);
    assert_eq!(m.utilization(), Some(0.1), "the two held it together for one of ten seconds");
}

#[test]
fn overtaking_is_counted_while_it_lasts() {
    let mut m = model(&[event(0, 1, What::Acquired(won(1, 0, 0))), waits(0, 2)]);
    for seq in 2..=5 {
        m.apply(&event(seq * S, 1, What::Cycle { acquired: won(seq, 0, 0), held_ns: 1 }));
    }
    assert_eq!(m.overtaken_now(m.actor(2).unwrap()), Some(4));
    assert_eq!(m.overtaken_max(), 4);
}

#[test]
fn readers_hold_together() {
    let read = |seq| Acquisition { mode: LockMode::Shared, ..won(seq, 0, 0) };
    let mut m = model(&[event(0, 1, What::Acquired(read(1))), event(0, 2, What::Acquired(read(2)))]);
    assert_eq!(m.holder_count(), 2);
    m.apply(&event(S, 1, What::Released { seq: 1, held_ns: S }));
    m.apply(&event(S, 2, What::Released { seq: 2, held_ns: S }));
    m.advance(2 * S);
    assert_eq!(m.utilization(), Some(0.5));
}

#[test]
fn reset_forgets_figures_and_keeps_the_scene() {
    let mut m = model(&[event(0, 1, What::Acquired(won(1, 0, 0))), waits(0, 2)]);
    m.advance(S);
    m.apply(&event(m.now(), 0, What::Reset));
    m.advance(2 * S);
    assert_eq!((m.acquisitions(), m.duration(), m.holder_count(), m.waiting()), (0, S, 1, 1));
    assert_eq!(m.utilization(), Some(1.0));
}

#[test]
fn findings_say_what_is_wrong() {
    let mut m = model(&[
        event(0, 1, What::Acquired(won(1, 0, 0))),
        event(0, 1, What::Stopped),
        event(0, 0, What::PathChanged { was: 42, now: Some(57) }),
    ]);
    let texts: Vec<String> = found(&m).iter().map(finding::Finding::text).collect();
    assert!(texts[0].contains("inode 42") && texts[0].contains("57"), "{texts:?}");
    assert!(texts[1].contains("worker-1 (pid 1001) is stopped"), "{texts:?}");
    m.apply(&event(S, 1, What::Continued));
    m.apply(&event(S, 0, What::PathChanged { was: 42, now: Some(42) }));
    assert!(found(&m).is_empty());
}

#[test]
fn the_timeline_leaves_pauses_out() {
    let mut m = model(&[
        event(0, 1, What::Acquired(won(1, 0, 0))),
        event(2 * S, 0, What::Paused),
        event(10 * S, 0, What::Resumed),
        event(12 * S, 1, What::Released { seq: 1, held_ns: 4 * S }),
    ]);
    m.advance(20 * S);
    let held = |m: &Model, from, to| m.actor(1).unwrap().timeline.portion(from, to).held_ns.round() as u64;
    assert_eq!((held(&m, 0, 4 * S), held(&m, 4 * S, 20 * S)), (4 * S, 0));
    assert_eq!(m.timeline().portion(0, 20 * S).held_ns.round() as u64, 4 * S);
    assert_eq!(m.pauses().collect::<Vec<_>>(), [2 * S]);
    for (t, active) in [(S, S), (2 * S, 2 * S), (6 * S, 2 * S), (10 * S, 2 * S), (12 * S, 4 * S), (20 * S, 12 * S)] {
        assert_eq!(m.active_at(t), active, "{t}");
    }
    m.apply(&event(21 * S, 0, What::Paused));
    m.advance(30 * S);
    assert_eq!((m.active_at(12 * S), m.active_at(30 * S)), (4 * S, 13 * S));
}

#[test]
fn the_latest_turns_and_holds_are_kept_in_their_order() {
    let mut m = model(&[]);
    for turn in 0..1000 {
        let acquired = won(turn + 1, 3, turn % 7);
        let t = turn * 10_000_000;
        m.apply(&event(t, 1 + turn as u32 % 2, What::Cycle { acquired, held_ns: 6_000_000 }));
        // Too short to be followed by eye.
        m.apply(&event(t + 7_000_000, 3, What::Cycle { acquired, held_ns: 60 }));
    }
    m.apply(&event(10 * S, 1, What::Acquired(won(1001, 5, 0))));
    let turns = &m.actor(1).unwrap().history.turns;
    let ends: Vec<_> = turns.iter().map(|t| (t.at, t.waited(), t.held(), t.handoff())).collect();
    assert_eq!(ends.len(), history::TURNS);
    assert_eq!(ends.last(), Some(&(10 * S, Some(5), None, Some(40_000))), "it still holds");
    assert_eq!(ends[ends.len() - 2], (9_980_000_000, Some(3), Some(6_000_000), Some(40_000)));
    assert!(ends.is_sorted());
    let holds: Vec<_> = m.holds().iter().map(|h| (h.from, h.to, h.actor)).collect();
    assert_eq!((holds.len(), holds.last()), (history::HOLDS, Some(&(9_990_000_000, 9_996_000_000, 2))));
    assert!(holds.is_sorted());
}

#[test]
fn what_became_of_a_worker_is_told() {
    use history::Became;
    use timeline::Marks;
    let m = model(&[
        event(0, 1, What::Spawned),
        event(S, 1, What::Acquired(won(1, 0, 0))),
        event(2 * S, 1, What::Stopped),
        event(4 * S, 1, What::Exited { code: None, signal: Some(9) }),
        event(5 * S, 1, What::Spawned),
        waits(5 * S, 1),
        event(6 * S, 1, What::GaveUp { waited_ns: S }),
        event(7 * S, 1, What::GaveUp { waited_ns: S / 2 }),
        event(8 * S, 1, What::Violation { seq: 1, other: 2, other_pid: 3 }),
    ]);
    let actor = m.actor(1).unwrap();
    let told: Vec<_> = actor.history.changes().map(|c| (c.t / S, c.what)).collect();
    let expected = [
        (0, Became::Spawned { pid: 1001, again: false }),
        (2, Became::Stopped { holding: true }),
        (4, Became::Exited { code: None, signal: Some(9), holding: true }),
        (5, Became::Spawned { pid: 1001, again: true }),
        (7, Became::GaveUp { times: 2, waited_ns: S / 2 }),
        (8, Became::Violated { other: 2, other_pid: 3 }),
    ];
    assert_eq!(told, expected);
    assert_eq!(actor.history.turns.iter().next().and_then(history::Turn::held), Some(3 * S), "the kernel released it");
    for (t, marks) in [(2, Marks::STOPS), (4, Marks::DIED), (8, Marks::VIOLATED)] {
        let seconds: Vec<u64> =
            (0..10).filter(|s| actor.timeline.portion(s * S, (s + 1) * S).marks.has(marks)).collect();
        assert_eq!(seconds, [t]);
    }
    assert!(actor.timeline.portion(3 * S, 3 * S + S / 2).stopped);
    assert!(!actor.timeline.portion(5 * S, 6 * S).stopped);
}

#[test]
fn what_began_before_watching_is_told_as_such() {
    use crate::event::Task;
    let mut m = model(&[
        event(S, 1, What::Seen(Box::default())),
        event(S, 1, What::Found { mode: LockMode::Shared, holds: true }),
        event(S, 2, What::Seen(Box::default())),
        event(S, 2, What::Found { mode: LockMode::Exclusive, holds: false }),
        event(3 * S, 1, What::Released { seq: 0, held_ns: 2 * S }),
        event(3 * S, 2, What::Acquired(won(1, 2 * S, 0))),
    ]);
    let turn = |m: &Model, id| *m.actor(id).unwrap().history.turns.iter().next().unwrap();
    let (held, waited) = (turn(&m, 1), turn(&m, 2));
    assert_eq!((held.before(), held.waited(), held.held(), held.mode()), (true, None, Some(2 * S), LockMode::Shared));
    assert_eq!((waited.before(), waited.waited(), waited.held()), (true, Some(2 * S), None));
    assert!(m.actor(1).unwrap().timeline.portion(S, 2 * S).marks.has(timeline::Marks::FOUND));
    assert_eq!(m.actor(2).unwrap().born, S);
    // More is known of it: it is the same. Another one with its number has no history.
    m.apply(&event(4 * S, 1, What::Seen(Box::new(Task { comm: "x".into(), ..Task::default() }))));
    assert_eq!(m.actor(1).unwrap().history.changes().len(), 2);
    m.apply(&Event { pid: 77, ..event(5 * S, 1, What::Seen(Box::default())) });
    assert!(m.actor(1).unwrap().history.turns.is_empty());
}

#[test]
fn statistics_begin_when_they_were_reset_not_when_that_was_told() {
    let events = [event(0, 1, What::Acquired(won(1, 0, 0))), event(5 * S, 0, What::Reset)];
    let mut replayed = model(&events);
    let mut live = model(&events[..1]);
    live.advance(7 * S);
    live.apply(&events[1]);
    for m in [&mut live, &mut replayed] {
        m.apply(&event(9 * S, 1, What::Released { seq: 1, held_ns: 9 * S }));
        m.advance(10 * S);
    }
    let facts = |m: &Model| (m.duration(), m.duration_active(), m.utilization());
    assert_eq!(facts(&live), facts(&replayed));
    assert_eq!(facts(&live), (5 * S, 5 * S, Some(0.8)));
}

#[test]
fn one_that_was_overtaken_and_not_served_counts() {
    let turns = |m: &mut Model, seqs: std::ops::RangeInclusive<u64>| {
        for seq in seqs {
            m.apply(&event(seq * S, 1, What::Cycle { acquired: won(seq, 0, 0), held_ns: S / 2 }));
        }
    };
    let endings = [
        What::GaveUp { waited_ns: 5 * S },
        What::Left { waited_ns: 5 * S },
        What::Exited { code: None, signal: Some(9) },
        What::Removed,
    ];
    for ending in endings {
        let mut m = model(&[waits(0, 2)]);
        turns(&mut m, 1..=5);
        assert_eq!(m.overtaken_max(), 5);
        m.apply(&event(6 * S, 2, ending.clone()));
        turns(&mut m, 7..=7);
        assert_eq!((m.overtaken_max(), m.actor(2).unwrap().overtaken_max), (5, 5), "{ending:?}");
    }
    // One that dies has waited, as one that gives up has.
    let m = model(&[waits(S, 2), event(5 * S, 2, What::Exited { code: None, signal: Some(9) })]);
    assert_eq!(m.actor(2).unwrap().timeline.portion(0, 8 * S).waited_ns.round() as u64, 4 * S);
}

fn any_what() -> impl Strategy<Value = What> {
    let mode = prop_oneof![Just(LockMode::Exclusive), Just(LockMode::Shared)];
    let acquired = (mode.clone(), any::<u64>(), any::<u64>(), any::<bool>(), any::<Option<u64>>(), any::<u64>())
        .prop_map(|(mode, seq, waited_ns, contended, handoff_ns, overtaken)| Acquisition {
            mode,
            seq,
            waited_ns,
            contended,
            handoff_ns,
            overtaken,
        });
    prop_oneof![
        Just(What::Spawned),
        mode.prop_map(|mode| What::Waiting { mode }),
        acquired.clone().prop_map(What::Acquired),
        (acquired, any::<u64>()).prop_map(|(acquired, held_ns)| What::Cycle { acquired, held_ns }),
        (any::<u64>(), any::<u64>()).prop_map(|(seq, held_ns)| What::Released { seq, held_ns }),
        any::<u64>().prop_map(|waited_ns| What::GaveUp { waited_ns }),
        any::<Option<i32>>().prop_map(|signal| What::Exited { code: None, signal }),
        Just(What::Stopped),
        Just(What::Continued),
        Just(What::Paused),
        Just(What::Resumed),
        Just(What::Removed),
        any::<u64>().prop_map(|count| What::Dropped { count }),
        (any::<u64>(), any::<Option<u64>>()).prop_map(|(was, now)| What::PathChanged { was, now }),
        Just(What::Violation { seq: 1, other: 2, other_pid: 3 }),
    ]
}

proptest! {
    #[test]
    fn any_events_in_any_order_are_survived(events in prop::collection::vec((any::<u64>(), 0u32..20, any_what()), 0..60)) {
        let mut m = Model::new(begin());
        for (t, actor, what) in events {
            m.apply(&event(t, actor, what));
            prop_assert_eq!(m.waiting() as usize, m.actors().iter().filter(|a| a.state.is_waiting()).count());
            prop_assert_eq!(m.holder_count(), m.actors().iter().filter(|a| a.state.is_holding()).count());
        }
        prop_assert_eq!(m.wait().all().count(), m.acquisitions());
        prop_assert_eq!(m.actors().iter().map(|a| a.got).sum::<u64>(), m.acquisitions());
        let _ = (m.utilization(), m.fairness(), m.rate(), m.streaks(), found(&m));
    }

    /// A turn told at once means what its three events mean, to those who wait meanwhile, too.
    #[test]
    fn a_cycle_is_its_three_events(
        turns in prop::collection::vec((1u32..4, prop_oneof![Just(0), 0u64..S], 0u64..S), 1..150),
        waiter in any::<bool>(),
    ) {
        let (mut whole, mut parts) = (Model::new(begin()), Model::new(begin()));
        let mut t = 0;
        for (i, (actor, waited, held)) in turns.into_iter().enumerate() {
            let acquired = won(i as u64 + 1, waited, 0);
            whole.apply(&event(t + waited, actor, What::Cycle { acquired, held_ns: held }));
            if waited > 0 {
                parts.apply(&waits(t, actor));
            }
            parts.apply(&event(t + waited, actor, What::Acquired(acquired)));
            t += waited + held;
            parts.apply(&event(t, actor, What::Released { seq: acquired.seq, held_ns: held }));
            if waiter && i == 0 {
                for m in [&mut whole, &mut parts] { m.apply(&waits(t, 9)) }
            }
            whole.advance(t);
        }
        for m in [&mut whole, &mut parts] { m.advance(t) }
        let facts = |m: &Model| (m.acquisitions(), m.wait().all().figures(), m.hold().all().figures(), m.utilization(),
            m.streaks().longest, m.actors().iter().map(|a| (a.got, a.state, a.since)).collect::<Vec<_>>());
        prop_assert_eq!(facts(&whole), facts(&parts));
        let places = |m: &Model| (m.actor(9).map(|a| m.passed(a)), m.since_calm(), found(m));
        prop_assert_eq!(places(&whole), places(&parts));
        let lanes = |m: &Model| {
            let of = |timeline: &timeline::Timeline| {
                let portion = timeline.portion(0, t.max(1));
                (portion.held_ns.round() as u64, portion.waited_ns.round() as u64)
            };
            (of(m.timeline()), m.actors().iter().map(|a| of(&a.timeline)).collect::<Vec<_>>())
        };
        prop_assert_eq!(lanes(&whole), lanes(&parts));
    }
}

proptest! {
    // All that is known is compared, which is much.
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Turns told together mean what they mean one by one, whatever the actor did before and whenever they were.
    #[test]
    fn turns_are_their_cycles(
        said in prop::collection::vec(
            (1u32..4, 0..9u64, prop::collection::vec((0u32..4, 0u32..2, 0u64..9, any::<Option<u32>>()), 1..90)),
            1..20,
        ),
        scale in prop_oneof![Just(1u64), Just(1_000), Just(2_000_000), Just(90_000_000)],
    ) {
        let (mut together, mut singly) = (Model::new(begin()), Model::new(begin()));
        // Each number is told once.
        let (mut t, mut seq, mut ahead) = (0, 0, Vec::new());
        for (actor, before, steps) in said {
            ahead.extend((before == 4).then_some(seq + 9));
            let other = match before {
                0 => Some(waits(t, actor)),
                1 => Some(waits(t, 7)),
                2 => Some(event(t, 0, What::Paused)),
                3 => Some(event(t, 0, What::Resumed)),
                4 => Some(event(t, actor, What::Acquired(won(seq + 9, 1, 0)))),
                5 => Some(event(t, 0, What::Reset)),
                _ => None,
            };
            // Some overlap what they were told before.
            t -= if before == 6 { t.min(50 * scale) } else { 0 };
            let turns: Vec<Turn> = steps.into_iter().map(|(wait, hold, gap, handoff_ns)| {
                let ns = |n: u32| (u64::from(n) * scale) as u32;
                t += u64::from(wait) * scale + gap * scale / 2;
                seq += 1 + gap / 8;
                while ahead.contains(&seq) {
                    seq += 1;
                }
                let turn = Turn {
                    t, seq, waited_ns: ns(wait), held_ns: ns(hold), handoff_ns, overtaken: wait,
                    mode: if gap == 3 { LockMode::Shared } else { LockMode::Exclusive }, contended: wait > 1,
                };
                t = turn.end() - u64::from(before == 8 && gap == 1 && hold > 0);
                turn
            }).collect();
            let together_too = event(turns[0].t, actor, What::Turns(turns));
            for e in other.iter().chain([&together_too]) {
                together.apply(e);
                e.clone().singly().for_each(|e| singly.apply(&e));
            }
            for m in [&mut together, &mut singly] { m.advance(t) }
        }
        prop_assert_eq!(together.order.settled(), singly.order.settled());
        // Too long to be read.
        for m in [&mut together, &mut singly] { m.order = Default::default() }
        let (a, b) = (format!("{together:?}"), format!("{singly:?}"));
        let different = a.bytes().zip(b.bytes()).position(|(a, b)| a != b).unwrap_or(0);
        let near = |text: &str| text.get(different.saturating_sub(200)..).map(|t| t.chars().take(300).collect::<String>());
        prop_assert!(a == b, "{:?}\n{:?}", near(&a), near(&b));
    }
}
