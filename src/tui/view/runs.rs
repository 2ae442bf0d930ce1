//! What a worker's command did and wrote lately, for the detail of that worker.

use super::{block, cut, title};
use crate::format::{clock, count};
use crate::model::runs::{Run, Runs};
use crate::model::{Actor, Model};
use crate::tui::ink::Rows;
use crate::tui::keymap::Place;
use crate::tui::ui::Ui;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;

/// Columns of the list of runs.
const RUNS: u16 = 46;
/// In fewer rows there is room for nothing else.
const TWO: u16 = 10;
/// Columns from one tab stop to the next.
const TAB: usize = 8;

/// Draws the last runs and the last lines of output into the lower part of `area`, where workers run a command; gives
/// what is left of it.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, actor: &Actor, model: &Model, ui: &Ui) -> Rect {
    if !model.runs_command() {
        return area;
    }
    let share = if area.height < TWO { 0 } else { area.height / 2 };
    let [rest, lower] = area.layout(&Layout::vertical([Constraint::Length(share), Constraint::Fill(1)]));
    let runs = RUNS.min(area.width / 2);
    let [left, right] = lower.layout(&Layout::horizontal([Constraint::Length(runs), Constraint::Fill(1)]));
    let none = Runs::default();
    list(frame, left, actor.runs.as_deref().unwrap_or(&none), ui);
    output(frame, right, actor, ui);
    rest
}

fn list(frame: &mut Frame<'_>, area: Rect, runs: &Runs, ui: &Ui) {
    let (theme, glyphs) = (&ui.theme, &ui.glyphs);
    let about = format!("{} ended, {} failed", count(runs.count), count(runs.failed));
    let outer = block(title("its runs", &about, theme, glyphs), theme, glyphs);
    let inner = outer.inner(area);
    let width = usize::from(inner.width);
    let line = |run: &Run| {
        let style = if run.end.is_failure() { theme.alarm } else { theme.text };
        let ran = crate::format::dur_in(run.ran_ns, glyphs.ascii);
        let (seq, end) = (format!("#{}", run.seq), run.end.to_string());
        let text = format!(" {seq:>6} {end:<10} {ran:>8}  {}", clock(run.t));
        Line::styled(cut(&text, width, glyphs), style)
    };
    let lines: Vec<Line<'_>> = runs.latest.iter().rev().take(usize::from(inner.height)).map(line).collect();
    frame.render_widget(outer, area);
    frame.render_widget(Rows(lines), inner);
}

fn output(frame: &mut Frame<'_>, area: Rect, actor: &Actor, ui: &Ui) {
    let (theme, glyphs) = (&ui.theme, &ui.glyphs);
    let known = ui.output.as_ref().filter(|(whose, _)| *whose == actor.id).map(|(_, bytes)| bytes.as_slice());
    let about = match known {
        None if ui.place == Place::Replay => "not in a recording",
        // What is not frozen is read anew for each frame.
        None => "not kept in a frozen view",
        Some([]) => "nothing yet",
        Some(_) => "its end",
    };
    let outer = block(title("output", about, theme, glyphs), theme, glyphs);
    let inner = outer.inner(area);
    let (width, height) = (usize::from(inner.width), usize::from(inner.height));
    let lines = lines(known.unwrap_or_default());
    let shown: Vec<Line<'_>> = lines
        .iter()
        .skip(lines.len().saturating_sub(height))
        .map(|text| Line::styled(cut(&format!(" {}", glyphs.plain(text)), width, glyphs), theme.text))
        .collect();
    frame.render_widget(outer, area);
    frame.render_widget(Rows(shown), inner);
}

/// Output as lines that a terminal would show: without escape sequences, after the last return to the line's begin.
fn lines(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    text.lines()
        .map(|line| {
            let line = without_escapes(line);
            let last = line.trim_end_matches('\r').rsplit('\r').next().unwrap_or_default();
            let mut out = String::with_capacity(last.len());
            let mut column = 0;
            for c in last.chars() {
                let blanks = if c == '\t' { TAB - column % TAB } else { 0 };
                if c == '\t' {
                    out.extend(std::iter::repeat_n(' ', blanks));
                } else if !c.is_control() {
                    out.push(c);
                }
                column += blanks.max(1);
            }
            out
        })
        .collect()
}

/// `line` without what moves cursors and changes colours (ECMA-48, control sequences and control strings).
fn without_escapes(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' {
            out.push(c);
            continue;
        }
        match chars.next() {
            // A sequence ends with a letter or a sign from @ to ~.
            Some('[') => while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {},
            // A string, such as a title, ends with BEL or ESC \.
            Some(']' | 'P' | '_' | '^' | 'X') => {
                while let Some(c) = chars.next() {
                    if c == '\u{7}' || c == '\u{1b}' && chars.next().is_some() {
                        break;
                    }
                }
            }
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_shown_as_a_terminal_would() {
        let cases: [(&[u8], &[&str]); 6] = [
            (b"one\ntwo\n", &["one", "two"]),
            (b"\x1b[1;31mred\x1b[0m and \x1b]0;title\x07plain", &["red and plain"]),
            (b" 10 %\r 50 %\r100 %\r\ndone", &["100 %", "done"]),
            (b"a\tb", &["a       b"]),
            (b"\xff\x00bell\x07", &["\u{fffd}bell"]),
            (b"\x1b", &[""]),
        ];
        for (bytes, expected) in cases {
            assert_eq!(lines(bytes), expected, "{bytes:?}");
        }
    }
}
