//! The configuration file: preferences by the long names of their options, and tables of their own.

use super::{PREFERENCES, check, find_anywhere, is_flag};
use crate::document::{Document, Entry, Fault, in_order, suggestion};
use crate::event::thresholds::{Setting, ThresholdError};
use crate::tui::keymap::{BINDINGS, Chord, Keymap};
use clap::Command;
use std::ffi::OsStr;
use std::path::Path;
use toml::de::DeValue;

/// Tables of the file that are no options. Another one: its name here, and an arm in [`File::parse`].
const TABLES: &[&str] = &["keys", "findings"];

/// What the file says.
#[derive(Debug, Default)]
pub(super) struct File {
    values: Vec<(&'static str, String)>,
    /// The keys in force.
    pub(super) keys: Keymap,
    /// Thresholds that are not as by default.
    pub(super) findings: Vec<Setting>,
}

impl File {
    /// What it wants for a preference.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.values.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str())
    }

    /// Reads all of it; every value is one that the option of its name takes.
    pub(super) fn parse(path: &Path, text: &str, command: &Command) -> Result<Self, Fault> {
        let name = path.display().to_string();
        let document = Document { file: &name, text };
        let mut file = Self::default();
        for entry in document.entries()? {
            if entry.key == "keys" {
                file.keys = keys(document, entry)?;
                continue;
            }
            if entry.key == "findings" {
                file.findings = findings(document, entry)?;
                continue;
            }
            let Some(known) = PREFERENCES.iter().find(|p| **p == entry.key) else {
                return Err(unknown(document, &entry, command));
            };
            let mut value = value(document, &entry, command)?;
            // A file's relative names start from where it lies, not from where somebody stands.
            if *known == "theme" && (value.contains('/') || value.ends_with(".toml")) {
                let folder = path.parent().unwrap_or(Path::new(""));
                value = folder.join(value).display().to_string();
                if !value.contains('/') {
                    value.insert_str(0, "./");
                }
            }
            file.values.push((known, value));
        }
        Ok(file)
    }
}

fn unknown(document: Document<'_>, entry: &Entry<'_>, command: &Command) -> Fault {
    let key = &entry.key;
    let text = if find_anywhere(command, key).is_some() {
        format!("'{key}' is for the command line alone: --{key}")
    } else if BINDINGS.iter().any(|b| b.name() == *key) {
        format!("'{key}' is an action: its keys stand in the table [keys]")
    } else {
        let names = PREFERENCES.iter().chain(TABLES).copied();
        format!("there is no setting '{key}'; {}", suggestion(key, names))
    };
    document.fault(entry.at, text)
}

fn value(document: Document<'_>, entry: &Entry<'_>, command: &Command) -> Result<String, Fault> {
    let told = |text: String| document.fault(entry.value_at, text);
    let Some(arg) = find_anywhere(command, &entry.key) else { return Err(unknown(document, entry, command)) };
    let text = match &entry.value {
        DeValue::Boolean(yes) if is_flag(arg) => return Ok(yes.to_string()),
        _ if is_flag(arg) => return Err(told(format!("{} is true or false", entry.key))),
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(n) => match i64::from_str_radix(n.as_str(), n.radix()) {
            Ok(n) => n.to_string(),
            Err(_) => return Err(told(format!("{} is not a number that {} takes", n.as_str(), entry.key))),
        },
        DeValue::Float(x) => x.as_str().to_owned(),
        other => return Err(told(format!("{} takes one value, not a TOML {}", entry.key, other.type_str()))),
    };
    check(arg, OsStr::new(&text)).map_err(told)?;
    Ok(text)
}

/// The table `[findings]`: the name of a threshold, and its value as `--threshold` takes it.
fn findings(document: Document<'_>, entry: Entry<'_>) -> Result<Vec<Setting>, Fault> {
    let DeValue::Table(table) = entry.value else {
        let text = "findings is a table: [findings], then lines such as starvation-wait = \"5s\"";
        return Err(document.fault(entry.value_at, text));
    };
    let one = |entry: Entry<'_>| {
        let value = match &entry.value {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(n) => n.as_str().to_owned(),
            DeValue::Float(x) => x.as_str().to_owned(),
            other => return Err(document.fault(entry.value_at, format!("a threshold is no TOML {}", other.type_str()))),
        };
        format!("{}={value}", entry.key).parse().map_err(|e: ThresholdError| document.fault(entry.at, e.to_string()))
    };
    // One that says what goes without saying changes nothing.
    let all = in_order(table).into_iter().map(one).collect::<Result<Vec<Setting>, Fault>>()?;
    Ok(all.into_iter().filter(|s| !s.is_default()).collect())
}

/// The table `[keys]`: the name of an action, and a key or a list of keys.
fn keys(document: Document<'_>, entry: Entry<'_>) -> Result<Keymap, Fault> {
    let DeValue::Table(table) = entry.value else {
        return Err(document.fault(entry.value_at, "keys is a table: [keys], then lines such as kill-holder = \"K\""));
    };
    let mut keys = Keymap::default();
    let mut lines: Vec<(String, usize)> = Vec::new();
    for entry in in_order(table) {
        if PREFERENCES.contains(&entry.key.as_ref()) {
            return Err(document.fault(entry.at, format!("'{}' is no action: it must stand above [keys]", entry.key)));
        }
        let one = |at: usize, value: &DeValue<'_>| match value.as_str() {
            Some(word) => word.parse::<Chord>().map_err(|e| document.fault(at, e.to_string())),
            None => Err(document
                .fault(at, format!("{} is a key or a list of keys, such as \"K\" or [\"K\", \"ctrl-k\"]", entry.key))),
        };
        let chords = match &entry.value {
            DeValue::Array(list) => {
                list.iter().map(|v| one(v.span().start, v.get_ref())).collect::<Result<Vec<_>, _>>()?
            }
            value => vec![one(entry.value_at, value)?],
        };
        keys.rebind(&entry.key, chords).map_err(|e| document.fault(entry.at, e.to_string()))?;
        lines.push((entry.key.into_owned(), entry.at));
    }
    match keys.conflict() {
        None => Ok(keys),
        Some(conflict) => {
            // The later line of the two is the one that clashed.
            let named = lines.iter().rfind(|(name, _)| [&conflict.first, &conflict.second].contains(&name));
            Err(document.fault(named.map_or(entry.at, |(_, at)| *at), conflict.to_string()))
        }
    }
}
