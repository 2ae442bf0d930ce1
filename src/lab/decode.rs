//! Turns what one worker wrote into its pipe into events.

use super::judge::Judge;
use super::ledger::Owner;
use super::wire::{BARE, Before, Body, Cycle, Full, Record, SHORT, Stage, Unit, Won, kind, length, missing};
use crate::event::{Acquisition, Event, FailedAction, LockId, LockMode, Turn, What};
use std::ops::AddAssign;

/// The second lock of a scene that has two.
pub(super) const SECOND: LockId = 1;

/// Turns told together at most: about what a worker writes at once. So the turns of those that run at the same time
/// stay near each other.
const TURNS: usize = 256;
/// Fewer turns are told singly: a box is not worth its price.
const FEW: usize = 4;

/// How often one was overtaken, where that is for the reader to find: more than anybody is told to be.
pub(super) const UNTOLD: u32 = u32::MAX;

/// How much was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Records of any sort.
    pub records: usize,
    /// Whole turns among them, of which nothing had been told before.
    pub turns: usize,
}

impl AddAssign for Amount {
    fn add_assign(&mut self, more: Self) {
        self.records += more.records;
        self.turns += more.turns;
    }
}

/// The records of one process of a worker, in their order.
#[derive(Clone, Debug)]
pub struct Stream {
    owner: Owner,
    /// The number that the next record should have.
    number: u16,
    /// The whole turn that was read last.
    before: Before,
    /// How many units have been read.
    position: u64,
    /// So many units of a record, whose others are yet to be read.
    part: (usize, Full),
    /// Begin of a wait that has been told, by the worker or from its slot, in ns since the run began.
    announced: Option<u64>,
    /// When the lock was won last, where that was told on its own, in ns since the run began.
    won: u64,
    /// The latest time in a record that was not taken as one of many whole turns, in ns since the run began.
    told: u64,
    /// It has been at the second lock.
    second: bool,
}

impl Stream {
    /// Nothing has been read yet.
    pub fn new(owner: Owner) -> Self {
        let (before, part) = (Before::default(), (0, Full::default()));
        Self { owner, number: 0, before, position: 0, part, announced: None, won: 0, told: 0, second: false }
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

    /// How many units have been read.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// When the lock was won in the turn that was read last, in ns since the run began.
    pub(super) fn last_turn(&self) -> u64 {
        self.before.t().max(self.won)
    }

    /// How far it has been read: [`Stream::last_turn`], and the latest time of anything else.
    pub(super) fn reach(&self) -> (u64, u64) {
        (self.last_turn(), self.told)
    }

    /// Adds to `out` what was read, and gives how much that was: `bytes` are whole units of records. What belongs to a
    /// violation goes to the `judge`.
    pub fn take(&mut self, bytes: &[u8], judge: &mut Judge, out: &mut Vec<Event>) -> Amount {
        let (mut units, _) = bytes.as_chunks();
        self.position += units.len() as u64;
        let mut read = Amount::default();
        loop {
            let plain = self.part.0 == 0 && self.announced.is_none() && judge.is_idle();
            while plain && let Some((turns, rest)) = self.turns(units) {
                read += Amount { records: turns.len(), turns: turns.len() };
                units = rest;
                self.tell(turns, out);
            }
            let Some((record, rest)) = self.record(units) else { return read };
            read.records += 1;
            units = rest;
            self.take_one(record, judge, out);
        }
    }

    /// The whole turns that come first and what follows, as many of them as are told together: a worker at full speed
    /// writes little besides.
    fn turns<'a>(&mut self, units: &'a [Unit]) -> Option<(Vec<Turn>, &'a [Unit])> {
        let (first, mut left) = self.cycle(units)?;
        let mut turns = Vec::with_capacity(TURNS.min(units.len()));
        turns.push(turn(&first));
        while turns.len() < TURNS
            && let Some((next, rest)) = self.cycle(left)
        {
            turns.push(turn(&next));
            left = rest;
        }
        Some((turns, left))
    }

    /// The first record if it is a whole turn and has the number that it should have, and what follows it.
    #[inline(always)]
    fn cycle<'a>(&mut self, units: &'a [Unit]) -> Option<(Cycle, &'a [Unit])> {
        let (first, rest) = units.split_first()?;
        let (cycle, rest) = match kind(first) {
            BARE if missing(first, self.number) == 0 => (self.before.decode_bare(first), rest),
            SHORT if missing(first, self.number) == 0 => {
                let (both, rest) = units.split_first_chunk()?;
                (self.before.decode(both), rest)
            }
            _ => {
                let (full, rest) = units.split_first_chunk()?;
                Cycle::is(full, self.number).then(|| (Cycle::read(full), rest))?
            }
        };
        self.number = self.number.wrapping_add(1);
        self.before = Before::of(&cycle);
        Some((cycle, rest))
    }

    /// The first record whatever it is, none where it is none, and what follows it; the first part of one is kept.
    fn record<'a>(&mut self, units: &'a [Unit]) -> Option<(Option<Record>, &'a [Unit])> {
        let (mut n, mut record) = std::mem::take(&mut self.part);
        let mut rest = units;
        // Of a whole record its first unit tells how long it is.
        while n == 0 || record.first().is_some_and(|first| n < length(first)) {
            let Some((unit, others)) = rest.split_first() else {
                self.part = (n, record);
                return None;
            };
            record.get_mut(n).into_iter().for_each(|place| *place = *unit);
            (n, rest) = (n + 1, others);
        }
        let [first, second, ..] = record;
        let cycle = match kind(&first) {
            BARE => self.before.decode_bare(&first),
            SHORT => self.before.decode(&[first, second]),
            _ => return Some((Record::decode(&record), rest)),
        };
        let Cycle { t, won, waited, held } = cycle;
        let number = self.number.wrapping_add(missing(&first, self.number));
        Some((Some(Record { t, number, body: Body::Cycle { won, waited, held } }), rest))
    }

    /// Whole turns and nothing else.
    fn tell(&self, turns: Vec<Turn>, out: &mut Vec<Event>) {
        match turns.first() {
            Some(first) if turns.len() >= FEW => {
                out.push(said(first.t, self.owner, What::Turns(turns)));
            }
            _ => out.extend(turns.iter().map(|turn| said(turn.t, self.owner, turn.cycle()))),
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
        self.told = self.told.max(t);
        if missing != 0 {
            out.push(said(t, owner, What::Dropped { count: u64::from(missing) }));
        }
        if !judge.is_idle() {
            out.extend(judge.alive(owner, t));
        }
        let what = match body {
            Body::Cycle { won, waited, held } => {
                self.before = Before::of(&Cycle { t, won, waited, held });
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
                self.won = t;
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
                let won = Won { seq, shared: false, contended, handoff: None, overtaken: Some(0) };
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
        overtaken: won.overtaken.unwrap_or(UNTOLD),
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
        overtaken: u64::from(won.overtaken.unwrap_or(UNTOLD)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::wire::{Full, UNIT, Writer};
    use proptest::prelude::*;

    const ME: Owner = Owner { worker: 3, pid: 300 };

    fn events(stream: &mut Stream, records: &[(u64, u16, Body)]) -> Vec<Event> {
        let bytes: Vec<u8> =
            records.iter().flat_map(|&(t, number, body)| Record { t, number, body }.encode().concat()).collect();
        let mut out = Vec::new();
        stream.take(&bytes, &mut Judge::default(), &mut out);
        out
    }

    fn cycle(seq: u64) -> Body {
        let won = Won { seq, shared: false, contended: false, handoff: None, overtaken: Some(0) };
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
        let bytes = written(bodies.into_iter().zip(1..).map(|(body, t)| (t, body)));
        // The third one was told to wait before.
        let read = stream.take(&bytes, &mut Judge::default(), &mut Vec::new());
        assert_eq!(read, Amount { records: 6, turns: 3 });
    }

    /// As a worker writes it in one batch.
    fn written(records: impl IntoIterator<Item = (u64, Body)>) -> Vec<u8> {
        let (mut writer, mut bytes) = (Writer::default(), Vec::new());
        for (t, body) in records {
            let mut place = Full::default();
            let units = writer.put(t, body, &mut place);
            bytes.extend_from_slice(place[..units].as_flattened());
        }
        bytes
    }

    /// What single records say, one after the other.
    fn said_of(records: &[(u64, Body)]) -> Vec<Event> {
        let told: Vec<(u64, u16, Body)> = (0..).zip(records).map(|(n, &(t, body))| (t, n, body)).collect();
        events(&mut Stream::new(ME), &told).into_iter().flat_map(Event::singly).collect()
    }

    fn body() -> impl Strategy<Value = Body> {
        let won = |(seq, shared, contended, handoff, overtaken)| Won { seq, shared, contended, handoff, overtaken };
        let overtaken = prop_oneof![9 => (0..300u32).prop_map(Some), 1 => Just(None)];
        let handoff = prop::option::of(0..2_000_000u32);
        let placed = (1..5_000u64, any::<bool>(), any::<bool>(), handoff, overtaken).prop_map(won);
        let bare = any::<bool>().prop_map(move |contended| won((0, false, contended, None, None)));
        let won = prop_oneof![placed, bare];
        let cycle = (won, 0..2_000u32, 0..2_000_000u32);
        prop_oneof![
            8 => cycle.prop_map(|(won, waited, held)| Body::Cycle { won, waited, held }),
            1 => (0..9u64).prop_map(|waited| Body::GaveUp { waited }),
            1 => any::<bool>().prop_map(|shared| Body::Waiting { shared }),
            1 => (1..9u64, 1..9u64).prop_map(|(seq, held)| Body::Released { seq, held }),
        ]
    }

    proptest! {
        #[test]
        fn it_says_the_same_whichever_form_and_however_it_is_cut(
            steps in prop::collection::vec((0..3_000u64, body()), 1..60),
            cuts in prop::collection::vec(1..5usize, 1..80),
        ) {
            let mut t = 0;
            let records: Vec<(u64, Body)> = steps.iter().map(|&(step, body)| { t += step; (t, body) }).collect();
            let bytes = written(records.iter().copied());
            prop_assert!(bytes.len() <= records.len() * 32);
            let (mut stream, mut out, mut read) = (Stream::new(ME), Vec::new(), Amount::default());
            let (mut left, mut cuts) = (&bytes[..], cuts.iter().cycle());
            while !left.is_empty() {
                let (piece, rest) = left.split_at(left.len().min(cuts.next().unwrap() * UNIT));
                read += stream.take(piece, &mut Judge::default(), &mut out);
                left = rest;
            }
            prop_assert_eq!(read.records, records.len());
            let out: Vec<Event> = out.into_iter().flat_map(Event::singly).collect();
            prop_assert_eq!(out, said_of(&records));
        }
    }

    #[test]
    fn a_missing_number_is_a_lost_record_in_short_too() {
        let bytes = written((1..=5).map(|n| (n * 100, cycle(n))));
        // In full, then four in short, of which two are taken out.
        assert_eq!(bytes.len(), 12 * UNIT);
        let cut = [&bytes[..6 * UNIT], &bytes[10 * UNIT..]].concat();
        let mut out = Vec::new();
        Stream::new(ME).take(&cut, &mut Judge::default(), &mut out);
        assert!(matches!(out[..], [_, _, Event { what: What::Dropped { count: 2 }, .. }, _]), "{out:?}");
    }
}
