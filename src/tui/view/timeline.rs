//! Who held and who waited, a row a worker, and above them who held it after whom.
//!
//! What is seen of a cell depends on what is known of it: the ends of a hold to an eighth of a cell where one hold is
//! longer than that, else the share of the time as a level from below. Nothing flickers that is past: cells begin at
//! whole multiples of their width. The time axis leaves pauses out, since paused time is nobody's: a pause is a line.

use super::{block, cut, title};
use crate::event::ActorId;
use crate::format::{clock, dur_in};
use crate::model::history::{Became, Hold, NAMED_NS};
use crate::model::timeline::Marks;
use crate::model::{Actor, Model, State};
use crate::tui::ink::{Pen, Row, line_width, width};
use crate::tui::theme::Glyphs;
use crate::tui::ui::Ui;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

/// Columns of a worker's name.
const NAME: usize = 12;
/// From this share of a cell on it is drawn as full, and below that one as nothing.
const FULL: f64 = 0.97;
const NOTHING: f64 = 0.02;
/// The ends of a hold are drawn where they explain the share of the cell as well as this.
const EXPLAINED: f64 = 0.1;
/// Gaps of a hold that are not seen, as a part of a cell.
const UNSEEN: u64 = 8;

/// Lengths of a cell of the whole run, up to the next power of ten.
const STEPS: [u64; 13] = [10, 12, 14, 17, 20, 24, 29, 35, 42, 50, 60, 72, 86];

/// How many rows the panel wants of `height` for so many tasks: one a task, one for the holders, no more than two fifths
/// or what is left beside the other panels.
pub(super) fn rows(tasks: usize, height: u16, left: u16) -> u16 {
    (height * 2 / 5).max(left).min(all_rows(tasks.max(1))).max(3)
}

/// The same where it gets but what is left: a row for each of so many tasks, or for the holders alone, or nothing.
pub(super) fn rows_left(tasks: usize, left: u16) -> u16 {
    match left {
        _ if left >= all_rows(tasks) => all_rows(tasks),
        3.. => 3,
        _ => 0,
    }
}

/// A row for each of so many tasks, one for the holders, the border.
fn all_rows(tasks: usize) -> u16 {
    u16::try_from(tasks).unwrap_or(u16::MAX).saturating_add(3)
}

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model, ui: &mut Ui) {
    let lanes = usize::from(area.height.saturating_sub(2));
    let first = usize::from(lanes >= 3 || ui.selected.is_none());
    let lanes = lanes.saturating_sub(first);
    let order = ui.order(model);
    ui.reveal_lane(&order, lanes);
    let (theme, glyphs) = (&ui.theme, &ui.glyphs);
    let cells = usize::from(area.width.saturating_sub(2)).saturating_sub(NAME + 1);
    let window = Window::of(model, ui, cells);
    let shown = ui.lane_scroll..(ui.lane_scroll + lanes).min(order.len());
    let mut about = window.about(ui);
    if (1..order.len()).contains(&shown.len()) {
        about.push_str(&format!(", {}{}{} of {}", shown.start + 1, glyphs.dash, shown.end, order.len()));
    }
    let heading = title("timeline", &about, theme, glyphs);
    let room = usize::from(area.width).saturating_sub(line_width(&heading) + 3);
    let [left, right] = window.axis(ui).map(|text| Line::styled(text, theme.dim));
    let below_names = Span::raw(glyphs.border.horizontal_bottom.repeat(NAME + 1));
    // Of the holders alone it tells nothing.
    let legend = if lanes > 0 { legend(model, ui, room) } else { Line::default() };
    let outer = block(heading, theme, glyphs)
        .right(legend)
        .bottom(Line::from_iter(std::iter::once(below_names).chain(left.spans)), right);
    let inner = outer.inner(area);
    frame.render_widget(outer, area);
    let row = |number: usize| {
        let y = inner.y.saturating_add(u16::try_from(number).unwrap_or(u16::MAX));
        Rect { y, height: 1, ..inner }.intersection(inner)
    };
    if first == 1 {
        holders(model, ui, &window, named(frame, row(0), "holder", theme.strong));
    }
    for (number, id) in order.iter().skip(shown.start).take(lanes).enumerate() {
        let Some(actor) = model.actor(*id) else { continue };
        let name = match &actor.task {
            Some(task) if model.is_watched() => {
                cut(&glyphs.plain(&format!("{} {}", actor.pid, task.comm)), NAME - 1, glyphs)
            }
            _ => model.label(actor).0,
        };
        let style = if ui.selected == Some(*id) { theme.selected } else { theme.text };
        lane(actor, model, ui, &window, named(frame, row(first + number), &name, style));
    }
    let area = Rect { height: u16::try_from(lanes).unwrap_or(u16::MAX), ..row(first) };
    ui.targets.lanes.set(area, order.iter().skip(shown.start).copied());
}

/// Draws a name; what draws the cells behind it.
fn named<'a>(frame: &'a mut Frame<'_>, area: Rect, name: &str, style: Style) -> Pen<'a> {
    let name = format!(" {name:<NAME$}");
    let behind = width(&name);
    frame.render_widget(Row(Line::from(Span::styled(name, style))), area);
    Pen::new(frame.buffer_mut(), area, behind)
}

/// What the signs mean, as many of them as there is room for.
fn legend(model: &Model, ui: &Ui, room: usize) -> Line<'static> {
    let (theme, glyphs) = (&ui.theme, &ui.glyphs);
    let watched = model.is_watched();
    let signs = [
        (full(glyphs), theme.holding, "holds"),
        (glyphs.wait, theme.waiting, "waits"),
        (glyphs.idle, theme.dim, if watched { "neither" } else { "thinks" }),
        (if watched { glyphs.before } else { glyphs.died }, theme.alarm, if watched { "before" } else { "killed" }),
        (glyphs.stops, theme.alarm, "stopped"),
        (glyphs.violated, theme.alarm, "violation"),
        (glyphs.paused, theme.dim, "paused"),
    ];
    let (mut line, mut taken) = (Line::default(), 0);
    for (sign, style, word) in signs.into_iter().filter(|(.., word)| !(watched && *word == "paused")) {
        taken += sign.chars().count() + word.len() + 3;
        if taken > room {
            break;
        }
        line.extend([Span::raw(" "), Span::styled(sign, style), Span::styled(format!(" {word} "), theme.dim)]);
    }
    line
}

fn full(glyphs: &Glyphs) -> &'static str {
    glyphs.right.last().unwrap_or(&"#")
}

/// The stretch of time that is shown, on the clock that leaves pauses out.
struct Window {
    /// Number of the first cell, counted from the run's begin; it may lie before that.
    first: i64,
    /// ns a cell.
    width: u64,
    cells: usize,
    /// The present, or the moment frozen.
    now: u64,
    /// How long it is, if it is not all of the run.
    length: Option<u64>,
    /// How long before `now` it ends.
    back: u64,
}

impl Window {
    fn of(model: &Model, ui: &Ui, cells: usize) -> Self {
        let now = model.active(model.now());
        let number = |t: u64, width: u64| i64::try_from(t / width).unwrap_or(i64::MAX / 2);
        let back = ui.back;
        match ui.timeline_ns() {
            Some(length) => {
                let width = (length / cells.max(1) as u64).max(1);
                let first = number(now.saturating_sub(back), width) + 1 - i64::try_from(cells).unwrap_or(0);
                Self { first, width, cells, now, length: Some(length), back }
            }
            None => {
                // In steps, so that what is past stays where it is while the run grows; small ones, so that it fills the width.
                let least = (now / cells.max(1) as u64).max(1);
                let steps = (0..17u32).flat_map(|p| STEPS.map(|d| d * 10u64.pow(p)));
                let width = steps.into_iter().find(|w| *w > least).unwrap_or(u64::MAX);
                Self { first: 0, width, cells, now, length: None, back: 0 }
            }
        }
    }

    /// From when to when the cell is, as far as time has come; nothing before the run or after the present.
    fn cell(&self, index: usize) -> Option<(u64, u64)> {
        let number = u64::try_from(self.first.checked_add(i64::try_from(index).ok()?)?).ok()?;
        let from = number.checked_mul(self.width)?;
        let to = from.saturating_add(self.width).min(self.now);
        (from < to).then_some((from, to))
    }

    /// The newest cell that time has come to.
    fn newest(&self) -> Option<(u64, u64)> {
        (0..self.cells).rev().find_map(|index| self.cell(index))
    }

    fn begin(&self) -> u64 {
        u64::try_from(self.first).unwrap_or(0).saturating_mul(self.width)
    }

    /// Which cell a time falls into: the first where it is earlier.
    fn index(&self, t: u64) -> Option<usize> {
        let number = i64::try_from(t / self.width).ok()?;
        let index = usize::try_from((number - self.first).max(0)).ok()?;
        (index < self.cells).then_some(index)
    }

    /// The cells that a stretch of time touches.
    fn indices(&self, from: u64, to: u64) -> std::ops::Range<usize> {
        if to <= self.begin() {
            return 0..0;
        }
        let first = self.index(from).unwrap_or(self.cells);
        first..self.index(to.saturating_sub(1)).map_or(self.cells, |last| last + 1).max(first)
    }

    fn about(&self, ui: &Ui) -> String {
        match (self.length, self.back) {
            (None, _) => format!("all, {}", long(self.now, ui)),
            (Some(length), 0) => long(length, ui),
            (Some(length), back) => format!("{}, {} ago", long(length, ui), long(back, ui)),
        }
    }

    /// What stands below its ends.
    fn axis(&self, ui: &Ui) -> [String; 2] {
        match (self.length, self.back) {
            (None, _) => [" 00:00:00 ".into(), format!(" {} ", clock(self.width.saturating_mul(self.cells as u64)))],
            (Some(length), 0) => [format!(" {} ago ", long(length, ui)), " now ".into()],
            (Some(length), back) => [format!(" {} ago ", long(length + back, ui)), format!(" {} ago ", long(back, ui))],
        }
    }
}

/// A length of time in whole seconds, where it has some.
fn long(ns: u64, ui: &Ui) -> String {
    match ns / 1_000_000_000 {
        s @ 1..120 => format!("{s} s"),
        _ => dur_in(ns, ui.glyphs.ascii),
    }
}

/// What is known of a cell.
#[derive(Clone, Copy, Default)]
struct Cell {
    held: f64,
    waited: f64,
    /// Ends of holds in it.
    ends: u8,
    /// Of the last of them: whether the hold begins there, and where in the cell, 0 to 1.
    end: (bool, f64),
}

impl Cell {
    /// Whether neither a hold nor a wait is seen of it, its shares given.
    fn is_idle(&self) -> bool {
        self.held < NOTHING && !self.is_wait()
    }

    /// Whether most of what is not held was waited, its shares given.
    fn is_wait(&self) -> bool {
        self.waited > 0.0 && self.waited >= (1.0 - self.held) / 2.0
    }
}

/// One worker's row.
fn lane(actor: &Actor, model: &Model, ui: &Ui, window: &Window, mut pen: Pen<'_>) {
    let known_from = match actor.history.turns.iter().next() {
        Some(oldest) if actor.history.turns.is_full() => {
            model.active_at(oldest.at).saturating_sub(oldest.waited().unwrap_or(0))
        }
        _ => 0,
    };
    // Where the lock changes hands fast, the turns that are kept do not fill a cell.
    let exact = match window.newest().is_some_and(|(from, _)| from >= known_from) {
        true => turns(actor, model, window),
        false => vec![Cell::default(); window.cells],
    };
    // Waits that led to nothing are in no turn, nor are those of whoever died waiting.
    let in_vain =
        |what| matches!(what, Became::GaveUp { .. } | Became::Left { .. } | Became::Exited { holding: false, .. });
    let all_waits_led_to_turns = !actor.history.changes().any(|c| in_vain(c.what));
    let mut paused = model.pauses().filter_map(|t| window.index(t).filter(|_| t >= window.begin())).collect::<Vec<_>>();
    paused.sort_unstable();
    let since = actor.since_active;
    let stopped_since = actor.stopped_since.map(|t| model.active_at(t));
    for (index, exact) in exact.into_iter().enumerate() {
        let Some((from, to)) = window.cell(index) else {
            pen.put(" ", Style::new());
            continue;
        };
        let length = (to - from) as f64;
        let mut portion = actor.timeline.portion(from, to);
        portion.stopped |= stopped_since.is_some_and(|t| t < to);
        let present = to.saturating_sub(from.max(since)) as f64;
        let mut cell = Cell { held: portion.held_ns, waited: portion.waited_ns, ..exact };
        if actor.state.is_holding() {
            cell.held += present;
        } else if actor.state.is_waiting() {
            cell.waited += present;
        }
        if from >= known_from {
            cell.held = exact.held;
            if all_waits_led_to_turns {
                cell.waited = exact.waited;
            }
        } else {
            cell.ends = 0;
        }
        (cell.held, cell.waited) = (cell.held / length, cell.waited / length);
        let absent = match actor.state {
            // It has only just started, or was never at this lock.
            State::Starting => to > since,
            state => !state.is_alive() && from >= since,
        };
        // Of what was forgotten no more is known than since when it does what it does.
        let forgotten = to <= model.counted_from() && from < since && cell.is_idle();
        let absent = absent || forgotten || to <= actor.born;
        let (sign, style) = match portion.marks {
            marks if marks.has(Marks::DIED) => (ui.glyphs.died, ui.theme.alarm),
            marks if marks.has(Marks::VIOLATED) => (ui.glyphs.violated, ui.theme.alarm),
            marks if marks.has(Marks::STOPS) => (ui.glyphs.stops, ui.theme.alarm),
            marks if marks.has(Marks::FOUND) => {
                (ui.glyphs.before, if cell.held > 0.0 { ui.theme.holding } else { ui.theme.waiting })
            }
            _ if paused.binary_search(&index).is_ok() => (ui.glyphs.paused, ui.theme.dim),
            _ if absent => (" ", ui.theme.dim),
            _ => glyph(cell, portion.stopped, ui),
        };
        pen.put(sign, style);
    }
}

/// What a worker's latest acquisitions and its present state make of the cells, to the ns.
fn turns(actor: &Actor, model: &Model, window: &Window) -> Vec<Cell> {
    let mut cells = vec![Cell::default(); window.cells];
    // Holds, as one where the gap between them cannot be seen.
    let mut holds: Vec<(u64, u64)> = Vec::new();
    let mut hold = |cells: &mut [Cell], from: u64, to: u64| {
        window.add(cells, from, to, |cell, ns| cell.held += ns);
        match holds.last_mut() {
            Some((_, end)) if from <= end.saturating_add(window.width / UNSEEN) => *end = to.max(*end),
            _ => holds.push((from, to)),
        }
    };
    for turn in actor.history.turns.iter() {
        let at = model.active_at(turn.at);
        let began = at.saturating_sub(turn.waited().unwrap_or(0));
        window.add(&mut cells, began, at, |cell, ns| cell.waited += ns);
        if let Some(held) = turn.held() {
            hold(&mut cells, at, at.saturating_add(held));
        }
    }
    if actor.state.is_holding() {
        hold(&mut cells, actor.since_active, window.now);
    } else if actor.state.is_waiting() {
        window.add(&mut cells, actor.since_active, window.now, |cell, ns| cell.waited += ns);
    }
    for (from, to) in holds {
        for (t, begins) in [(from, true), (to, false)] {
            let place = window.index(t).filter(|_| t >= window.begin()).and_then(|i| Some((i, window.cell(i)?)));
            let Some((index, (begin, end))) = place.filter(|(_, (begin, end))| *begin < t && t < *end) else {
                continue;
            };
            if let Some(cell) = cells.get_mut(index) {
                cell.ends = cell.ends.saturating_add(1);
                cell.end = (begins, (t - begin) as f64 / (end - begin) as f64);
            }
        }
    }
    cells
}

impl Window {
    /// Shares a stretch of time out among the cells.
    fn add(&self, cells: &mut [Cell], from: u64, to: u64, add: impl Fn(&mut Cell, f64)) {
        for index in self.indices(from, to) {
            if let (Some(cell), Some((begin, end))) = (cells.get_mut(index), self.cell(index)) {
                add(cell, to.min(end).saturating_sub(from.max(begin)) as f64);
            }
        }
    }
}

fn glyph(cell: Cell, stopped: bool, ui: &Ui) -> (&'static str, Style) {
    let (theme, glyphs) = (&ui.theme, &ui.glyphs);
    let holding = if stopped { theme.alarm } else { theme.holding };
    if cell.held >= FULL {
        return (full(glyphs), holding);
    }
    let (begins, at) = cell.end;
    let explained = if begins { 1.0 - at } else { at };
    if cell.ends == 1 && (cell.held - explained).abs() < EXPLAINED && glyphs.right.len() > 1 {
        let eighths = (at * glyphs.right.len() as f64).round() as usize;
        let part = eighths.checked_sub(1).and_then(|i| glyphs.right.get(i)).copied();
        return match (part, begins) {
            // The block is what is not held: the rest of the cell is.
            (Some(part), true) if eighths < glyphs.right.len() => (part, holding.add_modifier(Modifier::REVERSED)),
            (None, true) => (full(glyphs), holding),
            (Some(part), false) => (part, holding),
            _ => rest(cell, stopped, ui),
        };
    }
    if cell.held >= NOTHING { (glyphs.level(cell.held), holding) } else { rest(cell, stopped, ui) }
}

/// A cell in which nothing is held.
fn rest(cell: Cell, stopped: bool, ui: &Ui) -> (&'static str, Style) {
    let (theme, glyphs) = (&ui.theme, &ui.glyphs);
    if cell.is_wait() {
        (glyphs.wait, if stopped { theme.alarm } else { theme.waiting })
    } else {
        (glyphs.idle, theme.dim)
    }
}

/// Who held it after whom: at each handoff the name of who got it, then a line for as long as it was held. Where there
/// is no room for names, because it changes hands faster, for what share of the time anyone held it.
fn holders(model: &Model, ui: &Ui, window: &Window, mut pen: Pen<'_>) {
    let (theme, glyphs) = (&ui.theme, &ui.glyphs);
    let present = model.holders().map(|a| Hold { from: a.since_active, to: window.now, actor: a.id });
    // Among holds too short to be named the present one has no name either.
    let present = present.filter(|h| h.to.saturating_sub(h.from) >= NAMED_NS);
    let ring = model.holds();
    let known_from = ring.iter().next().filter(|_| ring.is_full()).map_or(0, |h| h.to);
    let mut holds: Vec<Hold> = ring.iter().copied().chain(present).filter(|h| h.to > window.begin()).collect();
    holds.sort_by_key(|h| (h.from, h.to));

    let mut signs: Vec<Option<String>> = vec![None; window.cells];
    let mut crowded = vec![false; window.cells];
    let mut begins = vec![0u32; window.cells];
    for (number, hold) in holds.iter().enumerate() {
        let cells = window.indices(hold.from, hold.to.max(hold.from + 1));
        if let Some(n) = begins.get_mut(cells.start) {
            *n += 1;
        }
        // Several hold it side by side.
        let apart = |next: &&Hold| next.from.saturating_add(window.width / UNSEEN) >= hold.to;
        if let Some(beside) = holds.get(number + 1).filter(|next| !apart(next)) {
            let shared = window.indices(beside.from, hold.to.min(beside.to));
            crowded.iter_mut().take(shared.end).skip(shared.start).for_each(|c| *c = true);
        }
    }
    for (index, crowded) in crowded.iter_mut().enumerate() {
        let old = window.cell(index).is_some_and(|(from, _)| from < known_from);
        *crowded |= old || begins.get(index).is_some_and(|n| *n > 1);
    }
    for (number, hold) in holds.iter().enumerate() {
        let mut cells = window.indices(hold.from, hold.to.max(hold.from + 1));
        if let Some(next) = holds.get(number + 1).and_then(|next| window.index(next.from)) {
            cells.end = cells.end.min(next.max(cells.start + 1));
        }
        let label = label(hold.actor, model);
        // A name is followed by a line, so that two names never run together; but for the present holder's.
        let room = cells.len() - usize::from(number + 1 < holds.len() && !cells.is_empty());
        if label.chars().count() > room || crowded.iter().take(cells.end).skip(cells.start).any(|c| *c) {
            continue;
        }
        let mut text = label.chars();
        for index in cells {
            if let Some(sign) = signs.get_mut(index) {
                *sign = Some(text.next().map_or_else(|| glyphs.line.to_owned(), |c| c.to_string()));
            }
        }
    }
    for (index, sign) in signs.iter().enumerate() {
        let busy = || {
            let (from, to) = window.cell(index)?;
            let now: u64 = model.holders().map(|h| to.saturating_sub(from.max(h.since_active))).max().unwrap_or(0);
            Some(((model.timeline().portion(from, to).held_ns + now as f64) / (to - from) as f64).min(1.0))
        };
        match (sign, busy()) {
            (Some(sign), _) => pen.put(sign, theme.holding),
            (None, Some(busy)) if busy >= NOTHING => pen.put(glyphs.level(busy), theme.holding),
            _ => pen.put(" ", theme.dim),
        }
    }
}

/// What a holder is called where there is hardly room: a worker's number, a task's process.
fn label(id: ActorId, model: &Model) -> String {
    match model.actor(id).filter(|a| a.task.is_some()) {
        Some(task) => model.label(task).1.to_string(),
        None => id.to_string(),
    }
}
