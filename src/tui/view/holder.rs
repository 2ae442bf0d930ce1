//! The verdict first: who holds the lock, for how long, whom it blocks; then the figures of the lock.

use super::{block, cut, time, title};
use crate::dist::plain;
use crate::event::{Condition, LockMode};
use crate::format::{count, percent, rate};
use crate::model::{Actor, Model, State};
use crate::tui::ink::{Row, Rows};
use crate::tui::ui::Ui;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

/// Columns of the progress bar.
const BAR: usize = 22;

/// Below this height the verdict stands alone.
const ROWS: u16 = 5;

/// How many rows the panel wants: who the holder is takes one where it is not a worker of our own.
pub(super) fn rows(model: &Model) -> u16 {
    ROWS + u16::from(model.is_watched())
}

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model, ui: &Ui) {
    let (theme, glyphs) = (&ui.theme, &ui.glyphs);
    if area.height < ROWS {
        let (text, style) = verdict(model, ui, usize::from(area.width));
        let text = cut(&format!(" {text}"), usize::from(area.width), glyphs);
        return frame.render_widget(Row(Line::styled(text, style)), area);
    }
    let block = block(title("holder", "", theme, glyphs), theme, glyphs);
    let inner = block.inner(area);
    let width = usize::from(inner.width);
    let (text, style) = verdict(model, ui, width);
    let mut lines = vec![Line::styled(cut(&format!(" {text}"), width, glyphs), style)];
    if model.is_watched() {
        let text = glyphs.plain(&who(model));
        lines.push(Line::styled(cut(&format!(" {text}"), width, glyphs), theme.text));
    }
    lines.push(progress(model, ui, width));
    lines.push(Line::styled(cut(&facts(model, width), width, glyphs), theme.text));
    frame.render_widget(block, area);
    frame.render_widget(Rows(lines), inner);
}

/// One sentence that says what is going on, as long as there is room for.
fn verdict(model: &Model, ui: &Ui, width: usize) -> (String, Style) {
    let theme = &ui.theme;
    let in_state = |a: &Actor| super::in_state(model, a, &ui.glyphs);
    // Programs of one name are told apart by their pids; workers have their numbers.
    let called = |a: &Actor| if a.task.is_some() { a.full_name() } else { a.name() };
    let blocks = match model.waiting() {
        0 => String::new(),
        n => format!(" and blocks {n}"),
    };
    let oldest =
        model.longest_waiter().map(|(a, _)| format!("; {} waits {}", called(a), in_state(a))).unwrap_or_default();
    let Some(first) = shown(model) else {
        if model.is_watched() && model.waiting() == 0 {
            return ("nobody holds it and nobody waits".into(), theme.text);
        }
        let living = model.actors().iter().filter(|a| a.state.is_alive()).count();
        return match (model.waiting(), living) {
            (0, 0) => ("no worker lives".into(), theme.alarm),
            (0, _) => ("nobody holds it and nobody waits".into(), theme.text),
            // Of a lab its workers are known, and nobody else.
            (n, _) if !model.is_watched() => (format!("no worker holds it just now; {n} wait{oldest}"), theme.text),
            (n, _) => (format!("nobody holds it just now; {n} wait{oldest}"), theme.text),
        };
    };
    let several = model.holder_count();
    let parts = model.holders().any(|a| a.range().is_some());
    let at_once = several > 1 && !parts && first.mode() == LockMode::Exclusive;
    let several = if at_once && !model.was_violated() { 1 } else { several };
    let held = in_state(first);
    let state = match (first.stopped_since, first.condition.0, model.is_paused()) {
        (Some(_), ..) => ", is stopped",
        (None, Condition::Uninterruptible, _) => ", hangs in the kernel",
        (None, Condition::Zombie, _) => ", is a zombie",
        (None, Condition::Gone, _) => ", is dead",
        (None, Condition::Alive, true) => ", paused",
        (None, Condition::Alive, false) => "",
    };
    let ill = first.stopped_since.is_some() || first.condition.0 != Condition::Alive || several > 1 && at_once;
    let style = if ill { theme.alarm } else { theme.holding };
    let name = first.name();
    let subject = match (several, first.mode()) {
        (1, _) => format!("{name} has held it for"),
        (_, LockMode::Shared) => format!("{several} readers hold it, the first for"),
        (_, LockMode::Exclusive) if parts => format!("{several} hold parts of it, the first for"),
        (_, LockMode::Exclusive) => format!("{several} hold it at once, the first for"),
    };
    let mut variants = vec![
        format!("{subject} {held}{state}{blocks}{oldest}"),
        format!("{subject} {held}{state}{blocks}"),
        format!("{name} holds {held}{state}{blocks}"),
    ];
    let keeper = first.keepers.as_deref().filter(|k| k.iter().all(|k| k.pid != first.pid)).and_then(<[_]>::first);
    if let (1, Some(keeper)) = (several, keeper) {
        let keeps = format!("{} (pid {}) keeps what {name} took", keeper.comm, keeper.pid);
        variants = vec![
            format!("{keeps}, for {held}{blocks}{oldest}"),
            format!("{keeps}, for {held}{blocks}"),
            format!("pid {} keeps it for {held}{blocks}", keeper.pid),
        ];
    } else if several == 1 {
        if let Some((waiter, _)) = model.longest_waiter().filter(|_| first.task.is_some()) {
            let (pid, longest) = (waiter.pid, in_state(waiter));
            let full = first.full_name();
            variants.insert(0, format!("{full} has held it for {held}{state}{blocks}, pid {pid} for {longest}"));
        }
        variants.insert(0, format!("{} has held it for {held}{state}{blocks}{oldest}", first.full_name()));
    } else {
        variants.pop();
    }
    // The longest that fits says most.
    let text = variants.iter().find(|v| v.chars().count() < width).or(variants.last()).cloned().unwrap_or_default();
    (ui.glyphs.plain(&text), style)
}

/// The first of those that hold it. An exclusive lock that nobody was seen to break into has but one holder: the one that
/// got it last; the release of another is yet to be told.
fn shown(model: &Model) -> Option<&Actor> {
    let first = model.holders().next()?;
    let several = model.was_violated() || model.holders().any(|a| a.range().is_some());
    if several || first.mode() == LockMode::Shared {
        return Some(first);
    }
    model.holders().max_by_key(|a| a.holding_seq)
}

/// Who the holder is: command, user, container, and which processes keep the lock if not it alone.
fn who(model: &Model) -> String {
    let Some((holder, task)) = shown(model).and_then(|h| Some((h, h.task.as_ref()?))) else {
        return String::new();
    };
    let mut text = if task.cmdline.is_empty() { task.comm.clone() } else { task.cmdline.clone() };
    let mut part = |what: String| {
        text.push_str(" \u{b7} ");
        text.push_str(&what);
    };
    if !task.user.is_empty() {
        part(format!("user {}", task.user));
    }
    if let Some(container) = &task.container {
        part(format!("container {container}"));
    }
    match holder.keepers.as_deref() {
        None => {}
        Some([]) => part("no living process keeps it".into()),
        Some([only]) if only.pid == holder.pid => part(format!("fd {}", only.fd)),
        Some(keepers) => {
            let names: Vec<String> = keepers.iter().map(|k| format!("{} (pid {})", k.comm, k.pid)).collect();
            part(format!("kept by {}", names.join(", ")));
        }
    }
    text
}

/// How far the present hold has come, against the mean that is set; then counts.
fn progress(model: &Model, ui: &Ui, width: usize) -> Line<'static> {
    let (theme, glyphs) = (&ui.theme, &ui.glyphs);
    // Of other programs nobody knows how long they mean to hold it: what they usually do stands for it.
    let unknown = model.is_watched() || model.runs_command();
    let hold = match unknown {
        true => model.hold().quantile(0.5).unwrap_or(0),
        false => model.settings().0,
    };
    let bar = BAR.min(width / 3);
    let share = match shown(model) {
        Some(holder) if hold > 0 => (model.in_state(holder) as f64 / hold as f64).min(1.0),
        _ => 0.0,
    };
    let done = glyphs.bar(share * bar as f64, bar);
    let rest = glyphs.rest.repeat(bar.saturating_sub(done.chars().count()));
    let handoff = model.handoff().quantile(0.5).map_or("-".into(), |ns| time(ns, model, glyphs));
    let dot = glyphs.dot;
    let mut text = match (unknown, hold) {
        (false, _) => format!(" of ~{:<6}", plain(hold)),
        (true, 0) => format!(" of {:<7}", "?"),
        (true, _) => format!(" of ~{:<8}", time(hold, model, glyphs)),
    };
    let room = width.saturating_sub(bar + 1);
    for part in [
        format!(" {:>6} acquired", count(model.acquisitions())),
        format!(" {dot} {:>5}/s", model.rate().map_or("-".into(), rate)),
        format!(" {dot} handoff p50 {handoff}"),
        format!(" {dot} {} contended", count(model.contended())),
    ] {
        if text.chars().count() + part.chars().count() > room {
            break;
        }
        text.push_str(&part);
    }
    Line::from(vec![
        Span::raw(" "),
        Span::styled(done, theme.holding),
        Span::styled(rest, theme.dim),
        Span::styled(text, theme.text),
    ])
}

/// Busy, fair, safe: as many as there is room for.
fn facts(model: &Model, width: usize) -> String {
    let streaks = model.streaks();
    let share = |s: Option<f64>| s.map_or("-".into(), percent);
    let all = [
        format!("busy {:>6}", share(model.utilization())),
        format!("fairness {:>4}", model.fairness().map_or("-".into(), |f| format!("{f:.2}"))),
        format!("same holder {:>5}", share(streaks.same_share())),
        format!("streak {}", count(streaks.longest)),
        format!("violations {}", model.violations()),
        format!("dropped {}", count(model.dropped())),
        format!("queue {:>2}", model.waiting()),
        format!("overtaken max {}", count(model.overtaken_max())),
        format!("killed {}", count(model.kills())),
        format!("gave up {}", count(model.gave_up())),
        format!("alive {}", model.actors().iter().filter(|a| a.state.is_alive() && a.state != State::Starting).count()),
    ];
    let mut line = String::from(" ");
    let runs = model.runs().filter(|_| model.runs_command()).map(|r| format!("failed {}", count(r.failed)));
    for fact in runs.into_iter().chain(all) {
        if line.chars().count() + fact.chars().count() + 1 > width {
            break;
        }
        line.push_str(&fact);
        line.push_str("  ");
    }
    line.truncate(line.trim_end().len());
    line
}
