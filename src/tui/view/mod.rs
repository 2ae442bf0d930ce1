//! Draws the model. One file a panel; sizes decide which panels there are.
//!
//! ```text
//!  header
//!  finding (where there is one)
//! ╭ holder ─────────────────────────╮╭ histogram ─────────╮
//! ╰─────────────────────────────────╯│                    │
//! ╭ workers ────────────────────────╮│                    │
//! ╰─────────────────────────────────╯╰────────────────────╯
//! ╭ timeline ─────────────────────────────────────────────╮
//! ╰───────────────────────────────────────────────────────╯
//!  position (in a recording)
//!  footer
//! ```

mod children;
mod detail;
mod findings;
mod header;
mod histogram;
mod holder;
mod locks;
mod overlay;
mod runs;
mod table;
mod timeline;

use super::ink::{Border, Row, line_width};
use super::keymap::Action;
use super::theme::{Glyphs, Theme};
use super::ui::{Overlay, Panel, Ui};
use crate::format::dur_within;
use crate::model::{Actor, Locks, Model};
use findings::Told;
use ratatui::Frame;
use ratatui::buffer::Cell;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style};
use ratatui::text::{Line, Span};

/// The smallest screen that shows anything.
const SMALLEST: (u16, u16) = (40, 10);
/// From here on there is a histogram beside the table.
const STANDARD: (u16, u16) = (80, 20);
/// From here on there is always a timeline; below, where the table leaves room.
const FULL: (u16, u16) = (100, 28);
/// Columns that the histogram takes: at the standard size, from 120 and from 150 columns on.
const HISTOGRAM: [u16; 3] = [27, 33, 46];

/// Draws a frame.
pub fn draw(frame: &mut Frame<'_>, live: &Locks, ui: &mut Ui) {
    let area = frame.area();
    ui.targets.clear();
    if is_too_small(area) {
        too_small(frame, area, ui);
        return backdrop(&mut frame.buffer_mut().content, ui.theme.screen);
    }
    let frozen = ui.frozen.take();
    let locks = frozen.as_deref().unwrap_or(live);
    let model = shown(locks, ui);
    let found = findings::told(locks, model, ui);
    panels(frame, area, locks, model, &found, ui, frozen.is_some());
    match ui.overlay {
        Some(Overlay::Help) => overlay::help(frame, area, ui),
        Some(Overlay::Findings) => overlay::findings(frame, area, (locks, model), &found, ui),
        Some(Overlay::Detail) => detail::draw(frame, area, locks, model, ui),
        None => {}
    }
    if let Some(question) = &ui.question {
        overlay::question(frame, area, question, ui);
    }
    ui.frozen = frozen;
    backdrop(&mut frame.buffer_mut().content, ui.theme.screen);
}

/// Draws the first line as [`draw`] does, and nothing else; `false` where that would not do. In a pause nothing but the clock in
/// it moves, unless something lies over it, or a recording goes on.
pub fn draw_first_line(frame: &mut Frame<'_>, live: &Locks, ui: &Ui) -> bool {
    let area = frame.area();
    if is_too_small(area) || ui.overlay.is_some() || ui.question.is_some() || ui.position.is_some() {
        return false;
    }
    let locks = ui.frozen.as_deref().unwrap_or(live);
    let first = Rect { height: 1, ..area };
    header::draw(frame, first, locks, shown(locks, ui), ui, ui.frozen.is_some());
    backdrop(frame.buffer_mut().content.iter_mut().take(area.width.into()), ui.theme.screen);
    true
}

fn is_too_small(area: Rect) -> bool {
    area.width < SMALLEST.0 || area.height < SMALLEST.1
}

/// The lock that is opened, or else the first one.
fn shown<'a>(locks: &'a Locks, ui: &Ui) -> &'a Model {
    ui.opened.and_then(|id| locks.get(id)).unwrap_or_else(|| locks.first())
}

/// Gives the theme's own background and ink to what has none.
fn backdrop<'a>(cells: impl IntoIterator<Item = &'a mut Cell>, screen: Style) {
    for cell in cells {
        if cell.bg == Color::Reset {
            cell.bg = screen.bg.unwrap_or(Color::Reset);
        }
        if cell.fg == Color::Reset {
            cell.fg = screen.fg.unwrap_or(Color::Reset);
        }
    }
}

fn panels(frame: &mut Frame<'_>, area: Rect, locks: &Locks, model: &Model, found: &[Told], ui: &mut Ui, frozen: bool) {
    let finding_rows = header::finding_rows(area, found, ui);
    let position_rows = u16::from(ui.position.is_some());
    // What cannot be seen is said where there is room to see anything.
    let blind = locks.begin().watch.as_ref().filter(|_| area.height >= STANDARD.1).and_then(|w| w.blind.first());
    let [top, finding, note, body, position, bottom] = area.layout(&Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(finding_rows),
        Constraint::Length(u16::from(blind.is_some())),
        Constraint::Fill(1),
        Constraint::Length(position_rows),
        Constraint::Length(1),
    ]));
    header::draw(frame, top, locks, model, ui, frozen);
    if let Some(text) = blind {
        let text = cut(&format!(" {}", ui.glyphs.plain(text)), usize::from(note.width), &ui.glyphs);
        frame.render_widget(Row(Line::styled(text, ui.theme.dim)), note);
    }
    header::finding(frame, finding, found, ui);
    if let Some(at) = ui.position {
        header::position(frame, position, at, ui);
    }
    header::footer(frame, bottom, locks, ui);

    if ui.lists() {
        return locks::draw(frame, body, locks, found, ui);
    }
    match ui.enlarged {
        Some(Panel::Table) => return table::draw(frame, body, locks, model, ui),
        Some(Panel::Histogram) => return histogram::draw(frame, body, model, ui),
        Some(Panel::Timeline) => return timeline::draw(frame, body, model, ui),
        None => {}
    }
    let fits = |(w, h): (u16, u16)| area.width >= w && area.height >= h;
    // Three facts and a border; less where every row counts.
    let holder_rows = if area.height >= 16 { holder::rows(model) } else { 1 };
    if !fits(STANDARD) {
        let [holder, table] = body.layout(&Layout::vertical([Constraint::Length(holder_rows), Constraint::Fill(1)]));
        holder::draw(frame, holder, model, ui);
        table::draw(frame, table, locks, model, ui);
        return more_panels(frame, table, "histogram, timeline", ui);
    }
    let full = fits(FULL);
    let tasks = model.here().count();
    let others = holder::rows(model).saturating_add(table::rows(tasks));
    let left = body.height.saturating_sub(others);
    let timeline_rows = if full { timeline::rows(tasks, body.height, left) } else { timeline::rows_left(tasks, left) };
    let [upper, lower] = body.layout(&Layout::vertical([Constraint::Fill(1), Constraint::Length(timeline_rows)]));
    let [narrow, usual, wide] = HISTOGRAM;
    let histogram_columns = match area.width {
        0..120 => narrow,
        120..150 => usual,
        _ => wide,
    };
    let [left, right] = upper.layout(&Layout::horizontal([Constraint::Fill(1), Constraint::Length(histogram_columns)]));
    let [holder, table] =
        left.layout(&Layout::vertical([Constraint::Length(holder::rows(model)), Constraint::Fill(1)]));
    holder::draw(frame, holder, model, ui);
    table::draw(frame, table, locks, model, ui);
    histogram::draw(frame, right, model, ui);
    if timeline_rows > 0 {
        timeline::draw(frame, lower, model, ui);
    } else {
        more_panels(frame, table, "timeline", ui);
    }
}

/// Says at the lower edge of `area` which key shows the panels that have no room.
fn more_panels(frame: &mut Frame<'_>, area: Rect, panels: &str, ui: &Ui) {
    let Some(key) = ui.key(Action::Enlarge) else { return };
    let inner = Rect {
        x: area.x.saturating_add(1),
        width: area.width.saturating_sub(2),
        height: area.height.saturating_sub(1),
        ..area
    };
    below(frame, inner, &format!("{key} {panels}"), ui);
}

/// Writes into the border below `inner`, at its right end.
fn below(frame: &mut Frame<'_>, inner: Rect, text: &str, ui: &Ui) {
    let text = Line::styled(format!(" {text} "), ui.theme.dim);
    let row = Rect { y: inner.bottom(), height: 1, ..inner }.intersection(frame.area());
    let width = u16::try_from(line_width(&text)).unwrap_or(u16::MAX).min(row.width);
    frame.render_widget(Row(text), Rect { x: row.right().saturating_sub(width), width, ..row });
}

fn too_small(frame: &mut Frame<'_>, area: Rect, ui: &Ui) {
    let x = ui.glyphs.times;
    let (width, height) = SMALLEST;
    let text = format!("needs {width}{x}{height}, has {}{x}{}", area.width, area.height);
    frame.render_widget(Row(Line::raw(text)), area);
}

/// A duration of `ns` in as many digits as are known.
fn time(ns: u64, model: &Model, glyphs: &Glyphs) -> String {
    dur_within(ns, model.precision(), glyphs.ascii)
}

/// How long `actor` has been in its state: at least so long where it was in it before watching began.
fn in_state(model: &Model, actor: &Actor, glyphs: &Glyphs) -> String {
    let sign = if actor.before { glyphs.at_least } else { "" };
    format!("{sign}{}", time(model.in_state(actor), model, glyphs))
}

/// A panel's frame with its title.
fn block<'a>(title: impl Into<Line<'a>>, theme: &Theme, glyphs: &Glyphs) -> Border<'a> {
    Border::new(glyphs.border, theme.border, title.into())
}

/// A panel's title: its name, then what it shows.
fn title(name: &str, rest: &str, theme: &Theme, glyphs: &Glyphs) -> Line<'static> {
    let mut spans = vec![Span::raw(" "), Span::styled(name.to_owned(), theme.strong)];
    if !rest.is_empty() {
        spans.push(Span::styled(format!(" {} {}", glyphs.dot, glyphs.plain(rest)), theme.text));
    }
    spans.push(Span::raw(" "));
    Line::from(spans)
}

/// `text` cut to `width` columns, with a sign that something is missing.
fn cut(text: &str, width: usize, glyphs: &Glyphs) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let keep = width.saturating_sub(glyphs.ellipsis.chars().count());
    let mut out: String = text.chars().take(keep).collect();
    out.extend(glyphs.ellipsis.chars().take(width));
    out
}

/// `text` in rows of `width` columns, broken between words where that can be; what takes more than `most` rows is cut.
/// Facts that three blanks part stay whole where that can be.
fn folded(text: &str, width: usize, most: usize, glyphs: &Glyphs) -> Vec<String> {
    let (mut rows, mut rest) = (Vec::new(), text);
    while rows.len() + 1 < most && rest.chars().count() > width {
        let end = rest.char_indices().nth(width).map_or(rest.len(), |(at, _)| at);
        let (head, _) = rest.split_at(end);
        let late = |at: &usize| *at > end / 3;
        let at = head.rfind("   ").filter(late).or_else(|| head.rfind(' ').filter(late)).unwrap_or(end);
        let (row, more) = rest.split_at(at);
        if row.is_empty() {
            break;
        }
        rows.push(row.to_owned());
        rest = more.trim_start();
    }
    rows.push(cut(rest, width, glyphs));
    rows
}

/// `text` shortened in its middle to `width` columns: the ends of a path tell most.
fn elide(text: &str, width: usize, glyphs: &Glyphs) -> String {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() <= width {
        return text.to_owned();
    }
    let keep = width.saturating_sub(glyphs.ellipsis.chars().count());
    let head = keep / 3;
    let tail = keep - head;
    let mut out: String = chars.iter().take(head).collect();
    out.push_str(glyphs.ellipsis);
    out.extend(chars.iter().skip(chars.len() - tail));
    out
}
