//! What the screen itself remembers: selection, order, what is open. Pure: no clock, no I/O.
//!
//! - `ui/keys.rs`: what keys do to it;
//! - `ui/mouse.rs`: what the mouse does.

mod keys;
mod mouse;

use super::column::Column;
use super::keymap::{Action, Keymap, Place};
use super::picker::Picker;
use super::theme::{Glyphs, Theme};
use crate::cli::ThemeName;
use crate::event::{ActorId, Command, LockId};
use crate::model::finding::Finding;
use crate::model::{Locks, Model, Span};
use crate::source::{Children, Position, Question};
use mouse::Targets;
use std::cmp::Reverse;

const SECOND: u64 = 1_000_000_000;
/// How long the timeline is where nobody chose another window, in ns: a hold of 1 s is some cells wide.
const TIMELINE_NS: u64 = 30 * SECOND;

/// How the screen shall look.
#[derive(Clone, Debug)]
pub struct Look {
    /// Colours, as the terminal can show them.
    pub theme: Theme,
    /// ASCII characters only.
    pub ascii: bool,
    /// The keys in force.
    pub keys: Keymap,
}

impl Default for Look {
    fn default() -> Self {
        Self { theme: Theme::built_in(ThemeName::Auto), ascii: false, keys: Keymap::default() }
    }
}

/// What a user asks of the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// For the source of the events.
    Source(Command),
    /// End the run.
    Quit,
    /// Go to the background.
    Suspend,
}

/// Which durations the histogram shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Figure {
    /// From the first try to the lock.
    #[default]
    Wait,
    /// From the lock to its release.
    Hold,
    /// From a release to the next waiter's acquisition.
    Handoff,
}

impl Figure {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Hold => "hold",
            Self::Handoff => "handoff",
        }
    }

    fn next(self) -> Self {
        match self {
            Self::Wait => Self::Hold,
            Self::Hold => Self::Handoff,
            Self::Handoff => Self::Wait,
        }
    }
}

/// What lies over the panels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlay {
    /// The keys.
    Help,
    /// What is wrong, and what happened lately.
    Findings,
    /// One worker.
    Detail,
}

/// A panel that can be enlarged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Panel {
    /// The workers.
    Table,
    /// The histogram.
    Histogram,
    /// The timeline.
    Timeline,
}

/// The state of the screen.
#[derive(Debug)]
pub struct Ui {
    /// Colours.
    pub theme: Theme,
    /// Characters.
    pub glyphs: Glyphs,
    /// Keys.
    pub keys: Keymap,
    /// The selected worker.
    pub selected: Option<ActorId>,
    /// The first row shown of the table.
    pub scroll: usize,
    /// The first row shown of the timeline, which may have room for fewer.
    pub lane_scroll: usize,
    /// The column that the rows are sorted by.
    pub sort: Column,
    /// From the largest down.
    pub reverse: bool,
    /// The columns drawn last, from left to right.
    pub columns: Vec<Column>,
    /// What the histogram shows.
    pub figure: Figure,
    /// How far back it looks.
    pub span: Span,
    /// The timeline looks back as far as the histogram does: from when that was chosen.
    pub span_chosen: bool,
    /// How long before the moment of freezing the timeline ends, in ns.
    pub back: u64,
    /// What was known at the moment of freezing.
    pub frozen: Option<Box<Locks>>,
    /// Which kind of screen it is.
    pub place: Place,
    /// The list of locks, where there is one.
    pub picker: Picker,
    /// The lock that is opened; none shows the list.
    pub opened: Option<LockId>,
    /// Locks that were left because their path names another file.
    left: Vec<LockId>,
    /// What the source wants to have confirmed.
    pub question: Option<Question>,
    /// What is open.
    pub overlay: Option<Overlay>,
    /// The panel that has the screen to itself.
    pub enlarged: Option<Panel>,
    /// Said once, until the next key.
    pub message: Option<String>,
    /// What was drawn last that can be pointed at.
    pub targets: Targets,
    /// How far the help or the findings are scrolled.
    pub overlay_scroll: usize,
    /// For how many rows of them there was room last.
    pub overlay_rows: u16,
    /// How far the detail is scrolled, in rows.
    pub detail_scroll: usize,
    /// How far a recording has been shown; none for anything else.
    pub position: Option<Position>,
    /// The end of what the command of a worker has written, of the one in detail or of the one that was when the view was
    /// frozen; none where that is not known.
    pub output: Option<(ActorId, Vec<u8>)>,
    /// The children of the process in detail; none where they are not known.
    pub children: Option<Children>,
}

impl Ui {
    /// As it is at the start.
    pub fn new(look: Look) -> Self {
        Self {
            theme: look.theme,
            glyphs: Glyphs::new(look.ascii),
            keys: look.keys,
            selected: None,
            scroll: 0,
            lane_scroll: 0,
            sort: Column::Worker,
            reverse: false,
            columns: Vec::new(),
            figure: Figure::default(),
            span: Span::default(),
            span_chosen: false,
            back: 0,
            frozen: None,
            place: Place::Lab,
            picker: Picker::default(),
            opened: Some(0),
            left: Vec::new(),
            question: None,
            overlay: None,
            enlarged: None,
            message: None,
            targets: Targets::default(),
            overlay_scroll: 0,
            overlay_rows: 0,
            detail_scroll: 0,
            position: None,
            output: None,
            children: None,
        }
    }

    /// The worker that is shown in detail.
    pub fn in_detail(&self) -> Option<ActorId> {
        self.selected.filter(|_| self.overlay == Some(Overlay::Detail))
    }

    /// Whether the list of locks is shown rather than one of them.
    pub fn lists(&self) -> bool {
        self.opened.is_none()
    }

    /// Whether a list of locks is behind what is shown.
    pub fn lists_on_escape(&self, locks: &Locks) -> bool {
        let listed = locks.begin().watch.as_ref().is_some_and(|w| w.list) || locks.all().len() > 1;
        listed && !self.lists()
    }

    /// The lock that is shown of `locks`, or of those frozen.
    pub fn model<'a>(&'a self, locks: &'a Locks) -> &'a Model {
        let shown = self.shown(locks);
        self.opened.and_then(|id| shown.get(id)).unwrap_or_else(|| shown.first())
    }

    /// Where the path of the lock that is shown names another file by now, shows that one; once, since a user may want to
    /// see what became of the first. A frozen view stays where it is until it goes on: the other lock is not in it.
    pub fn follow(&mut self, locks: &Locks) {
        if self.frozen.is_some() {
            return;
        }
        let Some(model) = self.opened.and_then(|id| locks.get(id)).filter(|m| !self.left.contains(&m.lock())) else {
            return;
        };
        let Some((was, Some(now))) = model.path_change() else { return };
        let old = model.info();
        let device = old.file.as_ref().map(|(device, _)| device);
        let successor = locks.all().iter().find(|m| {
            let info = m.info();
            // A file that was removed may have another name by now.
            let is_there = |(on, _): &&(String, u64)| info.name == old.name || Some(on) == device;
            info.kind == old.kind && info.file.as_ref().filter(is_there).is_some_and(|(_, inode)| *inode == now)
        });
        if let Some(successor) = successor {
            self.left.push(model.lock());
            self.open(successor.lock());
            let lists = self.key(Action::Back).map(|key| format!("; {key} lists both")).unwrap_or_default();
            self.say(format!("the path names another file now (inode {was} to {now}): this is that one{lists}"));
        }
    }

    /// The source asks something.
    pub fn ask(&mut self, question: Question) {
        self.message = None;
        self.question = Some(question);
    }

    /// The key of an action on this screen, as shown; none where it has none.
    pub fn key(&self, action: Action) -> Option<&str> {
        self.keys.key(action, self.place)
    }

    /// A finding in a line, its next step by the keys of this screen.
    pub fn told(&self, finding: &Finding) -> String {
        self.glyphs.plain(&finding.text_with(&|step| self.keys.step(step, self.place)))
    }

    /// What a panel says of the keys that close it and scroll it, or go through it: `? or esc closes, arrows scroll`.
    pub fn hint(&self, closes: [Action; 2], others: &[(Option<String>, &str)]) -> String {
        let closes = self.keys.keys(&closes, " or ", self.place).map(|keys| format!("{keys} closes"));
        let others = others.iter().filter_map(|(keys, what)| Some(format!("{}{what}", keys.as_ref()?)));
        closes.into_iter().chain(others).collect::<Vec<_>>().join(", ")
    }

    /// Shows a sentence until the next key.
    pub fn say(&mut self, text: String) {
        self.message = Some(text);
    }

    /// Whether it shows locks of other programs.
    pub fn is_watch(&self) -> bool {
        matches!(self.place, Place::Watch | Place::ReadOnly)
    }

    /// How long the timeline is, in ns; none is all of the run.
    pub fn timeline_ns(&self) -> Option<u64> {
        match self.span {
            // A short recording fills it.
            _ if !self.span_chosen => {
                let length = self.position.and_then(|p| p.length).filter(|length| *length > 0);
                Some(length.map_or(TIMELINE_NS, |length| length.min(TIMELINE_NS)))
            }
            Span::Ten => Some(10 * SECOND),
            Span::Sixty => Some(60 * SECOND),
            Span::All => None,
        }
    }

    /// What is shown: the present, or the moment frozen.
    pub fn shown<'a>(&'a self, locks: &'a Locks) -> &'a Locks {
        self.frozen.as_deref().unwrap_or(locks)
    }

    /// The workers shown, in the order chosen. Those removed are left out.
    pub fn order(&self, model: &Model) -> Vec<ActorId> {
        let mut keyed: Vec<(u64, ActorId)> = model.here().map(|a| (self.sort.key(model, a), a.id)).collect();
        if self.reverse {
            keyed.sort_unstable_by_key(|(key, id)| (Reverse(*key), *id));
        } else {
            keyed.sort_unstable();
        }
        keyed.into_iter().map(|(_, id)| id).collect()
    }

    /// Shows one lock, nobody at it selected.
    pub fn open(&mut self, lock: LockId) {
        (self.opened, self.selected) = (Some(lock), None);
        (self.scroll, self.lane_scroll) = (0, 0);
    }

    /// Scrolls the table as little as needed so that the selected one is among `height` rows.
    pub fn reveal(&mut self, order: &[ActorId], height: usize) {
        self.scroll = self.revealed(self.scroll, order, height);
    }

    /// The same for the timeline.
    pub fn reveal_lane(&mut self, order: &[ActorId], height: usize) {
        self.lane_scroll = self.revealed(self.lane_scroll, order, height);
    }

    fn revealed(&self, scroll: usize, order: &[ActorId], height: usize) -> usize {
        let selected = self.selected.and_then(|id| order.iter().position(|o| *o == id));
        let scroll = selected.map_or(scroll, |at| scroll.clamp((at + 1).saturating_sub(height.max(1)), at));
        scroll.min(order.len().saturating_sub(height))
    }
}
