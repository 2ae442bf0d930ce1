//! Keys as data: footer, help overlay and README are made from this table.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
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
}

/// A row of the table.
#[derive(Debug)]
pub struct Binding {
    /// What it does.
    pub action: Action,
    /// The keys that do it.
    pub codes: &'static [(KeyModifiers, KeyCode)],
    /// The keys as shown.
    pub keys: &'static str,
    /// One or two words for the footer; empty where it is not shown there.
    pub short: &'static str,
    /// A sentence for the help.
    pub long: &'static str,
}

const NONE: KeyModifiers = KeyModifiers::NONE;
const CTRL: KeyModifiers = KeyModifiers::CONTROL;

const fn ch(c: char) -> (KeyModifiers, KeyCode) {
    (NONE, KeyCode::Char(c))
}

const fn ctrl(c: char) -> (KeyModifiers, KeyCode) {
    (CTRL, KeyCode::Char(c))
}

const fn key(code: KeyCode) -> (KeyModifiers, KeyCode) {
    (NONE, code)
}

macro_rules! bindings {
    ($($action:ident [$($code:expr),+] $keys:literal $short:literal $long:literal;)+) => {
        &[$(Binding { action: Action::$action, codes: &[$($code),+], keys: $keys, short: $short, long: $long }),+]
    };
}

/// All keys, in the order in which they are shown.
pub const BINDINGS: &[Binding] = bindings! {
    Pause [ch(' '), ch('p')] "space p" "pause" "pause the lab, or go on; paused time is nobody's wait";
    KillHolder [ch('k')] "k" "kill holder" "kill the process that holds the lock (SIGKILL); it comes back unless --restart never";
    StallHolder [ch('s')] "s" "stall" "stop the holder (SIGSTOP), it keeps the lock; again: resume";
    KillSelected [ch('x')] "x" "" "kill the selected worker";
    AddWorker [ch('+'), ch('=')] "+" "workers" "add a worker";
    RemoveWorker [ch('-')] "-" "" "remove the last worker";
    HoldShorter [ch('[')] "[" "hold" "hold the lock for a shorter time";
    HoldLonger [ch(']')] "]" "" "hold the lock for a longer time";
    ThinkShorter [ch('{')] "{" "" "think for a shorter time between release and the next try";
    ThinkLonger [ch('}')] "}" "" "think for a longer time";
    Freeze [ch('f')] "f" "" "freeze the view; the lab runs on";
    Up [key(KeyCode::Up)] "up" "" "select the worker above";
    Down [key(KeyCode::Down), ch('j')] "down j" "" "select the worker below";
    PageUp [key(KeyCode::PageUp)] "pgup" "" "a page up";
    PageDown [key(KeyCode::PageDown)] "pgdn" "" "a page down";
    First [key(KeyCode::Home), ch('g')] "home g" "" "the first worker";
    Last [key(KeyCode::End), ch('G')] "end G" "" "the last worker";
    Detail [key(KeyCode::Enter)] "enter" "detail" "the selected worker in detail";
    NextFigure [key(KeyCode::Tab)] "tab" "histogram" "next histogram: wait, hold, handoff";
    PreviousFigure [key(KeyCode::BackTab)] "shift-tab" "" "previous histogram";
    Window [ch('w')] "w" "window" "histogram over the last 10 s, 60 s, or all";
    SortLeft [ch('<')] "<" "" "sort by the column to the left";
    SortRight [ch('>')] ">" "" "sort by the column to the right";
    Reverse [ch('r')] "r" "" "reverse the order";
    Reset [ch('0')] "0" "" "forget the statistics so far";
    Enlarge [ch('e')] "e" "" "enlarge a panel; again: the next one";
    Findings [ch('!')] "!" "" "list what is wrong";
    Help [ch('?'), ch('h')] "?" "help" "this help";
    Back [key(KeyCode::Esc)] "esc" "" "close what is open, else quit";
    Quit [ch('q'), ctrl('c')] "q ctrl-c" "quit" "stop the workers, give the terminal back, print a summary";
    Suspend [ctrl('z')] "ctrl-z" "" "pause and go to the background; fg comes back";
};

/// What the key asks for, if anything.
pub fn action(event: KeyEvent) -> Option<Action> {
    // Shift is part of the character already.
    let modifiers = event.modifiers - KeyModifiers::SHIFT;
    let hit = |b: &&Binding| b.codes.iter().any(|(m, c)| *m == modifiers && *c == event.code);
    BINDINGS.iter().find(hit).map(|b| b.action)
}

/// Keys and labels for the footer. Pairs of keys that belong together share a label.
pub fn footer() -> impl Iterator<Item = (String, &'static str)> {
    BINDINGS.iter().filter(|b| !b.short.is_empty()).map(|b| {
        let partner = match b.action {
            Action::AddWorker => "/-",
            Action::HoldShorter => " ]",
            _ => "",
        };
        let first = b.keys.split(' ').next().unwrap_or(b.keys);
        (format!("{first}{partner}"), b.short)
    })
}

/// The table as Markdown, for the README.
pub fn markdown() -> String {
    let mut out = String::from("| key | what it does |\n|---|---|\n");
    for b in BINDINGS {
        let keys: Vec<String> = b.keys.split(' ').map(|k| format!("`{k}`")).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(out, "| {} | {} |", keys.join(" "), b.long);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_key_has_two_meanings_and_each_has_its_own() {
        let mut seen = HashSet::new();
        for binding in BINDINGS {
            for (modifiers, code) in binding.codes {
                assert!(seen.insert((*modifiers, *code)), "{code:?} twice");
                assert_eq!(action(KeyEvent::new(*code, *modifiers)), Some(binding.action));
            }
        }
        assert_eq!(action(KeyEvent::new(KeyCode::Char('>'), KeyModifiers::SHIFT)), Some(Action::SortRight));
        assert_eq!(action(KeyEvent::new(KeyCode::Char('k'), CTRL)), None);
    }
}
