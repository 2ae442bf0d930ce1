//! Workers that have nothing to do but to get the lock: their turns are put in order by their times, and that order is the
//! true one through pauses, longer holds and deaths.
#![allow(missing_docs, clippy::unwrap_used)]

use crossbeam_channel::Receiver;
use flockmon::dist::Dist;
use flockmon::event::{Command, Event, LockKind, What};
use flockmon::lab::target::Target;
use flockmon::lab::{Acquire, Config, Lab, Restart};
use flockmon::source::Batch;
use std::time::Duration;

/// A turn, as its events tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    seq: u64,
    worker: u32,
    t: u64,
    /// None where it was never told.
    end: Option<u64>,
    waited: u64,
    contended: bool,
    handoff: Option<u64>,
    overtaken: u64,
}

struct Told {
    batches: Receiver<Batch>,
    turns: Vec<Turn>,
    violations: Vec<Event>,
    /// Waits that were told while they lasted.
    waits: u64,
    /// What a pipe had no room for, as nobody came to read it.
    lost: u64,
}

impl Told {
    fn take(&mut self, events: Vec<Event>) {
        for event in events.into_iter().flat_map(Event::singly) {
            let Event { t, actor, .. } = event;
            let (won, end) = match event.what {
                What::Cycle { acquired, held_ns } => (acquired, Some(t + held_ns)),
                What::Acquired(acquired) => (acquired, None),
                What::Released { seq, .. } => {
                    let open = self.turns.iter_mut().rev().find(|turn| turn.seq == seq).expect("its acquisition");
                    assert_eq!(open.worker, actor);
                    open.end = Some(t);
                    continue;
                }
                What::Waiting { .. } => {
                    self.waits += 1;
                    continue;
                }
                What::Dropped { count } => {
                    self.lost += count;
                    continue;
                }
                What::Violation { .. } => {
                    self.violations.push(event);
                    continue;
                }
                _ => continue,
            };
            self.turns.push(Turn {
                seq: won.seq,
                worker: actor,
                t,
                end,
                waited: won.waited_ns,
                contended: won.contended,
                handoff: won.handoff_ns,
                overtaken: won.overtaken,
            });
        }
    }

    /// Reads on until so many more turns were told.
    fn more(&mut self, lab: &mut Lab, turns: usize) {
        let wanted = self.turns.len() + turns;
        while self.turns.len() < wanted {
            let batch = self.batches.recv_timeout(Duration::from_secs(60)).expect("events");
            self.take(batch.events);
            lab.reap();
        }
    }
}

/// The one test here: two labs in one process would reap each other's workers.
#[test]
fn numbers_are_in_the_order_of_time_through_pauses_and_longer_holds() {
    for keep_open in [true, false] {
        let config = Config {
            workers: 4,
            hold: Dist::Fixed(0),
            think: Dist::Fixed(0),
            kind: LockKind::Flock,
            shared: 0,
            acquire: Acquire::Block,
            keep_open,
            restart: Restart::Never,
            seed: 7,
            limit: None,
        };
        let mut lab = Lab::start(config, Target::prepare(None, LockKind::Flock).unwrap()).unwrap();
        let (tx, batches) = crossbeam_channel::bounded(64);
        lab.listen(tx).unwrap();
        let mut told = Told { batches, turns: Vec::new(), violations: Vec::new(), waits: 0, lost: 0 };
        // No worker has told of one: who waits has no time to. It is seen all the same, while others have the lock.
        while told.waits == 0 {
            told.more(&mut lab, 1_000);
        }
        for _ in 0..3 {
            told.more(&mut lab, 5_000);
            // While it is paused, its holder is entered in the ledger.
            lab.command(Command::TogglePause).unwrap();
            lab.command(Command::TogglePause).unwrap();
            told.more(&mut lab, 5_000);
            lab.command(Command::StepHold(true)).unwrap();
            // What was under way has come by then, and turns with a hold too.
            told.more(&mut lab, 5_000);
            while lab.command(Command::StepHold(false)).unwrap().is_some_and(|said| said != "hold 0") {}
            lab.command(Command::StepThink(true)).unwrap();
            told.more(&mut lab, 100);
            while lab.command(Command::StepThink(false)).unwrap().is_some_and(|said| said != "think 0") {}
        }
        let mut rest = Vec::new();
        let batches = told.batches.clone();
        lab.finish(|| rest.extend(batches.try_iter().flat_map(|batch| batch.events)));
        told.take(rest);
        let Told { mut turns, violations, lost, .. } = told;
        turns.sort_unstable();
        if !violations.is_empty() {
            for (n, runs) in turns.chunk_by(|a, b| a.worker == b.worker && a.t < b.t && a.seq + 1 == b.seq).enumerate()
            {
                let (f, l) = (runs.first().unwrap(), runs.last().unwrap());
                eprintln!("{n} w{} seq {}..{} t {}..{} end {:?}", f.worker, f.seq, l.seq, f.t, l.t, l.end);
            }
        }
        assert_eq!(violations, []);
        assert_eq!(turns.first().map(|turn| turn.seq), Some(1));
        let last = |worker| turns.iter().rev().find(|turn| turn.worker == worker).map_or(0, |turn| turn.seq);
        let lasts = [1, 2, 3, 4].map(last);
        for (n, pair) in turns.windows(2).enumerate() {
            let [before, turn] = pair else { unreachable!() };
            // Whose number it is that is missing tells no more: it did not come to a processor until it was killed at the end.
            let silent = lasts.iter().filter(|last| **last < turn.seq).count() as u64;
            assert!(before.seq < turn.seq, "{pair:?}");
            let missing = turn.seq - (n as u64 + 2);
            assert!(missing <= lost + silent, "{pair:?} {missing} missing, {lost} lost, {lasts:?}");
            assert!(before.end.is_none_or(|end| end <= turn.t) && before.t < turn.t, "{pair:?}");
            // What was let go before it was asked for is no handoff; a pause is part of none.
            let handoff = turn.handoff.zip(before.end);
            assert!(handoff.is_none_or(|(ns, end)| ns <= turn.t - end && ns <= turn.waited), "{pair:?}");
            assert!(turn.handoff.is_none() || turn.contended, "{pair:?}");
        }
        // Nobody is overtaken more often than others had the lock since its own last turn.
        let mut last = [0; 5];
        for turn in &turns {
            let since = &mut last[turn.worker as usize];
            assert!(turn.overtaken < turn.seq - *since, "{turn:?} {since}");
            *since = turn.seq;
        }
    }
}
