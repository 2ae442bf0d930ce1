//! Options of `flockmon watch`.

use super::{RunArgs, ShowArgs, whole};
use crate::dist::parse_positive;
use crate::event::How;
use clap::Args;
use std::path::PathBuf;

const WATCH_HELP: &str = "\
Examples:
  flockmon watch                              every lock of the system, most waiters first
  flockmon watch /var/lib/dpkg/lock-frontend  one lock: who holds it, who waits, how long
  flockmon watch --pid 4711                   the locks that a process holds or waits for
  flockmon watch -d 60s -o json /run/x.lock   figures of a minute, for scripts

Exact seeing needs CAP_PERFMON and CAP_DAC_READ_SEARCH (or root) and tracefs:
  sudo mount -t tracefs tracefs /sys/kernel/tracing
Without them it reads /proc/locks again and again; the screen says so, and why.
No lock is ever taken, and no process is signalled before you have confirmed it.";

/// The largest number that a process id can be (pid_t).
const MOST_PID: u64 = i32::MAX as u64;

/// Options of `flockmon watch`.
#[derive(Debug, Clone, Args)]
#[command(after_help = WATCH_HELP)]
pub struct WatchArgs {
    /// Files whose locks to watch [default: every lock of the system, in a list]
    pub lockfiles: Vec<PathBuf>,

    /// Watch the locks that this process holds or waits for; may be given again
    #[arg(long, value_name = "PID", value_parser = whole::<i32>(1..=MOST_PID), conflicts_with = "lockfiles")]
    pub pid: Vec<i32>,

    /// How to see: exact (the kernel's tracepoints; needs privilege) | sampled (/proc/locks, read again and again)
    /// [default: exact where allowed]
    #[arg(long, value_name = "HOW", hide_possible_values = true)]
    pub how: Option<How>,

    /// Time between two readings of /proc/locks where it is sampled, 1ms to 1m [default: 100ms]
    #[arg(long, value_name = "DUR", value_parser = parse_interval)]
    pub interval: Option<u64>,

    /// Take away the keys that signal processes
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
