//! `flockmon check`: good locks are called good, broken ones broken, and nothing stays behind.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::path::Path;
use std::process::{Output, Stdio};
use support::{Headless, children, command, refused, run, signal, wait_for, wait_gone, with_own_mounts};

const KINDS: [&str; 3] = ["flock", "posix", "ofd"];

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

/// The verdicts, which must be as the schema says.
fn verdicts(out: &Output) -> Value {
    let error = String::from_utf8_lossy(&out.stderr);
    let found: Value = serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {error}"));
    let mut schema: Value = serde_json::from_str(flockmon::record::SCHEMA_TEXT).unwrap();
    let any = jsonschema::validator_for(&schema).unwrap();
    schema.as_object_mut().unwrap().remove("anyOf");
    schema["$ref"] = "#/$defs/check".into();
    let check = jsonschema::validator_for(&schema).unwrap();
    let wrong: Vec<String> = check.iter_errors(&found).map(|e| e.to_string()).collect();
    assert!(wrong.is_empty() && any.is_valid(&found), "{wrong:?}\n{found}");
    found
}

/// (kind, check, verdict, text) of each row; no kind is "".
fn rows(found: &Value) -> Vec<(&str, &str, &str, &str)> {
    fn word<'a>(row: &'a Value, name: &str) -> &'a str {
        row[name].as_str().unwrap_or_default()
    }
    let rows = found["rows"].as_array().unwrap();
    rows.iter().map(|r| (word(r, "kind"), word(r, "check"), word(r, "verdict"), word(r, "text"))).collect()
}

/// All is well: each promise was tried out, and kept.
fn assert_good(out: &Output) -> Value {
    let found = verdicts(out);
    assert_eq!((out.status.code(), found["verdict"].as_str()), (Some(0), Some("good")), "{found:#}");
    let rows = rows(&found);
    for kind in KINDS {
        let mut promises = vec!["exclusive", "shared", "non_blocking", "wakes", "close", "death", "conversion"];
        promises.extend((kind != "flock").then_some("bytes"));
        for promise in promises {
            assert!(rows.iter().any(|r| (r.0, r.1, r.2) == (kind, promise, "good")), "{kind} {promise}: {found:#}");
        }
        assert!(rows.iter().any(|r| (r.0, r.1, r.2) == (kind, "speed", "info")), "{found:#}");
    }
    assert!(rows.iter().any(|r| (r.1, r.2) == ("posix_ofd", "good")), "{found:#}");
    assert!(rows.iter().any(|r| (r.1, r.2) == ("flock_fcntl", "info")), "{found:#}");
    found
}

#[test]
fn the_file_system_of_the_temporary_folder_is_good() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mine"), "precious").unwrap();
    let found = assert_good(&run(&["check", text(folder.path()), "-d", "30ms", "-o", "json"]));
    assert_eq!(found["workers"], 4);
    let here = std::fs::canonicalize(folder.path()).unwrap();
    assert_eq!(found["path"].as_str(), here.to_str());
    let mount_point = found["file_system"]["mount_point"].as_str().unwrap();
    assert!(here.starts_with(mount_point), "{found:#}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(std::fs::read_to_string(folder.path().join("mine")).unwrap(), "precious");
    let turns = |check: &str, figure: &str| -> f64 {
        let of = |r: &&Value| r["check"] == check;
        found["rows"].as_array().unwrap().iter().filter(of).map(|r| r["figures"][figure].as_f64().unwrap()).sum()
    };
    assert!(turns("exclusive", "contended") >= 3.0 && turns("exclusive", "violations") == 0.0, "{found:#}");
    assert!(turns("death", "kills") >= 3.0 && turns("speed", "per_s") > 0.0, "{found:#}");
}

/// Runs it in a folder that `mount` makes at `$at`, and lists in the end what is left there.
fn mounted(mount: &str, args: &str, folder: &str) -> Option<Output> {
    let at = tempfile::tempdir().unwrap();
    let (path, binary) = (at.path().display(), env!("CARGO_BIN_EXE_flockmon"));
    let script = format!(
        "set -e; at={path}; mount -t tmpfs none $at; cd $at; {mount}
        timeout 100 {binary} check {folder} -d 30ms {args} && code=0 || code=$?
        ls -A {folder} | grep . >&2 && echo LEFT >&2
        exit $code"
    );
    with_own_mounts(&script)
}

#[test]
fn tmpfs_is_good_and_is_not_compared_with_itself() {
    let Some(out) = mounted("", "-o json", ".") else { return };
    let found = assert_good(&out);
    assert_eq!(found["file_system"]["type"], "tmpfs");
    assert!(!String::from_utf8_lossy(&out.stderr).contains("LEFT"), "{out:?}");
    let speed = rows(&found).into_iter().find(|r| r.1 == "speed").unwrap();
    assert!(speed.3.contains("a tmpfs itself"), "{speed:?}");
}

#[test]
fn overlayfs_is_good_and_nothing_is_left_on_it_or_on_the_tmpfs() {
    let mount = "mkdir lower upper work merged shm; mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged
        mount --bind shm /dev/shm";
    let Some(out) = mounted(mount, "-o json; ls -A shm >&2", "merged") else { return };
    let error = String::from_utf8_lossy(&out.stderr).into_owned();
    let found = assert_good(&out);
    assert_eq!(found["file_system"]["type"], "overlay");
    assert!(!error.contains("LEFT") && !error.contains(".flockmon-check"), "{error}");
    let speed = rows(&found).into_iter().find(|r| r.1 == "speed").unwrap();
    assert!(speed.3.contains("on tmpfs (/dev/shm), ratio"), "{speed:?}");
}

#[test]
fn without_a_tmpfs_the_speed_stands_alone() {
    // On a folder of the root file system, with every tmpfs out of sight.
    let folder = tempfile::tempdir().unwrap();
    let binary = env!("CARGO_BIN_EXE_flockmon");
    let script = format!(
        "umount -l -a -t tmpfs; grep -q ' - tmpfs ' /proc/self/mountinfo && exit 77
        exec timeout 100 {binary} check {} -d 30ms",
        folder.path().display()
    );
    let Some(out) = with_own_mounts(&script) else { return };
    if out.status.code() == Some(77) || !folder.path().exists() {
        eprintln!("SKIPPED: a tmpfs cannot be unmounted here");
        return;
    }
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert_eq!(out.status.code(), Some(0), "{text}");
    assert_eq!(text.matches("no tmpfs to compare with").count(), 3, "{text}");
}

#[test]
fn a_full_disk_and_a_read_only_one_are_said() {
    let Some(out) = mounted("mount -o remount,nr_inodes=1 $at", "", ".") else { return };
    let error = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(error.contains("cannot make a file in it: No space left"), "{error}");
    assert_eq!(out.status.code(), Some(1));
    let out = mounted("mount -o remount,ro $at", "", ".").unwrap();
    let error = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(error.contains("Read-only file system") && error.contains("mounted read-only"), "{error}");
    assert_eq!(out.status.code(), Some(2));
}

#[test]
fn bad_input_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    refused(&["check", text(&folder.path().join("missing"))], &["missing", "No such file", "a folder that exists"]);
    refused(&["check", text(&file)], &["no folder"]);
    refused(&["check", text(&file.join("below"))], &["Not a directory"]);
    refused(&["check"], &["DIR"]);
    refused(&["check", ".", "-w", "1"], &["--workers"]);
    refused(&["check", ".", "-d", "0"], &["zero"]);
    refused(&["check", ".", "-o", "log"], &["text", "json"]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_folder_that_may_not_be_written_to_is_refused() {
    if nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: root may write everywhere");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o555)).unwrap();
    refused(&["check", text(folder.path())], &["Permission denied", "you may write to"]);
}

#[test]
fn whoever_ends_it_finds_nothing_left() {
    for end in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let folder = tempfile::tempdir().unwrap();
        let child = command(&["check", text(folder.path()), "-d", "1h"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut run = Headless::over(child);
        let workers = wait_for("the workers", || Some(children(run.pid())).filter(|w| w.len() == 4));
        assert!(!is_empty(folder.path()));
        signal(run.pid(), end);
        let (said, status) = run.wait();
        assert_eq!(status, Some(1), "{said}");
        let mut error = String::new();
        std::io::Read::read_to_string(run.child.stderr.as_mut().unwrap(), &mut error).unwrap();
        assert!(error.contains(&format!("interrupted by {end}")) && error.contains("nothing is left"), "{error}");
        wait_gone(&workers);
        assert!(is_empty(folder.path()));
    }
}

#[test]
fn ctrl_z_stops_it_and_fg_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = Headless::start(&["check", text(folder.path()), "-d", "30ms"]);
    run.see("processes");
    signal(run.pid(), Signal::SIGTSTP);
    wait_for("it to stop", || (support::state(run.pid()) == Some('T')).then_some(()));
    signal(run.pid(), Signal::SIGCONT);
    let (said, status) = run.wait();
    assert_eq!(status, Some(0), "{said}");
}

#[test]
fn a_file_taken_away_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = command(&["check", text(folder.path()), "-d", "300ms"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for("the workers", || (children(child.id() as i32).len() == 4).then_some(()));
    // Whoever opens it next may make it anew: it is taken away for as long as anybody does.
    wait_for("it to end", || {
        for file in std::fs::read_dir(folder.path()).unwrap() {
            let _ = std::fs::remove_file(file.unwrap().path());
        }
        child.try_wait().unwrap()
    });
    let out = child.wait_with_output().unwrap();
    let error = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(error.contains("somebody else remove files"), "{error}");
    assert_eq!(out.status.code(), Some(1));
    assert!(is_empty(folder.path()));
}

#[test]
fn a_reader_that_goes_away_ends_nothing_with_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = command(&["check", text(folder.path()), "-d", "30ms"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(wait_for("it to end", || child.try_wait().unwrap()).code(), Some(0));
}

/// Checks a lock that is broken on purpose; none where the program has no such locks.
fn flawed(flaw: &str) -> Option<(Value, Option<i32>)> {
    if !cfg!(debug_assertions) {
        eprintln!("SKIPPED: a release build has no broken locks");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(&["check", text(folder.path()), "-d", "50ms", "-o", "json"]);
    let out = command.env("FLOCKMON_TEST_FLAW", flaw).output().unwrap();
    assert!(is_empty(folder.path()), "{flaw}");
    Some((verdicts(&out), out.status.code()))
}

/// Each of `broken`, (check, what is said), must be caught for each of `kinds`; if `only`, nothing else.
fn caught(flaw: &str, kinds: &[&str], broken: &[(&str, &str)], only: bool) {
    let Some((found, status)) = flawed(flaw) else { return };
    assert_eq!((status, found["verdict"].as_str()), (Some(3), Some("broken")), "{flaw}: {found:#}");
    let rows = rows(&found);
    for kind in kinds {
        for (check, word) in broken {
            let caught = rows.iter().any(|r| (r.0, r.1, r.2) == (*kind, *check, "broken") && r.3.contains(word));
            assert!(caught, "{flaw}: {kind} {check} {word:?}: {found:#}");
        }
    }
    let others = rows.iter().filter(|r| r.2 == "broken" && !broken.iter().any(|(check, _)| r.1 == *check));
    assert!(!only || others.count() == 0, "{flaw}: {found:#}");
}

#[test]
fn a_lock_that_does_not_lock_is_caught() {
    let violation = "VIOLATION of mutual exclusion";
    caught("no-lock", &KINDS, &[("exclusive", violation), ("shared", "a writer got the lock beside")], false);
}

#[test]
fn an_exclusive_lock_that_shares_is_caught() {
    let broken = [("exclusive", "VIOLATION of mutual exclusion"), ("shared", "a writer got the lock beside")];
    caught("exclusive-shares", &KINDS, &broken, false);
}

#[test]
fn a_shared_lock_that_excludes_is_caught() {
    let broken = [("shared", "reader 2 was refused"), ("conversion", "a second reader was refused")];
    caught("shared-excludes", &KINDS, &broken, true);
}

#[test]
fn a_try_that_lies_is_caught() {
    caught("try-lies", &KINDS, &[("non_blocking", "succeeded while another process held the lock")], false);
}

#[test]
fn a_try_that_waits_is_caught() {
    caught("try-waits", &KINDS, &[("non_blocking", "must not wait did not return")], false);
}

#[test]
fn a_waiter_that_polls_is_caught() {
    caught("polls", &KINDS, &[("wakes", "looks again and again")], true);
}

#[test]
fn a_waiter_that_is_never_woken_is_caught() {
    caught("never-wakes", &KINDS, &[("wakes", "did not")], false);
}

#[test]
fn a_lock_that_outlives_its_holder_is_caught() {
    caught("outlives-death", &KINDS, &[("death", "was killed (SIGKILL) and its lock stayed")], false);
}

#[test]
fn a_lock_that_outlives_its_file_is_caught() {
    caught("outlives-close", &KINDS, &[("close", "did not get the lock")], false);
}

#[test]
fn conversions_and_ranges_that_are_none_are_caught() {
    caught("conversion-ignored", &KINDS, &[("conversion", "became the writer beside the other")], true);
    caught("ranges-collide", &KINDS[1..], &[("bytes", "bytes behind")], true);
}

#[test]
fn a_kind_that_is_not_supported_is_a_verdict() {
    let Some((found, status)) = flawed("no-posix") else { return };
    assert_eq!((status, found["verdict"].as_str()), (Some(0), Some("good")), "{found:#}");
    for row in rows(&found) {
        let missing = row.0 == "posix" || row.1.contains("posix") || row.1.contains("fcntl");
        assert_eq!(row.2 == "not_supported", missing, "{row:?}");
    }
    let (found, status) = flawed("unsupported").unwrap();
    assert_eq!((status, found["verdict"].as_str()), (Some(1), Some("not_supported")), "{found:#}");
    assert!(rows(&found).iter().all(|r| r.2 == "not_supported" && r.3.contains("locks available")), "{found:#}");
    let folder = tempfile::tempdir().unwrap();
    let out = command(&["check", text(folder.path())]).env("FLOCKMON_TEST_FLAW", "unsupported").output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert_eq!(text.matches("all of it").count(), 3, "{text}");
    assert!(text.contains("No kind of lock is supported here"), "{text}");
}

/// The README's example has paragraphs that the program prints, row by row; one kind of lock stands for all.
#[test]
fn the_readme_shows_what_is_printed() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let shown = readme.split("```text\n$ flockmon check").nth(1).unwrap().split("```").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let out = run(&["check", text(folder.path()), "-d", "30ms"]);
    let printed = String::from_utf8(out.stdout).unwrap();
    // Verdict and name, without the figures behind them; the first paragraph is of the file system and the machine.
    let names = |text: &str| -> Vec<String> {
        let row = |line: &str| line.chars().take(36).collect::<String>().trim_end().to_owned();
        let paragraphs = text.trim().split("\n\n").skip(1);
        paragraphs.map(|paragraph| paragraph.lines().map(row).collect::<Vec<_>>().join("\n")).collect()
    };
    let (shown, printed) = (names(shown), names(&printed));
    let left_out = |paragraph: &String| ["posix\n", "ofd\n"].iter().any(|kind| paragraph.starts_with(kind));
    let expected: Vec<String> = printed.iter().filter(|p| !left_out(p)).cloned().collect();
    assert_eq!(shown, expected, "{printed:#?}");
}
