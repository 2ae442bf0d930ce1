//! The workers, a row each. Only rows that are drawn are formatted.

use super::{block, elide, time, title};
use crate::format::{count, percent};
use crate::model::runs::End;
use crate::model::{Actor, Locks, Model, State};
use crate::tui::column::overtaken;
use crate::tui::ink::Row;
use crate::tui::theme::Glyphs;
use crate::tui::{Column, Ui};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

/// Least widths of the columns, and the order in which they go when there is no room: the last first.
const COLUMNS: [(Column, usize); 12] = [
    (Column::Worker, 8),
    (Column::State, 10),
    (Column::Now, 7),
    (Column::Pid, 4),
    (Column::Got, 5),
    (Column::P50, 7),
    (Column::Max, 7),
    (Column::Last, 7),
    (Column::P99, 7),
    (Column::Overtaken, 9),
    (Column::Share, 5),
    (Column::Restarts, 8),
];

/// Two more where workers run a command, and behind how many of the others they go: how it ended counts for more.
const RUNNING: [(Column, usize); 2] = [(Column::Status, 7), (Column::Failed, 6)];
const BEFORE_RUNNING: usize = 4;

/// The same for tasks of other programs: who they are counts for more.
const WATCHED: [(Column, usize); 13] = [
    (Column::Worker, 12),
    (Column::State, 9),
    (Column::Now, 8),
    (Column::Pid, 4),
    (Column::Got, 5),
    (Column::Max, 7),
    (Column::P50, 7),
    (Column::Container, 12),
    (Column::Range, 12),
    (Column::Last, 7),
    (Column::Overtaken, 9),
    (Column::User, 8),
    (Column::P99, 7),
];

/// Columns between two columns.
const GAP: &str = " ";
/// Columns for the pointer at the selected row.
const POINTER: usize = 2;

/// How many rows the panel takes for so many tasks: its border, the heading, a row each.
pub(super) fn rows(tasks: usize) -> u16 {
    u16::try_from(tasks).unwrap_or(u16::MAX).saturating_add(3)
}

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, locks: &Locks, model: &Model, ui: &mut Ui) {
    let order = ui.order(model);
    let outer = block("", &ui.theme, &ui.glyphs);
    let inner = outer.inner(area);
    let height = usize::from(inner.height.saturating_sub(1));
    let rows = Rect { y: inner.y.saturating_add(1), height: inner.height.saturating_sub(1), ..inner };
    ui.reveal(&order, height);
    ui.targets.rows.set(rows, order.iter().skip(ui.scroll).copied());
    let columns = fitting(usize::from(inner.width).saturating_sub(POINTER), model);
    ui.columns = columns.iter().map(|(column, _)| *column).collect();
    let (theme, glyphs) = (&ui.theme, &ui.glyphs);
    let shown = ui.scroll..(ui.scroll + height).min(order.len());
    let about = if shown.len() < order.len() {
        format!("{}{}{} of {}", shown.start + 1, glyphs.dash, shown.end, order.len())
    } else {
        order.len().to_string()
    };
    let sorted =
        format!("{about}, by {}{}", ui.sort.title_of(model.is_watched()), if ui.reverse { ", reversed" } else { "" });
    let outer =
        block(title(if model.is_watched() { "tasks" } else { "workers" }, &sorted, theme, glyphs), theme, glyphs);
    frame.render_widget(outer, area);
    if inner.height == 0 {
        return;
    }
    frame.render_widget(Row(heading(&columns, model.is_watched(), ui)), Rect { height: 1, ..inner });
    let all = model.acquisitions();
    for (row, id) in order.iter().skip(ui.scroll).take(height).enumerate() {
        let Some(actor) = model.actor(*id) else { continue };
        let y = rows.y.saturating_add(u16::try_from(row).unwrap_or(u16::MAX));
        let area = Rect { y, height: 1, ..inner }.intersection(inner);
        let selected = ui.selected == Some(*id);
        let style = if selected { theme.selected } else { Style::new() };
        let elsewhere = elsewhere(locks, model, actor);
        let line = line(&columns, model, (actor, elsewhere), all, ui, selected).style(style);
        frame.render_widget(Row(line), area);
    }
}

/// Columns of the longest name and the longest pid: what grows with the fleet, not with time.
fn widest(model: &Model) -> [(Column, usize); 2] {
    // Other programs choose their names: those get a fixed width. Of workers the last has the longest one, but for what
    // a dead one left.
    let named = model.actors().iter().filter(|a| a.task.is_some()).chain(model.actors().last());
    let name = named.filter(|_| !model.is_watched()).map(|a| model.label(a).0.len()).max().unwrap_or(0);
    let pid = model.actors().iter().map(|a| a.pid).max().unwrap_or(0).to_string().len();
    [(Column::Worker, name), (Column::Pid, pid.max(5))]
}

/// As many columns as fit, by worth, in their order on the screen. Columns that nobody fills are left out.
fn fitting(width: usize, model: &Model) -> Vec<(Column, usize)> {
    if model.runs_command() {
        let (first, rest) = COLUMNS.split_at(BEFORE_RUNNING);
        return fit(width, &[first, &RUNNING, rest].concat(), &widest(model));
    }
    if !model.is_watched() {
        return fit(width, &COLUMNS, &widest(model));
    }
    let some = |has: fn(&Actor) -> bool| model.actors().iter().any(has);
    let (ranges, containers) =
        (some(|a| a.range().is_some()), some(|a| a.task.as_ref().is_some_and(|t| t.container.is_some())));
    let used: Vec<_> = WATCHED
        .into_iter()
        .filter(|(c, _)| match c {
            Column::Range => ranges,
            Column::Container => containers,
            _ => true,
        })
        .collect();
    fit(width, &used, &widest(model))
}

fn fit(width: usize, columns: &[(Column, usize)], widest: &[(Column, usize)]) -> Vec<(Column, usize)> {
    // The last column needs no gap behind it.
    let mut room = width + GAP.len();
    let mut fit: Vec<(Column, usize)> = Vec::new();
    for &(column, least) in columns {
        let wide = widest.iter().find(|(c, _)| *c == column).map_or(least, |(_, w)| least.max(*w));
        let Some(left) = room.checked_sub(wide + GAP.len()) else { break };
        room = left;
        fit.push((column, wide));
    }
    fit.sort_by_key(|(c, _)| Column::ALL.iter().position(|a| a == c));
    fit
}

fn heading(columns: &[(Column, usize)], watched: bool, ui: &Ui) -> Line<'static> {
    let mut spans = vec![Span::raw(" ".repeat(POINTER))];
    for (column, width) in columns {
        let style = if ui.sort == *column { ui.theme.strong.add_modifier(Modifier::UNDERLINED) } else { ui.theme.dim };
        let title = column.title_of(watched);
        let pad = Span::raw(" ".repeat(width.saturating_sub(title.len())));
        if left_aligned(*column) {
            spans.extend([Span::styled(title, style), pad, Span::raw(GAP)]);
        } else {
            spans.extend([pad, Span::styled(title, style), Span::raw(GAP)]);
        }
    }
    Line::from(spans)
}

/// Where a worker of a lab with two locks is that is not at this one.
fn elsewhere<'a>(locks: &'a Locks, model: &Model, a: &Actor) -> Option<(&'a Model, &'a Actor)> {
    let busy = |a: &Actor| a.state.is_holding() || a.state.is_waiting();
    if locks.all().len() < 2 || model.is_watched() || busy(a) || !a.state.is_alive() {
        return None;
    }
    let others = locks.all().iter().filter(|m| m.lock() != model.lock());
    others.filter_map(|m| Some((m, m.actor(a.id)?))).find(|(_, there)| busy(there))
}

/// A worker here, and where it is if not here.
type Whereabouts<'a> = (&'a Actor, Option<(&'a Model, &'a Actor)>);

fn line(
    columns: &[(Column, usize)],
    model: &Model,
    (a, elsewhere): Whereabouts<'_>,
    all: u64,
    ui: &Ui,
    selected: bool,
) -> Line<'static> {
    let (theme, glyphs) = (&ui.theme, &ui.glyphs);
    let pointer = if selected { glyphs.pointer } else { " " };
    let mut spans = vec![Span::styled(format!("{pointer:<POINTER$}"), theme.strong)];
    for &(column, width) in columns {
        let there = elsewhere.filter(|_| matches!(column, Column::State | Column::Now));
        let text = match there {
            Some((lock, there)) if column == Column::State => {
                format!("{} lock {}", glyphs.state(there.state, there.stopped_since.is_some()), lock.lock() + 1)
            }
            Some((lock, there)) => cell(column, lock, there, all, ui),
            None => cell(column, model, a, all, ui),
        };
        let style = match column {
            _ if there.is_some() => theme.dim,
            Column::State => theme.state(a.state),
            Column::Now if a.state.is_alive() => theme.state(a.state),
            Column::Status | Column::Failed if failed(column, a) => theme.alarm,
            Column::Overtaken if model.overtaken_now(a).is_some_and(|n| n > 0) => theme.waiting,
            _ if !a.state.is_alive() => theme.dim,
            _ => theme.text,
        };
        let text = match column {
            Column::Range => range(&text, width, glyphs),
            _ if model.is_watched() => elide(&glyphs.plain(&text), width, glyphs),
            _ => text,
        };
        spans.extend([Span::styled(padded(&text, width, left_aligned(column)), style), Span::raw(GAP)]);
    }
    Line::from(spans)
}

/// `text` with blanks behind it or before it, so that it takes `width` columns.
fn padded(text: &str, width: usize, left: bool) -> String {
    let blanks = std::iter::repeat_n(' ', width.saturating_sub(text.chars().count()));
    let mut padded = String::with_capacity(text.len() + blanks.len());
    if left {
        padded.push_str(text);
        padded.extend(blanks);
    } else {
        padded.extend(blanks);
        padded.push_str(text);
    }
    padded
}

/// A range of bytes in so many columns: what two large numbers have in common at their begin tells least.
fn range(text: &str, width: usize, glyphs: &Glyphs) -> String {
    let Some((from, to)) = text.split_once('-').filter(|_| text.len() > width) else {
        return elide(text, width, glyphs);
    };
    let ends = width.saturating_sub(1 + 2 * glyphs.ellipsis.chars().count()) / 2;
    let end = |number: &str| {
        if number.len() <= ends + 1 {
            return number.to_owned();
        }
        let digits = number.get(number.len().saturating_sub(ends)..).unwrap_or_default();
        format!("{}{digits}", glyphs.ellipsis)
    };
    elide(&format!("{}-{}", end(from), end(to)), width, glyphs)
}

/// Whether a cell tells that a command failed.
fn failed(column: Column, a: &Actor) -> bool {
    a.runs.as_ref().is_some_and(|runs| match column {
        Column::Status => runs.last().is_some_and(|run| run.end.is_failure()),
        _ => runs.failed > 0,
    })
}

fn left_aligned(column: Column) -> bool {
    matches!(column, Column::Worker | Column::State | Column::Container | Column::User | Column::Range)
}

fn cell(column: Column, model: &Model, a: &Actor, all: u64, ui: &Ui) -> String {
    let time = |ns: Option<u64>| ns.map_or("-".into(), |ns| time(ns, model, &ui.glyphs));
    match column {
        Column::Worker => model.label(a).0,
        Column::Pid => model.label(a).1.to_string(),
        Column::State => {
            let word = match a.state {
                _ if a.stopped_since.is_some() => "stopped",
                State::Waiting(_) if a.polls() => "polling",
                State::Thinking | State::Starting if model.is_watched() => "idle",
                state => state.as_str(),
            };
            format!("{} {word}", ui.glyphs.state(a.state, a.stopped_since.is_some()))
        }
        Column::Now => match a.state {
            State::Starting => "-".into(),
            _ => super::in_state(model, a, &ui.glyphs),
        },
        Column::Last => time(a.last_wait),
        Column::P50 => time(a.wait.quantile(0.5)),
        Column::P99 => time(a.wait.quantile(0.99)),
        Column::Max => time(a.wait.max()),
        Column::Got => count(a.got),
        Column::Share if all == 0 => "-".into(),
        Column::Share => percent(a.got as f64 / all as f64),
        Column::Overtaken => count(overtaken(model, a)),
        Column::Restarts => count(a.restarts),
        Column::Failed => a.runs.as_ref().map_or("-".into(), |runs| count(runs.failed)),
        Column::Status => match a.runs.as_ref().and_then(|runs| runs.last()).map(|run| run.end) {
            None => "-".into(),
            Some(End::Status(code)) => code.to_string(),
            Some(End::Signal(signal)) => format!("sig {signal}"),
        },
        Column::Container => a.task.as_ref().and_then(|t| t.container.clone()).unwrap_or_default(),
        Column::User => a.task.as_ref().map_or(String::new(), |t| t.user.clone()),
        Column::Range => match a.range() {
            None => "all".into(),
            Some((from, Some(to))) if from == to => from.to_string(),
            Some((from, Some(to))) => format!("{from}-{to}"),
            Some((from, None)) => format!("{from}-end"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::LockMode;

    #[test]
    fn every_state_fits_its_column() {
        let (_, wide) = COLUMNS.into_iter().find(|(c, _)| *c == Column::State).unwrap();
        for state in [State::Starting, State::Thinking, State::Removed, State::Holding(LockMode::Shared)] {
            assert!(2 + state.as_str().len() <= wide, "{}", state.as_str());
        }
    }

    #[test]
    fn ranges_in_one_large_file_are_told_apart() {
        let glyphs = Glyphs::new(false);
        let shown = |text| range(text, 12, &glyphs);
        // Of SQLite (os_unix.c): PENDING_BYTE, RESERVED_BYTE, and 510 bytes from SHARED_FIRST on.
        let locks = ["1073741824", "1073741825", "1073741826-1073742335", "120-123"].map(shown);
        assert_eq!(locks, ["1073741824", "1073741825", "\u{2026}1826-\u{2026}2335", "120-123"]);
        assert!(locks.iter().all(|text| text.chars().count() <= 12));
    }

    #[test]
    fn every_column_has_its_place_and_the_worker_goes_last() {
        let in_lab = |width| fit(width, &COLUMNS, &[]);
        assert_eq!(in_lab(1000).len(), COLUMNS.len());
        assert_eq!(in_lab(13).first().map(|c| c.0), Some(Column::Worker));
        assert!(in_lab(5).is_empty());
    }
}
