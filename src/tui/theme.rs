//! Colours and glyphs. State is always a word and a sign; colour only adds.
//!
//! - `theme/file.rs`: a theme as TOML, the built-in ones too;
//! - `theme/depth.rs`: the nearest of the colours that a terminal has.

mod depth;
mod file;

pub use depth::Depth;

use crate::cli::ThemeName;
use crate::model::State;
use ratatui::style::Style;
use ratatui::symbols::border;
use unicode_width::UnicodeWidthChar;

macro_rules! roles {
    ($($role:ident $about:literal;)+) => {
        /// How things look: a style a role.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Theme {
            $(#[doc = $about] pub $role: Style,)+
        }

        /// The roles by the names that they have in a theme's file, and what each is for.
        pub const ROLES: &[(&str, &str)] = &[$((stringify!($role), $about)),+];

        impl Theme {
            /// No colours and no attributes at all.
            const PLAIN: Self = Self { $($role: Style::new()),+ };

            fn role(&mut self, name: &str) -> Option<&mut Style> {
                match name {
                    $(stringify!($role) => Some(&mut self.$role),)+
                    _ => None,
                }
            }

            /// The same with `change` made to every style.
            fn map(self, change: impl Fn(Style) -> Style) -> Self {
                Self { $($role: change(self.$role)),+ }
            }
        }
    };
}

roles! {
    screen "the whole screen: background, and text that has no colour of its own";
    text "plain text";
    dim "less important text: labels, workers that are gone, what is not filled of a bar";
    border "frames of panels";
    strong "titles";
    key "keys, in the last line and in the help";
    holding "who holds the lock";
    waiting "who waits";
    bar "bars of the histogram";
    alarm "what is wrong: findings, a killed or stopped holder";
    selected "the selected row";
    badge "PAUSED, FROZEN, ENDED";
}

impl Theme {
    /// The built-in theme of that name.
    pub fn built_in(name: ThemeName) -> Self {
        // A test reads each of them.
        Self::parse(name.as_str(), file::text(name)).unwrap_or(Self::PLAIN)
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
