//! Puts what was found out into events: rows that are new, holds that begin, end, or go on with other bytes.

use super::{Cut, Hold, Informant, Known, Lock, Row};
use crate::event::{ActorId, Event, LockId, LockKind, Task, What};
use crate::watch::change::{Change, Range, TaskId};
use std::collections::HashMap;

/// Where events of one change go.
pub(super) struct Telling<'a> {
    pub(super) number: usize,
    pub(super) t: u64,
    pub(super) epoch: u64,
    pub(super) who: &'a mut dyn Informant,
    pub(super) out: &'a mut Vec<Event>,
}

impl Telling<'_> {
    pub(super) fn event(&mut self, index: usize, row: &mut Row, what: What) {
        row.used = self.t;
        let (lock, actor) = (self.number as LockId, index as ActorId + 1);
        self.out.push(Event { t: self.t, lock, actor, pid: row.task.pid, what });
    }

    /// A row for a new request, told where it is new.
    pub(super) fn place(&mut self, lock: &mut Lock, task: TaskId, kind: LockKind, range: Option<Range>) -> usize {
        let (index, fresh) = lock.place(task, kind, range, self.t);
        if let Some(row) = lock.rows.get_mut(index).filter(|_| fresh) {
            // Whoever began after the deed is another one that has its pid now.
            let known = self.who.process(task.pid).filter(|k| k.began <= self.t.saturating_add(self.epoch));
            row.mark = known.as_ref().map(|k| k.mark);
            self.out.push(seen(self.t, self.number, index, row, known.unwrap_or_default()));
        }
        index
    }

    pub(super) fn release(
        &mut self,
        lock: &mut Lock,
        index: usize,
        fresh: &mut HashMap<(usize, usize), usize>,
    ) -> Option<Cut> {
        lock.released = self.t;
        let row = lock.rows.get_mut(index)?;
        let hold = row.hold.take()?;
        let cut = Cut { number: self.number, index, t: self.t, hold, at: self.out.len(), cycle: false };
        let held_ns = self.t.saturating_sub(hold.since);
        // One that was taken and let go within a batch, with nobody in its way, is told as one.
        if let Some(at) = fresh.remove(&(self.number, index))
            && let Some(Event { what, .. }) = self.out.get_mut(at)
            && let What::Acquired(acquired) = what
        {
            row.used = self.t;
            *what = What::Cycle { acquired: *acquired, held_ns };
            return Some(Cut { at, cycle: true, ..cut });
        }
        self.event(index, row, What::Released { seq: hold.seq, held_ns });
        Some(cut)
    }

    /// The row is of these bytes from now on.
    fn with_bytes(&mut self, index: usize, row: &mut Row, range: Option<Range>) -> Event {
        row.range = range;
        let known = self.who.process(row.task.pid).filter(|k| k.began <= row.acted.saturating_add(self.epoch));
        row.mark = known.as_ref().map(|k| k.mark);
        seen(self.t, self.number, index, row, known.unwrap_or_default())
    }

    /// What the row gets are other bytes than it asked for.
    pub(super) fn has_other_bytes(&mut self, index: usize, row: &mut Row, range: Option<Range>) {
        let event = self.with_bytes(index, row, range);
        self.out.push(event);
    }

    /// The hold is not over: it goes on in its row, with these bytes only.
    pub(super) fn keep(
        &mut self,
        lock: &mut Lock,
        cut: &Cut,
        range: Option<Range>,
        fresh: &mut HashMap<(usize, usize), usize>,
    ) {
        let Some(row) = lock.rows.get_mut(cut.index) else { return };
        row.hold = Some(Hold { range, ..cut.hold });
        let event = self.with_bytes(cut.index, row, range);
        match self.out.get_mut(cut.at) {
            Some(Event { what, .. }) if cut.cycle => {
                if let What::Cycle { acquired, .. } = what {
                    *what = What::Acquired(*acquired);
                }
                self.out.push(event);
                // The end of it is an event of its own: what lies between them tells the range.
                fresh.remove(&(self.number, cut.index));
            }
            Some(place) => *place = event,
            None => {}
        }
    }
}

/// The hold of which `kept` is the rest, if it has just ended and its row is free.
pub(super) fn take_cut(cuts: &mut Vec<Cut>, lock: &Lock, told: &Telling<'_>, kept: &Change) -> Option<Cut> {
    let covers = |all: Range, part: Range| {
        all.start <= part.start && all.end.is_none_or(|end| part.end.is_some_and(|last| last <= end))
    };
    let at = cuts.iter().position(|cut| {
        (cut.number, cut.t) == (told.number, told.t)
            && lock
                .rows
                .get(cut.index)
                .is_some_and(|row| row.task == kept.task && row.kind == kept.kind && row.is_idle())
            && cut.hold.range.zip(kept.range).is_some_and(|(all, part)| covers(all, part))
    })?;
    Some(cuts.swap_remove(at))
}

pub(super) fn seen(t: u64, number: usize, index: usize, row: &Row, known: Known) -> Event {
    let Known { comm, cmdline, user, container, .. } = known;
    let task = Task {
        tid: (row.task.tid != 0).then_some(row.task.tid),
        comm,
        cmdline,
        user,
        container,
        kind: row.kind,
        range: row.range.map(|r| (r.start, r.end)),
    };
    let (lock, actor) = (number as LockId, index as ActorId + 1);
    Event { t, lock, actor, pid: row.task.pid, what: What::Seen(Box::new(task)) }
}
