//! Colours for terminals that have fewer of them than a theme.

use super::Theme;
use ratatui::style::{Color, Style};

/// How many colours a terminal has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// 16, whose hues are the user's.
    Sixteen,
    /// Those, a cube of 216, and 24 greys.
    Indexed,
    /// 16.7 million.
    True,
}

/// Terminals that have 256 colours and do not say so in the name.
const KNOWN: [&str; 7] = ["kitty", "alacritty", "ghostty", "wezterm", "foot", "contour", "direct"];

impl Depth {
    /// What the environment's `COLORTERM` and `TERM` say. Only `COLORTERM` is believed about more than 256: a
    /// terminal that has them not shows wrong colours or none.
    pub fn of(colorterm: &str, term: &str) -> Self {
        if matches!(colorterm, "truecolor" | "24bit") {
            Self::True
        } else if term.contains("256color") || KNOWN.iter().any(|name| term.contains(name)) {
            Self::Indexed
        } else {
            Self::Sixteen
        }
    }
}

/// The 16 as xterm has them: black to white, then the bright ones.
const SIXTEEN: [(Color, [u8; 3]); 16] = [
    (Color::Black, [0, 0, 0]),
    (Color::Red, [205, 0, 0]),
    (Color::Green, [0, 205, 0]),
    (Color::Yellow, [205, 205, 0]),
    (Color::Blue, [0, 0, 238]),
    (Color::Magenta, [205, 0, 205]),
    (Color::Cyan, [0, 205, 205]),
    (Color::Gray, [229, 229, 229]),
    (Color::DarkGray, [127, 127, 127]),
    (Color::LightRed, [255, 0, 0]),
    (Color::LightGreen, [0, 255, 0]),
    (Color::LightYellow, [255, 255, 0]),
    (Color::LightBlue, [92, 92, 255]),
    (Color::LightMagenta, [255, 0, 255]),
    (Color::LightCyan, [0, 255, 255]),
    (Color::White, [255, 255, 255]),
];

impl Theme {
    /// The same in the nearest colours that a terminal of that depth has.
    pub fn fit(self, depth: Depth) -> Self {
        self.map(|style| Style { fg: style.fg.map(|c| fit(c, depth)), bg: style.bg.map(|c| fit(c, depth)), ..style })
    }
}

fn fit(color: Color, depth: Depth) -> Color {
    let rgb = match color {
        Color::Rgb(r, g, b) => [r, g, b],
        Color::Indexed(i @ 16..) => fixed(i),
        // The 16 are everywhere, and as the user wants them.
        _ => return color,
    };
    match (depth, color) {
        (Depth::True, _) | (Depth::Indexed, Color::Indexed(_)) => color,
        (Depth::Indexed, _) => nearest((16..=255).map(|i| (Color::Indexed(i), fixed(i))), rgb),
        (Depth::Sixteen, _) => nearest(SIXTEEN.into_iter(), rgb),
    }
}

/// Red, green and blue of an index from 16 on: a cube of six levels each, then greys.
fn fixed(index: u8) -> [u8; 3] {
    let level = |n: u8| if n == 0 { 0 } else { 55 + 40 * n };
    match index.saturating_sub(16) {
        n @ 0..=215 => [level(n / 36), level(n / 6 % 6), level(n % 6)],
        grey => [8 + 10 * (grey - 216); 3],
    }
}

fn nearest(colors: impl Iterator<Item = (Color, [u8; 3])>, rgb: [u8; 3]) -> Color {
    colors.min_by_key(|(_, c)| distance(*c, rgb)).map_or(Color::Reset, |(color, _)| color)
}

/// The square of how far apart two colours look, by the formula of <https://www.compuphase.com/cmetric.htm>.
fn distance(a: [u8; 3], b: [u8; 3]) -> u32 {
    let [r, g, b_] = [0, 1, 2].map(|i: usize| {
        let of = |c: [u8; 3]| i32::from(c.get(i).copied().unwrap_or(0));
        of(a) - of(b)
    });
    let mean = (i32::from(a[0]) + i32::from(b[0])) / 2;
    let sum = (((512 + mean) * r * r) >> 8) + 4 * g * g + (((767 - mean) * b_ * b_) >> 8);
    sum.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::ThemeName;
    use clap::ValueEnum;

    #[test]
    fn only_the_environment_decides() {
        assert_eq!(Depth::of("truecolor", "xterm"), Depth::True);
        assert_eq!(Depth::of("24bit", ""), Depth::True);
        assert_eq!(Depth::of("yes", "xterm-256color"), Depth::Indexed);
        assert_eq!(Depth::of("", "xterm-kitty"), Depth::Indexed);
        assert_eq!(Depth::of("", "linux"), Depth::Sixteen);
    }

    #[test]
    fn the_nearest_colour_is_taken() {
        assert_eq!(fit(Color::Rgb(255, 135, 0), Depth::Indexed), Color::Indexed(208));
        assert_eq!(fit(Color::Rgb(255, 135, 0), Depth::True), Color::Rgb(255, 135, 0));
        assert_eq!(fit(Color::Rgb(129, 129, 129), Depth::Indexed), Color::Indexed(244));
        assert_eq!(fit(Color::Indexed(124), Depth::Sixteen), Color::Red);
        assert_eq!(fit(Color::Indexed(208), Depth::Indexed), Color::Indexed(208));
        assert_eq!(fit(Color::Rgb(250, 250, 250), Depth::Sixteen), Color::White);
        for same in [Color::Reset, Color::Blue, Color::Indexed(4)] {
            assert_eq!(fit(same, Depth::Sixteen), same);
        }
        for index in 16..=255 {
            let [r, g, b] = fixed(index);
            let back = fit(Color::Rgb(r, g, b), Depth::Indexed);
            assert!(matches!(back, Color::Indexed(i) if fixed(i) == [r, g, b]), "{index}: {back:?}");
        }
    }

    /// sRGB of a colour to linear light.
    fn linear(color: Color) -> [f64; 3] {
        let rgb = match color {
            Color::Rgb(r, g, b) => [r, g, b],
            Color::Indexed(i) => fixed(i),
            named => SIXTEEN.iter().find(|(c, _)| *c == named).map(|(_, rgb)| *rgb).unwrap(),
        };
        rgb.map(|v| {
            let v = f64::from(v) / 255.0;
            if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
        })
    }

    fn times(m: [[f64; 3]; 3], v: [f64; 3]) -> [f64; 3] {
        m.map(|row| row.iter().zip(v).map(|(a, b)| a * b).sum())
    }

    /// Contrast of two colours as WCAG 2 has it: 1 to 21.
    fn contrast(a: [f64; 3], b: [f64; 3]) -> f64 {
        let light = |c: [f64; 3]| 0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2] + 0.05;
        (light(a) / light(b)).max(light(b) / light(a))
    }

    /// Distance in Oklab (Ottosson 2020): 0.02 is just seen.
    fn apart(a: [f64; 3], b: [f64; 3]) -> f64 {
        let lab = |c: [f64; 3]| {
            let lms = times(
                [
                    [0.412_221_470_8, 0.536_332_536_3, 0.051_445_992_9],
                    [0.211_903_498_2, 0.680_699_545_1, 0.107_396_956_6],
                    [0.088_302_461_9, 0.281_718_837_6, 0.629_978_700_5],
                ],
                c.map(|v| v.max(0.0)),
            );
            times(
                [
                    [0.210_454_255_3, 0.793_617_785_0, -0.004_072_046_8],
                    [1.977_998_495_1, -2.428_592_205_0, 0.450_593_709_9],
                    [0.025_904_037_1, 0.782_771_766_2, -0.808_675_766_0],
                ],
                lms.map(f64::cbrt),
            )
        };
        lab(a).iter().zip(lab(b)).map(|(x, y)| (x - y).powi(2)).sum::<f64>().sqrt()
    }

    /// Full protanopia and deuteranopia in linear light, as Machado, Oliveira and Fernandes (2009) give them.
    const PROTANOPIA: [[f64; 3]; 3] =
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]];
    const DEUTERANOPIA: [[f64; 3]; 3] =
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]];

    #[test]
    fn the_safe_theme_is_told_apart_without_red_and_green_and_by_brightness() {
        for depth in [Depth::True, Depth::Indexed] {
            let theme = Theme::built_in(ThemeName::Safe).fit(depth);
            let back = linear(theme.screen.bg.unwrap());
            let states = [theme.holding, theme.waiting, theme.alarm].map(|s| linear(s.fg.unwrap()));
            for (i, a) in states.iter().enumerate() {
                assert!(contrast(*a, back) > 4.5, "{depth:?}: {i} on the background: {}", contrast(*a, back));
                for (j, b) in states.iter().enumerate().skip(i + 1) {
                    assert!(contrast(*a, *b) > 1.5, "{depth:?}: brightness of {i} and {j}: {}", contrast(*a, *b));
                    for sight in [PROTANOPIA, DEUTERANOPIA] {
                        let far = apart(times(sight, *a), times(sight, *b));
                        assert!(far > 0.15, "{depth:?}: {i} and {j}: {far}");
                    }
                }
            }
        }
    }

    /// With 16 colours the hues are the user's, who has chosen what can be read.
    #[test]
    fn every_theme_can_be_read_at_every_depth() {
        for (name, paper) in
            [(ThemeName::Dark, Color::Black), (ThemeName::Light, Color::White), (ThemeName::Safe, Color::Black)]
        {
            for (depth, least) in [(Depth::True, 4.5), (Depth::Indexed, 4.5), (Depth::Sixteen, 2.0)] {
                let theme = Theme::built_in(name).fit(depth);
                let back = theme.screen.bg.unwrap_or(paper);
                let ink = theme.text.fg.or(theme.screen.fg).unwrap();
                for style in [
                    theme.text,
                    theme.dim,
                    theme.strong,
                    theme.key,
                    theme.holding,
                    theme.waiting,
                    theme.alarm,
                    theme.badge,
                ] {
                    let (fg, bg) = (style.fg.unwrap_or(ink), style.bg.unwrap_or(back));
                    let seen = contrast(linear(fg), linear(bg));
                    assert!(seen > least, "{name:?} at {depth:?}: {fg:?} on {bg:?} has {seen:.2}");
                }
                let selected = contrast(linear(theme.selected.bg.unwrap()), linear(back));
                assert!(selected > 1.15, "{name:?} at {depth:?}: the selected row has {selected:.2}");
            }
        }
        assert_eq!(ThemeName::value_variants().len(), 5, "auto and mono have no colours of their own");
    }
}
