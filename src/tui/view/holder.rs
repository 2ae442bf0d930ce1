//! The verdict first: who holds the lock, for how long, whom it blocks; then the figures of the lock.

use super::{block, cut, title};
use crate::dist::plain;
use crate::format::{count, dur_in, percent, rate};
use crate::model::{Model, State};
use crate::tui::ui::Ui;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

/// Columns of the progress bar.
const BAR: usize = 22;

/// Below this height the verdict stands alone.
pub(super) const ROWS: u16 = 5;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model, ui: &Ui) {
    let (theme, glyphs) = (&ui.theme, &ui.glyphs);
    if area.height < ROWS {
        let (text, style) = verdict(model, ui, usize::from(area.width));
        return frame
            .render_widget(Line::styled(cut(&format!(" {text}"), usize::from(area.width), glyphs), style), area);
    }
    let block = block(title("holder", "", theme, glyphs), theme, glyphs);
    let inner = block.inner(area);
    let width = usize::from(inner.width);
    let (text, style) = verdict(model, ui, width);
    let mut lines = vec![Line::styled(cut(&format!(" {text}"), width, glyphs), style)];
    lines.push(progress(model, ui, width));
    lines.push(Line::styled(cut(&facts(model, width), width, glyphs), theme.text));
    frame.render_widget(block, area);
    frame.render_widget(Paragraph::new(lines), inner);
}

/// One sentence that says what is going on, as long as there is room for.
fn verdict(model: &Model, ui: &Ui, width: usize) -> (String, Style) {
    let theme = &ui.theme;
    let time = |ns| dur_in(ns, ui.glyphs.ascii);
    let blocks = match model.waiting() {
        0 => String::new(),
        n => format!(" and blocks {n}"),
    };
    let oldest = model.longest_waiter().map(|(a, ns)| format!("; {} waits {}", a.name(), time(ns))).unwrap_or_default();
    let mut holders = model.holders();
    let Some(first) = holders.next() else {
        let living = model.actors().iter().filter(|a| a.state.is_alive()).count();
        return match (model.waiting(), living) {
            (0, 0) => ("no worker lives".into(), theme.alarm),
            (0, _) => ("nobody holds it and nobody waits".into(), theme.text),
            (n, _) => (format!("nobody holds it just now; {n} wait{oldest}"), theme.text),
        };
    };
    let held = time(model.in_state(first));
    let readers = 1 + holders.count();
    let state = match (first.stopped_since, model.is_paused()) {
        (Some(_), _) => ", is stopped",
        (None, true) => ", paused",
        (None, false) => "",
    };
    let style = if first.stopped_since.is_some() { theme.alarm } else { theme.holding };
    let name = first.name();
    let subject = if readers > 1 {
        format!("{readers} readers hold it, the first for")
    } else {
        format!("{name} has held it for")
    };
    let mut variants = vec![
        format!("{subject} {held}{state}{blocks}{oldest}"),
        format!("{subject} {held}{state}{blocks}"),
        format!("{name} holds {held}{state}{blocks}"),
    ];
    if readers == 1 {
        variants.insert(0, format!("{name} (pid {}) has held it for {held}{state}{blocks}{oldest}", first.pid));
    } else {
        variants.pop();
    }
    // The longest that fits says most.
    let text = variants.iter().find(|v| v.chars().count() < width).or(variants.last()).cloned().unwrap_or_default();
    (text, style)
}

/// How far the present hold has come, against the mean that is set; then counts.
fn progress(model: &Model, ui: &Ui, width: usize) -> Line<'static> {
    let (theme, glyphs) = (&ui.theme, &ui.glyphs);
    let (hold, _) = model.settings();
    let bar = BAR.min(width / 3);
    let share = match model.holders().next() {
        Some(holder) if hold > 0 => (model.in_state(holder) as f64 / hold as f64).min(1.0),
        _ => 0.0,
    };
    let done = glyphs.bar(share * bar as f64, bar);
    let rest = glyphs.rest.repeat(bar.saturating_sub(done.chars().count()));
    let handoff = model.handoff().all().quantile(0.5).map_or("-".into(), |ns| dur_in(ns, glyphs.ascii));
    let dot = glyphs.dot;
    let mut text = format!(" of ~{:<6}", plain(hold));
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
    let order = model.order();
    let share = |s: Option<f64>| s.map_or("-".into(), percent);
    let all = [
        format!("busy {:>6}", share(model.utilization())),
        format!("fairness {:>4}", model.fairness().map_or("-".into(), |f| format!("{f:.2}"))),
        format!("same holder {:>5}", share(order.same_share())),
        format!("streak {}", count(order.longest_streak)),
        format!("violations {}", model.violations()),
        format!("dropped {}", count(model.dropped())),
        format!("queue {:>2}", model.waiting()),
        format!("overtaken max {}", count(model.overtaken_max())),
        format!("killed {}", count(model.kills())),
        format!("gave up {}", count(model.gave_up())),
        format!("alive {}", model.actors().iter().filter(|a| a.state.is_alive() && a.state != State::Starting).count()),
    ];
    let mut line = String::from(" ");
    for fact in all {
        if line.chars().count() + fact.chars().count() + 1 > width {
            break;
        }
        line.push_str(&fact);
        line.push_str("  ");
    }
    line
}
