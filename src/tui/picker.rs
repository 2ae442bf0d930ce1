//! The list of locks: which one is selected, how they are ordered. Pure: no clock, no I/O.

use super::keymap::Action;
use crate::event::LockId;
use crate::model::{Locks, Model};
use std::cmp::Reverse;

/// A column of the list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the titles say it")]
pub enum LockColumn {
    Lock,
    Kind,
    Holder,
    Held,
    #[default]
    Waiters,
    Longest,
    Acquired,
    Rate,
}

impl LockColumn {
    /// All, from left to right.
    pub const ALL: [Self; 8] =
        [Self::Lock, Self::Kind, Self::Holder, Self::Held, Self::Waiters, Self::Longest, Self::Acquired, Self::Rate];

    /// Its heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::Kind => "kind",
            Self::Holder => "holder",
            Self::Held => "held",
            Self::Waiters => "waiters",
            Self::Longest => "longest",
            Self::Acquired => "acquired",
            Self::Rate => "/s",
        }
    }

    /// Words are best from A to Z, numbers from the largest down.
    fn is_number(self) -> bool {
        !matches!(self, Self::Lock | Self::Kind | Self::Holder)
    }
}

/// What came of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The list has changed its look.
    Moved,
    /// This lock is to be opened.
    Open(LockId),
    /// The key is for one lock.
    NotHere,
}

/// The state of the list.
#[derive(Debug)]
pub struct Picker {
    /// The selected lock.
    pub selected: Option<LockId>,
    /// The first row shown.
    pub scroll: usize,
    /// The column that the rows are sorted by.
    pub sort: LockColumn,
    /// From the largest down.
    pub reverse: bool,
    /// Rows drawn last, for a page up or down.
    pub height: usize,
    /// The locks drawn last.
    pub rows: Vec<LockId>,
}

impl Default for Picker {
    fn default() -> Self {
        Self { selected: None, scroll: 0, sort: LockColumn::default(), reverse: true, height: 1, rows: Vec::new() }
    }
}

impl Picker {
    /// Locks that somebody holds, waits for, or used since the statistics began: in the order chosen.
    pub fn order(&self, locks: &Locks) -> Vec<LockId> {
        let live = |m: &&Model| m.holder_count() > 0 || m.waiting() > 0 || m.acquisitions() > 0;
        let mut rows: Vec<&Model> = locks.all().iter().filter(live).collect();
        // Among equals the busiest comes first, and then the one known longest: rows stay where they are.
        rows.sort_by_cached_key(|m| (Reverse(m.waiting()), Reverse(m.acquisitions()), m.lock()));
        if self.reverse {
            // Turned round below: equals are then as they were.
            rows.reverse();
        }
        match self.sort {
            LockColumn::Lock => rows.sort_by_key(|m| m.info().name.clone()),
            LockColumn::Kind => rows.sort_by_key(|m| m.info().kind.as_str()),
            LockColumn::Holder => rows.sort_by_cached_key(|m| m.holders().next().map(|h| h.name())),
            LockColumn::Held => rows.sort_by_cached_key(|m| m.holders().next().map_or(0, |h| m.in_state(h))),
            LockColumn::Waiters => rows.sort_by_key(|m| m.waiting()),
            LockColumn::Longest => rows.sort_by_cached_key(|m| m.longest_waiter().map_or(0, |(_, ns)| ns)),
            LockColumn::Acquired | LockColumn::Rate => rows.sort_by_key(|m| m.acquisitions()),
        }
        if self.reverse {
            rows.reverse();
        }
        rows.into_iter().map(Model::lock).collect()
    }

    /// Scrolls as little as needed so that the selected one is among `height` rows; gives those shown.
    pub fn reveal(&mut self, order: &[LockId], height: usize) {
        let last = order.len().saturating_sub(height);
        if let Some(at) = self.selected.and_then(|id| order.iter().position(|o| *o == id)) {
            self.scroll = self.scroll.clamp((at + 1).saturating_sub(height), at);
        }
        self.scroll = self.scroll.min(last);
        self.height = height;
        self.rows = order.iter().skip(self.scroll).take(height).copied().collect();
    }

    /// Carries out what concerns the list; none where it does not.
    pub fn on_action(&mut self, action: Action, order: &[LockId]) -> Option<Outcome> {
        let page = isize::try_from(self.height.max(2) - 1).unwrap_or(1);
        match action {
            Action::Up => self.step(-1, order),
            Action::Down => self.step(1, order),
            Action::PageUp => self.step(-page, order),
            Action::PageDown => self.step(page, order),
            Action::First => self.step(isize::MIN / 2, order),
            Action::Last => self.step(isize::MAX / 2, order),
            Action::SortLeft => self.sort_by(-1),
            Action::SortRight => self.sort_by(1),
            Action::Reverse => self.reverse = !self.reverse,
            Action::Detail => {
                let open = self.selected.filter(|id| order.contains(id)).or_else(|| order.first().copied());
                self.selected = open;
                return Some(open.map_or(Outcome::Moved, Outcome::Open));
            }
            other if !other.is_of_list() => return Some(Outcome::NotHere),
            _ => return None,
        }
        Some(Outcome::Moved)
    }

    /// Moves the selection by so many rows.
    pub fn step(&mut self, by: isize, order: &[LockId]) {
        let Some(last) = order.len().checked_sub(1) else { return };
        let to = match self.selected.and_then(|id| order.iter().position(|o| *o == id)) {
            // The first press shows where the selection is; only the next moves it.
            None if by == 1 => 0,
            None if by == -1 => last,
            None => 0usize.saturating_add_signed(by).min(last),
            Some(at) => at.saturating_add_signed(by).min(last),
        };
        self.selected = order.get(to).copied();
    }

    fn sort_by(&mut self, step: isize) {
        let all = LockColumn::ALL;
        let at = all.iter().position(|c| *c == self.sort).unwrap_or(0);
        self.sort = all.get((at + all.len()).saturating_add_signed(step) % all.len()).copied().unwrap_or_default();
        self.reverse = self.sort.is_number();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Acquisition, Begin, Event, LockInfo, LockKind, LockMode, What};

    /// Three locks that nobody waits for, used once, thrice and twice.
    fn used() -> Locks {
        let lock = LockInfo { name: String::new(), kind: LockKind::Flock, file: None };
        let mut locks = Locks::new(Begin::of_watch(lock.clone(), true));
        for (lock_id, turns) in [(0, 1), (1, 3), (2, 2)] {
            let mut tell = |t, actor, what| locks.apply(&Event { t, lock: lock_id, actor, pid: 7, what });
            tell(0, 0, What::Announced(Box::new(lock.clone())));
            for seq in 1..=turns {
                let mode = LockMode::Exclusive;
                let won = Acquisition { mode, seq, waited_ns: 0, contended: false, handoff_ns: None, overtaken: 0 };
                tell(seq, 1, What::Cycle { acquired: won, held_ns: 0 });
            }
        }
        locks
    }

    #[test]
    fn the_last_one_is_the_last_also_where_none_was_selected() {
        for (action, lock) in [(Action::Last, 0), (Action::First, 1), (Action::Down, 1), (Action::Up, 0)] {
            let (mut picker, locks) = (Picker::default(), used());
            picker.on_action(action, &picker.order(&locks));
            assert_eq!(picker.selected, Some(lock), "{action:?}");
        }
    }

    #[test]
    fn among_equals_the_busiest_comes_first_either_way() {
        let (mut picker, locks) = (Picker::default(), used());
        assert_eq!(picker.order(&locks), [1, 2, 0], "nobody waits at any");
        picker.reverse = false;
        assert_eq!(picker.order(&locks), [1, 2, 0]);
        (picker.sort, picker.reverse) = (LockColumn::Acquired, true);
        assert_eq!(picker.order(&locks), [1, 2, 0]);
        picker.reverse = false;
        assert_eq!(picker.order(&locks), [0, 2, 1]);
    }
}
