//! What lies over the panels: the keys, what is wrong, one worker in detail.

use super::{block, cut, histogram, title};
use crate::event::What;
use crate::format::{clock, count, dur_in, percent};
use crate::model::finding::Finding;
use crate::model::{Actor, Latency, Model, Note};
use crate::tui::keymap::BINDINGS;
use crate::tui::ui::{Figure, Ui};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Paragraph};

/// Columns of the keys in the help.
const KEYS: usize = 11;

/// The middle of `area`, at most so large.
fn window(area: Rect, width: u16, height: u16) -> Rect {
    area.centered(Constraint::Length(width.min(area.width)), Constraint::Length(height.min(area.height)))
}

/// All keys; scrolls where they do not fit.
pub(super) fn help(frame: &mut Frame<'_>, area: Rect, ui: &mut Ui) {
    let (theme, glyphs) = (&ui.theme, &ui.glyphs);
    let keys: Vec<_> = BINDINGS.iter().filter(|b| b.scope.includes(ui.recorded())).collect();
    let area = window(area, 92, u16::try_from(keys.len() + 6).unwrap_or(u16::MAX));
    let outer = block(title("keys", "? or esc closes, arrows scroll", theme, glyphs), theme, glyphs);
    let inner = outer.inner(area);
    let mut lines: Vec<Line<'_>> = keys
        .iter()
        .map(|b| Line::from(vec![Span::styled(format!(" {:<KEYS$}", b.keys), theme.strong), Span::raw(b.long)]))
        .collect();
    lines.push(Line::default());
    lines.extend(
        [
            " now: time in the present state    p50, p99, max: of the worker's finished waits",
            " overtaken: acquisitions by others since it began to wait    share: of all acquisitions",
            " same holder: how often the last holder won again    handoff: release to next acquisition",
        ]
        .map(|text| Line::styled(text, theme.dim)),
    );
    let most = lines.len().saturating_sub(usize::from(inner.height));
    ui.help_scroll = ui.help_scroll.min(u16::try_from(most).unwrap_or(u16::MAX));
    frame.render_widget(Clear, area);
    frame.render_widget(outer, area);
    frame.render_widget(Paragraph::new(lines).scroll((ui.help_scroll, 0)), inner);
}

/// What is wrong now, and the latest deaths, stops and failures.
pub(super) fn findings(frame: &mut Frame<'_>, area: Rect, model: &Model, found: &[Finding], ui: &Ui) {
    let (theme, glyphs) = (&ui.theme, &ui.glyphs);
    let area = window(area, 110, 24);
    let outer = block(title("findings", "! or esc closes", theme, glyphs), theme, glyphs);
    let inner = outer.inner(area);
    let width = usize::from(inner.width);
    let mut lines: Vec<Line<'_>> = found
        .iter()
        .map(|f| Line::styled(cut(&format!(" ! {}", glyphs.plain(&f.text())), width, glyphs), theme.alarm))
        .collect();
    if lines.is_empty() {
        lines.push(Line::styled(" nothing is wrong", theme.text));
    }
    lines.push(Line::default());
    lines.push(Line::styled(" lately, newest first:", theme.dim));
    let room = usize::from(inner.height).saturating_sub(lines.len());
    lines.extend(model.notes().rev().take(room).map(|n| {
        let text = format!(" {}  {}", clock(n.event.t), glyphs.plain(&told(n)));
        Line::styled(cut(&text, width, glyphs), theme.text)
    }));
    frame.render_widget(Clear, area);
    frame.render_widget(outer, area);
    frame.render_widget(Paragraph::new(lines), inner);
}

fn told(note: &Note) -> String {
    let e = &note.event;
    let who = format!("worker-{} (pid {})", e.actor, e.pid);
    let holding = if note.was_holding { ", holding the lock" } else { "" };
    match &e.what {
        What::Exited { signal: Some(9), .. } => format!("{who} was killed{holding}"),
        What::Exited { signal: Some(s), .. } => format!("{who} was ended by signal {s}{holding}"),
        What::Exited { code, .. } => format!("{who} ended with status {}{holding}", code.unwrap_or(0)),
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
        other => format!("{who}: {other:?}"),
    }
}

/// The selected worker: its figures, and its waits beside everyone's.
pub(super) fn detail(frame: &mut Frame<'_>, area: Rect, model: &Model, ui: &Ui) {
    let Some(actor) = ui.selected.and_then(|id| model.actor(id)) else { return };
    let (theme, glyphs) = (&ui.theme, &ui.glyphs);
    let area = window(area, 110, 26);
    let about = format!("pid {} \u{b7} enter or esc closes, arrows: the next one", actor.pid);
    let outer = block(title(&actor.name(), &about, theme, glyphs), theme, glyphs);
    let inner = outer.inner(area);
    let facts = facts(actor, model, ui);
    let rows = u16::try_from(facts.len()).unwrap_or(0);
    let [top, rest] = inner.layout(&Layout::vertical([Constraint::Length(rows), Constraint::Fill(1)]));
    let [left, right] = rest.layout(&Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]));
    frame.render_widget(Clear, area);
    frame.render_widget(outer, area);
    frame.render_widget(Paragraph::new(facts), top);
    let (own, all) = match ui.figure {
        Figure::Hold => (&actor.hold, model.hold().all()),
        Figure::Wait => (&actor.wait, model.wait().all()),
        Figure::Handoff => (&actor.wait, model.handoff().all()),
    };
    let own_name = if ui.figure == Figure::Handoff { Figure::Wait } else { ui.figure };
    let waits = ui.figure == Figure::Wait;
    let own_waiting = (waits && actor.state.is_waiting()).then(|| (1, model.in_state(actor)));
    let all_waiting = model.longest_waiter().filter(|_| waits).map(|(_, ns)| (model.waiting(), ns));
    beside(frame, left, &format!("its {}", own_name.as_str()), (own, own_waiting), ui);
    beside(frame, right, &format!("everyone's {}", ui.figure.as_str()), (&all, all_waiting), ui);
}

fn beside(frame: &mut Frame<'_>, area: Rect, name: &str, (latency, waiting): (&Latency, Option<(u32, u64)>), ui: &Ui) {
    let about = format!("{} samples", count(latency.count()));
    let outer = block(title(name, &about, &ui.theme, &ui.glyphs), &ui.theme, &ui.glyphs);
    let inner = outer.inner(area);
    frame.render_widget(outer, area);
    let lines = histogram::spread(latency, waiting, ui, usize::from(inner.width), usize::from(inner.height));
    frame.render_widget(Paragraph::new(lines), inner);
}

fn facts(a: &Actor, model: &Model, ui: &Ui) -> Vec<Line<'static>> {
    let glyphs = &ui.glyphs;
    let time = |ns| dur_in(ns, glyphs.ascii);
    let share = a.got as f64 / model.acquisitions().max(1) as f64;
    let state = if a.stopped_since.is_some() { "stopped, was " } else { "" };
    let mut lines = vec![
        Line::styled(
            format!(
                " {} {state}{} for {}   overtaken now {}",
                glyphs.state(a.state, a.stopped_since.is_some()),
                a.state.as_str(),
                time(model.in_state(a)),
                model.overtaken_now(a).map_or("-".into(), count),
            ),
            ui.theme.state(a.state),
        ),
        Line::styled(
            format!(
                " got {} ({})   gave up {}   overtaken at most {}   restarts {}   dropped {}",
                count(a.got),
                percent(share),
                count(a.gave_up),
                count(a.overtaken_max),
                count(a.restarts),
                count(a.dropped)
            ),
            ui.theme.text,
        ),
    ];
    let last = match (a.failed, a.last_signal) {
        (Some((action, errno)), _) => {
            Some(format!(" last failure: cannot {}: {}", action.as_str(), std::io::Error::from_raw_os_error(errno)))
        }
        (None, Some(signal)) => Some(format!(" its last process was ended by signal {signal}")),
        (None, None) => None,
    };
    lines.extend(last.map(|text| Line::styled(text, ui.theme.alarm)));
    lines
}
