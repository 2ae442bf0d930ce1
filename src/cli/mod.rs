//! The command line: types, and their validation before anything is touched. No I/O.
//!
//! This file has the program and its subcommands. Beside it, options by what they are about: `lab.rs`, `watch.rs`,
//! `replay.rs`, `check.rs`; `show.rs`, what is printed and how, and `theme.rs`, in which colours.

mod check;
mod lab;
mod replay;
mod show;
mod theme;
mod watch;

pub use check::{CheckArgs, CheckOutput};
pub use lab::{LabArgs, expand_scene};
pub use replay::{ReplayArgs, Speed};
pub use show::{Output, ShowArgs, ThresholdArg};
pub use theme::{ThemeChoice, ThemeName};
pub use watch::WatchArgs;

use crate::dist::parse_positive;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use std::ops::RangeInclusive;
use std::path::PathBuf;

const AFTER_HELP: &str = "\
Examples:
  flockmon                                  ten workers on a temporary file, as in a busy cron table
  flockmon --workers 3 --hold 50ms /tmp/x   three workers on a file of yours
  flockmon --keep-open --think 1ms          one millisecond of think time: strict turns
  flockmon --scene readers                  readers starve a writer; --scene list names more
  flockmon --output summary --duration 10s  no screen, figures at the end
  flockmon --record run.jsonl               keep the run; flockmon replay run.jsonl shows it again
  flockmon -w 10 /tmp/x -- make deploy      each worker runs this while it holds the lock

Press ? on the screen for the keys.

Exit status: 0 fine, though runs of COMMAND may have failed; 1 failed while running, or COMMAND did
under --stop-on-failure; 2 wrong use or bad input; 3 mutual exclusion was violated.

SIGINT, SIGTERM, SIGHUP and SIGQUIT end a run as q does: with its report, and the same status.";

/// See who holds a file lock, who waits for it, how long, and whether it is fair.
///
/// Forks N worker processes that contend on LOCKFILE and shows, live, who holds the lock, how long
/// each worker waits, and how waits are spread. Without options: ten workers, each of which opens the
/// file, locks it, works 1 s and closes it, again and again. Without LOCKFILE a private temporary file
/// is used; an existing file is only locked, never changed.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "flockmon",
    version,
    max_term_width = 100,
    after_help = AFTER_HELP,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    args_override_self = true
)]
pub struct Cli {
    /// Something else than a lab.
    #[command(subcommand)]
    pub sub: Option<Sub>,

    /// The lab.
    #[command(flatten)]
    pub lab: LabArgs,
}

/// What else flockmon does.
#[derive(Debug, Clone, Subcommand)]
pub enum Sub {
    /// Show a recording on the same screen, or compute reports from it
    Replay(ReplayArgs),
    /// Show locks that other programs use, on the same screen
    Watch(WatchArgs),
    /// Print two runs side by side, one row per figure, with the ratio
    Compare {
        /// A summary (--output json) or a recording (--record)
        a: PathBuf,
        /// Another one
        b: PathBuf,
    },
    /// Find out whether the locks of a file system can be trusted, one verdict per promise
    Check(CheckArgs),
    /// Print the JSON Schema of recordings, summaries and verdicts
    Schema,
    /// Print a built-in theme as a file to start from, for --theme FILE; without NAME, list them
    Theme {
        /// auto | dark | light | safe | mono
        #[arg(hide_possible_values = true)]
        name: Option<ThemeName>,
    },
    /// Print completions for a shell: bash | zsh | fish
    Completions {
        /// bash | zsh | fish
        #[arg(hide_possible_values = true)]
        shell: Shell,
    },
    /// Print the manual page; flockmon man | man -l -
    Man,
}

/// A shell that completes our options.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// The subcommand that `word` was meant for, where one or two letters are wrong.
pub fn subcommand_like(word: &str) -> Option<String> {
    let command = Cli::command();
    let names = command.get_subcommands().map(|sub| sub.get_name().to_owned());
    // In a short word two letters are most of it.
    let near = |name: &String| strsim::damerau_levenshtein(word, name) <= if name.len() > 4 { 2 } else { 1 };
    names.filter(near).min_by_key(|name| strsim::damerau_levenshtein(word, name))
}

/// Reads a whole number of that range.
pub(crate) fn whole<N: TryFrom<u64>>(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<N, String> + Clone {
    move |text| {
        let number = text.trim().parse().ok().filter(|n| range.contains(n)).and_then(|n| N::try_from(n).ok());
        number.ok_or_else(|| match (*range.start(), *range.end()) {
            (0, u64::MAX) => format!("'{text}' is no whole number: write one such as 42"),
            (least, u64::MAX) => format!("'{text}' is no whole number from {least} on: write one such as 42"),
            (least, most) => format!("'{text}' is no whole number from {least} to {most}"),
        })
    }
}

/// When a run ends, and what is kept of it.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// End this long after the start; pauses count
    #[arg(short, long, value_name = "DUR", value_parser = parse_positive, allow_hyphen_values = true)]
    pub duration: Option<u64>,

    /// End after N acquisitions in all
    #[arg(short = 'n', long, value_name = "N", value_parser = whole::<u64>(1..=u64::MAX))]
    pub acquisitions: Option<u64>,

    /// Also write every event to FILE, as JSON lines; flockmon replay FILE shows it again
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_last_of_several_counts() {
        let cli =
            Cli::parse_from(["flockmon", "-d", "1s", "-d", "2s", "-n", "3", "-n", "4", "-o", "log", "-o", "json"]);
        let show = cli.lab.show;
        assert_eq!((cli.lab.run.duration, cli.lab.run.acquisitions), (Some(2_000_000_000), Some(4)));
        assert_eq!(show.output, Some(Output::Json));
        let cli =
            Cli::parse_from(["flockmon", "watch", "--interval", "1s", "--interval", "2s", "--pid", "1", "--pid", "2"]);
        let Some(Sub::Watch(args)) = cli.sub else { panic!("no watch") };
        assert_eq!((args.interval, args.pid), (Some(2_000_000_000), vec![1, 2]));
    }

    #[test]
    fn a_mistyped_subcommand_is_known() {
        for (word, meant) in [("wacth", "watch"), ("repaly", "replay"), ("chekc", "check"), ("mann", "man")] {
            assert_eq!(subcommand_like(word).as_deref(), Some(meant));
        }
        for word in ["lock", "x", "jobs.lock", "a", "run", "watching-it"] {
            assert_eq!(subcommand_like(word), None, "{word}");
        }
    }

    #[test]
    fn bad_input_is_refused() {
        for args in [
            &["--workers", "0"][..],
            &["--workers", "10001"],
            &["--hold", "-1s"],
            &["--hold", "soon"],
            &["--shared", "101"],
            &["--duration", "0"],
            &["--acquisitions", "0"],
            &["--acquire", "poll:0"],
            &["--acquire", "hope"],
            &["--fps", "0"],
            &["--theme", "drak"],
            &["--config", "x", "--no-config"],
            &["--threshold", "starvation-wiat=5s"],
            &["--threshold", "convoy-time=soon"],
            &["--threshold"],
            &["--scene", "greed"],
            &["--scene"],
            &["--nonsense"],
            &["a", "b"],
            &["replay"],
            &["--hold", "1s", "--", "true"],
            &["--log", "logs"],
            &["--stop-on-failure"],
            &["replay", "x", "--speed", "0"],
            &["replay", "x", "--speed", "NaN"],
            &["compare", "x"],
            &["check"],
            &["check", ".", "--workers", "1"],
            &["check", ".", "--duration", "0"],
            &["check", ".", "--output", "log"],
        ] {
            let parsed = Cli::try_parse_from(std::iter::once("flockmon").chain(args.iter().copied()));
            assert_eq!(parsed.map(|_| ()).map_err(|e| e.exit_code()), Err(2), "{args:?}");
        }
    }
}
