//! Turns what one worker wrote into its pipe into events.

use super::judge::Judge;
use super::ledger::Owner;
use super::wire::{Body, Cycle, Record, SIZE, Won};
use crate::event::{Acquisition, Event, FailedAction, LockMode, What};

/// The records of one process of a worker, in their order.
#[derive(Clone, Debug)]
pub struct Stream {
    owner: Owner,
    /// The number that the next record should have.
    number: u16,
    /// Begin of a wait that has been told, by the worker or from its slot, in ns since the run began.
    announced: Option<u64>,
}

impl Stream {
    /// Nothing has been read yet.
    pub fn new(owner: Owner) -> Self {
        Self { owner, number: 0, announced: None }
    }

    /// Whose records they are.
    pub fn owner(&self) -> Owner {
        self.owner
    }

    /// Notes that the wait that began at `since` (ns since the run began) is told from elsewhere; `false` where it has been told.
    pub fn announce(&mut self, since: u64) -> bool {
        self.announced.replace(since) != Some(since)
    }

    /// Adds to `out` what whole records say. What belongs to a violation goes to the `judge`.
    pub fn take(&mut self, bytes: &[u8], judge: &mut Judge, out: &mut Vec<Event>) {
        let (mut records, _) = bytes.as_chunks();
        out.reserve(records.len());
        loop {
            let (cycles, rest) = records.split_at(self.plain(records, judge));
            self.number = self.number.wrapping_add(cycles.len() as u16);
            let owner = self.owner;
            out.extend(cycles.iter().map(|bytes| {
                let Cycle { t, won, waited, held } = Cycle::read(bytes);
                let acquired = acquisition(&won, u64::from(waited));
                said(t, owner, What::Cycle { acquired, held_ns: u64::from(held) })
            }));
            let Some((record, rest)) = rest.split_first() else { return };
            self.take_one(Record::decode(record), judge, out);
            records = rest;
        }
    }

    /// How many of the first records are whole turns and nothing else: a worker at full speed writes little besides.
    fn plain(&self, records: &[[u8; SIZE]], judge: &Judge) -> usize {
        if self.announced.is_some() || !judge.is_idle() {
            return 0;
        }
        let mut number = self.number;
        let plain = records.iter().take_while(|bytes| {
            number = number.wrapping_add(1);
            Cycle::is(bytes, number.wrapping_sub(1))
        });
        plain.count()
    }

    fn take_one(&mut self, record: Option<Record>, judge: &mut Judge, out: &mut Vec<Event>) {
        let owner = self.owner;
        let Some(Record { t, number, body }) = record else {
            let t = out.last().map_or(0, |e| e.t);
            return out.push(said(t, owner, What::Dropped { count: 1 }));
        };
        let missing = number.wrapping_sub(self.number);
        self.number = number.wrapping_add(1);
        if missing != 0 {
            out.push(said(t, owner, What::Dropped { count: u64::from(missing) }));
        }
        if !judge.is_idle() {
            out.extend(judge.alive(owner, t));
        }
        let what = match body {
            Body::Cycle { won, waited, held } => {
                let (acquired, held_ns) = (acquisition(&won, u64::from(waited)), u64::from(held));
                if self.announced.is_some_and(|since| since <= t) {
                    self.announced = None;
                    out.push(said(t, owner, What::Acquired(acquired)));
                    out.push(said(t.saturating_add(held_ns), owner, What::Released { seq: won.seq, held_ns }));
                    return;
                }
                What::Cycle { acquired, held_ns }
            }
            Body::Waiting { .. } if self.announced == Some(t) => return,
            Body::Waiting { shared } => {
                self.announced = Some(t);
                What::Waiting { mode: mode(shared) }
            }
            Body::Acquired { won, waited } => {
                self.announced = None;
                What::Acquired(acquisition(&won, waited))
            }
            Body::Released { seq, held } => What::Released { seq, held_ns: held },
            Body::GaveUp { waited } => {
                self.announced = None;
                What::GaveUp { waited_ns: waited }
            }
            Body::Conflict { seq, other, other_pid } => {
                return judge.accuse(t, owner, seq, Owner { worker: other, pid: other_pid });
            }
            Body::Dropped { count } => What::Dropped { count },
            Body::Failed { action, errno } => {
                let action = match action {
                    0 => FailedAction::Open,
                    1 => FailedAction::Lock,
                    _ => FailedAction::Unlock,
                };
                What::Failed { action, errno }
            }
        };
        out.push(said(t, owner, what));
    }
}

/// From so many runs on, sorting at once beats merging one after the other.
const RUNS: usize = 32;

/// Puts events that were read worker by worker in the order of their times. Each worker's are in order already, and few
/// workers run at a time: only where one run overlaps what came before is there anything to merge.
pub fn in_order(events: &mut [Event]) {
    let mut begin = 0;
    for _ in 0..RUNS {
        let (before, rest) = events.split_at(begin);
        let Some(first) = rest.first() else { return };
        let end = begin + 1 + rest.windows(2).take_while(|pair| matches!(pair, [a, b] if a.t <= b.t)).count();
        let from = match before.last() {
            Some(last) if last.t > first.t => before.partition_point(|e| e.t <= first.t),
            _ => begin,
        };
        if from < begin {
            events.get_mut(from..end).unwrap_or_default().sort_by_key(|e| e.t);
        }
        begin = end;
    }
    events.sort_by_key(|e| e.t);
}

/// An event of `owner` at `t`.
pub(super) fn said(t: u64, owner: Owner, what: What) -> Event {
    Event { t, actor: owner.worker, pid: owner.pid as i32, what }
}

fn mode(shared: bool) -> LockMode {
    if shared { LockMode::Shared } else { LockMode::Exclusive }
}

fn acquisition(won: &Won, waited_ns: u64) -> Acquisition {
    Acquisition {
        mode: mode(won.shared),
        seq: won.seq,
        waited_ns,
        contended: won.contended,
        handoff_ns: won.handoff.map(u64::from),
        overtaken: u64::from(won.overtaken),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    const ME: Owner = Owner { worker: 3, pid: 300 };

    fn events(stream: &mut Stream, records: &[(u64, u16, Body)]) -> Vec<Event> {
        let bytes: Vec<u8> =
            records.iter().flat_map(|&(t, number, body)| Record { t, number, body }.encode()).collect();
        let mut out = Vec::new();
        stream.take(&bytes, &mut Judge::default(), &mut out);
        out
    }

    fn cycle(seq: u64) -> Body {
        let won = Won { seq, shared: false, contended: false, handoff: None, overtaken: 0 };
        Body::Cycle { won, waited: 5, held: 7 }
    }

    #[test]
    fn a_missing_number_is_a_lost_record() {
        let mut stream = Stream::new(ME);
        let told = events(&mut stream, &[(10, 0, cycle(1)), (20, 3, cycle(4)), (30, 4, cycle(5))]);
        assert!(matches!(told[1].what, What::Dropped { count: 2 }), "{told:?}");
        assert_eq!(told.len(), 4);
    }

    #[test]
    fn a_wait_that_was_told_ends_with_its_turn() {
        let mut stream = Stream::new(ME);
        assert!(stream.announce(4));
        assert!(!stream.announce(4));
        let told = events(&mut stream, &[(10, 0, cycle(1)), (40, 1, cycle(2))]);
        let kinds: Vec<&What> = told.iter().map(|e| &e.what).collect();
        assert!(matches!(kinds[..], [What::Acquired(_), What::Released { .. }, What::Cycle { .. }]), "{kinds:?}");
    }

    proptest! {
        #[test]
        fn order_is_as_a_stable_sort_makes_it(runs in prop::collection::vec(prop::collection::vec(0u64..500, 0..40), 0..60)) {
            let mut events = Vec::new();
            for (worker, mut run) in (1..).zip(runs) {
                run.sort_unstable();
                events.extend(run.iter().map(|t| said(*t, Owner { worker, pid: 1 }, What::Spawned)));
            }
            let mut sorted = events.clone();
            sorted.sort_by_key(|e| e.t);
            in_order(&mut events);
            prop_assert_eq!(events, sorted);
        }
    }
}
