//! Who a process is, from `/proc/PID`: name, command line, user, container, state.
//!
//! Every read may find that the process is gone: that is a `None` or a gap in a list, never an error. Nothing here is
//! cheap enough for every row of a long list (about 60 µs a process): ask for what is on the screen.

pub mod container;
pub mod descendants;
pub mod owners;
pub mod sight;
pub mod signal;
mod sys;
pub mod waits;

pub use container::{Container, Runtime};
pub use owners::{Owner, Scan};
pub use waits::Wait;

use std::collections::HashMap;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;

/// A process as people know it. It does not change while it lives, but for an `execve(2)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// As our pid namespace numbers it.
    pub pid: i32,
    /// Which process it is, and which program it runs.
    pub mark: Mark,
    /// Its name, at most 15 bytes (proc_pid_comm(5)); escaped for display.
    pub comm: String,
    /// Its command line, quoted as a shell would want it where that is needed and escaped for display; its name in
    /// brackets where it has none (a kernel thread, a zombie).
    pub command: String,
    /// Effective user id.
    pub uid: u32,
    /// The user's name as /etc/passwd has it; the number where it has none.
    pub user: String,
    /// Its parent.
    pub parent: i32,
    /// Its container, where its cgroup names one.
    pub container: Option<Container>,
}

/// Tells a process from others that have or had its pid, and the program it runs from those that it ran before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mark {
    /// When it began, in clock ticks since boot (field 22 of proc_pid_stat(5)): with the pid, it names a process once
    /// and for all.
    pub start: u64,
    /// Another number where it became another program (execve(2)); 0 where it runs none, as one that is just ending.
    pub image: u64,
}

impl Mark {
    /// Whether both are of one process that runs one program, as far as is known.
    pub fn is_same(self, other: Self) -> bool {
        self.start == other.start && (self.image == other.image || self.image == 0 || other.image == 0)
    }

    /// The earliest time at which the process may have begun, in ns of `CLOCK_MONOTONIC`: whatever was done before was
    /// done by another one that had its pid. Right to a clock tick, as `/proc` tells it.
    pub fn began(self) -> u64 {
        const SECOND: u128 = 1_000_000_000;
        let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok().flatten();
        let ticks = ticks.and_then(|t| u128::try_from(t).ok()).filter(|t| *t > 0).unwrap_or(100);
        let since_boot = u64::try_from(u128::from(self.start) * SECOND / ticks).unwrap_or(u64::MAX);
        since_boot.saturating_sub(sys::suspended())
    }
}

/// What changes while a process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// State letter (proc_pid_stat(5)), of another thread where the first one has ended: `R` runs, `S` sleeps, `D` sleeps
    /// uninterruptibly, `T` stopped, `t` traced, `Z` a zombie, `I` an idle kernel thread.
    pub state: char,
    /// Which process it is, and which program it runs.
    pub mark: Mark,
    /// Its threads, one for a zombie among them.
    pub threads: u32,
}

/// State and mark of a process; none where there is none.
pub fn life(pid: i32) -> Option<Life> {
    Stat::read(pid).map(|s| s.life)
}

/// The process that it descends from directly.
pub fn parent(pid: i32) -> Option<i32> {
    Some(Stat::parse(&read(&format!("/proc/{pid}/stat"))?)?.parent)
}

/// The thread by which to ask what all threads of a process share, and how that thread is: where the first one has
/// ended (pthread_exit(3)) and the others go on, `/proc/PID` is that of a zombie, without files and memory.
fn stand_in(pid: i32) -> Option<(i32, Stat)> {
    let first = Stat::parse(&read(&format!("/proc/{pid}/stat"))?)?;
    if first.life.state != 'Z' || first.life.threads < 2 {
        return None;
    }
    let tids = numbers(&format!("/proc/{pid}/task")).ok()?;
    let living = |tid: i32| Stat::parse(&read(&format!("/proc/{pid}/task/{tid}/stat"))?).filter(|s| !s.is_dead());
    tids.into_iter().filter(|tid| *tid != pid).find_map(|tid| Some((tid, living(tid)?)))
}

/// Its name alone, escaped for display: the cheapest that can be told of a process.
pub fn comm(pid: i32) -> Option<String> {
    let text = read(&format!("/proc/{pid}/comm"))?;
    Some(escape(text.strip_suffix(b"\n").unwrap_or(&text)))
}

/// Its children, by all of its threads (`CONFIG_PROC_CHILDREN`).
pub fn children(pid: i32) -> Vec<i32> {
    let mut children = Vec::new();
    for tid in numbers(&format!("/proc/{pid}/task")).unwrap_or_default() {
        if let Some(text) = read(&format!("/proc/{pid}/task/{tid}/children")) {
            let text = String::from_utf8_lossy(&text);
            children.extend(text.split_whitespace().filter_map(|w| w.parse::<i32>().ok()));
        }
    }
    children
}

/// Identities of processes, remembered: each is read once in its life.
#[derive(Debug, Default)]
pub struct Names {
    known: HashMap<i32, Identity>,
    users: HashMap<u32, String>,
}

impl Names {
    /// Reads `/etc/passwd`; without one, users stay numbers.
    pub fn new() -> Self {
        Self { known: HashMap::new(), users: users(&read("/etc/passwd").unwrap_or_default()) }
    }

    /// Who the process is; none where it is gone. A reused pid is told by its start, and a program that it became
    /// by execve(2) by its name.
    pub fn of(&mut self, pid: i32) -> Option<&Identity> {
        let stat = Stat::read(pid)?;
        let known = self.known.get(&pid).is_some_and(|i| i.mark.is_same(stat.life.mark));
        if !known {
            let identity = self.read(pid, stat)?;
            self.known.insert(pid, identity);
        }
        self.known.get(&pid)
    }

    /// Forgets all but those that `keep` wants.
    pub fn retain(&mut self, mut keep: impl FnMut(i32) -> bool) {
        self.known.retain(|pid, _| keep(*pid));
    }

    fn read(&self, pid: i32, stat: Stat) -> Option<Identity> {
        let status = read(&format!("/proc/{pid}/status"))?;
        let uid = uid(&status)?;
        let by_others = || command(&arguments(stand_in(pid)?.0));
        let command = command(&arguments(pid)).or_else(by_others).unwrap_or_else(|| format!("[{}]", stat.comm));
        let container = read(&format!("/proc/{pid}/cgroup")).and_then(|text| Container::of_cgroup(&text));
        let user = self.users.get(&uid).cloned().unwrap_or_else(|| uid.to_string());
        Some(Identity {
            pid,
            mark: stat.life.mark,
            comm: stat.comm,
            command,
            uid,
            user,
            parent: stat.parent,
            container,
        })
    }
}

/// So much of a command line is read, in bytes: what follows is cut.
const ARGUMENTS: u64 = 4096;

/// The begin of `/proc/PID/cmdline`; nothing where it is gone or has none.
fn arguments(pid: i32) -> Vec<u8> {
    let mut text = Vec::new();
    let file = File::open(format!("/proc/{pid}/cmdline"));
    if file.is_ok_and(|file| file.take(ARGUMENTS).read_to_end(&mut text).is_err()) {
        text.clear();
    }
    if text.len() as u64 == ARGUMENTS {
        text.extend(b"...");
    }
    text
}

/// A whole small file of /proc; none where it is gone or may not be read.
pub(crate) fn read(path: &str) -> Option<Vec<u8>> {
    try_read(path).ok()
}

fn try_read(path: &str) -> std::io::Result<Vec<u8>> {
    let (mut file, mut text, mut filled) = (File::open(path)?, vec![0; 2048], 0);
    // Not read_to_end: it asks for size and offset first, which files of /proc do not have.
    loop {
        match file.read(&mut text[filled..]) {
            Ok(0) => break,
            Ok(got) => filled += got,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
        if filled == text.len() {
            text.resize(2 * filled, 0);
        }
    }
    text.truncate(filled);
    Ok(text)
}

/// Every process that can be seen.
pub fn pids() -> Vec<i32> {
    numbers("/proc").unwrap_or_default()
}

/// The entries of a folder of /proc that are numbers.
fn numbers(path: &str) -> std::io::Result<Vec<i32>> {
    let entries = std::fs::read_dir(path)?;
    Ok(entries.filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok()).collect())
}

/// `/proc/PID/stat`, as far as it matters here.
#[derive(Debug)]
struct Stat {
    comm: String,
    parent: i32,
    life: Life,
    /// Where its program, stack and arguments lie: at random places, so that another program has others. None where
    /// that may not be known.
    placed: Option<[u64; 3]>,
}

impl Stat {
    /// A zombie is: it runs no more, and keeps nothing.
    fn is_dead(&self) -> bool {
        matches!(self.life.state, 'Z' | 'X' | 'x')
    }

    fn read(pid: i32) -> Option<Self> {
        let mut stat = Self::parse(&read(&format!("/proc/{pid}/stat"))?)?;
        if stat.is_dead()
            && let Some((_, living)) = stand_in(pid)
        {
            // It lives as long as one of its threads does.
            stat.life.state = living.life.state;
        }
        if stat.placed.is_none() && stat.life.mark.image != 0 {
            stat.life.mark.image ^= hashed(&arguments(pid));
        }
        Some(stat)
    }

    /// `pid (comm) state ppid …`: the comm may hold parentheses, spaces, line ends; it ends at the last parenthesis.
    fn parse(text: &[u8]) -> Option<Self> {
        let open = text.iter().position(|b| *b == b'(')?;
        let close = text.iter().rposition(|b| *b == b')')?;
        let comm = text.get(open + 1..close)?;
        let rest = std::str::from_utf8(text.get(close + 1..)?).ok()?;
        // Field 3 of proc_pid_stat(5) is the first here.
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let at = |number: usize| fields.get(number - 3);
        let number = |field| at(field).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
        let placed = Some([number(26), number(28), number(48)]).filter(|places| *places != [0; 3]);
        // Without memory it is a thread of the kernel, or has left its program and is about to be a zombie.
        let image = if number(23) == 0 { 0 } else { hashed(&(comm, placed)) };
        let mark = Mark { start: at(22)?.parse().ok()?, image };
        Some(Self {
            comm: escape(comm),
            parent: at(4)?.parse().ok()?,
            life: Life { state: at(3)?.chars().next()?, threads: at(20)?.parse().ok()?, mark },
            placed,
        })
    }
}

fn hashed(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    // 0 stands for none.
    hasher.finish() | 1
}

/// The second number of `Uid:` is the effective one.
fn uid(status: &[u8]) -> Option<u32> {
    status_words(status, "Uid:")?.get(1)?.parse().ok()
}

fn status_words(status: &[u8], name: &str) -> Option<Vec<String>> {
    let line = status.split(|b| *b == b'\n').find_map(|l| l.strip_prefix(name.as_bytes()))?;
    Some(String::from_utf8_lossy(line).split_whitespace().map(str::to_owned).collect())
}

/// uid to name, as passwd(5) has it. The first line for a uid counts.
fn users(passwd: &[u8]) -> HashMap<u32, String> {
    let mut users = HashMap::new();
    for line in String::from_utf8_lossy(passwd).lines() {
        let mut fields = line.split(':');
        if let (Some(name), Some(Ok(uid))) = (fields.next(), fields.nth(1).map(str::parse::<u32>)) {
            users.entry(uid).or_insert_with(|| escape(name.as_bytes()));
        }
    }
    users
}

/// A command line as one would type it: arguments in quotes where they need them. None where there is none.
fn command(cmdline: &[u8]) -> Option<String> {
    let text = cmdline.strip_suffix(&[0]).unwrap_or(cmdline);
    if text.iter().all(|b| *b == 0) {
        return None;
    }
    let arguments: Vec<String> = text.split(|b| *b == 0).map(argument).collect();
    Some(arguments.join(" "))
}

fn argument(bytes: &[u8]) -> String {
    let shown = escape(bytes);
    let plain = |c: char| c.is_alphanumeric() || "%+,-./:=@_^~[]{}".contains(c);
    if !shown.is_empty() && shown.chars().all(plain) { shown } else { format!("'{shown}'") }
}

/// Text of another program's for a terminal: what would move the cursor, change colours or the reading direction is
/// written as an escape; bytes that are no UTF-8 as `\xNN`.
pub fn escape(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' => shown.push_str("\\n"),
                '\t' => shown.push_str("\\t"),
                '\r' => shown.push_str("\\r"),
                c if c.is_control() || is_format(c) => shown.extend(c.escape_unicode()),
                c => shown.push(c),
            }
        }
        for byte in chunk.invalid() {
            shown.push_str(&format!("\\x{byte:02x}"));
        }
    }
    shown
}

/// Invisible characters that reorder or hide text (Unicode's general category Cf, the ones that do harm).
fn is_format(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests;
