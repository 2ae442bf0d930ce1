//! From one frame to the next: what is shown, and the least that must be written to show something else.

use super::ink::stands_alone;
use ratatui::backend::{Backend, CrosstermBackend};
use ratatui::buffer::{Buffer, Cell};
use ratatui::crossterm::queue;
use ratatui::crossterm::terminal::{BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate};
use ratatui::layout::Rect;
use ratatui::{Frame, Terminal, TerminalOptions, Viewport};
use std::io::{self, Write};

/// A terminal that is written to, and what it shows. Its cursor is hidden.
pub struct Surface<W: Write> {
    terminal: Terminal<CrosstermBackend<W>>,
    shown: Buffer,
    /// Whether each cell shown takes one column.
    narrow: bool,
}

impl<W: Write> Surface<W> {
    /// An empty one: the whole terminal, or a part of it that stays as it is.
    ///
    /// # Errors
    /// The terminal does not say how large it is.
    pub fn new(out: W, viewport: Viewport) -> io::Result<Self> {
        let terminal = Terminal::with_options(CrosstermBackend::new(out), TerminalOptions { viewport })?;
        Ok(Self { terminal, shown: Buffer::default(), narrow: true })
    }

    /// Clears it, whatever it shows.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn clear(&mut self) -> io::Result<()> {
        // Not Terminal::clear(): that asks the terminal where its cursor is, and another thread reads the answer.
        self.shown.reset();
        let out = self.terminal.backend_mut();
        queue!(out, Clear(ClearType::All))?;
        Write::flush(out)
    }

    /// Draws a frame: one write, or none where nothing has changed.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn draw(&mut self, render: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.autoresize()?;
        render(&mut self.terminal.get_frame());
        let next = std::mem::take(self.terminal.current_buffer_mut());
        if next.area != self.shown.area {
            // It is new, or has another size and was cleared for that.
            self.shown = Buffer::empty(next.area);
        }
        let changes = narrow_changes(next.area, &self.shown.content, &next.content).filter(|_| self.narrow);
        self.narrow = changes.is_some() || next.content.iter().all(is_narrow);
        let changes = changes.unwrap_or_else(|| self.shown.diff(&next));
        let written = write(self.terminal.backend_mut(), &changes);
        let mut spare = std::mem::replace(&mut self.shown, next);
        spare.reset();
        *self.terminal.current_buffer_mut() = spare;
        written
    }

    /// Draws the first line of a frame anew and touches nothing else; `false` where the whole is to be drawn: `render`
    /// says so, or it has another size than what is shown, or not each cell takes one column.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn draw_first_line(&mut self, render: impl FnOnce(&mut Frame<'_>) -> bool) -> io::Result<bool> {
        self.terminal.autoresize()?;
        let area = self.terminal.current_buffer_mut().area;
        if area != self.shown.area || !self.narrow || !render(&mut self.terminal.get_frame()) {
            return Ok(false);
        }
        let mut next = std::mem::take(self.terminal.current_buffer_mut());
        let columns = usize::from(area.width);
        let line = next.content.get_mut(..columns).unwrap_or_default();
        let changes = narrow_changes(area, &self.shown.content, line);
        let is_drawn = changes.is_some();
        let written = changes.map_or(Ok(()), |changes| write(self.terminal.backend_mut(), &changes));
        if is_drawn {
            self.shown.content.iter_mut().zip(&mut *line).for_each(|(old, new)| std::mem::swap(old, new));
        }
        line.iter_mut().for_each(Cell::reset);
        *self.terminal.current_buffer_mut() = next;
        written.map(|()| is_drawn)
    }
}

type Change<'a> = (u16, u16, &'a Cell);

fn write(out: &mut CrosstermBackend<impl Write>, changes: &[Change<'_>]) -> io::Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    queue!(out, BeginSynchronizedUpdate)?;
    out.draw(changes.iter().copied())?;
    queue!(out, EndSynchronizedUpdate)?;
    Write::flush(out)
}

/// The cells of `next`, which are those of the whole `area` or its first lines, that are not as they are in `shown`, which has
/// nothing but narrow cells; none where something wider comes in, which is ratatui's.
fn narrow_changes<'a>(area: Rect, shown: &[Cell], next: &'a [Cell]) -> Option<Vec<Change<'a>>> {
    let mut changes = Vec::new();
    let columns = usize::from(area.width).max(1);
    let rows = shown.chunks(columns).zip(next.chunks(columns));
    for (y, (old, new)) in (area.y..).zip(rows) {
        for (x, (old, new)) in (area.x..).zip(old.iter().zip(new)) {
            if same(old, new) {
                continue;
            }
            if !is_narrow(new) {
                return None;
            }
            changes.push((x, y, new));
        }
    }
    Some(changes)
}

/// Whether it takes one column.
fn is_narrow(cell: &Cell) -> bool {
    let mut chars = cell.symbol().chars();
    chars.next().is_some_and(stands_alone) && chars.next().is_none()
}

/// Whether they look the same: as `==` for what is drawn here, without a call for the few bytes of a symbol.
fn same(a: &Cell, b: &Cell) -> bool {
    let (x, y) = (a.symbol().as_bytes(), b.symbol().as_bytes());
    let symbols = x.len() == y.len() && x.iter().zip(y).all(|(x, y)| x == y);
    symbols && a.fg == b.fg && a.bg == b.bg && a.modifier == b.modifier
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use ratatui::style::{Color, Modifier, Style};
    use ratatui::text::Line;

    fn cell() -> impl Strategy<Value = Cell> {
        let symbol = prop_oneof![20 => "[ab█ ]", 1 => Just("\u{4e2d}".to_owned()), 1 => Just("e\u{301}".to_owned())];
        (symbol, 0u8..2, 0u8..2, any::<bool>()).prop_map(|(symbol, fg, bg, bold)| {
            let style = Style::new().fg(Color::Indexed(fg)).bg(Color::Indexed(bg));
            let mut cell = Cell::EMPTY;
            cell.set_symbol(&symbol).set_style(if bold { style.add_modifier(Modifier::BOLD) } else { style });
            cell
        })
    }

    proptest! {
        #[test]
        fn what_changes_is_what_ratatui_says(
            frames in prop::collection::vec(prop::collection::vec((cell(), any::<bool>()), 12), 1..6),
        ) {
            let area = Rect::new(1, 2, 4, 3);
            let frame = |ours: bool, out: &mut Vec<u8>| {
                let mut surface = Surface::new(&mut *out, Viewport::Fixed(area)).unwrap();
                let mut before = Buffer::empty(area);
                for cells in &frames {
                    let mut next = before.clone();
                    for (at, (cell, changes)) in next.content.iter_mut().zip(cells) {
                        if *changes {
                            at.clone_from(cell);
                        }
                    }
                    // Nothing wide stands at the edge.
                    next.content.last_mut().unwrap().set_symbol("a");
                    if ours {
                        surface.draw(|frame| frame.buffer_mut().clone_from(&next)).unwrap();
                    } else {
                        write(surface.terminal.backend_mut(), &before.diff(&next)).unwrap();
                    }
                    before = next;
                }
            };
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            frame(true, &mut ours);
            frame(false, &mut theirs);
            prop_assert_eq!(ours, theirs);
        }
    }

    #[test]
    fn the_first_line_is_drawn_alone_where_that_can_be() {
        let mut told = Vec::new();
        let area = Rect::new(0, 0, 8, 2);
        let mut surface = Surface::new(&mut told, Viewport::Fixed(area)).unwrap();
        let line = |text: &'static str| move |frame: &mut Frame<'_>| frame.render_widget(Line::raw(text), frame.area());
        let first = |surface: &mut Surface<_>, text| {
            let drawn = surface.draw_first_line(|frame| {
                line(text)(frame);
                true
            });
            drawn.unwrap()
        };
        assert!(!first(&mut surface, "0"), "nothing is shown yet");
        let both = |text: &'static str| {
            move |frame: &mut Frame<'_>| {
                line(text)(frame);
                frame.render_widget(Line::raw("below"), Rect { y: 1, height: 1, ..area });
            }
        };
        surface.draw(both("one")).unwrap();
        assert!(first(&mut surface, "two"));
        assert!(!surface.draw_first_line(|_| false).unwrap());
        assert!(!first(&mut surface, "\u{4e2d}"), "it takes two columns");
        let shown = |surface: &Surface<_>| -> String { surface.shown.content.iter().map(Cell::symbol).collect() };
        assert_eq!(shown(&surface), "two     below   ");
        surface.draw(both("three")).unwrap();
        assert_eq!(shown(&surface), "three   below   ");
        drop(surface);
        let mut screen = vt100::Parser::new(2, 8, 0);
        screen.process(&told);
        assert_eq!(screen.screen().contents(), "three\nbelow");
    }

    #[test]
    fn a_frame_is_one_write_and_one_like_the_last_is_none() {
        #[derive(Default)]
        struct Counted {
            screen: vt100::Parser,
            flushes: usize,
        }
        impl Write for &mut Counted {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.screen.process(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                self.flushes += 1;
                Ok(())
            }
        }
        let mut told = Counted::default();
        let mut texts = Vec::new();
        for (frames, cleared) in [(["one", "one", "two"], false), (["three", "three", "three"], true)] {
            let mut surface = Surface::new(&mut told, Viewport::Fixed(Rect::new(0, 0, 20, 2))).unwrap();
            for text in frames {
                surface.draw(|frame| frame.render_widget(Line::raw(text), frame.area())).unwrap();
                if cleared {
                    surface.clear().unwrap();
                }
            }
            drop(surface);
            texts.push((told.screen.screen().contents(), std::mem::take(&mut told.flushes)));
        }
        assert_eq!(texts, [("two".to_owned(), 2), (String::new(), 6)]);
    }
}
