//! A tracer on a thread, what it has seen so far, and programs to look at.

use crate::support::{wait_for, without_events};
use flockmon::event::{LockKind, LockMode};
use flockmon::lock::Lock;
use flockmon::watch::change::{Change, Deed, Family, FileId, LockKey, Range, TaskId};
use flockmon::watch::exact::{Options, Tracer, Way};
use flockmon::watch::grammar::{Reading, SnapshotEntry};
use flockmon::watch::tracepoint::{Scope, TraceError};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

#[path = "../../src/watch/grammar/tests/deed.rs"]
mod deed;

pub const WAYS: [Way; 2] = [Way::Bpf, Way::Perf];

/// Looks at one file until it is dropped.
pub struct Watcher {
    seen: Arc<Mutex<Vec<Change>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<u64>>,
    path: std::path::PathBuf,
}

/// None where the kernel's events cannot be had here.
pub fn watch(path: &Path, way: Way) -> Option<Watcher> {
    watch_as(path, Some(way))
}

/// The same, in whatever way is best where none is named.
pub fn watch_as(path: &Path, way: Option<Way>) -> Option<Watcher> {
    let id = file_id(path);
    let options = Options { way, ..Options::default() };
    let open = || {
        Tracer::open(
            &Scope::Files(vec![id]),
            options,
            Box::new(move || Ok(Reading { entries: proc_locks(id), torn: false })),
        )
    };
    let mut tracer = match open() {
        Err(TraceError::NotMounted) => {
            // Root may mount it; it stays, as it would for any other user of it.
            let _ = Command::new("mount").args(["-t", "tracefs", "tracefs", "/sys/kernel/tracing"]).status();
            open()
        }
        other => other,
    }
    .map_err(|e| without_events(&e.to_string()))
    .ok()?;
    assert!(way.is_none_or(|way| way == tracer.way()));
    let (seen, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
    let (sink, over) = (seen.clone(), stop.clone());
    let thread = std::thread::spawn(move || {
        let mut changes = Vec::new();
        while !over.load(Ordering::Relaxed) {
            tracer.poll(Duration::from_millis(10), &mut changes).unwrap();
            sink.lock().unwrap().append(&mut changes);
        }
        tracer.stats().lost
    });
    Some(Watcher { seen, stop, thread: Some(thread), path: path.to_owned() })
}

impl Watcher {
    pub fn wait<T>(&self, what: &str, mut ask: impl FnMut(&[Change]) -> Option<T>) -> T {
        let shown = std::panic::AssertUnwindSafe(|| wait_for(what, || ask(&self.seen.lock().unwrap())));
        std::panic::catch_unwind(shown).unwrap_or_else(|e| {
            let seen = self.seen.lock().unwrap();
            seen.iter().rev().take(40).rev().for_each(|c| eprintln!("{}", say(c)));
            std::panic::resume_unwind(e)
        })
    }

    /// Waits until these words were seen, in this order, perhaps with others between.
    pub fn expect(&self, words: &[String]) {
        self.wait(&words.join(", "), |seen| {
            let mut all = seen.iter().map(say);
            words.iter().all(|word| all.any(|said| said == *word)).then_some(())
        });
    }

    /// All that has happened until now: takes and releases the lock itself and waits until that is seen.
    pub fn all(&self) -> Vec<Change> {
        let file = File::open(&self.path).unwrap();
        LockKind::Flock.acquire(file.as_raw_fd(), LockMode::Exclusive).unwrap();
        drop(file);
        let own = std::process::id() as i32;
        let over = |c: &Change| c.task.pid == own && c.deed == Deed::Released;
        let mut seen = self.wait("the end", |seen| seen.iter().any(over).then(|| seen.to_vec()));
        seen.retain(|c| c.task.pid != own);
        seen
    }

    /// Stops; how many records were lost.
    pub fn lost(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// `pid deed mode range`, without the time.
pub fn say(change: &Change) -> String {
    let deed = match change.deed {
        // How often is the scheduler's affair.
        Deed::Tried { mode, .. } => format!("tries {}", deed::mode(mode)),
        deed => deed::in_words(deed),
    };
    let range = change.range.map_or(String::new(), |range| format!(" {range}"));
    format!("{} {deed}{range}", change.task.pid)
}

/// The file as the kernel's lock code knows it: through the descriptor, since stat(2) may disagree.
pub fn file_id(path: &Path) -> FileId {
    let file =
        std::fs::OpenOptions::new().read(true).custom_flags(nix::fcntl::OFlag::O_PATH.bits()).open(path).unwrap();
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd())).unwrap();
    let field = |name: &str| info.lines().find_map(|l| l.strip_prefix(name)).unwrap().trim().to_owned();
    let (inode, mount) = (field("ino:").parse().unwrap(), field("mnt_id:"));
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let line = table.lines().find(|l| l.split(' ').next() == Some(&mount)).unwrap();
    let (major, minor) = line.split(' ').nth(2).unwrap().split_once(':').unwrap();
    FileId { major: major.parse().unwrap(), minor: minor.parse().unwrap(), inode }
}

/// The rows of `/proc/locks` on this file, as few words as will do here.
pub fn proc_locks(id: FileId) -> Vec<SnapshotEntry> {
    let mut text = String::new();
    File::open("/proc/locks").unwrap().read_to_string(&mut text).unwrap();
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let waiting = words.get(1) == Some(&"->");
        let [kind, _, mode, pid, file, start, end] = *words.get(if waiting { 2 } else { 1 }..)? else { return None };
        let mut parts = file.split(':');
        let hex = |s: &str| u32::from_str_radix(s, 16).ok();
        let (major, minor) = (hex(parts.next()?)?, hex(parts.next()?)?);
        let (kind, family) = match kind {
            "FLOCK" => (LockKind::Flock, Family::Flock),
            "POSIX" => (LockKind::Posix, Family::Record),
            "OFDLCK" => (LockKind::Ofd, Family::Record),
            _ => return None,
        };
        let range = Range { start: start.parse().ok()?, end: end.parse().ok() };
        let pid = pid.parse().ok()?;
        Some(SnapshotEntry {
            lock: LockKey { file: FileId { major, minor, inode: parts.next()?.parse().ok()? }, family },
            // All of ours have one thread.
            task: TaskId { pid, tid: pid },
            kind,
            mode: if mode == "WRITE" { LockMode::Exclusive } else { LockMode::Shared },
            range: (family == Family::Record).then_some(range),
            waiting,
            supposed: false,
        })
    };
    text.lines().filter_map(row).filter(|entry| entry.lock.file == id).collect()
}

/// A child that is gone when we are done with it.
pub struct Program {
    pub child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Program {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { stdin: child.stdin.take(), stdout, child }
    }

    pub fn python(source: &str, path: &Path, args: &[&str]) -> Self {
        Self::start(Command::new("python3").arg("-c").arg(source).arg(path).args(args))
    }

    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Asks for something without waiting for the answer.
    pub fn tell(&mut self, words: &str) -> &mut Self {
        writeln!(self.stdin.as_mut().unwrap(), "{words}").unwrap();
        self
    }

    /// The next line it says.
    pub fn hear(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    pub fn ask(&mut self, words: &str) -> String {
        self.tell(words).hear()
    }

    /// All that it says until it ends.
    pub fn rest(&mut self) -> String {
        self.stdin = None;
        let mut text = String::new();
        self.stdout.read_to_string(&mut text).unwrap();
        text
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Does as it is told, a line at a time, and answers `ok` or the name of the error.
pub const PUPPET: &str = r#"
import fcntl, os, signal, struct, sys
path, files = sys.argv[1], {}
SETLK, SETLKW, OFD, OFDW = 6, 7, 37, 38
def span(cmd, f, mode, start, length):
    kind = {'EX': fcntl.F_WRLCK, 'SH': fcntl.F_RDLCK, 'UN': fcntl.F_UNLCK}[mode]
    fcntl.fcntl(f, cmd, struct.pack('hhqqi4x', kind, 0, int(start), int(length), 0))
def interrupted(*_): raise InterruptedError
def do(word, name='a', *rest):
    if word == 'open': files[name] = open(path, 'r+')
    elif word == 'close': files.pop(name).close()
    elif word == 'flock':
        op = 0
        for w in rest: op |= getattr(fcntl, 'LOCK_' + w)
        fcntl.flock(files[name], op)
    elif word in ('posix', 'posixnb', 'ofd', 'ofdnb'):
        span({'posix': SETLKW, 'posixnb': SETLK, 'ofd': OFDW, 'ofdnb': OFD}[word], files[name], *rest)
    elif word == 'fork':
        pid = os.fork()
        if pid == 0:
            signal.pause()
            os._exit(0)
        print(pid, flush=True)
    elif word == 'handle': signal.signal(signal.SIGUSR1, {'raise': interrupted, 'pass': lambda *_: None}[name])
    elif word == 'restart': signal.signal(signal.SIGUSR1, lambda *_: None); signal.siginterrupt(signal.SIGUSR1, False)
for line in sys.stdin:
    try:
        do(*line.split())
        print('ok', flush=True)
    except OSError as e:
        print(type(e).__name__, flush=True)
"#;

pub fn puppet(path: &Path) -> Program {
    let mut puppet = Program::python(PUPPET, path, &[]);
    assert_eq!(puppet.ask("open a"), "ok");
    puppet
}

/// A file to lock.
pub fn lock_file() -> tempfile::NamedTempFile {
    tempfile::NamedTempFile::new().unwrap()
}
