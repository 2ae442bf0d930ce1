//! Options of the lab.

use super::{Cli, RunArgs, ShowArgs, whole};
use crate::dist::Dist;
use crate::event::LockKind;
use crate::lab::scene::{Scene, SceneArg};
use crate::lab::{Acquire, Config, Restart};
use clap::{Args, FromArgMatches};
use std::ffi::OsString;
use std::path::PathBuf;

/// Options of the lab.
#[derive(Debug, Clone, Args)]
pub struct LabArgs {
    /// The file to lock; made if it is missing, never changed or removed [default: a temporary file]
    pub lockfile: Option<PathBuf>,

    /// Run this while holding the lock, instead of holding it for a time; its output goes into logs, not to the screen
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,

    /// How many worker processes contend, 1 to 10000
    #[arg(short, long, value_name = "N", default_value_t = 10, overrides_with = "workers", value_parser = whole::<u32>(1..=10_000))]
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
    #[arg(long, value_name = "PERCENT", default_value_t = 0, overrides_with = "shared", value_parser = whole::<u8>(0..=100))]
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

    /// A preset that shows one thing; options given beside it override it; --scene list names them all
    #[arg(long, value_name = "NAME", hide_possible_values = true, conflicts_with = "command")]
    pub scene: Option<SceneArg>,
    /// Keep all that COMMAND writes, in DIR/worker-N.log [default: only the last 64 KiB, until the end]
    #[arg(long, value_name = "DIR", requires = "command")]
    pub log: Option<PathBuf>,

    /// End at the first run of COMMAND that does not end with status 0, with exit status 1
    #[arg(long, requires = "command")]
    pub stop_on_failure: bool,

    /// The same N makes the same random choices again [default: new ones each run]
    #[arg(long, value_name = "N", value_parser = whole::<u64>(0..=u64::MAX))]
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

impl LabArgs {
    /// The scene asked for.
    pub fn scene(&self) -> Option<&'static Scene> {
        match self.scene {
            Some(SceneArg::Run(scene)) => Some(scene),
            _ => None,
        }
    }

    /// What the lab is to do; `seed` where none is given.
    pub fn config(&self, seed: u64) -> Config {
        Config {
            workers: self.workers,
            hold: self.hold,
            think: self.think,
            kind: self.lock,
            shared: self.shared,
            acquire: self.acquire,
            keep_open: self.keep_open,
            restart: self.restart,
            seed: self.seed.unwrap_or(seed),
            limit: self.run.acquisitions,
        }
    }
}

/// Puts the options of a scene before those of the user, which therefore override them.
pub fn expand_scene(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut args: Vec<OsString> = args.into_iter().collect();
    // What is wrong with them is said when they are read in earnest.
    let matches = crate::config::command().try_get_matches_from(&args).ok();
    let cli = matches.and_then(|matches| Cli::from_arg_matches(&matches).ok());
    let scene = cli.filter(|cli| cli.sub.is_none()).and_then(|cli| cli.lab.scene());
    if let Some(scene) = scene {
        args.splice(1..1, scene.options.iter().map(OsString::from));
    }
    args
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

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
        // As well beside what takes back a preference.
        let args = ["flockmon", "--scene", "courteous", "--color", "--no-ascii"].map(OsString::from);
        assert!(expand_scene(args).contains(&"--think".into()));
        assert_eq!(parse(&["--scene", "deadlock", "-w", "2"]).workers, 2);
        assert_eq!(parse(&["--workers", "2"]).workers, 2);
    }
}
