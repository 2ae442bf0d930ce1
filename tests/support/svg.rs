//! A buffer as SVG: each run of text at its own column, blocks of a bar as rectangles, so that no font shifts or
//! splits them.

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};
use std::collections::HashSet;
use std::fmt::Write;

const W: f32 = 8.4;
const H: f32 = 18.0;
const PAD: f32 = 10.0;

/// Background and text.
fn colors(dark: bool) -> (&'static str, &'static str) {
    if dark { ("#16181d", "#d0d0d0") } else { ("#fbfbfa", "#262626") }
}

pub fn picture(buffer: &Buffer, dark: bool) -> String {
    format!("{}{}</svg>\n", opening(buffer, dark), elements(buffer, dark).concat())
}

/// `frames`, of one size, are shown in turn, `seconds` each, over and over. What all of them have in common is there
/// once. A viewer that does not animate, or is asked not to, shows the first.
pub fn animation(frames: &[Buffer], seconds: f32, dark: bool) -> String {
    let Some(first) = frames.first() else { return String::new() };
    let drawn: Vec<Vec<String>> = frames.iter().map(|frame| elements(frame, dark)).collect();
    let sets: Vec<HashSet<&String>> = drawn.iter().map(|elements| elements.iter().collect()).collect();
    let common = |element: &&String| sets.iter().all(|set| set.contains(element));

    let mut out = opening(first, dark);
    let (all, share) = (seconds * frames.len() as f32, 100.0 / frames.len() as f32);
    let _ = writeln!(
        out,
        "<style>\n\
         .f {{ visibility: hidden; animation: f {all:.1}s step-end infinite }}\n\
         .f0 {{ visibility: visible }}\n\
         @keyframes f {{ 0% {{ visibility: visible }} {share:.3}%, 100% {{ visibility: hidden }} }}\n\
         @media (prefers-reduced-motion: reduce) {{ .f {{ animation: none }} }}"
    );
    for i in 0..frames.len() {
        let _ = writeln!(out, ".f{i} {{ animation-delay: {:.1}s }}", seconds * i as f32);
    }
    out.push_str("</style>\n");
    out.extend(drawn[0].iter().filter(common).map(String::as_str));
    for (i, elements) in drawn.iter().enumerate() {
        // The attribute is for viewers without style sheets.
        let hidden = if i == 0 { "" } else { " visibility=\"hidden\"" };
        let _ = writeln!(out, "<g class=\"f f{i}\"{hidden}>");
        out.extend(elements.iter().filter(|element| !common(element)).map(String::as_str));
        out.push_str("</g>\n");
    }
    out.push_str("</svg>\n");
    out
}

fn opening(buffer: &Buffer, dark: bool) -> String {
    let (columns, rows) = (buffer.area.width, buffer.area.height);
    let (paper, _) = colors(dark);
    let (width, height) = (f32::from(columns) * W + 2.0 * PAD, f32::from(rows) * H + 2.0 * PAD);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" \
         font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace\" font-size=\"14\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{paper}\"/>\n"
    )
}

/// What draws each run of cells.
fn elements(buffer: &Buffer, dark: bool) -> Vec<String> {
    let (columns, rows) = (buffer.area.width, buffer.area.height);
    let mut all = vec![];
    for y in 0..rows {
        let mut x = 0;
        while x < columns {
            let cell = &buffer[(x, y)];
            let run = (x..columns).take_while(|i| *i == x || same(&buffer[(*i, y)], cell)).count() as u16;
            let text: String = (x..x + run).map(|i| buffer[(i, y)].symbol()).collect();
            let mut element = String::new();
            draw(&mut element, cell, &text, x, y, run, colors(dark));
            all.push(element);
            x += run;
        }
    }
    all
}

/// Cells that one element can draw: the same style, and a bar's blocks apart from text.
fn same(a: &Cell, b: &Cell) -> bool {
    a.style() == b.style() && block(a.symbol()).is_none() && block(b.symbol()).is_none()
}

/// Part of the cell that a block glyph fills: x, y, width, height.
fn block(symbol: &str) -> Option<[f32; 4]> {
    const RIGHT: &str = "▏▎▍▌▋▊▉█";
    const UP: &str = "▁▂▃▄▅▆▇█";
    let share = |set: &str| set.chars().position(|c| symbol.starts_with(c)).map(|i| (i + 1) as f32 / 8.0);
    if let Some(s) = share(RIGHT) {
        return Some([0.0, 0.0, s, 1.0]);
    }
    share(UP).map(|s| [0.0, 1.0 - s, 1.0, s])
}

fn draw(out: &mut String, cell: &Cell, text: &str, x: u16, y: u16, run: u16, (paper, ink): (&str, &str)) {
    let (left, top) = (PAD + f32::from(x) * W, PAD + f32::from(y) * H);
    let (mut fg, mut bg) = (color(cell.fg).unwrap_or_else(|| ink.into()), color(cell.bg));
    if cell.modifier.contains(Modifier::REVERSED) {
        let back = bg.unwrap_or_else(|| paper.into());
        (bg, fg) = (Some(fg), back);
    }
    if let Some(bg) = bg {
        let _ = writeln!(
            out,
            "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{H}\" fill=\"{bg}\"/>",
            f32::from(run) * W
        );
    }
    if let Some([bx, by, bw, bh]) = block(text) {
        let _ = writeln!(
            out,
            "<rect x=\"{:.2}\" y=\"{:.2}\" width=\"{:.2}\" height=\"{:.2}\" fill=\"{fg}\"/>",
            left + bx * W,
            top + by * H,
            bw * W + 0.15,
            bh * H
        );
        return;
    }
    if text.trim().is_empty() {
        return;
    }
    let bold = if cell.modifier.contains(Modifier::BOLD) { " font-weight=\"bold\"" } else { "" };
    let dim = if cell.modifier.contains(Modifier::DIM) { " opacity=\"0.6\"" } else { "" };
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(
        out,
        "<text x=\"{left:.1}\" y=\"{:.1}\" textLength=\"{:.1}\" xml:space=\"preserve\" fill=\"{fg}\"{bold}{dim}>{escaped}</text>",
        top + 13.5,
        f32::from(run) * W
    );
}

fn color(color: Color) -> Option<String> {
    match color {
        Color::Indexed(i @ 232..=255) => {
            let level = 8 + 10 * u32::from(i - 232);
            Some(format!("#{level:02x}{level:02x}{level:02x}"))
        }
        Color::Indexed(i @ 16..=231) => {
            let level = |n: u8| if n == 0 { 0 } else { 55 + 40 * u32::from(n) };
            let i = i - 16;
            Some(format!("#{:02x}{:02x}{:02x}", level(i / 36), level(i / 6 % 6), level(i % 6)))
        }
        Color::Red => Some("#d75f5f".into()),
        Color::Green => Some("#87d787".into()),
        Color::Blue => Some("#5fafff".into()),
        Color::Magenta => Some("#d787d7".into()),
        _ => None,
    }
}
