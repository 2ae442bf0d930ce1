//! One line on standard error that says how far a long run without a screen is; only where a person sees it.

use crate::cli::Output;
use crate::format::{clock, count, rate};
use crate::model::Locks;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_millis(500);
/// Back to the first column, and away with what stood there.
const CLEAR: &str = "\r\x1b[K";

/// The line, while it is shown.
#[derive(Debug)]
pub struct Progress {
    last: Option<Instant>,
}

impl Progress {
    /// None where standard error is no terminal, or where the output may show on that terminal as it comes.
    pub fn new(output: Output) -> Option<Self> {
        // What streams into a pipe may be drawn on this very terminal by whoever reads it.
        let free = match output {
            Output::Json | Output::Summary => true,
            Output::Log | Output::Jsonl | Output::Perfetto => stdout_is_a_file(),
            Output::Tui => false,
        };
        let shown = free && io::stderr().is_terminal();
        shown.then_some(Self { last: None })
    }

    /// When the line should be written anew.
    pub fn due(&self) -> Duration {
        self.last.map_or(Duration::ZERO, |last| EVERY.saturating_sub(last.elapsed()))
    }

    /// Writes it anew, if it is time. `whole` is how long the run is to be, in ns, `limit` how many acquisitions.
    pub fn show(&mut self, locks: &Locks, now: u64, whole: Option<u64>, limit: Option<u64>) {
        if self.due().is_zero() {
            self.last = Some(Instant::now());
            say(&format!("{CLEAR}{}", line(locks, now, whole, limit)));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.last.is_some() {
            say(CLEAR);
        }
    }
}

fn stdout_is_a_file() -> bool {
    let stdout = io::stdout();
    let file = stdout.as_fd().try_clone_to_owned().map(std::fs::File::from);
    file.and_then(|f| f.metadata()).is_ok_and(|m| m.is_file())
}

fn say(text: &str) {
    // Where standard error is gone, nobody misses it.
    let _ = io::stderr().write_all(text.as_bytes());
}

fn line(locks: &Locks, now: u64, whole: Option<u64>, limit: Option<u64>) -> String {
    let of = |total: String| format!(" of {total}");
    let share = whole.map(|w| now as f64 / w.max(1) as f64);
    let share =
        share.into_iter().chain(limit.map(|n| locks.acquisitions_ever() as f64 / n.max(1) as f64)).reduce(f64::max);
    format!(
        "{}{} \u{b7} {}{} acquisitions \u{b7} {}/s{}",
        clock(now),
        whole.map_or_else(String::new, |w| of(clock(w))),
        count(locks.acquisitions_ever()),
        limit.map_or_else(String::new, |n| of(count(n))),
        locks.first().rate().map_or_else(|| "-".into(), rate),
        share.map_or_else(String::new, |s| format!(" \u{b7} {:.0} %", (s * 100.0).min(100.0))),
    )
}
