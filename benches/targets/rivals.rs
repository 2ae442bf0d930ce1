//! What one would use instead: a generator, a loop in a script, tracers on the bare loop.

use crate::SIDE;
use crate::bare::Loop;
use crate::program::Lab;
use crate::table::{Rows, Target};
use std::process::{Command, Output};

const PYTHON: &str = "
import fcntl, tempfile, time
f = tempfile.TemporaryFile()
end, turns, lock, free = time.monotonic() + 0.4, 0, fcntl.LOCK_EX, fcntl.LOCK_UN
while time.monotonic() < end:
    for _ in range(20):
        fcntl.flock(f, lock)
        fcntl.flock(f, free)
    turns += 20
print(turns / 0.4)
";

pub fn all(rows: &mut Rows) {
    // An instance of it is four processes on one file; what it counts are exclusive and shared locks, blocking and not.
    let ours = "4 workers/stress-ng --flock 1, operations a second";
    rival(rows, &format!("monitored, {ours}"), Target::AtLeast(1.0), || stress_ng(1), || lab(4));
    let bare = || Ok(Loop { workers: 4, ..Loop::default() }.rate(SIDE));
    rival(rows, &format!("bare, {ours}"), Target::None, || stress_ng(1), bare);
    rival(rows, "monitored/a Python fcntl.flock loop, one process", Target::AtLeast(1.0), python, || lab(1));
    let me = std::env::current_exe().expect("this bench");
    let me = me.to_str().expect("a path");
    let bare = || number(&Command::new(me).args(["bare-loop", "300"]).output().expect("this bench again"));
    let strace =
        || traced(Command::new("strace").args(["-f", "-e", "trace=flock", "-o", "/dev/null", me, "bare-loop", "300"]));
    let perf =
        || traced(Command::new("perf").args(["trace", "-e", "flock", "-o", "/dev/null", me, "bare-loop", "300"]));
    for (name, tracer) in
        [("strace -f -e trace=flock", &strace as &dyn Fn() -> Result<f64, String>), ("perf trace -e flock", &perf)]
    {
        // Their share of the bare speed, to be compared with ours of at least 0.92.
        rival(rows, &format!("under {name}/bare, one process"), Target::None, || Ok(bare()), tracer);
    }
    rival(
        rows,
        "for comparison: monitored/bare, one worker",
        Target::AtLeast(0.92),
        || Ok(Loop::default().rate(SIDE)),
        || lab(1),
    );
}

/// A row of `ours`/`theirs`, or why there is none.
fn rival(
    rows: &mut Rows,
    what: &str,
    target: Target,
    theirs: impl Fn() -> Result<f64, String>,
    ours: impl Fn() -> Result<f64, String>,
) {
    let mut ratios = Vec::new();
    for _ in 0..rows.pairs {
        match (theirs(), ours()) {
            (Ok(theirs), Ok(ours)) => ratios.push(ours / theirs),
            (Err(why), _) | (_, Err(why)) => return rows.skipped(what, &why),
        }
    }
    rows.figure(what, target, "", &mut ratios);
}

fn lab(workers: u32) -> Result<f64, String> {
    Ok(Lab { workers, ..Lab::default() }.run(SIDE).rate)
}

fn python() -> Result<f64, String> {
    Ok(number(&output(Command::new("python3").args(["-c", PYTHON]))?))
}

/// Operations a second as it counts them, over a second: the least that it runs for.
fn stress_ng(workers: u32) -> Result<f64, String> {
    let workers = workers.to_string();
    let folder = std::env::temp_dir();
    let mut command = Command::new("stress-ng");
    command.args(["--flock", &workers, "--timeout", "1s", "--metrics-brief", "--temp-path"]).arg(folder);
    let out = output(&mut command)?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    // stress-ng: metrc: [PID] flock  OPS  REAL  USR  SYS  OPS/S (REAL)  OPS/S (USR+SYS)
    let line = text.lines().find_map(|l| l.split_once("] flock ").map(|(_, rest)| rest));
    let rate = line.and_then(|l| l.split_whitespace().nth(4)?.parse().ok());
    rate.ok_or_else(|| "its figures cannot be read".into())
}

fn traced(command: &mut Command) -> Result<f64, String> {
    let out = output(command)?;
    match number(&out) {
        rate if rate.is_finite() => Ok(rate),
        _ => Err(String::from_utf8_lossy(&out.stderr).lines().next().unwrap_or("it says nothing").to_owned()),
    }
}

fn output(command: &mut Command) -> Result<Output, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.output().map_err(|error| format!("{name}: {error}"))
}

fn number(out: &Output) -> f64 {
    String::from_utf8_lossy(&out.stdout).lines().last().and_then(|l| l.trim().parse().ok()).unwrap_or(f64::NAN)
}
