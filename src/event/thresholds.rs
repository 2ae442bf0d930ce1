//! From when on something is said: each threshold of each finding, in one place. They stand in the vocabulary, as a
//! recording says with which it was made. No I/O.

use crate::dist::{LONGEST_NS, parse_duration, plain};
use crate::document::nearest;
use crate::event::FindingKind;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::{fmt, str::FromStr};
use thiserror::Error;

/// What a threshold counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Time, in ns.
    Time,
    /// A plain number.
    Count,
}

/// One threshold: its name, what it means, what it may be.
#[derive(Clone, Debug)]
pub struct Threshold {
    /// As written in `--threshold NAME=VALUE`.
    pub name: &'static str,
    /// What it counts.
    pub unit: Unit,
    /// The value that holds unless another is set.
    pub default: u64,
    /// The values that make sense.
    pub range: RangeInclusive<u64>,
    /// The finding that it belongs to.
    pub kind: FindingKind,
    /// What it means.
    pub about: &'static str,
    get: fn(&Thresholds) -> u64,
    put: fn(&mut Thresholds, u64),
}

/// So many of the latest turns the fold knows for each actor that there is.
pub const ROUNDS_KNOWN: u64 = 16;

/// The largest plain number.
const MOST: u64 = 1_000_000;
const MS: u64 = 1_000_000;
const S: u64 = 1_000 * MS;

macro_rules! thresholds {
    ($($field:ident $name:literal $unit:ident $default:expr, $range:expr, $kind:ident, $about:literal;)*) => {
        /// From when on each finding is said. Times are in ns, the rest are plain numbers.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Thresholds {
            $(#[doc = $about] pub $field: u64,)*
        }

        impl Default for Thresholds {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        /// All of them, in the order in which they are listed.
        pub const THRESHOLDS: &[Threshold] = &[$(Threshold {
            name: $name,
            unit: Unit::$unit,
            default: $default,
            range: $range,
            kind: FindingKind::$kind,
            about: $about,
            get: |t| t.$field,
            put: |t, value| t.$field = value,
        },)*];
    };
}

thresholds! {
    deadlock_time "deadlock-time" Time 300 * MS, 0..=LONGEST_NS, Deadlock,
        "each wait of the circle is this old: a real one does not pass (20 times, where threads are not told apart)";
    crash_loop_deaths "crash-loop-deaths" Count 3, 1..=MOST, CrashLoop,
        "a worker died so often in a row without the lock";
    dead_time "dead-time" Time S, 0..=LONGEST_NS, HolderGone,
        "the holder has been dead, or a zombie, for so long, and its lock is still taken";
    uninterruptible_time "uninterruptible-time" Time 5 * S, 0..=LONGEST_NS, HolderUninterruptible,
        "the holder has slept in the kernel for so long while others wait";
    inherited_time "inherited-time" Time 2 * S, 0..=LONGEST_NS, Inherited,
        "another process than the one that took it has kept the lock for so long while others wait";
    outside_time "outside-time" Time 2 * S, 0..=LONGEST_NS, HeldOutside,
        "in a lab, workers have queued for so long while none of them held the lock";
    long_hold_factor "long-hold-factor" Count 5, 1..=MOST, LongHold,
        "a hold lasts so many times what 99 of 100 holds of that lock lasted";
    long_hold_time "long-hold-time" Time S, 0..=LONGEST_NS, LongHold,
        "and at least so long";
    long_hold_samples "long-hold-samples" Count 30, 1..=MOST, LongHold,
        "and what is usual is known from so many holds";
    long_hold_unknown "long-hold-unknown" Time 60 * S, 0..=LONGEST_NS, LongHold,
        "or, in a watch as long as what is usual is not known, it lasts so long while others wait";
    starvation_wait "starvation-wait" Time 2 * S, 0..=LONGEST_NS, Starvation,
        "shorter waits are no starvation (nor poll_starvation)";
    starvation_rounds "starvation-rounds" Count 4, 1..=ROUNDS_KNOWN, Starvation,
        "everyone else came later and was served first so many times over";
    starvation_streak "starvation-streak" Count 100, 2..=MOST, Starvation,
        "or one holder took the lock again at once so many times in a row";
    failed_runs "failed-runs" Count 1, 1..=MOST, FailedRuns,
        "so many runs of COMMAND failed";
    convoy_time "convoy-time" Time 60 * S, 0..=LONGEST_NS, Convoy,
        "nobody has found the lock free for so long";
    convoy_turns "convoy-turns" Count 10, 1..=MOST, Convoy,
        "nor in so many acquisitions";
    lost_events "lost-events" Count 1, 1..=MOST, Dropped,
        "so many events were lost";
}

/// What is wrong with a threshold that was given.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ThresholdError {
    /// There is none of that name.
    #[error("there is no threshold '{name}'; {hint}")]
    Name {
        /// As given.
        name: String,
        /// What it may have been meant for.
        hint: String,
    },
    /// Its value cannot be.
    #[error("'{value}' is no value for the threshold {name}: {why}")]
    Value {
        /// Which threshold.
        name: &'static str,
        /// As given.
        value: String,
        /// What it may be.
        why: String,
    },
    /// Not a name and a value.
    #[error("'{0}' is not NAME=VALUE, such as starvation-wait=5s; --threshold list names them all")]
    Form(String),
}

impl Thresholds {
    /// Sets the one called `name` to what `text` says: a duration such as `5s`, or a number.
    ///
    /// # Errors
    /// There is no such threshold, or it cannot have that value.
    pub fn set(&mut self, name: &str, text: &str) -> Result<(), ThresholdError> {
        let (threshold, value) = parse(name, text)?;
        (threshold.put)(self, value);
        Ok(())
    }

    /// Sets it.
    pub fn apply(&mut self, setting: Setting) {
        (setting.threshold.put)(self, setting.value);
    }

    /// Each that is not as it is by default, and its value as one would write it.
    fn changed(&self) -> BTreeMap<String, String> {
        let changed = THRESHOLDS.iter().filter(|t| (t.get)(self) != t.default);
        changed.map(|t| (t.name.to_owned(), t.value(self))).collect()
    }

    /// Whether all are as they are by default.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Threshold {
    /// What it is among `all`, as one would write it.
    pub fn value(&self, all: &Thresholds) -> String {
        self.unit.written((self.get)(all))
    }
}

impl Unit {
    fn written(self, value: u64) -> String {
        match self {
            Self::Time => plain(value),
            Self::Count => value.to_string(),
        }
    }
}

fn parse(name: &str, text: &str) -> Result<(&'static Threshold, u64), ThresholdError> {
    let threshold = THRESHOLDS.iter().find(|t| t.name == name);
    let threshold = threshold.ok_or_else(|| ThresholdError::Name { name: name.into(), hint: hint(name) })?;
    let wrong = |why: String| ThresholdError::Value { name: threshold.name, value: text.into(), why };
    let value = match threshold.unit {
        Unit::Time => parse_duration(text).map_err(|e| wrong(e.to_string()))?,
        Unit::Count => {
            text.trim().parse().map_err(|_| wrong(format!("write a number, such as {}", threshold.default)))?
        }
    };
    if !threshold.range.contains(&value) {
        let [least, most] = [threshold.range.start(), threshold.range.end()].map(|n| threshold.unit.written(*n));
        return Err(wrong(format!("it may be from {least} to {most}")));
    }
    Ok((threshold, value))
}

/// The name that was meant, where one is close.
fn hint(name: &str) -> String {
    let longer: Vec<&str> =
        THRESHOLDS.iter().map(|t| t.name).filter(|n| name.len() > 2 && n.starts_with(name)).collect();
    if !longer.is_empty() {
        return format!("did you mean {}?", longer.join(" or "));
    }
    nearest(name, THRESHOLDS.iter().map(|t| t.name))
        .map_or_else(|| "--threshold list names them all".into(), |meant| format!("did you mean {meant}?"))
}

/// A threshold and the value it is to have: `starvation-wait=5s`.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    threshold: &'static Threshold,
    value: u64,
}

impl Setting {
    /// Whether it says what is so anyway.
    pub fn is_default(&self) -> bool {
        self.value == self.threshold.default
    }
}

impl FromStr for Setting {
    type Err = ThresholdError;

    fn from_str(text: &str) -> Result<Self, ThresholdError> {
        let (name, value) = text.split_once('=').ok_or_else(|| ThresholdError::Form(text.into()))?;
        let (threshold, value) = parse(name.trim(), value)?;
        Ok(Self { threshold, value })
    }
}

/// A line for each: name, value by default, finding, meaning.
pub fn list() -> String {
    let mut out = String::new();
    for t in THRESHOLDS {
        let kind = t.kind.as_str();
        out.push_str(&format!("{:<22}{:>6}  {kind}: {}\n", t.name, t.unit.written(t.default), t.about));
    }
    out
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.threshold.name, self.threshold.unit.written(self.value))
    }
}

/// A recording keeps those that are not as they are by default.
impl Serialize for Thresholds {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.changed().serialize(to)
    }
}

impl<'de> Deserialize<'de> for Thresholds {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut all = Self::default();
        for (name, value) in BTreeMap::<String, String>::deserialize(from)? {
            match all.set(&name, &value) {
                // One that another version has: what it found stands in the recording.
                Ok(()) | Err(ThresholdError::Name { .. }) => {}
                Err(error) => return Err(D::Error::custom(error)),
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_can_be_set_and_comes_back() {
        for t in THRESHOLDS {
            let other = t.default + 7;
            assert!(t.range.contains(&t.default) && t.range.contains(&other), "{}", t.name);
            let mut all = Thresholds::default();
            all.apply(format!("{}={}", t.name, t.unit.written(other)).parse().unwrap());
            assert_eq!((t.get)(&all), other, "{}", t.name);
            let json = serde_json::to_string(&all).unwrap();
            assert_eq!(serde_json::from_str::<Thresholds>(&json).unwrap(), all, "{json}");
            assert!(list().contains(t.name));
        }
        assert_eq!(serde_json::to_string(&Thresholds::default()).unwrap(), "{}");
    }

    #[test]
    fn what_cannot_be_is_refused_with_a_hint() {
        let wrong = |text: &str| text.parse::<Setting>().unwrap_err().to_string();
        assert!(wrong("starvation-wiat=5s").contains("did you mean starvation-wait?"));
        assert!(wrong("xyzzy=5s").contains("--threshold list"));
        assert!(wrong("starvation-wait").contains("NAME=VALUE"));
        assert!(wrong("starvation-wait=5").contains("unit"));
        assert!(wrong("starvation-rounds=0").contains("from 1"));
        assert!(wrong("starvation-rounds=often").contains("number"));
    }
}
