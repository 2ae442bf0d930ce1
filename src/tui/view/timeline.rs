//! Who held and who waited over the last half minute, a row a worker.

use super::{block, cut, title};
use crate::model::timeline::{SLOT_NS, SLOTS, Slot};
use crate::model::{Actor, Model};
use crate::tui::ui::Ui;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

/// Columns of a worker's name.
const NAME: usize = 12;

/// How many rows the panel wants of `height`: one a worker, no more than two fifths.
pub(super) fn rows(model: &Model, height: u16) -> u16 {
    let workers = u16::try_from(model.actors().len().max(1)).unwrap_or(u16::MAX);
    (height * 2 / 5).min(workers.saturating_add(2)).max(3)
}

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model, ui: &Ui) {
    let (theme, glyphs) = (&ui.theme, &ui.glyphs);
    let seconds = SLOT_NS * SLOTS as u64 / 1_000_000_000;
    let legend = format!(
        " {} holds  {} waits  {} thinks  {} killed ",
        glyphs.right.last().unwrap_or(&"#"),
        glyphs.wait,
        glyphs.idle,
        glyphs.died
    );
    let outer = block(title("timeline", &format!("{seconds} s"), theme, glyphs), theme, glyphs)
        .title(Line::styled(legend, theme.dim).right_aligned());
    let inner = outer.inner(area);
    frame.render_widget(outer, area);
    let cells = usize::from(inner.width).saturating_sub(NAME + 1);
    for (row, id) in ui.order(model).iter().skip(ui.scroll).take(usize::from(inner.height)).enumerate() {
        let Some(actor) = model.actor(*id) else { continue };
        let name = match &actor.task {
            Some(task) => cut(&glyphs.plain(&format!("{} {}", actor.pid, task.comm)), NAME, glyphs),
            None => actor.name(),
        };
        let mut spans = vec![Span::styled(format!(" {name:<NAME$}"), theme.text)];
        spans.extend(lane(actor, model, ui, cells));
        let y = inner.y.saturating_add(u16::try_from(row).unwrap_or(u16::MAX));
        frame.render_widget(Line::from(spans), Rect { y, height: 1, ..inner }.intersection(inner));
    }
}

/// One worker's half minute in `cells` cells, the present at the right end.
fn lane(actor: &Actor, model: &Model, ui: &Ui, cells: usize) -> Vec<Span<'static>> {
    let now = model.now();
    let span = SLOT_NS * SLOTS as u64;
    let width = span / (cells.max(1) as u64);
    // Cells begin at whole multiples of their width, so that what is past does not flicker.
    let end = now / width.max(1) + 1;
    let mut out: Vec<Span<'static>> = Vec::new();
    for cell in 0..cells as u64 {
        let Some(number) = (end + cell).checked_sub(cells as u64) else {
            out.push(Span::raw(" "));
            continue;
        };
        let (from, to) = (number * width, (number + 1) * width);
        let (text, style) = glyph(summed(actor, model, from, to.min(now)), to.min(now).saturating_sub(from), ui);
        match out.last_mut() {
            Some(last) if last.style == style => last.content.to_mut().push_str(text),
            _ => out.push(Span::styled(text.to_owned(), style)),
        }
    }
    out
}

/// What the actor did from `from` to `to`, its present state included.
fn summed(actor: &Actor, model: &Model, from: u64, to: u64) -> Slot {
    let mut sum = Slot::default();
    for number in from / SLOT_NS..=to.saturating_sub(1).max(from) / SLOT_NS {
        let (begin, end) = (number * SLOT_NS, (number + 1) * SLOT_NS);
        let slot = actor.timeline.at(begin);
        // A slot that lies only partly in the cell counts in proportion.
        let part = to.min(end).saturating_sub(from.max(begin));
        let scale = |ns: u32| (u64::from(ns) * part / SLOT_NS) as u32;
        sum.held_ns = sum.held_ns.saturating_add(scale(slot.held_ns));
        sum.waited_ns = sum.waited_ns.saturating_add(scale(slot.waited_ns));
        sum.died |= slot.died;
    }
    let present = to.saturating_sub(from.max(model.now().saturating_sub(model.in_state(actor)))) as u32;
    if actor.state.is_holding() {
        sum.held_ns = sum.held_ns.saturating_add(present);
    } else if actor.state.is_waiting() {
        sum.waited_ns = sum.waited_ns.saturating_add(present);
    }
    sum
}

fn glyph(slot: Slot, ns: u64, ui: &Ui) -> (&'static str, Style) {
    let (theme, glyphs) = (&ui.theme, &ui.glyphs);
    let share = |part: u32| f64::from(part) / (ns.max(1) as f64);
    let (held, waited) = (share(slot.held_ns), share(slot.waited_ns));
    if slot.died {
        (glyphs.died, theme.alarm)
    } else if held >= 0.9 {
        (glyphs.right.last().unwrap_or(&"#"), theme.holding)
    } else if slot.held_ns > 0 && held >= 0.02 {
        (glyphs.level(held), theme.holding)
    } else if waited >= 0.3 {
        (glyphs.wait, theme.waiting)
    } else {
        (glyphs.idle, theme.dim)
    }
}
