//! How durations are spread, in logarithmic ranges: two humps are seen as two.

use super::{block, cut, time as shown, title};
use crate::format::count;
use crate::model::{Latency, Model};
use crate::tui::ink::Rows;
use crate::tui::theme::Glyphs;
use crate::tui::ui::{Figure, Ui};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

/// Columns of a range's label: `500 ms–1 s`.
const LABEL: usize = 12;
/// In a watch, the range of those that did not wait, in ns.
const FREE_NS: u64 = 1_000;
/// Columns of a count.
const COUNT: usize = 6;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model, ui: &Ui) {
    let (theme, glyphs) = (&ui.theme, &ui.glyphs);
    let all = match ui.figure {
        Figure::Wait => model.wait(),
        Figure::Hold => model.hold(),
        Figure::Handoff => model.handoff(),
    };
    let latency = all.within(ui.span, model.active(model.now()));
    let samples = format!(" \u{b7} {} samples", count(latency.count()));
    // A border, a space on either side, the name and its dot.
    let room = usize::from(area.width).saturating_sub(ui.figure.as_str().len() + 7);
    let samples = if ui.span.as_str().len() + samples.chars().count() <= room { samples } else { String::new() };
    let about = format!("{}{samples}", ui.span.as_str());
    let outer = block(title(ui.figure.as_str(), &about, theme, glyphs), theme, glyphs);
    let inner = outer.inner(area);
    frame.render_widget(outer, area);
    let waiting = model.longest_waiter().filter(|_| ui.figure == Figure::Wait);
    let waiting = waiting.map(|(_, ns)| (model.waiting(), ns));
    let lines = spread(&latency, &latency, waiting, model, ui, usize::from(inner.width), usize::from(inner.height));
    frame.render_widget(Rows(lines), inner);
}

/// Percentiles, ranges with bars, and those that still wait (how many, the longest in ns): what fits into `width` and
/// `height`. A histogram of finished waits alone would hide the one that starves. The ranges are those of `scale`.
pub(super) fn spread(
    latency: &Latency,
    scale: &Latency,
    waiting: Option<(u32, u64)>,
    model: &Model,
    ui: &Ui,
    width: usize,
    height: usize,
) -> Vec<Line<'static>> {
    let (theme, glyphs) = (&ui.theme, &ui.glyphs);
    let time = |ns: Option<u64>| ns.map_or("-".to_owned(), |ns| shown(ns, model, glyphs));
    let mut lines: Vec<Line<'static>> = Vec::new();
    let figures = [
        ("p50", latency.quantile(0.5)),
        ("p90", latency.quantile(0.9)),
        ("p99", latency.quantile(0.99)),
        ("max", latency.max()),
    ];
    // Two a line: they keep their places however long they are.
    for pair in figures.chunks(2) {
        let pair: Vec<String> = pair.iter().map(|(name, ns)| format!("{name} {:>7}", time(*ns))).collect();
        let wide = format!(" {}", pair.join("  "));
        // A blank stays before the border, as in the rows below.
        let text = if wide.chars().count() < width { wide } else { format!(" {}", pair.join(" ")) };
        lines.push(Line::styled(cut(&text, width, glyphs), theme.strong));
    }
    let waiting = waiting.map(|(n, ns)| {
        let all = format!(" {n} still waiting, longest {}", time(Some(ns)));
        if all.chars().count() <= width { all } else { format!(" {n} wait, longest {}", time(Some(ns))) }
    });
    let room = height.saturating_sub(lines.len() + usize::from(waiting.is_some()));
    match (scale.min(), scale.max()) {
        (Some(min), Some(max)) if latency.count() > 0 => {
            // Below what can be told apart there is but one range; a lock of others that was free was not waited for.
            let least = model.precision().max(if model.is_watched() { FREE_NS } else { 0 });
            let below = usize::from(min < least);
            let mut edges = edges(min.max(least), max.max(least), room.saturating_sub(below));
            if below == 1 && edges.first().is_some_and(|first| *first > 0) {
                edges.insert(0, 0);
            }
            lines.extend(bars(latency, &edges, width, ui));
        }
        _ => lines.push(Line::styled(cut(" no samples", width, glyphs), theme.dim)),
    }
    lines.extend(waiting.map(|text| Line::styled(cut(&text, width, glyphs), theme.waiting)));
    lines
}

/// Where ranges begin: 1, 2, 5, 10 … between `min` and `max`; coarser until there are at most `rows` of them.
fn edges(min: u64, max: u64, rows: usize) -> Vec<u64> {
    let ladder = |digits: &'static [u64]| (0..19u32).flat_map(move |p| digits.iter().map(move |d| d * 10u64.pow(p)));
    for digits in [&[1, 2, 5][..], &[1, 3], &[1]] {
        let edges = around(ladder(digits), min, max);
        if edges.len() <= rows + 1 {
            return edges;
        }
    }
    // Three powers of ten a row: from 1 ns to a year that is six rows. Where that is too much, the shortest are one.
    let mut edges = around((0..7u32).map(|p| 1000u64.pow(p)), min, max);
    let short = edges.len().saturating_sub(rows.max(1) + 1);
    edges.drain(1..1 + short);
    edges
}

/// The edges that the values lie between, and one beyond on either side.
fn around(ladder: impl Iterator<Item = u64>, min: u64, max: u64) -> Vec<u64> {
    let mut edges = vec![0];
    for edge in ladder {
        if edge <= min {
            edges.clear();
        }
        edges.push(edge);
        if edge > max {
            break;
        }
    }
    edges
}

fn bars(latency: &Latency, edges: &[u64], width: usize, ui: &Ui) -> Vec<Line<'static>> {
    let (theme, glyphs) = (&ui.theme, &ui.glyphs);
    let counts = latency.between(edges);
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let room = width.saturating_sub(LABEL + COUNT + 2);
    let mut lines = Vec::new();
    // The first range lies below the first edge and the last above the last one: both are empty.
    for (ends, n) in edges.windows(2).zip(counts.iter().skip(1)) {
        let &[low, high] = ends else { continue };
        let bar = glyphs.bar(*n as f64 * room as f64 / most as f64, room);
        let pad = room.saturating_sub(bar.chars().count());
        lines.push(Line::from(vec![
            Span::styled(format!("{:>LABEL$} ", label(low, high, glyphs)), theme.dim),
            Span::styled(bar, theme.bar),
            Span::raw(" ".repeat(pad)),
            Span::styled(format!("{:>COUNT$}", if *n == 0 { String::new() } else { count(*n) }), theme.text),
        ]));
    }
    lines
}

/// `1–2 s`, `500 ms–1 s`.
fn label(low: u64, high: u64, glyphs: &Glyphs) -> String {
    let round = |ns: u64| -> (u64, &'static str) {
        match ns {
            0..=999 => (ns, "ns"),
            1_000..=999_999 => (ns / 1_000, if glyphs.ascii { "us" } else { "\u{b5}s" }),
            1_000_000..=999_999_999 => (ns / 1_000_000, "ms"),
            _ => (ns / 1_000_000_000, "s"),
        }
    };
    let ((a, unit_a), (b, unit_b)) = (round(low), round(high));
    let dash = glyphs.dash;
    if unit_a == unit_b || low == 0 {
        format!("{a}{dash}{b} {unit_b}")
    } else {
        format!("{a} {unit_a}{dash}{b} {unit_b}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn labels_name_their_unit_once() {
        let g = Glyphs::new(false);
        assert_eq!(label(1_000_000_000, 2_000_000_000, &g), "1–2 s");
        assert_eq!(label(500_000_000, 1_000_000_000, &g), "500 ms–1 s");
        assert_eq!(label(0, 1, &g), "0–1 ns");
    }

    proptest! {
        #[test]
        fn every_value_has_its_bar(values in prop::collection::vec(0u64..30_000_000_000_000_000, 1..50), rows in 0usize..40) {
            let mut latency = Latency::default();
            values.iter().for_each(|v| latency.record(*v));
            let edges = edges(latency.min().unwrap(), latency.max().unwrap(), rows);
            let counts = latency.between(&edges);
            prop_assert_eq!(counts.first().copied(), Some(0));
            prop_assert_eq!(counts.last().copied(), Some(0));
            prop_assert!(edges.len() <= rows.max(1) + 1);
        }
    }
}
