//! The settings in force, as a configuration file that gives the same.

use super::{PREFERENCES, Settings, find, find_anywhere, is_flag};
use crate::cli::ThemeChoice;
use crate::document::quoted;
use crate::event::thresholds::{THRESHOLDS, Thresholds};
use clap::Arg;
use std::fmt::Write;

impl Settings {
    /// Each preference with what it means, then the keys.
    pub fn to_toml(&self) -> String {
        let mut out = String::from(
            "# Settings of flockmon. It reads them from flockmon/config.toml in $XDG_CONFIG_HOME, else in ~/.config;\n\
             # variables such as FLOCKMON_FPS and options of the command line are stronger.\n",
        );
        for name in PREFERENCES {
            let Some(arg) = find_anywhere(&self.command, name) else { continue };
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            // Writing to a String cannot fail.
            let _ = writeln!(out, "\n# {}", help.lines().collect::<Vec<_>>().join(" "));
            let _ = match self.raw(arg, name) {
                Some(value) => writeln!(out, "{name} = {}", written(arg, &value)),
                None => writeln!(out, "# {name} ="),
            };
        }
        let _ = write!(out, "\n{}", self.keys.to_toml());
        let thresholds = self.cli.lab.show.thresholds(Thresholds::default());
        out.push_str("\n[findings]\n");
        for t in THRESHOLDS {
            let value = quoted(&t.value(&thresholds));
            let _ = writeln!(out, "\n# {}: {}\n{} = {value}", t.kind.as_str(), t.about, t.name);
        }
        out
    }

    /// The value in force as it would stand on the command line.
    fn raw(&self, arg: &Arg, name: &str) -> Option<String> {
        let given = find(&self.command, name).and_then(|arg| self.matches.get_raw(arg.get_id().as_str())?.next());
        let value = given.or_else(|| arg.get_default_values().first().map(AsRef::as_ref));
        let value = value?.to_string_lossy().into_owned();
        let file = name == "theme" && matches!(value.parse(), Ok(ThemeChoice::File(_)));
        // A relative name would be sought beside the file that these settings are written to.
        let whole = file.then(|| std::path::absolute(&value).ok()).flatten();
        Some(whole.map_or(value, |path| path.display().to_string()))
    }
}

/// A value as TOML: as little in quotes as can be.
fn written(arg: &Arg, value: &str) -> String {
    let bare = is_flag(arg) || value.parse::<i64>().is_ok_and(|n| n.to_string() == value);
    if bare { value.to_owned() } else { quoted(value) }
}
