//! What lies over the panels: the keys, what is wrong, one worker in detail.

use super::{block, cut, histogram, title};
use crate::event::{Task, What};
use crate::format::{clock, count, percent};
use crate::model::finding::Finding;
use crate::model::{Actor, Latency, Locks, Model, Note};
use crate::source::Question;
use crate::tui::keymap::Action;
use crate::tui::ui::{Figure, Ui};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Paragraph, Wrap};

/// Columns of the keys in the help, at least.
const KEYS: usize = 11;

/// The middle of `area`, at most so large.
fn window(area: Rect, width: u16, height: u16) -> Rect {
    area.centered(Constraint::Length(width.min(area.width)), Constraint::Length(height.min(area.height)))
}

/// All keys; scrolls where they do not fit.
pub(super) fn help(frame: &mut Frame<'_>, area: Rect, ui: &mut Ui) {
    let (theme, glyphs) = (&ui.theme, &ui.glyphs);
    let keys: Vec<_> = ui.keys.help(ui.place).map(|(shown, long)| (glyphs.plain(shown), long)).collect();
    let wide = keys.iter().map(|(shown, _)| shown.chars().count() + 1).max().unwrap_or(0).max(KEYS);
    let area = window(area, 92, u16::try_from(keys.len() + 6).unwrap_or(u16::MAX));
    let about = format!("{} closes, {} scroll", ui.keys.any_of(&[Action::Help, Action::Back]), ui.keys.arrows());
    let outer = block(title("keys", &about, theme, glyphs), theme, glyphs);
    let inner = outer.inner(area);
    let mut lines: Vec<Line<'_>> = keys
        .iter()
        .map(|(shown, long)| Line::from(vec![Span::styled(format!(" {shown:<wide$}"), theme.key), Span::raw(*long)]))
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
    let about = format!("{} closes", ui.keys.any_of(&[Action::Findings, Action::Back]));
    let outer = block(title("findings", &about, theme, glyphs), theme, glyphs);
    let inner = outer.inner(area);
    let width = usize::from(inner.width);
    let mut lines: Vec<Line<'_>> =
        found.iter().map(|f| Line::styled(format!(" ! {}", glyphs.plain(&f.text())), theme.alarm)).collect();
    if lines.is_empty() {
        lines.push(Line::styled(" nothing is wrong", theme.text));
    }
    // Rows that sentences take beyond their first.
    let mut hidden: usize = lines.iter().map(|l| l.width().saturating_sub(1) / width.max(1)).sum();
    for text in model.begin().watch.iter().flat_map(|w| &w.blind) {
        let sentence = Line::styled(format!(" {} {}", glyphs.dot, glyphs.plain(text)), theme.text);
        hidden += sentence.width().saturating_sub(1) / width.max(1);
        lines.push(sentence);
    }
    lines.push(Line::default());
    lines.push(Line::styled(" lately, newest first:", theme.dim));
    let room = usize::from(inner.height).saturating_sub(lines.len() + hidden);
    lines.extend(model.notes().rev().take(room).map(|n| {
        let text = format!(" {}  {}", clock(n.event.t), glyphs.plain(&told(n, model)));
        Line::styled(cut(&text, width, glyphs), theme.text)
    }));
    frame.render_widget(Clear, area);
    frame.render_widget(outer, area);
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }), inner);
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
        other => format!("{who}: {other:?}"),
    }
}

/// The selected worker: its figures, and its waits beside everyone's.
pub(super) fn detail(frame: &mut Frame<'_>, area: Rect, locks: &Locks, model: &Model, ui: &Ui) {
    let Some(actor) = ui.selected.and_then(|id| model.actor(id)) else { return };
    let (theme, glyphs) = (&ui.theme, &ui.glyphs);
    let area = window(area, 110, 26);
    let closes = ui.keys.any_of(&[Action::Detail, Action::Back]);
    let about = format!("pid {} \u{b7} {closes} closes, {}: the next one", actor.pid, ui.keys.arrows());
    let outer = block(title(&glyphs.plain(&actor.name()), &about, theme, glyphs), theme, glyphs);
    let inner = outer.inner(area);
    let facts = facts(actor, locks, model, ui);
    let rows = u16::try_from(facts.len()).unwrap_or(0);
    let [top, rest] = inner.layout(&Layout::vertical([Constraint::Length(rows), Constraint::Fill(1)]));
    frame.render_widget(Clear, area);
    frame.render_widget(outer, area);
    frame.render_widget(Paragraph::new(facts), top);
    let rest = super::runs::draw(frame, rest, actor, model, ui);
    let [left, right] = rest.layout(&Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]));
    let (own, all) = match ui.figure {
        Figure::Hold => (&actor.hold, model.hold().all()),
        Figure::Wait => (&actor.wait, model.wait().all()),
        Figure::Handoff => (&actor.wait, model.handoff().all()),
    };
    let own_name = if ui.figure == Figure::Handoff { Figure::Wait } else { ui.figure };
    let waits = ui.figure == Figure::Wait;
    let own_waiting = (waits && actor.state.is_waiting()).then(|| (1, model.in_state(actor)));
    let all_waiting = model.longest_waiter().filter(|_| waits).map(|(_, ns)| (model.waiting(), ns));
    beside(frame, left, &format!("its {}", own_name.as_str()), (own, own_waiting), model, ui);
    beside(frame, right, &format!("everyone's {}", ui.figure.as_str()), (&all, all_waiting), model, ui);
}

fn beside(
    frame: &mut Frame<'_>,
    area: Rect,
    name: &str,
    (latency, waiting): (&Latency, Option<(u32, u64)>),
    model: &Model,
    ui: &Ui,
) {
    let about = format!("{} samples", count(latency.count()));
    let outer = block(title(name, &about, &ui.theme, &ui.glyphs), &ui.theme, &ui.glyphs);
    let inner = outer.inner(area);
    frame.render_widget(outer, area);
    let lines = histogram::spread(latency, waiting, model, ui, usize::from(inner.width), usize::from(inner.height));
    frame.render_widget(Paragraph::new(lines), inner);
}

fn facts(a: &Actor, locks: &Locks, model: &Model, ui: &Ui) -> Vec<Line<'static>> {
    let glyphs = &ui.glyphs;
    let share = a.got as f64 / model.acquisitions().max(1) as f64;
    let state = if a.stopped_since.is_some() { "stopped, was " } else { "" };
    let mut lines = vec![
        Line::styled(
            format!(
                " {} {state}{} for {}   overtaken now {}",
                glyphs.state(a.state, a.stopped_since.is_some()),
                a.state.as_str(),
                super::in_state(model, a, glyphs),
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
    let more = a.task.as_deref().map(|task| about(a, task)).unwrap_or_default();
    lines.extend(
        more.into_iter()
            .chain(waits_for(a, locks, model))
            .map(|text| Line::styled(format!(" {}", glyphs.plain(&text)), ui.theme.text)),
    );
    lines
}

/// Who a task of another program is, and who keeps its lock.
fn about(a: &Actor, task: &Task) -> Vec<String> {
    let or = |text: &str, other: &str| if text.is_empty() { other.to_owned() } else { text.to_owned() };
    let thread = task.tid.filter(|tid| *tid != a.pid).map(|tid| format!(" \u{b7} thread {tid}")).unwrap_or_default();
    let container = task.container.as_ref().map(|c| format!(" \u{b7} container {c}")).unwrap_or_default();
    let bytes = match task.range {
        None => String::new(),
        Some((from, to)) => format!(" \u{b7} bytes {from} to {}", to.map_or("the end".into(), |to| to.to_string())),
    };
    let mut lines = vec![
        or(&task.cmdline, "its command line cannot be seen"),
        format!("user {}{thread}{container} \u{b7} {} lock{bytes}", or(&task.user, "unknown"), task.kind),
    ];
    match a.keepers.as_deref() {
        None => {}
        Some([]) => lines.push("no living process keeps the lock".into()),
        Some(keepers) => {
            let names: Vec<String> =
                keepers.iter().map(|k| format!("{} (pid {}, fd {})", k.comm, k.pid, k.fd)).collect();
            lines.push(format!("the lock is kept by {}", names.join(", ")));
        }
    }
    lines
}

/// Whom it waits for, and whom those wait for in turn at other locks.
fn waits_for(a: &Actor, locks: &Locks, model: &Model) -> Option<String> {
    if !model.is_watched() {
        return None;
    }
    let chain = locks.chain(model.lock(), a.id);
    let steps = chain.iter().filter_map(|wait| {
        let at = locks.get(wait.lock)?;
        let place = if wait.lock == model.lock() { String::new() } else { format!(" at {}", at.info().name) };
        Some(format!("{}{place}", at.actor(wait.holder)?.full_name()))
    });
    let steps: Vec<String> = steps.collect();
    (!steps.is_empty()).then(|| format!("waits for {}", steps.join(", which waits for ")))
}

/// What is asked before anything is done to a process of another program.
pub(super) fn question(frame: &mut Frame<'_>, area: Rect, question: &Question, ui: &Ui) {
    let (theme, glyphs) = (&ui.theme, &ui.glyphs);
    let rows = u16::try_from(question.lines.len() + 4).unwrap_or(u16::MAX);
    let area = window(area, 100, rows);
    let outer = block(title(&glyphs.plain(&question.title), "", theme, glyphs), theme, glyphs);
    let inner = outer.inner(area);
    let width = usize::from(inner.width);
    let text = |t: &str| cut(&format!(" {}", glyphs.plain(t)), width, glyphs);
    let room = usize::from(inner.height).saturating_sub(2);
    let mut lines: Vec<Line<'_>> =
        question.lines.iter().take(room).map(|t| Line::styled(text(t), theme.text)).collect();
    lines.push(Line::default());
    lines.push(Line::from(vec![
        Span::styled(" y", theme.strong),
        Span::styled(format!(" {}   ", question.yes), theme.text),
        Span::styled("n", theme.strong),
        Span::styled(" leave it as it is", theme.text),
    ]));
    frame.render_widget(Clear, area);
    frame.render_widget(outer, area);
    frame.render_widget(Paragraph::new(lines), inner);
}
