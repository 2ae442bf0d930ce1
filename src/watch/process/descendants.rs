//! The processes that a process has started, and those in turn: what a kill of it may leave behind.

use super::{Stat, children, command, owners, pids, read};
use crate::source::{Child, Children};
use crate::watch::probe::keeps;
use crate::watch::roster::Entry;
use std::collections::HashMap;

/// How many are read of one family: a build starts hundreds.
const MOST: usize = 32;

/// The living descendants of the process of a row, parents before their children; none where it is gone. Costs some
/// 100 µs each: for the one that is looked at.
pub fn of(entry: &Entry) -> Option<Children> {
    let pid = entry.task.pid;
    if pid <= 0 || Stat::read(pid).is_none_or(|s| s.is_dead()) {
        return None;
    }
    // Linux may be built without CONFIG_PROC_CHILDREN; then each process is asked for its parent.
    let listed = std::fs::metadata("/proc/thread-self/children").is_ok();
    let (found, more) =
        if listed { descendants(pid, children) } else { descendants_by_parents(pid, pids().into_iter()) };
    let list = found.into_iter().map(|(pid, parent, command)| Child { pid, parent, command, keeps: kept(pid, entry) });
    Some(Children { of: pid, list: list.collect(), more })
}

/// A process: its pid, its parent, its command line.
type Found = (i32, i32, String);

/// Level by level, so that of a large family the nearest are known; whether there are more.
fn descendants(root: i32, children: impl Fn(i32) -> Vec<i32>) -> (Vec<Found>, bool) {
    let mut found: Vec<Found> = Vec::new();
    let (mut parent, mut next) = (root, 0);
    loop {
        for pid in children(parent) {
            // A pid is used anew while we read, at times: nobody is listed twice.
            let known = pid == root || found.iter().any(|(known, ..)| *known == pid);
            let Some(stat) = Stat::read(pid).filter(|stat| !known && !stat.is_dead()) else { continue };
            if found.len() == MOST {
                return (found, true);
            }
            let arguments = read(&format!("/proc/{pid}/cmdline")).unwrap_or_default();
            found.push((pid, parent, command(&arguments).unwrap_or_else(|| format!("[{}]", stat.comm))));
        }
        let Some((pid, ..)) = found.get(next) else { return (found, false) };
        (parent, next) = (*pid, next + 1);
    }
}

fn descendants_by_parents(root: i32, all: impl Iterator<Item = i32>) -> (Vec<Found>, bool) {
    let mut of: HashMap<i32, Vec<i32>> = HashMap::new();
    for pid in all {
        if let Some(stat) = Stat::read(pid) {
            of.entry(stat.parent).or_default().push(pid);
        }
    }
    descendants(root, |parent| of.get(&parent).cloned().unwrap_or_default())
}

/// Whether the process keeps the lock that the row holds; none where it holds none, or where that may not be read.
fn kept(pid: i32, entry: &Entry) -> Option<bool> {
    entry.holds?;
    let scan = owners::scan_among([pid], Some(&[entry.key.file]));
    (scan.refused == 0).then(|| scan.owners.iter().any(|owner| keeps(owner, entry)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::LockKind;
    use crate::watch::change::{FileId, LockKey, TaskId};
    use nix::sys::signal::{Signal, killpg};
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    /// flock(1) and what it runs, in a group of their own; gone in the end.
    struct Tree {
        root: std::process::Child,
        file: tempfile::NamedTempFile,
    }

    impl Tree {
        fn plant(script: &str) -> Self {
            let file = tempfile::NamedTempFile::new().unwrap();
            let mut command = Command::new("flock");
            command.arg(file.path()).args(["sh", "-c", script]).stdin(Stdio::null()).process_group(0);
            Self { root: command.spawn().unwrap(), file }
        }

        /// The row of its root, which holds the lock or waits for it.
        fn row(&self, holds: bool) -> Entry {
            let pid = self.root.id() as i32;
            let file = FileId::of_path(self.file.path()).unwrap();
            Entry {
                lock: 0,
                actor: 1,
                key: LockKey { file, family: LockKind::Flock.into() },
                task: TaskId { pid, tid: 0 },
                kind: LockKind::Flock,
                range: None,
                holds: holds.then_some(1),
                waits: !holds,
                mark: None,
                acted: 0,
                over: false,
                used: 0,
            }
        }

        fn grown(&self, is: impl Fn(&Children) -> bool) -> Children {
            let began = Instant::now();
            loop {
                let found = of(&self.row(true));
                if let Some(found) = found.clone().filter(&is) {
                    return found;
                }
                assert!(began.elapsed() < Duration::from_secs(60), "{found:?}");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = killpg(nix::unistd::Pid::from_raw(self.root.id() as i32), Signal::SIGKILL);
            let _ = self.root.wait();
        }
    }

    #[test]
    fn the_living_are_listed_with_those_that_keep_the_lock() {
        // What exec makes of the shell reaps nobody: `true` stays a zombie.
        let tree = Tree::plant("true & sleep 1001 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&- & sleep 1002 & exec sleep 1000");
        let told = |found: &Children| {
            let mut told: Vec<_> = found.list.iter().map(|c| (c.command.clone(), c.keeps)).collect();
            told.sort();
            told
        };
        let (yes, no) = (Some(true), Some(false));
        let expected = [("sleep 1000", yes), ("sleep 1001", no), ("sleep 1002", yes)].map(|(c, k)| (c.to_owned(), k));
        let found = tree.grown(|found| told(found) == expected);
        let root = tree.root.id() as i32;
        assert!(found.of == root && !found.more);
        let first = &found.list[0];
        assert_eq!((first.command.as_str(), first.parent), ("sleep 1000", root));
        assert!(found.list[1..].iter().all(|c| c.parent == first.pid), "{found:?}");

        // Of one that waits nothing can be kept; and there is another way to find them.
        assert!(of(&tree.row(false)).unwrap().list.iter().all(|c| c.keeps.is_none()));
        let (mut by_parents, more) = descendants_by_parents(root, pids().into_iter());
        by_parents.sort();
        let mut listed: Vec<Found> = found.list.into_iter().map(|c| (c.pid, c.parent, c.command)).collect();
        listed.sort();
        assert_eq!((by_parents, more), (listed, false));

        let mut gone = tree.row(true);
        gone.task.pid = i32::MAX;
        assert_eq!(of(&gone), None);
    }

    #[test]
    fn of_many_some_are_listed() {
        let tree = Tree::plant("for i in 1 2 3 4 5 6; do for j in 1 2 3 4 5 6; do sleep 1000 & done; done; wait");
        let found = tree.grown(|found| found.more);
        assert_eq!(found.list.len(), MOST);
    }
}
