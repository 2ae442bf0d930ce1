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

#[test]
fn shells_complete_the_names_of_themes() {
    let folder = tempfile::tempdir().unwrap();
    for (shell, ask) in [
        ("bash", "COMP_WORDS=(flockmon --theme d); COMP_CWORD=2; _flockmon flockmon d --theme; echo ${COMPREPLY[@]}"),
        ("fish", "complete -C 'flockmon --theme d'"),
    ] {
        let path = folder.path().join(shell);
        std::fs::write(&path, run(&["completions", shell]).stdout).unwrap();
        let script = format!("source {}; {ask}", path.display());
        match Command::new(shell).args(["-c", &script]).current_dir(folder.path()).output() {
            Err(error) => eprintln!("SKIPPED: {shell} cannot be run: {error}"),
            Ok(out) => {
                let text = String::from_utf8_lossy(&out.stdout);
                assert_eq!(text.split_whitespace().next(), Some("dark"), "{shell}: {text}");
            }
        }
    }
}
