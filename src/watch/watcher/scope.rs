//! Which files are watched: those that paths name, and those that processes come to.

use super::{PROBE_EVERY_NS, SHOWN_NS, Watcher};
use crate::clock;
use crate::event::{LockKind, What};
use crate::watch::change::{Change, Deed, FileId, LockKey};
use anyhow::Result;
use std::collections::HashSet;
use std::path::PathBuf;

/// Files are looked over that no path names any more, in ns.
const PRUNE_EVERY_NS: u64 = 10_000_000_000;
/// A path that names another file so often within this time, in ns, does so again and again.
const MOVES: usize = 5;
const MOVES_WITHIN_NS: u64 = 10_000_000_000;

impl Watcher {
    /// Whether a change is of what is watched. A file is from the moment that one of the processes comes to it.
    pub(super) fn is_wanted(&mut self, change: &Change) -> bool {
        let file = change.lock.file;
        if !self.by_pid || self.files.contains(&file) {
            return true;
        }
        let ends = matches!(change.deed, Deed::Released | Deed::GaveUp | Deed::Left);
        let comes = !ends && self.wanted.pids.iter().any(|(pid, _)| *pid == change.task.pid);
        if comes {
            self.adopt(file, change.t);
        }
        comes
    }

    /// Watches another file, and tells who is there already.
    pub(super) fn adopt(&mut self, file: FileId, t: u64) {
        if self.files.insert(file) {
            for found in self.aside.take(file, t) {
                self.roster.apply(&found, &mut self.names, &mut self.batch);
            }
        }
    }

    /// Has the eyes look at the files that are watched now.
    fn look(&mut self) -> Result<()> {
        if self.by_pid {
            return Ok(());
        }
        let mut files: Vec<FileId> = self.files.iter().copied().collect();
        files.sort_unstable();
        self.eyes.look_at(Some(&files))
    }

    /// Forgets files that are no path's any more once nobody uses them: their inodes may be those of other files soon.
    pub(super) fn prune(&mut self, now: u64) -> Result<()> {
        if self.by_pid
            || self.files.len() <= self.wanted.paths.len()
            || now.saturating_sub(self.pruned) < PRUNE_EVERY_NS
        {
            return Ok(());
        }
        self.pruned = now;
        let (before, present) =
            (self.files.len(), self.wanted.paths.iter().filter_map(|(_, f)| *f).collect::<HashSet<_>>());
        let roster = &self.roster;
        self.files.retain(|file| present.contains(file) || roster.is_in_use(*file, now.saturating_sub(SHOWN_NS)));
        if self.files.len() < before { self.look() } else { Ok(()) }
    }

    /// The path names another file than it did: from now on both are watched, since both may be locked.
    pub(super) fn follow(&mut self, path: PathBuf, file: Option<FileId>) -> Result<()> {
        let Some(entry) = self.wanted.paths.iter_mut().find(|(p, _)| *p == path) else { return Ok(()) };
        entry.1 = file;
        let (name, now) = (path.display().to_string(), clock::now());
        let former = self.named.get(&path).copied();
        // Those of the file that it named last are told, and those of a file that it names again.
        for was in former.into_iter().chain(file.filter(|f| former != Some(*f))) {
            for lock in self.roster.of_file(was).collect::<Vec<_>>() {
                self.say(lock, 0, 0, What::PathChanged { was: was.inode, now: file.map(|f| f.inode) });
            }
        }
        self.count_move(&name, now);
        if let Some(former) = former {
            self.roster.uncall(former);
        }
        let Some(file) = file else { return Ok(()) };
        // Whatever locked the one before will lock this one in the same way.
        let kind = former.and_then(|former| self.roster.kind_of(former)).unwrap_or(LockKind::Flock);
        self.roster.call(file, &name);
        self.named.insert(path, file);
        if !self.files.contains(&file) {
            self.adopt(file, now);
            self.look()?;
        }
        if self.roster.of_file(file).next().is_none() {
            self.roster.announce(now, LockKey { file, family: kind.into() }, kind, &mut self.batch);
        }
        Ok(())
    }

    /// Says, once, where a path names another file so often that much must be missed.
    fn count_move(&mut self, name: &str, now: u64) {
        let Some(moves) = &mut self.moves else { return };
        moves.push_back(now);
        moves.retain(|t| now.saturating_sub(*t) < MOVES_WITHIN_NS);
        if moves.len() >= MOVES {
            let every = crate::dist::plain(PROBE_EVERY_NS);
            let text = format!(
                "{name} names another file again and again; it is looked at every {every}, and what goes on at files that come and go in between is not seen"
            );
            self.moves = None;
            self.say(0, 0, 0, What::Warning { text });
        }
    }
}
