//! Durations that a user may give as a distribution: `1s`, `500ms..2s`, `exp:1s`, `0`. Pure: no I/O.

use std::{fmt, str::FromStr};
use thiserror::Error;

/// No duration given by a user may be longer: a year, in ns.
pub const LONGEST_NS: u64 = 366 * 24 * 3600 * 1_000_000_000;

/// What is wrong with a duration.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum DurationError {
    /// Nothing was given.
    #[error("a duration is missing: write one such as 500ms, 1s, 2m or 0")]
    Empty,
    /// No number, or a negative one.
    #[error(
        "'{0}' is not a duration: write a number, not negative, and a unit (ns, us, ms, s, m, h), such as 500ms or 1.5s"
    )]
    Malformed(String),
    /// A number without a unit.
    #[error("'{0}' has no unit: write {0}ms or {0}s")]
    NoUnit(String),
    /// A unit that is none.
    #[error("'{unit}' in '{text}' is not a unit of time: use ns, us, ms, s, m or h")]
    Unit {
        /// The whole text.
        text: String,
        /// The unit in it.
        unit: String,
    },
    /// Longer than [`LONGEST_NS`].
    #[error("'{0}' is too long: a year (8784h) is the most")]
    TooLong(String),
    /// A range that ends before it begins.
    #[error("the range '{0}' ends before it begins: write the shorter duration first")]
    Backwards(String),
    /// Zero where time must pass.
    #[error("zero is not possible here: give a duration longer than 0")]
    Zero,
}

/// Reads a duration such as `1s`, `1.5s`, `500ms`, `20us`, `0`, in ns.
///
/// # Errors
/// Says what is wrong and what to write instead.
pub fn parse_duration(text: &str) -> Result<u64, DurationError> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err(DurationError::Empty);
    }
    let split = trimmed.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(split);
    let value: f64 = number.parse().map_err(|_| DurationError::Malformed(trimmed.into()))?;
    let scale = match unit.trim() {
        "" if value == 0.0 => 1.0,
        "" => return Err(DurationError::NoUnit(trimmed.into())),
        "ns" => 1.0,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1e3,
        "ms" => 1e6,
        "s" | "sec" => 1e9,
        "m" | "min" => 60e9,
        "h" => 3600e9,
        other => return Err(DurationError::Unit { text: trimmed.into(), unit: other.into() }),
    };
    let ns = (value * scale).round();
    if ns > LONGEST_NS as f64 {
        return Err(DurationError::TooLong(trimmed.into()));
    }
    Ok(ns as u64)
}

/// As [`parse_duration`], but zero is refused.
///
/// # Errors
/// Says what is wrong and what to write instead.
pub fn parse_positive(text: &str) -> Result<u64, DurationError> {
    match parse_duration(text)? {
        0 => Err(DurationError::Zero),
        ns => Ok(ns),
    }
}

/// How long something lasts, each time anew. All in ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dist {
    /// Always the same.
    Fixed(u64),
    /// Anything from the first to the second, each as likely.
    Uniform(u64, u64),
    /// Exponential with this mean: mostly short, at times very long.
    Exponential(u64),
}

impl Dist {
    /// The mean in ns.
    pub fn mean(self) -> u64 {
        match self {
            Self::Fixed(ns) | Self::Exponential(ns) => ns,
            Self::Uniform(low, high) => low + (high - low) / 2,
        }
    }

    /// The duration in ns at `u` (0 ≤ u < 1) of the distribution. Calls nothing but arithmetic: it runs in forked children.
    pub fn at(self, u: f64) -> u64 {
        match self {
            Self::Fixed(ns) => ns,
            Self::Uniform(low, high) => low + ((high - low) as f64 * u) as u64,
            Self::Exponential(mean) => (mean as f64 * -(1.0 - u).ln()) as u64,
        }
    }

    /// The same shape with its mean moved one step up or down a ladder of 1, 2, 5, 10 …, 0 included.
    pub fn stepped(self, up: bool) -> Self {
        let mean = self.mean();
        let ladder = || (0..=12u32).flat_map(|p| [1, 2, 5].map(|d| d * 10u64.pow(p))).filter(|ns| *ns >= 10_000);
        let target = if up {
            ladder().find(|ns| *ns > mean).unwrap_or(mean)
        } else {
            ladder().filter(|ns| *ns < mean).max().unwrap_or(0)
        };
        let scale = |ns: u64| if mean == 0 { target } else { (ns as f64 * target as f64 / mean as f64).round() as u64 };
        match self {
            Self::Fixed(_) => Self::Fixed(target),
            Self::Exponential(_) => Self::Exponential(target),
            Self::Uniform(..) if target == 0 || mean == 0 => Self::Fixed(target),
            Self::Uniform(low, high) => Self::Uniform(scale(low), scale(high)),
        }
    }
}

impl FromStr for Dist {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        if let Some(mean) = text.strip_prefix("exp:") {
            return parse_duration(mean).map(Self::Exponential);
        }
        if let Some((low, high)) = text.split_once("..") {
            let (low, high) = (parse_duration(low)?, parse_duration(high)?);
            return if low > high { Err(DurationError::Backwards(text.into())) } else { Ok(Self::Uniform(low, high)) };
        }
        parse_duration(text).map(Self::Fixed)
    }
}

/// A duration in ns as a user would write it: `1s`, `500ms`, `0`.
pub fn plain(ns: u64) -> String {
    let units =
        [(3_600_000_000_000, "h"), (60_000_000_000, "m"), (1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")];
    if ns == 0 {
        return "0".into();
    }
    match units.iter().find(|(unit, _)| ns.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", ns / unit),
        None => format!("{ns}ns"),
    }
}

impl fmt::Display for Dist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(ns) => f.write_str(&plain(*ns)),
            Self::Uniform(low, high) => write!(f, "{}..{}", plain(*low), plain(*high)),
            Self::Exponential(mean) => write!(f, "exp:{}", plain(*mean)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_users_write() {
        for (text, want) in [
            ("1s", Dist::Fixed(1_000_000_000)),
            ("0", Dist::Fixed(0)),
            ("1.5s", Dist::Fixed(1_500_000_000)),
            ("20us", Dist::Fixed(20_000)),
            ("500ms..2s", Dist::Uniform(500_000_000, 2_000_000_000)),
            ("exp:1s", Dist::Exponential(1_000_000_000)),
        ] {
            assert_eq!(text.parse(), Ok(want));
            assert_eq!(want.to_string().parse(), Ok(want));
        }
    }

    #[test]
    fn refuses_the_rest() {
        for text in ["", "s", "-1s", "1", "1x", "2s..1s", "exp:", "1s..", "nan", "inf", "99999999999h", "1..2s", "..."]
        {
            assert!(text.parse::<Dist>().is_err(), "{text}");
        }
        assert_eq!(parse_positive("0s"), Err(DurationError::Zero));
    }

    #[test]
    fn steps_up_and_down_the_ladder() {
        let mut d = Dist::Fixed(0);
        for want in [10_000, 20_000, 50_000, 100_000] {
            d = d.stepped(true);
            assert_eq!(d, Dist::Fixed(want));
        }
        assert_eq!(Dist::Fixed(1_000_000_000).stepped(false), Dist::Fixed(500_000_000));
        assert_eq!(
            Dist::Uniform(500_000_000, 1_500_000_000).stepped(true),
            Dist::Uniform(1_000_000_000, 3_000_000_000)
        );
    }

    proptest! {
        #[test]
        fn stays_within_its_bounds(a in 0..LONGEST_NS, b in 0..LONGEST_NS, u in 0.0f64..1.0, up: bool) {
            let (low, high) = (a.min(b), a.max(b));
            let d = Dist::Uniform(low, high);
            prop_assert!((low..=high).contains(&d.at(u)));
            let _ = d.stepped(up).stepped(up).at(u);
        }

        #[test]
        fn any_text_is_survived(text in ".*") {
            let _ = text.parse::<Dist>();
        }
    }
}
