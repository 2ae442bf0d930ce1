//! What cannot be seen from here, and why: said before anyone wonders.

use super::read;

/// Inode of the initial pid namespace (`PROC_PID_INIT_INO`, include/linux/proc_ns.h).
const INITIAL_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// Bit of `CAP_SYS_PTRACE` (capabilities(7)): the right to read other users' descriptors.
const CAP_SYS_PTRACE: u32 = 19;

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
}

impl Sight {
    /// Looks around.
    pub fn look() -> Self {
        let namespace = std::fs::read_link("/proc/self/ns/pid").ok();
        let privileged = read("/proc/self/status").is_some_and(|status| may_trace(&status));
        Self {
            initial_pid_namespace: namespace.and_then(|n| is_initial(n.to_str()?)),
            own_proc: std::fs::read_link("/proc/self")
                .is_ok_and(|p| p.to_str() == Some(&std::process::id().to_string())),
            // hidepid spares those who may trace.
            hides_processes: !privileged && read("/proc/self/mountinfo").is_some_and(|table| hides(&table)),
            reads_descriptors: privileged,
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
        said.into_iter().map(str::to_owned).collect()
    }
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
    fn nothing_is_said_where_all_is_seen() {
        let all = Sight {
            initial_pid_namespace: Some(true),
            own_proc: true,
            hides_processes: false,
            reads_descriptors: true,
        };
        assert!(all.sentences().is_empty());
        let none = Sight {
            initial_pid_namespace: Some(false),
            own_proc: false,
            hides_processes: true,
            reads_descriptors: false,
        };
        assert_eq!(none.sentences().len(), 4);
    }
}
