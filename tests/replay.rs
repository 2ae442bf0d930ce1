//! Recordings: what is recorded can be checked, replayed and scripted, and gives the same figures.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use support::{Headless, Terminal, children, command, refused, run, signal, wait_for};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn stdout(out: &Output) -> String {
    String::from_utf8(out.stdout.clone()).unwrap()
}

fn stderr(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.jsonl");
    (folder, file)
}

/// A short recording of two workers.
fn recording() -> (tempfile::TempDir, PathBuf) {
    let (folder, file) = folder();
    let out = run(&["-w", "2", "--hold", "1ms", "-n", "40", "-o", "json", "--record", text(&file)]);
    assert_eq!(out.status.code(), Some(0), "{}", stderr(&out));
    (folder, file)
}

/// Everything at once: pauses, kills, stalls, waits given up, shared locks, figures reset, workers added and removed.
#[test]
fn a_replay_gives_the_figures_of_the_live_run() {
    let (_folder, file) = folder();
    let args = [
        "-w",
        "6",
        "--hold",
        "500us..4ms",
        "--think",
        "100us",
        "--shared",
        "30",
        "--acquire",
        "timeout:5ms",
        "--seed",
        "7",
        "--record",
        text(&file),
    ];
    let mut terminal = Terminal::start(&args);
    let has = |word: &str| {
        wait_for(word, || {
            fs::read_to_string(&file).is_ok_and(|t| t.contains(&format!("\"type\":\"{word}\""))).then_some(())
        });
    };
    has("gave_up");
    terminal.press("0");
    has("reset");
    // What was given up before is forgotten now.
    wait_for("a wait given up after the reset", || {
        let text = fs::read_to_string(&file).ok()?;
        text.rsplit_once("\"type\":\"reset\"")?.1.contains("\"type\":\"gave_up\"").then_some(())
    });
    terminal.press("p");
    has("paused");
    terminal.press("p");
    has("resumed");
    terminal.press("+");
    has("spawned");
    terminal.press("]");
    has("settings");
    for pid in children(terminal.pid()).into_iter().take(2) {
        signal(pid, nix::sys::signal::Signal::SIGKILL);
    }
    has("exited");
    let stopped = terminal.workers().pop().unwrap();
    signal(stopped, nix::sys::signal::Signal::SIGSTOP);
    has("stopped");
    signal(stopped, nix::sys::signal::Signal::SIGCONT);
    has("continued");
    terminal.press("-");
    let printed = terminal.end();
    let live = fs::read_to_string(&file).unwrap();
    let summary: Value = serde_json::from_str(live.lines().last().unwrap()).unwrap();
    let again: Value = serde_json::from_str(&stdout(&run(&["replay", "-o", "json", text(&file)]))).unwrap();
    let mut summary = summary.as_object().unwrap().clone();
    assert_eq!(summary.remove("type"), Some("summary".into()));
    assert_eq!(summary, *again.as_object().unwrap());
    assert!(summary["gave_up"].as_u64() > Some(0) && summary["paused_ns"].as_u64() > Some(0), "{summary:?}");
    assert!(summary["kills"].as_u64() >= Some(2), "{summary:?}");
    // The words on the terminal say the same.
    let words = stdout(&run(&["replay", "-o", "summary", text(&file)]));
    for line in words.lines().take(4) {
        assert!(printed.contains(line), "{line:?} is not in {printed}");
    }
    // A recording of a replay is the recording.
    let copy = stdout(&run(&["replay", "-o", "jsonl", text(&file)]));
    assert_eq!(copy, live);
}

#[test]
fn every_line_is_as_the_schema_says() {
    let schema: Value = serde_json::from_str(&stdout(&run(&["schema"]))).unwrap();
    let part = |name: &str| {
        let mut root = schema.clone();
        root.as_object_mut().unwrap().remove("anyOf");
        root["$ref"] = format!("#/$defs/{name}").into();
        jsonschema::validator_for(&root).unwrap()
    };
    let (event, summary, last) = (part("event"), part("summary"), part("summary_line"));
    let any = jsonschema::validator_for(&schema).unwrap();
    assert!(!any.is_valid(&serde_json::json!({"type": "spawned", "t": -1, "worker": 1, "pid": 1})));
    assert!(!any.is_valid(&serde_json::json!({"type": "flew", "t": 1})));
    let (_folder, file) = folder();
    for args in [
        &["-w", "4", "--hold", "1ms", "--shared", "50", "-d", "300ms", "--lock", "ofd"][..],
        &["-w", "3", "--hold", "20ms", "--acquire", "timeout:2ms", "-d", "300ms"],
        &["-w", "2", "--hold", "0", "--keep-open", "-n", "3000"],
        &["-w", "1", "--hold", "1h", "-d", "50ms"],
        &["--scene", "inherited", "--hold", "5ms", "-d", "300ms", "--threshold", "convoy-time=5s"],
        &["--scene", "deadlock", "--hold", "5ms", "-d", "300ms"],
    ] {
        let out = run(&[args, &["-o", "json", "--force", "--record", text(&file)]].concat());
        let object: Value = serde_json::from_slice(&out.stdout).unwrap();
        assert!(
            summary.is_valid(&object),
            "{:?}",
            summary.iter_errors(&object).map(|e| e.to_string()).collect::<Vec<_>>()
        );
        let lines = fs::read_to_string(&file).unwrap();
        let count = lines.lines().count();
        for (number, line) in lines.lines().enumerate() {
            let line: Value = serde_json::from_str(line).unwrap();
            let validator = match number {
                0 => &any,
                n if n + 1 == count => &last,
                _ => &event,
            };
            assert!(validator.is_valid(&line), "{line}");
        }
    }
}

/// Two that wait for each other are told to get the lock when the end has set them free: after it.
#[test]
fn a_replay_ends_when_the_run_did() {
    for _ in 0..8 {
        let (_folder, file) = folder();
        let args =
            ["--scene", "deadlock", "-w", "4", "--hold", "2ms", "-d", "60ms", "-o", "json", "--record", text(&file)];
        let live = stdout(&run(&args));
        assert_eq!(stdout(&run(&["replay", "-o", "json", text(&file)])), live);
    }
}

#[test]
fn a_lock_file_is_never_written_to() {
    let folder = tempfile::tempdir().unwrap();
    let base: &[&str] = &["-w", "2", "-n", "1", "-o", "json", "--force"];
    let named = |name: &str| {
        let path = folder.path().join(name);
        fs::write(&path, "precious").unwrap();
        path
    };
    let (plot, log, own) = (named("wait.hgrm"), named("worker-9.log"), named("own"));
    let here = text(folder.path());
    refused(&[base, &["--hgrm", here, text(&plot)]].concat(), &["wait.hgrm", "is the lock file"]);
    refused(&[base, &["--log", here, text(&log), "--", "true"]].concat(), &["worker-9.log", "is the lock file"]);
    refused(&[base, &["--record", text(&own), text(&own)]].concat(), &["own", "is the lock file"]);
    for path in [plot, log, own] {
        assert_eq!(fs::read_to_string(path).unwrap(), "precious");
    }
}

#[test]
fn a_pipe_that_nobody_reads_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let args = ["-w", "1", "--hold", "1ms", "-n", "2", "-o", "json", "--force", "--record", text(&pipe)];
    refused(&args, &["nobody reads it"]);
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::read_to_string(pipe).unwrap()
    });
    // The reader has opened it when the run may begin.
    let ran = wait_for("a reader", || Some(run(&args)).filter(|out| out.status.success()));
    assert!(ran.status.success());
    assert!(reader.join().unwrap().starts_with("{\"type\":\"begin\""));
}

/// A recording may come from anyone.
#[test]
fn a_recording_does_not_reach_for_the_terminal() {
    let (_folder, file) = folder();
    run(&["-w", "1", "--hold", "1ms", "-n", "2", "-o", "json", "--record", text(&file)]);
    let begin = fs::read_to_string(&file).unwrap().lines().next().unwrap().to_owned();
    let seen = r#"{"type":"seen","t":1,"lock":0,"worker":1,"pid":9,"tid":9,"comm":"\u001b[31mEVIL","cmdline":"","user":"","container":null,"kind":"flock","range":null}"#;
    fs::write(&file, format!("{begin}\n{seen}\n{{\"type\":\"\\u001b[31m\",\"t\":2}}\n")).unwrap();
    for output in ["summary", "log", "json"] {
        let out = run(&["replay", "-o", output, text(&file)]);
        assert!(![out.stdout, out.stderr].concat().contains(&0x1b), "{output}");
    }
}

#[test]
fn nothing_but_json_goes_to_standard_output() {
    let out = run(&["-w", "2", "--hold", "1ms", "-n", "5", "-o", "json"]);
    assert_eq!(stdout(&out).lines().count(), 1);
    let out = run(&["-w", "1", "--hold", "1ms", "-d", "20ms", "-o", "json", "--acquire", "poll:1ms"]);
    let none: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(none["handoff_ns"]["count"], 0);
    assert_eq!(none["handoff_ns"]["p50"], Value::Null);
}

#[test]
fn a_file_that_is_there_is_not_overwritten() {
    let (_folder, file) = folder();
    fs::write(&file, "precious").unwrap();
    let args = ["-w", "2", "--hold", "1ms", "-n", "4", "-o", "summary", "--record", text(&file)];
    refused(&args, &["run.jsonl exists", "--force"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    assert_eq!(run(&[&args[..], &["--force"]].concat()).status.code(), Some(0));
    assert!(fs::read_to_string(&file).unwrap().starts_with("{\"type\":\"begin\""));
}

#[test]
fn a_run_that_never_begins_leaves_files_as_they_were() {
    let (folder, file) = folder();
    let plots = folder.path().join("no folder");
    fs::write(&plots, "").unwrap();
    let args = ["-w", "1", "--hold", "1ms", "-n", "4", "-o", "summary", "--record", text(&file)];
    let bad = [&args[..], &["--hgrm", text(&plots)]].concat();
    // Nothing is in the way of the next try.
    refused(&bad, &["no folder"]);
    assert!(!file.exists());
    fs::write(&file, "precious").unwrap();
    refused(&[&bad[..], &["--force"]].concat(), &["no folder"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    let log = folder.path().join("worker-1.log");
    fs::write(&log, "precious").unwrap();
    let command = ["--force", "--log", text(folder.path()), "/nonexistent/lock", "--", "true"];
    refused(&["-w", "1", "-n", "1"].iter().chain(&command).copied().collect::<Vec<_>>(), &["/nonexistent/lock"]);
    assert_eq!(fs::read_to_string(&log).unwrap(), "precious");
}

#[test]
fn a_lock_file_is_never_recorded_to() {
    let (folder, file) = folder();
    fs::write(&file, "precious").unwrap();
    let (link, hard) = (folder.path().join("link"), folder.path().join("hard"));
    std::os::unix::fs::symlink(&file, &link).unwrap();
    fs::hard_link(&file, &hard).unwrap();
    for record in [&file, &link, &hard] {
        let args = ["-n", "4", "-o", "summary", "--force", "--record", text(record), text(&file)];
        refused(&args, &["it is the lock file"]);
        refused(&[&["watch"], &args[..]].concat(), &["it is the lock file"]);
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    }
}

#[test]
fn bad_recordings_are_refused_with_the_line_and_what_was_expected() {
    let (folder, file) = recording();
    let whole = fs::read_to_string(&file).unwrap();
    let other = folder.path().join("other");
    let with = |content: &str, words: &[&str]| {
        fs::write(&other, content).unwrap();
        refused(&["replay", "-o", "summary", text(&other)], &[&["other"], words].concat());
    };
    with("", &["empty"]);
    with("hello\nworld\n", &["line 1", "expected a recording's first line"]);
    with("{\"a\":1}\n", &["line 1", "expected a recording's first line"]);
    with(&whole.replacen("\"schema\":1", "\"schema\":9", 1), &["line 1", "schema 9", "reads schema 1"]);
    let mut lines: Vec<&str> = whole.lines().collect();
    lines[5] = "{\"type\":";
    fs::write(&other, lines.join("\n") + "\n").unwrap();
    // What came before is told to its end, as on a screen, however short it is.
    for (output, words) in [
        ("summary", &["acquisitions in", "! line 6: expected an event"][..]),
        ("log", &["worker-1", "acquisitions in", "! line 6: expected an event"]),
        ("json", &["\"text\":\"line 6: expected an event"]),
        ("jsonl", &["\"type\":\"spawned\"", "\"type\":\"ended\"", "\"type\":\"summary\""]),
        ("perfetto", &["\n]}\n"]),
    ] {
        let out = run(&["replay", "-o", output, text(&other)]);
        assert_eq!(out.status.code(), Some(2), "{output}");
        for word in ["other", "line 6", "expected an event"] {
            assert!(stderr(&out).contains(word), "{output}: {}", stderr(&out));
        }
        for word in words {
            assert!(stdout(&out).contains(word), "{output}: {word:?} is not in {}", stdout(&out));
        }
    }
    refused(&["replay", text(folder.path())], &["a folder"]);
    refused(&["replay", "-o", "summary", "/nonexistent/x"], &["/nonexistent/x", "No such file"]);
    refused(&["replay", text(&file), "-o", "tui"], &["terminal"]);
    // The last line cut: everything before it counts.
    let cut = whole.trim_end().rfind("\"type\":\"released\"").unwrap();
    fs::write(&other, &whole[..cut + 20]).unwrap();
    let out = run(&["replay", "-o", "summary", text(&other)]);
    assert_eq!(out.status.code(), Some(0));
    assert!(stdout(&out).contains("in the middle of line"), "{}", stdout(&out));
    assert!(stdout(&out).contains("acquisitions in"));
}

/// Well-formed, and nothing in it can be true: extreme numbers in any order, text that would take over a terminal.
#[test]
fn a_hostile_recording_breaks_no_face() {
    let (folder, file) = folder();
    let begin = r#"{"type":"begin","schema":1,"version":"","source":"lab","started_at":"","lock":{"path":"\u001b[2J\n","dev":null,"ino":null,"kind":"ofd"},"workers":4294967295,"config":{"hold":"1s","think":"0","shared":255,"acquire":"","keep_open":true,"restart":"","seed":0}}"#;
    let numbers = [0, 1, 1_000_000_000, 1 << 59, (1 << 60) - 1, 1u64 << 60];
    let bodies = [
        r#""type":"spawned""#,
        r#""type":"waiting","mode":"shared""#,
        r#""type":"acquired","mode":"exclusive","seq":N,"waited_ns":M,"contended":true,"handoff_ns":N,"overtaken":18446744073709551615"#,
        r#""type":"released","seq":M,"held_ns":N"#,
        r#""type":"exited","code":null,"signal":-2147483648"#,
        r#""type":"dropped","count":18446744073709551615"#,
        r#""type":"gave_up","waited_ns":N"#,
        r#""type":"violation","seq":18446744073709551615,"other":4294967295,"other_pid":-5"#,
        r#""type":"failed","action":"open","errno":-2147483648"#,
        r#""type":"stopped""#,
        r#""type":"paused""#,
        r#""type":"resumed""#,
        r#""type":"reset""#,
        r#""type":"settings","hold_ns":N,"think_ns":M"#,
        r#""type":"path_changed","was":18446744073709551615,"now":null"#,
        r#""type":"removed""#,
        r#""type":"warning","text":"\u001b[2J\r\n""#,
        r#""type":"finding","kind":"dropped","text":"\u001b]0;x\u0007""#,
    ];
    let mut out = fs::File::create(&file).unwrap();
    writeln!(out, "{begin}").unwrap();
    let mut luck = 7usize;
    let mut pick = |n: usize| {
        luck = luck.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (luck >> 33) % n
    };
    for _ in 0..2000 {
        let (n, m, t) = (numbers[pick(6)].to_string(), numbers[pick(6)].to_string(), numbers[pick(6)]);
        let body = bodies[pick(bodies.len())].replace(":N", &format!(":{n}")).replace(":M", &format!(":{m}"));
        let (worker, pid) = ([1, 2, 3, 77][pick(4)], [-1, 0, 1, i32::MAX, i32::MIN][pick(5)]);
        writeln!(out, "{{{body},\"t\":{t},\"worker\":{worker},\"pid\":{pid}}}").unwrap();
    }
    let plots = folder.path().join("plots");
    for output in ["summary", "json", "log", "jsonl", "perfetto"] {
        let out = run(&["replay", "-o", output, "--hgrm", text(&plots), "--force", text(&file)]);
        assert_eq!((out.status.code(), stderr(&out)), (Some(3), String::new()), "{output}");
        assert!(!out.stdout.is_empty() && !out.stdout.contains(&0x1b), "{output} lets control characters through");
    }
    let mut t = Terminal::start(&["replay", "--speed", "max", text(&file)]);
    t.see("ENDED");
    for keys in ["e", "e", "e", "e", "\t", "w", "w", "!", "!", "r", ">"] {
        t.press(keys);
    }
    t.press("?");
    t.see("arrows scroll");
    t.press("?");
    t.end();
    assert_eq!(t.wait_exit().code(), Some(3));
}

#[test]
fn a_pipe_is_live() {
    let mut source = command(&["-w", "3", "--hold", "1ms", "-o", "jsonl"]).stdout(Stdio::piped()).spawn().unwrap();
    let pipe = source.stdout.take().unwrap();
    let out = std::process::Command::new(env!("CARGO_BIN_EXE_flockmon"))
        .args(["replay", "--no-config", "-o", "log", "-"])
        .stdin(pipe)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut replay = Headless::over(out);
    replay.see("worker-3   acquired");
    signal(source.id() as i32, nix::sys::signal::Signal::SIGTERM);
    let (lines, status) = replay.wait();
    assert_eq!(status, Some(0));
    assert!(lines.contains("acquisitions in"), "{lines}");
    assert_eq!(source.wait().unwrap().code(), Some(0));
}

#[test]
fn a_full_disk_ends_the_recording_but_not_the_run() {
    let out = run(&["-w", "2", "--hold", "1ms", "-n", "60", "-o", "summary", "--force", "--record", "/dev/full"]);
    assert_eq!(out.status.code(), Some(1));
    assert_eq!(stderr(&out).matches("cannot write to the recording /dev/full").count(), 1, "{}", stderr(&out));
    assert!(stdout(&out).contains("60 acquisitions in"), "{}", stdout(&out));
    assert!(stdout(&out).contains("! cannot write to the recording /dev/full"), "{}", stdout(&out));
}

#[test]
fn two_runs_are_compared() {
    let (folder, file) = recording();
    let json = folder.path().join("a.json");
    fs::write(&json, run(&["-w", "3", "--hold", "2ms", "-n", "20", "-o", "json", "--lock", "posix"]).stdout).unwrap();
    let table = stdout(&run(&["compare", text(&file), text(&json)]));
    for words in ["A  ", "\u{b7} flock \u{b7}", "\u{b7} posix \u{b7}", "acquisitions/s", "handoff p99", "0.50"] {
        assert!(table.contains(words), "{words:?} is not in {table}");
    }
    refused(&["compare", text(&file), "/nonexistent"], &["/nonexistent"]);
    let odd = folder.path().join("odd");
    fs::write(&odd, "{}").unwrap();
    refused(&["compare", text(&odd), text(&file)], &["odd", "no summary"]);
}

#[test]
fn a_recording_from_a_pipe_is_compared() {
    let (_folder, file) = recording();
    let mut pipe = command(&["compare", text(&file), "/dev/stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    pipe.stdin.take().unwrap().write_all(&fs::read(&file).unwrap()).unwrap();
    let out = pipe.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", stderr(&out));
    assert!(stdout(&out).contains("acquisitions                40          40     1.00"), "{}", stdout(&out));
}

/// What is compared of a watch of several locks is said.
#[test]
fn of_several_locks_the_first_is_compared() {
    let (_folder, file) = folder();
    let lock = |n: u32| format!(r#""path":"/run/{n}","dev":"8:1","ino":{n},"kind":"flock""#);
    let begin = format!(
        r#"{{"type":"begin","schema":1,"version":"0","source":"watch","started_at":"","lock":{{{}}},"workers":0,"config":{{"how":"exact","precision_ns":0,"list":true,"blind":[]}}}}"#,
        lock(0)
    );
    let announced = |n: u32| format!(r#"{{"type":"lock","t":0,"lock":{n},{}}}"#, lock(n));
    fs::write(&file, [begin, announced(0), announced(1)].join("\n") + "\n").unwrap();
    let table = stdout(&run(&["compare", text(&file), text(&file)]));
    assert_eq!(table.matches("/run/0 \u{b7} the first of 2 locks").count(), 2, "{table}");
}

#[test]
fn a_trace_has_a_slice_for_each_wait_and_hold_and_an_arrow_for_each_handoff() {
    let (_folder, file) = folder();
    let out =
        run(&["-w", "5", "--hold", "1ms", "--think", "100us", "-n", "300", "-o", "perfetto", "--record", text(&file)]);
    let live: Value = serde_json::from_slice(&out.stdout).unwrap();
    let again: Value = serde_json::from_slice(&run(&["replay", "-o", "perfetto", text(&file)]).stdout).unwrap();
    let summary: Value = serde_json::from_slice(&run(&["replay", "-o", "json", text(&file)]).stdout).unwrap();
    for trace in [live, again] {
        let entries = trace["traceEvents"].as_array().unwrap();
        let of = |ph: &str| entries.iter().filter(|e| e["ph"] == ph).collect::<Vec<_>>();
        let ended = |name: &str| {
            of("X").into_iter().filter(|e| e["name"] == name && e["args"]["end"] != "run ended").count() as u64
        };
        assert_eq!(Some(ended("hold")), summary["hold_ns"]["count"].as_u64());
        let won = of("X").into_iter().filter(|e| e["name"] == "wait" && e["args"]["end"].is_null()).count() as u64;
        assert_eq!(Some(won), summary["contended"].as_u64());
        let arrows = |ph: &str| of(ph).iter().map(|e| e["id"].as_u64().unwrap()).collect::<Vec<_>>();
        assert_eq!(arrows("s"), arrows("f"));
        assert_eq!(Some(arrows("s").len() as u64), summary["handoff_ns"]["count"].as_u64());
        // On each track, slices follow each other and never overlap; µs as numbers have room for 1 ns of rounding.
        for worker in 1..=5 {
            let mut slices: Vec<(f64, f64)> = of("X")
                .iter()
                .filter(|e| e["tid"] == worker)
                .map(|e| (e["ts"].as_f64().unwrap(), e["dur"].as_f64().unwrap()))
                .collect();
            slices.sort_by(|a, b| a.0.total_cmp(&b.0));
            assert!(slices.len() > 2);
            assert!(slices.windows(2).all(|w| w[0].0 + w[0].1 <= w[1].0 + 0.002), "worker {worker}: {slices:?}");
            // An arrow's ends lie in slices of their tracks.
            for e in of("s").iter().filter(|e| e["tid"] == worker) {
                let t = e["ts"].as_f64().unwrap();
                assert!(slices.iter().any(|s| s.0 <= t + 0.002 && t <= s.0 + s.1), "{e}");
            }
        }
    }
}

#[test]
fn histograms_leave_as_hgrm() {
    let (folder, file) = recording();
    let to = folder.path().join("plots");
    let args = ["replay", "-o", "summary", "--hgrm", text(&to), text(&file)];
    assert_eq!(run(&args).status.code(), Some(0));
    for name in ["wait", "hold", "handoff"] {
        let plot = fs::read_to_string(to.join(format!("{name}.hgrm"))).unwrap();
        assert!(plot.contains("1/(1-Percentile)") && plot.contains("#[Max"), "{plot}");
    }
    assert!(fs::read_to_string(to.join("wait.hgrm")).unwrap().contains("Total count    =           40]"));
    refused(&args, &["wait.hgrm exists", "--force"]);
}

#[test]
fn progress_is_for_people_only() {
    let (_folder, file) = folder();
    let mut t = Terminal::start(&["-w", "2", "--hold", "1ms", "-d", "1h", "-o", "json", "--record", text(&file)]);
    t.see("of 01:00:00");
    t.press("\x03");
    t.wait_exit();
    t.see("\"schema\":1");
    let out = run(&["-w", "2", "--hold", "1ms", "-n", "50", "-o", "json"]);
    assert!(out.stderr.is_empty(), "{}", stderr(&out));
}

#[test]
fn a_reader_that_stalls_slows_nobody() {
    let mut child = command(&["-w", "2", "--hold", "0", "--keep-open", "-n", "2000000", "-o", "jsonl"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Nobody reads until the workers have won all; then what is left in the pipe is read.
    wait_for("the workers", || (!children(child.id() as i32).is_empty()).then_some(()));
    wait_for("the workers to be through", || children(child.id() as i32).is_empty().then_some(()));
    let mut lines = Vec::new();
    std::io::Read::read_to_end(&mut child.stdout.take().unwrap(), &mut lines).unwrap();
    child.wait().unwrap();
    let last: Value = serde_json::from_slice(lines.trim_ascii_end().rsplit(|b| *b == b'\n').next().unwrap()).unwrap();
    // On a machine that has no core to spare the monitor itself may come late; what that cost is counted.
    let known = last["acquisitions"].as_u64().unwrap() + last["dropped"].as_u64().unwrap();
    assert!(known >= 2_000_000, "{last}");
    let lost: u64 = String::from_utf8(lines)
        .unwrap()
        .lines()
        .filter(|l| l.contains("\"type\":\"dropped\"") && !l.contains("worker"))
        .map(|l| serde_json::from_str::<Value>(l).unwrap()["count"].as_u64().unwrap())
        .sum();
    assert!(lost > 0);
}

/// A made-up recording: one worker wins every second, for `seconds`; it is killed in the middle.
fn made_up(file: &Path, seconds: u64) {
    made_up_of(file, seconds, 1_000_000_000);
}

/// The same of so many `turns` of `each` ns, nine tenths of which are held.
fn made_up_of(file: &Path, turns: u64, each: u64) {
    let mut out = std::io::BufWriter::new(fs::File::create(file).unwrap());
    let begin = r#"{"type":"begin","schema":1,"version":"0","source":"lab","started_at":"2026-01-01T00:00:00Z","lock":{"path":"/run/jobs.lock","dev":null,"ino":null,"kind":"flock"},"workers":1,"config":{"hold":"1s","think":"0","shared":0,"acquire":"block","keep_open":false,"restart":"always","seed":1}}"#;
    writeln!(out, "{begin}").unwrap();
    writeln!(out, r#"{{"type":"spawned","t":0,"worker":1,"pid":7}}"#).unwrap();
    let held = each / 10 * 9;
    for n in 0..turns {
        let (t, seq) = (n * each, n + 1);
        writeln!(out, r#"{{"type":"acquired","t":{t},"worker":1,"pid":7,"mode":"exclusive","seq":{seq},"waited_ns":0,"contended":false,"handoff_ns":null,"overtaken":0}}"#).unwrap();
        writeln!(out, r#"{{"type":"released","t":{},"worker":1,"pid":7,"seq":{seq},"held_ns":{held}}}"#, t + held)
            .unwrap();
        if n == turns / 2 {
            let t = t + held + each / 20;
            writeln!(out, r#"{{"type":"exited","t":{t},"worker":1,"pid":7,"code":null,"signal":9}}"#).unwrap();
        }
    }
    writeln!(out, r#"{{"type":"ended","t":{}}}"#, turns * each).unwrap();
    out.flush().unwrap();
}

#[test]
fn a_recording_plays_on_the_screen_forth_and_back() {
    let (_folder, file) = folder();
    made_up(&file, 3600);
    let mut t = Terminal::start(&["replay", text(&file)]);
    t.see("01:00:00");
    t.press(" ");
    t.see("PAUSED");
    t.press("n");
    t.see("killed by signal 9");
    t.see("00:30:00");
    t.press(".");
    t.see("acquired #1802");
    t.press("\x1b[D");
    t.see("00:29:51");
    t.press("\x1b[C");
    t.see("00:30:01");
    t.press("k");
    t.see("this is a recording");
    t.press("n");
    t.see("ENDED");
    std::fs::rename(&file, file.with_extension("moved")).unwrap();
    t.press("\x1b[D");
    t.see("cannot open");
    std::fs::rename(file.with_extension("moved"), &file).unwrap();
    t.press("\x1b[D");
    t.see("00:59:50");
    let printed = t.end();
    assert!(printed.contains("acquisitions in"), "{printed}");
}

/// At this speed the end is due long before it is read.
#[test]
fn a_fast_replay_gives_the_figures_of_the_recording() {
    let (_folder, file) = folder();
    made_up_of(&file, 40_000, 10_000);
    let mut t = Terminal::start(&["replay", "--speed", "1000", text(&file)]);
    let screen = t.see("ENDED");
    assert!(screen.contains("ENDED  00:00:00") && screen.contains("100k/s"), "{screen}");
    let printed = t.end();
    let words = stdout(&run(&["replay", "-o", "summary", text(&file)]));
    for line in words.lines().take(4) {
        assert!(printed.contains(line), "{line:?} is not in {printed}");
    }
}
