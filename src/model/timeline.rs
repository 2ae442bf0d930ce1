//! What an actor did, as shares of time: the last minute in quarter seconds, all before it in ever
//! longer pieces. Bounded however long the run is and however fast the lock changes hands, and honest where it
//! changes faster than the eye can follow. Times are ns on the clock that stands still in pauses.

/// Width of a slot of the recent past in ns.
const SLOT_NS: u64 = 250_000_000;
/// Slots of the recent past: 64 s.
const RECENT: u64 = 256;
/// Slots of all that is older; they are 1 s wide at first, and twice as wide each time they do not suffice.
const PAST: usize = 128;
const PAST_SHIFT: u32 = 2;

/// What happened in a slot, besides holding and waiting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks(u8);

impl Marks {
    /// Its process was killed.
    pub const DIED: Self = Self(1);
    /// Its process was stopped by a signal.
    pub const STOPS: Self = Self(2);
    /// Its process was stopped for some time of it.
    pub const STOPPED: Self = Self(4);
    /// It won the lock while another held it.
    pub const VIOLATED: Self = Self(8);
    /// It was found holding or waiting when watching began.
    pub const FOUND: Self = Self(16);

    /// Whether any of `marks` is set.
    pub fn has(self, marks: Self) -> bool {
        self.0 & marks.0 != 0
    }

    fn add(&mut self, marks: Self) {
        self.0 |= marks.0;
    }
}

/// What an actor did in some stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Portion {
    /// For how many ns it held the lock.
    pub held_ns: f64,
    /// For how many ns it waited.
    pub waited_ns: f64,
    /// What happened in it, each in one stretch only.
    pub marks: Marks,
    /// Whether its process was stopped.
    pub stopped: bool,
}

#[derive(Clone, Copy, Debug)]
enum Doing {
    Held,
    Waited,
}

/// See the module. Nothing is allocated before something happened.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    /// When the newest slot begins, in ns.
    begin: u64,
    /// Up to when something was told, in ns.
    until: u64,
    recent: Option<Box<Recent>>,
    past: Option<Box<Past>>,
}

/// Held and waited ns of slot `n` at `n % RECENT`.
#[derive(Clone, Debug)]
struct Recent {
    ns: [[u32; 2]; RECENT as usize],
    marks: [Marks; RECENT as usize],
}

/// Held and waited shares, from the run's begin.
#[derive(Clone, Debug)]
struct Past {
    shift: u32,
    shares: [[f32; 2]; PAST],
    marks: [Marks; PAST],
}

impl Timeline {
    /// It held the lock.
    #[inline]
    pub(super) fn held(&mut self, from: u64, to: u64) {
        self.add(from, to, Doing::Held);
    }

    /// It waited for the lock.
    #[inline]
    pub(super) fn waited(&mut self, from: u64, to: u64) {
        self.add(from, to, Doing::Waited);
    }

    /// It held the lock many times, one after the other, `sum` ns in all.
    pub(super) fn held_in_a_row(&mut self, all: impl DoubleEndedIterator<Item = (u64, u64)> + Clone, sum: u64) {
        self.add_all(all, sum, Doing::Held);
    }

    /// It waited for the lock many times, one after the other, `sum` ns in all.
    pub(super) fn waited_in_a_row(&mut self, all: impl DoubleEndedIterator<Item = (u64, u64)> + Clone, sum: u64) {
        self.add_all(all, sum, Doing::Waited);
    }

    /// Something happened at `t`.
    pub(super) fn mark(&mut self, t: u64, marks: Marks) {
        let number = t / SLOT_NS;
        self.advance(number);
        self.until = self.until.max(t);
        match self.recent.as_deref_mut() {
            Some(recent) if number >= oldest(self.begin) => recent.mark(number, marks),
            _ => self.past().mark(t, marks),
        }
    }

    /// Something lasted.
    pub(super) fn mark_all(&mut self, from: u64, to: u64, marks: Marks) {
        self.mark(to, marks);
        let border = oldest(self.begin) * SLOT_NS;
        if from < to.min(border) {
            self.past().mark_all(from, to.min(border), marks);
        }
        let first = (from / SLOT_NS).max(oldest(self.begin));
        for number in first..to / SLOT_NS {
            if let Some(recent) = self.recent.as_deref_mut() {
                recent.mark(number, marks);
            }
        }
    }

    #[inline]
    fn add(&mut self, from: u64, to: u64, doing: Doing) {
        // Where the lock changes hands fast, almost all of it lies within the newest slot.
        if let Some(recent) = self.recent.as_deref_mut()
            && self.begin <= from
            && from <= to
            && to - self.begin < SLOT_NS
        {
            self.until = self.until.max(to);
            return recent.add(self.begin / SLOT_NS, (to - from) as u32, doing);
        }
        self.spread(from, to, doing);
    }

    fn add_all(&mut self, all: impl DoubleEndedIterator<Item = (u64, u64)> + Clone, sum: u64, doing: Doing) {
        let (first, last) = (all.clone().next(), all.clone().next_back());
        let (Some((from, _)), Some((_, to))) = (first, last) else { return };
        match self.recent.as_deref_mut() {
            Some(recent) if self.begin <= from && from <= to && to - self.begin < SLOT_NS => {
                self.until = self.until.max(to);
                recent.add(self.begin / SLOT_NS, u32::try_from(sum).unwrap_or(u32::MAX), doing);
            }
            _ => all.for_each(|(from, to)| self.add(from, to, doing)),
        }
    }

    #[cold]
    fn spread(&mut self, from: u64, to: u64, doing: Doing) {
        if from >= to {
            return;
        }
        self.advance(to / SLOT_NS);
        self.until = self.until.max(to);
        let border = oldest(self.begin) * SLOT_NS;
        if from < border {
            self.past().spread(from, to.min(border), doing);
        }
        let Some(recent) = self.recent.as_deref_mut() else { return };
        let first = from.max(border) / SLOT_NS;
        for number in first..=to / SLOT_NS {
            let begin = number * SLOT_NS;
            let ns = to.min(begin.saturating_add(SLOT_NS)).saturating_sub(from.max(begin));
            recent.add(number, ns as u32, doing);
        }
    }

    /// Makes slot `number` the newest one, if it is newer.
    fn advance(&mut self, number: u64) {
        let newest = self.begin / SLOT_NS;
        let Some(recent) = self.recent.as_deref_mut() else {
            let empty = Recent { ns: [[0; 2]; RECENT as usize], marks: [Marks::default(); RECENT as usize] };
            self.recent = Some(Box::new(empty));
            self.begin = number * SLOT_NS;
            return;
        };
        if number <= newest {
            return;
        }
        let mut gone = Vec::new();
        for fresh in newest + 1..=number.min(newest + RECENT) {
            let (ns, marks) = recent.take(fresh);
            if let Some(old) = fresh.checked_sub(RECENT).filter(|_| ns != [0; 2] || marks != Marks::default()) {
                gone.push((old, ns, marks));
            }
        }
        self.begin = number * SLOT_NS;
        for (old, [held, waited], marks) in gone {
            let past = self.past();
            past.add(old * SLOT_NS, u64::from(held), Doing::Held);
            past.add(old * SLOT_NS, u64::from(waited), Doing::Waited);
            past.mark(old * SLOT_NS, marks);
        }
    }

    fn past(&mut self) -> &mut Past {
        self.past.get_or_insert_with(|| {
            Box::new(Past { shift: PAST_SHIFT, shares: [[0.0; 2]; PAST], marks: [Marks::default(); PAST] })
        })
    }

    /// What was done from `from` to `to`.
    pub fn portion(&self, from: u64, to: u64) -> Portion {
        let mut sum = Portion::default();
        let Some(recent) = self.recent.as_deref() else { return sum };
        let border = oldest(self.begin) * SLOT_NS;
        if let Some(past) = self.past.as_deref().filter(|_| from < border) {
            past.sum(from, to.min(border), border, &mut sum);
        }
        let newest = self.begin / SLOT_NS;
        let last = (to.saturating_sub(1) / SLOT_NS).min(newest);
        for number in from.max(border) / SLOT_NS..=last {
            let begin = number * SLOT_NS;
            // Of the newest slot only a part is known.
            let end = if number == newest { self.until.max(begin + 1) } else { begin.saturating_add(SLOT_NS) };
            let ([held, waited], marks) = recent.at(number);
            // Both fit into 32 bits, as a slot does.
            let (within, all) = (to.min(end).saturating_sub(from.max(begin)) as u32, (end - begin) as u32);
            let part = f64::from(within) / f64::from(all);
            sum.held_ns += f64::from(held) * part;
            sum.waited_ns += f64::from(waited) * part;
            sum.note(marks, begin, from, to);
        }
        sum
    }
}

impl Portion {
    fn note(&mut self, marks: Marks, begin: u64, from: u64, to: u64) {
        self.stopped |= marks.has(Marks::STOPPED);
        if (from..to).contains(&begin) {
            self.marks.add(marks);
        }
    }
}

/// The oldest slot of the recent past where the newest one begins at `begin`.
fn oldest(begin: u64) -> u64 {
    (begin / SLOT_NS).saturating_sub(RECENT - 1)
}

impl Recent {
    fn index(number: u64) -> usize {
        (number % RECENT) as usize
    }

    fn add(&mut self, number: u64, ns: u32, doing: Doing) {
        if let Some(slot) = self.ns.get_mut(Self::index(number)) {
            let [held, waited] = slot;
            let sum = match doing {
                Doing::Held => held,
                Doing::Waited => waited,
            };
            *sum = sum.saturating_add(ns);
        }
    }

    fn mark(&mut self, number: u64, marks: Marks) {
        if let Some(slot) = self.marks.get_mut(Self::index(number)) {
            slot.add(marks);
        }
    }

    fn at(&self, number: u64) -> ([u32; 2], Marks) {
        let index = Self::index(number);
        (self.ns.get(index).copied().unwrap_or_default(), self.marks.get(index).copied().unwrap_or_default())
    }

    fn take(&mut self, number: u64) -> ([u32; 2], Marks) {
        let was = self.at(number);
        let index = Self::index(number);
        if let (Some(ns), Some(marks)) = (self.ns.get_mut(index), self.marks.get_mut(index)) {
            (*ns, *marks) = ([0; 2], Marks::default());
        }
        was
    }
}

impl Past {
    fn width(&self) -> u64 {
        SLOT_NS << self.shift
    }

    /// The slot that `t` falls into, after making room for it.
    fn index(&mut self, t: u64) -> usize {
        while t / self.width() >= PAST as u64 {
            let (shares, marks) = (self.shares, self.marks);
            (self.shares, self.marks) = ([[0.0; 2]; PAST], [Marks::default(); PAST]);
            for (i, ([held, waited], marks)) in shares.into_iter().zip(marks).enumerate() {
                if let (Some([h, w]), Some(m)) = (self.shares.get_mut(i / 2), self.marks.get_mut(i / 2)) {
                    *h += held / 2.0;
                    *w += waited / 2.0;
                    m.add(marks);
                }
            }
            self.shift += 1;
        }
        (t / self.width()) as usize
    }

    fn add(&mut self, t: u64, ns: u64, doing: Doing) {
        let index = self.index(t);
        let share = ns as f32 / self.width() as f32;
        if let Some([held, waited]) = self.shares.get_mut(index) {
            match doing {
                Doing::Held => *held += share,
                Doing::Waited => *waited += share,
            }
        }
    }

    fn mark(&mut self, t: u64, marks: Marks) {
        let index = self.index(t);
        if let Some(slot) = self.marks.get_mut(index) {
            slot.add(marks);
        }
    }

    fn mark_all(&mut self, from: u64, to: u64, marks: Marks) {
        let last = self.index(to.saturating_sub(1));
        let first = self.index(from);
        self.marks.get_mut(first..=last).into_iter().flatten().for_each(|slot| slot.add(marks));
    }

    fn spread(&mut self, from: u64, to: u64, doing: Doing) {
        let last = self.index(to.saturating_sub(1)) as u64;
        let width = self.width();
        for slot in from / width..=last {
            let begin = slot * width;
            self.add(begin, to.min(begin.saturating_add(width)).saturating_sub(from.max(begin)), doing);
        }
    }

    /// Adds what lies between `from` and `to`; from `border` on nothing is known here.
    fn sum(&self, from: u64, to: u64, border: u64, sum: &mut Portion) {
        let width = self.width();
        let first = usize::try_from(from / width).unwrap_or(PAST);
        let slots = self.shares.iter().zip(self.marks).enumerate().skip(first);
        for (slot, ([held, waited], marks)) in slots.take_while(|(i, _)| (*i as u64).saturating_mul(width) < to) {
            let begin = (slot as u64).saturating_mul(width);
            let end = begin.saturating_add(width).min(border);
            let part = to.min(end).saturating_sub(from.max(begin));
            if part == 0 {
                continue;
            }
            let scale = part as f64 * width as f64 / (end - begin) as f64;
            sum.held_ns += f64::from(*held) * scale;
            sum.waited_ns += f64::from(*waited) * scale;
            sum.note(marks, begin, from, to);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: u64 = 1_000_000_000;

    fn held(line: &Timeline, from: u64, to: u64) -> u64 {
        line.portion(from, to).held_ns.round() as u64
    }

    #[test]
    fn a_hold_over_a_border_is_split() {
        let mut line = Timeline::default();
        line.held(SLOT_NS - 10, SLOT_NS + 30);
        assert_eq!(held(&line, 0, SLOT_NS), 10);
        assert_eq!(held(&line, SLOT_NS, 2 * SLOT_NS), 30);
    }

    #[test]
    fn what_is_old_is_known_in_longer_pieces_and_never_forgotten() {
        let mut line = Timeline::default();
        for second in (0..4000).step_by(2) {
            line.held(second * S, (second + 1) * S);
        }
        for (from, to) in [(0, 1000), (1000, 3000), (3990, 4000), (0, 4000)] {
            let share = line.portion(from * S, to * S).held_ns / ((to - from) * S) as f64;
            assert!((share - 0.5).abs() < 0.02, "{from} to {to}: {share}");
        }
    }

    #[test]
    fn a_mark_is_in_one_stretch_and_a_stop_in_all_that_it_lasts() {
        let mut line = Timeline::default();
        line.mark(10 * S, Marks::DIED);
        line.mark_all(20 * S, 25 * S, Marks::STOPPED);
        let died = |width: u64| {
            (0..30 * S / width).filter(|i| line.portion(i * width, (i + 1) * width).marks.has(Marks::DIED)).count()
        };
        assert_eq!((died(S / 10), died(S), died(3 * S)), (1, 1, 1));
        let stopped = (0..300).filter(|i| line.portion(i * S / 10, (i + 1) * S / 10).stopped).count();
        assert!((50..=54).contains(&stopped), "{stopped}");
        line.held(200 * S, 201 * S);
        assert!(line.portion(0, 15 * S).marks.has(Marks::DIED), "still known when it is old");
    }

    #[test]
    fn a_long_stop_is_known_from_its_beginning() {
        let mut line = Timeline::default();
        line.held(0, 2 * S);
        line.mark_all(20 * S, 320 * S, Marks::STOPPED);
        let stopped: Vec<u64> = (0..40).filter(|i| line.portion(i * 10 * S, (i + 1) * 10 * S).stopped).collect();
        assert_eq!(stopped, (2..=32).collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nothing_added(
            spans in prop::collection::vec((0u64..400 * S, 0u64..200 * S, any::<bool>()), 1..50),
        ) {
            let mut line = Timeline::default();
            let (mut held, mut waited, mut end) = (0, 0, 0);
            for (from, len, holds) in spans {
                if holds { line.held(from, from + len) } else { line.waited(from, from + len) }
                if holds { held += len } else { waited += len }
                end = end.max(from + len);
            }
            let all = line.portion(0, end + S);
            // Shares of the far past are kept as f32.
            let near = |a: f64, b: u64| (a - b as f64).abs() <= 1e-4 * b as f64 + 50_000.0;
            prop_assert!(near(all.held_ns, held), "{} {held}", all.held_ns);
            prop_assert!(near(all.waited_ns, waited), "{} {waited}", all.waited_ns);
        }

        #[test]
        fn any_times_are_survived(spans in prop::collection::vec((any::<u64>(), any::<u64>(), any::<u64>()), 0..20)) {
            let mut line = Timeline::default();
            for (from, to, t) in spans {
                line.held(from, to);
                line.mark(t, Marks::DIED);
                line.mark_all(from.min(to), to, Marks::STOPPED);
                let _ = line.portion(t, t.saturating_add(S));
            }
        }
    }
}
