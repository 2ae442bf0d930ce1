//! What keys do: to what the screen remembers, and as a [`Request`] to the loop. Pure: no clock, no I/O.

use super::{Overlay, Panel, Request, Ui};
use crate::event::{ActorId, Command, LockId};
use crate::model::{Actor, Locks};
use crate::tui::column::Column;
use crate::tui::keymap::{Action, Place};
use crate::tui::picker::Outcome;
use ratatui::crossterm::event::{KeyCode, KeyEvent};

/// Rows of a page of the detail.
const DETAIL_PAGE: isize = 5;
/// A jump in a recording, in ns.
const JUMP_NS: i64 = 10_000_000_000;

impl Ui {
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
                // Nothing else: enter is pressed for other reasons, and the question may have come just before.
                (KeyCode::Char('y'), _) => source(Command::Answer(true)),
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
        if self.overlay == Some(Overlay::Help) && pressed.changes_something() {
            // Whoever reads what a key does, and tries it, cannot see whom it would hit.
            let close = self.keys.keys(&[Action::Help, Action::Back], " or ", self.place);
            let close = close.map(|keys| format!(", with {keys}")).unwrap_or_default();
            self.say(format!("the help hides what this would act on: close it first{close}"));
            return None;
        }
        if self.lists() && self.on_list_key(pressed, locks) {
            return None;
        }
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
            Action::KillHolder | Action::StallHolder | Action::KillSelected => {
                return self.aim(pressed, locks).map(Request::Source);
            }
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

    /// What a key does to the list of locks, or to what lies over it; whether it has its meaning there. What acts on one
    /// lock has none: there is no telling which one is meant.
    fn on_list_key(&mut self, pressed: Action, locks: &Locks) -> bool {
        if self.overlay.is_some() && pressed.is_of_list() {
            return self.hides_list_from(pressed);
        }
        let order = self.picker.order(self.shown(locks));
        match self.picker.on_action(pressed, &order) {
            None => return false,
            Some(Outcome::Open(id)) => self.open(id),
            Some(Outcome::NotHere) => self.say_not_here(),
            Some(Outcome::Moved) => {}
        }
        true
    }

    /// Whether what lies over the list hides from whoever presses this key what it would do; then that is said.
    fn hides_list_from(&mut self, pressed: Action) -> bool {
        let hides = matches!(pressed, Action::Detail | Action::SortLeft | Action::SortRight | Action::Reverse);
        if hides {
            let close = self.key(Action::Back).map(|key| format!(" ({key})")).unwrap_or_default();
            self.say(format!("this is for the list: close what lies over it first{close}"));
        }
        hides
    }

    fn say_not_here(&mut self) {
        let key = self.key(Action::Detail).filter(|_| self.overlay.is_none());
        let key = key.map(|key| format!(" ({key})")).unwrap_or_default();
        self.say(format!("this is for one lock: open one first{key}"));
    }

    /// Moves the timeline a tenth of its length back in time, or forward; what moves on by itself is frozen first, also where
    /// there is nothing to go back to.
    fn go_back(&mut self, back: bool, locks: &Locks) {
        if back && self.frozen.is_none() {
            self.freeze(locks);
        }
        let Some(length) = self.timeline_ns() else {
            let shorter = self.key(Action::Window).map(|key| format!(": press {key} for a shorter window"));
            return self.say(format!("the timeline shows the whole run{}", shorter.unwrap_or_default()));
        };
        let model = self.model(locks);
        let most = model.active(model.now()).saturating_sub(length);
        if back && self.back >= most {
            self.say("the timeline already begins with the run: nothing lies before it".into());
        }
        let step = (length / 10).max(1);
        // As long as there is anything left of the window, so that its begin comes into view.
        self.back =
            if back { (self.back + step).min(most.next_multiple_of(step)) } else { self.back.saturating_sub(step) };
    }

    fn freeze(&mut self, locks: &Locks) {
        self.back = 0;
        self.frozen = if self.frozen.is_some() { None } else { Some(Box::new(locks.clone())) };
    }

    /// Whom a key acts on: the holder of the lock that is opened, or the one selected there.
    fn aim(&mut self, pressed: Action, locks: &Locks) -> Option<Command> {
        let Some(lock) = self.opened else {
            self.say_not_here();
            return None;
        };
        match pressed {
            Action::KillSelected => {
                let Some(id) = self.selected else {
                    let keys = self.keys.arrows(self.place).map(|keys| format!("{keys} or ")).unwrap_or_default();
                    self.say(format!("select a worker first, with {keys}the mouse"));
                    return None;
                };
                self.is_still_there(lock, id, locks).then_some(Command::Kill(lock, id))
            }
            _ if self.frozen.is_some() => self.aim_at_holder(pressed, lock, locks),
            Action::StallHolder => Some(Command::StallHolder(lock)),
            _ => Some(Command::KillHolder(lock)),
        }
    }

    /// What a key does to the holder that a frozen view shows: nothing where that one holds it no more, since nobody else is
    /// meant. What comes of it is to be seen, so the view goes on.
    fn aim_at_holder(&mut self, pressed: Action, lock: LockId, locks: &Locks) -> Option<Command> {
        let goes_on = self.key(Action::Freeze).map(|key| format!(": {key} goes on")).unwrap_or_default();
        let Some(shown) = self.model(locks).holders().next() else {
            self.say(format!("nobody holds it in the frozen view{goes_on}"));
            return None;
        };
        let (id, seq, name) = (shown.id, shown.holding_seq, shown.name());
        let same = |a: &&Actor| (a.id, a.pid, a.holding_seq) == (id, shown.pid, seq);
        let now = locks.get(lock).map(|m| (m.holders().find(same).is_some(), m.holders().next().map(Actor::full_name)));
        match now.unwrap_or((false, None)) {
            (true, _) if pressed == Action::StallHolder => {
                (self.frozen, self.back) = (None, 0);
                Some(Command::StallHolder(lock))
            }
            (true, _) => {
                (self.frozen, self.back) = (None, 0);
                Some(Command::Kill(lock, id))
            }
            (false, whose) => {
                let whose = whose.map_or("nobody does".into(), |who| format!("{who} does"));
                self.say(format!("{name} of the frozen view holds it no more, {whose}{goes_on}"));
                None
            }
        }
    }

    /// Whether the process that a frozen view shows as `id` is the one of now; then the view goes on.
    fn is_still_there(&mut self, lock: LockId, id: ActorId, locks: &Locks) -> bool {
        let Some(frozen) = &self.frozen else { return true };
        let of = |locks: &Locks| locks.get(lock).and_then(|m| m.actor(id)).map(|a| (a.pid, a.state.is_alive()));
        let (shown, now) = (of(frozen), of(locks));
        if shown == now {
            (self.frozen, self.back) = (None, 0);
            return true;
        }
        let pid = shown.map_or(0, |(pid, _)| pid);
        let goes_on = self.key(Action::Freeze).map(|key| format!(": {key} goes on")).unwrap_or_default();
        self.say(format!("process {pid} of the frozen view is gone{goes_on}"));
        false
    }

    pub(super) fn step(&mut self, by: isize, locks: &Locks) {
        if matches!(self.overlay, Some(Overlay::Help | Overlay::Findings)) {
            // What there is to scroll is known when it is drawn, which also takes back what is too far.
            self.overlay_scroll = self.overlay_scroll.saturating_add_signed(by);
            return;
        }
        if self.lists() {
            // No lock is open: there is nobody to be selected.
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
        let height = match self.overlay {
            Some(_) => self.overlay_rows,
            None => self.targets.rows.height().max(self.targets.lanes.height()),
        };
        let rows = isize::try_from(height.max(2) - 1).unwrap_or(1);
        self.step(direction * rows, locks);
    }

    pub(super) fn scroll_detail(&mut self, by: isize) {
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
        self.overlay_scroll = 0;
        self.overlay = if self.overlay == Some(overlay) { None } else { Some(overlay) };
    }

    /// Sorts by the next column that is shown, round and round.
    fn sort_by(&mut self, step: isize) {
        let shown = |c: &Column| self.columns.is_empty() || self.columns.contains(c) || *c == self.sort;
        let all: Vec<Column> = Column::ALL.into_iter().filter(shown).collect();
        let at = all.iter().position(|c| *c == self.sort).unwrap_or(0);
        let to = (at + all.len()).saturating_add_signed(step) % all.len().max(1);
        self.sort = all.get(to).copied().unwrap_or(Column::Worker);
        self.reverse = self.sort.falls();
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
        if self.lists_on_escape(locks) {
            self.opened = None;
            return None;
        }
        Some(Request::Quit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Acquisition, Begin, Event, LockInfo, LockKind, LockMode, What};
    use crate::source::Question;
    use crate::tui::Look;
    use crate::tui::ui::Figure;
    use ratatui::crossterm::event::KeyModifiers;

    fn ui() -> Ui {
        Ui::new(Look::default())
    }

    fn model(workers: u32) -> Locks {
        let lock = LockInfo { name: "x".into(), kind: LockKind::Flock, file: None };
        let mut model = Locks::new(Begin { hold_ns: 1, ..Begin::of_lab(lock, workers) });
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
    fn under_the_help_nothing_is_done_to_anybody() {
        let (mut ui, model) = (ui(), model(3));
        press(&mut ui, &model, KeyCode::Char('?'));
        for key in "ksx+-[]{}0".chars() {
            assert_eq!(press(&mut ui, &model, KeyCode::Char(key)), None, "{key}");
            assert!(ui.message.as_deref().is_some_and(|text| text.ends_with("close it first, with ? or esc")), "{key}");
        }
        assert!(press(&mut ui, &model, KeyCode::Char(' ')).is_some());
        press(&mut ui, &model, KeyCode::Esc);
        assert!(press(&mut ui, &model, KeyCode::Char('k')).is_some());
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
    fn a_frozen_view_follows_no_path_before_it_goes_on() {
        let (mut ui, mut locks) = (ui(), model(3));
        let announce = |locks: &mut Locks, lock, inode, name: &str| {
            let file = Some(("254:0".into(), inode));
            let info = LockInfo { name: name.into(), kind: LockKind::Flock, file };
            locks.apply(&Event { t: 1000, lock, actor: 0, pid: 0, what: What::Announced(Box::new(info)) });
        };
        announce(&mut locks, 1, 42, "y");
        (ui.opened, ui.selected) = (Some(1), Some(2));
        press(&mut ui, &locks, KeyCode::Char('f'));
        let moved = What::PathChanged { was: 42, now: Some(57) };
        locks.apply(&Event { t: 2000, lock: 1, actor: 0, pid: 0, what: moved });
        announce(&mut locks, 2, 57, "y");
        announce(&mut locks, 1, 42, "/tmp/y (deleted)");
        ui.follow(&locks);
        assert_eq!((ui.opened, ui.selected, ui.model(&locks).lock()), (Some(1), Some(2), 1));
        press(&mut ui, &locks, KeyCode::Char('f'));
        ui.follow(&locks);
        assert_eq!((ui.opened, ui.model(&locks).lock()), (Some(2), 2));
        assert!(ui.message.is_some_and(|said| said.contains("inode 42 to 57")));
    }

    #[test]
    fn going_back_freezes_also_where_nothing_lies_before() {
        let model = model(3);
        for (keys, why) in [("", "begins with the run"), ("w", "shows the whole run")] {
            let mut ui = ui();
            keys.chars().for_each(|key| _ = press(&mut ui, &model, KeyCode::Char(key)));
            press(&mut ui, &model, KeyCode::Right);
            assert!(ui.frozen.is_none(), "there is nothing after the present");
            press(&mut ui, &model, KeyCode::Left);
            assert!(ui.frozen.is_some() && ui.back == 0);
            assert!(ui.message.as_deref().is_some_and(|said| said.contains(why)), "{:?}", ui.message);
            press(&mut ui, &model, KeyCode::Left);
            assert!(ui.frozen.is_some() && ui.back == 0, "again it does not go on");
        }
    }

    #[test]
    fn only_y_says_yes() {
        let model = model(3);
        let question = || Question { title: "kill it?".into(), lines: Vec::new(), yes: "kill".into() };
        let cases =
            [(KeyCode::Char('y'), true), (KeyCode::Enter, false), (KeyCode::Char('n'), false), (KeyCode::Esc, false)];
        for (code, yes) in cases {
            let mut ui = ui();
            ui.ask(question());
            let answer = press(&mut ui, &model, code);
            assert_eq!(answer, Some(Request::Source(Command::Answer(yes))), "{code:?}");
            assert!(ui.overlay.is_none());
        }
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
    fn a_frozen_view_aims_at_whom_it_shows_or_at_nobody() {
        let won = |seq| {
            What::Acquired(Acquisition {
                mode: LockMode::Exclusive,
                seq,
                waited_ns: 1,
                contended: true,
                handoff_ns: None,
                overtaken: 0,
            })
        };
        let (mut ui, mut locks) = (ui(), model(3));
        let tell = |locks: &mut Locks, t, actor, what| locks.apply(&Event { t, lock: 0, actor, pid: 100, what });
        tell(&mut locks, 1000, 2, won(1));
        press(&mut ui, &locks, KeyCode::Char('f'));
        // It still holds it: that one is meant, and what comes of it is seen.
        assert_eq!(press(&mut ui, &locks, KeyCode::Char('k')), Some(Request::Source(Command::Kill(0, 2))));
        assert!(ui.frozen.is_none());
        press(&mut ui, &locks, KeyCode::Char('f'));
        assert_eq!(press(&mut ui, &locks, KeyCode::Char('s')), Some(Request::Source(Command::StallHolder(0))));

        press(&mut ui, &locks, KeyCode::Char('f'));
        tell(&mut locks, 2000, 2, What::Released { seq: 1, held_ns: 1000 });
        tell(&mut locks, 2001, 3, won(2));
        for key in ['k', 's'] {
            assert_eq!(press(&mut ui, &locks, KeyCode::Char(key)), None);
            let said = ui.message.clone().unwrap();
            assert!(said.contains("worker-2 ") && said.contains("worker-3 (pid 100) does"), "{said}");
            assert!(ui.frozen.is_some());
        }
        // It holds it again, but this is another hold.
        tell(&mut locks, 3000, 3, What::Released { seq: 2, held_ns: 999 });
        tell(&mut locks, 3001, 2, won(3));
        assert_eq!(press(&mut ui, &locks, KeyCode::Char('k')), None);

        ui.selected = Some(1);
        assert_eq!(press(&mut ui, &locks, KeyCode::Char('x')), Some(Request::Source(Command::Kill(0, 1))));
        press(&mut ui, &locks, KeyCode::Char('f'));
        locks.apply(&Event { t: 4000, lock: 0, actor: 1, pid: 200, what: What::Spawned });
        assert_eq!(press(&mut ui, &locks, KeyCode::Char('x')), None, "another process by now");
        assert!(ui.message.as_ref().unwrap().contains("process 100"));
    }

    #[test]
    fn keys_for_one_lock_do_nothing_in_the_list() {
        let (mut ui, locks) = (ui(), model(3));
        ui.opened = None;
        for code in [KeyCode::Char('k'), KeyCode::Char('x'), KeyCode::Tab, KeyCode::Char('w'), KeyCode::Left] {
            assert_eq!(press(&mut ui, &locks, code), None);
            assert!(ui.message.as_ref().is_some_and(|m| m.contains("open one first")), "{code:?}");
            assert!(ui.frozen.is_none() && !ui.span_chosen);
        }
    }

    #[test]
    fn what_lies_over_the_list_lets_no_key_through_to_a_lock() {
        for over in ['!', '?'] {
            let (mut ui, locks) = (ui(), model(3));
            ui.opened = None;
            press(&mut ui, &locks, KeyCode::Char(over));
            let open = ui.overlay;
            for code in "ksxwergG<>0".chars().map(KeyCode::Char).chain([KeyCode::Tab, KeyCode::Left, KeyCode::Enter]) {
                let request = press(&mut ui, &locks, code);
                // The statistics are those of all locks.
                let reset = code == KeyCode::Char('0') && over == '!';
                assert_eq!(request, reset.then_some(Request::Source(Command::Reset)), "{over} {code:?}");
                let told = matches!(code, KeyCode::Char('g' | 'G')) || reset || ui.message.is_some();
                assert!(told, "{over} {code:?}");
            }
            press(&mut ui, &locks, KeyCode::Down);
            assert_eq!((ui.overlay, ui.opened, ui.selected), (open, None, None), "{over}");
            assert!(open.is_some() && ui.frozen.is_none() && ui.enlarged.is_none() && !ui.span_chosen);
            assert_eq!((ui.figure, ui.sort, ui.reverse), (Figure::Wait, Column::Worker, false));
            press(&mut ui, &locks, KeyCode::Esc);
            press(&mut ui, &locks, KeyCode::Enter);
            assert_eq!(ui.opened, Some(0), "the list is back");
        }
    }

    #[test]
    fn sorting_goes_round_the_columns_that_are_shown() {
        let mut ui = ui();
        for _ in 0..Column::ALL.len() {
            ui.sort_by(1);
        }
        assert_eq!(ui.sort, Column::Worker);
        ui.columns = vec![Column::Worker, Column::State, Column::Got];
        ui.sort_by(-1);
        assert_eq!(ui.sort, Column::Got);
        ui.sort_by(1);
        ui.sort_by(1);
        assert_eq!(ui.sort, Column::State);
        // One that went when there was less room.
        ui.sort = Column::Pid;
        ui.sort_by(1);
        assert_eq!(ui.sort, Column::State);
    }
}
