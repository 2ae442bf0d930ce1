//! What shells complete: made by `clap_complete` from the table of options, then mended where that falls short.

use crate::cli::{Cli, Shell};
use crate::event::thresholds::THRESHOLDS;
use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Arg, Command, CommandFactory, ValueHint};
use std::fmt::Write;

/// The script that makes a shell complete our options.
pub fn completions(shell: Shell) -> String {
    let mut command = hinted(Cli::command());
    command.build();
    let subcommands: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
    let generated = |generator: clap_complete::Shell| {
        let mut out = Vec::new();
        clap_complete::generate(generator, &mut command.clone(), "flockmon", &mut out);
        String::from_utf8_lossy(&out).into_owned()
    };
    match shell {
        Shell::Bash => bash(&generated(clap_complete::Shell::Bash)),
        Shell::Zsh => zsh(generated(clap_complete::Shell::Zsh), &subcommands),
        Shell::Fish => fish(&generated(clap_complete::Shell::Fish), &command, &subcommands),
    }
}

/// The command line with the values that can be listed but are no closed set, and without files where none are wanted.
fn hinted(command: Command) -> Command {
    command.mut_args(hint).mut_subcommands(|sub| sub.mut_args(hint))
}

fn hint(arg: Arg) -> Arg {
    let thresholds = || THRESHOLDS.iter().map(|t| PossibleValue::new(format!("{}=", t.name)).help(t.about));
    let list = PossibleValue::new("list").help("print them all and end");
    let closed = !arg.get_possible_values().is_empty();
    match arg.get_id().as_str() {
        "threshold" => arg.value_parser(PossibleValuesParser::new(std::iter::once(list).chain(thresholds()))),
        "acquire" => arg.value_parser(["block", "poll:", "timeout:"]),
        "speed" => arg.value_parser(["0.5", "1", "4", "max"]),
        "dir" | "log" | "hgrm" => arg.value_hint(ValueHint::DirPath),
        _ if closed || arg.get_value_hint() != ValueHint::Unknown || !arg.get_action().takes_values() => arg,
        // Numbers and durations.
        _ => arg.value_hint(ValueHint::Other),
    }
}

/// What is made offers options before one has begun, and so no files; and the empty word where it knows nothing.
fn bash(script: &str) -> String {
    let mended = r#"
_flockmon_mended() {
    local word words=()
    _flockmon "$@"
    for word in "${COMPREPLY[@]}"; do
        [[ $word == -* && $2 != -* ]] || words+=("$word")
    done
    COMPREPLY=("${words[@]}")
    if [[ ${#words[@]} -eq 1 ]]; then
        case ${words[0]} in
            "") COMPREPLY=(); compopt +o default +o bashdefault ;;
            # The value follows.
            *[=:]) compopt -o nospace ;;
        esac
    fi
}
"#;
    // Bash takes --lock=p for three words, of which the option is the one before the last but one.
    let behind_equals = r#"
    prev="$3"
    if [[ "${prev}" == "=" ]]; then
        prev="${COMP_WORDS[COMP_CWORD-2]}"
    elif [[ "${cur}" == "=" ]]; then
        cur=""
    fi
"#;
    script
        .replacen("\n    prev=\"$3\"\n", behind_equals, 1)
        .replace("complete -F _flockmon ", "complete -F _flockmon_mended ")
        + mended
}

/// A subcommand is the first word or none. What is made takes that word for LOCKFILE, and so never gets to a
/// subcommand's own options and values.
fn zsh(script: String, subcommands: &[&str]) -> String {
    const ROOT: &str = "    _arguments \"${_arguments_options[@]}\" : \\\n";
    let mended = || {
        let (head, rest) = script.split_once(ROOT)?;
        let (root, rest) = rest.split_once("\":: :_flockmon_commands\" \\\n\"*::: :->flockmon\" \\\n&& ret=0\n")?;
        let (_, rest) = rest.split_once("        case $line[3] in\n")?;
        let (arms, tail) = rest.split_once("        esac\n    ;;\nesac\n")?;
        let root = root.replace(":_files' \\\n'::command", ":_flockmon_first' \\\n'::command");
        Some(format!(
            "{head}    if (( CURRENT > 2 )) && [[ $words[2] == ({}) ]]; then
        local sub=$words[2]
        shift words
        (( CURRENT -= 1 ))
        curcontext=\"${{curcontext%:*:*}}:flockmon-command-$sub:\"
        case $sub in
{arms}        esac
        return ret
    fi
{ROOT}{root}&& ret=0
    return ret
{tail}",
            subcommands.join("|")
        ))
    };
    let first = "
(( $+functions[_flockmon_first] )) ||
_flockmon_first() {
    if (( CURRENT == 2 )); then
        _alternative 'commands:command:_flockmon_commands' 'files:lock file:_files'
    else
        _files
    fi
}

if [ \"$funcstack[1]\"";
    mended().map_or_else(|| script.clone(), |mended| mended.replacen("\nif [ \"$funcstack[1]\"", first, 1))
}

/// Values of positional arguments are left out of what is made, and options behind LOCKFILE.
fn fish(script: &str, root: &Command, subcommands: &[&str]) -> String {
    let lab = "__fish_flockmon_in_lab";
    let function =
        format!("function {lab}\n    not __fish_flockmon_using_subcommand {}\nend\n\ncomplete ", subcommands.join(" "));
    let mut out = script
        // After an option that still lacks its value, what clap_complete makes finds a fault instead of values.
        .replacen("\n    or return\n", "\n    or return 0\n", 1)
        .replace("\"__fish_flockmon_needs_command\" -s", &format!("\"{lab}\" -s"))
        .replace("\"__fish_flockmon_needs_command\" -l", &format!("\"{lab}\" -l"))
        .replacen("complete ", &function, 1);
    for sub in root.get_subcommands() {
        let values: Vec<PossibleValue> = sub.get_positionals().flat_map(Arg::get_possible_values).collect();
        let files = sub.get_positionals().any(|arg| matches!(arg.get_value_hint(), ValueHint::AnyPath));
        let folders = sub.get_positionals().any(|arg| arg.get_value_hint() == ValueHint::DirPath);
        if files {
            continue;
        }
        let values = values.iter().map(|v| match v.get_help() {
            Some(help) => format!("{}\\t'{}'", v.get_name(), help.to_string().replace('\'', "\\'")),
            None => v.get_name().to_owned(),
        });
        let values: Vec<String> = values.collect();
        let offers = match (folders, values.is_empty()) {
            (true, _) => " -a \"(__fish_complete_directories)\"".to_owned(),
            (false, true) => String::new(),
            (false, false) => format!(" -a \"{}\"", values.join("\n")),
        };
        // Writing to a String cannot fail.
        let _ =
            writeln!(out, "complete -c flockmon -n \"__fish_flockmon_using_subcommand {}\" -f{offers}", sub.get_name());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn every_set_of_values_is_in_every_script() {
        let (root, mut sets) = (hinted(Cli::command()), 0);
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = completions(shell).replace('\\', "");
            for command in std::iter::once(&root).chain(root.get_subcommands()) {
                for arg in command.get_arguments().filter(|arg| arg.get_action().takes_values()) {
                    let values = arg.get_possible_values();
                    sets += usize::from(!values.is_empty());
                    for value in values {
                        assert!(script.contains(value.get_name()), "{shell:?}: {} {}", arg.get_id(), value.get_name());
                    }
                }
            }
        }
        assert!(sets > 30, "{sets}");
    }

    /// What is mended has the shape that was expected: a new `clap_complete` may change it.
    #[test]
    fn each_script_is_mended() {
        let zsh = completions(Shell::Zsh);
        assert!(zsh.contains("case $sub in") && zsh.contains(":_flockmon_first'"), "{zsh}");
        assert!(!zsh.contains("$line[3]") && !zsh.contains("->flockmon"), "{zsh}");
        let fish = completions(Shell::Fish);
        assert!(fish.contains("or return 0\n") && fish.contains("using_subcommand theme\" -f -a \"auto"), "{fish}");
        assert!(!fish.contains("needs_command\" -l"), "{fish}");
        assert!(completions(Shell::Bash).contains("complete -F _flockmon_mended"));
        assert_eq!(Shell::value_variants().len(), 3);
    }
}
