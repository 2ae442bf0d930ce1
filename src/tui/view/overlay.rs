//! What lies over the panels: the keys, what is wrong, what is to be confirmed.

use super::findings::Told;
use super::{below, block, folded, title};
use crate::event::What;
use crate::format::clock;
use crate::model::{Locks, Model, Note};
use crate::source::Question;
use crate::tui::ink::{Rows, line_width};
use crate::tui::keymap::Action;
use crate::tui::theme::Glyphs;
use crate::tui::ui::Ui;
use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Clear;
use std::cmp::Reverse;

/// Columns of the keys in the help, at least.
const KEYS: usize = 11;

/// The middle of `area`, at most so large.
pub(super) fn window(area: Rect, width: u16, height: u16) -> Rect {
    area.centered(Constraint::Length(width.min(area.width)), Constraint::Length(height.min(area.height)))
}

/// All keys; scrolls where they do not fit.
pub(super) fn help(frame: &mut Frame<'_>, area: Rect, ui: &mut Ui) {
    let (theme, glyphs) = (&ui.theme, &ui.glyphs);
    let keys: Vec<_> = ui.keys.help(ui.place, ui.lists()).map(|(shown, long)| (glyphs.plain(shown), long)).collect();
    let wide = keys.iter().map(|(shown, _)| shown.chars().count() + 1).max().unwrap_or(0).max(KEYS);
    let area = window(area, 92, u16::try_from(keys.len() + 6).unwrap_or(u16::MAX));
    let about = ui.hint([Action::Help, Action::Back], &[(ui.keys.arrows(ui.place), " scroll")]);
    let outer = block(title("keys", &about, theme, glyphs), theme, glyphs);
    let inner = outer.inner(area);
    let width = usize::from(inner.width);
    let mut lines: Vec<Line<'_>> = Vec::new();
    for (shown, long) in &keys {
        let rows = folded(long, width.saturating_sub(wide + 1), usize::MAX, glyphs);
        for (number, row) in rows.into_iter().enumerate() {
            let shown = if number == 0 { shown.as_str() } else { "" };
            lines.push(Line::from(vec![Span::styled(format!(" {shown:<wide$}"), theme.key), Span::raw(row)]));
        }
    }
    lines.push(Line::default());
    lines.extend(
        [
            " now: time in the present state    p50, p99, max: of the worker's finished waits",
            " overtaken: acquisitions by others since it began to wait    share: of all acquisitions",
            " same holder: how often the last holder won again    handoff: release to next acquisition",
        ]
        .into_iter()
        .flat_map(|text| hanging(text.trim_start(), 0, width, glyphs, theme.dim)),
    );
    frame.render_widget(Clear, area);
    frame.render_widget(outer, area);
    scrolled(frame, inner, lines, ui);
}

/// As many lines as there is room for, from where they are scrolled to; where that is not all of them, the border says so.
fn scrolled(frame: &mut Frame<'_>, area: Rect, lines: Vec<Line<'_>>, ui: &mut Ui) {
    let (all, height) = (lines.len(), usize::from(area.height));
    ui.overlay_scroll = ui.overlay_scroll.min(all.saturating_sub(height));
    ui.overlay_rows = area.height;
    let first = ui.overlay_scroll;
    frame.render_widget(Rows(lines.into_iter().skip(first).take(height).collect()), area);
    if all > height {
        below(frame, area, &format!("{}{}{} of {all} rows", first + 1, ui.glyphs.dash, first + height), ui);
    }
}

/// What is wrong now, and the latest deaths, stops and failures.
pub(super) fn findings(
    frame: &mut Frame<'_>,
    area: Rect,
    (locks, model): (&Locks, &Model),
    found: &[Told],
    ui: &mut Ui,
) {
    let (theme, glyphs) = (&ui.theme, &ui.glyphs);
    let area = window(area, 110, 24);
    let [width, height] = [area.width, area.height].map(|cells| usize::from(cells.saturating_sub(2)));
    let alarms = found.iter().map(|f| (f.whole(), 2, theme.alarm));
    let blind = model.begin().watch.iter().flat_map(|w| &w.blind);
    let blind = blind.map(|text| (format!("{} {text}", glyphs.dot), 2, theme.text));
    let sentence = |(text, indent, style): (String, usize, Style)| hanging(&text, indent, width, glyphs, style);
    let mut lines: Vec<Line<'_>> = alarms.flat_map(sentence).collect();
    if lines.is_empty() {
        lines.push(Line::styled(" nothing is wrong", theme.text));
    }
    lines.extend(blind.flat_map(sentence));
    let notes = if ui.lists() { notes(locks.all()) } else { notes(std::slice::from_ref(model)) };
    if !notes.is_empty() {
        lines.push(Line::default());
        lines.push(Line::styled(" lately, newest first:", theme.dim));
    }
    let notes = notes.into_iter().map(|(note, model)| {
        let whose = Some(&model.info().name).filter(|_| ui.lists() && !note.event.what.is_of_the_run(note.event.actor));
        let place = whose.map(|name| format!("{name}: ")).unwrap_or_default();
        (format!("{}  {place}{}", clock(note.event.t), told(note, model)), 10, theme.text)
    });
    lines.extend(notes.flat_map(sentence));
    let arrows = ui.keys.arrows(ui.place).filter(|_| lines.len() > height);
    let short = arrows.as_ref().map(|keys| format!("{keys} scroll")).unwrap_or_default();
    let about = ui.hint([Action::Findings, Action::Back], &[(arrows, " scroll")]);
    let mut heading = title("findings", &about, theme, glyphs);
    if line_width(&heading) > width {
        heading = title("findings", &short, theme, glyphs);
    }
    let outer = block(heading, theme, glyphs);
    let inner = outer.inner(area);
    frame.render_widget(Clear, area);
    frame.render_widget(outer, area);
    scrolled(frame, inner, lines, ui);
}

/// What happened lately at these locks, newest first. What concerns the whole run is noted at each of them, and told once.
fn notes(models: &[Model]) -> Vec<(&Note, &Model)> {
    let first = models.first().map(Model::lock);
    let once = |(note, model): &(&Note, &Model)| {
        first == Some(model.lock()) || !note.event.what.is_of_the_run(note.event.actor)
    };
    let all = models.iter().flat_map(|model| model.notes().rev().map(move |note| (note, model)));
    let mut all: Vec<_> = all.filter(once).collect();
    // What was found out late stands where it happened.
    all.sort_by_key(|(note, _)| Reverse(note.event.t));
    all
}

/// A sentence in as many rows as it takes, those after the first indented.
fn hanging(text: &str, indent: usize, width: usize, glyphs: &Glyphs, style: Style) -> Vec<Line<'static>> {
    let rows = folded(&glyphs.plain(text), width.saturating_sub(indent + 1), usize::MAX, glyphs);
    let mut lines = Vec::new();
    for row in rows {
        let before = if lines.is_empty() { 1 } else { indent + 1 };
        lines.push(Line::styled(format!("{}{row}", " ".repeat(before)), style));
    }
    lines
}

fn told(note: &Note, model: &Model) -> String {
    let e = &note.event;
    let who = match model.actor(e.actor) {
        Some(actor) if actor.task.is_some() && actor.pid == e.pid => actor.full_name(),
        _ => format!("worker-{} (pid {})", e.actor, e.pid),
    };
    let holding = if note.was_holding { ", holding the lock" } else { "" };
    match &e.what {
        What::Exited { signal: Some(9), .. } => format!("{who} was killed{holding}"),
        What::Exited { signal: Some(s), .. } => format!("{who} was ended by signal {s}{holding}"),
        What::Exited { code: None, .. } => format!("{who} ended{holding}"),
        What::Exited { code: Some(code), .. } => format!("{who} ended with status {code}{holding}"),
        What::Stopped => format!("{who} was stopped{holding}"),
        What::Continued => format!("{who} goes on{holding}"),
        What::Violation { other, other_pid, .. } => {
            format!("{who} won the lock while worker-{other} (pid {other_pid}) held it")
        }
        What::Failed { action, errno } => {
            format!("{who} cannot {}: {}", action.as_str(), std::io::Error::from_raw_os_error(*errno))
        }
        What::PathChanged { was, now: Some(now) } if was == now => format!("the path names inode {was} again"),
        What::PathChanged { was, now: Some(now) } => format!("the path now names inode {now}, not {was}"),
        What::PathChanged { was, now: None } => format!("the path names nothing any more; it was inode {was}"),
        What::Warning { text } => text.clone(),
        other => format!("{who}: {other:?}"),
    }
}

/// What is asked before anything is done to a process of another program.
pub(super) fn question(frame: &mut Frame<'_>, area: Rect, question: &Question, ui: &Ui) {
    let (theme, glyphs) = (&ui.theme, &ui.glyphs);
    // What will be done must be read to its end: sentences take as many rows as they need, as long as there are any.
    let width = usize::from(area.width.min(100)).saturating_sub(3);
    let most = usize::from(area.height).saturating_sub(4);
    let told = question.lines.iter().flat_map(|t| folded(&glyphs.plain(t), width, most, glyphs));
    let mut told: Vec<String> = told.collect();
    if told.len() > most {
        told.truncate(most);
        if let Some(last) = told.last_mut() {
            let room = width.saturating_sub(glyphs.ellipsis.chars().count());
            *last = last.chars().take(room).chain(glyphs.ellipsis.chars()).collect();
        }
    }
    let rows = u16::try_from(told.len() + 4).unwrap_or(u16::MAX);
    let area = window(area, 100, rows);
    let outer = block(title(&glyphs.plain(&question.title), "", theme, glyphs), theme, glyphs);
    let inner = outer.inner(area);
    let mut lines: Vec<Line<'_>> = told.iter().map(|t| Line::styled(format!(" {t}"), theme.text)).collect();
    lines.push(Line::default());
    let mut no = [" leave it as it is", " leave it"]
        .into_iter()
        .filter(|no| question.yes.chars().count() + no.len() + 7 <= usize::from(inner.width));
    lines.push(Line::from(vec![
        Span::styled(" y", theme.strong),
        Span::styled(format!(" {}   ", question.yes), theme.text),
        Span::styled("n", theme.strong),
        Span::styled(no.next().unwrap_or(" no"), theme.text),
    ]));
    frame.render_widget(Clear, area);
    frame.render_widget(outer, area);
    frame.render_widget(Rows(lines), inner);
}
