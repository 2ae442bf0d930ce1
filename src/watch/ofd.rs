//! What `/proc/locks` does not tell of those it lists: whose the open-file-description locks are, and which thread waits.
//! The descriptors of processes ([`owners`]) and the system calls that their threads are in ([`waits`]) tell.

use super::change::{FileId, LockKey, Range, TaskId};
use super::grammar::SnapshotEntry;
use super::process::{Owner, Wait, owners, waits};
use super::procfs::Row;
use crate::event::{LockKind, LockMode};
use std::collections::{BTreeSet, HashMap};

/// Who keeps and who waits for the open-file-description locks of some files.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    /// As [`owners::scan`] finds them.
    pub keepers: Vec<Owner>,
    /// As [`waits::of`] finds them.
    pub waits: Vec<Wait>,
}

impl Tasks {
    /// Looks through the descriptors and threads of `pids`, once for all files, for what these rows say is held and
    /// waited for.
    pub fn among(pids: &[i32], rows: &[Row]) -> Self {
        let (mut held, mut awaited) = (BTreeSet::new(), BTreeSet::new());
        for row in rows.iter().filter(|row| row.kind.lock() == Some(LockKind::Ofd)) {
            if row.waits() { &mut awaited } else { &mut held }.extend(row.file);
        }
        let mut found = Self::default();
        if !held.is_empty() {
            let files: Vec<FileId> = held.into_iter().collect();
            found.keepers = owners::scan_among(pids.iter().copied(), Some(&files)).owners;
            found.keepers.retain(|o| o.kind == LockKind::Ofd);
        }
        if !awaited.is_empty() {
            let of_rows = |w: &Wait| w.kind == LockKind::Ofd && w.file.is_some_and(|f| awaited.contains(&f));
            found.waits = pids.iter().flat_map(|pid| waits::of(*pid)).filter(of_rows).collect();
        }
        found
    }

    /// Those of each file.
    pub fn by_file(self) -> HashMap<FileId, Self> {
        let mut files: HashMap<FileId, Self> = HashMap::new();
        for owner in self.keepers {
            files.entry(owner.file).or_default().keepers.push(owner);
        }
        for wait in self.waits {
            if let Some(file) = wait.file {
                files.entry(file).or_default().waits.push(wait);
            }
        }
        files
    }
}

/// What an open-file-description lock or request is for.
type Want = (FileId, Range, LockMode);

/// A process that a row may be of, and whether a row was given to it already.
type Candidate = (bool, i32);

/// Processes that rows may be of, once for each descriptor or thread.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    keepers: HashMap<Want, Vec<Candidate>>,
    waits: HashMap<Want, Vec<Candidate>>,
    /// They wait at this file, for what cannot be read.
    for_something: HashMap<FileId, Vec<Candidate>>,
}

impl Candidates {
    pub fn of(tasks: &Tasks) -> Self {
        let mut found = Self::default();
        for owner in tasks.keepers.iter().filter(|o| o.kind == LockKind::Ofd) {
            if let Some(mode) = owner.mode {
                found.keepers.entry((owner.file, owner.range, mode)).or_default().push((false, owner.pid));
            }
        }
        for wait in tasks.waits.iter().filter(|w| w.kind == LockKind::Ofd) {
            let Some(file) = wait.file else { continue };
            match (wait.range, wait.mode) {
                (Some(range), Some(mode)) => found.waits.entry((file, range, mode)).or_default(),
                _ => found.for_something.entry(file).or_default(),
            }
            .push((false, wait.pid));
        }
        found
    }

    /// A process for a row: one that has none yet; of those, the one that had it in the `last` reading, else the one
    /// with the lowest pid.
    pub fn take(&mut self, waits: bool, want: Want, last: impl Fn(i32) -> bool) -> Option<i32> {
        let of_want = if waits { self.waits.get_mut(&want) } else { self.keepers.get_mut(&want) };
        let list = match of_want {
            Some(list) if !list.is_empty() => list,
            _ if waits => self.for_something.get_mut(&want.0)?,
            _ => return None,
        };
        let place = |(_, (given, pid)): &(usize, &Candidate)| (*given, !last(*pid), *pid);
        let (at, &(_, pid)) = list.iter().enumerate().min_by_key(place)?;
        list.swap_remove(at);
        list.iter_mut().filter(|c| c.1 == pid).for_each(|c| c.0 = true);
        Some(pid)
    }
}

/// The rows of locks as the exact way takes them, those without an owner with the one that `tasks` tell.
pub(super) fn entries(rows: &[Row], tasks: &Tasks) -> Vec<SnapshotEntry> {
    let mut candidates = Candidates::of(tasks);
    let entry = |row: &Row| {
        let (kind, file, mode) = (row.kind.lock()?, row.file?, row.mode?);
        let pid = match kind {
            LockKind::Ofd => candidates.take(row.waits(), (file, row.range, mode), |_| false).unwrap_or(row.pid),
            _ => row.pid,
        };
        let range = (kind != LockKind::Flock).then_some(row.range);
        let lock = LockKey { file, family: kind.into() };
        Some(SnapshotEntry {
            lock,
            task: TaskId { pid, tid: 0 },
            kind,
            mode,
            range,
            waiting: row.waits(),
            supposed: false,
        })
    };
    rows.iter().filter_map(entry).collect()
}

/// Finds the threads of those that wait: a process's only one, or the one whose system call says so. `calls` tells how
/// many threads a process has and, of one that has several, which of them wait for what.
pub(super) fn find_threads(
    entries: &mut [SnapshotEntry],
    threads: impl Fn(i32) -> Option<u64>,
    waits: impl Fn(i32) -> Vec<Wait>,
) {
    let mut calls: HashMap<i32, Vec<Wait>> = HashMap::new();
    for entry in entries.iter_mut().filter(|e| e.waiting && e.task.pid > 0) {
        let pid = entry.task.pid;
        if threads(pid) == Some(1) {
            entry.task.tid = pid;
            continue;
        }
        let calls = calls.entry(pid).or_insert_with(|| waits(pid));
        let same = |w: &Wait| {
            (w.kind, w.file) == (entry.kind, Some(entry.lock.file))
                && w.mode.is_none_or(|mode| mode == entry.mode)
                && (w.range.is_none() || entry.range.is_none() || w.range == entry.range)
        };
        // Each is one wait.
        if let Some(at) = calls.iter().position(same) {
            entry.task.tid = calls.swap_remove(at).tid;
        }
    }
}

/// Those of an earlier reading that waited, wait no more as far as can be seen, and are stopped: in the kernel's queue
/// they are none, but they go on with their wait when they go on, unless they had got the lock before.
pub(super) fn add_stopped(entries: &mut Vec<SnapshotEntry>, before: &[SnapshotEntry], stopped: impl Fn(i32) -> bool) {
    let same = |a: &SnapshotEntry, b: &SnapshotEntry| {
        SnapshotEntry { task: b.task, supposed: b.supposed, ..*a } == *b && a.task.pid == b.task.pid
    };
    for old in before.iter().filter(|old| old.waiting && old.task.pid > 0) {
        if !entries.iter().any(|new| same(new, old)) && stopped(old.task.pid) {
            entries.push(SnapshotEntry { supposed: true, ..*old });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::procfs::Kind;

    const FILE: FileId = FileId { major: 254, minor: 0, inode: 42 };

    fn row(waits: bool, mode: LockMode) -> Row {
        let (kind, depth) = (Kind::Lock(LockKind::Ofd), u32::from(waits));
        Row { ordinal: 1, depth, behind: None, kind, mode: Some(mode), pid: -1, file: Some(FILE), range: Range::WHOLE }
    }

    fn keeper(pid: i32, mode: LockMode) -> Owner {
        Owner { pid, fd: 3, file: FILE, kind: LockKind::Ofd, mode: Some(mode), range: Range::WHOLE, named: -1 }
    }

    #[test]
    fn rows_that_are_alike_are_of_one_process_each() {
        let (sh, ex) = (LockMode::Shared, LockMode::Exclusive);
        let wait = |pid, mode: Option<LockMode>| {
            let range = mode.map(|_| Range::WHOLE);
            Wait { pid, tid: pid, fd: 3, kind: LockKind::Ofd, mode, range, file: Some(FILE) }
        };
        let tasks = Tasks {
            keepers: vec![keeper(9, sh), keeper(8, ex), keeper(7, sh)],
            waits: vec![wait(5, Some(ex)), wait(6, None)],
        };
        let rows = [row(false, sh), row(false, sh), row(false, sh), row(true, ex), row(true, ex), row(true, ex)];
        let found: Vec<_> = entries(&rows, &tasks).iter().map(|e| (e.task.pid, e.waiting)).collect();
        assert_eq!(found, [(7, false), (9, false), (-1, false), (5, true), (6, true), (-1, true)]);
    }

    fn waiter(pid: i32, tid: i32) -> SnapshotEntry {
        let lock = LockKey { file: FILE, family: LockKind::Flock.into() };
        let task = TaskId { pid, tid };
        let (kind, mode) = (LockKind::Flock, LockMode::Exclusive);
        SnapshotEntry { lock, task, kind, mode, range: None, waiting: true, supposed: false }
    }

    #[test]
    fn threads_that_wait_are_found_where_they_can_be_read() {
        let call = |tid, inode, mode| Wait {
            pid: 2,
            tid,
            fd: 3,
            kind: LockKind::Flock,
            mode: Some(mode),
            range: Some(Range::WHOLE),
            file: Some(FileId { inode, ..FILE }),
        };
        let (ex, sh) = (LockMode::Exclusive, LockMode::Shared);
        let holder = SnapshotEntry { waiting: false, ..waiter(2, 0) };
        let mut found = [waiter(1, 0), holder, waiter(2, 0), waiter(2, 0), waiter(2, 0), waiter(3, 0), waiter(-1, 0)];
        let threads = |pid| Some(if pid == 1 { 1 } else { 4 });
        let waits = |pid| {
            if pid == 2 { vec![call(2, 7, ex), call(21, 42, sh), call(22, 42, ex), call(23, 42, ex)] } else { vec![] }
        };
        find_threads(&mut found, threads, waits);
        assert_eq!(found.map(|e| e.task.tid), [1, 0, 22, 23, 0, 0, 0]);
    }

    #[test]
    fn a_waiter_that_is_stopped_waits_on() {
        let before = [waiter(1, 1), waiter(2, 2), waiter(3, 3), SnapshotEntry { waiting: false, ..waiter(4, 0) }];
        let mut found = vec![waiter(3, 0)];
        add_stopped(&mut found, &before, |pid| pid != 1);
        assert_eq!(found, [waiter(3, 0), SnapshotEntry { supposed: true, ..waiter(2, 2) }]);
    }
}
