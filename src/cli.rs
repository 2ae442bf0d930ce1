//! The command line: types, and their validation before anything is touched.

use crate::dist::{Dist, DurationError, parse_positive, plain};
use crate::document::suggestion;
use crate::event::thresholds::{Setting, ThresholdError, Thresholds};
use crate::event::{How, LockKind};
use crate::lab::scene::{Scene, SceneArg};
use crate::tui::Look;
use clap::builder::{PossibleValue, TypedValueParser};
use clap::{Arg, Args, Command, Parser, Subcommand, ValueEnum};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::{fmt, str::FromStr};

/// See who holds a file lock, who waits for it, how long, and whether it is fair.
///
/// Forks N worker processes that contend on LOCKFILE and shows, live, who holds the lock, how long
/// each worker waits, and how waits are spread. Without options: ten workers, each looping
/// open the file, lock it, work 1 s, close it. Without LOCKFILE a private temporary file is used;
/// an existing file is only locked, never changed.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "flockmon",
    version,
    max_term_width = 100,
    after_help = AFTER_HELP,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true
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
    /// Print two runs side by side, a row a figure, with the ratio
    Compare {
        /// A summary (--output json) or a recording (--record)
        a: PathBuf,
        /// Another one
        b: PathBuf,
    },
    /// Find out whether the locks of a file system can be trusted, a verdict a promise
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

/// Options of `flockmon watch`.
#[derive(Debug, Clone, Args)]
#[command(after_help = WATCH_HELP)]
pub struct WatchArgs {
    /// Files whose locks to watch [default: every lock of the system, in a list]
    pub lockfiles: Vec<PathBuf>,

    /// Watch the locks that this process holds or waits for; may be given again
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(i32).range(1..), conflicts_with = "lockfiles")]
    pub pid: Vec<i32>,

    /// How to see: exact (the kernel's tracepoints; needs privilege) | sampled (/proc/locks, read again and again)
    /// [default: exact where allowed]
    #[arg(long, value_name = "HOW", hide_possible_values = true)]
    pub how: Option<How>,

    /// Time between two readings of /proc/locks when sampled, 1ms to 1m [default: 100ms]
    #[arg(long, value_name = "DUR", value_parser = parse_interval)]
    pub interval: Option<u64>,

    /// Take the keys away that signal processes
    #[arg(long)]
    pub read_only: bool,

    /// When it ends, and what is kept of it.
    #[command(flatten)]
    pub run: RunArgs,

    /// How to show it.
    #[command(flatten)]
    pub show: ShowArgs,
}

impl WatchArgs {
    /// Time between two readings, in ns.
    pub fn interval_ns(&self) -> u64 {
        self.interval.unwrap_or(100_000_000)
    }
}

fn parse_interval(text: &str) -> Result<u64, String> {
    match parse_positive(text) {
        Ok(ns) if (1_000_000..=60_000_000_000).contains(&ns) => Ok(ns),
        Ok(_) => Err(format!("'{text}' is no interval to read in: use 1ms to 1m, such as 100ms")),
        Err(error) => Err(error.to_string()),
    }
}

const WATCH_HELP: &str = "\
Examples:
  flockmon watch                              every lock of the system, the busiest first; enter opens one
  flockmon watch /var/lib/dpkg/lock-frontend  one lock: who holds it, who waits, how long
  flockmon watch --pid 4711                   the locks that a process holds or waits for
  flockmon watch -d 60s -o json /run/x.lock   figures of a minute, for scripts

Exact seeing needs CAP_PERFMON and CAP_DAC_READ_SEARCH (or root) and tracefs:
  sudo mount -t tracefs tracefs /sys/kernel/tracing
Anyone else sees what /proc/locks shows each time it is read; the screen says so.
No lock is ever taken, and no process is signalled before you have confirmed it.";

/// Options of `flockmon check`.
#[derive(Debug, Clone, Args)]
#[command(after_help = CHECK_HELP)]
pub struct CheckArgs {
    /// A folder on the file system in question; one private file is made in it, and removed in the end
    pub dir: PathBuf,

    /// What to print: text | json
    #[arg(short, long, value_name = "HOW", default_value = "text", hide_possible_values = true)]
    pub output: CheckOutput,

    /// How long each round of contention lasts
    #[arg(short, long, value_name = "DUR", default_value = "250ms", value_parser = parse_positive, allow_hyphen_values = true)]
    pub duration: u64,

    /// How many processes contend in a round, 2 to 256
    #[arg(short, long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(2..=256))]
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

const CHECK_HELP: &str = "\
Checks flock(2), POSIX record locks and open-file-description locks (fcntl(2)): a verdict a promise that the
manual makes, and how fast it is beside a tmpfs. The three take about 5 s; a longer --duration sees more.

Examples:
  flockmon check /mnt/share                 before you trust a lock file there
  flockmon check -o json . > verdicts.json  for scripts; see flockmon schema

Exit status: 0 all good; 1 failed while running, or no kind of lock is supported there; 2 bad input;
3 mutual exclusion was violated or another promise is broken.";

/// Options of `flockmon replay`.
#[derive(Debug, Clone, Args)]
#[command(after_help = REPLAY_HELP)]
pub struct ReplayArgs {
    /// The recording; - is standard input
    pub file: PathBuf,

    /// Recorded time a second: 1 | 0.5 | 4 | max [default: 1 on the screen, else max]
    #[arg(long, value_name = "N")]
    pub speed: Option<Speed>,

    /// How to show it.
    #[command(flatten)]
    pub show: ShowArgs,
}

const REPLAY_HELP: &str = "\
Examples:
  flockmon replay run.jsonl                              watch it again
  flockmon replay --output json run.jsonl                the summary that the live run printed
  ssh host flockmon --output jsonl | flockmon replay -   watch a lab on another machine";

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

/// When a run ends, and what is kept of it.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// End after this time
    #[arg(short, long, value_name = "DUR", value_parser = parse_positive, allow_hyphen_values = true)]
    pub duration: Option<u64>,

    /// End after N acquisitions in all
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub acquisitions: Option<u64>,

    /// Also write every event to FILE, as JSON lines; flockmon replay FILE shows it again
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
}

/// Options about what is printed and how.
#[derive(Debug, Clone, Args)]
pub struct ShowArgs {
    /// What to print: tui | log | jsonl | json | summary | perfetto [default: tui where stdout is a terminal, else log]
    #[arg(short, long, value_name = "HOW", hide_possible_values = true)]
    pub output: Option<Output>,

    /// In the end, write wait.hgrm, hold.hgrm and handoff.hgrm into DIR, for HdrHistogram plotters
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

    /// No colours; so does a non-empty NO_COLOR in the environment
    #[arg(long)]
    pub no_color: bool,

    /// From when on a finding is said: NAME=VALUE, as often as needed; list names them all
    #[arg(long, value_name = "NAME=VALUE")]
    pub threshold: Vec<ThresholdArg>,

    /// Frames a second at most, 1 to 60
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=60))]
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

/// Options of the lab.
#[derive(Debug, Clone, Args)]
pub struct LabArgs {
    /// The file to lock; made if it is missing, never changed or removed [default: a temporary file]
    pub lockfile: Option<PathBuf>,

    /// Run this while holding the lock, instead of holding it for a time; its output goes into logs
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,

    /// How many worker processes contend, 1 to 10000
    #[arg(short, long, value_name = "N", default_value_t = 10, overrides_with = "workers", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub workers: u32,

    /// How long a worker holds the lock: 1s | 500ms..2s (uniform) | exp:1s (exponential) | 0
    #[arg(
        long,
        value_name = "DIST",
        default_value = "1s",
        overrides_with = "hold",
        allow_hyphen_values = true,
        conflicts_with = "command"
    )]
    pub hold: Dist,

    /// Time between a release and the next attempt, written like --hold
    #[arg(long, value_name = "DIST", default_value = "0", overrides_with = "think", allow_hyphen_values = true)]
    pub think: Dist,

    /// Which kind of lock: flock(2), fcntl(2) record lock, or fcntl(2) open-file-description lock
    #[arg(long, value_name = "KIND", default_value = "flock", overrides_with = "lock")]
    pub lock: LockKind,

    /// Share of acquisitions that are shared (read) locks, 0 to 100
    #[arg(long, value_name = "PERCENT", default_value_t = 0, overrides_with = "shared", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub shared: u8,

    /// How to wait: block | poll:DUR (non-blocking tries, DUR apart) | timeout:DUR (give up after DUR)
    #[arg(long, value_name = "HOW", default_value = "block", overrides_with = "acquire")]
    pub acquire: Acquire,

    /// Open the file once and release with an unlock, instead of opening and closing each time
    #[arg(long, overrides_with = "keep_open")]
    pub keep_open: bool,

    /// Whether a worker that ends is started again: always | never
    #[arg(long, value_name = "WHEN", default_value = "always", overrides_with = "restart")]
    pub restart: Restart,

    /// A preset that shows one thing; options given beside it override it; list names them all
    #[arg(long, value_name = "NAME", hide_possible_values = true, conflicts_with = "command")]
    pub scene: Option<SceneArg>,
    /// Keep what COMMAND writes, all of it, in DIR/worker-N.log [default: the last 64 KiB, until the end]
    #[arg(long, value_name = "DIR", requires = "command")]
    pub log: Option<PathBuf>,

    /// End at the first run of COMMAND that does not end with status 0, with exit status 1
    #[arg(long, requires = "command")]
    pub stop_on_failure: bool,

    /// The random choices repeat for the same N [default: another each run]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// When it ends, and what is kept of it.
    #[command(flatten)]
    pub run: RunArgs,

    /// Print the settings in force as a configuration file, and end
    #[arg(long)]
    pub print_config: bool,

    /// How to show it.
    #[command(flatten)]
    pub show: ShowArgs,
}

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
under --stop-on-failure; 2 wrong use or bad input; 3 mutual exclusion was violated.";

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

impl LabArgs {
    /// The scene asked for.
    pub fn scene(&self) -> Option<&'static Scene> {
        match self.scene {
            Some(SceneArg::Run(scene)) => Some(scene),
            _ => None,
        }
    }
}

/// Puts the options of a scene before those of the user, which therefore override them.
pub fn expand_scene(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut args: Vec<OsString> = args.into_iter().collect();
    // What is wrong with them is said when they are read in earnest.
    let scene = Cli::try_parse_from(&args).ok().filter(|cli| cli.sub.is_none()).and_then(|cli| cli.lab.scene());
    if let Some(scene) = scene {
        args.splice(1..1, scene.options.iter().map(OsString::from));
    }
    args
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

/// How a worker waits for the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acquire {
    /// In the kernel's queue.
    Block,
    /// Non-blocking tries, this many ns apart.
    Poll(u64),
    /// In the kernel's queue, for at most this many ns.
    Timeout(u64),
}

impl FromStr for Acquire {
    type Err = AcquireError;

    fn from_str(text: &str) -> Result<Self, AcquireError> {
        match text.split_once(':') {
            None if text == "block" => Ok(Self::Block),
            Some(("poll", every)) => Ok(Self::Poll(parse_positive(every)?)),
            Some(("timeout", after)) => Ok(Self::Timeout(parse_positive(after)?)),
            _ => Err(AcquireError::Unknown(text.into())),
        }
    }
}

impl fmt::Display for Acquire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Block => f.write_str("block"),
            Self::Poll(every) => write!(f, "poll:{}", plain(*every)),
            Self::Timeout(after) => write!(f, "timeout:{}", plain(*after)),
        }
    }
}

/// What is wrong with `--acquire`.
#[derive(Debug, thiserror::Error)]
pub enum AcquireError {
    /// Not one of the three words.
    #[error("'{0}' is not a way to wait: use block, poll:50ms or timeout:2s")]
    Unknown(String),
    /// The duration in it is wrong.
    #[error(transparent)]
    Duration(#[from] DurationError),
}

/// Whether workers that end come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Restart {
    /// Always, as containers do under `restart: always`.
    Always,
    /// Never: the run ends when the last one has ended.
    Never,
}

impl fmt::Display for Restart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Always => "always",
            Self::Never => "never",
        })
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

/// Names of the built-in themes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ThemeName {
    /// The 16 colours of the terminal.
    Auto,
    /// For dark backgrounds.
    Dark,
    /// For light backgrounds.
    Light,
    /// For the colour-blind, on black.
    Safe,
    /// No colours, only bold and reverse.
    Mono,
}

impl ThemeName {
    /// As on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Dark => "dark",
            Self::Light => "light",
            Self::Safe => "safe",
            Self::Mono => "mono",
        }
    }
}

/// The theme asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ThemeChoice {
    /// One of ours.
    BuiltIn(ThemeName),
    /// One of the user's.
    File(PathBuf),
}

impl FromStr for ThemeChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains('/') || text.ends_with(".toml") {
            return Ok(Self::File(text.into()));
        }
        ThemeName::from_str(text, false).map(Self::BuiltIn).map_err(|_| {
            let names = ThemeName::value_variants().iter().map(|n| n.as_str());
            format!(
                "there is no theme '{text}', and the name of a file has a / or ends in .toml; {}",
                suggestion(text, names)
            )
        })
    }
}

/// Reads a [`ThemeChoice`] and tells shells the names that they can complete.
#[derive(Clone)]
struct ThemeParser;

impl TypedValueParser for ThemeParser {
    type Value = ThemeChoice;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<ThemeChoice, clap::Error> {
        TypedValueParser::parse_ref(&ThemeChoice::from_str, command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(ThemeName::value_variants().iter().filter_map(ValueEnum::to_possible_value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn defaults_are_the_scene() {
        let cli = Cli::parse_from(["flockmon"]).lab;
        assert_eq!((cli.workers, cli.hold, cli.think), (10, Dist::Fixed(1_000_000_000), Dist::Fixed(0)));
        assert_eq!((cli.acquire, cli.restart, cli.keep_open), (Acquire::Block, Restart::Always, false));
    }

    #[test]
    fn options_override_their_scene() {
        let parse = |args: &[&str]| {
            let args = std::iter::once("flockmon").chain(args.iter().copied()).map(OsString::from);
            Cli::parse_from(expand_scene(args)).lab
        };
        let plain = parse(&["--scene", "courteous"]);
        assert_eq!((plain.hold, plain.think, plain.keep_open), (Dist::Fixed(50_000_000), Dist::Fixed(1_000_000), true));
        assert_eq!(plain.scene().unwrap().name, "courteous");
        let mine = parse(&["--hold", "2s", "--scene", "courteous", "x"]);
        assert_eq!((mine.hold, mine.think), (Dist::Fixed(2_000_000_000), Dist::Fixed(1_000_000)));
        assert_eq!(parse(&["--scene", "deadlock", "-w", "2"]).workers, 2);
        assert_eq!(parse(&["--workers", "2"]).workers, 2);
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
