//! Durations of the last 10 s, of the last minute, and of the whole run.

use super::latency::Latency;
use std::collections::VecDeque;

const SECOND: u64 = 1_000_000_000;
const KEPT: u64 = 60;

/// How far back a histogram looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Span {
    /// The last ten seconds.
    Ten,
    /// The last minute.
    #[default]
    Sixty,
    /// Since the statistics began.
    All,
}

impl Span {
    /// The next one in turn.
    pub fn next(self) -> Self {
        match self {
            Self::Ten => Self::Sixty,
            Self::Sixty => Self::All,
            Self::All => Self::Ten,
        }
    }

    /// The words shown for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ten => "last 10 s",
            Self::Sixty => "last 60 s",
            Self::All => "all",
        }
    }
}

/// A [`Latency`] that also knows its recent past, second by second.
#[derive(Clone, Debug, Default)]
pub struct Windowed {
    all: Latency,
    seconds: VecDeque<(u64, Latency)>,
}

impl Windowed {
    /// Counts a duration of `ns` that ended at `t` (ns since the run began).
    pub fn record(&mut self, t: u64, ns: u64) {
        self.all.record(ns);
        let second = t / SECOND;
        let newest = self.seconds.back().map_or(second, |(s, _)| (*s).max(second));
        if second + KEPT < newest {
            return;
        }
        // Almost always the newest second, else one close by.
        let at = self.seconds.iter().rposition(|(s, _)| *s <= second);
        match at.and_then(|i| self.seconds.get_mut(i)) {
            Some((s, latency)) if *s == second => latency.record(ns),
            _ => {
                let mut latency = Latency::default();
                latency.record(ns);
                self.seconds.insert(at.map_or(0, |i| i + 1), (second, latency));
            }
        }
        while self.seconds.front().is_some_and(|(s, _)| *s + KEPT < newest) {
            self.seconds.pop_front();
        }
    }

    /// Everything since the statistics began.
    pub fn all(&self) -> &Latency {
        &self.all
    }

    /// What ended within `span` before `now`, to the second.
    pub fn within(&self, span: Span, now: u64) -> Latency {
        let seconds = match span {
            Span::All => return self.all.clone(),
            Span::Ten => 10,
            Span::Sixty => KEPT,
        };
        let oldest = (now / SECOND).saturating_sub(seconds - 1);
        let mut sum = Latency::default();
        for (_, latency) in self.seconds.iter().filter(|(s, _)| *s >= oldest) {
            sum.merge(latency);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_forget_and_the_whole_does_not() {
        let mut w = Windowed::default();
        for s in 0..100 {
            w.record(s * SECOND, s);
        }
        let now = 99 * SECOND;
        assert_eq!(w.within(Span::Ten, now).count(), 10);
        assert_eq!(w.within(Span::Sixty, now).count(), 60);
        assert_eq!(w.within(Span::All, now).count(), 100);
        assert!(w.seconds.len() <= KEPT as usize + 1);
    }

    #[test]
    fn a_late_one_finds_its_second() {
        let mut w = Windowed::default();
        w.record(5 * SECOND, 1);
        w.record(7 * SECOND, 1);
        w.record(6 * SECOND, 1);
        w.record(6 * SECOND, 1);
        assert_eq!(w.seconds.iter().map(|(s, l)| (*s, l.count())).collect::<Vec<_>>(), [(5, 1), (6, 2), (7, 1)]);
    }
}
