//! Settings of the real program: from files, the environment and the command line, seen on the screen.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;
use std::path::Path;
use support::{Terminal, command, refused, run};
use vt100::Color;

/// A folder that `XDG_CONFIG_HOME` can name, with this configuration.
fn home(config: &str) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("flockmon")).unwrap();
    std::fs::write(home.path().join("flockmon/config.toml"), config).unwrap();
    home
}

fn at<'p>(path: &'p Path, args: &[&'p str]) -> Vec<&'p str> {
    [&["--config", path.to_str().unwrap()], args].concat()
}

fn printed(args: &[&str]) -> String {
    let out = run(&[args, &["--print-config"]].concat());
    assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn what_is_wrong_in_a_file_is_told_before_anything_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("my.toml");
    let lock = folder.path().join("lock");
    for (text, words) in [
        ("fps = 30\nthme = \"dark\"\n", &["my.toml:2:", "thme", "did you mean theme?"][..]),
        ("workers = 0\n", &["my.toml:1:", "--workers", "1 to 10000"]),
        ("[keys]\nstep = \"n\"\n", &["my.toml:2:", "step and next-landmark both have the key n"]),
        ("theme = \"drak\"\n", &["my.toml:1:", "did you mean dark?"]),
        ("theme = \"none.toml\"\n", &["none.toml", "No such file", "flockmon theme dark > FILE"]),
        ("a = [", &["my.toml:1:", "not TOML"]),
    ] {
        std::fs::write(&path, text).unwrap();
        refused(&at(&path, &[lock.to_str().unwrap()]), words);
    }
    refused(&["--config", "/nonexistent/config.toml"], &["/nonexistent/config.toml", "No such file", "--no-config"]);
    refused(&["--theme", "drak"], &["drak", "did you mean dark?"]);
    refused(&["--theme", "./none"], &["./none", "No such file"]);
    assert!(!lock.exists());
}

#[test]
fn the_file_in_the_usual_place_is_read_and_a_variable_is_stronger() {
    let home = home("hold = \"7ms\"\nworkers = 3\n");
    let told = |args: &[&str], env: &[(&str, &str)]| {
        let mut command = command(&[args, &["--print-config"]].concat());
        let out = command.env("XDG_CONFIG_HOME", home.path()).envs(env.iter().copied()).output().unwrap();
        String::from_utf8(out.stdout).unwrap()
    };
    assert!(told(&[], &[]).contains("\nhold = \"7ms\"\n"));
    let text = told(&["-w", "5"], &[("FLOCKMON_HOLD", "8ms"), ("FLOCKMON_WORKERS", "4"), ("FLOCKMON_ASCII", "1")]);
    assert!(
        text.contains("\nhold = \"8ms\"\n") && text.contains("\nworkers = 5\n") && text.contains("\nascii = true\n")
    );
    assert!(told(&["--no-config"], &[]).contains("\nhold = \"1s\"\n"));
    let out = command(&["--print-config"]).env("FLOCKMON_FPS", "0").output().unwrap();
    assert_eq!(out.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&out.stderr).contains("FLOCKMON_FPS in the environment"));
}

#[test]
fn printed_settings_are_read_back_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("all.toml");
    let first = printed(&["--theme", "light", "--think", "exp:1ms", "--keep-open", "-o", "summary"]);
    std::fs::write(&path, &first).unwrap();
    assert_eq!(first, printed(&at(&path, &[])));
    assert_ne!(first, printed(&[]));
}

#[test]
fn themes_are_printed_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let list = String::from_utf8(run(&["theme"]).stdout).unwrap();
    assert_eq!(list.lines().count(), 5, "{list}");
    for name in list.lines().filter_map(|line| line.split_whitespace().next()) {
        let out = run(&["theme", name]);
        assert_eq!(out.status.code(), Some(0));
        let path = folder.path().join(format!("{name}.toml"));
        std::fs::write(&path, &out.stdout).unwrap();
        let out = run(&["--theme", path.to_str().unwrap(), "-n", "1", "--hold", "0", "-w", "1", "-o", "summary"]);
        assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
    }
    refused(&["theme", "drak"], &["drak", "dark"]);
}

#[test]
fn keys_of_the_users_own_take_the_place_of_ours() {
    let home = home("[keys]\nkill-holder = \"K\"\nhelp = \"f1\"\nback = [\"esc\", \"b\"]\n");
    let env = [("XDG_CONFIG_HOME", home.path().to_str().unwrap())];
    let mut terminal = Terminal::start_sized(&["--workers", "3", "--hold", "1h"], 36, 120, &env);
    terminal.see("holding");
    terminal.see("K kill holder");
    terminal.see("f1 help");
    // Without a meaning now; the help that opens after it shows that it has been read.
    terminal.press("k?");
    terminal.press("\x1bOP");
    let text = terminal.see("f1 or esc closes");
    assert!(!text.contains("killed worker-"), "{text}");
    terminal.press("b");
    terminal.see_that("no help", |t| !t.contains("closes"));
    terminal.press("K");
    terminal.see("killed worker-");
    terminal.press("q");
    assert_eq!(terminal.wait_exit().code(), Some(0));
}

#[test]
fn as_many_colours_as_the_terminal_has() {
    let args = ["-w", "2", "--hold", "1h", "--theme", "safe"];
    for (colorterm, term, holding) in [
        ("truecolor", "xterm", Color::Rgb(0xf0, 0xe4, 0x42)),
        ("", "xterm-256color", Color::Idx(221)),
        ("", "xterm", Color::Idx(11)),
    ] {
        let mut terminal = Terminal::start_sized(&args, 24, 80, &[("COLORTERM", colorterm), ("TERM", term)]);
        terminal.see("● holding");
        assert_eq!(terminal.color_of("● holding"), Some(holding), "{colorterm} {term}");
        terminal.press("q");
        terminal.wait_exit();
    }
}

#[test]
fn the_settings_that_the_readme_shows_are_good() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let text = readme.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    std::fs::write(&path, text).unwrap();
    std::fs::write(folder.path().join("mine.toml"), run(&["theme", "dark"]).stdout).unwrap();
    let told = printed(&at(&path, &[]));
    assert!(told.contains("kill-holder = [\"K\", \"ctrl-k\"]") && told.contains("stall-holder = []"), "{told}");
}

#[test]
fn a_theme_named_from_here_is_found_from_anywhere() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(here.path().join("mine.toml"), "").unwrap();
    let out = command(&["--theme", "mine.toml", "--print-config"]).current_dir(here.path()).output().unwrap();
    let path = there.path().join("config.toml");
    std::fs::write(&path, out.stdout).unwrap();
    assert!(printed(&at(&path, &[])).contains(here.path().join("mine.toml").to_str().unwrap()));
}

#[test]
fn thresholds_stand_in_a_table_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    let print = |text: &str, more: &[&str]| {
        std::fs::write(&file, text).unwrap();
        run(&[&["--config", file.to_str().unwrap(), "--print-config"], more].concat())
    };
    let out = print("[findings]\nstarvation-wait = \"7s\"\n", &[]);
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(text.contains("starvation-wait = \"7s\""), "{text}{}", String::from_utf8_lossy(&out.stderr));
    // What is printed is read back as it is, and the command line is stronger.
    assert_eq!(String::from_utf8_lossy(&print(&text, &[]).stdout), text);
    let out = print(&text, &["--threshold", "starvation-wait=9s"]);
    assert!(String::from_utf8_lossy(&out.stdout).contains("starvation-wait = \"9s\""));
    let out = print("[findings]\nstarvation-wiat = \"7s\"\n", &[]);
    let error = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(2));
    assert!(error.contains("config.toml:2") && error.contains("starvation-wait"), "{error}");
}
