//! What cannot be seen from here, and why: said before anyone wonders.

use super::{read, waits};
use crate::event::{LockKind, LockMode};
use crate::lock::Lock;
use crate::watch::change::FileId;
use crate::watch::procfs::Reader;
use std::os::fd::AsRawFd;
use std::time::Duration;

/// Inode of the initial pid namespace (`PROC_PID_INIT_INO`, include/linux/proc_ns.h).
const INITIAL_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// Bit of `CAP_SYS_PTRACE` (capabilities(7)): the right to read other users' descriptors.
const CAP_SYS_PTRACE: u32 = 19;

/// How often to look whether our threads have come to wait, 1 ms apart.
const TRIES: usize = 1000;

/// What may be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// We are in the initial pid namespace; none where that cannot be told.
    pub initial_pid_namespace: Option<bool>,
    /// `/proc` is of our pid namespace.
    pub own_proc: bool,
    /// Other users' processes are hidden (`hidepid`, proc(5)).
    pub hides_processes: bool,
    /// Other users' descriptors may be read.
    pub reads_descriptors: bool,
    /// `/proc/locks` shows all that wait; none where that could not be found out.
    pub whole_queue: Option<bool>,
}

impl Sight {
    /// Looks around.
    pub fn look() -> Self {
        let privileged = read("/proc/self/status").is_some_and(|status| may_trace(&status));
        Self {
            initial_pid_namespace: initial_pid_namespace(),
            own_proc: std::fs::read_link("/proc/self")
                .is_ok_and(|p| p.to_str() == Some(&std::process::id().to_string())),
            // hidepid spares those who may trace.
            hides_processes: !privileged && read("/proc/self/mountinfo").is_some_and(|table| hides(&table)),
            reads_descriptors: privileged,
            whole_queue: shows_whole_queue(),
        }
    }

    /// What is missing, a sentence each with the way out; nothing where all can be seen.
    pub fn sentences(&self) -> Vec<String> {
        let mut said = Vec::new();
        if self.initial_pid_namespace == Some(false) {
            said.push(
                "inside a pid namespace (a container): locks whose holder is outside of it are hidden, and so are those in here that wait for them; processes outside that wait show as pid 0. Run flockmon on the host, or in a container with --pid=host",
            );
        }
        if !self.own_proc {
            said.push(
                "/proc is not of this pid namespace: names may be missing or wrong. Mount one of its own (mount -t proc proc /proc)",
            );
        }
        if self.hides_processes {
            said.push(
                "/proc is mounted with hidepid: locks of other users are shown, their processes are not. Run flockmon as root",
            );
        }
        if !self.reads_descriptors {
            said.push(
                "not root: the descriptors of other users' processes may not be read, so that keepers of an inherited lock, owners of OFD locks and paths are known for your own processes only. Run flockmon as root, or with CAP_SYS_PTRACE",
            );
        }
        if self.whole_queue == Some(false) {
            said.push(
                "this kernel (Linux 5.0 to 5.12) leaves out of /proc/locks who waits behind a waiter: there are more of them than are shown. Use --how exact, which sees all",
            );
        }
        said.into_iter().map(str::to_owned).collect()
    }
}

/// Whether `/proc/locks` has those that wait behind a waiter. Linux 5.0 to 5.12 left them out; distributions mended
/// some of these, so there it is tried out.
fn shows_whole_queue() -> Option<bool> {
    let release = read("/proc/sys/kernel/osrelease")?;
    if may_cut_queues(&release) { try_queue() } else { Some(true) }
}

fn may_cut_queues(release: &[u8]) -> bool {
    let release = String::from_utf8_lossy(release);
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => major == 5 && minor < 13,
        _ => true,
    }
}

/// Two threads of ours wait for a lock on a file that nobody else knows. None if that cannot be done, or if the machine
/// is so busy that they do not come to wait.
fn try_queue() -> Option<bool> {
    let file = tempfile::NamedTempFile::new().ok()?;
    let id = FileId::of_path(file.path()).ok()?;
    let lock = LockKind::Flock;
    lock.try_acquire(file.as_file().as_raw_fd(), LockMode::Exclusive).ok()?.then_some(())?;
    let others = [file.reopen().ok()?, file.reopen().ok()?];
    std::thread::scope(|scope| {
        for other in &others {
            // Its end is the end of the other's wait, if not ours.
            scope.spawn(move || {
                lock.acquire(other.as_raw_fd(), LockMode::Exclusive).and_then(|()| lock.release(other.as_raw_fd()))
            });
        }
        let me = std::process::id() as i32;
        let both_wait = || waits::of(me).iter().filter(|w| w.file == Some(id)).count() == 2;
        let tries = (0..TRIES).any(|_| {
            let done = both_wait();
            if !done {
                std::thread::sleep(Duration::from_millis(1));
            }
            done
        });
        let shown =
            tries.then(|| Some(Reader::new().ok()?.read().ok()?.of(id).filter(|r| r.waits()).count())).flatten();
        let _ = lock.release(file.as_file().as_raw_fd());
        shown.filter(|n| *n > 0).map(|n| n == 2)
    })
}

/// Whether `/proc` here numbers tasks as the initial pid namespace does, and as the kernel's records do; none where
/// that cannot be told.
pub fn initial_pid_namespace() -> Option<bool> {
    is_initial(std::fs::read_link("/proc/self/ns/pid").ok()?.to_str()?)
}

/// `pid:[4026531836]`.
fn is_initial(link: &str) -> Option<bool> {
    let inode: u64 = link.strip_prefix("pid:[")?.strip_suffix(']')?.parse().ok()?;
    Some(inode == INITIAL_PID_NAMESPACE)
}

fn may_trace(status: &[u8]) -> bool {
    let line = status.split(|b| *b == b'\n').find_map(|l| l.strip_prefix(b"CapEff:"));
    let bits = line.and_then(|l| u64::from_str_radix(std::str::from_utf8(l).ok()?.trim(), 16).ok());
    bits.is_some_and(|bits| bits >> CAP_SYS_PTRACE & 1 == 1)
}

/// Whether the last mount at /proc has `hidepid` set: 1, 2 or 4, or in words since Linux 5.8 (proc(5)).
fn hides(mountinfo: &[u8]) -> bool {
    let table = String::from_utf8_lossy(mountinfo);
    let at_proc = |line: &&str| line.split(' ').nth(4) == Some("/proc");
    let Some((_, of_superblock)) = table.lines().rfind(at_proc).and_then(|l| l.split_once(" - ")) else { return false };
    let options = of_superblock.split(' ').nth(2).unwrap_or_default();
    options.split(',').filter_map(|o| o.strip_prefix("hidepid=")).any(|value| !matches!(value, "0" | "off"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_and_rights() {
        assert_eq!(is_initial("pid:[4026531836]"), Some(true));
        assert_eq!(is_initial("pid:[4026532178]"), Some(false));
        assert_eq!(is_initial("nonsense"), None);
        assert!(may_trace(b"Name:\tx\nCapEff:\t000001ffffffffff\n"));
        assert!(!may_trace(b"Name:\tx\nCapEff:\t0000000000000000\n"));
        assert!(!may_trace(b"CapEff:\tzz\n"));
    }

    #[test]
    fn hidepid_in_numbers_and_in_words() {
        let table = |options: &str| format!("22 27 0:21 / /proc rw,relatime shared:5 - proc proc {options}\n");
        for options in ["rw,hidepid=2", "rw,gid=5,hidepid=invisible", "rw,hidepid=ptraceable", "rw,hidepid=1"] {
            assert!(hides(table(options).as_bytes()), "{options}");
        }
        for options in ["rw", "rw,hidepid=0", "rw,hidepid=off"] {
            assert!(!hides(table(options).as_bytes()), "{options}");
        }
        assert!(!hides(format!("{}{}", table("rw,hidepid=2"), table("rw")).as_bytes()));
        assert!(!hides(b"garbage\n"));
    }

    #[test]
    fn kernels_that_may_cut_queues() {
        for release in ["5.0.0", "5.4.0-169-generic\n", "5.10.0-28-amd64\n", "5.12.19", "nonsense"] {
            assert!(may_cut_queues(release.as_bytes()), "{release}");
        }
        for release in ["4.19.0-26-amd64", "5.13.0", "5.15.153.1-microsoft-standard-WSL2", "6.1", "10.5.1"] {
            assert!(!may_cut_queues(release.as_bytes()), "{release}");
        }
    }

    #[test]
    fn a_queue_of_our_own_is_seen_as_the_kernel_shows_it() {
        let shown = try_queue();
        match read("/proc/sys/kernel/osrelease") {
            Some(release) if !may_cut_queues(&release) => assert_eq!(shown, Some(true)),
            _ => assert!(shown.is_some()),
        }
    }

    #[test]
    fn nothing_is_said_where_all_is_seen() {
        let all = Sight {
            initial_pid_namespace: Some(true),
            own_proc: true,
            hides_processes: false,
            reads_descriptors: true,
            whole_queue: Some(true),
        };
        assert!(all.sentences().is_empty());
        let none = Sight {
            initial_pid_namespace: Some(false),
            own_proc: false,
            hides_processes: true,
            reads_descriptors: false,
            whole_queue: Some(false),
        };
        assert_eq!(none.sentences().len(), 5);
    }
}
