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

mod header;
mod histogram;
mod holder;
mod overlay;
mod table;
mod timeline;

use super::theme::{Glyphs, Theme};
use super::ui::{Overlay, Panel, Ui};
use crate::model::Model;
use crate::model::finding::{Finding, findings};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph};

/// The smallest screen that shows anything.
pub const SMALLEST: (u16, u16) = (40, 10);
/// From here on there is a histogram beside the table.
const STANDARD: (u16, u16) = (80, 20);
/// From here on there is a timeline.
const FULL: (u16, u16) = (100, 28);
/// Columns that the histogram takes: at the standard size, from 120 and from 150 columns on.
const HISTOGRAM: [u16; 3] = [28, 34, 46];

/// Draws a frame.
pub fn draw(frame: &mut Frame<'_>, live: &Model, ui: &mut Ui) {
    let area = frame.area();
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        too_small(frame, area, ui);
        return backdrop(frame, ui.theme.screen);
    }
    let frozen = ui.frozen.take();
    let model = frozen.as_deref().unwrap_or(live);
    let found = findings(model);
    panels(frame, area, model, &found, ui, frozen.is_some());
    match ui.overlay {
        Some(Overlay::Help) => overlay::help(frame, area, ui),
        Some(Overlay::Findings) => overlay::findings(frame, area, model, &found, ui),
        Some(Overlay::Detail) => overlay::detail(frame, area, model, ui),
        None => {}
    }
    ui.frozen = frozen;
    backdrop(frame, ui.theme.screen);
}

/// Gives the theme's own background and ink to what has none.
fn backdrop(frame: &mut Frame<'_>, screen: Style) {
    for cell in &mut frame.buffer_mut().content {
        if cell.bg == Color::Reset {
            cell.bg = screen.bg.unwrap_or(Color::Reset);
        }
        if cell.fg == Color::Reset {
            cell.fg = screen.fg.unwrap_or(Color::Reset);
        }
    }
}

fn panels(frame: &mut Frame<'_>, area: Rect, model: &Model, found: &[Finding], ui: &mut Ui, frozen: bool) {
    let finding_rows = u16::from(!found.is_empty());
    let position_rows = u16::from(ui.position.is_some());
    let [top, finding, body, position, bottom] = area.layout(&Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(finding_rows),
        Constraint::Fill(1),
        Constraint::Length(position_rows),
        Constraint::Length(1),
    ]));
    header::draw(frame, top, model, ui, frozen);
    header::finding(frame, finding, found, ui);
    if let Some(at) = ui.position {
        header::position(frame, position, at, ui);
    }
    header::footer(frame, bottom, ui);

    match ui.enlarged {
        Some(Panel::Table) => return table::draw(frame, body, model, ui),
        Some(Panel::Histogram) => return histogram::draw(frame, body, model, ui),
        Some(Panel::Timeline) => return timeline::draw(frame, body, model, ui),
        None => {}
    }
    let fits = |(w, h): (u16, u16)| area.width >= w && area.height >= h;
    // Three facts and a border; less where every row counts.
    let holder_rows = if area.height >= 16 { holder::ROWS } else { 1 };
    if !fits(STANDARD) {
        let [holder, table] = body.layout(&Layout::vertical([Constraint::Length(holder_rows), Constraint::Fill(1)]));
        holder::draw(frame, holder, model, ui);
        return table::draw(frame, table, model, ui);
    }
    let full = fits(FULL);
    let timeline_rows = if full { timeline::rows(model, body.height) } else { 0 };
    let [upper, lower] = body.layout(&Layout::vertical([Constraint::Fill(1), Constraint::Length(timeline_rows)]));
    let [narrow, usual, wide] = HISTOGRAM;
    let histogram_columns = match area.width {
        0..120 => narrow,
        120..150 => usual,
        _ => wide,
    };
    let [left, right] = upper.layout(&Layout::horizontal([Constraint::Fill(1), Constraint::Length(histogram_columns)]));
    let [holder, table] = left.layout(&Layout::vertical([Constraint::Length(holder::ROWS), Constraint::Fill(1)]));
    holder::draw(frame, holder, model, ui);
    table::draw(frame, table, model, ui);
    histogram::draw(frame, right, model, ui);
    if full {
        timeline::draw(frame, lower, model, ui);
    }
}

fn too_small(frame: &mut Frame<'_>, area: Rect, ui: &Ui) {
    let x = ui.glyphs.times;
    let (width, height) = SMALLEST;
    let text = format!("needs {width}{x}{height}, has {}{x}{}", area.width, area.height);
    frame.render_widget(Paragraph::new(text), area);
}

/// A panel's frame with its title.
fn block<'a>(title: impl Into<Line<'a>>, theme: &Theme, glyphs: &Glyphs) -> Block<'a> {
    Block::bordered().border_set(glyphs.border).border_style(theme.border).title(title)
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
