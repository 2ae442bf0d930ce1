//! Turns what one worker wrote into its pipe into events.

use super::judge::Judge;
use super::ledger::Owner;
use super::wire::{Body, Cycle, Record, SIZE, Stage, Won};
use crate::event::{Acquisition, Event, FailedAction, LockId, LockMode, Turn, What};

/// The second lock of a scene that has two.
pub(super) const SECOND: LockId = 1;

/// Turns told together at most: about what a worker writes at once. So the turns of those that run at the same time
/// stay near each other.
const TURNS: usize = 128;
/// Fewer turns are told singly: a box is not worth its price.
const FEW: usize = 4;

/// The records of one process of a worker, in their order.
#[derive(Clone, Debug)]
pub struct Stream {
    owner: Owner,
    /// The number that the next record should have.
    number: u16,
    /// Begin of a wait that has been told, by the worker or from its slot, in ns since the run began.
    announced: Option<u64>,
    /// It has been at the second lock.
    second: bool,
}

impl Stream {
    /// Nothing has been read yet.
    pub fn new(owner: Owner) -> Self {
        Self { owner, number: 0, announced: None, second: false }
    }

    /// Whose records they are.
    pub fn owner(&self) -> Owner {
        self.owner
    }

    /// Whether it has been at the second lock.
    pub(super) fn has_been_at_second(&self) -> bool {
        self.second
    }

    /// Notes that the wait that began at `since` (ns since the run began) is told from elsewhere; `false` where it has been told.
    pub fn announce(&mut self, since: u64) -> bool {
        self.announced.replace(since) != Some(since)
    }

    /// Adds to `out` what whole records say; gives how many whole turns there were of which nothing had been told before.
    /// What belongs to a violation goes to the `judge`.
    pub fn take(&mut self, bytes: &[u8], judge: &mut Judge, out: &mut Vec<Event>) -> usize {
        let (mut records, _) = bytes.as_chunks();
        let mut turns = 0;
        loop {
            let (cycles, rest) = records.split_at(self.plain(records, judge));
            self.number = self.number.wrapping_add(cycles.len() as u16);
            self.take_plain(cycles, out);
            turns += cycles.len();
            let Some((record, rest)) = rest.split_first() else { return turns };
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

    /// Whole turns and nothing else.
    fn take_plain(&self, records: &[[u8; SIZE]], out: &mut Vec<Event>) {
        for piece in records.chunks(TURNS) {
            let turns = piece.iter().map(|bytes| turn(&Cycle::read(bytes)));
            match piece.first().map(Cycle::read) {
                Some(first) if piece.len() >= FEW => {
                    out.push(said(first.t, self.owner, What::Turns(turns.collect())));
                }
                _ => out.extend(turns.map(|turn| said(turn.t, self.owner, turn.cycle()))),
            }
        }
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
            Body::Ran { seq, ran, status } => {
                let signal = libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status));
                let code = signal.is_none().then(|| libc::WEXITSTATUS(status));
                What::Ran { seq, code, signal, ran_ns: ran }
            }
            Body::Dropped { count } => What::Dropped { count },
            Body::Tried { shared, count } => What::Tried { mode: mode(shared), count },
            Body::Second { stage, seq, ns, contended } => {
                self.second = true;
                let mode = LockMode::Exclusive;
                let won = Won { seq, shared: false, contended, handoff: None, overtaken: 0 };
                let what = match stage {
                    Stage::Waits => What::Waiting { mode },
                    Stage::Acquired => What::Acquired(acquisition(&won, ns)),
                    Stage::Released => What::Released { seq, held_ns: ns },
                };
                return out.push(Event { lock: SECOND, ..said(t, owner, what) });
            }
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

/// An event of `owner` at `t`.
pub(super) fn said(t: u64, owner: Owner, what: What) -> Event {
    Event { t, lock: 0, actor: owner.worker, pid: owner.pid as i32, what }
}

fn turn(Cycle { t, won, waited, held }: &Cycle) -> Turn {
    Turn {
        t: *t,
        seq: won.seq,
        waited_ns: *waited,
        held_ns: *held,
        handoff_ns: won.handoff,
        overtaken: won.overtaken,
        mode: mode(won.shared),
        contended: won.contended,
    }
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

    #[test]
    fn whole_turns_are_counted_and_nothing_else() {
        let mut stream = Stream::new(ME);
        let bodies =
            [cycle(1), cycle(2), Body::GaveUp { waited: 5 }, Body::Waiting { shared: false }, cycle(3), cycle(4)];
        let records = (0..).zip(bodies).map(|(number, body)| Record { t: u64::from(number), number, body }.encode());
        let bytes: Vec<u8> = records.flatten().collect();
        // The third one was told to wait before.
        assert_eq!(stream.take(&bytes, &mut Judge::default(), &mut Vec::new()), 3);
    }
}
