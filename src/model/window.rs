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

/// A [`Latency`] that also knows its recent past, second by second. Times are those of the clock that stands still in
/// pauses: the last minute of a lab that is paused is the one before the pause.
#[derive(Clone, Debug, Default)]
pub struct Windowed {
    /// The newest second and those before it, the newest last.
    seconds: VecDeque<(u64, Latency)>,
    /// The sum of those before it, so that nobody has to add sixty for each frame.
    past: Latency,
    /// The same and all that has been forgotten.
    ended: Latency,
}

impl Windowed {
    /// Counts a duration of `ns` that ended at `t`, in ns.
    #[inline]
    pub fn record(&mut self, t: u64, ns: u64) {
        let second = t / SECOND;
        match self.seconds.back_mut() {
            Some((newest, latency)) if *newest == second => latency.record(ns),
            _ => self.record_elsewhere(second, ns),
        }
    }

    /// Counts many of them, each with when it ended, in the order in which they did; in `own` too, where there is one.
    #[inline]
    pub fn record_all(&mut self, all: impl DoubleEndedIterator<Item = (u64, u32)> + Clone, own: Option<&mut Latency>) {
        let ends = [all.clone().next(), all.clone().next_back()].map(|end| end.map(|(t, _)| t / SECOND));
        let durations = all.clone().map(|(_, ns)| ns);
        let newest = self.seconds.back_mut().filter(|(newest, _)| ends == [Some(*newest); 2]);
        match (newest.map(|(_, latency)| latency), own) {
            (Some(newest), Some(own)) => Latency::record_all([newest, own], durations),
            (Some(newest), None) => Latency::record_all([newest], durations),
            (None, own) => {
                all.for_each(|(t, ns)| self.record(t, u64::from(ns)));
                own.into_iter().for_each(|own| Latency::record_all([own], durations.clone()));
            }
        }
    }

    /// Counts in a second that is not the newest one: it begins, or the duration is told late.
    #[cold]
    fn record_elsewhere(&mut self, second: u64, ns: u64) {
        let newest = self.seconds.back().map(|(s, _)| *s);
        if newest.is_none_or(|newest| newest < second) {
            if let Some((_, ended)) = self.seconds.back() {
                self.past.merge(ended);
                self.ended.merge(ended);
            }
            self.seconds.push_back((second, Latency::default()));
        } else {
            self.ended.record(ns);
            if newest.is_some_and(|newest| second + KEPT < newest) {
                return;
            }
            self.past.record(ns);
        }
        let at = self.seconds.iter().rposition(|(s, _)| *s <= second);
        match at.and_then(|i| self.seconds.get_mut(i)) {
            Some((s, latency)) if *s == second => latency.record(ns),
            _ => {
                let mut latency = Latency::default();
                latency.record(ns);
                self.seconds.insert(at.map_or(0, |i| i + 1), (second, latency));
            }
        }
        let newest = second.max(newest.unwrap_or(0));
        while self.seconds.front().is_some_and(|(s, _)| *s + KEPT < newest) {
            if let Some((_, old)) = self.seconds.pop_front() {
                self.past.take_out(&old);
            }
        }
    }

    /// Everything since the statistics began.
    pub fn all(&self) -> Latency {
        let mut all = self.ended.clone();
        if let Some((_, newest)) = self.seconds.back() {
            all.merge(newest);
        }
        all
    }

    /// How many there were since the statistics began.
    pub fn count(&self) -> u64 {
        self.ended.count() + self.seconds.back().map_or(0, |(_, newest)| newest.count())
    }

    /// The value in ns that a share `q` (0 to 1) of all since the statistics began does not exceed, to within 1/1024.
    pub fn quantile(&self, q: f64) -> Option<u64> {
        let newest = self.seconds.back().map(|(_, newest)| newest);
        newest.map_or_else(|| self.ended.quantile(q), |newest| Latency::quantile_of([&self.ended, newest], q))
    }

    /// What ended within `span` before `now`, to the second.
    pub fn within(&self, span: Span, now: u64) -> Latency {
        let seconds = match span {
            Span::All => return self.all(),
            Span::Ten => 10,
            Span::Sixty => KEPT,
        };
        let oldest = (now / SECOND).saturating_sub(seconds - 1);
        let gone = self.seconds.partition_point(|(s, _)| *s < oldest);
        let (gone, within) = (self.seconds.range(..gone), self.seconds.range(gone..));
        let mut sum = Latency::default();
        if gone.len() < within.len() {
            // Fewer to take out of the sum than to add up.
            sum.clone_from(&self.past);
            if let Some((_, newest)) = self.seconds.back() {
                sum.merge(newest);
            }
            gone.for_each(|(_, latency)| sum.take_out(latency));
            let bounds = within.filter_map(|(_, l)| l.min().zip(l.max()));
            sum.set_bounds(bounds.fold((u64::MAX, 0), |(min, max), (a, b)| (min.min(a), max.max(b))));
        } else {
            within.for_each(|(_, latency)| sum.merge(latency));
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

    /// By adding up or by taking out, the window is the same.
    #[test]
    fn a_window_is_what_fell_into_it() {
        let mut w = Windowed::default();
        let mut told = Vec::new();
        for i in 0..20_000u64 {
            // Mostly forward, at times late.
            let t = i * 7_000_000 - (i % 5) * (i % 11) * 100_000_000u64.min(i * 1000);
            let ns = i * i % 100_003;
            w.record(t, ns);
            told.push((t / SECOND, ns));
        }
        let newest = told.iter().map(|(s, _)| *s).max().unwrap();
        let mut all = Latency::default();
        told.iter().for_each(|(_, ns)| all.record(*ns));
        assert_eq!(w.all().figures(), all.figures());
        assert_eq!([0.5, 0.99].map(|q| w.quantile(q)), [0.5, 0.99].map(|q| all.quantile(q)));
        for (span, seconds) in [(Span::Ten, 10), (Span::Sixty, 60)] {
            for now in [newest, newest + 5, newest + 45, newest + 100] {
                let mut plain = Latency::default();
                told.iter().filter(|(s, _)| *s + seconds > now).for_each(|(_, ns)| plain.record(*ns));
                let window = w.within(span, now * SECOND);
                assert_eq!(window.figures(), plain.figures(), "{span:?} {now}");
                assert!(window.counts().eq(plain.counts()));
            }
        }
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
