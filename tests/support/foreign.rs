//! Programs that flockmon did not start, and a lock file for them.

use super::{proc_locks, wait_for};
use nix::sys::signal::Signal;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// Opens, locks, works, closes, for ever: one line with its pid when it begins.
pub const WORKER: &str = "
import fcntl, sys, time
while True:
    with open(sys.argv[1], 'a') as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        time.sleep(float(sys.argv[2]))
";

/// A process that is gone when the test is over, children included.
pub struct Job(pub Child);

impl Job {
    pub fn start(program: &str, args: &[&str]) -> Self {
        use std::os::unix::process::CommandExt;
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        Self(command.spawn().unwrap_or_else(|e| panic!("{program}: {e}")))
    }

    pub fn pid(&self) -> i32 {
        self.0.id() as i32
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let _ = nix::sys::signal::killpg(nix::unistd::Pid::from_raw(self.pid()), Signal::SIGKILL);
        let _ = self.0.wait();
    }
}

pub struct Place {
    pub folder: TempDir,
    pub file: PathBuf,
}

impl Place {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("jobs.lock");
        fs::write(&file, "precious").unwrap();
        Self { folder, file }
    }

    pub fn path(&self) -> &str {
        self.file.to_str().unwrap()
    }

    /// Waits until so many hold and wait, as the kernel lists them.
    pub fn queue(&self, holders: usize, waiters: usize) -> Vec<(bool, i32)> {
        wait_for("the queue", || {
            let rows = proc_locks(&self.file);
            let waits = rows.iter().filter(|(waits, _)| *waits).count();
            (waits == waiters && rows.len() - waits == holders).then_some(rows)
        })
    }
}

pub fn flock(file: &Path, command: &[&str]) -> Job {
    Job::start("flock", &[&[file.to_str().unwrap()], command].concat())
}

pub fn sleeper(file: &Path) -> Job {
    Job::start("flock", &["-F", file.to_str().unwrap(), "sleep", "1000"])
}

pub fn sampled<'a>(rest: &[&'a str]) -> Vec<&'a str> {
    [&["watch", "--how", "sampled", "--interval", "20ms"], rest].concat()
}

/// Says loudly, past the test harness, that a test was not run.
pub fn skipped(why: &str) {
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("SKIPPED, {why}\n").as_bytes());
}
