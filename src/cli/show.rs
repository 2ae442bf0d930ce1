//! Options about what is printed and how: those of every kind of run.

use super::theme::{ThemeChoice, ThemeParser};
use super::whole;
use crate::event::thresholds::{Setting, THRESHOLDS, ThresholdError, Thresholds};
use crate::tui::Look;
use clap::builder::{PossibleValue, TypedValueParser};
use clap::{Arg, Args, Command, ValueEnum};
use std::ffi::OsStr;
use std::path::PathBuf;
use std::str::FromStr;

/// Options about what is printed and how.
#[derive(Debug, Clone, Args)]
pub struct ShowArgs {
    /// What to print: tui (the screen) | log (one line per event, then the summary) | jsonl (one JSON object per event) |
    /// summary (figures at the end) | json (the same as one object) | perfetto (a trace) [default: tui where stdout is a
    /// terminal, else log]
    #[arg(short, long, value_name = "HOW", hide_possible_values = true)]
    pub output: Option<Output>,

    /// At the end, write wait.hgrm, hold.hgrm and handoff.hgrm into DIR, for HdrHistogram plotters
    #[arg(long, value_name = "DIR")]
    pub hgrm: Option<PathBuf>,

    /// Overwrite files that are there (--record, --hgrm, --log)
    #[arg(long)]
    pub force: bool,

    /// Colours: auto (the terminal's own 16) | dark | light | safe (for the colour-blind) | mono | a file
    /// (its name has a / or ends in .toml); see flockmon theme
    #[arg(long, value_name = "NAME", default_value = "auto", value_parser = ThemeParser, hide_possible_values = true)]
    pub theme: ThemeChoice,

    /// Draw with ASCII characters only
    #[arg(long)]
    pub ascii: bool,

    /// No colours, as with a non-empty NO_COLOR in the environment
    #[arg(long)]
    pub no_color: bool,

    /// Set a threshold that decides when a finding is said; may be given again; --threshold list names them all
    #[arg(long, value_name = "NAME=VALUE", value_parser = ThresholdParser, hide_possible_values = true)]
    pub threshold: Vec<ThresholdArg>,

    /// Frames a second at most, 1 to 60
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = whole::<u32>(1..=60))]
    pub fps: u32,

    /// Read FILE instead of flockmon/config.toml in $XDG_CONFIG_HOME, else in ~/.config
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Read no configuration file
    #[arg(long, conflicts_with = "config")]
    pub no_config: bool,

    /// What the screen is made of: theme, characters and keys, once configuration has been read.
    #[arg(skip)]
    pub look: Box<Look>,
}

impl ShowArgs {
    /// Whether the table of thresholds is asked for.
    pub fn lists_thresholds(&self) -> bool {
        self.threshold.iter().any(|t| matches!(t, ThresholdArg::List))
    }

    /// `thresholds`, with those changed that the command line sets.
    pub fn thresholds(&self, mut thresholds: Thresholds) -> Thresholds {
        for arg in &self.threshold {
            if let ThresholdArg::Set(setting) = arg {
                thresholds.apply(*setting);
            }
        }
        thresholds
    }
}

/// What is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// The screen.
    Tui,
    /// A line an event, and a summary at the end.
    Log,
    /// A line of JSON an event; see `flockmon schema`.
    Jsonl,
    /// One JSON object at the end.
    Json,
    /// A summary at the end.
    Summary,
    /// A trace for ui.perfetto.dev.
    Perfetto,
}

/// A threshold to set, or the wish to see them all.
#[derive(Debug, Clone, Copy)]
pub enum ThresholdArg {
    /// Print the table and end.
    List,
    /// Set this one.
    Set(Setting),
}

impl FromStr for ThresholdArg {
    type Err = ThresholdError;

    fn from_str(text: &str) -> Result<Self, ThresholdError> {
        if text == "list" { Ok(Self::List) } else { text.parse().map(Self::Set) }
    }
}

/// Reads a [`ThresholdArg`] and tells shells the names that they can complete.
#[derive(Clone)]
struct ThresholdParser;

impl TypedValueParser for ThresholdParser {
    type Value = ThresholdArg;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<ThresholdArg, clap::Error> {
        TypedValueParser::parse_ref(&ThresholdArg::from_str, command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let names = THRESHOLDS.iter().map(|t| PossibleValue::new(format!("{}=", t.name)).help(t.about));
        Some(Box::new(std::iter::once(PossibleValue::new("list").help("print the table and end")).chain(names)))
    }
}
