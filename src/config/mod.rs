//! Settings: the command line over the environment over the configuration file over the defaults.
//!
//! Each preference is an option of the command line; `FLOCKMON_…` and the file set what is used where the option is
//! not given. So one definition (in `cli`) has the values that are allowed and the text that says what they mean.
//!
//! It touches the environment, the configuration file and the theme that it names.
//!
//! - `file.rs`: the file, its keys and what is wrong with them;
//! - `print.rs`: what is in force, as such a file.

mod file;
mod print;

use crate::cli::{Cli, ShowArgs, Sub, ThemeChoice, ThresholdArg};
use crate::tui::Look;
use crate::tui::keymap::Keymap;
use crate::tui::theme::{Depth, Theme};
use anyhow::{Context, Error, anyhow};
use clap::builder::BoolishValueParser;
use clap::error::{ContextKind, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches};
use file::File;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// The options that are a matter of taste or habit, by their long names, in the order in which they are shown.
/// The others say what one run is about: they are for the command line alone.
pub const PREFERENCES: &[&str] = &[
    "theme",
    "ascii",
    "no-color",
    "fps",
    "output",
    "workers",
    "hold",
    "think",
    "lock",
    "shared",
    "acquire",
    "keep-open",
    "restart",
];

/// The variable of the environment that sets a preference: `FLOCKMON_KEEP_OPEN`.
pub fn variable(preference: &str) -> String {
    format!("FLOCKMON_{}", preference.to_ascii_uppercase().replace('-', "_"))
}

/// The hidden option that takes back a flag which the environment or the file has set: `--no-ascii`, `--color`.
fn negation(flag: &str) -> String {
    flag.strip_prefix("no-").map_or_else(|| format!("no-{flag}"), str::to_owned)
}

/// The command line with what stands behind it.
#[derive(Debug)]
pub struct Settings {
    /// What was asked for.
    pub cli: Cli,
    command: Command,
    matches: ArgMatches,
    keys: Keymap,
}

/// How a variable of the environment is asked for.
type Env<'e> = &'e dyn Fn(&str) -> Option<OsString>;

impl Settings {
    /// Reads the command line, the environment, the configuration file and the theme; ends the process as clap does
    /// on wrong use, on `--help` and on `--version`.
    ///
    /// # Errors
    /// Something in the environment, the file or the theme is unknown or not allowed; the message says where.
    pub fn read(args: impl IntoIterator<Item = OsString>) -> Result<Self, Error> {
        let args: Vec<OsString> = args.into_iter().collect();
        let env = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        Self::settle(&args, &env)?.map_err(|wrong| wrong.exit())
    }

    /// What is asked for. All that tells where it comes from is freed: workers would inherit it.
    pub fn into_cli(self) -> Cli {
        self.cli
    }

    fn settle(args: &[OsString], env: Env<'_>) -> Result<Result<Self, clap::Error>, Error> {
        let plain = command();
        let first = match plain.clone().try_get_matches_from(args) {
            Ok(matches) => matches,
            Err(mut wrong) => {
                if wrong.kind() == ErrorKind::UnknownArgument {
                    // That it could be passed behind `--` is true, and would be a COMMAND of that name.
                    wrong.remove(ContextKind::Suggested);
                }
                return Ok(Err(wrong));
            }
        };
        let (asked, given) = innermost(&plain, &first);
        if !has(asked, "config") {
            // Nothing about it is a matter of preference.
            return Ok(Cli::from_arg_matches(&first).map(|cli| Self {
                cli,
                command: plain.clone(),
                matches: first.clone(),
                keys: Keymap::default(),
            }));
        }
        let file = read_file(given, env)?;
        let mut set = plain.clone();
        for name in PREFERENCES {
            let takes_back = negation(name);
            if matches!(given.try_get_one::<bool>(&takes_back), Ok(Some(true))) {
                continue;
            }
            if let Some(value) = preferred(name, &plain, &file, env)? {
                set = with_default(set, name, &value);
            }
        }
        let matches = match set.clone().try_get_matches_from(args) {
            Ok(matches) => matches,
            Err(wrong) => return Ok(Err(wrong)),
        };
        let mut cli = match Cli::from_arg_matches(&matches) {
            Ok(cli) => cli,
            Err(wrong) => return Ok(Err(wrong)),
        };
        if let Some(show) = show_mut(&mut cli) {
            *show.look = look(show, file.keys.clone(), env)?;
            show.threshold.splice(0..0, file.findings.iter().copied().map(ThresholdArg::Set));
        }
        Ok(Ok(Self { cli, command: set, matches, keys: file.keys }))
    }
}

/// The command line as clap sees it. Each flag that is a preference has a hidden option that takes it back.
pub fn command() -> Command {
    let with = |mut command: Command| {
        for name in PREFERENCES {
            let flag = find(&command, name).filter(|arg| is_flag(arg)).map(|arg| arg.get_id().clone());
            if let Some(id) = flag {
                let takes_back = negation(name);
                let arg = Arg::new(takes_back.clone()).long(takes_back).hide(true).action(ArgAction::SetTrue);
                command = command.arg(arg.overrides_with(id));
            }
        }
        command
    };
    with(Cli::command()).mut_subcommands(with)
}

fn find<'c>(command: &'c Command, long: &str) -> Option<&'c Arg> {
    command.get_arguments().find(|arg| arg.get_long() == Some(long))
}

fn has(command: &Command, long: &str) -> bool {
    find(command, long).is_some()
}

/// An option of that name, of the lab or of a subcommand.
fn find_anywhere<'c>(command: &'c Command, long: &str) -> Option<&'c Arg> {
    find(command, long).or_else(|| command.get_subcommands().find_map(|sub| find(sub, long)))
}

fn is_flag(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue)
}

/// The subcommand that was asked for, and what was given to it; without one the command itself.
fn innermost<'m>(command: &'m Command, matches: &'m ArgMatches) -> (&'m Command, &'m ArgMatches) {
    match matches.subcommand().and_then(|(name, given)| Some((command.find_subcommand(name)?, given))) {
        Some(sub) => sub,
        None => (command, matches),
    }
}

/// How a command that shows something shall do so.
fn show_mut(cli: &mut Cli) -> Option<&mut ShowArgs> {
    match &mut cli.sub {
        None => Some(&mut cli.lab.show),
        Some(Sub::Replay(args)) => Some(&mut args.show),
        Some(Sub::Watch(args)) => Some(&mut args.show),
        Some(
            Sub::Check(_) | Sub::Compare { .. } | Sub::Schema | Sub::Theme { .. } | Sub::Completions { .. } | Sub::Man,
        ) => None,
    }
}

/// The file asked for, or the one in its usual place where there is one.
fn read_file(given: &ArgMatches, env: Env<'_>) -> Result<File, Error> {
    if given.get_flag("no_config") {
        return Ok(File::default());
    }
    let named = given.get_one::<PathBuf>("config").cloned().or_else(|| env("FLOCKMON_CONFIG").map(PathBuf::from));
    let Some(path) = named.clone().or_else(|| usual_path(env)) else { return Ok(File::default()) };
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(File::parse(&path, &text, &command())?),
        Err(error)
            if named.is_none()
                && matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) =>
        {
            Ok(File::default())
        }
        // A home that may not even be looked into is another user's, as after setpriv(1): nothing in it is meant for us.
        Err(_) if named.is_none() && std::fs::symlink_metadata(&path).is_err() => Ok(File::default()),
        Err(error) => Err(anyhow!(
            "cannot read the configuration {}: {error}; name another with --config FILE, or use --no-config",
            path.display()
        )),
    }
}

/// `flockmon/config.toml` where the XDG base directory specification has it: a relative path there is ignored.
fn usual_path(env: Env<'_>) -> Option<PathBuf> {
    let absolute = |name: &str| env(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let folder = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")))?;
    Some(folder.join("flockmon/config.toml"))
}

/// What the environment or the file wants, the environment first.
fn preferred(name: &str, command: &Command, file: &File, env: Env<'_>) -> Result<Option<OsString>, Error> {
    let variable = variable(name);
    let Some(value) = env(&variable) else { return Ok(file.value(name).map(OsString::from)) };
    let Some(arg) = find_anywhere(command, name) else { return Ok(None) };
    let value = check(arg, &value).map_err(|wrong| anyhow!("{variable} in the environment: {wrong}"))?;
    Ok(Some(value))
}

/// Whether the option takes that value; gives it as clap wants it, or what clap has to say about it.
fn check(arg: &Arg, value: &OsStr) -> Result<OsString, String> {
    let long = arg.get_long().unwrap_or_default().to_owned();
    let name = arg.get_value_names().and_then(|n| n.first()).map_or("VALUE".into(), ToString::to_string);
    let alone = Arg::new("it").long(long.clone()).value_name(name).allow_hyphen_values(true);
    let alone = if is_flag(arg) {
        alone.value_parser(BoolishValueParser::new())
    } else {
        alone.value_parser(arg.get_value_parser().clone())
    };
    let mut given = OsString::from(format!("--{long}="));
    given.push(value);
    match Command::new("flockmon").no_binary_name(true).arg(alone).try_get_matches_from([given]) {
        Ok(matches) if is_flag(arg) => Ok(matches.get_flag("it").to_string().into()),
        Ok(_) => Ok(value.to_owned()),
        Err(_) if is_flag(arg) => Err(format!("'{}' is neither true nor false", value.display())),
        Err(wrong) => {
            let text = wrong.render().to_string();
            let lines = text.lines().take_while(|l| !l.starts_with("For more")).map(str::trim);
            let text = lines.filter(|l| !l.is_empty()).collect::<Vec<_>>().join(" ");
            Err(text.trim_start_matches("error: ").to_owned())
        }
    }
}

/// The command with another default for an option, wherever it has it.
fn with_default(command: Command, name: &str, value: &OsStr) -> Command {
    let set = |command: Command| match find(&command, name).map(|arg| arg.get_id().clone()) {
        Some(id) => command.mut_arg(id, |arg| arg.default_value(value.to_owned())),
        None => command,
    };
    set(command).mut_subcommands(set)
}

/// What the screen is made of: the theme in the colours that the terminal has, the characters, the keys.
fn look(show: &ShowArgs, keys: Keymap, env: Env<'_>) -> Result<Look, Error> {
    let theme = match &show.theme {
        ThemeChoice::BuiltIn(name) => Theme::built_in(*name),
        ThemeChoice::File(path) => read_theme(path)?,
    };
    let word = |name: &str| env(name).and_then(|v| v.into_string().ok()).unwrap_or_default();
    let theme = if show.no_color || env("NO_COLOR").is_some() {
        Theme::built_in(crate::cli::ThemeName::Mono)
    } else {
        theme.fit(Depth::of(&word("COLORTERM"), &word("TERM")))
    };
    Ok(Look { theme, ascii: show.ascii, keys })
}

fn read_theme(path: &Path) -> Result<Theme, Error> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(|| {
        format!("cannot read the theme {shown}; flockmon theme dark > FILE makes one to start from")
    })?;
    Ok(Theme::parse(&shown, &text)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Output, ThemeName};
    use crate::dist::Dist;
    use std::collections::HashMap;

    fn settle(args: &[&str], config: &str, env: &[(&str, &str)]) -> Result<Settings, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, config).unwrap();
        let mut env: HashMap<&str, &str> = env.iter().copied().collect();
        env.insert("FLOCKMON_CONFIG", path.to_str().unwrap());
        let args: Vec<OsString> = ["flockmon"].iter().chain(args).map(OsString::from).collect();
        match Settings::settle(&args, &|name| env.get(name).map(OsString::from)) {
            Ok(Ok(settings)) => Ok(settings),
            Ok(Err(wrong)) => Err(wrong.to_string()),
            Err(error) => Err(format!("{error:#}").replace(folder.path().to_str().unwrap(), "/x")),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        command().debug_assert();
        for name in PREFERENCES {
            assert!(find_anywhere(&command(), name).is_some(), "{name}");
        }
    }

    #[test]
    fn command_line_over_environment_over_file_over_default() {
        let file = "workers = 3\nfps = 10\nhold = \"2s\"\n";
        let env = [("FLOCKMON_WORKERS", "4"), ("FLOCKMON_FPS", "20")];
        let lab = settle(&["--workers", "5"], file, &env).unwrap().cli.lab;
        assert_eq!((lab.workers, lab.show.fps, lab.hold), (5, 20, Dist::Fixed(2_000_000_000)));
        assert_eq!(lab.think, Dist::Fixed(0));
        let lab = settle(&["--no-config"], file, &[]).unwrap().cli.lab;
        assert_eq!((lab.workers, lab.show.fps), (10, 30));
    }

    #[test]
    fn flags_are_set_and_taken_back() {
        let file = "ascii = true\nkeep-open = true\nno-color = true\n";
        let lab = settle(&[], file, &[]).unwrap().cli.lab;
        assert!(lab.keep_open && lab.show.ascii && lab.show.no_color && lab.show.look.ascii);
        let lab = settle(&["--no-keep-open", "--no-ascii", "--color"], file, &[]).unwrap().cli.lab;
        assert!(!lab.keep_open && !lab.show.ascii && !lab.show.no_color);
        assert!(!settle(&[], file, &[("FLOCKMON_ASCII", "off")]).unwrap().cli.lab.show.ascii);
        assert!(settle(&["--no-ascii", "--ascii"], "", &[]).unwrap().cli.lab.show.ascii, "the last one counts");
    }

    #[test]
    fn a_recording_is_shown_to_the_same_taste() {
        let settings = settle(&["replay", "x", "--output", "json"], "workers = 3\nfps = 7\noutput = \"log\"\n", &[]);
        let Some(Sub::Replay(args)) = settings.unwrap().cli.sub else { panic!("no replay") };
        assert_eq!((args.show.fps, args.show.output), (7, Some(Output::Json)));
    }

    #[test]
    fn what_asks_for_no_preference_reads_no_file() {
        assert!(settle(&["schema"], "nonsense", &[("FLOCKMON_FPS", "x")]).is_ok());
    }

    #[test]
    fn bad_values_are_told_with_their_place() {
        let told = |config: &str| settle(&[], config, &[]).unwrap_err();
        assert!(told("\nfps = 0").starts_with("/x/config.toml:2: invalid value '0' for '--fps <N>'"));
        assert!(told("hold = \"soon\"").contains("config.toml:1: "));
        assert!(told("lock = \"spin\"").contains("flock, posix, ofd"));
        assert!(told("ascii = \"yes\"").contains("true or false"));
        assert!(told("workers = [1]").contains("one value"));
        let told = settle(&[], "", &[("FLOCKMON_FPS", "99")]).unwrap_err();
        assert!(told.starts_with("FLOCKMON_FPS in the environment: invalid value '99'"), "{told}");
        assert!(settle(&[], "", &[("FLOCKMON_ASCII", "perhaps")]).is_err());
    }

    #[test]
    fn unknown_keys_are_refused_with_a_suggestion() {
        let told = |config: &str| settle(&[], config, &[]).unwrap_err();
        assert_eq!(told("\nthme = \"dark\""), "/x/config.toml:2: there is no setting 'thme'; did you mean theme?");
        assert_eq!(told("[key]\n"), "/x/config.toml:1: there is no setting 'key'; did you mean keys?");
        assert!(told("duration = \"1s\"").contains("'duration' is for the command line alone: --duration"));
        assert!(told("quit = \"Q\"").contains("'quit' is an action: its keys stand in the table [keys]"));
        assert!(told("[keys]\nfps = 3").contains("config.toml:2: 'fps' is no action: it must stand above [keys]"));
        assert!(told("theme = ").contains("/x/config.toml:1: not TOML"));
    }

    #[test]
    fn keys_are_bound_and_conflicts_told() {
        let file = "[keys]\nkill-holder = [\"K\", \"ctrl-k\"]\npause = \"f2\"\nfindings = []\n";
        let look = settle(&[], file, &[]).unwrap().cli.lab.show.look;
        let help: Vec<_> =
            look.keys.help(crate::tui::keymap::Place::Lab, false).map(|(keys, _)| keys.to_owned()).collect();
        assert!(help.contains(&"K ctrl-k".to_owned()) && help.contains(&"f2".to_owned()));
        let told = |config: &str| settle(&[], config, &[]).unwrap_err();
        let clash = told("[keys]\nup = \"k\"\n");
        assert!(clash.starts_with("/x/config.toml:2: kill-holder and up both have the key k"), "{clash}");
        assert!(told("[keys]\nkil-holder = \"K\"\n").contains("config.toml:2: there is no action 'kil-holder'"));
        assert!(told("[keys]\npause = [\"p\", \"spce\"]\n").contains("config.toml:2: 'spce' is no key"));
        assert!(told("[keys]\npause = 1\n").contains("a key or a list of keys"));
        assert!(told("keys = 1\n").contains("a table"));
    }

    #[test]
    fn a_theme_file_is_found_beside_the_configuration_and_its_faults_are_told() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("mine.toml"), "holding = { fg = \"#010203\" }\n").unwrap();
        std::fs::write(folder.path().join("bad.toml"), "\nholdin = { }\n").unwrap();
        let config = folder.path().join("config.toml");
        let read = |theme: &str| {
            std::fs::write(&config, format!("theme = \"{theme}\"")).unwrap();
            settle(&["--config", config.to_str().unwrap()], "", &[("COLORTERM", "truecolor")])
        };
        let theme = read("./mine.toml").unwrap().cli.lab.show.look.theme;
        assert_eq!(theme.holding.fg, Some(ratatui::style::Color::Rgb(1, 2, 3)));
        assert!(read("bad.toml").unwrap_err().contains("bad.toml:2: there is no role 'holdin'"));
        assert!(read("none.toml").unwrap_err().contains("flockmon theme dark > FILE"));
    }

    #[test]
    fn no_color_is_stronger_than_any_theme() {
        let mono = Theme::built_in(ThemeName::Mono);
        let theme = |args: &[&str], env: &[(&str, &str)]| settle(args, "", env).unwrap().cli.lab.show.look.theme;
        assert_eq!(theme(&["--theme", "dark"], &[("NO_COLOR", "1")]), mono);
        assert_eq!(theme(&["--theme", "safe", "--no-color"], &[]), mono);
        assert_ne!(theme(&["--theme", "dark"], &[]), mono);
    }

    #[test]
    fn what_is_printed_is_read_back_unchanged() {
        let file =
            "theme = \"safe\"\nascii = true\nhold = \"exp:1s\"\noutput = \"log\"\n[keys]\nquit = \"Q\"\nup = []\n";
        for (args, config) in [(&[][..], ""), (&["--shared", "20", "--acquire", "poll:5ms", "--no-color"], file)] {
            let printed = settle(args, config, &[]).unwrap().to_toml();
            let again = settle(&[], &printed, &[]).unwrap_or_else(|e| panic!("{e}\n{printed}"));
            assert_eq!(printed, again.to_toml());
            let facts = |s: Settings| format!("{:?}", s.cli.lab);
            assert_eq!(facts(settle(args, config, &[]).unwrap()), facts(again));
        }
    }
}
