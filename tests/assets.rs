//! What ships beside the program is what the program says. `UPDATE_ASSETS=1 cargo test --test assets` writes it anew.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::run;

fn assets(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets").join(name)
}

const SCRIPTS: [(&str, &str); 3] =
    [("bash", "completions/flockmon.bash"), ("zsh", "completions/_flockmon"), ("fish", "completions/flockmon.fish")];

#[test]
fn manual_and_completions_are_up_to_date() {
    let scripts = SCRIPTS.iter().map(|(shell, name)| (vec!["completions", shell], *name));
    for (args, name) in scripts.chain([(vec!["man"], "man/flockmon.1")]) {
        let out = run(&args);
        assert_eq!(out.status.code(), Some(0), "{args:?}");
        let path = assets(name);
        if std::env::var_os("UPDATE_ASSETS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &out.stdout).unwrap();
        }
        let kept = std::fs::read(&path).unwrap_or_default();
        assert!(kept == out.stdout, "{} is stale: run UPDATE_ASSETS=1 cargo test --test assets", path.display());
    }
}

/// Runs a checker, which not every machine has, over what the program prints.
fn checked(program: &str, options: &[&str], args: &[&str]) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&run(args).stdout).unwrap();
    match Command::new(program).args(options).arg(file.path()).output() {
        Err(error) => eprintln!("SKIPPED: {program} cannot be run: {error}"),
        Ok(out) => {
            let said = [out.stdout, out.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            assert!(out.status.success() && said.is_empty(), "{program} on {args:?}: {said}");
        }
    }
}

#[test]
fn the_manual_has_no_fault() {
    checked("mandoc", &["-T", "lint", "-W", "warning"], &["man"]);
    checked("groff", &["-man", "-Tutf8", "-ww", "-z"], &["man"]);
}

#[test]
fn shells_can_read_their_completions() {
    for (shell, _) in SCRIPTS {
        checked(shell, &["-n"], &["completions", shell]);
    }
}

/// What a shell offers at the end of each line, in a folder that has a file and a folder. None where the shell is not there.
fn offered(shell: &str, lines: &[&str]) -> Option<Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let work = folder.path().join("work");
    std::fs::create_dir_all(work.join("folder")).unwrap();
    std::fs::write(work.join("file"), "").unwrap();
    let script = folder.path().join(if shell == "zsh" { "_flockmon" } else { shell });
    std::fs::write(&script, run(&["completions", shell]).stdout).unwrap();
    let (mut source, at) = (format!("source {}; compopt() {{ :; }}; ", script.display()), folder.path());
    let mut command = Command::new(shell);
    match shell {
        "bash" => {
            for line in lines {
                // A letter keeps the last word, which may be empty.
                source.push_str(&format!(
                    "words=({line}x); at=$((${{#words[@]}} - 1)); cur=${{words[at]%x}}; prev=${{words[at - 1]}}; \
                     COMP_CWORD=$at; COMP_WORDS=(\"${{words[@]:0:at}}\" \"$cur\"); \
                     _flockmon_mended flockmon \"$cur\" \"$prev\"; printf '%s\\n' \"${{COMPREPLY[@]}}\" ==; "
                ));
            }
            command.args(["--norc", "-c", &source]);
        }
        "fish" => {
            let asks: Vec<String> = lines.iter().map(|line| format!("complete -C '{line}'; echo ==")).collect();
            command.args(["--no-config", "-c", &format!("source {}; {}", script.display(), asks.join("; "))]);
        }
        _ => {
            command.args(["-f", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/completed.zsh")]);
            command.arg(at).args(lines);
        }
    }
    let out = match command.current_dir(&work).env("HOME", at).output() {
        Err(error) => {
            eprintln!("SKIPPED: {shell} cannot be run: {error}");
            return None;
        }
        Ok(out) => out,
    };
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{shell}: {text}{}", String::from_utf8_lossy(&out.stderr));
    let answers = text.split("==\n").map(|answer| {
        // fish adds what each is for, and a slash to folders.
        let words = answer.lines().filter_map(|l| l.split('\t').next()).filter(|w| !w.is_empty());
        let mut words: Vec<&str> = words.map(|w| w.trim_end_matches('/')).collect();
        words.sort_unstable();
        words.join(" ")
    });
    Some(answers.take(lines.len()).collect())
}

#[test]
fn the_readme_shows_every_picture_and_none_that_is_not_there() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let names = std::fs::read_dir(assets("")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut there: Vec<String> = names.filter(|name| name.ends_with(".svg")).collect();
    let shown = readme.split("](assets/").skip(1).filter_map(|rest| rest.split(')').next());
    let mut shown: Vec<&str> = shown.filter(|name| name.ends_with(".svg")).collect();
    there.sort();
    shown.sort_unstable();
    assert_eq!(shown, there);
}

#[test]
fn shells_complete_subcommands_options_and_values() {
    let cases = [
        ("flockmon --theme d", "dark"),
        ("flockmon theme ", "auto dark light mono safe"),
        ("flockmon theme m", "mono"),
        ("flockmon completions ", "bash fish zsh"),
        ("flockmon th", "theme"),
        ("flockmon --lo", "--lock --log"),
        ("flockmon /tmp/x --lo", "--lock --log"),
        ("flockmon --lock ", "flock ofd posix"),
        ("flockmon --scene gre", "greedy"),
        ("flockmon --restart ", "always never"),
        ("flockmon --acquire ", "block poll: timeout:"),
        ("flockmon --threshold starv", "starvation-rounds= starvation-streak= starvation-wait="),
        ("flockmon --threshold li", "list"),
        ("flockmon --hold ", ""),
        ("flockmon -o j", "json jsonl"),
        ("flockmon watch --how ", "exact sampled"),
        ("flockmon watch --threshold failed", "failed-runs="),
        ("flockmon replay --speed ", "0.5 1 4 max"),
        ("flockmon replay --sp", "--speed"),
        ("flockmon check --output ", "json text"),
    ];
    // In bash files come from the shell's own completion, where ours has nothing.
    let files = [("flockmon replay fi", "file"), ("flockmon check fo", "folder")];
    let all = "flockmon ";
    for (shell, _) in SCRIPTS {
        let lines: Vec<&str> = cases.iter().chain(&files).map(|(line, _)| *line).chain([all]).collect();
        let Some(answers) = offered(shell, &lines) else { continue };
        assert_eq!(answers.len(), lines.len(), "{shell}");
        let expected = cases.iter().map(|(_, words)| *words);
        let expected = expected.chain(files.iter().map(|(_, words)| if shell == "bash" { "" } else { *words }));
        for ((line, words), answer) in lines.iter().zip(expected).zip(&answers) {
            assert_eq!(answer, words, "{shell} on {line:?}");
        }
        let first = answers.last().unwrap();
        for word in ["replay", "watch", "compare", "check", "schema", "theme", "completions", "man"] {
            assert!(first.split(' ').any(|w| w == word), "{shell}: {word} is not in {first:?}");
        }
    }
}
