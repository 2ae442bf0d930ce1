//! Options of `flockmon replay`.

use super::ShowArgs;
use clap::Args;
use std::path::PathBuf;
use std::str::FromStr;

const REPLAY_HELP: &str = "\
Examples:
  flockmon replay run.jsonl                              watch it again
  flockmon replay --output json run.jsonl                the summary that the live run printed
  ssh host flockmon --output jsonl | flockmon replay -   watch a lab on another machine

Press ? on the screen for the keys.";

/// Options of `flockmon replay`.
#[derive(Debug, Clone, Args)]
#[command(after_help = REPLAY_HELP)]
pub struct ReplayArgs {
    /// The recording; - is standard input
    pub file: PathBuf,

    /// How many times as fast as it was: 0.01 to 1000, or max [default: 1 on the screen, else max]
    #[arg(long, value_name = "N")]
    pub speed: Option<Speed>,

    /// How to show it.
    #[command(flatten)]
    pub show: ShowArgs,
}

/// How fast a recording is shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    /// Recorded time a second of real time.
    Times(f64),
    /// As fast as can be.
    Max,
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Self::Max);
        }
        match text.parse::<f64>() {
            Ok(n) if (0.01..=1000.0).contains(&n) => Ok(Self::Times(n)),
            _ => Err(format!("'{text}' is no speed: use a number from 0.01 to 1000, such as 4, or max")),
        }
    }
}
