//! The locks of the system, a row each, the busiest first. Only rows that are drawn are formatted.

use super::findings::Told;
use super::{block, elide, time, title};
use crate::format::{count, rate};
use crate::model::{Locks, Model};
use crate::tui::ink::{Row, Rows};
use crate::tui::picker::LockColumn;
use crate::tui::ui::Ui;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

/// Widths of the columns, and the order in which they go when there is no room: the last first.
const COLUMNS: [(LockColumn, usize); 7] = [
    (LockColumn::Holder, 18),
    (LockColumn::Waiters, 7),
    (LockColumn::Held, 8),
    (LockColumn::Longest, 8),
    (LockColumn::Kind, 5),
    (LockColumn::Acquired, 8),
    (LockColumn::Rate, 6),
];
/// The path gets what is left, but no less than this.
const PATH: usize = 14;
/// Columns for the pointer at the selected row, and for a sign where something is wrong.
const POINTER: usize = 2;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, locks: &Locks, found: &[Told], ui: &mut Ui) {
    let order = ui.picker.order(locks);
    let outer = block("", &ui.theme, &ui.glyphs);
    let inner = outer.inner(area);
    let height = usize::from(inner.height.saturating_sub(1));
    let rows = Rect { y: inner.y.saturating_add(1), height: inner.height.saturating_sub(1), ..inner };
    ui.picker.reveal(&order, height);
    ui.targets.locks.set(rows, ui.picker.rows.iter().copied());
    let (theme, glyphs, picker) = (&ui.theme, &ui.glyphs, &ui.picker);

    let first = picker.scroll + 1;
    let about = if picker.rows.len() < order.len() {
        format!("{first}{}{} of {}", glyphs.dash, picker.scroll + picker.rows.len(), order.len())
    } else {
        order.len().to_string()
    };
    let reversed = if picker.reverse { ", from the top" } else { "" };
    let sorted = format!("{about}, by {}{reversed}", picker.sort.title());
    frame.render_widget(block(title("locks", &sorted, theme, glyphs), theme, glyphs), area);
    if inner.height == 0 {
        return;
    }
    if order.is_empty() {
        let text = " nobody holds a file lock that can be seen from here";
        return frame.render_widget(Rows(vec![Line::styled(text, theme.text)]), inner);
    }
    let columns = fitting(usize::from(inner.width).saturating_sub(POINTER));
    frame.render_widget(Row(heading(&columns, ui)), Rect { height: 1, ..inner });
    for (row, id) in picker.rows.iter().enumerate() {
        let Some(model) = locks.get(*id) else { continue };
        let y = rows.y.saturating_add(u16::try_from(row).unwrap_or(u16::MAX));
        let selected = picker.selected == Some(*id);
        let style = if selected { theme.selected } else { Style::new() };
        let area = Rect { y, height: 1, ..inner }.intersection(inner);
        let wrong = found.iter().any(|told| told.lock == Some(*id));
        frame.render_widget(Row(line(&columns, model, ui, (selected, wrong)).style(style)), area);
    }
}

/// As many columns as fit, by worth, in their order on the screen; the path first, with what is left.
fn fitting(width: usize) -> Vec<(LockColumn, usize)> {
    let mut room = width.saturating_sub(PATH);
    let mut fit = Vec::new();
    for (column, wide) in COLUMNS {
        let Some(left) = room.checked_sub(wide + 1) else { break };
        room = left;
        fit.push((column, wide));
    }
    fit.push((LockColumn::Lock, PATH + room));
    fit.sort_by_key(|(c, _)| LockColumn::ALL.iter().position(|a| a == c));
    fit
}

fn is_word(column: LockColumn) -> bool {
    matches!(column, LockColumn::Lock | LockColumn::Kind | LockColumn::Holder)
}

fn padded(text: &str, width: usize, column: LockColumn) -> String {
    if is_word(column) { format!("{text:<width$} ") } else { format!("{text:>width$} ") }
}

fn heading(columns: &[(LockColumn, usize)], ui: &Ui) -> Line<'static> {
    let mut spans = vec![Span::raw(" ".repeat(POINTER))];
    for &(column, width) in columns {
        let sorted = ui.picker.sort == column;
        let style = if sorted { ui.theme.strong.add_modifier(Modifier::UNDERLINED) } else { ui.theme.dim };
        let (title, pad) = (column.title(), " ".repeat(width.saturating_sub(column.title().len())));
        let (title, pad) = (Span::styled(title, style), Span::raw(pad));
        spans.extend(if is_word(column) { [title, pad] } else { [pad, title] });
        spans.push(Span::raw(" "));
    }
    Line::from(spans)
}

fn line(columns: &[(LockColumn, usize)], model: &Model, ui: &Ui, (selected, wrong): (bool, bool)) -> Line<'static> {
    let (theme, glyphs) = (&ui.theme, &ui.glyphs);
    let pointer = if selected { glyphs.pointer } else { " " };
    let sign = if wrong { "!" } else { " " };
    let mut spans = vec![Span::styled(pointer, theme.strong), Span::styled(sign, theme.alarm)];
    for &(column, width) in columns {
        let text = glyphs.plain(&cell(column, model, ui));
        let text = elide(&text, width, glyphs);
        let style = match column {
            LockColumn::Holder | LockColumn::Held if model.holder_count() > 0 => theme.holding,
            LockColumn::Waiters | LockColumn::Longest if model.waiting() > 0 => theme.waiting,
            _ => theme.text,
        };
        spans.push(Span::styled(padded(&text, width, column), style));
    }
    Line::from(spans)
}

fn cell(column: LockColumn, model: &Model, ui: &Ui) -> String {
    let first = model.holders().next();
    match column {
        LockColumn::Lock => model.info().name.clone(),
        LockColumn::Kind => model.info().kind.to_string(),
        LockColumn::Holder => match (first, model.holder_count()) {
            (None, _) => "-".into(),
            (Some(h), 1) => format!("{} {}", h.pid, h.name()),
            (Some(h), n) => format!("{} {} +{}", h.pid, h.name(), n - 1),
        },
        LockColumn::Held => first.map_or("-".into(), |h| super::in_state(model, h, &ui.glyphs)),
        LockColumn::Waiters => count(u64::from(model.waiting())),
        LockColumn::Longest => match model.longest_waiter() {
            Some((waiter, _)) => super::in_state(model, waiter, &ui.glyphs),
            None => model.wait().all().max().map_or("-".into(), |ns| time(ns, model, &ui.glyphs)),
        },
        LockColumn::Acquired => count(model.acquisitions()),
        LockColumn::Rate => model.rate().map_or("-".into(), rate),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_always_there_and_rows_never_grow_too_wide() {
        for width in 0..200 {
            let columns = fitting(width);
            assert_eq!(columns.first().map(|c| c.0), Some(LockColumn::Lock));
            let used: usize = columns.iter().map(|c| c.1 + 1).sum();
            assert!(width < PATH || used <= width + 1, "{width}: {columns:?}");
        }
        assert_eq!(fitting(200).len(), LockColumn::ALL.len());
    }
}
