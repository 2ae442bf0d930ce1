//! Who has the open-file-description locks, reading by reading. All descriptors and threads of the system are too much
//! for each of them; those of the processes that were seen at these files are few, and as a rule explain every row.

use super::ofd::{Candidates, Tasks};
use super::process::pids;
use super::procfs::{Reader, Row, Snapshot};
use crate::clock;
use crate::event::LockKind;
use anyhow::Result;
use std::collections::BTreeSet;
use std::thread::JoinHandle;

/// Looking through all processes may take one part in so many of the time while that explains the rows, and where it
/// does not: then the descriptors may not be read.
const SHARE: u64 = 4;
const SHARE_IN_VAIN: u64 = 20;
/// The same for looking through those that were seen at these files, where that takes more than so many ns.
const SHARE_NEAR: u64 = 4;
const CHEAP_NS: u64 = 5_000_000;

/// What this way of asking does not see.
pub const BLIND: &str = "the kernel names no process for an open-file-description lock: one that is new at such a lock is found \
     among all processes first, and what it holds until then is nobody's (pid -1); where those at such locks have many \
     thousand descriptors, their owners are looked for in a fifth of the time only";

/// The processes that were found, and how long that took, in ns.
type Found = (Tasks, u64);

/// See the module.
#[derive(Debug, Default)]
pub struct Askers {
    /// Processes that had to do with one of the files.
    near: BTreeSet<i32>,
    /// What those had last, and when they may be looked through again.
    last: Tasks,
    near_due: u64,
    /// What it cost to look through all processes, and when that may be done again.
    cost: u64,
    due: u64,
    /// That being done, where it takes longer than a reading may be late.
    under_way: Option<JoinHandle<Found>>,
}

impl Askers {
    /// Who has what the last reading shows on the files that are wanted. Where that fits no one who is known, a lock may
    /// have changed hands in between: it is read again then.
    pub fn ask(&mut self, reader: &mut Reader, every_ns: u64, wants: impl Fn(&Row) -> bool) -> Result<Tasks> {
        let rows = |snapshot: &Snapshot| -> Vec<Row> {
            let ofd = |row: &&Row| row.kind.lock() == Some(LockKind::Ofd) && wants(row);
            snapshot.rows.iter().filter(ofd).copied().collect()
        };
        self.learn();
        let mut shown = rows(reader.last());
        for again in [true, false] {
            if shown.is_empty() {
                return Ok(Tasks::default());
            }
            self.look_near(&shown, every_ns);
            if explains(&self.last, &shown) {
                return Ok(self.last.clone());
            }
            if again {
                shown = rows(reader.read()?);
            }
        }
        let now = clock::now();
        if now < self.due || self.under_way.is_some() {
            return Ok(self.last.clone());
        }
        if self.cost <= every_ns / 2 {
            let found = look_through_all(&shown);
            self.take(found, Some(&shown));
        } else {
            // Without an answer for now: no thread is no reason to stall.
            self.under_way =
                std::thread::Builder::new().name("askers".into()).spawn(move || look_through_all(&shown)).ok();
        }
        Ok(self.last.clone())
    }

    fn look_near(&mut self, rows: &[Row], every_ns: u64) {
        let began = clock::now();
        if began < self.near_due {
            return;
        }
        let near: Vec<i32> = self.near.iter().copied().collect();
        self.last = Tasks::among(&near, rows);
        let now = clock::now();
        // What is cheap is done each time. What is not may say for a moment what was so before.
        let cost = now.saturating_sub(began);
        self.near_due = if cost > CHEAP_NS.max(every_ns / SHARE_NEAR) {
            now.saturating_add(cost.saturating_mul(SHARE_NEAR))
        } else {
            0
        };
    }

    fn learn(&mut self) {
        if let Some(found) = self.under_way.take_if(|thread| thread.is_finished()).and_then(|thread| thread.join().ok())
        {
            self.take(found, None);
        }
    }

    /// `rows` are those that it was asked for, if that is not long ago.
    fn take(&mut self, (tasks, cost): Found, rows: Option<&[Row]>) {
        self.near.retain(|pid| std::path::Path::new(&format!("/proc/{pid}")).exists());
        self.near.extend(tasks.keepers.iter().map(|o| o.pid).chain(tasks.waits.iter().map(|w| w.pid)));
        let share = if rows.is_none_or(|rows| explains(&tasks, rows)) { SHARE } else { SHARE_IN_VAIN };
        self.cost = cost;
        self.due = clock::now().saturating_add(cost.saturating_mul(share));
        if rows.is_some() {
            self.last = tasks;
        }
    }
}

fn look_through_all(rows: &[Row]) -> Found {
    let began = clock::now();
    let tasks = Tasks::among(&pids(), rows);
    (tasks, clock::now().saturating_sub(began))
}

/// Whether there is a process for each row.
fn explains(tasks: &Tasks, rows: &[Row]) -> bool {
    let mut candidates = Candidates::of(tasks);
    let mut explained = |row: &Row| {
        let want = row.file.zip(row.mode).map(|(file, mode)| (file, row.range, mode));
        want.is_none_or(|want| candidates.take(row.waits(), want, |_| false).is_some())
    };
    rows.iter().all(&mut explained)
}
