//! Text and borders on the screen, cell for cell as ratatui's `Line`, `Paragraph` and `Block` draw them, at a fraction of
//! the cost: those look for grapheme clusters and their widths, several times over. Nearly all that is shown here are
//! chars that take a column each whatever stands beside them; what has others goes to ratatui as it is.

use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::{Alignment, Rect};
use ratatui::style::Style;
use ratatui::symbols::border;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Widget};

/// Whether a char is a cell of its own in any company: ASCII that prints, and the signs of this program.
#[inline]
pub fn stands_alone(c: char) -> bool {
    // U+2500 to U+259F: lines, blocks and shades.
    matches!(c, ' '..='~' | 'µ' | '·' | '±' | '×' | '–' | '‹' | '…' | '→' | '≥' | '\u{2500}'..='\u{259f}')
        || matches!(c, '▶' | '◆' | '◌' | '●' | '✕')
}

/// How many columns `text` takes, if each char takes one.
fn columns(text: &str) -> Option<usize> {
    let mut columns = 0;
    for c in text.chars() {
        if !stands_alone(c) {
            return None;
        }
        columns += 1;
    }
    Some(columns)
}

/// How many columns `text` takes.
pub fn width(text: &str) -> usize {
    columns(text).unwrap_or_else(|| Span::raw(text).width())
}

/// How many columns `line` takes.
pub fn line_width(line: &Line<'_>) -> usize {
    line.spans.iter().map(|span| width(&span.content)).sum()
}

/// Draws sign after sign, each a char that takes a column.
pub struct Pen<'a> {
    cells: std::slice::IterMut<'a, Cell>,
}

impl<'a> Pen<'a> {
    /// At the first row of `area`, after so many cells.
    pub fn new(buf: &'a mut Buffer, area: Rect, after: usize) -> Self {
        Self { cells: row(buf, area).get_mut(after..).unwrap_or_default().iter_mut() }
    }

    /// The next one, if there is room.
    pub fn put(&mut self, sign: &str, style: Style) {
        if let Some(cell) = self.cells.next() {
            cell.set_symbol(sign).set_style(style);
        }
    }
}

/// The cells of the first row of `area`, as far as there are any.
fn row(buf: &mut Buffer, area: Rect) -> &mut [Cell] {
    let area = area.intersection(buf.area);
    if area.is_empty() {
        return &mut [];
    }
    let start = buf.index_of(area.x, area.y);
    buf.content.get_mut(start..start + usize::from(area.width)).unwrap_or_default()
}

/// Writes chars that take a cell each, as far as there is room.
fn write<'a>(cells: &mut [Cell], spans: &[Span<'a>], style: impl Fn(&Span<'a>) -> Style) {
    let mut cells = cells.iter_mut();
    for span in spans {
        let style = style(span);
        for c in span.content.chars() {
            let Some(cell) = cells.next() else { return };
            cell.set_char(c).set_style(style);
        }
    }
}

/// A line, as ratatui draws a `Line`: its style is that of the whole row.
pub struct Row<'a>(pub Line<'a>);

impl Widget for Row<'_> {
    fn render(self, area: Rect, buf: &mut Buffer) {
        let Self(line) = self;
        let width: Option<usize> = line.spans.iter().map(|span| columns(&span.content)).sum();
        let cells = row(buf, area);
        let indent = width.and_then(|width| match line.alignment {
            None | Some(Alignment::Left) => Some(0),
            Some(Alignment::Right) => cells.len().checked_sub(width),
            Some(Alignment::Center) => None,
        });
        let Some(indent) = indent else { return line.render(area, buf) };
        if width == Some(0) {
            return;
        }
        if line.style != Style::new() {
            cells.iter_mut().for_each(|cell| _ = cell.set_style(line.style));
        }
        write(cells.get_mut(indent..).unwrap_or_default(), &line.spans, |span| span.style);
    }
}

/// Lines below each other, as ratatui draws a `Paragraph` of them: a style is that of the text alone.
pub struct Rows<'a>(pub Vec<Line<'a>>);

impl Widget for Rows<'_> {
    fn render(self, area: Rect, buf: &mut Buffer) {
        let area = area.intersection(buf.area);
        for (line, area) in self.0.into_iter().zip(area.rows()) {
            let alone = line.spans.iter().all(|span| columns(&span.content).is_some());
            if !alone || line.alignment.is_some() {
                Paragraph::new(line).render(area, buf);
                continue;
            }
            write(row(buf, area), &line.spans, |span| line.style.patch(span.style));
        }
    }
}

/// A border with titles in it, as ratatui draws a `Block`.
pub struct Border<'a> {
    set: border::Set<'static>,
    style: Style,
    top: [Line<'a>; 2],
    bottom: [Line<'a>; 2],
}

impl<'a> Border<'a> {
    /// With a title on the left.
    pub fn new(set: border::Set<'static>, style: Style, title: Line<'a>) -> Self {
        Self { set, style, top: [title, Line::default()], bottom: [Line::default(), Line::default()] }
    }

    /// With another one on the right.
    pub fn right(mut self, title: Line<'a>) -> Self {
        let [_, right] = &mut self.top;
        *right = title.right_aligned();
        self
    }

    /// With titles below, on the left and on the right.
    pub fn bottom(mut self, left: Line<'a>, right: Line<'a>) -> Self {
        self.bottom = [left, right.right_aligned()];
        self
    }

    /// What it leaves of `area`.
    pub fn inner(&self, area: Rect) -> Rect {
        Rect {
            x: area.x.saturating_add(1).min(area.right()),
            y: area.y.saturating_add(1).min(area.bottom()),
            width: area.width.saturating_sub(2),
            height: area.height.saturating_sub(2),
        }
    }
}

impl Widget for Border<'_> {
    fn render(self, area: Rect, buf: &mut Buffer) {
        let area = area.intersection(buf.area);
        if area.is_empty() {
            return;
        }
        let (left, top, right, bottom) = (area.left(), area.top(), area.right() - 1, area.bottom() - 1);
        let mut put = |x: u16, y: u16, symbol: &str| {
            if let Some(cell) = buf.cell_mut((x, y)) {
                cell.set_symbol(symbol).set_style(self.style);
            }
        };
        (top..=bottom).for_each(|y| put(left, y, self.set.vertical_left));
        (left..=right).for_each(|x| put(x, top, self.set.horizontal_top));
        (top..=bottom).for_each(|y| put(right, y, self.set.vertical_right));
        (left..=right).for_each(|x| put(x, bottom, self.set.horizontal_bottom));
        put(right, bottom, self.set.bottom_right);
        put(right, top, self.set.top_right);
        put(left, bottom, self.set.bottom_left);
        put(left, top, self.set.top_left);
        for (titles, y) in [(self.top, top), (self.bottom, bottom)] {
            let room = Rect { x: left + 1, y, width: area.width.saturating_sub(2), height: 1 };
            for title in titles {
                let width = u16::try_from(line_width(&title)).unwrap_or(u16::MAX).min(room.width);
                let x = if title.alignment.is_some() { room.right() - width } else { room.x };
                Row(title).render(Rect { x, width, ..room }, buf);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use ratatui::style::Color;
    use ratatui::widgets::Block;

    #[test]
    fn each_that_stands_alone_takes_a_cell_beside_any_other() {
        let all: Vec<char> = ('\0'..='\u{ffff}').filter(|c| stands_alone(*c)).collect();
        for a in &all {
            let pairs: String = all.iter().flat_map(|b| [*a, *b]).collect();
            let span = Span::raw(pairs.as_str());
            assert_eq!(span.width(), pairs.chars().count());
            assert!(span.styled_graphemes(Style::new()).map(|g| g.symbol.chars().count()).all(|n| n == 1));
        }
    }

    /// Text as it is, and now and then what is wide, combines, or moves the cursor.
    fn text() -> impl Strategy<Value = String> {
        prop_oneof![4 => "[ -~µ·…─█░●▶]{0,12}", 1 => "[a\u{301}\u{4e2d}\u{1f1e9}\u{200d}\u{ff9e}\u{7}x]{0,6}"]
    }

    fn style() -> impl Strategy<Value = Style> {
        (0u8..3, 0u8..3, 0u8..4).prop_map(|(fg, bg, modifiers)| {
            let style = if fg > 0 { Style::new().fg(Color::Indexed(fg)) } else { Style::new() };
            let style = if bg > 0 { style.bg(Color::Indexed(bg)) } else { style };
            match modifiers {
                0 => style,
                1 => style.add_modifier(ratatui::style::Modifier::BOLD),
                2 => style.remove_modifier(ratatui::style::Modifier::BOLD),
                _ => style.add_modifier(ratatui::style::Modifier::REVERSED),
            }
        })
    }

    fn line() -> impl Strategy<Value = Line<'static>> {
        (prop::collection::vec((text(), style()), 0..4), style(), 0..4u8).prop_map(|(spans, style, aligned)| {
            let line = Line::from_iter(spans.into_iter().map(|(text, style)| Span::styled(text, style))).style(style);
            match aligned {
                0 => line.right_aligned(),
                1 => line.centered(),
                2 => line.left_aligned(),
                _ => line,
            }
        })
    }

    /// Something is there already, and `area` may reach beyond.
    fn both(area: Rect, ours: impl Widget, theirs: impl Widget) -> (Buffer, Buffer) {
        let mut a = Buffer::filled(Rect::new(0, 0, 20, 6), Cell::new("?"));
        a.set_style(Rect::new(3, 0, 9, 6), Style::new().bg(Color::Red).fg(Color::Blue));
        let mut b = a.clone();
        ours.render(area, &mut a);
        theirs.render(area, &mut b);
        (a, b)
    }

    fn area() -> impl Strategy<Value = Rect> {
        (0u16..22, 0u16..8, 0u16..22, 0u16..8).prop_map(|(x, y, width, height)| Rect { x, y, width, height })
    }

    proptest! {
        #[test]
        fn a_row_is_drawn_as_ratatui_draws_a_line(line in line(), area in area()) {
            let (ours, theirs) = both(area, Row(line.clone()), line);
            prop_assert_eq!(ours, theirs);
        }

        #[test]
        fn rows_are_drawn_as_ratatui_draws_a_paragraph(lines in prop::collection::vec(line(), 0..8), area in area()) {
            let (ours, theirs) = both(area, Rows(lines.clone()), Paragraph::new(lines));
            prop_assert_eq!(ours, theirs);
        }

        #[test]
        fn a_border_is_drawn_as_ratatui_draws_a_block(
            titles in prop::collection::vec(line(), 4), style in style(), area in area(),
        ) {
            let titles: Vec<_> = titles.into_iter().map(|t| Line { alignment: None, ..t }).collect();
            let [top, right, low, low_right] = [0, 1, 2, 3].map(|i| titles[i].clone());
            let block = Block::bordered()
                .border_set(border::ROUNDED)
                .border_style(style)
                .title(top.clone())
                .title(right.clone().right_aligned())
                .title_bottom(low.clone())
                .title_bottom(low_right.clone().right_aligned());
            let border = Border::new(border::ROUNDED, style, top).right(right).bottom(low, low_right);
            prop_assert_eq!(border.inner(area), block.inner(area));
            let (ours, theirs) = both(area, border, block);
            prop_assert_eq!(ours, theirs);
        }
    }
}
