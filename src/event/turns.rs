//! Whole turns of one actor, many at a time: a worker at full speed makes a million a second.

use super::{Acquisition, Event, LockMode, What};

/// A turn that was over before it was told; see [`What::Turns`]. What does not fit its fields is told singly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// When the lock was won, in ns since the run began.
    pub t: u64,
    /// See [`Acquisition::seq`].
    pub seq: u64,
    /// See [`Acquisition::waited_ns`].
    pub waited_ns: u32,
    /// How long the lock was held, in ns, pauses left out.
    pub held_ns: u32,
    /// See [`Acquisition::handoff_ns`].
    pub handoff_ns: Option<u32>,
    /// See [`Acquisition::overtaken`].
    pub overtaken: u32,
    /// Exclusive or shared.
    pub mode: LockMode,
    /// See [`Acquisition::contended`].
    pub contended: bool,
}

impl Turn {
    /// When it ended, in ns since the run began.
    #[inline]
    pub fn end(&self) -> u64 {
        self.t.saturating_add(u64::from(self.held_ns))
    }

    /// When it was asked for, in ns since the run began.
    #[inline]
    pub fn asked(&self) -> u64 {
        self.t.saturating_sub(u64::from(self.waited_ns))
    }

    /// How it was won.
    #[inline]
    pub fn acquisition(&self) -> Acquisition {
        Acquisition {
            mode: self.mode,
            seq: self.seq,
            waited_ns: u64::from(self.waited_ns),
            contended: self.contended,
            handoff_ns: self.handoff_ns.map(u64::from),
            overtaken: u64::from(self.overtaken),
        }
    }

    /// The same as an event of its own.
    pub fn cycle(&self) -> What {
        What::Cycle { acquired: self.acquisition(), held_ns: u64::from(self.held_ns) }
    }
}

impl Event {
    /// The event, or in place of turns each of them as one.
    pub fn singly(self) -> impl Iterator<Item = Event> {
        let Event { lock, actor, pid, .. } = self;
        let (turns, other) = match self.what {
            What::Turns(turns) => (turns, None),
            what => (Vec::new(), Some(Event { t: self.t, lock, actor, pid, what })),
        };
        let cycles = turns.into_iter().map(move |turn| Event { t: turn.t, lock, actor, pid, what: turn.cycle() });
        other.into_iter().chain(cycles)
    }
}

/// All of `events` one by one, in the order of their times.
pub fn singly(events: Vec<Event>) -> Vec<Event> {
    if !events.iter().any(|e| matches!(e.what, What::Turns(_))) {
        return events;
    }
    let mut all: Vec<Event> = events.into_iter().flat_map(Event::singly).collect();
    in_order(&mut all);
    all
}

/// From so many runs on, sorting at once beats merging one after the other.
const RUNS: usize = 32;

/// Puts events that were read actor by actor in the order of their times. Each actor's are in order already, and few
/// run at a time: only where one run overlaps what came before is there anything to merge.
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn turn(t: u64, seq: u64) -> Turn {
        let (waited_ns, held_ns) = (5, 7);
        Turn { t, seq, waited_ns, held_ns, handoff_ns: Some(3), overtaken: 2, mode: LockMode::Shared, contended: true }
    }

    #[test]
    fn turns_are_told_one_by_one_among_the_others() {
        let of = |t, actor, what| Event { t, lock: 0, actor, pid: 10, what };
        let turns = [turn(10, 1), turn(30, 3)];
        let all = singly(vec![of(10, 1, What::Turns(turns.into())), of(20, 2, What::Spawned)]);
        let expected = vec![of(10, 1, turns[0].cycle()), of(20, 2, What::Spawned), of(30, 1, turns[1].cycle())];
        assert_eq!(all, expected);
        let What::Cycle { acquired, held_ns } = turns[0].cycle() else { panic!() };
        assert_eq!((acquired.waited_ns, acquired.handoff_ns, acquired.overtaken, held_ns), (5, Some(3), 2, 7));
        assert!(acquired.contended && acquired.mode == LockMode::Shared && turns[0].end() == 17);
    }

    proptest! {
        #[test]
        fn order_is_as_a_stable_sort_makes_it(runs in prop::collection::vec(prop::collection::vec(0u64..500, 0..40), 0..60)) {
            let mut events = Vec::new();
            for (actor, mut run) in (1..).zip(runs) {
                run.sort_unstable();
                events.extend(run.iter().map(|t| Event { t: *t, lock: 0, actor, pid: 1, what: What::Spawned }));
            }
            let mut sorted = events.clone();
            sorted.sort_by_key(|e| e.t);
            in_order(&mut events);
            prop_assert_eq!(events, sorted);
        }
    }
}
