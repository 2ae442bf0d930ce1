//! What the mouse does: it means what was drawn last where it points, and nothing where nothing was drawn.

use super::{Overlay, Ui};
use crate::event::{ActorId, LockId};
use crate::model::Locks;
use ratatui::crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::{Position, Rect};

/// Rows that the wheel moves at once.
const WHEEL: isize = 3;

/// Rows that were drawn below each other, and what each is about: a worker, or a lock in the list.
#[derive(Debug)]
pub struct Drawn<Id> {
    area: Rect,
    ids: Vec<Id>,
}

impl<Id> Default for Drawn<Id> {
    fn default() -> Self {
        Self { area: Rect::ZERO, ids: Vec::new() }
    }
}

impl<Id: Copy> Drawn<Id> {
    /// They were drawn into `area`, from its first row on.
    pub fn set(&mut self, area: Rect, ids: impl Iterator<Item = Id>) {
        self.area = area;
        self.ids.clear();
        self.ids.extend(ids.take(area.height.into()));
    }

    /// A new frame begins: nothing is drawn yet.
    pub fn clear(&mut self) {
        self.set(Rect::ZERO, std::iter::empty());
    }

    /// What is drawn there.
    pub fn at(&self, place: Position) -> Option<Id> {
        let row = place.y.checked_sub(self.area.y).filter(|_| self.area.contains(place))?;
        self.ids.get(usize::from(row)).copied()
    }

    /// For how many rows there is room.
    pub fn height(&self) -> u16 {
        self.area.height
    }
}

/// What can be pointed at.
#[derive(Debug, Default)]
pub struct Targets {
    /// The rows of the table.
    pub rows: Drawn<ActorId>,
    /// Those of the timeline.
    pub lanes: Drawn<ActorId>,
    /// The locks of the list.
    pub locks: Drawn<LockId>,
}

impl Targets {
    /// A new frame begins.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.lanes.clear();
        self.locks.clear();
    }
}

impl Ui {
    /// The mouse was used.
    pub fn on_mouse(&mut self, mouse: MouseEvent, locks: &Locks) {
        match mouse.kind {
            MouseEventKind::ScrollUp => self.turn_wheel(-WHEEL, locks),
            MouseEventKind::ScrollDown => self.turn_wheel(WHEEL, locks),
            MouseEventKind::Down(MouseButton::Left) if self.overlay.is_none() => {
                self.click(Position::new(mouse.column, mouse.row));
            }
            _ => {}
        }
    }

    fn turn_wheel(&mut self, by: isize, locks: &Locks) {
        match self.overlay {
            Some(Overlay::Detail) => self.scroll_detail(by),
            None if self.lists() => {
                let order = self.picker.order(self.shown(locks));
                self.picker.step(by, &order);
            }
            _ => self.step(by, locks),
        }
    }

    fn click(&mut self, place: Position) {
        let Targets { rows, lanes, locks } = &self.targets;
        self.picker.selected = locks.at(place).or(self.picker.selected);
        self.selected = rows.at(place).or_else(|| lanes.at(place)).or(self.selected);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_drawn_cannot_be_pointed_at() {
        let mut drawn = Drawn::default();
        assert_eq!(drawn.at(Position::new(0, 0)), None);
        drawn.set(Rect::new(1, 5, 10, 3), [7, 8].into_iter());
        let at = |drawn: &Drawn<u32>, x, y| drawn.at(Position::new(x, y));
        assert_eq!([4, 5, 6, 7, 8].map(|y| at(&drawn, 1, y)), [None, Some(7), Some(8), None, None]);
        assert_eq!([0, 10, 11].map(|x| at(&drawn, x, 5)), [None, Some(7), None]);
        drawn.clear();
        assert_eq!((at(&drawn, 1, 5), drawn.height()), (None, 0));
    }
}
