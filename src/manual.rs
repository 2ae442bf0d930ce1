//! The manual page and the completions, made from the tables of options, keys and preferences. What they print is
//! kept in `assets/` too; a test sees that it is the same. No I/O.
//!
//! - `manual/completions.rs`: what shells complete.

mod completions;

pub use completions::completions;

use crate::cli::Cli;
use crate::config::{PREFERENCES, variable};
use crate::tui::keymap::{BINDINGS, Scope};
use crate::tui::theme::ROLES;
use clap::{Arg, Command, CommandFactory};
use roff::{Inline, Roff, bold, italic, roman};

/// When the page last changed in substance.
const DATE: &str = "2026-11-24";

/// The manual page, as roff.
pub fn page() -> String {
    let mut root = Cli::command();
    root.build();
    let mut roff = Roff::new();
    let source = format!("flockmon {}", env!("CARGO_PKG_VERSION"));
    roff.control("TH", ["FLOCKMON", "1", DATE, &source, "User Commands"]);
    roff.control("SH", ["NAME"]);
    let about = root.get_about().map(ToString::to_string).unwrap_or_default();
    roff.text([roman(format!("flockmon - {}", lower_first(&about)))]);
    roff.control("SH", ["SYNOPSIS"]);
    synopsis(&mut roff, &root);
    for sub in root.get_subcommands() {
        roff.control("br", []);
        synopsis(&mut roff, sub);
    }
    description(&mut roff, &root);
    roff.control("SH", ["OPTIONS"]);
    options(&mut roff, root.get_arguments());
    roff.control("SH", ["COMMANDS"]);
    for sub in root.get_subcommands() {
        subcommand(&mut roff, sub, &root);
    }
    keys(&mut roff);
    configuration(&mut roff);
    environment(&mut roff);
    files(&mut roff);
    exit_status(&mut roff, &root);
    examples(&mut roff, &root);
    roff.control("SH", ["SEE ALSO"]);
    let others = [("lslocks", 8), ("flock", 1), ("flock", 2), ("fcntl", 2), ("proc_locks", 5)];
    let mut line = Vec::new();
    for (name, section) in others {
        let end = if name == "proc_locks" { "" } else { ", " };
        line.extend([bold(name), roman(format!("({section}){end}"))]);
    }
    roff.text(line);
    roff.to_roff()
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

/// `flockmon replay [OPTIONS] FILE`.
fn synopsis(roff: &mut Roff, command: &Command) {
    let mut line = vec![bold(command.get_bin_name().unwrap_or(command.get_name()).to_owned())];
    if visible(command.get_arguments()).any(|arg| !arg.is_positional() && arg.get_long() != Some("help")) {
        line.push(roman(" [options]"));
    }
    for arg in command.get_positionals() {
        let (before, after) = if arg.is_required_set() { (" ", "") } else { (" [", "]") };
        line.extend([roman(before), italic(value_names(arg)), roman(after)]);
    }
    roff.text(line);
}

fn visible<'a>(args: impl Iterator<Item = &'a Arg>) -> impl Iterator<Item = &'a Arg> {
    args.filter(|arg| !arg.is_hide_set())
}

fn value_names(arg: &Arg) -> String {
    let names = arg.get_value_names().map(|names| names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
    names.unwrap_or_else(|| arg.get_id().to_string().to_uppercase())
}

fn description(roff: &mut Roff, root: &Command) {
    roff.control("SH", ["DESCRIPTION"]);
    let about = root.get_long_about().map(ToString::to_string).unwrap_or_default();
    // The first paragraph is the NAME.
    for (at, paragraph) in about.split("\n\n").skip(1).enumerate() {
        if at > 0 {
            roff.control("PP", []);
        }
        roff.text([roman(paragraph.replace('\n', " "))]);
    }
}

fn options<'a>(roff: &mut Roff, args: impl Iterator<Item = &'a Arg>) {
    for arg in visible(args) {
        roff.control("TP", []);
        let mut head = Vec::new();
        if let Some(short) = arg.get_short() {
            head.extend([bold(format!("-{short}")), roman(", ")]);
        }
        if let Some(long) = arg.get_long() {
            head.push(bold(format!("--{long}")));
        }
        if arg.is_positional() {
            head.push(italic(value_names(arg)));
        } else if arg.get_action().takes_values() {
            head.extend([roman(" "), italic(value_names(arg))]);
        }
        roff.text(head);
        let mut help = sentence(&arg.get_help().map(ToString::to_string).unwrap_or_default());
        let values: Vec<String> = arg.get_possible_values().iter().map(|v| v.get_name().to_owned()).collect();
        if arg.get_action().takes_values() && !arg.is_hide_possible_values_set() && !values.is_empty() {
            help.push_str(&format!(" One of: {}.", values.join(", ")));
        }
        if let Some(default) = arg.get_default_values().first().filter(|_| arg.get_action().takes_values()) {
            help.push_str(&format!(" Default: {}.", default.to_string_lossy()));
        }
        roff.text([roman(help)]);
    }
}

/// A text of the help as prose ends: with a full stop.
fn sentence(text: &str) -> String {
    let text = text.replace('\n', " ");
    if text.ends_with(['.', ']']) { text } else { text + "." }
}

/// One that shares options with the lab names them and describes its own.
fn subcommand(roff: &mut Roff, sub: &Command, root: &Command) {
    let title = sub.get_bin_name().unwrap_or(sub.get_name());
    roff.control("SS", [title]);
    roff.text([roman(sentence(&sub.get_about().map(ToString::to_string).unwrap_or_default()))]);
    let shared = |arg: &&Arg| {
        let same = |other: &Arg| other.get_long() == arg.get_long();
        arg.get_long().is_some() && root.get_arguments().any(same)
    };
    options(roff, sub.get_arguments().filter(|arg| !shared(arg)));
    let others: Vec<Inline> = visible(sub.get_arguments().filter(shared))
        .filter_map(|arg| arg.get_long().filter(|long| *long != "help"))
        .enumerate()
        .flat_map(|(at, long)| [roman(if at == 0 { "As above: " } else { ", " }), bold(format!("--{long}"))])
        .collect();
    if !others.is_empty() {
        roff.control("PP", []);
        roff.text(others.into_iter().chain([roman(".")]).collect::<Vec<_>>());
    }
}

fn keys(roff: &mut Roff) {
    roff.control("SH", ["KEYS"]);
    roff.text([roman("On the screen. The mouse works too: a click selects a worker or a lock, the wheel scrolls.")]);
    let mut scopes: Vec<Scope> = Vec::new();
    for binding in BINDINGS {
        if !scopes.contains(&binding.scope) {
            scopes.push(binding.scope);
        }
    }
    for scope in scopes {
        roff.control("SS", [scope.title()]);
        for binding in BINDINGS.iter().filter(|b| b.scope == scope) {
            roff.control("TP", []);
            let keys: Vec<Inline> = binding.keys.split(' ').flat_map(|key| [roman(" "), bold(key)]).skip(1).collect();
            roff.text(keys);
            roff.text([roman(sentence(binding.long)), roman(" ("), italic(binding.name()), roman(")")]);
        }
    }
}

fn configuration(roff: &mut Roff) {
    roff.control("SH", ["CONFIGURATION"]);
    roff.text([
        roman("A TOML file sets what is used where the command line and the environment say nothing: "),
        bold(PREFERENCES.join(", ")),
        roman(". A flag is true or false; its option has a contrary that takes it back, such as "),
        bold("--no-ascii"),
        roman(" or "),
        bold("--color"),
        roman(". In a table "),
        bold("[keys]"),
        roman(", the name that stands behind a key under KEYS is given another key or a list of keys, such as "),
        bold("kill-holder = [\"K\", \"ctrl-k\"]"),
        roman(". What is unknown is refused. "),
        bold("flockmon --print-config"),
        roman(" prints a complete file."),
    ]);
    roff.control("PP", []);
    roff.text([
        roman("A theme is a TOML file too, with a style for each of "),
        bold(ROLES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")),
        roman("; "),
        bold("flockmon theme dark"),
        roman(" prints one to start from, which says how colours are written."),
    ]);
}

fn environment(roff: &mut Roff) {
    roff.control("SH", ["ENVIRONMENT"]);
    let mut told = |name: &str, what: &str| {
        roff.control("TP", []);
        roff.text([bold(name)]);
        roff.text([roman(what)]);
    };
    let variables = PREFERENCES.iter().map(|name| variable(name)).collect::<Vec<_>>().join(", ");
    told(&variables, "What is used where the option of that name is not given; stronger than the configuration file.");
    told("FLOCKMON_CONFIG", "The configuration file, where --config names none.");
    told("NO_COLOR", "Where it is set and not empty, there are no colours.");
    told(
        "COLORTERM, TERM",
        "Colours of a theme are shown as they are where COLORTERM is truecolor or 24bit, else as the nearest of 256, \
         or of 16 where TERM does not name a terminal that has 256.",
    );
    told("XDG_CONFIG_HOME, HOME", "Where the configuration file is looked for.");
    told("TMPDIR", "Where the lock file is made that is used without LOCKFILE.");
}

fn files(roff: &mut Roff) {
    roff.control("SH", ["FILES"]);
    for (name, what) in [
        ("$XDG_CONFIG_HOME/flockmon/config.toml", "The configuration."),
        ("~/.config/flockmon/config.toml", "The same where XDG_CONFIG_HOME is not set."),
    ] {
        roff.control("TP", []);
        roff.text([italic(name)]);
        roff.text([roman(what)]);
    }
}

/// `Exit status: 0 fine; 1 …` of the help, an entry each; then what a subcommand says otherwise, and what signals do.
fn exit_status(roff: &mut Roff, root: &Command) {
    roff.control("SH", ["EXIT STATUS"]);
    for command in std::iter::once(root).chain(root.get_subcommands()) {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        // Each is a paragraph of several lines.
        let paragraph = |start: &str| help.split("\n\n").find(|p| p.starts_with(start)).map(|p| p.replace('\n', " "));
        let Some(text) = paragraph("Exit status: ") else { continue };
        if command.get_name() != root.get_name() {
            roff.control("PP", []);
            roff.text([roman("Of "), bold(format!("flockmon {}", command.get_name())), roman(":")]);
        }
        let statuses = text.trim_start_matches("Exit status: ").trim_end_matches('.');
        for (status, what) in statuses.split("; ").filter_map(|part| part.split_once(' ')) {
            roff.control("TP", []);
            roff.text([bold(status)]);
            roff.text([roman(sentence(what))]);
        }
        if let Some(signals) = paragraph("SIG") {
            roff.control("PP", []);
            roff.text([roman(signals)]);
        }
    }
}

/// The examples of the help: a command, at least two spaces, what it does.
fn examples(roff: &mut Roff, root: &Command) {
    roff.control("SH", ["EXAMPLES"]);
    for command in std::iter::once(root).chain(root.get_subcommands()) {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        for (command, what) in help.lines().filter_map(|line| line.strip_prefix("  ")?.split_once("  ")) {
            roff.control("TP", []);
            roff.text([bold(command)]);
            roff.text([roman(sentence(what.trim()))]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_all_that_the_tables_have() {
        let page = page().replace("\\-", "-");
        for arg in Cli::command().get_arguments() {
            let long = arg.get_long().map_or_else(|| value_names(arg), |long| format!("--{long}"));
            assert!(page.contains(&long), "{long}");
        }
        for binding in BINDINGS {
            assert!(page.contains(&binding.name()), "{}", binding.name());
        }
        let (_, statuses) = page.split_once("EXIT STATUS").unwrap();
        for status in 0..=3 {
            assert_eq!(statuses.matches(&format!("\\fB{status}\\fR\n")).count(), 2, "{status}: a lab's, a check's");
        }
        for section in ["EXIT STATUS", "EXAMPLES", "ENVIRONMENT", "FILES", "KEYS", "COMMANDS", "SEE ALSO"] {
            let (_, after) = page
                .split_once(&format!(".SH \"{section}\"\n"))
                .or(page.split_once(&format!(".SH {section}\n")))
                .unwrap();
            assert!(!after.starts_with(".SH") && !after.trim().is_empty(), "{section} is empty");
        }
    }
}
