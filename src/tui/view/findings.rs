//! What is wrong now, in sentences: at the lock that is opened, or in the list at all of them.

use super::elide;
use crate::event::{FindingKind, LockId};
use crate::model::finding::{Finder, KINDS, findings};
use crate::model::{Locks, Model};
use crate::tui::ui::Ui;

/// A finding, told.
pub(super) struct Told {
    /// The lock that it is about, where that is not the one opened.
    pub(super) lock: Option<LockId>,
    /// The name of that lock.
    name: String,
    text: String,
}

impl Told {
    /// All of it.
    pub(super) fn whole(&self) -> String {
        self.sentence(&self.name)
    }

    /// The same where there are so many columns: most of them are for what is wrong, not for where.
    pub(super) fn within(&self, width: usize, ui: &Ui) -> String {
        self.sentence(&elide(&self.name, width / 3, &ui.glyphs))
    }

    fn sentence(&self, name: &str) -> String {
        let colon = if self.lock.is_some() { ": " } else { "" };
        format!("! {name}{colon}{}", self.text)
    }
}

/// What is wrong at `model`, one of `locks`, or in the list at any; the gravest first.
pub(super) fn told(locks: &Locks, model: &Model, ui: &Ui) -> Vec<Told> {
    if ui.lists() {
        return at_all(locks, ui);
    }
    let here = |text| Told { lock: None, name: String::new(), text };
    findings(locks, model).iter().map(|found| here(ui.told(found))).collect()
}

/// No key is named: those that act on a lock have no meaning in the list.
fn at_all(locks: &Locks, ui: &Ui) -> Vec<Told> {
    let (finder, first) = (Finder::of(locks), locks.first());
    let others = locks.all().iter().filter(|m| m.lock() != first.lock() && m.is_lively());
    let mut all = Vec::new();
    for model in std::iter::once(first).chain(others) {
        let is_first = model.lock() == first.lock();
        for found in finder.at(model) {
            let of_run = match found.kind() {
                FindingKind::Deadlock | FindingKind::Warning if !is_first => continue,
                FindingKind::Deadlock | FindingKind::Warning => true,
                // What was lost to the run as a whole is told at its first lock.
                FindingKind::Dropped => is_first,
                _ => false,
            };
            let place = Some(model).filter(|_| !of_run);
            let name = place.map_or(String::new(), |m| ui.glyphs.plain(&m.info().name));
            let told = Told { lock: place.map(Model::lock), name, text: ui.glyphs.plain(&found.text()) };
            all.push((KINDS.iter().position(|kind| *kind == found.kind()), told));
        }
    }
    all.sort_by_key(|(gravity, _)| *gravity);
    all.into_iter().map(|(_, told)| told).collect()
}
