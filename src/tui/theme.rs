//! Colours and glyphs. State is always a word and a sign; colour only adds.

use crate::cli::ThemeName;
use crate::model::State;
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::border;
use unicode_width::UnicodeWidthChar;

/// How things look.
#[derive(Clone, Copy, Debug)]
pub struct Theme {
    /// Plain text.
    pub text: Style,
    /// Less important text: borders, labels.
    pub dim: Style,
    /// Titles and key names.
    pub strong: Style,
    /// Who holds the lock.
    pub holding: Style,
    /// Who waits.
    pub waiting: Style,
    /// What is wrong.
    pub alarm: Style,
    /// The selected row.
    pub selected: Style,
    /// Badges such as PAUSED.
    pub badge: Style,
}

impl Theme {
    /// The theme of that name.
    pub fn new(name: ThemeName, no_color: bool) -> Self {
        let fg = |c: Color| Style::new().fg(c);
        let selected = Style::new().add_modifier(Modifier::REVERSED);
        let bold = Style::new().add_modifier(Modifier::BOLD);
        match name {
            _ if no_color => Self::mono(),
            ThemeName::Mono => Self::mono(),
            ThemeName::Auto => Self {
                text: Style::new(),
                dim: Style::new().add_modifier(Modifier::DIM),
                strong: bold,
                holding: fg(Color::Green).add_modifier(Modifier::BOLD),
                waiting: fg(Color::Blue),
                alarm: fg(Color::Red).add_modifier(Modifier::BOLD),
                selected,
                badge: fg(Color::Magenta).add_modifier(Modifier::BOLD | Modifier::REVERSED),
            },
            ThemeName::Dark => Self {
                text: fg(Color::Indexed(252)),
                dim: fg(Color::Indexed(245)),
                strong: fg(Color::Indexed(231)).add_modifier(Modifier::BOLD),
                holding: fg(Color::Indexed(114)).add_modifier(Modifier::BOLD),
                waiting: fg(Color::Indexed(75)),
                alarm: fg(Color::Indexed(210)).add_modifier(Modifier::BOLD),
                selected: Style::new().bg(Color::Indexed(238)),
                badge: fg(Color::Indexed(232)).bg(Color::Indexed(222)).add_modifier(Modifier::BOLD),
            },
            ThemeName::Light => Self {
                text: fg(Color::Indexed(235)),
                dim: fg(Color::Indexed(242)),
                strong: fg(Color::Indexed(16)).add_modifier(Modifier::BOLD),
                holding: fg(Color::Indexed(28)).add_modifier(Modifier::BOLD),
                waiting: fg(Color::Indexed(25)),
                alarm: fg(Color::Indexed(124)).add_modifier(Modifier::BOLD),
                selected: Style::new().bg(Color::Indexed(253)),
                badge: fg(Color::Indexed(231)).bg(Color::Indexed(90)).add_modifier(Modifier::BOLD),
            },
        }
    }

    fn mono() -> Self {
        let bold = Style::new().add_modifier(Modifier::BOLD);
        let reversed = Style::new().add_modifier(Modifier::REVERSED);
        Self {
            text: Style::new(),
            dim: Style::new(),
            strong: bold,
            holding: bold,
            waiting: Style::new(),
            alarm: bold,
            selected: reversed,
            badge: reversed,
        }
    }

    /// The style of a state's word and sign.
    pub fn state(&self, state: State) -> Style {
        match state {
            State::Holding(_) => self.holding,
            State::Waiting(_) => self.waiting,
            State::Killed => self.alarm,
            _ => self.dim,
        }
    }
}

/// The characters that the screen is made of: all of width 1.
#[derive(Clone, Copy, Debug)]
pub struct Glyphs {
    /// Only ASCII.
    pub ascii: bool,
    /// Bars that grow to the right, from one eighth to a full cell.
    pub right: &'static [&'static str],
    /// Bars that grow upwards, from one eighth to a full cell.
    pub up: &'static [&'static str],
    /// The part of a bar still to come.
    pub rest: &'static str,
    /// Waits, on the timeline.
    pub wait: &'static str,
    /// Neither holds nor waits, on the timeline.
    pub idle: &'static str,
    /// Killed.
    pub died: &'static str,
    /// Stopped by a signal, on the timeline.
    pub stops: &'static str,
    /// Won what another held, on the timeline.
    pub violated: &'static str,
    /// The lab was paused, on the timeline.
    pub paused: &'static str,
    /// It was so before watching began, on the timeline.
    pub before: &'static str,
    /// Goes on to the right.
    pub line: &'static str,
    /// The selected row.
    pub pointer: &'static str,
    /// Between two facts.
    pub dot: &'static str,
    /// Between the ends of a range.
    pub dash: &'static str,
    /// Something left out.
    pub ellipsis: &'static str,
    /// Between size numbers.
    pub times: &'static str,
    /// From … to.
    pub arrow: &'static str,
    /// More or less so much.
    pub plus_minus: &'static str,
    /// At least so much.
    pub at_least: &'static str,
    /// Borders of panels.
    pub border: border::Set<'static>,
}

const ASCII_BORDER: border::Set<'static> = border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};

impl Glyphs {
    /// ASCII only, or Unicode of width 1.
    pub fn new(ascii: bool) -> Self {
        if ascii {
            Self {
                ascii,
                right: &["#"],
                up: &[".", ":", "=", "#"],
                rest: ".",
                wait: "-",
                idle: " ",
                died: "x",
                stops: "!",
                violated: "V",
                paused: "|",
                before: "<",
                line: "-",
                pointer: ">",
                dot: "|",
                dash: "-",
                ellipsis: "..",
                times: "x",
                arrow: "->",
                plus_minus: "+-",
                at_least: ">",
                border: ASCII_BORDER,
            }
        } else {
            Self {
                ascii,
                right: &["▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"],
                up: &["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"],
                rest: "░",
                wait: "░",
                idle: "·",
                died: "✕",
                stops: "!",
                violated: "◆",
                paused: "┊",
                before: "‹",
                line: "─",
                pointer: "▶",
                dot: "·",
                dash: "–",
                ellipsis: "…",
                times: "×",
                arrow: "→",
                plus_minus: "±",
                at_least: "≥",
                border: border::ROUNDED,
            }
        }
    }

    /// The sign of a state.
    pub fn state(&self, state: State, stopped: bool) -> &'static str {
        match (state, self.ascii, stopped) {
            (_, _, true) => "!",
            (State::Holding(_), false, _) => "●",
            (State::Holding(_), true, _) => "*",
            (State::Waiting(_), false, _) => "◌",
            (State::Waiting(_), true, _) => "o",
            (State::Killed, ..) => self.died,
            (State::Thinking, false, _) => "·",
            (State::Thinking, true, _) => ".",
            _ => "-",
        }
    }

    /// A bar of `cells` (fractions allowed) to the right; anything above zero is seen.
    pub fn bar(&self, cells: f64, most: usize) -> String {
        let steps = self.right.len();
        let eighths = ((cells * steps as f64).round() as usize).max(usize::from(cells > 0.0)).min(most * steps);
        let full = self.right.last().copied().unwrap_or("#");
        let mut bar = full.repeat(eighths / steps);
        if let Some(part) = (eighths % steps).checked_sub(1).and_then(|i| self.right.get(i)) {
            bar.push_str(part);
        }
        bar
    }

    /// A cell that is filled to a share of 0 to 1 from below; anything above zero is seen.
    pub fn level(&self, share: f64) -> &'static str {
        let steps = self.up.len();
        let index = ((share * steps as f64).round() as usize).clamp(1, steps) - 1;
        self.up.get(index).copied().unwrap_or("#")
    }

    /// `text` with what is not one column wide replaced (names of other programs may hold anything), and with
    /// `--ascii` what that has no character for.
    pub fn plain(&self, text: &str) -> String {
        if !self.ascii {
            return text.chars().map(|c| if c.width() == Some(1) { c } else { '?' }).collect();
        }
        let mut out = String::with_capacity(text.len());
        for c in text.chars() {
            match c {
                'µ' => out.push('u'),
                '→' => out.push_str("->"),
                '·' => out.push('|'),
                '…' => out.push_str(".."),
                '≥' => out.push('>'),
                c if c.is_ascii() && !c.is_control() => out.push(c),
                _ => out.push('?'),
            }
        }
        out
    }
}
