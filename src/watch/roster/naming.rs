//! What files are called, and which locks they have.

use super::{Roster, Row};
use crate::event::{Event, LockId, LockKind};
use crate::watch::change::{Family, FileId, LockKey};

/// A name that was looked at is taken to be right for so long, in ns.
const NAME_GOOD_NS: u64 = 1_000_000_000;

impl Roster {
    /// The user calls the file so from now on; nothing else is to be found out about its name.
    pub fn call(&mut self, file: FileId, name: &str) {
        self.given.insert(file, name.to_owned());
    }

    /// The name that the user gave is another file's now.
    pub fn uncall(&mut self, file: FileId) {
        if let Some(name) = self.given.remove(&file) {
            self.found.insert(file, name);
        }
    }

    /// Whether the user's name for the file is right as far as is known.
    pub fn is_given(&self, file: FileId) -> bool {
        self.given.contains_key(&file)
    }

    /// Locks that came without a name since this was asked last.
    pub fn take_nameless(&mut self) -> Vec<LockId> {
        std::mem::take(&mut self.nameless)
    }

    /// The other lock of the file, if it was never used.
    pub(super) fn unused_sibling(&self, key: LockKey) -> Option<usize> {
        let family = if key.family == Family::Flock { Family::Record } else { Family::Flock };
        let number = *self.by_key.get(&LockKey { family, ..key })?;
        self.locks.get(number).is_some_and(|l| l.rows.is_empty()).then_some(number)
    }

    /// A lock was found to have a name; its numbers stay.
    pub fn name_lock(&mut self, t: u64, id: LockId, name: String, kind: LockKind, out: &mut Vec<Event>) {
        let t = t.saturating_sub(self.epoch);
        let Some(lock) = self.locks.get_mut(id as usize) else { return };
        self.found.insert(lock.key.file, name.clone());
        lock.name = Some(name);
        out.extend(self.announcement(t, id as usize, kind));
    }

    /// What a lock is called; none as long as that is not known.
    pub fn name(&self, id: LockId) -> Option<&str> {
        self.locks.get(id as usize)?.name.as_deref()
    }

    /// Whether a lock may have a name that was its file's before, at `now`: somebody uses it who came after its name was
    /// found, and nobody did all the while. The kernel gives the inodes of removed files to new ones. Where it may, its
    /// name counts as found from now on.
    pub fn is_name_stale(&mut self, id: LockId, now: u64) -> bool {
        let t = now.saturating_sub(self.epoch);
        let Some(lock) = self.locks.get_mut(id as usize) else { return false };
        let used = lock.rows.iter().filter(|r| !r.is_idle()).map(|r| r.hold.map_or(r.acted, |h| h.since)).min();
        let stale = used.is_some_and(|since| since > lock.named) && t.saturating_sub(lock.named) >= NAME_GOOD_NS;
        if stale {
            lock.named = t;
        }
        stale
    }

    /// The numbers of the locks of a file.
    pub fn of_file(&self, file: FileId) -> impl Iterator<Item = LockId> {
        [Family::Flock, Family::Record].into_iter().filter_map(move |family| self.number(LockKey { file, family }))
    }

    /// The kind of lock that a file was used for last; none where it was not.
    pub fn kind_of(&self, file: FileId) -> Option<LockKind> {
        let used = self.of_file(file).filter_map(|id| self.locks.get(id as usize)).flat_map(|l| &l.rows);
        used.max_by_key(|r| r.used).map(|r| r.kind)
    }

    /// Whether a file is in use, or was at `t` or later.
    pub fn is_in_use(&self, file: FileId, t: u64) -> bool {
        let t = t.saturating_sub(self.epoch);
        let mut locks = self.of_file(file).filter_map(|id| self.locks.get(id as usize));
        locks.any(|l| l.used >= t || !l.rows.iter().all(Row::is_idle))
    }
}
