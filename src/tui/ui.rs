//! What the screen itself remembers: selection, order, what is open. Pure: no clock, no I/O.

use super::keymap::{Action, Keymap, Place};
use super::picker::{Outcome, Picker};
use super::theme::{Glyphs, Theme};
use crate::cli::ThemeName;
use crate::event::{ActorId, Command, LockId};
use crate::model::finding::Finding;
use crate::model::runs::End;
use crate::model::{Actor, Locks, Model, Span, State};
use crate::source::{Children, Position as Played, Question};
use ratatui::crossterm::event::{KeyCode, KeyEvent, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::{Position, Rect};
use std::cmp::Reverse;

/// Rows that the wheel moves at once.
const WHEEL: isize = 3;
/// Rows of a page of the detail.
const DETAIL_PAGE: isize = 5;
const SECOND: u64 = 1_000_000_000;
/// How long the timeline is where nobody chose another window, in ns: a hold of 1 s is some cells wide.
const TIMELINE_NS: u64 = 30 * SECOND;
/// A jump in a recording, in ns.
const JUMP_NS: i64 = 10_000_000_000;

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

/// A column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the titles say it")]
pub enum Column {
    Worker,
    Pid,
    State,
    Now,
    Last,
    P50,
    P99,
    Max,
    Got,
    Share,
    Overtaken,
    Restarts,
    Failed,
    Status,
    Range,
    User,
    Container,
}

impl Column {
    /// All, from left to right.
    pub const ALL: [Self; 17] = [
        Self::Worker,
        Self::Pid,
        Self::State,
        Self::Now,
        Self::Last,
        Self::P50,
        Self::P99,
        Self::Max,
        Self::Got,
        Self::Share,
        Self::Overtaken,
        Self::Restarts,
        Self::Failed,
        Self::Status,
        Self::Range,
        Self::User,
        Self::Container,
    ];

    /// Its heading, for a lab or for tasks of other programs.
    pub fn title_of(self, watched: bool) -> &'static str {
        if watched && self == Self::Worker { "task" } else { self.title() }
    }

    /// Its heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Pid => "pid",
            Self::State => "state",
            Self::Now => "now",
            Self::Last => "last",
            Self::P50 => "p50",
            Self::P99 => "p99",
            Self::Max => "max",
            Self::Got => "got",
            Self::Share => "share",
            Self::Overtaken => "overtaken",
            Self::Restarts => "restarts",
            Self::Failed => "failed",
            Self::Status => "status",
            Self::Range => "bytes",
            Self::User => "user",
            Self::Container => "container",
        }
    }
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
    /// The first row shown.
    pub scroll: usize,
    /// The column that the rows are sorted by.
    pub sort: Column,
    /// From the largest down.
    pub reverse: bool,
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
    /// Where the rows of the table were drawn last, for the mouse.
    pub rows: Rect,
    /// How far the help is scrolled.
    pub help_scroll: u16,
    /// How far the detail is scrolled, in rows.
    pub detail_scroll: usize,
    /// How far a recording has been shown; none for anything else.
    pub position: Option<Played>,
    /// The end of what the command of the worker in detail has written; none where that is not known.
    pub output: Option<Vec<u8>>,
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
            sort: Column::Worker,
            reverse: false,
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
            rows: Rect::ZERO,
            help_scroll: 0,
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

    /// The lock that is shown of `locks`, or of those frozen.
    pub fn model<'a>(&'a self, locks: &'a Locks) -> &'a Model {
        let shown = self.shown(locks);
        self.opened.and_then(|id| shown.get(id)).unwrap_or_else(|| shown.first())
    }

    /// Where the path of the lock that is shown names another file by now, shows that one; once, since a user may want to
    /// see what became of the first.
    pub fn follow(&mut self, locks: &Locks) {
        let Some(model) = self.opened.and_then(|id| locks.get(id)).filter(|m| !self.left.contains(&m.lock())) else {
            return;
        };
        let Some((was, Some(now))) = model.path_change() else { return };
        let (name, kind) = (&model.info().name, model.info().kind);
        let successor = locks.all().iter().find(|m| {
            let info = m.info();
            info.name == *name && info.kind == kind && info.file.as_ref().is_some_and(|(_, inode)| *inode == now)
        });
        if let Some(successor) = successor {
            self.left.push(model.lock());
            (self.opened, self.selected, self.scroll) = (Some(successor.lock()), None, 0);
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

    /// A key was pressed.
    pub fn on_key(&mut self, key: KeyEvent, locks: &Locks) -> Option<Request> {
        self.message = None;
        let source = |command| Some(Request::Source(command));
        // What a source cannot do it says itself.
        let wanted = Place::ALL.iter().find_map(|other| self.keys.action(key, *other));
        let pressed = self.keys.action(key, self.place).or_else(|| wanted.filter(|_| self.place != Place::ReadOnly));
        if self.question.take().is_some() {
            return match (key.code, pressed) {
                (_, Some(Action::Quit)) => Some(Request::Quit),
                (KeyCode::Char('y') | KeyCode::Enter, _) => source(Command::Answer(true)),
                _ => source(Command::Answer(false)),
            };
        }
        let Some(pressed) = pressed else {
            if wanted.is_some() {
                self.say(
                    "read-only: nothing is done to other programs; start without --read-only to signal them".into(),
                );
            }
            return None;
        };
        if self.lists() && self.overlay.is_none() {
            let order = self.picker.order(self.shown(locks));
            if let Some(outcome) = self.picker.on_action(pressed, &order) {
                if let Outcome::Open(id) = outcome {
                    (self.opened, self.selected, self.scroll) = (Some(id), None, 0);
                }
                return None;
            }
        }
        let lock = self.opened.unwrap_or(0);
        match pressed {
            Action::Step => return source(Command::Step),
            Action::NextLandmark => return source(Command::NextLandmark),
            Action::TimeBack => self.go_back(true, locks),
            Action::TimeForward => self.go_back(false, locks),
            Action::JumpBack => return source(Command::Jump(-JUMP_NS)),
            Action::JumpForward => return source(Command::Jump(JUMP_NS)),
            Action::Faster => return source(Command::Pace(true)),
            Action::Slower => return source(Command::Pace(false)),
            // Other programs are never paused: what they show is.
            Action::Pause if self.is_watch() => self.freeze(locks),
            Action::Pause => return source(Command::TogglePause),
            Action::KillHolder => return source(Command::KillHolder(lock)),
            Action::StallHolder => return source(Command::StallHolder(lock)),
            Action::KillSelected => match self.selected {
                Some(id) => return source(Command::Kill(lock, id)),
                None => {
                    let keys = self.keys.arrows(self.place).map(|keys| format!("{keys} or ")).unwrap_or_default();
                    self.say(format!("select a worker first, with {keys}the mouse"));
                }
            },
            Action::AddWorker => return source(Command::AddWorker),
            Action::RemoveWorker => return source(Command::RemoveWorker),
            Action::HoldShorter => return source(Command::StepHold(false)),
            Action::HoldLonger => return source(Command::StepHold(true)),
            Action::ThinkShorter => return source(Command::StepThink(false)),
            Action::ThinkLonger => return source(Command::StepThink(true)),
            Action::Freeze => self.freeze(locks),
            Action::Up => self.step(-1, locks),
            Action::Down => self.step(1, locks),
            Action::PageUp => self.page(-1, locks),
            Action::PageDown => self.page(1, locks),
            Action::First => self.step(isize::MIN / 2, locks),
            Action::Last => self.step(isize::MAX / 2, locks),
            Action::Detail => self.detail(locks),
            Action::NextFigure => self.figure = self.figure.next(),
            Action::PreviousFigure => self.figure = self.figure.next().next(),
            Action::Window => {
                self.span = self.span.next();
                (self.span_chosen, self.back) = (true, 0);
            }
            Action::SortLeft => self.sort_by(-1),
            Action::SortRight => self.sort_by(1),
            Action::Reverse => self.reverse = !self.reverse,
            Action::Reset => {
                (self.frozen, self.back) = (None, 0);
                return source(Command::Reset);
            }
            Action::Enlarge => {
                self.enlarged = match self.enlarged {
                    None => Some(Panel::Table),
                    Some(Panel::Table) => Some(Panel::Histogram),
                    Some(Panel::Histogram) => Some(Panel::Timeline),
                    Some(Panel::Timeline) => None,
                };
            }
            Action::Findings => self.toggle(Overlay::Findings),
            Action::Help => self.toggle(Overlay::Help),
            Action::Back => return self.back(locks),
            Action::Quit => return Some(Request::Quit),
            Action::Suspend => return Some(Request::Suspend),
        }
        None
    }

    /// Whether it shows locks of other programs.
    pub fn is_watch(&self) -> bool {
        matches!(self.place, Place::Watch | Place::ReadOnly)
    }

    /// How long the timeline is, in ns; none is all of the run.
    pub fn timeline_ns(&self) -> Option<u64> {
        match self.span {
            _ if !self.span_chosen => Some(TIMELINE_NS),
            Span::Ten => Some(10 * SECOND),
            Span::Sixty => Some(60 * SECOND),
            Span::All => None,
        }
    }

    /// Moves the timeline a tenth of its length back in time, or forward; what moves on by itself is frozen first.
    fn go_back(&mut self, back: bool, locks: &Locks) {
        let Some(length) = self.timeline_ns() else {
            let shorter = self.key(Action::Window).map(|key| format!(": press {key} for a shorter window"));
            return self.say(format!("the timeline shows the whole run{}", shorter.unwrap_or_default()));
        };
        let model = self.model(locks);
        let most = model.active(model.now()).saturating_sub(length);
        if self.frozen.is_none() {
            if !back {
                return;
            }
            if most == 0 {
                return self.say("the timeline already begins with the run: nothing lies before it".into());
            }
            self.freeze(locks);
        }
        let step = length / 10;
        // As long as there is anything left of the window, so that its begin comes into view.
        self.back =
            if back { (self.back + step).min(most.next_multiple_of(step)) } else { self.back.saturating_sub(step) };
    }

    fn freeze(&mut self, locks: &Locks) {
        self.back = 0;
        self.frozen = if self.frozen.is_some() { None } else { Some(Box::new(locks.clone())) };
    }

    /// The mouse was used.
    pub fn on_mouse(&mut self, mouse: MouseEvent, locks: &Locks) -> Option<Request> {
        match mouse.kind {
            MouseEventKind::ScrollUp if self.overlay == Some(Overlay::Detail) => self.scroll_detail(-WHEEL),
            MouseEventKind::ScrollDown if self.overlay == Some(Overlay::Detail) => self.scroll_detail(WHEEL),
            MouseEventKind::ScrollUp => self.step(-WHEEL, locks),
            MouseEventKind::ScrollDown => self.step(WHEEL, locks),
            MouseEventKind::Down(MouseButton::Left)
                if self.overlay.is_none() && self.rows.contains(Position::new(mouse.column, mouse.row)) =>
            {
                let row = self.scroll + usize::from(mouse.row.saturating_sub(self.rows.y));
                self.selected = self.order(self.model(locks)).get(row).copied().or(self.selected);
            }
            _ => {}
        }
        None
    }

    /// What is shown: the present, or the moment frozen.
    pub fn shown<'a>(&'a self, locks: &'a Locks) -> &'a Locks {
        self.frozen.as_deref().unwrap_or(locks)
    }

    /// The workers shown, in the order chosen. Those removed are left out.
    pub fn order(&self, model: &Model) -> Vec<ActorId> {
        let rows = model.actors().iter().filter(|a| a.state != State::Removed);
        let mut keyed: Vec<(u64, ActorId)> = rows.map(|a| (self.sort_key(model, a), a.id)).collect();
        if self.reverse {
            keyed.sort_unstable_by_key(|(key, id)| (Reverse(*key), *id));
        } else {
            keyed.sort_unstable();
        }
        keyed.into_iter().map(|(_, id)| id).collect()
    }

    /// Scrolls as little as needed so that the selected one is among `height` rows.
    pub fn reveal(&mut self, order: &[ActorId], height: usize) {
        let last = order.len().saturating_sub(height);
        if let Some(at) = self.selected.and_then(|id| order.iter().position(|o| *o == id)) {
            self.scroll = self.scroll.clamp((at + 1).saturating_sub(height), at);
        }
        self.scroll = self.scroll.min(last);
    }

    fn sort_key(&self, model: &Model, a: &Actor) -> u64 {
        match self.sort {
            Column::Worker => u64::from(a.id),
            Column::Pid => a.pid as u64,
            Column::State => {
                let rank: u64 = match a.state {
                    State::Holding(_) => 0,
                    State::Waiting(_) => 1,
                    State::Thinking => 2,
                    State::Starting => 3,
                    _ => 4,
                };
                // Within a state the longest first: those that wait stand as they queue.
                rank << 60 | a.since.min((1 << 60) - 1)
            }
            Column::Now => model.in_state(a),
            Column::Last => a.last_wait.unwrap_or(0),
            Column::P50 => a.wait.quantile(0.5).unwrap_or(0),
            Column::P99 => a.wait.quantile(0.99).unwrap_or(0),
            Column::Max => a.wait.max().unwrap_or(0),
            Column::Got | Column::Share => a.got,
            Column::Overtaken => a.overtaken_max.max(model.overtaken_now(a).unwrap_or(0)),
            Column::Restarts => a.restarts,
            Column::Failed => a.runs.as_ref().map_or(0, |r| r.failed),
            // Signals above statuses.
            Column::Status => a.runs.as_ref().and_then(|r| r.last()).map_or(0, |run| match run.end {
                End::Status(code) => u64::from(code.unsigned_abs()),
                End::Signal(signal) => 1 << 32 | u64::from(signal.unsigned_abs()),
            }),
            Column::Range => a.range().map_or(0, |(from, _)| from),
            // Words: the first letters decide.
            Column::User => leading(a.task.as_ref().map_or("", |t| t.user.as_str())),
            Column::Container => leading(a.task.as_ref().and_then(|t| t.container.as_deref()).unwrap_or("")),
        }
    }

    fn step(&mut self, by: isize, locks: &Locks) {
        if self.overlay == Some(Overlay::Help) {
            let to = isize::try_from(self.help_scroll).unwrap_or(0).saturating_add(by).clamp(0, 200);
            self.help_scroll = u16::try_from(to).unwrap_or(0);
            return;
        }
        let order = self.order(self.model(locks));
        let Some(last) = order.len().checked_sub(1) else { return };
        let at = self.selected.and_then(|id| order.iter().position(|o| *o == id));
        let to = match at {
            // The first press shows where the selection is; only the next moves it.
            None if by == 1 => 0,
            None if by == -1 => last,
            None => 0usize.saturating_add_signed(by).min(last),
            Some(at) => at.saturating_add_signed(by).min(last),
        };
        let selected = order.get(to).copied();
        if selected != self.selected {
            (self.selected, self.detail_scroll) = (selected, 0);
        }
    }

    fn page(&mut self, direction: isize, locks: &Locks) {
        if self.overlay == Some(Overlay::Detail) {
            return self.scroll_detail(direction * DETAIL_PAGE);
        }
        let rows = isize::try_from(self.rows.height.max(2) - 1).unwrap_or(1);
        self.step(direction * rows, locks);
    }

    fn scroll_detail(&mut self, by: isize) {
        // What there is to scroll is known when it is drawn, which also takes back what is too far.
        self.detail_scroll = self.detail_scroll.saturating_add_signed(by);
    }

    fn detail(&mut self, locks: &Locks) {
        if self.overlay == Some(Overlay::Detail) {
            self.overlay = None;
            return;
        }
        if self.selected.is_none() {
            let shown = self.model(locks);
            let first = shown.holders().next().map(|a| a.id).or_else(|| self.order(shown).first().copied());
            self.selected = first;
        }
        self.detail_scroll = 0;
        self.overlay = self.selected.map(|_| Overlay::Detail);
    }

    fn toggle(&mut self, overlay: Overlay) {
        self.help_scroll = 0;
        self.overlay = if self.overlay == Some(overlay) { None } else { Some(overlay) };
    }

    fn sort_by(&mut self, step: isize) {
        let at = Column::ALL.iter().position(|c| *c == self.sort).unwrap_or(0);
        let to = (at + Column::ALL.len()).saturating_add_signed(step) % Column::ALL.len();
        self.sort = Column::ALL.get(to).copied().unwrap_or(Column::Worker);
        // Numbers are most interesting from the top, names and states from the beginning.
        self.reverse = !matches!(
            self.sort,
            Column::Worker | Column::Pid | Column::State | Column::Range | Column::User | Column::Container
        );
    }

    /// Closes the topmost thing that is open; where nothing is, quits.
    fn back(&mut self, locks: &Locks) -> Option<Request> {
        if self.overlay.take().is_some() || self.enlarged.take().is_some() || self.selected.take().is_some() {
            return None;
        }
        if self.frozen.take().is_some() {
            self.back = 0;
            return None;
        }
        let listed = locks.begin().watch.as_ref().is_some_and(|w| w.list) || locks.all().len() > 1;
        if listed && self.opened.take().is_some() {
            return None;
        }
        Some(Request::Quit)
    }
}

/// A number that sorts as the first letters of `text` do.
fn leading(text: &str) -> u64 {
    let bytes = text.bytes().chain(std::iter::repeat(0)).take(8);
    bytes.fold(0, |sum, b| sum << 8 | u64::from(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Begin, Event, LockInfo, LockKind, LockMode, Origin, Setup, What};
    use ratatui::crossterm::event::KeyModifiers;

    fn ui() -> Ui {
        Ui::new(Look::default())
    }

    fn model(workers: u32) -> Locks {
        let lock = LockInfo { name: "x".into(), kind: LockKind::Flock, file: None };
        let mut model = Locks::new(Begin {
            origin: Origin::Lab,
            version: String::new(),
            started_at: String::new(),
            lock,
            workers,
            hold_ns: 1,
            think_ns: 0,
            setup: Setup::default(),
            watch: None,
        });
        for actor in 1..=workers {
            let what = What::Waiting { mode: LockMode::Exclusive };
            model.apply(&Event { t: u64::from(actor), lock: 0, actor, pid: 100, what });
        }
        model.advance(1000);
        model
    }

    fn press(ui: &mut Ui, model: &Locks, code: KeyCode) -> Option<Request> {
        ui.on_key(KeyEvent::new(code, KeyModifiers::NONE), model)
    }

    #[test]
    fn selection_follows_the_worker_when_the_order_changes() {
        let (mut ui, model) = (ui(), model(20));
        press(&mut ui, &model, KeyCode::Down);
        press(&mut ui, &model, KeyCode::Down);
        assert_eq!(ui.selected, Some(2));
        press(&mut ui, &model, KeyCode::Char('r'));
        assert_eq!(ui.selected, Some(2));
        assert_eq!(ui.order(model.first()).iter().position(|id| *id == 2), Some(18));
        ui.reveal(&ui.order(model.first()), 5);
        assert!((14..=18).contains(&ui.scroll));
    }

    #[test]
    fn escape_closes_one_thing_at_a_time_and_then_quits() {
        let (mut ui, model) = (ui(), model(3));
        press(&mut ui, &model, KeyCode::Down);
        press(&mut ui, &model, KeyCode::Char('e'));
        press(&mut ui, &model, KeyCode::Char('?'));
        for _ in 0..3 {
            assert_eq!(press(&mut ui, &model, KeyCode::Esc), None);
        }
        assert!(ui.overlay.is_none() && ui.enlarged.is_none() && ui.selected.is_none());
        assert_eq!(press(&mut ui, &model, KeyCode::Esc), Some(Request::Quit));
    }

    #[test]
    fn freezing_keeps_what_was() {
        let (mut ui, mut model) = (ui(), model(3));
        press(&mut ui, &model, KeyCode::Char('f'));
        model.advance(5000);
        assert_eq!(ui.shown(&model).now(), 1000);
        press(&mut ui, &model, KeyCode::Char('f'));
        assert_eq!(ui.shown(&model).now(), 5000);
    }

    #[test]
    fn killing_needs_a_selection() {
        let (mut ui, model) = (ui(), model(3));
        assert_eq!(press(&mut ui, &model, KeyCode::Char('x')), None);
        assert!(ui.message.is_some());
        press(&mut ui, &model, KeyCode::End);
        assert_eq!(press(&mut ui, &model, KeyCode::Char('x')), Some(Request::Source(Command::Kill(0, 3))));
    }

    #[test]
    fn sorting_goes_round() {
        let mut ui = ui();
        for _ in 0..Column::ALL.len() {
            ui.sort_by(1);
        }
        assert_eq!(ui.sort, Column::Worker);
        ui.sort_by(-1);
        assert_eq!(ui.sort, Column::Container);
    }
}
