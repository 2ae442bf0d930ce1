//! What the screen itself remembers: selection, order, what is open. Pure: no clock, no I/O.

use super::keymap::{Action, Keymap};
use super::theme::{Glyphs, Theme};
use crate::cli::ThemeName;
use crate::event::{ActorId, Command};
use crate::model::{Actor, Model, Span, State};
use crate::source::Position as Played;
use ratatui::crossterm::event::{KeyEvent, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::{Position, Rect};
use std::cmp::Reverse;

/// Rows that the wheel moves at once.
const WHEEL: isize = 3;
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
}

impl Column {
    /// All, from left to right.
    pub const ALL: [Self; 12] = [
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
    ];

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
    /// The model at the moment of freezing.
    pub frozen: Option<Box<Model>>,
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
    /// How far a recording has been shown; none for anything else.
    pub position: Option<Played>,
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
            frozen: None,
            overlay: None,
            enlarged: None,
            message: None,
            rows: Rect::ZERO,
            help_scroll: 0,
            position: None,
        }
    }

    /// Whether it shows a recording.
    pub fn recorded(&self) -> bool {
        self.position.is_some()
    }

    /// Shows a sentence until the next key.
    pub fn say(&mut self, text: String) {
        self.message = Some(text);
    }

    /// A key was pressed.
    pub fn on_key(&mut self, key: KeyEvent, model: &Model) -> Option<Request> {
        self.message = None;
        let source = |command| Some(Request::Source(command));
        // What a source cannot do it says itself.
        match self.keys.action(key, self.recorded()).or_else(|| self.keys.action(key, !self.recorded()))? {
            Action::Step => return source(Command::Step),
            Action::NextLandmark => return source(Command::NextLandmark),
            Action::JumpBack => return source(Command::Jump(-JUMP_NS)),
            Action::JumpForward => return source(Command::Jump(JUMP_NS)),
            Action::Faster => return source(Command::Pace(true)),
            Action::Slower => return source(Command::Pace(false)),
            Action::Pause => return source(Command::TogglePause),
            Action::KillHolder => return source(Command::KillHolder),
            Action::StallHolder => return source(Command::StallHolder),
            Action::KillSelected => match self.selected {
                Some(id) => return source(Command::Kill(id)),
                None => self.say("select a worker first, with the arrow keys or the mouse".into()),
            },
            Action::AddWorker => return source(Command::AddWorker),
            Action::RemoveWorker => return source(Command::RemoveWorker),
            Action::HoldShorter => return source(Command::StepHold(false)),
            Action::HoldLonger => return source(Command::StepHold(true)),
            Action::ThinkShorter => return source(Command::StepThink(false)),
            Action::ThinkLonger => return source(Command::StepThink(true)),
            Action::Freeze => {
                self.frozen = if self.frozen.is_some() { None } else { Some(Box::new(model.clone())) };
            }
            Action::Up => self.step(-1, model),
            Action::Down => self.step(1, model),
            Action::PageUp => self.step(-self.page(), model),
            Action::PageDown => self.step(self.page(), model),
            Action::First => self.step(isize::MIN / 2, model),
            Action::Last => self.step(isize::MAX / 2, model),
            Action::Detail => self.detail(model),
            Action::NextFigure => self.figure = self.figure.next(),
            Action::PreviousFigure => self.figure = self.figure.next().next(),
            Action::Window => self.span = self.span.next(),
            Action::SortLeft => self.sort_by(-1),
            Action::SortRight => self.sort_by(1),
            Action::Reverse => self.reverse = !self.reverse,
            Action::Reset => {
                self.frozen = None;
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
            Action::Back => return self.back(),
            Action::Quit => return Some(Request::Quit),
            Action::Suspend => return Some(Request::Suspend),
        }
        None
    }

    /// The mouse was used.
    pub fn on_mouse(&mut self, mouse: MouseEvent, model: &Model) -> Option<Request> {
        match mouse.kind {
            MouseEventKind::ScrollUp => self.step(-WHEEL, model),
            MouseEventKind::ScrollDown => self.step(WHEEL, model),
            MouseEventKind::Down(MouseButton::Left)
                if self.overlay.is_none() && self.rows.contains(Position::new(mouse.column, mouse.row)) =>
            {
                let row = self.scroll + usize::from(mouse.row.saturating_sub(self.rows.y));
                self.selected = self.order(self.shown(model)).get(row).copied().or(self.selected);
            }
            _ => {}
        }
        None
    }

    /// The model that is shown: the present one, or the one frozen.
    pub fn shown<'a>(&'a self, model: &'a Model) -> &'a Model {
        self.frozen.as_deref().unwrap_or(model)
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
            Column::State => match a.state {
                State::Holding(_) => 0,
                State::Waiting(_) => 1,
                State::Thinking => 2,
                State::Starting => 3,
                _ => 4,
            },
            Column::Now => model.in_state(a),
            Column::Last => a.last_wait.unwrap_or(0),
            Column::P50 => a.wait.quantile(0.5).unwrap_or(0),
            Column::P99 => a.wait.quantile(0.99).unwrap_or(0),
            Column::Max => a.wait.max().unwrap_or(0),
            Column::Got | Column::Share => a.got,
            Column::Overtaken => a.overtaken_max.max(model.overtaken_now(a).unwrap_or(0)),
            Column::Restarts => a.restarts,
        }
    }

    fn step(&mut self, by: isize, model: &Model) {
        if self.overlay == Some(Overlay::Help) {
            let to = isize::try_from(self.help_scroll).unwrap_or(0).saturating_add(by).clamp(0, 200);
            self.help_scroll = u16::try_from(to).unwrap_or(0);
            return;
        }
        let order = self.order(self.shown(model));
        let Some(last) = order.len().checked_sub(1) else { return };
        let at = self.selected.and_then(|id| order.iter().position(|o| *o == id));
        let to = match at {
            // The first press shows where the selection is; only the next moves it.
            None if by == 1 => 0,
            None if by == -1 => last,
            None => 0usize.saturating_add_signed(by).min(last),
            Some(at) => at.saturating_add_signed(by).min(last),
        };
        self.selected = order.get(to).copied();
    }

    fn page(&self) -> isize {
        isize::try_from(self.rows.height.max(2) - 1).unwrap_or(1)
    }

    fn detail(&mut self, model: &Model) {
        if self.overlay == Some(Overlay::Detail) {
            self.overlay = None;
            return;
        }
        if self.selected.is_none() {
            let shown = self.shown(model);
            let first = shown.holders().next().map(|a| a.id).or_else(|| self.order(shown).first().copied());
            self.selected = first;
        }
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
        self.reverse = !matches!(self.sort, Column::Worker | Column::Pid | Column::State);
    }

    /// Closes the topmost thing that is open; where nothing is, quits.
    fn back(&mut self) -> Option<Request> {
        if self.overlay.take().is_some() || self.enlarged.take().is_some() || self.selected.take().is_some() {
            return None;
        }
        if self.frozen.take().is_some() {
            return None;
        }
        Some(Request::Quit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Begin, Event, LockInfo, LockKind, LockMode, Origin, Setup, What};
    use ratatui::crossterm::event::{KeyCode, KeyModifiers};

    fn ui() -> Ui {
        Ui::new(Look::default())
    }

    fn model(workers: u32) -> Model {
        let lock = LockInfo { name: "x".into(), kind: LockKind::Flock, file: None };
        let mut model = Model::new(Begin {
            origin: Origin::Lab,
            version: String::new(),
            started_at: String::new(),
            lock,
            workers,
            hold_ns: 1,
            think_ns: 0,
            setup: Setup::default(),
        });
        for actor in 1..=workers {
            let what = What::Waiting { mode: LockMode::Exclusive };
            model.apply(&Event { t: u64::from(actor), actor, pid: 100, what });
        }
        model.advance(1000);
        model
    }

    fn press(ui: &mut Ui, model: &Model, code: KeyCode) -> Option<Request> {
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
        assert_eq!(ui.order(&model).iter().position(|id| *id == 2), Some(18));
        ui.reveal(&ui.order(&model), 5);
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
        assert_eq!(press(&mut ui, &model, KeyCode::Char('x')), Some(Request::Source(Command::Kill(3))));
    }

    #[test]
    fn sorting_goes_round() {
        let mut ui = ui();
        for _ in 0..Column::ALL.len() {
            ui.sort_by(1);
        }
        assert_eq!(ui.sort, Column::Worker);
        ui.sort_by(-1);
        assert_eq!(ui.sort, Column::Restarts);
    }
}
