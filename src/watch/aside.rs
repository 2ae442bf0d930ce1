//! What goes on at locks that are not watched yet: where processes are watched, a lock is watched from the moment that
//! one of them comes to it, and then it matters who else is there. Pure.

use super::change::{Change, Deed, Family, FileId, LockKey, Range, TaskId};
use std::collections::HashMap;

/// Who holds, by task and bytes, or waits, by task alone.
type Claim = (TaskId, Option<Option<Range>>);

/// Holders and waiters of each lock that has any.
#[derive(Debug, Default)]
pub struct Aside {
    locks: HashMap<LockKey, HashMap<Claim, Change>>,
}

impl Aside {
    /// Takes in what was seen.
    pub fn note(&mut self, change: &Change) {
        let (waits, holds) = ((change.task, None), (change.task, Some(change.range)));
        match change.deed {
            Deed::Waiting { .. } => drop(self.claims(change.lock).insert(waits, change.clone())),
            Deed::Holding { .. } | Deed::Kept { .. } | Deed::Acquired { .. } => {
                let claims = self.claims(change.lock);
                claims.remove(&waits);
                claims.insert(holds, change.clone());
            }
            Deed::Released => self.remove(change.lock, holds),
            Deed::GaveUp | Deed::Left => self.remove(change.lock, waits),
            // It will try again.
            Deed::Tried { .. } => {}
        }
    }

    /// Who is at the locks of a file now, told as what was there before watching began; it is watched elsewhere from
    /// now on.
    pub fn take(&mut self, file: FileId, now: u64) -> Vec<Change> {
        let both = [Family::Flock, Family::Record].map(|family| LockKey { file, family });
        let claims = both.iter().filter_map(|key| self.locks.remove(key)).flatten();
        let mut found: Vec<Change> = claims.filter_map(|(_, change)| before(change)).collect();
        found.sort_by_key(|c| c.t);
        found.iter_mut().for_each(|c| c.t = now);
        found
    }

    fn claims(&mut self, lock: LockKey) -> &mut HashMap<Claim, Change> {
        self.locks.entry(lock).or_default()
    }

    fn remove(&mut self, lock: LockKey, claim: Claim) {
        let Some(claims) = self.locks.get_mut(&lock) else { return };
        claims.remove(&claim);
        if claims.is_empty() {
            self.locks.remove(&lock);
        }
    }
}

fn before(change: Change) -> Option<Change> {
    let deed = match change.deed {
        Deed::Waiting { mode, .. } => Deed::Waiting { mode, before: true },
        Deed::Holding { mode } | Deed::Kept { mode, .. } | Deed::Acquired { mode, .. } => Deed::Holding { mode },
        Deed::Tried { .. } | Deed::GaveUp | Deed::Left | Deed::Released => return None,
    };
    Some(Change { deed, ..change })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{LockKind, LockMode};

    const FILE: FileId = FileId { major: 1, minor: 2, inode: 3 };
    const MODE: LockMode = LockMode::Exclusive;

    fn change(t: u64, pid: i32, bytes: Option<(u64, u64)>, deed: Deed) -> Change {
        let (kind, range) = match bytes {
            Some((start, end)) => (LockKind::Posix, Some(Range { start, end: Some(end) })),
            None => (LockKind::Flock, None),
        };
        let lock = LockKey { file: FILE, family: kind.into() };
        Change { t, lock, task: TaskId { pid, tid: pid }, kind, range, deed }
    }

    #[test]
    fn only_who_is_still_there_is_told() {
        let won = Deed::Acquired { mode: MODE, contended: false, asked: None };
        let waits = Deed::Waiting { mode: MODE, before: false };
        let mut aside = Aside::default();
        for seen in [
            change(1, 1, None, won),
            change(2, 2, None, waits),
            change(3, 3, None, waits),
            change(4, 4, None, Deed::Tried { mode: MODE, count: 1 }),
            change(5, 1, None, Deed::Released),
            change(6, 2, None, won),
            change(7, 5, Some((0, 9)), won),
            change(8, 5, Some((20, 29)), won),
            change(9, 5, Some((0, 9)), Deed::Released),
            change(9, 6, Some((20, 29)), waits),
            change(9, 6, Some((20, 29)), Deed::GaveUp),
        ] {
            aside.note(&seen);
        }
        assert_eq!(aside.take(FileId { inode: 4, ..FILE }, 50), []);
        let holds = Deed::Holding { mode: MODE };
        let expected = [
            change(50, 3, None, Deed::Waiting { mode: MODE, before: true }),
            change(50, 2, None, holds),
            change(50, 5, Some((20, 29)), holds),
        ];
        assert_eq!(aside.take(FILE, 50), expected);
        assert_eq!(aside.take(FILE, 50), []);
        assert!(aside.locks.is_empty());
    }
}
