//! The keys in force: those of the table, but for what configuration wants otherwise. Pure: no I/O.

use super::{Action, BINDINGS, Binding, Chord, Place, ctrl};
use crate::model::finding::Step;
use ratatui::crossterm::event::KeyEvent;
use std::borrow::Cow;
use std::fmt::Write;

/// A row of the keys in force.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    binding: &'static Binding,
    codes: Cow<'static, [Chord]>,
    /// The keys as shown.
    keys: Cow<'static, str>,
}

/// The keys in force: those of the table, but for what the user wants otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keymap {
    rows: Vec<Row>,
}

impl Default for Keymap {
    fn default() -> Self {
        let row = |binding: &'static Binding| Row {
            binding,
            codes: Cow::Borrowed(binding.codes),
            keys: Cow::Borrowed(binding.keys),
        };
        Self { rows: BINDINGS.iter().map(row).collect() }
    }
}

/// Why keys cannot be bound so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// No action has that name.
    #[error("there is no action '{0}'; {1}")]
    Unknown(String, String),
    /// Nothing could end the program.
    #[error("quit must keep a key")]
    NoQuit,
    /// It ends every program.
    #[error("ctrl-c always quits: choose another key for {0}")]
    CtrlC(String),
}

/// Two actions want one key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{first} and {second} both have the key {key}: give one of them another")]
pub struct Conflict {
    /// The action that comes first in the table.
    pub first: String,
    /// The other one.
    pub second: String,
    /// The key.
    pub key: Chord,
}

impl Keymap {
    /// Gives an action these keys instead of its own; none at all takes them away.
    ///
    /// # Errors
    /// No action has that name, or it cannot be without these keys.
    pub fn rebind(&mut self, name: &str, codes: Vec<Chord>) -> Result<(), BindError> {
        let names: Vec<String> = BINDINGS.iter().map(Binding::name).collect();
        if !names.iter().any(|n| n == name) {
            let meant = crate::document::suggestion(name, names.iter().map(String::as_str));
            return Err(BindError::Unknown(name.into(), meant));
        }
        let quits = self.rows.iter().any(|r| r.binding.action == Action::Quit && r.binding.name() == name);
        if quits && codes.is_empty() {
            return Err(BindError::NoQuit);
        }
        if !quits && codes.contains(&ctrl('c')) {
            return Err(BindError::CtrlC(name.into()));
        }
        for row in self.rows.iter_mut().filter(|r| r.binding.name() == name) {
            let own = row.binding.codes == codes;
            let shown: Vec<String> = codes.iter().map(Chord::to_string).collect();
            row.keys = if own { Cow::Borrowed(row.binding.keys) } else { Cow::Owned(shown.join(" ")) };
            row.codes = if own { Cow::Borrowed(row.binding.codes) } else { Cow::Owned(codes.clone()) };
        }
        Ok(())
    }

    /// The first key that has two meanings on one screen.
    pub fn conflict(&self) -> Option<Conflict> {
        self.rows.iter().enumerate().find_map(|(at, row)| {
            let others = self
                .rows
                .iter()
                .skip(at + 1)
                .filter(|o| o.binding.action != row.binding.action && o.binding.scope.meets(row.binding.scope));
            let clash = |o: &Row| row.codes.iter().find(|c| o.codes.contains(c)).cloned();
            others.filter_map(|o| Some((o, clash(o)?))).next().map(|(o, key)| Conflict {
                first: row.binding.name(),
                second: o.binding.name(),
                key,
            })
        })
    }

    /// What the key asks for, if anything.
    pub fn action(&self, event: KeyEvent, place: Place) -> Option<Action> {
        let chord = Chord::from(event);
        let hit = |r: &&Row| r.codes.contains(&chord);
        let found = self.of(place).find(hit).map(|r| r.binding.action);
        // Whatever the user chose: it ends every program.
        found.or_else(|| (chord == ctrl('c')).then_some(Action::Quit))
    }

    /// Actions that have no key any more do not show up.
    fn of(&self, place: Place) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |r| r.binding.scope.includes(place) && !r.codes.is_empty())
    }

    /// Keys as shown and what they do, for the help.
    pub fn help(&self, place: Place, lists: bool) -> impl Iterator<Item = (&str, &'static str)> {
        self.of(place)
            .filter(move |r| !lists || r.binding.action.is_of_list())
            .map(|r| (r.keys.as_ref(), r.binding.long))
    }

    /// The first key of an action on this kind of screen, as shown; none where it has none there.
    pub fn key(&self, action: Action, place: Place) -> Option<&str> {
        self.of(place).find(|r| r.binding.action == action).and_then(|r| r.keys.split(' ').next())
    }

    /// The keys of several actions, those that have one, in one text: `? or esc`.
    pub fn keys(&self, actions: &[Action], between: &str, place: Place) -> Option<String> {
        let keys: Vec<&str> = actions.iter().filter_map(|action| self.key(*action, place)).collect();
        (!keys.is_empty()).then(|| keys.join(between))
    }

    /// The keys that move the selection, in words.
    pub fn arrows(&self, place: Place) -> Option<String> {
        let keys = self.keys(&[Action::Up, Action::Down], "/", place)?;
        Some(if keys == "up/down" { "arrows".into() } else { keys })
    }

    /// The key that does the next step of a finding.
    pub fn step(&self, step: Step, place: Place) -> Option<String> {
        let action = match step {
            Step::Resume => Action::StallHolder,
            Step::Kill => Action::KillHolder,
            Step::Detail => Action::Detail,
        };
        self.key(action, place).map(str::to_owned)
    }

    /// Keys and labels for the footer. Pairs of keys that belong together share a label.
    pub fn footer(&self, place: Place) -> impl Iterator<Item = (String, &'static str)> {
        self.labelled(place, move |b| label(b, place))
    }

    /// The same for a list of locks.
    pub fn footer_of_list(&self, place: Place) -> impl Iterator<Item = (String, &'static str)> {
        self.labelled(place, move |b| match b.action {
            Action::Detail => "open",
            Action::SortLeft => "sort",
            Action::Reverse => "reverse",
            Action::Findings => "findings",
            other if !other.is_of_list() => "",
            _ => label(b, place),
        })
    }

    fn labelled(
        &self,
        place: Place,
        label: impl Fn(&Binding) -> &'static str,
    ) -> impl Iterator<Item = (String, &'static str)> {
        self.of(place).map(move |r| (r, label(r.binding))).filter(|(_, label)| !label.is_empty()).map(
            move |(r, label)| {
                let partner = match r.binding.action {
                    Action::AddWorker => Some(("/", Action::RemoveWorker)),
                    Action::Faster => Some(("/", Action::Slower)),
                    Action::JumpBack => Some(("/", Action::JumpForward)),
                    Action::HoldShorter => Some((" ", Action::HoldLonger)),
                    Action::SortLeft => Some((" ", Action::SortRight)),
                    _ => None,
                };
                let (between, other) = partner.unzip();
                let pair: Vec<Action> = std::iter::once(r.binding.action).chain(other).collect();
                (self.keys(&pair, between.unwrap_or_default(), place).unwrap_or_default(), label)
            },
        )
    }

    /// As the table `[keys]` of a configuration, each action below what it does.
    pub fn to_toml(&self) -> String {
        let mut out = String::from("[keys]\n");
        let mut told: Vec<Action> = Vec::new();
        for row in &self.rows {
            if told.contains(&row.binding.action) {
                continue;
            }
            told.push(row.binding.action);
            let keys: Vec<String> = row.codes.iter().map(|c| crate::document::quoted(&c.to_string())).collect();
            // Writing to a String cannot fail.
            let _ = writeln!(out, "\n# {}\n{} = [{}]", row.binding.long, row.binding.name(), keys.join(", "));
        }
        out
    }
}

/// Other programs are never paused: what is shown of them is.
fn label(binding: &Binding, place: Place) -> &'static str {
    match (binding.action, place) {
        (Action::Pause, Place::Watch | Place::ReadOnly) => "freeze",
        _ => binding.short,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::keymap::{CTRL, NONE, Place, ch};
    use ratatui::crossterm::event::{KeyCode, KeyModifiers};
    use std::collections::HashSet;

    #[test]
    fn no_key_has_two_meanings_and_each_has_its_own() {
        let keys = Keymap::default();
        for place in Place::ALL {
            let mut seen = HashSet::new();
            for binding in BINDINGS.iter().filter(|b| b.scope.includes(place)) {
                for chord in binding.codes {
                    assert!(seen.insert(chord), "{chord} twice");
                    let Chord(modifiers, code) = *chord;
                    assert_eq!(keys.action(KeyEvent::new(code, modifiers), place), Some(binding.action));
                }
            }
        }
        let pressed = |c, modifiers| keys.action(KeyEvent::new(KeyCode::Char(c), modifiers), Place::Lab);
        assert_eq!(pressed('>', KeyModifiers::SHIFT), Some(Action::SortRight));
        assert_eq!(pressed('k', CTRL), None);
        assert_eq!(keys.conflict(), None);
    }

    #[test]
    fn other_keys_take_the_place_of_the_table() {
        let mut keys = Keymap::default();
        keys.rebind("kill-holder", vec![ch('K'), ctrl('k')]).unwrap();
        let pressed = |keys: &Keymap, c, m| keys.action(KeyEvent::new(KeyCode::Char(c), m), Place::Lab);
        assert_eq!(pressed(&keys, 'k', NONE), None);
        assert_eq!(pressed(&keys, 'K', KeyModifiers::SHIFT), Some(Action::KillHolder));
        assert_eq!(pressed(&keys, 'k', CTRL), Some(Action::KillHolder));
        assert!(keys.help(Place::Lab, false).any(|(shown, _)| shown == "K ctrl-k"));
        assert!(keys.footer(Place::Lab).any(|(shown, label)| (shown.as_str(), label) == ("K", "kill holder")));
        keys.rebind("remove-worker", vec![ch('_')]).unwrap();
        assert!(keys.footer(Place::Lab).any(|(shown, _)| shown == "+/_"));
        keys.rebind("kill-holder", vec![]).unwrap();
        assert!(!keys.help(Place::Lab, false).any(|(_, long)| long.contains("kill the process")));
        for binding in BINDINGS {
            keys.rebind(&binding.name(), binding.codes.to_vec()).unwrap();
        }
        assert_eq!(keys, Keymap::default());
    }

    #[test]
    fn what_has_no_key_on_a_screen_is_not_named_there() {
        let mut keys = Keymap::default();
        assert_eq!(keys.step(Step::Kill, Place::Watch).as_deref(), Some("k"));
        assert_eq!(keys.step(Step::Resume, Place::Lab).as_deref(), Some("s"));
        for place in [Place::ReadOnly, Place::Replay] {
            assert_eq!(keys.step(Step::Kill, place), None);
            assert_eq!(keys.step(Step::Detail, place).as_deref(), Some("enter"));
        }
        assert_eq!(keys.arrows(Place::Lab).as_deref(), Some("arrows"));
        keys.rebind("up", vec![]).unwrap();
        assert_eq!(keys.arrows(Place::Lab).as_deref(), Some("down"));
        keys.rebind("down", vec![]).unwrap();
        assert_eq!(keys.arrows(Place::Lab), None);
        assert_eq!(keys.keys(&[Action::Up, Action::Back], " or ", Place::Lab).as_deref(), Some("esc"));
    }

    #[test]
    fn two_meanings_of_a_key_on_one_screen_are_a_conflict() {
        let mut keys = Keymap::default();
        // Each has a screen of its own.
        keys.rebind("faster", vec![ch('k')]).unwrap();
        assert_eq!(keys.conflict(), None);
        keys.rebind("kill-holder", vec![ch('q')]).unwrap();
        let told = keys.conflict().unwrap().to_string();
        assert!(told.contains("kill-holder and quit both have the key q"), "{told}");
        keys.rebind("quit", vec![ch('Q')]).unwrap();
        assert_eq!(keys.conflict(), None);
        let ctrl_c = KeyEvent::new(KeyCode::Char('c'), CTRL);
        assert_eq!(keys.action(ctrl_c, Place::Lab), Some(Action::Quit), "always");
    }

    #[test]
    fn what_cannot_be_bound_is_refused() {
        let mut keys = Keymap::default();
        let told = keys.rebind("kil-holder", vec![ch('K')]).unwrap_err().to_string();
        assert_eq!(told, "there is no action 'kil-holder'; did you mean kill-holder?");
        assert_eq!(keys.rebind("quit", vec![]), Err(BindError::NoQuit));
        assert_eq!(keys.rebind("pause", vec![ctrl('c')]), Err(BindError::CtrlC("pause".into())));
        assert_eq!(keys, Keymap::default());
    }
}
