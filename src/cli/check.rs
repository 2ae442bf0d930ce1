//! Options of `flockmon check`.

use super::whole;
use crate::dist::parse_positive;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

const CHECK_HELP: &str = "\
Checks flock(2), POSIX record locks and open-file-description locks (fcntl(2)): one verdict per
promise of their manual pages, and how fast they are beside a tmpfs. It takes about 5 s; with a
longer --duration it sees more.

Examples:
  flockmon check /mnt/share                 before you trust a lock file there
  flockmon check -o json . > verdicts.json  for scripts; see flockmon schema

Exit status: 0 nothing is broken; 1 failed while running, was interrupted, or no kind of lock is
supported there; 2 wrong use or bad input; 3 a promise is broken.";

/// Options of `flockmon check`.
#[derive(Debug, Clone, Args)]
#[command(after_help = CHECK_HELP)]
pub struct CheckArgs {
    /// A folder on the file system in question; one private file is made in it, and removed at the end
    pub dir: PathBuf,

    /// What to print: text | json
    #[arg(short, long, value_name = "HOW", default_value = "text", hide_possible_values = true)]
    pub output: CheckOutput,

    /// How long each round of contention lasts
    #[arg(short, long, value_name = "DUR", default_value = "250ms", value_parser = parse_positive, allow_hyphen_values = true)]
    pub duration: u64,

    /// How many processes contend in a round, 2 to 256
    #[arg(short, long, value_name = "N", default_value_t = 4, value_parser = whole::<u32>(2..=256))]
    pub workers: u32,
}

/// How the verdicts are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CheckOutput {
    /// A line a verdict, as it becomes known.
    Text,
    /// One JSON object at the end.
    Json,
}
