//! What is to be told, in the order of time; what may still be taken back holds up what follows it.

use crate::watch::change::Change;

/// Changes on their way out.
#[derive(Debug, Default)]
pub(super) struct Out {
    changes: Vec<Change>,
    /// Places of changes that may be taken back, with the thread concerned and until when; in the order of place.
    open: Vec<Open>,
    /// The time of the last one.
    last: u64,
}

#[derive(Debug)]
struct Open {
    place: usize,
    tid: i32,
    until: u64,
}

impl Out {
    pub fn tell(&mut self, change: Change) {
        self.last = self.last.max(change.t);
        self.changes.push(change);
    }

    /// Tells what [`take_back`](Self::take_back) may unsay until then.
    pub fn tell_for_now(&mut self, change: Change, tid: i32, until: u64) {
        self.open.push(Open { place: self.changes.len(), tid, until });
        self.tell(change);
    }

    /// The time to tell of what happened at `t` and was not certain before: no sooner than what was told since.
    pub fn belated(&self, t: u64) -> u64 {
        self.last.max(t)
    }

    pub fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Unsays what was told for now of this thread.
    pub fn take_back(&mut self, tid: i32) {
        if let Some(i) = self.open.iter().position(|open| open.tid == tid) {
            let place = self.open.remove(i).place;
            if place < self.changes.len() {
                self.changes.remove(place);
            }
            self.open.iter_mut().filter(|open| open.place > place).for_each(|open| open.place -= 1);
        }
    }

    /// What was told for now of this thread stays.
    pub fn settle(&mut self, tid: i32) {
        self.open.retain(|open| open.tid != tid);
    }

    /// The threads of which it is certain now; nothing can be taken back of them any more.
    pub fn settle_until(&mut self, now: u64) -> Vec<i32> {
        let mut certain = Vec::new();
        self.open.retain(|open| {
            let stays = open.until > now;
            if !stays {
                certain.push(open.tid);
            }
            stays
        });
        certain
    }

    /// Moves what is certain to `to`.
    pub fn drain(&mut self, to: &mut Vec<Change>) {
        match self.open.first().map(|open| open.place) {
            None => to.append(&mut self.changes),
            Some(place) => {
                to.extend(self.changes.drain(..place.min(self.changes.len())));
                self.open.iter_mut().for_each(|open| open.place = open.place.saturating_sub(place));
            }
        }
    }
}
