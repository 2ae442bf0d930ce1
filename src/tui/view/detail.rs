//! One worker or process: what it does, what it did last, its durations beside everyone's, what became of it.
//!
//! Where there is room these are panels; else they are one text. What does not fit is scrolled to.

use super::{block, children, cut, folded, histogram, overlay, time, title};
use crate::event::{Condition, LockMode, Task};
use crate::format::{count, percent};
use crate::model::history::{Became, Change, Turn};
use crate::model::{Actor, Latency, Locks, Model};
use crate::tui::ink::Rows;
use crate::tui::keymap::Action;
use crate::tui::theme::Glyphs;
use crate::tui::ui::{Figure, Ui};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Clear;

/// The largest it gets, and the smallest that has panels.
const LARGEST: (u16, u16) = (116, 44);
const PANELS: (u16, u16) = (76, 17);
/// Rows of a fact: a command line may be long.
const FACT_ROWS: usize = 3;
/// Rows of its children: at most, and at least where they stand above panels.
const CHILDREN: usize = 8;
const CHILDREN_LEAST: usize = 2;
/// Columns of the acquisitions where there is little room, their border included.
const TURNS: u16 = 43;

/// Rows from which on there is room for runs of a command below the text.
const RUNS: u16 = 12;

/// The selected worker.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, locks: &Locks, model: &Model, ui: &mut Ui) {
    let Some(actor) = ui.selected.and_then(|id| model.actor(id)) else { return };
    // The first line and the keys stay.
    let area = Rect { y: area.y + 1, height: area.height.saturating_sub(2), ..area };
    let area = overlay::window(area, LARGEST.0, LARGEST.1);
    let (theme, glyphs) = (ui.theme, ui.glyphs);
    let name = glyphs.plain(&actor.name());
    let scroll = ui.keys.keys(&[Action::PageUp, Action::PageDown], "/", ui.place);
    let all = ui.hint(
        [Action::Detail, Action::Back],
        &[(ui.keys.arrows(ui.place), ": the next one"), (scroll.clone(), " scroll")],
    );
    let some = scroll.map(|keys| format!("{keys} scroll")).unwrap_or_default();
    let after_pid = |hint: String| {
        let dot = if hint.is_empty() { "" } else { " \u{b7} " };
        format!("pid {}{dot}{hint}", actor.pid)
    };
    let rooms = [all, some, String::new()].map(after_pid);
    let fits = |about: &&String| name.chars().count() + about.chars().count() + 7 <= usize::from(area.width);
    let about = rooms.iter().find(fits).map_or("", String::as_str);
    let outer = block(title(&name, about, &theme, &glyphs), &theme, &glyphs);
    let inner = outer.inner(area);
    frame.render_widget(Clear, area);
    frame.render_widget(outer, area);
    let mut facts = facts(actor, locks, model, ui, usize::from(inner.width));
    // Above panels, what does not fit is not seen; the text scrolls.
    let room = usize::from(inner.height / 2).checked_sub(facts.len());
    let has_children = ui.children.as_ref().is_some_and(|c| c.of == actor.pid);
    let fits = room.is_some_and(|room| room >= if has_children { CHILDREN_LEAST } else { 0 });
    let has_panels = inner.width >= PANELS.0 && inner.height >= PANELS.1 && fits;
    let most = room.filter(|_| has_panels).map_or(usize::MAX, |room| room.min(CHILDREN));
    facts.extend(children::lines(actor, ui, usize::from(inner.width), most));
    if has_panels {
        panels(frame, inner, facts, actor, model, ui);
    } else {
        text(frame, inner, facts, actor, model, ui);
    }
}

fn panels(frame: &mut Frame<'_>, area: Rect, facts: Vec<Line<'static>>, actor: &Actor, model: &Model, ui: &mut Ui) {
    let rows = u16::try_from(facts.len()).unwrap_or(u16::MAX).min(area.height / 2);
    let below = area.height - rows;
    let [top, upper, lower] = area.layout(&Layout::vertical([
        Constraint::Length(rows),
        // Percentiles, those that wait, a border, and some ranges.
        Constraint::Length((below / 2).clamp(7, 15)),
        Constraint::Fill(1),
    ]));
    frame.render_widget(Rows(facts), top);
    let halves = [Constraint::Fill(1), Constraint::Fill(1)];
    let [left, right] = upper.layout(&Layout::horizontal(halves));
    durations(frame, left, right, actor, model, ui);
    let lower = super::runs::draw(frame, lower, actor, model, ui);
    if lower.height == 0 {
        return;
    }
    let [left, right] = lower.layout(&Layout::horizontal([
        Constraint::Length(if area.width < 100 { TURNS } else { area.width / 2 }),
        Constraint::Fill(1),
    ]));
    let height = usize::from(lower.height.saturating_sub(2));
    let (turns, changes) = (actor.history.turns.len(), actor.history.changes().len());
    // The heading of the acquisitions stays.
    let most = (turns + 1).max(changes).saturating_sub(height);
    ui.detail_scroll = ui.detail_scroll.min(most);
    let shown = |all: usize, height: usize| {
        let first = ui.detail_scroll.min(all.saturating_sub(height));
        let last = all.min(first + height);
        let about = format!("{}{}{last} of {all}", first + 1, ui.glyphs.dash);
        (first, if all <= height { String::new() } else { about })
    };
    let (first, about) = shown(turns, height.saturating_sub(1));
    let outer = block(title("acquisitions", &about, &ui.theme, &ui.glyphs), &ui.theme, &ui.glyphs);
    let inner = outer.inner(left);
    frame.render_widget(outer, left);
    let columns = Column::fitting(actor, usize::from(inner.width));
    let newest = actor.history.turns.iter().rev().skip(first).take(height);
    let lines = std::iter::once(heading(&columns, ui)).chain(newest.map(|turn| row(turn, &columns, actor, model, ui)));
    frame.render_widget(Rows(lines.collect()), inner);

    let (first, about) = shown(changes, height);
    let outer = block(title("what became of it", &about, &ui.theme, &ui.glyphs), &ui.theme, &ui.glyphs);
    let inner = outer.inner(right);
    frame.render_widget(outer, right);
    let newest = actor.history.changes().rev().skip(first).take(height);
    let width = usize::from(inner.width);
    let lines: Vec<Line<'_>> = newest.map(|change| became(change, model, ui, width)).collect();
    frame.render_widget(Rows(lines), inner);
}

/// All of it below each other.
fn text(frame: &mut Frame<'_>, area: Rect, facts: Vec<Line<'static>>, actor: &Actor, model: &Model, ui: &mut Ui) {
    let area = if area.height < RUNS { area } else { super::runs::draw(frame, area, actor, model, ui) };
    let width = usize::from(area.width);
    let columns = Column::fitting(actor, width);
    let part = |name: &str| Line::styled(cut(&format!(" {name}, newest first"), width, &ui.glyphs), ui.theme.strong);
    let mut lines = facts;
    if !actor.history.turns.is_empty() {
        lines.extend([part("acquisitions"), heading(&columns, ui)]);
        lines.extend(actor.history.turns.iter().rev().map(|turn| row(turn, &columns, actor, model, ui)));
    }
    if actor.history.changes().len() > 0 {
        lines.push(part("what became of it"));
        lines.extend(actor.history.changes().rev().map(|change| became(change, model, ui, width)));
    }
    let (name, own) = own(actor, ui.figure);
    lines.push(Line::styled(format!(" its {name}"), ui.theme.strong));
    lines.extend(histogram::spread(own, own, None, model, ui, width, 9));
    ui.detail_scroll = ui.detail_scroll.min(lines.len().saturating_sub(usize::from(area.height)));
    let (first, all) = (ui.detail_scroll, lines.len());
    let shown: Vec<Line<'_>> = lines.into_iter().skip(first).take(usize::from(area.height)).collect();
    let last = first + shown.len();
    frame.render_widget(Rows(shown), area);
    if last - first < all {
        super::below(frame, area, &format!("{}{}{last} of {all} rows", first + 1, ui.glyphs.dash), ui);
    }
}

/// The durations of an actor that stand for a figure: a handoff is nobody's own.
fn own(actor: &Actor, figure: Figure) -> (&'static str, &Latency) {
    match figure {
        Figure::Hold => (figure.as_str(), &actor.hold),
        Figure::Wait | Figure::Handoff => (Figure::Wait.as_str(), &actor.wait),
    }
}

/// Its durations beside everyone's, in the same ranges.
fn durations(frame: &mut Frame<'_>, left: Rect, right: Rect, actor: &Actor, model: &Model, ui: &Ui) {
    let (name, own) = own(actor, ui.figure);
    let all = match ui.figure {
        Figure::Hold => model.hold(),
        Figure::Wait => model.wait(),
        Figure::Handoff => model.handoff(),
    };
    let all = &all.all();
    let waits = ui.figure == Figure::Wait;
    let own_waiting = (waits && actor.state.is_waiting()).then(|| (1, model.in_state(actor)));
    let all_waiting = model.longest_waiter().filter(|_| waits).map(|(_, ns)| (model.waiting(), ns));
    let scale = if ui.figure == Figure::Handoff { own } else { all };
    beside(frame, left, &format!("its {name}"), (own, scale, own_waiting), model, ui);
    beside(frame, right, &format!("everyone's {}", ui.figure.as_str()), (all, all, all_waiting), model, ui);
}

fn beside(
    frame: &mut Frame<'_>,
    area: Rect,
    name: &str,
    (latency, scale, waiting): (&Latency, &Latency, Option<(u32, u64)>),
    model: &Model,
    ui: &Ui,
) {
    let about = format!("{} samples", count(latency.count()));
    let outer = block(title(name, &about, &ui.theme, &ui.glyphs), &ui.theme, &ui.glyphs);
    let inner = outer.inner(area);
    frame.render_widget(outer, area);
    let (width, height) = (usize::from(inner.width), usize::from(inner.height));
    // The row of those that wait is kept free where nobody does, so that both have the same ranges.
    let height = height.saturating_sub(usize::from(waiting.is_none()));
    let lines = histogram::spread(latency, scale, waiting, model, ui, width, height);
    frame.render_widget(Rows(lines), inner);
}

/// What it does, counts, and who it is.
fn facts(a: &Actor, locks: &Locks, model: &Model, ui: &Ui, width: usize) -> Vec<Line<'static>> {
    let glyphs = &ui.glyphs;
    let share = a.got as f64 / model.acquisitions().max(1) as f64;
    let stopped = if a.stopped_since.is_some() { "stopped, was " } else { "" };
    let word = if a.polls() { "polling" } else { a.state.as_str() };
    let mode = match (a.state.is_holding() || a.state.is_waiting(), a.mode()) {
        (true, LockMode::Shared) => ", shared",
        _ => "",
    };
    let mut now = format!(
        "{} {stopped}{word}{mode} for {}",
        glyphs.state(a.state, a.stopped_since.is_some()),
        super::in_state(model, a, glyphs)
    );
    if a.polls() {
        now.push_str(&format!("   tried {} times", count(a.tries)));
    }
    if let Some(n) = model.overtaken_now(a) {
        now.push_str(&format!("   overtaken {}", count(n)));
    }
    now.push_str(condition(a.condition.0));
    let mut counts = format!(
        "got {} ({})   gave up {}   overtaken at most {}",
        count(a.got),
        percent(share),
        count(a.gave_up),
        count(model.overtaken_at_most(a))
    );
    if a.task.is_none() {
        counts.push_str(&format!("   restarts {}", count(a.restarts)));
    }
    counts.push_str(&format!("   dropped {}", count(a.dropped)));
    let failed = a.failed.map(|(action, errno)| {
        format!("last failure: cannot {}: {}", action.as_str(), std::io::Error::from_raw_os_error(errno))
    });
    let ended = a.last_signal.filter(|_| failed.is_none()).map(|s| format!("its last process was ended by signal {s}"));
    let who = a.task.as_deref().map(|task| about(a, task)).unwrap_or_default();
    let texts = [(now, ui.theme.state(a.state)), (counts, ui.theme.text)]
        .into_iter()
        .chain(failed.into_iter().chain(ended).map(|text| (text, ui.theme.alarm)))
        .chain(who.into_iter().chain(waits_for(a, locks, model)).map(|text| (text, ui.theme.text)));
    let lines = texts.flat_map(|(text, style)| {
        let rows = folded(&glyphs.plain(&text), width.saturating_sub(2), FACT_ROWS, glyphs);
        rows.into_iter().map(move |row| Line::styled(format!(" {row}"), style))
    });
    lines.collect()
}

fn condition(condition: Condition) -> &'static str {
    match condition {
        Condition::Alive => "",
        Condition::Uninterruptible => "   hangs in the kernel",
        Condition::Zombie => "   is a zombie",
        Condition::Gone => "   its process is gone",
    }
}

/// A column of the acquisitions.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    Ago,
    Waited,
    Held,
    Overtaken,
    Handoff,
    Mode,
}

impl Column {
    /// By worth, with their widths.
    const ALL: [(Self, &'static str, usize); 6] = [
        (Self::Ago, "won", 11),
        (Self::Waited, "waited", 8),
        (Self::Held, "held", 8),
        (Self::Overtaken, "overtaken", 9),
        (Self::Handoff, "handoff", 8),
        (Self::Mode, "mode", 9),
    ];

    /// As many as fit; the mode only where it tells anything.
    fn fitting(actor: &Actor, width: usize) -> Vec<(Self, &'static str, usize)> {
        let shared = actor.history.turns.iter().any(|t| t.mode() == LockMode::Shared);
        let mut room = width;
        let wanted = Self::ALL.into_iter().filter(|(column, ..)| shared || *column != Self::Mode);
        wanted
            .take_while(|(.., wide)| {
                let left = room.checked_sub(wide + 1);
                room = left.unwrap_or(0);
                left.is_some()
            })
            .collect()
    }
}

fn heading(columns: &[(Column, &'static str, usize)], ui: &Ui) -> Line<'static> {
    let text: String = columns.iter().map(|(_, name, wide)| format!(" {name:>wide$}")).collect();
    Line::styled(text, ui.theme.dim)
}

/// One acquisition.
fn row(turn: &Turn, columns: &[(Column, &'static str, usize)], actor: &Actor, model: &Model, ui: &Ui) -> Line<'static> {
    let (theme, glyphs) = (&ui.theme, &ui.glyphs);
    let shown = |ns: Option<u64>| ns.map_or("-".to_owned(), |ns| time(ns, model, glyphs));
    // Since when it did what it did when watching began is not known.
    let least = |text: String| format!("{}{text}", glyphs.at_least);
    let spans = columns.iter().map(|(column, _, wide)| {
        let (text, style) = match column {
            Column::Ago => (ago(turn.at, model, glyphs), theme.dim),
            Column::Waited if turn.before() && turn.waited().is_some() => (least(shown(turn.waited())), theme.waiting),
            Column::Waited => (shown(turn.waited()), theme.waiting),
            Column::Held => match turn.held() {
                Some(held) if turn.before() && turn.waited().is_none() => (least(shown(Some(held))), theme.text),
                None if actor.state.is_holding() => (super::in_state(model, actor, glyphs), theme.holding),
                held => (shown(held), theme.text),
            },
            Column::Overtaken => (count(turn.overtaken()), theme.text),
            Column::Handoff => (shown(turn.handoff()), theme.text),
            Column::Mode => (turn.mode().as_str().to_owned(), theme.text),
        };
        Span::styled(format!(" {text:>wide$}"), style)
    });
    Line::from_iter(spans)
}

/// How long ago `t` was.
fn ago(t: u64, model: &Model, glyphs: &Glyphs) -> String {
    format!("{} ago", time(model.now().saturating_sub(t), model, glyphs))
}

/// One change in its life.
fn became(change: &Change, model: &Model, ui: &Ui, width: usize) -> Line<'static> {
    let while_holding = |holding: bool| if holding { ", holding the lock" } else { "" };
    let waited = |ns: u64| time(ns, model, &ui.glyphs);
    let bad = matches!(
        change.what,
        Became::Exited { signal: Some(_), .. }
            | Became::Failed { .. }
            | Became::Stopped { .. }
            | Became::Violated { .. }
            | Became::Dropped { .. }
            | Became::Turned(Condition::Uninterruptible | Condition::Zombie | Condition::Gone)
    );
    let text = match change.what {
        Became::Spawned { pid, again: false } => format!("began as pid {pid}"),
        Became::Spawned { pid, again: true } => format!("began again as pid {pid}"),
        Became::Seen { pid } => format!("seen first, pid {pid}"),
        Became::Found { holds: true, mode } => format!("held it already, {}", mode.as_str()),
        Became::Found { holds: false, mode } => format!("waited already, {}", mode.as_str()),
        Became::Exited { signal: Some(9), holding, .. } => format!("killed{}", while_holding(holding)),
        Became::Exited { signal: Some(s), holding, .. } => format!("ended by signal {s}{}", while_holding(holding)),
        Became::Exited { code: Some(c), holding, .. } => format!("ended with status {c}{}", while_holding(holding)),
        Became::Exited { holding, .. } => format!("ended{}", while_holding(holding)),
        Became::Failed { action, errno } => {
            format!("cannot {}: {}", action.as_str(), std::io::Error::from_raw_os_error(errno))
        }
        Became::Stopped { holding } => format!("stopped{}", while_holding(holding)),
        Became::Continued => "goes on".into(),
        Became::GaveUp { times: 1, waited_ns } => format!("gave up after {}", waited(waited_ns)),
        Became::GaveUp { times, waited_ns } => {
            format!("gave up {} times, last after {}", count(times), waited(waited_ns))
        }
        Became::Left { times: 1, waited_ns } => format!("waits no more, after {}", waited(waited_ns)),
        Became::Left { times, waited_ns } => {
            format!("left the queue {} times, last after {}", count(times), waited(waited_ns))
        }
        Became::Violated { other, other_pid } if model.is_watched() => {
            let name = model.actor(other).map(Actor::name).unwrap_or_default();
            format!("won it while {name} (pid {other_pid}) held it")
        }
        Became::Violated { other, other_pid } => format!("won it while worker-{other} (pid {other_pid}) held it"),
        Became::Dropped { count: n } => format!("{} events lost", count(n)),
        Became::Turned(Condition::Alive) => "runs again".into(),
        Became::Turned(other) => condition(other).trim_start().into(),
        Became::Removed => "taken out".into(),
    };
    let when = format!(" {:>11}  ", ago(change.t, model, &ui.glyphs));
    let room = width.saturating_sub(when.chars().count());
    let text = cut(&ui.glyphs.plain(&text), room, &ui.glyphs);
    let style = if bad { ui.theme.alarm } else { ui.theme.text };
    Line::from(vec![Span::styled(when, ui.theme.dim), Span::styled(text, style)])
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
    let own = locks.waits_elsewhere(model.lock(), a.id);
    let (lock, id) = own.unwrap_or((model.lock(), a.id));
    let chain = locks.chain(lock, id);
    let steps = chain.iter().filter_map(|wait| {
        let at = locks.get(wait.lock)?;
        let place = if wait.lock == model.lock() { String::new() } else { format!(" at {}", at.info().name) };
        Some(format!("{}{place}", at.actor(wait.holder)?.full_name()))
    });
    let steps: Vec<String> = steps.collect();
    let whom = (!steps.is_empty()).then(|| format!("waits for {}", steps.join(", which waits for ")));
    match own.and_then(|(lock, _)| locks.get(lock)) {
        // Why it does not let go.
        Some(there) => {
            Some(whom.map_or_else(|| format!("waits itself at {}", there.info().name), |whom| format!("itself {whom}")))
        }
        None => whom,
    }
}
