//! Two locks where people think there is one.

use super::Here;
use crate::event::LockKind;
use crate::model::{Actor, Model};
use std::collections::HashSet;
use std::fmt;

/// The path names another file than the run began with: who opens it now locks another lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathChanged {
    /// The inode at the start.
    pub was: u64,
    /// The inode now, if the path names anything.
    pub now: Option<u64>,
}

impl PathChanged {
    pub(super) fn find(here: Here<'_>) -> Option<Self> {
        here.model.path_change().map(|(was, now)| Self { was, now })
    }
}

impl fmt::Display for PathChanged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let was = self.was;
        match self.now {
            Some(now) => write!(
                f,
                "the path now names another file (inode {was} \u{2192} {now}): two locks exist; never remove a lock file in use"
            ),
            None => write!(
                f,
                "the path names nothing any more (inode {was} was removed): the next opener makes a second lock"
            ),
        }
    }
}

/// Some lock the file with flock(2), some with fcntl(2): on Linux these do not see each other (flock(2), NOTES).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MixedKinds {
    /// One that locks it one way, and how.
    pub one: (String, LockKind),
    /// One that locks it the other way, and how.
    pub other: (String, LockKind),
}

impl MixedKinds {
    /// A program that takes both kinds excludes everybody, so it takes two that each have one kind only.
    pub(super) fn find(here: Here<'_>) -> Option<Self> {
        let model = here.model;
        for other in here.locks.of_same_file(model) {
            if is_flock(model) == is_flock(other) {
                continue;
            }
            if let (Some(a), Some(b)) = (only_at(model, other), only_at(other, model)) {
                let pair = [(a, model.info().kind), (b, other.info().kind)];
                let [one, other] = pair.map(|(actor, kind)| (actor.full_name(), kind));
                return Some(Self { one, other });
            }
        }
        None
    }
}

fn is_flock(model: &Model) -> bool {
    model.info().kind == LockKind::Flock
}

/// One that has or had the lock, and has nothing to do with that other one.
fn only_at<'m>(model: &'m Model, other: &Model) -> Option<&'m Actor> {
    let there: HashSet<i32> = other.actors().iter().map(|a| a.pid).collect();
    let locks = |a: &&Actor| (a.got > 0 || a.state.is_holding()) && a.pid > 0;
    model.actors().iter().filter(locks).find(|a| !there.contains(&a.pid))
}

impl fmt::Display for MixedKinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ((one, kind), (other, other_kind)) = (&self.one, &self.other);
        write!(
            f,
            "two locks on one file: {one} takes it with {kind}, {other} with {other_kind}, and these do not see each other; let all use the same kind"
        )
    }
}
