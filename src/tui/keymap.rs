//! Keys as data: footer, help overlay, README and manual page are made from this table.
//!
//! - `keymap/chord.rs`: keys by the names that configuration gives them;
//! - `keymap/in_force.rs`: the keys that a user has, who may want others than the table says.

mod chord;
mod in_force;

pub use chord::{Chord, ChordError};
pub use in_force::{BindError, Conflict, Keymap};

use ratatui::crossterm::event::{KeyCode, KeyModifiers};
use std::fmt::Write;

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is described in the table below")]
pub enum Action {
    Pause,
    KillHolder,
    StallHolder,
    KillSelected,
    AddWorker,
    RemoveWorker,
    HoldShorter,
    HoldLonger,
    ThinkShorter,
    ThinkLonger,
    Freeze,
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
    Detail,
    NextFigure,
    PreviousFigure,
    Window,
    SortLeft,
    SortRight,
    Reverse,
    Reset,
    Enlarge,
    Findings,
    Help,
    Back,
    Quit,
    Suspend,
    Step,
    NextLandmark,
    JumpBack,
    JumpForward,
    TimeBack,
    TimeForward,
    Faster,
    Slower,
}

impl Action {
    /// Whether it changes what is watched or run, rather than how that is shown.
    pub fn changes_something(self) -> bool {
        use Action::*;
        matches!(
            self,
            KillHolder
                | StallHolder
                | KillSelected
                | AddWorker
                | RemoveWorker
                | HoldShorter
                | HoldLonger
                | ThinkShorter
                | ThinkLonger
                | Reset
        )
    }

    /// Whether it does anything in a list of locks: nothing is selected there that could be acted on, and there are no
    /// panels.
    pub fn is_of_list(self) -> bool {
        use Action::*;
        !matches!(
            self,
            KillHolder
                | StallHolder
                | KillSelected
                | NextFigure
                | PreviousFigure
                | Window
                | Enlarge
                | TimeBack
                | TimeForward
        )
    }
}

/// Where a key has its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everywhere.
    All,
    /// In a lab.
    Lab,
    /// Where processes can be acted on.
    Act,
    /// What happens now, rather than a recording.
    Live,
    /// In a recording.
    Replay,
}

impl Scope {
    /// The screens, as a heading says it.
    pub fn title(self) -> &'static str {
        match self {
            Self::All => "On every screen",
            Self::Lab => "In the lab",
            Self::Act => "Where processes can be acted on",
            Self::Live => "Where something happens now",
            Self::Replay => "In a recording",
        }
    }

    /// Whether some screen has the keys of both.
    fn meets(self, other: Self) -> bool {
        Place::ALL.iter().any(|place| self.includes(*place) && other.includes(*place))
    }

    /// Whether it includes this kind of screen.
    pub fn includes(self, place: Place) -> bool {
        match self {
            Self::All => true,
            Self::Lab => place == Place::Lab,
            Self::Act => matches!(place, Place::Lab | Place::Watch),
            Self::Live => place != Place::Replay,
            Self::Replay => place == Place::Replay,
        }
    }
}

/// What a screen shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// A lab.
    #[default]
    Lab,
    /// Locks of other programs.
    Watch,
    /// The same, with the keys that act on them taken away.
    ReadOnly,
    /// A recording.
    Replay,
}

impl Place {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Lab, Self::Watch, Self::ReadOnly, Self::Replay];
}

/// A row of the table.
#[derive(Debug, PartialEq, Eq)]
pub struct Binding {
    /// What it does.
    pub action: Action,
    /// Its name in the code; see [`Binding::name`].
    ident: &'static str,
    /// Where it does it.
    pub scope: Scope,
    /// The keys that do it.
    pub codes: &'static [Chord],
    /// The keys as shown.
    pub keys: &'static str,
    /// One or two words for the footer; empty where it is not shown there.
    pub short: &'static str,
    /// A sentence for the help.
    pub long: &'static str,
}

const NONE: KeyModifiers = KeyModifiers::NONE;
const CTRL: KeyModifiers = KeyModifiers::CONTROL;

const fn ch(c: char) -> Chord {
    Chord(NONE, KeyCode::Char(c))
}

const fn ctrl(c: char) -> Chord {
    Chord(CTRL, KeyCode::Char(c))
}

const fn key(code: KeyCode) -> Chord {
    Chord(NONE, code)
}

macro_rules! bindings {
    ($($scope:ident $action:ident [$($code:expr),+] $keys:literal $short:literal $long:literal;)+) => {
        &[$(Binding { action: Action::$action, ident: stringify!($action), scope: Scope::$scope, codes: &[$($code),+], keys: $keys, short: $short, long: $long }),+]
    };
}

/// All keys, in the order in which they are shown.
pub const BINDINGS: &[Binding] = bindings! {
    All Pause [ch(' '), ch('p')] "space p" "pause" "pause, or go on; paused time is nobody's wait (in a watch: freeze the view)";
    Act KillHolder [ch('k')] "k" "kill holder" "kill the process that holds the lock (SIGKILL); a worker of the lab comes back";
    Act StallHolder [ch('s')] "s" "stall" "stop the holder (SIGSTOP), it keeps the lock; again: resume";
    Act KillSelected [ch('x')] "x" "" "kill the selected worker or process";
    Lab AddWorker [ch('+'), ch('=')] "+" "workers" "add a worker";
    Lab RemoveWorker [ch('-')] "-" "" "remove the last worker";
    Lab HoldShorter [ch('[')] "[" "hold" "hold the lock for a shorter time";
    Lab HoldLonger [ch(']')] "]" "" "hold the lock for a longer time";
    Lab ThinkShorter [ch('{')] "{" "" "think for a shorter time between release and the next try";
    Lab ThinkLonger [ch('}')] "}" "" "think for a longer time";
    Replay Step [ch('.')] "." "step" "one event further, then pause";
    Replay NextLandmark [ch('n')] "n" "next" "to the next death, stop, violation or finding, then pause";
    Replay JumpBack [key(KeyCode::Left)] "left" "10 s" "10 s back";
    Replay JumpForward [key(KeyCode::Right)] "right" "" "10 s forward";
    Replay Faster [ch('+'), ch('=')] "+" "speed" "twice as fast";
    Replay Slower [ch('-')] "-" "" "half as fast";
    All Freeze [ch('f')] "f" "" "freeze the view; what it shows runs on";
    Live TimeBack [key(KeyCode::Left)] "left" "" "freeze the view and go back in time on the timeline";
    Live TimeForward [key(KeyCode::Right)] "right" "" "forward in time on the timeline, up to the moment of freezing";
    All Up [key(KeyCode::Up)] "up" "" "select the worker above";
    All Down [key(KeyCode::Down), ch('j')] "down j" "" "select the worker below";
    All PageUp [key(KeyCode::PageUp)] "pgup" "" "a page up; in the detail: scroll up";
    All PageDown [key(KeyCode::PageDown)] "pgdn" "" "a page down; in the detail: scroll down";
    All First [key(KeyCode::Home), ch('g')] "home g" "" "the first worker";
    All Last [key(KeyCode::End), ch('G')] "end G" "" "the last worker";
    All Detail [key(KeyCode::Enter)] "enter" "detail" "the selected worker in detail; in the list of locks: open one";
    All NextFigure [key(KeyCode::Tab)] "tab" "histogram" "next histogram: wait, hold, handoff";
    All PreviousFigure [key(KeyCode::BackTab)] "shift-tab" "" "previous histogram";
    All Window [ch('w')] "w" "window" "histogram and timeline over the last 10 s, 60 s, or all";
    All SortLeft [ch('<')] "<" "" "sort by the column to the left";
    All SortRight [ch('>')] ">" "" "sort by the column to the right";
    All Reverse [ch('r')] "r" "" "reverse the order";
    All Reset [ch('0')] "0" "" "forget the statistics so far";
    All Enlarge [ch('e')] "e" "" "enlarge a panel; again: the next one";
    All Findings [ch('!')] "!" "" "list what is wrong";
    All Help [ch('?'), ch('h')] "?" "help" "this help";
    All Back [key(KeyCode::Esc)] "esc" "" "close what is open, go back to the list, else quit";
    All Quit [ch('q'), ctrl('c')] "q ctrl-c" "quit" "end: workers of a lab stop, the terminal comes back, a summary is printed";
    All Suspend [ctrl('z')] "ctrl-z" "" "pause and go to the background; fg comes back";
};

impl Binding {
    /// What configuration calls the action: `kill-holder`.
    pub fn name(&self) -> String {
        let mut name = String::new();
        for c in self.ident.chars() {
            if c.is_ascii_uppercase() && !name.is_empty() {
                name.push('-');
            }
            name.push(c.to_ascii_lowercase());
        }
        name
    }
}

/// The table as Markdown, for the README: the keys of all screens and of the lab, or those of recordings alone.
pub fn markdown(recorded: bool) -> String {
    let mut out = String::from("| key | what it does |\n|---|---|\n");
    for b in BINDINGS.iter().filter(|b| (b.scope == Scope::Replay) == recorded) {
        let keys: Vec<String> = b.keys.split(' ').map(|k| format!("`{k}`")).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(out, "| {} | {} |", keys.join(" "), b.long);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_shown_as_configuration_names_them() {
        for binding in BINDINGS {
            for key in binding.keys.split(' ') {
                let chord: Chord = key.parse().unwrap();
                assert!(binding.codes.contains(&chord), "{} is shown with {key}", binding.name());
            }
        }
    }
}
