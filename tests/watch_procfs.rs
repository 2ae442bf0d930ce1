//! What `src/watch` reads from procfs, against locks of programs that know nothing of it: Python's fcntl module,
//! flock(1), sqlite3, in namespaces and on other file systems.
#![allow(clippy::unwrap_used)]

mod support;

use flockmon::event::{LockKind, LockMode};
use flockmon::watch::change::{Change, Deed, FileId, LockKey, Range};
use flockmon::watch::eyes::Eyes;
use flockmon::watch::process::owners::{self, path_of};
use flockmon::watch::process::sight::Sight;
use flockmon::watch::process::signal::{Expect, Refusal, Target};
use flockmon::watch::process::{self, Names, waits};
use flockmon::watch::procfs::{Reader, Row, Snapshot};
use flockmon::watch::sampled::{Sampler, Tasks};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;
use support::{state, wait_for};

/// Carries out the lines that it is given, as Python.
const DRIVER: &str = "
import fcntl, os, signal, socket, struct, sys, threading
path = sys.argv[1]
def opened(): return os.open(path, os.O_RDWR)
def ofd(fd, cmd, kind, start=0, length=0):
    fcntl.fcntl(fd, cmd, struct.pack('hhqqixxxx', kind, 0, start, length, 0))
SETLK, SETLKW = 37, 38
for line in sys.stdin:
    exec(line, globals())
    print('done', flush=True)
";

/// A program in a process group of its own, which ends with the test.
struct Program {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Program {
    /// None, said aloud, where there is no such program.
    fn start(command: &mut Command) -> Option<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = match child {
            Ok(child) => child,
            // The second: one in a folder that may not be entered.
            Err(e) if matches!(e.raw_os_error(), Some(nix::libc::ENOENT | nix::libc::EACCES)) => {
                skipped(&format!("there is no {name} here: {e}"));
                return None;
            }
            Err(e) => panic!("cannot start {name}: {e}"),
        };
        let (stdin, stdout) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Some(Self { child, stdin, stdout })
    }

    fn python(path: &Path) -> Option<Self> {
        Self::start(Command::new("python3").args(["-c", DRIVER]).arg(path))
    }

    fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Gives it a line and does not wait.
    fn begin(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").unwrap();
    }

    /// Waits for its next answer.
    fn answer(&mut self) -> String {
        let mut line = String::new();
        assert!(self.stdout.read_line(&mut line).unwrap() > 0, "it ended");
        line.trim_end().to_owned()
    }

    fn run(&mut self, line: &str) {
        self.begin(line);
        while self.answer() != "done" {}
    }

    /// Asks for the value of an expression.
    fn ask(&mut self, expression: &str) -> i32 {
        self.begin(&format!("print({expression}, flush=True)"));
        let value = self.answer().parse().unwrap();
        assert_eq!(self.answer(), "done");
        value
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = killpg(Pid::from_raw(self.pid()), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

/// Past the test harness, which would swallow it.
fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED, {why}");
}

struct Lockfile {
    _folder: tempfile::TempDir,
    path: PathBuf,
    id: FileId,
}

impl Lockfile {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jobs.lock");
        std::fs::write(&path, "").unwrap();
        let id = FileId::of_path(&path).unwrap();
        Self { _folder: folder, path, id }
    }

    fn rows(&self) -> Vec<Row> {
        rows(self.id)
    }

    /// Waits until there are so many holders and waiters; gives them.
    fn see(&self, holders: usize, waiters: usize) -> Vec<Row> {
        wait_for(&format!("{holders} holders and {waiters} waiters"), || {
            let rows = self.rows();
            let waiting = rows.iter().filter(|r| r.waits()).count();
            ((rows.len() - waiting, waiting) == (holders, waiters)).then_some(rows)
        })
    }

    fn owners(&self) -> Vec<(i32, LockKind)> {
        let mut found: Vec<_> =
            owners::scan(Some(&[self.id])).unwrap().owners.iter().map(|o| (o.pid, o.kind)).collect();
        found.sort_unstable_by_key(|o| o.0);
        found
    }

    fn key(&self, kind: LockKind) -> LockKey {
        LockKey { file: self.id, family: kind.into() }
    }
}

fn rows(file: FileId) -> Vec<Row> {
    Reader::new().unwrap().read().unwrap().of(file).copied().collect()
}

/// A reading that lacks nothing of this file's: of one moment, or, where the system has too many locks for that, as
/// two in a row have it.
fn whole(reader: &mut Reader, file: FileId) -> Snapshot {
    let mut last = None;
    wait_for("a whole reading", || {
        let mut snapshot = reader.read().unwrap().clone();
        let rows = shape(&snapshot.of(file).copied().collect::<Vec<_>>());
        let good = !snapshot.approximate || last.as_ref() == Some(&rows);
        last = Some(rows);
        snapshot.approximate = false;
        good.then_some(snapshot)
    })
}

/// Waits until these are the rows.
fn see_rows(file: FileId, wanted: &[(i32, u32, Option<LockMode>)]) {
    wait_for(&format!("{wanted:?}"), || (shape(&rows(file)) == wanted).then_some(()));
}

/// pid, depth and mode of each.
fn shape(rows: &[Row]) -> Vec<(i32, u32, Option<LockMode>)> {
    rows.iter().map(|r| (r.pid, r.depth, r.mode)).collect()
}

const EXCLUSIVE: Option<LockMode> = Some(LockMode::Exclusive);
const SHARED: Option<LockMode> = Some(LockMode::Shared);

#[test]
fn flock_of_python() {
    let file = Lockfile::new();
    let Some(mut holder) = Program::python(&file.path) else { return };
    let (mut second, mut third) = (Program::python(&file.path).unwrap(), Program::python(&file.path).unwrap());
    holder.run("fd = opened(); fcntl.flock(fd, fcntl.LOCK_EX)");
    assert_eq!(shape(&file.see(1, 0)), [(holder.pid(), 0, EXCLUSIVE)]);
    second.run("fd = os.dup2(opened(), 42)");
    second.begin("fcntl.flock(fd, fcntl.LOCK_EX)");
    file.see(1, 1);
    third.run("fd = opened()");
    third.begin("fcntl.flock(fd, fcntl.LOCK_SH)");
    let rows = file.see(1, 2);
    let queue = [(holder.pid(), 0, EXCLUSIVE), (second.pid(), 1, EXCLUSIVE), (third.pid(), 2, SHARED)];
    assert_eq!(shape(&rows), queue);

    let wait = wait_for("the thread that waits", || waits::of(second.pid()).first().copied());
    assert_eq!((wait.pid, wait.tid, wait.fd), (second.pid(), second.pid(), 42));
    assert_eq!((wait.kind, wait.mode, wait.file), (LockKind::Flock, EXCLUSIVE, Some(file.id)));
    assert_eq!(waits::of(holder.pid()), []);
    assert_eq!(file.owners(), [(holder.pid(), LockKind::Flock)]);
    let owner = owners::scan_among([holder.pid()], None).owners[0];
    assert_eq!(path_of(owner.pid, owner.fd).unwrap().path, file.path);
    assert_eq!(owner.named, holder.pid());
}

#[test]
fn record_locks_of_python() {
    let file = Lockfile::new();
    let Some(mut holder) = Program::python(&file.path) else { return };
    let mut waiter = Program::python(&file.path).unwrap();
    holder.run("fd = opened(); other = opened(); fcntl.lockf(fd, fcntl.LOCK_EX, 10, 100); fcntl.lockf(fd, fcntl.LOCK_SH, 5, 0)");
    waiter.run("fd = opened()");
    waiter.begin("fcntl.lockf(fd, fcntl.LOCK_EX, 20, 95)");
    let rows = file.see(2, 1);
    let range = |start, end| Range { start, end: Some(end) };
    let found: HashSet<_> = rows.iter().map(|r| (r.pid, r.waits(), r.mode, r.range)).collect();
    let wanted = [
        (holder.pid(), false, EXCLUSIVE, range(100, 109)),
        (holder.pid(), false, SHARED, range(0, 4)),
        (waiter.pid(), true, EXCLUSIVE, range(95, 114)),
    ];
    assert_eq!(found, HashSet::from(wanted));
    assert!(rows.iter().all(|r| r.key() == Some(file.key(LockKind::Posix))));
    // The range is read from the memory of the one that waits.
    let wait = wait_for("the thread that waits", || waits::of(waiter.pid()).first().copied());
    let asked = (LockKind::Posix, EXCLUSIVE, Some(range(95, 114)), Some(file.id));
    assert_eq!((wait.kind, wait.mode, wait.range, wait.file), asked);
    // Two locks, both under the descriptor that took them.
    let fd = holder.ask("fd");
    let scan = owners::scan_among([holder.pid()], Some(&[file.id]));
    assert_eq!(scan.owners.iter().map(|o| o.fd).collect::<Vec<_>>(), [fd, fd]);
}

#[test]
fn open_file_description_locks_are_given_their_owners() {
    let file = Lockfile::new();
    let Some(mut holder) = Program::python(&file.path) else { return };
    let mut waiter = Program::python(&file.path).unwrap();
    holder.run("fd = opened(); ofd(fd, SETLK, fcntl.F_WRLCK, 10, 10)");
    waiter.run("fd = opened()");
    waiter.begin("ofd(fd, SETLKW, fcntl.F_RDLCK, 15, 10)");
    let rows = file.see(1, 1);
    assert_eq!(shape(&rows), [(-1, 0, EXCLUSIVE), (-1, 1, SHARED)]);
    assert_eq!(file.owners(), [(holder.pid(), LockKind::Ofd)]);
    wait_for("the thread that waits", || waits::of(waiter.pid()).first().copied());

    let mut sampler = Sampler::new(Some(HashSet::from([file.key(LockKind::Ofd)])));
    let mut reader = Reader::new().unwrap();
    let told = sampler.fold(1, &whole(&mut reader, file.id), |id| Tasks {
        keepers: owners::scan(Some(&[id])).unwrap().owners,
        waits: waits::of(waiter.pid()),
    });
    let range = |start, end| Some(Range { start, end: Some(end) });
    let found: Vec<_> = told.iter().map(|c| (c.task.pid, c.range, c.deed)).collect();
    let wanted = [
        (holder.pid(), range(10, 19), Deed::Holding { mode: LockMode::Exclusive }),
        (waiter.pid(), range(15, 24), Deed::Waiting { mode: LockMode::Shared, before: true }),
    ];
    assert_eq!(found, wanted);
}

/// Nothing about rows without an owner is remembered: who had such a lock a reading ago may have let go since.
#[test]
fn open_file_description_locks_that_change_hands_are_given_their_present_owners() {
    let file = Lockfile::new();
    let Some(mut a) = Program::python(&file.path) else { return };
    let mut b = Program::python(&file.path).unwrap();
    a.run("fd = opened(); ofd(fd, SETLK, fcntl.F_WRLCK)");
    b.run("fd = opened()");
    let mut eyes = Eyes::sampled(Some(&[file.id]), 1_000_000).unwrap();
    let mut told: Vec<(i32, Deed)> = Vec::new();
    // Readings enough for all that is known to be told: whoever is gone is so in two, torn ones count half.
    let mut see = |told: &mut Vec<(i32, Deed)>| {
        let mut changes = Vec::new();
        for _ in 0..20 {
            eyes.see(Duration::from_secs(1), &mut changes).unwrap();
        }
        told.extend(changes.iter().map(|c| (c.task.pid, c.deed)));
    };
    let mode = LockMode::Exclusive;
    for turn in 0..6 {
        let (holder, waiter) = if turn % 2 == 0 { (&mut a, &mut b) } else { (&mut b, &mut a) };
        let (had, has) = (holder.pid(), waiter.pid());
        waiter.begin("ofd(fd, SETLKW, fcntl.F_WRLCK)");
        wait_for("a wait", || waits::of(has).first().copied());
        see(&mut told);
        holder.run("ofd(fd, SETLK, fcntl.F_UNLCK)");
        assert_eq!(waiter.answer(), "done");
        see(&mut told);
        let first = if turn == 0 { vec![(had, Deed::Holding { mode })] } else { vec![] };
        let end = [
            (has, Deed::Waiting { mode, before: turn == 0 }),
            (had, Deed::Released),
            (has, Deed::Acquired { mode, contended: true, asked: Some(Range::WHOLE) }),
        ];
        assert_eq!(std::mem::take(&mut told), [&first[..], &end].concat(), "turn {turn}");
    }
}

/// `flock FILE sleep`: the child has the descriptor too, so that the lock outlives flock(1).
#[test]
fn an_inherited_lock_outlives_the_one_who_is_named() {
    let file = Lockfile::new();
    let Some(flock) = Program::start(Command::new("flock").arg(&file.path).args(["sleep", "600"])) else { return };
    let sleep = wait_for("its child", || process::children(flock.pid()).first().copied());
    wait_for("sleep", || (process::comm(sleep)? == "sleep").then_some(()));
    file.see(1, 0);
    let mut both = [(flock.pid(), LockKind::Flock), (sleep, LockKind::Flock)];
    both.sort_unstable_by_key(|o| o.0);
    assert_eq!(file.owners(), both);

    let start = process::life(flock.pid()).unwrap().mark.start;
    Target::open(flock.pid(), start, &mut Names::new()).unwrap().send(Signal::SIGKILL, Expect::Keeps(file.id)).unwrap();
    wait_for("flock(1) to end", || state(flock.pid()).is_none().then_some(()));
    // The kernel goes on naming the dead one; the descriptors do not.
    assert_eq!(shape(&file.see(1, 0)), [(flock.pid(), 0, EXCLUSIVE)]);
    let scan = owners::scan(Some(&[file.id])).unwrap();
    assert_eq!(scan.owners.iter().map(|o| (o.pid, o.named)).collect::<Vec<_>>(), [(sleep, flock.pid())]);
    let mut names = Names::new();
    let identity = names.of(sleep).unwrap().clone();
    assert_eq!((identity.comm.as_str(), identity.command.as_str()), ("sleep", "sleep 600"));

    // Not the one who does not keep it: nothing happens to it.
    let us = std::process::id() as i32;
    let target = Target::open(us, process::life(us).unwrap().mark.start, &mut Names::new()).unwrap();
    assert!(matches!(target.send(Signal::SIGKILL, Expect::Keeps(file.id)), Err(Refusal::LetGo { .. })));

    let target = Target::open(sleep, identity.mark.start, &mut Names::new()).unwrap();
    target.send(Signal::SIGSTOP, Expect::Keeps(file.id)).unwrap();
    wait_for("sleep to stop", || (process::life(sleep)?.state == 'T').then_some(()));
    file.see(1, 0);
    target.send(Signal::SIGKILL, Expect::Keeps(file.id)).unwrap();
    file.see(0, 0);
    // A zombie still takes signals; who reaped it does not matter.
    let refusal = wait_for("sleep to be gone", || target.send(Signal::SIGKILL, Expect::Lives).err());
    assert!(refusal.to_string().contains("gone"), "{refusal}");
}

#[test]
fn a_passed_descriptor_keeps_the_lock() {
    let file = Lockfile::new();
    let Some(mut parent) = Program::python(&file.path) else { return };
    parent.run("a, b = socket.socketpair(); fd = opened(); fcntl.flock(fd, fcntl.LOCK_EX)");
    parent.run("socket.send_fds(a, [b'x'], [fd]); os.close(fd)");
    // In flight: it is held, and by nobody.
    assert_eq!(shape(&file.see(1, 0)), [(parent.pid(), 0, EXCLUSIVE)]);
    assert_eq!(file.owners(), []);
    // The child takes it out of the socket, and says so through the parent's pipe.
    parent.run("r, w = os.pipe(); child = os.fork(); child == 0 and (socket.recv_fds(b, 1, 1), os.write(w, b'x'), signal.pause())");
    parent.run("os.read(r, 1)");
    let child = parent.ask("child");
    assert_eq!(file.owners(), [(child, LockKind::Flock)]);
    see_rows(file.id, &[(parent.pid(), 0, EXCLUSIVE)]);
    parent.run("os.kill(child, signal.SIGKILL); os.waitpid(child, 0)");
    file.see(0, 0);
}

#[test]
fn sqlite() {
    let file = Lockfile::new();
    let Some(mut sqlite) = Program::start(Command::new("sqlite3").arg(&file.path)) else { return };
    sqlite.begin("create table t(x); begin exclusive; insert into t values(1); select 'done';");
    assert_eq!(sqlite.answer(), "done");
    // Its pending byte, at 1 GiB (sqlite's os.h), and the shared ones behind it.
    let bytes = Range { start: 1 << 30, end: Some((1 << 30) + 511) };
    let rows = wait_for("its locks", || Some(file.rows()).filter(|rows| rows.iter().any(|r| r.range.overlaps(bytes))));
    assert!(rows.iter().all(|r| r.pid == sqlite.pid() && r.mode == EXCLUSIVE), "{rows:?}");
    sqlite.begin("commit; select 'done';");
    assert_eq!(sqlite.answer(), "done");
    file.see(0, 0);
}

/// Both threads have the same pid in /proc/locks.
#[test]
fn threads_are_told_apart_by_what_they_wait_in() {
    let file = Lockfile::new();
    let Some(mut program) = Program::python(&file.path) else { return };
    program.run("fds = [opened() for _ in range(3)]; fcntl.flock(fds[0], fcntl.LOCK_EX)");
    let thread = "threading.Thread(target=fcntl.flock, args=(FD, fcntl.LOCK_EX), daemon=True).start()";
    program.run(&thread.replace("FD", "fds[1]"));
    program.run(&thread.replace("FD", "fds[2]"));
    let rows = file.see(1, 2);
    assert!(rows.iter().all(|r| r.pid == program.pid()));
    let waits = wait_for("two threads that wait", || Some(waits::of(program.pid())).filter(|w| w.len() == 2));
    assert_eq!(waits.iter().map(|w| w.fd).collect::<HashSet<_>>().len(), 2);
    assert_eq!(waits.iter().map(|w| w.tid).filter(|tid| *tid != program.pid()).collect::<HashSet<_>>().len(), 2);
}

/// The kernel's buffer holds a page: the short lock comes alone, and the long queue with the next read.
#[test]
fn a_long_queue_is_seen_whole() {
    let file = Lockfile::new();
    let Some(mut program) = Program::python(&file.path) else { return };
    program.run("fds = [opened() for _ in range(151)]; fcntl.flock(fds[0], fcntl.LOCK_EX)");
    program
        .run("[threading.Thread(target=fcntl.flock, args=(fd, fcntl.LOCK_EX), daemon=True).start() for fd in fds[1:]]");
    let rows = file.see(1, 150);
    let depths: HashSet<u32> = rows.iter().map(|r| r.depth).collect();
    assert_eq!(depths.len(), 151, "{depths:?}");
}

#[test]
fn what_is_told_of_processes_that_hand_a_lock_over() {
    let file = Lockfile::new();
    let Some(mut first) = Program::python(&file.path) else { return };
    let mut second = Program::python(&file.path).unwrap();
    let mut sampler = Sampler::new(Some(HashSet::from([file.key(LockKind::Flock)])));
    let (mut reader, mut t) = (Reader::new().unwrap(), 0);
    let mut told: Vec<Change> = Vec::new();
    let mut until = |told: &mut Vec<Change>, pid: i32, wanted: Deed| {
        wait_for(&format!("{wanted:?} of {pid}"), || {
            t += 1;
            told.extend(sampler.fold(t, &whole(&mut reader, file.id), |_| Tasks::default()));
            told.iter().any(|c| c.task.pid == pid && c.deed == wanted).then_some(())
        });
    };
    let mode = LockMode::Exclusive;
    first.run("fd = opened(); fcntl.flock(fd, fcntl.LOCK_EX)");
    file.see(1, 0);
    until(&mut told, first.pid(), Deed::Holding { mode });
    second.run("fd = opened()");
    second.begin("fcntl.flock(fd, fcntl.LOCK_EX)");
    until(&mut told, second.pid(), Deed::Waiting { mode, before: false });
    first.begin("os.kill(os.getpid(), signal.SIGKILL)");
    until(&mut told, second.pid(), Deed::Acquired { mode, contended: true, asked: None });
    let heir = second.pid();
    drop(second);
    until(&mut told, heir, Deed::Released);
    let deeds: Vec<_> = told.iter().map(|c| (c.task.pid == first.pid(), c.deed)).collect();
    let wanted = [
        (true, Deed::Holding { mode }),
        (false, Deed::Waiting { mode, before: false }),
        (true, Deed::Released),
        (false, Deed::Acquired { mode, contended: true, asked: None }),
        (false, Deed::Released),
    ];
    assert_eq!(deeds, wanted);
}

#[test]
fn a_waiter_that_is_killed_gave_up() {
    let file = Lockfile::new();
    let Some(mut holder) = Program::python(&file.path) else { return };
    let mut waiter = Program::python(&file.path).unwrap();
    holder.run("fd = opened(); fcntl.flock(fd, fcntl.LOCK_EX)");
    waiter.run("fd = opened()");
    waiter.begin("fcntl.flock(fd, fcntl.LOCK_EX)");
    file.see(1, 1);
    let mut sampler = Sampler::new(Some(HashSet::from([file.key(LockKind::Flock)])));
    let (mut reader, mut t) = (Reader::new().unwrap(), 1);
    assert_eq!(sampler.fold(t, &whole(&mut reader, file.id), |_| Tasks::default()).len(), 2);
    wait_for("the thread that waits", || waits::of(waiter.pid()).first().copied());
    let target =
        Target::open(waiter.pid(), process::life(waiter.pid()).unwrap().mark.start, &mut Names::new()).unwrap();
    assert!(matches!(target.send(Signal::SIGKILL, Expect::Keeps(file.id)), Err(Refusal::LetGo { .. })));
    target.send(Signal::SIGKILL, Expect::Waits(file.id)).unwrap();
    let told = wait_for("the waiter to be missed", || {
        t += 1;
        let told = sampler.fold(t, &whole(&mut reader, file.id), |_| Tasks::default());
        (!told.is_empty()).then_some(told)
    });
    assert_eq!(told.iter().map(|c| (c.task.pid, c.deed)).collect::<Vec<_>>(), [(waiter.pid(), Deed::GaveUp)]);
    wait_for("a zombie", || (process::life(waiter.pid())?.state == 'Z').then_some(()));
    assert!(Names::new().of(waiter.pid()).unwrap().command.starts_with('['));
}

/// Runs one of the tests below, which are for this alone, under another command (`unshare …`); gives what it says.
/// None where the command is not permitted here, said aloud.
fn elsewhere(command: &[&str], test: &str, env: &[(&str, &str)]) -> Option<String> {
    // Other users may not be allowed to come near the folder of the build.
    let folder = tempfile::tempdir().unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).unwrap();
    let program = folder.path().join("test");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let (name, rest) = command.split_first().unwrap();
    let failed = match Command::new(name).args(rest).arg("true").output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(e) => Some(e.to_string()),
    };
    if let Some(why) = failed {
        skipped(&format!("{} is not possible here: {why}", command.join(" ")));
        return None;
    }
    let mut inside = Command::new(name);
    inside.args(rest).arg(&program).args(["--ignored", "--exact", test, "--nocapture"]);
    let output = inside.envs(env.iter().copied()).stdin(Stdio::null()).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    text.lines().filter_map(|l| l.strip_prefix("SKIPPED, ")).for_each(skipped);
    Some(text)
}

const OTHER_PIDS: [&str; 5] = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];

/// The host's view of a holder in a pid namespace of its own.
#[test]
fn a_holder_in_another_pid_namespace() {
    let file = Lockfile::new();
    if elsewhere(&OTHER_PIDS, "inside_a_pid_namespace", &[("LOCKFILE", "")]).is_none() {
        return;
    }
    let Some(mut inside) = Program::start(
        Command::new(OTHER_PIDS[0]).args(&OTHER_PIDS[1..]).args(["python3", "-c", DRIVER]).arg(&file.path),
    ) else {
        return;
    };
    inside.run("fd = opened(); fcntl.flock(fd, fcntl.LOCK_EX)");
    assert_eq!(inside.ask("os.getpid()"), 1);
    let rows = file.see(1, 0);
    let holder = process::children(inside.pid())[0];
    assert_eq!(shape(&rows), [(holder, 0, EXCLUSIVE)]);
    let mut names = Names::new();
    let identity = names.of(holder).unwrap();
    assert_eq!(identity.parent, inside.pid());
    assert!(identity.command.contains("python"), "{}", identity.command);
    assert_eq!(file.owners(), [(holder, LockKind::Flock)]);
}

/// The view from inside: a holder outside is hidden, and so is one's own waiter behind it.
#[test]
fn what_a_pid_namespace_hides_is_told() {
    let file = Lockfile::new();
    let Some(mut holder) = Program::python(&file.path) else { return };
    holder.run("fd = opened(); fcntl.flock(fd, fcntl.LOCK_EX)");
    file.see(1, 0);
    let path = file.path.to_str().unwrap();
    let Some(said) = elsewhere(&OTHER_PIDS, "inside_a_pid_namespace", &[("LOCKFILE", path)]) else { return };
    assert!(said.contains("inside a pid namespace"), "{said}");
    assert!(said.contains("rows: 0"), "{said}");
}

#[test]
#[ignore = "run by others in a pid namespace"]
fn inside_a_pid_namespace() {
    let sight = Sight::look();
    assert_eq!((sight.initial_pid_namespace, sight.own_proc), (Some(false), true));
    sight.sentences().iter().for_each(|s| println!("{s}"));
    let path = std::env::var("LOCKFILE").unwrap();
    if !path.is_empty() {
        println!("rows: {}", rows(FileId::of_path(Path::new(&path)).unwrap()).len());
    }
}

#[test]
fn another_user_is_told_what_is_missing() {
    if !nix::unistd::geteuid().is_root() {
        return skipped("only root can become another user");
    }
    let file = Lockfile::new();
    let Some(mut holder) = Program::python(&file.path) else { return };
    holder.run("fd = opened(); fcntl.flock(fd, fcntl.LOCK_EX)");
    file.see(1, 0);
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(file.path.parent().unwrap(), open).unwrap();
    let no_right: std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o000);
    std::fs::set_permissions(&file.path, no_right).unwrap();
    let env = [("LOCKFILE", file.path.to_str().unwrap()), ("HOLDER", &holder.pid().to_string())];
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    elsewhere(&nobody, "as_another_user", &env);
    // It was not hit.
    assert_eq!(shape(&file.see(1, 0)), [(holder.pid(), 0, EXCLUSIVE)]);
}

#[test]
#[ignore = "run by others as nobody"]
fn as_another_user() {
    let (path, holder) = (std::env::var("LOCKFILE").unwrap(), std::env::var("HOLDER").unwrap().parse().unwrap());
    let sight = Sight::look();
    assert!(!sight.reads_descriptors && sight.sentences().iter().any(|s| s.starts_with("not root")));
    // No right on the file is needed to find it, none on the process to see who holds it.
    let id = FileId::of_path(Path::new(&path)).unwrap();
    see_rows(id, &[(holder, 0, EXCLUSIVE)]);
    assert!(Names::new().of(holder).unwrap().command.contains("python"));
    let scan = owners::scan_among([holder], Some(&[id]));
    assert_eq!((scan.processes, scan.refused, scan.owners.len()), (1, 1, 0));
    assert!(owners::scan(None).unwrap().refused > 0);
    assert!(path_of(holder, 3).is_none() && waits::of(holder).is_empty());
    let target = Target::open(holder, process::life(holder).unwrap().mark.start, &mut Names::new()).unwrap();
    let refusal = target.send(Signal::SIGKILL, Expect::Keeps(id)).unwrap_err();
    assert!(matches!(refusal, Refusal::NotPermitted { .. }), "{refusal:?}");
    for word in [holder.to_string().as_str(), "user root", "CAP_KILL"] {
        assert!(refusal.to_string().contains(word), "{refusal}");
    }
}

/// Where stat(2) names another device than `/proc/locks`.
#[test]
fn paths_on_other_file_systems() {
    // The mounts end with the namespace; only then can the folder be removed.
    let folder = tempfile::tempdir().unwrap();
    let env = [("FOLDER", folder.path().to_str().unwrap())];
    elsewhere(&["unshare", "--mount", "--propagation=private"], "in_a_mount_namespace", &env);
}

#[test]
#[ignore = "run by others in a mount namespace"]
fn in_a_mount_namespace() {
    let folder = PathBuf::from(std::env::var("FOLDER").unwrap());
    let at = |name: &str| {
        let path = folder.join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    };
    let shell = |script: &str| {
        let output = Command::new("sh").args(["-ec", script]).current_dir(&folder).output().unwrap();
        let done = output.status.success();
        if !done {
            skipped(&format!("{script}: {}", String::from_utf8_lossy(&output.stderr).trim()));
        }
        done
    };
    check_there(&at("plain").join("file"), false);
    at("tmpfs");
    if shell("mount -t tmpfs none tmpfs") {
        check_there(&at("tmpfs").join("file"), false);
        // Layers on two file systems: the case in which stat(2) is wrong.
        for name in ["lower", "tmpfs/upper", "tmpfs/work", "merged"] {
            at(name);
        }
        std::fs::write(folder.join("lower/old"), "").unwrap();
        if shell("mount -t overlay overlay -o lowerdir=lower,upperdir=tmpfs/upper,workdir=tmpfs/work merged") {
            check_there(&folder.join("merged/old"), true);
            check_there(&folder.join("merged/new"), true);
            // What the same lower file is called outside is another lock.
            let ids = ["merged/old", "lower/old"].map(|name| FileId::of_path(&folder.join(name)).unwrap());
            assert_ne!(ids[0], ids[1]);
        }
    }
    at("btrfs");
    if shell(
        "command -v mkfs.btrfs && truncate -s 128M image && mkfs.btrfs -q image && mount -o loop image btrfs && btrfs -q subvolume create btrfs/sub",
    ) {
        let (top, sub) = (folder.join("btrfs/top"), folder.join("btrfs/sub/below"));
        check_there(&top, true);
        check_there(&sub, true);
        // Their first files have the same number; both are told to be ambiguous.
        let located = [top, sub].map(|path| flockmon::watch::file_id::locate(&path).unwrap());
        assert_eq!(located[0].id, located[1].id);
        assert!(located.iter().all(|l| l.ambiguity.as_ref().is_some_and(|a| a.contains("subvolumes"))), "{located:?}");
    }
}

/// A lock on the file is found under the name that its path is given; `stat_differs` says whether stat(2) has another one.
fn check_there(path: &Path, stat_differs: bool) {
    use std::os::unix::fs::MetadataExt;
    drop(std::fs::File::options().create(true).append(true).open(path).unwrap());
    let id = FileId::of_path(path).unwrap();
    let dev = std::fs::metadata(path).unwrap().dev();
    let by_stat = (nix::sys::stat::major(dev) as u32, nix::sys::stat::minor(dev) as u32);
    assert_eq!(by_stat != (id.major, id.minor), stat_differs, "{}: {id}, {by_stat:?}", path.display());
    let Some(mut holder) = Program::python(path) else { return };
    holder.run("fd = opened(); fcntl.flock(fd, fcntl.LOCK_EX)");
    see_rows(id, &[(holder.pid(), 0, EXCLUSIVE)]);
    let fd = holder.ask("fd");
    assert_eq!(flockmon::watch::file_id::of_descriptor(holder.pid(), fd), Some(id));
    assert_eq!(owners::scan_among([holder.pid()], Some(&[id])).owners.len(), 1);
}
