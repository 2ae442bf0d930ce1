//! Wrong use and bad input: exit status 2, one clear message, nothing touched.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;
use std::process::Output;
use support::{command, refused, run};

#[test]
fn options_out_of_range_are_refused() {
    refused(&["--workers", "0"], &["--workers", "1 to 10000"]);
    refused(&["--workers", "10001"], &["--workers"]);
    refused(&["--hold", "-1s"], &["--hold", "not negative"]);
    refused(&["--hold", "soon"], &["not a duration"]);
    refused(&["--hold", "5"], &["no unit"]);
    refused(&["--think", "2s..1s"], &["ends before it begins"]);
    refused(&["--shared", "101"], &["--shared"]);
    refused(&["--duration", "0"], &["zero"]);
    refused(&["--acquisitions", "0"], &["--acquisitions"]);
    refused(&["--acquire", "hope"], &["block, poll:50ms or timeout:2s"]);
    refused(&["--acquire", "poll:0"], &["zero"]);
    refused(&["--lock", "spin"], &["flock", "posix", "ofd"]);
    refused(&["--wrokers", "3"], &["--wrokers", "--workers"]);
    refused(&["--fps", "0"], &["--fps"]);
    refused(&["-w", "abc"], &["'abc' is no whole number from 1 to 10000"]);
    refused(&["--shared", "50%"], &["0 to 100"]);
    refused(&["--seed", "x"], &["no whole number"]);
    refused(&["-n", "0"], &["from 1 on"]);
    refused(&["watch", "--pid", "x"], &["no whole number"]);
    refused(&["--threshold", "starv=1s"], &["did you mean starvation-wait or "]);
    refused(&["replay", "nope"], &["nope", "--record"]);
    refused(&["compare", "nope", "nope"], &["nope", "--output json"]);
    refused(&["--hgrm", "/dev/null"], &["it is no folder"]);
    refused(&["--scene", "greedy", "--log", "logs"], &["--log", "-- COMMAND"]);
    refused(&["--hold", "1ms", "--stop-on-failure"], &["--stop-on-failure", "-- COMMAND"]);
    let unknown = String::from_utf8(run(&["--bogus"]).stderr).unwrap();
    assert!(unknown.contains("--bogus") && !unknown.contains("tip"), "{unknown}");
}

#[test]
fn a_mistyped_subcommand_makes_no_lock_file() {
    let folder = tempfile::tempdir().unwrap();
    let run = |word: &str| command(&[word, "-w", "1", "-n", "1", "--hold", "0"]).current_dir(&folder).output().unwrap();
    let out = run("wacth");
    let error = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(2), "{error}");
    assert!(error.contains("did you mean flockmon watch?") && error.contains("./wacth"), "{error}");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    for word in ["./wacth", "wacth"] {
        assert_eq!(run(word).status.code(), Some(0), "{word} is there by the second time");
    }
}

#[test]
fn a_screen_without_a_terminal_is_refused_with_a_hint() {
    refused(&["--output", "tui"], &["terminal", "--output log"]);
}

#[test]
fn what_cannot_be_a_lock_file_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    refused(&[folder.path().to_str().unwrap()], &["a folder"]);
    nix::unistd::mkfifo(&folder.path().join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    refused(&[&at("fifo")], &["a FIFO"]);
    refused(&[&at("missing/lock")], &["missing/lock", "folder exists"]);
    refused(&["/dev/null"], &["a device"]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_file_that_may_not_be_opened_is_refused() {
    if nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: root may open everything");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    std::fs::write(&path, "").unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    refused(&[path.to_str().unwrap()], &["permission"]);
}

#[test]
fn the_users_file_keeps_its_content_and_a_new_one_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (folder.path().join("old"), folder.path().join("new"));
    std::fs::write(&old, "precious").unwrap();
    for path in [&old, &new] {
        let out = run(&["-w", "2", "--hold", "1ms", "-n", "4", "-o", "summary", path.to_str().unwrap()]);
        assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
        let told = String::from_utf8_lossy(&out.stderr).contains("left it there");
        assert_eq!(told, *path == new);
    }
    assert_eq!(std::fs::read_to_string(&old).unwrap(), "precious");
}

#[test]
fn exactly_so_many_acquisitions_as_asked_for() {
    for kind in ["flock", "posix", "ofd"] {
        let out = run(&["-w", "4", "--hold", "0", "-n", "50", "-o", "summary", "--lock", kind]);
        let text = String::from_utf8(out.stdout).unwrap();
        assert!(text.contains("50 acquisitions in"), "{text}");
        assert_eq!(out.status.code(), Some(0));
    }
}

#[test]
fn a_summary_says_how_the_lab_was_set_up() {
    let args = ["-w", "2", "--hold", "1ms", "--think", "2ms", "--seed", "7", "-n", "4", "-o", "json"];
    let told: serde_json::Value = serde_json::from_slice(&run(&args).stdout).unwrap();
    let config = &told["config"];
    assert_eq!((config["workers"].as_u64(), config["seed"].as_u64()), (Some(2), Some(7)), "{config}");
    assert_eq!((&config["hold"], &config["think"]), (&"1ms".into(), &"2ms".into()), "{config}");
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let mut child = command(&["-w", "2", "--hold", "1ms"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let status = support::wait_for("flockmon to end", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
}

#[test]
fn help_and_version_work() {
    for (args, word) in [(["--help"], "--workers"), (["--version"], "flockmon")] {
        let out = run(&args);
        assert_eq!(out.status.code(), Some(0));
        assert!(String::from_utf8_lossy(&out.stdout).contains(word));
    }
}

#[test]
fn the_readme_quotes_the_options_that_there_are() {
    let help = String::from_utf8(run(&["-h"]).stdout).unwrap();
    let options = help.split("Arguments:").nth(1).unwrap().split("Examples:").next().unwrap().trim();
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    assert!(readme.contains(options), "README.md lacks:\n{options}");
}

/// Runs flockmon on a small file system of its own; needs root, which may mount one.
fn on_tmpfs(options: &str, before: &str, args: &str) -> Option<Output> {
    let folder = tempfile::tempdir().unwrap();
    let (at, binary) = (folder.path().display(), env!("CARGO_BIN_EXE_flockmon"));
    let script = format!(
        "mount -t tmpfs -o {options} none {at} && cd {at} && {before} && exec timeout 60 {binary} {args} -n 5 -w 2 --hold 1ms -o summary"
    );
    support::with_own_mounts(&script)
}

#[test]
fn a_full_disk_is_said() {
    let Some(out) = on_tmpfs("nr_inodes=2", "touch a", "lock") else { return };
    let error = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(error.contains("cannot make the lock file lock") && error.contains("No space left"), "{error}");
    assert_eq!(out.status.code(), Some(2));
    // A file that is there needs no space: locking writes nothing.
    let out = on_tmpfs("nr_inodes=2", "touch a", "a").unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn a_read_only_folder_is_said_and_flock_works_there() {
    let before = "touch a && mount -o remount,ro .";
    let Some(out) = on_tmpfs("size=1m", before, "lock") else { return };
    let error = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(error.contains("cannot make the lock file lock") && error.contains("Read-only"), "{error}");
    assert_eq!(out.status.code(), Some(2));
    let out = on_tmpfs("size=1m", before, "a").unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
    let out = on_tmpfs("size=1m", before, "a --lock posix").unwrap();
    assert!(String::from_utf8_lossy(&out.stderr).contains("--lock flock"));
    assert_eq!(out.status.code(), Some(2));
}

#[test]
fn a_log_that_cannot_be_written_ends_with_1() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let out = command(&["-w", "2", "--hold", "1ms"]).stdout(full).output().unwrap();
    let error = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(error.contains("cannot write to standard output") && error.contains("No space"), "{error}");
    assert_eq!(out.status.code(), Some(1));
}

/// The commands of the README's section for scripts, as they stand there.
#[test]
fn what_the_readme_tells_scripts_works() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let section = readme.split("## From scripts and CI").nth(1).unwrap();
    let script = section.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_flockmon")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let out = std::process::Command::new("bash")
        .args(["-euo", "pipefail", "-c", script])
        .current_dir(folder.path())
        .env("PATH", path)
        .env("XDG_CONFIG_HOME", folder.path())
        .output()
        .unwrap();
    let (text, error) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{text}{error}");
    assert!(text.contains("B/A") && text.contains("acquisitions in"), "{text}");
    assert!(folder.path().join("schema.json").exists());
}
