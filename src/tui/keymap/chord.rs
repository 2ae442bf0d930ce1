//! Keys by the names that configuration gives them: `k`, `K`, `ctrl-k`, `space`, `shift-tab`.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::fmt;
use std::str::FromStr;

/// A key with what is held down beside it. Shift is part of the character.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Chord(pub KeyModifiers, pub KeyCode);

/// Keys that are no characters, by name. The first name of several is the one shown.
const NAMED: [(&str, KeyCode); 22] = [
    ("space", KeyCode::Char(' ')),
    ("enter", KeyCode::Enter),
    ("return", KeyCode::Enter),
    ("esc", KeyCode::Esc),
    ("escape", KeyCode::Esc),
    ("tab", KeyCode::Tab),
    ("shift-tab", KeyCode::BackTab),
    ("backspace", KeyCode::Backspace),
    ("del", KeyCode::Delete),
    ("delete", KeyCode::Delete),
    ("ins", KeyCode::Insert),
    ("insert", KeyCode::Insert),
    ("left", KeyCode::Left),
    ("right", KeyCode::Right),
    ("up", KeyCode::Up),
    ("down", KeyCode::Down),
    ("pgup", KeyCode::PageUp),
    ("pageup", KeyCode::PageUp),
    ("pgdn", KeyCode::PageDown),
    ("pagedown", KeyCode::PageDown),
    ("home", KeyCode::Home),
    ("end", KeyCode::End),
];

/// Why a text names no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChordError {
    /// Not a key's name.
    #[error("'{0}' is no key: use a character, f1 to f12, a name such as space, enter or pgup, or ctrl-k or alt-k")]
    Unknown(String),
    /// Shift with a character.
    #[error("'{0}': write the character that shift makes, such as K for shift-k")]
    Shift(String),
    /// Terminals send the same for both.
    #[error("'{0}' cannot be told from {1} on a terminal: use {1}, or another key")]
    Same(String, &'static str),
}

impl From<KeyEvent> for Chord {
    fn from(event: KeyEvent) -> Self {
        Self(event.modifiers - KeyModifiers::SHIFT, event.code)
    }
}

impl FromStr for Chord {
    type Err = ChordError;

    fn from_str(text: &str) -> Result<Self, ChordError> {
        let unknown = || ChordError::Unknown(text.to_owned());
        let (mut modifiers, mut rest) = (KeyModifiers::NONE, text);
        loop {
            let (modifier, after) = match (rest.strip_prefix("ctrl-"), rest.strip_prefix("alt-")) {
                (Some(after), _) => (KeyModifiers::CONTROL, after),
                (None, Some(after)) => (KeyModifiers::ALT, after),
                (None, None) => break,
            };
            if modifiers.contains(modifier) {
                return Err(unknown());
            }
            (modifiers, rest) = (modifiers | modifier, after);
        }
        let mut chars = rest.chars();
        let code = match (chars.next(), chars.next()) {
            (Some(c), None) if !c.is_control() && c != ' ' => KeyCode::Char(c),
            _ => match NAMED.iter().find(|(name, _)| *name == rest) {
                Some((_, code)) => *code,
                None if rest.starts_with("shift-") => return Err(ChordError::Shift(text.to_owned())),
                None => function_key(rest).ok_or_else(unknown)?,
            },
        };
        if !modifiers.contains(KeyModifiers::CONTROL) {
            return Ok(Self(modifiers, code));
        }
        // A terminal sends one byte for ctrl and a letter, the same for K as for k.
        match code {
            KeyCode::Char(c) if c.is_ascii_uppercase() => {
                Err(ChordError::Same(text.to_owned(), "ctrl and the small letter"))
            }
            KeyCode::Char('i') => Err(ChordError::Same(text.to_owned(), "tab")),
            KeyCode::Char('m') => Err(ChordError::Same(text.to_owned(), "enter")),
            KeyCode::Char('[') => Err(ChordError::Same(text.to_owned(), "esc")),
            code => Ok(Self(modifiers, code)),
        }
    }
}

fn function_key(name: &str) -> Option<KeyCode> {
    let number = name.strip_prefix('f').filter(|n| !n.starts_with(['0', '+']))?;
    number.parse().ok().filter(|n| (1..=12).contains(n)).map(KeyCode::F)
}

impl fmt::Display for Chord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (modifier, name) in [(KeyModifiers::CONTROL, "ctrl-"), (KeyModifiers::ALT, "alt-")] {
            if self.0.contains(modifier) {
                f.write_str(name)?;
            }
        }
        match (NAMED.iter().find(|(_, code)| *code == self.1), self.1) {
            (Some((name, _)), _) => f.write_str(name),
            (None, KeyCode::Char(c)) => write!(f, "{c}"),
            (None, other) => f.write_str(&other.to_string().to_lowercase()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_read() {
        let plain = |code| Ok(Chord(KeyModifiers::NONE, code));
        assert_eq!("K".parse(), plain(KeyCode::Char('K')));
        assert_eq!("-".parse(), plain(KeyCode::Char('-')));
        assert_eq!("space".parse(), plain(KeyCode::Char(' ')));
        assert_eq!("shift-tab".parse(), plain(KeyCode::BackTab));
        assert_eq!("pagedown".parse(), plain(KeyCode::PageDown));
        assert_eq!("f12".parse(), plain(KeyCode::F(12)));
        assert_eq!("ctrl--".parse(), Ok(Chord(KeyModifiers::CONTROL, KeyCode::Char('-'))));
        assert_eq!("alt-ctrl-k".parse(), Ok(Chord(KeyModifiers::ALT | KeyModifiers::CONTROL, KeyCode::Char('k'))));
    }

    #[test]
    fn what_is_no_key_is_refused_with_a_hint() {
        for (text, hint) in [
            ("", "no key"),
            (" ", "no key"),
            ("hyper-k", "no key"),
            ("ctrl-", "no key"),
            ("ctrl-ctrl-k", "no key"),
            ("f13", "no key"),
            ("f01", "no key"),
            ("kk", "no key"),
            ("shift-k", "K for shift-k"),
            ("ctrl-K", "small letter"),
            ("ctrl-m", "enter"),
        ] {
            let told = text.parse::<Chord>().unwrap_err().to_string();
            assert!(told.contains(hint), "{text}: {told}");
        }
    }

    proptest! {
        #[test]
        fn a_key_that_is_read_is_written_so_that_it_is_read_again(text in "(ctrl-|alt-){0,2}([!-~]|f[0-9]{1,2}|[a-z]{2,9})") {
            if let Ok(chord) = text.parse::<Chord>() {
                prop_assert_eq!(chord.to_string().parse(), Ok(chord));
            }
        }
    }
}
