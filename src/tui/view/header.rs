//! The first line, the line below it where something is wrong, and the last.

use super::findings::Told;
use super::{STANDARD, cut, elide, folded};
use crate::dist::plain;
use crate::event::How;
use crate::format::{clock, count};
use crate::model::{Locks, Model};
use crate::source::Position;
use crate::tui::ink::{Row, Rows};
use crate::tui::keymap::Action;
use crate::tui::ui::Ui;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

/// Columns that the command takes at most.
const COMMAND: usize = 24;

/// Below this width words are spared.
const NARROW: usize = 60;

/// What is watched, how it is set, and for how long it has run.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, locks: &Locks, model: &Model, ui: &Ui, frozen: bool) {
    let (theme, glyphs) = (&ui.theme, &ui.glyphs);
    let begin = model.begin();
    let workers = if model.is_watched() { model } else { locks.first() }.members().count();
    let dot = glyphs.dot;

    let played = ui.position;
    let (badge, style) = match (frozen, model.is_paused() || played.is_some_and(|p| p.paused)) {
        (true, _) => (" FROZEN ", theme.badge),
        (false, _) if played.is_some_and(|p| p.ended) => (" ENDED ", theme.badge),
        (false, true) => (" PAUSED ", theme.badge),
        (false, false) if played.is_some() => (" replay ", theme.holding),
        (false, false) if model.is_watched() => (" watching ", theme.holding),
        (false, false) => (" running ", theme.holding),
    };
    let time = format!(" {} ", clock(locks.now()));
    let width = usize::from(area.width);
    let how = begin.watch.as_ref().map(|w| match w.how {
        How::Exact => "exact".to_owned(),
        How::Sampled => format!("sampled, {}{}", glyphs.plus_minus, plain(w.precision_ns)),
    });
    let (hold, think) = model.settings();
    let hold = match begin.setup.command.as_deref() {
        Some(words) => cut(&glyphs.plain(&format!("runs {}", program(words))), COMMAND, glyphs),
        None => format!("hold {}", plain(hold)),
    };
    let settings = match (&how, width) {
        (None, 0..60) => String::new(),
        (None, 60..100) => format!("{workers} workers {dot} {hold}  "),
        (None, _) => format!("{workers} workers {dot} {hold} {dot} think {}  ", plain(think)),
        (Some(_), 0..60) => String::new(),
        (Some(how), 60..100) => format!("{how}  "),
        (Some(how), _) if ui.lists() => format!("{} locks {dot} {how}  ", count(locks.all().len() as u64)),
        (Some(how), _) => format!("{workers} tasks {dot} {how}  "),
    };
    let info = model.info();
    let kind = match begin.setup.shared {
        _ if ui.lists() => "all locks".to_owned(),
        0 if width < 100 || how.is_some() => info.kind.to_string(),
        0 => format!("{} exclusive", info.kind),
        p => format!("{} {p} % shared", info.kind),
    };
    let id = info.file.as_ref().map(|(dev, ino)| format!(" ({dev} {ino})")).unwrap_or_default();

    let right = settings.chars().count() + badge.len() + time.len();
    let room = width.saturating_sub(right + 1);
    let lead = match ui.lists() {
        true => format!(" {} {dot} {kind}", begin.origin.as_str()),
        // That there is another is told where no list led here.
        false
            if ui.lists_on_escape(locks)
                && begin.watch.as_ref().is_none_or(|w| !w.list)
                && width >= STANDARD.0.into() =>
        {
            format!(
                " {} {dot} {kind} {dot} lock {} of {} {dot} ",
                begin.origin.as_str(),
                model.lock() + 1,
                locks.all().len()
            )
        }
        false => format!(" {} {dot} {kind} {dot} ", begin.origin.as_str()),
    };
    let name = " flockmon ";
    let path_room = room.saturating_sub(name.len() + lead.chars().count());
    let name_of_lock = if ui.lists() { String::new() } else { glyphs.plain(&info.name) };
    let full = if ui.lists() { String::new() } else { format!("{name_of_lock}{id}") };
    let path = if full.chars().count() <= path_room { full } else { elide(&name_of_lock, path_room, glyphs) };
    let left = cut(&format!("{lead}{path}"), room.saturating_sub(name.len()), glyphs);

    let gap = room.saturating_sub(name.len() + left.chars().count());
    let mut spans =
        vec![Span::styled(name, theme.strong), Span::styled(left, theme.text), Span::raw(" ".repeat(gap + 1))];
    spans.push(Span::styled(settings, theme.text));
    spans.push(Span::styled(badge, style));
    spans.push(Span::styled(time, theme.text));
    frame.render_widget(Row(Line::from(spans)), area);
}

/// The name of a command, without its folder.
fn program(words: &[String]) -> &str {
    words.first().and_then(|w| w.rsplit('/').next()).unwrap_or_default()
}

/// Rows that the gravest finding takes: two where it needs them and there is room.
pub(super) fn finding_rows(area: Rect, found: &[Told], ui: &Ui) -> u16 {
    let Some(first) = found.first() else { return 0 };
    let width = usize::from(area.width);
    let wide = first.within(width, ui).chars().count() + more(found, width, false, ui).len();
    if wide >= width && area.height >= STANDARD.1 { 2 } else { 1 }
}

/// What is said behind the gravest finding: how many more there are, or else where the rest of it is.
fn more(found: &[Told], width: usize, is_cut: bool, ui: &Ui) -> String {
    let others = found.len().saturating_sub(1);
    match (ui.key(Action::Findings).unwrap_or_default(), others, width < NARROW) {
        (_, 0, _) if !is_cut => String::new(),
        ("", 0, _) => String::new(),
        ("", n, _) => format!("  (and {n} more)"),
        (key, 0, false) => format!("  ({key} shows all)"),
        (key, 0, true) => format!("  ({key} all)"),
        (key, n, false) => format!("  ({key} lists {n} more)"),
        (key, n, true) => format!("  ({key} +{n})"),
    }
}

/// The gravest finding, in as many rows as there are for it, and how many more there are.
pub(super) fn finding(frame: &mut Frame<'_>, area: Rect, found: &[Told], ui: &Ui) {
    let Some(first) = found.first() else { return };
    let (rows, width) = (usize::from(area.height), usize::from(area.width));
    // The first row begins after a blank, the next one below the first word.
    let room = width.saturating_sub(if rows > 1 { 3 } else { 1 });
    let text = first.within(width, ui);
    let lay = |behind: &str| {
        let left = room.saturating_sub(behind.len());
        let mut lines = folded(&text, room, rows, &ui.glyphs);
        if lines.len() < rows && lines.last().is_some_and(|last| last.chars().count() > left) {
            // What stands behind it has no room there, but there is another row.
            lines = folded(&text, left, rows, &ui.glyphs);
        }
        let last = lines.pop().unwrap_or_default();
        let is_cut = last.chars().count() > left || last.ends_with(ui.glyphs.ellipsis);
        lines.push(cut(&last, left, &ui.glyphs));
        (lines, is_cut)
    };
    let mut behind = more(found, width, false, ui);
    let (mut lines, is_cut) = lay(&behind);
    if is_cut {
        behind = more(found, width, true, ui);
        (lines, _) = lay(&behind);
    }
    let mut shown: Vec<Line<'_>> = Vec::new();
    for line in lines {
        let indent = if shown.is_empty() { " " } else { "   " };
        shown.push(Line::styled(format!("{indent}{line}"), ui.theme.alarm));
    }
    if let Some(last) = shown.last_mut() {
        last.push_span(Span::styled(behind, ui.theme.dim));
    }
    frame.render_widget(Rows(shown), area);
}

/// How far a recording has been shown: speed, place, a bar, length.
pub(super) fn position(frame: &mut Frame<'_>, area: Rect, at: Position, ui: &Ui) {
    let (theme, glyphs) = (&ui.theme, &ui.glyphs);
    let speed = match at.speed {
        None => "max speed".to_owned(),
        Some(n) if n >= 1.0 => format!("{n:.0}{}", glyphs.times),
        Some(n) => format!("1/{:.0}{}", 1.0 / n, glyphs.times),
    };
    let left = format!(" {speed:>5}  {} ", clock(at.t));
    let Some(length) = at.length.filter(|l| *l > 0) else {
        return frame.render_widget(Row(Line::styled(format!("{left} of a stream"), theme.text)), area);
    };
    let share = (at.t as f64 / length as f64).clamp(0.0, 1.0);
    let right = format!(" {}  {:>3.0} % ", clock(length), share * 100.0);
    let room = usize::from(area.width).saturating_sub(left.chars().count() + right.chars().count());
    let done = (share * room as f64).round() as usize;
    let bar = |glyph: &str, n: usize| glyph.repeat(n);
    frame.render_widget(
        Row(Line::from(vec![
            Span::styled(left, theme.text),
            Span::styled(bar(glyphs.right.last().unwrap_or(&glyphs.rest), done), theme.holding),
            Span::styled(bar(glyphs.rest, room.saturating_sub(done)), theme.dim),
            Span::styled(right, theme.text),
        ])),
        area,
    );
}

/// Keys and labels: of the list of locks, or of one of them and the way back to the list.
fn keys<'a>(locks: &Locks, ui: &'a Ui) -> Vec<(String, &'a str)> {
    if ui.lists() {
        return ui.keys.footer_of_list(ui.place).collect();
    }
    let mut keys: Vec<_> = ui.keys.footer(ui.place).collect();
    if let Some(back) = ui.key(Action::Back).filter(|_| ui.lists_on_escape(locks)) {
        keys.insert(1.min(keys.len()), (back.to_owned(), "list"));
    }
    keys
}

/// What was said last, else the keys.
pub(super) fn footer(frame: &mut Frame<'_>, area: Rect, locks: &Locks, ui: &Ui) {
    let (theme, glyphs) = (&ui.theme, &ui.glyphs);
    if let Some(message) = &ui.message {
        let text = format!(" {}", glyphs.plain(message));
        let line = Line::styled(cut(&text, usize::from(area.width), glyphs), theme.strong);
        return frame.render_widget(Row(line), area);
    }
    let mut room = usize::from(area.width);
    // Help and quit are worth more than the rest: they are always there.
    let entry = |(keys, label): (String, &str)| (format!(" {}", glyphs.plain(&keys)), format!(" {label} "));
    let width = |(a, b): &(String, String)| a.len() + b.len();
    let (vital, usual): (Vec<_>, Vec<_>) =
        keys(locks, ui).into_iter().partition(|(_, label)| matches!(*label, "help" | "quit"));
    let vital: Vec<_> = vital.into_iter().map(entry).collect();
    room = room.saturating_sub(vital.iter().map(width).sum());
    let mut shown = Vec::new();
    for e in usual.into_iter().map(entry) {
        let Some(left) = room.checked_sub(width(&e)) else { break };
        room = left;
        shown.push(e);
    }
    let spans = shown
        .into_iter()
        .chain(vital)
        .flat_map(|(keys, label)| [Span::styled(keys, theme.key), Span::styled(label, theme.dim)]);
    frame.render_widget(Row(Line::from_iter(spans)), area);
}
