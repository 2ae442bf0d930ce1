//! What the screen looks like, at each size and in each state; and that no size and no key breaks it.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "support/scene.rs"]
mod scene;
#[path = "support/svg.rs"]
mod svg;
#[path = "support/watched.rs"]
mod watched;

use flockmon::cli::ThemeName;
use flockmon::event::{Acquisition, Begin, Event, How, Keeper, LockInfo, LockMode, Setup, Task, What};
use flockmon::model::{Locks, State};
use flockmon::source::{Child, Children, Position};
use flockmon::tui::keymap::Place;
use flockmon::tui::{Column, Ui};

use proptest::prelude::*;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ratatui::style::Color;
use scene::{S, buffer, busy, empty, run, tell, text};

const SIZES: [(u16, u16); 4] = [(120, 36), (80, 24), (40, 10), (39, 9)];

// Keys without a letter, in the strings that tests press.
const LEFT: char = '\u{1}';
const RIGHT: char = '\u{2}';
const PAGE_UP: char = '\u{3}';
const PAGE_DOWN: char = '\u{4}';
const ESCAPE: char = '\u{5}';

fn unicode() -> Ui {
    scene::ui(false, ThemeName::Auto)
}

fn press(ui: &mut Ui, model: &Locks, keys: &str) {
    for c in keys.chars() {
        let code = match c {
            '\r' => KeyCode::Enter,
            '\t' => KeyCode::Tab,
            'v' => KeyCode::Down,
            LEFT => KeyCode::Left,
            RIGHT => KeyCode::Right,
            PAGE_UP => KeyCode::PageUp,
            PAGE_DOWN => KeyCode::PageDown,
            ESCAPE => KeyCode::Esc,
            c => KeyCode::Char(c),
        };
        let _ = ui.on_key(KeyEvent::new(code, KeyModifiers::NONE), model);
    }
}

fn shots(name: &str, model: &Locks, keys: &str, sizes: &[(u16, u16)]) {
    for (width, height) in sizes {
        let mut ui = unicode();
        press(&mut ui, model, keys);
        insta::assert_snapshot!(format!("{name}_{width}x{height}"), text(&buffer(model, &mut ui, *width, *height)));
    }
}

#[test]
fn nothing_yet() {
    shots("empty", &empty(10), "", &SIZES[..1]);
}

#[test]
fn busy_at_every_size() {
    shots("busy", &busy(), "", &SIZES);
}

#[test]
fn paused() {
    let mut model = busy();
    let now = model.now();
    tell(&mut model, now, 0, What::Paused);
    model.advance(now + 5 * S);
    shots("paused", &model, "", &SIZES[1..2]);
}

/// With the lists and panels that keys open, and with what lies over them.
#[test]
fn in_a_pause_nothing_but_the_first_line_moves() {
    let mut model = busy();
    let now = model.now();
    tell(&mut model, now, 0, What::Paused);
    model.advance(now + S);
    for (width, height) in SIZES.into_iter().chain([(200, 60)]) {
        for keys in ["", "e", "ee", "eee", "s", "/w", "f", "?", "!", "\r"] {
            let mut ui = unicode();
            press(&mut ui, &model, keys);
            let mut shown = buffer(&model, &mut ui, width, height);
            let mut later = model.clone();
            later.advance(now + 4 * S);
            let alone = scene::first_line(&later, &ui, &mut shown);
            assert_eq!(alone, ui.overlay.is_none() && width >= 40, "{keys:?} at {width}x{height}");
            let whole = buffer(&later, &mut ui, width, height);
            assert!(!alone || shown == whole, "{keys:?}: {}\n\n{}", text(&shown), text(&whole));
            let t = later.now();
            ui.position = Some(Position { t, length: None, speed: Some(1.0), paused: false, ended: false });
            assert!(!scene::first_line(&later, &ui, &mut shown), "its position moves");
        }
    }
}

#[test]
fn a_recording() {
    let model = busy();
    for (width, height) in &SIZES[..3] {
        let mut ui = unicode();
        as_recorded(&mut ui, model.now());
        insta::assert_snapshot!(format!("recording_{width}x{height}"), text(&buffer(&model, &mut ui, *width, *height)));
    }
}

#[test]
fn a_stopped_holder_and_a_replaced_file() {
    let mut model = busy();
    let now = model.now();
    let holder = model.first().holders().next().unwrap().id;
    tell(&mut model, now, holder, What::Stopped);
    shots("stopped", &model, "", &SIZES[..3]);
    tell(&mut model, now, 0, What::PathChanged { was: 42, now: Some(57) });
    shots("findings", &model, "!", &SIZES[..1]);
}

/// `keys` as a configuration binds them: an action and its key, or none.
fn bound(place: Place, keys: &[(&str, &str)]) -> Ui {
    let mut ui = unicode();
    ui.place = place;
    for (action, key) in keys {
        let chords = key.split_whitespace().map(|k| k.parse().unwrap()).collect();
        ui.keys.rebind(action, chords).unwrap();
    }
    assert_eq!(ui.keys.conflict(), None);
    ui
}

/// What the screen says of keys is true of those that are bound, and of the screen.
#[test]
fn texts_name_the_keys_that_are_bound() {
    let mut model = busy();
    let now = model.now();
    let holder = model.first().holders().next().unwrap().id;
    tell(&mut model, now, holder, What::Stopped);
    let finding = |place: Place, keys: &[(&str, &str)]| text(&buffer(&model, &mut bound(place, keys), 120, 36));
    let fact = "is stopped and keeps the lock: ";
    let says = |shown: &str, what: &str| assert!(shown.contains(&format!("{fact}{what}")), "{what}:\n{shown}");
    says(&finding(Place::Lab, &[]), "press s to resume or k to kill");
    says(&finding(Place::Watch, &[]), "press s to resume or k to kill");
    says(
        &finding(Place::Lab, &[("stall-holder", "ctrl-s"), ("kill-holder", "K k")]),
        "press ctrl-s to resume or K to kill",
    );
    says(&finding(Place::Lab, &[("stall-holder", "")]), "resume it (SIGCONT), or press k to kill");
    for place in [Place::ReadOnly, Place::Replay] {
        says(&finding(place, &[]), "resume it (SIGCONT) or kill it");
    }

    // The titles of what lies over the panels, opened by keys of their own.
    let (other, none) = (
        [("back", "b"), ("page-up", "P"), ("page-down", "N"), ("up", "U"), ("down", "D")],
        [("back", ""), ("page-up", ""), ("page-down", ""), ("up", ""), ("down", "")],
    );
    let title = |keys: &[(&str, &str)], open: &str, width: u16| {
        let mut ui = bound(Place::Lab, keys);
        press(&mut ui, &model, open);
        text(&buffer(&model, &mut ui, width, 36))
    };
    for (open, was, with_other, with_none) in [
        ("?", "keys · ? or esc closes, arrows scroll ─", "keys · ? or b closes, U/D scroll ─", "keys · ? closes ─"),
        ("!", "findings · ! or esc closes ─", "findings · ! or b closes ─", "findings · ! closes ─"),
        (
            "\r",
            "· enter or esc closes, arrows: the next one, pgup/pgdn scroll ─",
            "· enter or b closes, U/D: the next one, P/N scroll ─",
            "· enter closes ─",
        ),
    ] {
        for (keys, what) in [(&[][..], was), (&other, with_other), (&none, with_none)] {
            let shown = title(keys, open, 120);
            assert!(shown.contains(what), "{what}:\n{shown}");
        }
    }

    // What a key says that cannot do anything.
    let said = |keys: &[(&str, &str)], pressed: &str| {
        let mut ui = bound(Place::Lab, keys);
        press(&mut ui, &model, pressed);
        ui.message.unwrap()
    };
    assert_eq!(said(&[], "x"), "select a worker first, with arrows or the mouse");
    assert_eq!(said(&other, "x"), "select a worker first, with U/D or the mouse");
    assert_eq!(said(&none, "x"), "select a worker first, with the mouse");
    let whole_run = format!("w{LEFT}");
    assert_eq!(said(&[], &whole_run), "the timeline shows the whole run: press w for a shorter window");
    let (other, whole_run) = ([("window", "W w")], format!("W{LEFT}"));
    assert_eq!(said(&other, &whole_run), "the timeline shows the whole run: press W for a shorter window");
}

/// The holder has been killed, and nobody has the lock yet.
fn killed() -> Locks {
    let mut model = busy();
    let now = model.now();
    let holder = model.first().holders().next().unwrap().id;
    tell(&mut model, now, holder, What::Exited { code: None, signal: Some(9) });
    model
}

/// What was found out late stands where it happened; nothing is cut, and there is no heading above nothing.
#[test]
fn what_happened_lately_is_in_order() {
    let mut model = busy();
    let now = model.now();
    let listed = |model: &Locks, width| {
        let mut ui = unicode();
        press(&mut ui, model, "!");
        text(&buffer(model, &mut ui, width, 24))
    };
    assert!(!listed(&model, 80).contains("lately"));
    tell(&mut model, now, 1, What::Exited { code: None, signal: Some(9) });
    tell(&mut model, now - 5 * S, 2, What::Violation { seq: 9, other: 3, other_pid: 1903 });
    let screen = listed(&model, 80);
    let at = |what: &str| screen.find(what).unwrap_or_else(|| panic!("{what}: {screen}"));
    assert!(at("was killed") < at("worker-2 (pid 1902) won the lock"), "{screen}");
    let narrow = listed(&model, 40);
    assert!(narrow.contains("00:01:18  worker-2 (pid") && narrow.contains("held it"), "{narrow}");
}

/// Where more has happened than there is room for, that is said, and it can be scrolled to.
#[test]
fn what_happened_lately_scrolls() {
    let mut model = busy();
    let now = model.now();
    for n in 1..=25 {
        tell(&mut model, now + n * S / 10, 3, What::Exited { code: None, signal: Some(9) });
    }
    let listed = |keys: &str, (width, height): (u16, u16)| {
        let mut ui = unicode();
        for key in keys.chars() {
            press(&mut ui, &model, &key.to_string());
            buffer(&model, &mut ui, width, height);
        }
        assert_eq!(ui.selected, None, "what is scrolled is what is seen");
        text(&buffer(&model, &mut ui, width, height))
    };
    let kills = |screen: &str| screen.matches("worker-3 (pid 1903) was killed").count();
    let screen = listed("!", (100, 30));
    assert!(screen.contains("findings \u{b7} ! or esc closes, arrows scroll \u{2500}"), "{screen}");
    assert!(screen.contains(" 1\u{2013}22 of 29 rows "), "{screen}");
    assert_eq!(kills(&screen), 18, "{screen}");
    let end = listed("!G", (100, 30));
    assert!(end.contains(" 8\u{2013}29 of 29 rows ") && kills(&end) == 22, "{end}");
    assert_eq!(listed(&format!("!{PAGE_DOWN}"), (100, 30)), end);
    assert_eq!(listed("!vvg", (100, 30)), screen);
    insta::assert_snapshot!("findings_scrolled_40x10", listed("!vv", (40, 10)));
}

/// The line above the holder takes a second row rather than be cut beside an empty one.
#[test]
fn a_finding_is_not_cut_where_there_is_room() {
    let mut model = busy();
    let now = model.now();
    tell(&mut model, now, 0, What::Dropped { count: 3 });
    let missing = |name: &str, width| {
        let mut model = model.clone();
        tell(&mut model, now, 0, What::Warning { text: name.into() });
        let screen = text(&buffer(&model, &mut unicode(), width, 36));
        let cut = screen.lines().skip(1).take(2).any(|line| line.contains('\u{2026}'));
        (cut || screen.lines().nth(2).unwrap().is_empty()).then_some(screen)
    };
    for width in 80..=120 {
        for words in 1..24 {
            let name = "four ".repeat(words);
            let screen = missing(name.trim_end(), width);
            assert!(screen.is_none(), "{}", screen.unwrap_or_default());
        }
    }
}

/// Two workers at two locks, each with what the other waits for; a third waits at the second one.
fn crossed() -> Locks {
    let mut model = empty(3);
    let second = LockInfo { name: "/run/second.lock".into(), ..model.begin().lock.clone() };
    let mut tell = |t, lock, actor: u32, what| {
        model.apply(&Event { t, lock, actor, pid: if actor == 0 { 0 } else { 1900 + actor as i32 }, what });
    };
    tell(0, 1, 0, What::Announced(Box::new(second)));
    (1..=3).for_each(|id| tell(0, 0, id, What::Spawned));
    let mode = LockMode::Exclusive;
    for (id, first, second) in [(1, 0, 1), (2, 1, 0)] {
        let won = Acquisition { mode, seq: 1, waited_ns: 900, contended: false, handoff_ns: None, overtaken: 0 };
        tell(S / 100, first, id, What::Acquired(won));
        tell(S, second, id, What::Waiting { mode });
    }
    tell(S / 50, 1, 3, What::Waiting { mode });
    model.advance(9 * S);
    model
}

#[test]
fn a_deadlock_is_seen_from_either_lock() {
    shots("deadlock", &crossed(), "", &SIZES[..3]);
    let mut ui = unicode();
    press(&mut ui, &crossed(), &ESCAPE.to_string());
    assert!(text(&buffer(&crossed(), &mut ui, 80, 24)).contains("locks \u{b7} 2"), "the list");
    press(&mut ui, &crossed(), "v\r");
    let screen = text(&buffer(&crossed(), &mut ui, 120, 36));
    assert!(screen.contains("worker-3  1903 \u{25cc} waiting") && screen.contains("lock 2 of 2"), "{screen}");
}

/// While the release of one holder is yet to be told, there is but one; where exclusion is broken, there are two.
#[test]
fn two_that_hold_an_exclusive_lock() {
    let mut model = busy();
    let t = model.now();
    let won = Acquisition {
        mode: LockMode::Exclusive,
        seq: 1000,
        waited_ns: S,
        contended: true,
        handoff_ns: None,
        overtaken: 0,
    };
    tell(&mut model, t, 2, What::Acquired(won));
    let verdict = |model: &Locks| text(&buffer(model, &mut unicode(), 120, 36)).lines().nth(2).unwrap().to_owned();
    assert!(verdict(&model).contains("worker-2 (pid 1902) has held it for"), "{}", verdict(&model));
    tell(&mut model, t, 2, What::Violation { seq: 1000, other: 1, other_pid: 1901 });
    let screen = text(&buffer(&model, &mut unicode(), 120, 36));
    assert!(screen.contains("2 hold it at once, the first for"), "{screen}");
}

#[test]
fn a_child_that_keeps_the_lock_of_a_dead_worker() {
    let mut model = killed();
    let t = model.now();
    let dead = model.first().actors().iter().find(|a| a.state == State::Killed).unwrap();
    let (name, pid) = (dead.name(), dead.pid);
    let task = Task { comm: name.clone(), ..Task::default() };
    let mut tell = |what| model.apply(&Event { t, lock: 0, actor: 11, pid, what });
    tell(What::Seen(Box::new(task)));
    tell(What::Found { mode: LockMode::Exclusive, holds: true });
    tell(What::Keepers(Box::new([Keeper { pid: 1950, fd: 3, comm: "flockmon-child".into() }])));
    model.advance(t + 2 * S);
    shots("inherited", &model, "", &SIZES[..1]);
    let screen = text(&buffer(&model, &mut unicode(), 120, 36));
    assert!(screen.contains("10 workers"), "the child is none: {screen}");
    assert!(screen.contains(&format!("flockmon-child (pid 1950) keeps what {name} took")), "{screen}");
    let rows = |name: &str| screen.lines().filter(|l| l.starts_with(&format!("\u{2502}  {name} "))).count();
    assert_eq!((rows(&name), rows("child of 10")), (1, 1), "{screen}");
}

/// The lanes of the timeline that are shown, by name.
fn lanes_of(screen: &str) -> Vec<String> {
    let below = screen.lines().skip_while(|line| !line.contains("\u{256d} timeline"));
    let lanes = below.filter(|line| line.contains("worker-") || line.contains("child of"));
    lanes.map(|line| line.chars().skip(2).take(12).collect::<String>().trim_end().to_owned()).collect()
}

/// The timeline has rows for all where the table leaves them, and says which it shows where it does not.
#[test]
fn the_timeline_says_which_rows_it_shows() {
    let screen = |model: &Locks, keys: &str, (width, height): (u16, u16)| {
        let mut ui = unicode();
        press(&mut ui, model, keys);
        text(&buffer(model, &mut ui, width, height))
    };
    let two_rows = screen(&scene::starved(), "", SIZES[0]);
    assert!(!two_rows.lines().nth(2).unwrap().starts_with('\u{256d}'), "its finding takes two rows: {two_rows}");
    assert_eq!(lanes_of(&two_rows).len(), 10, "{two_rows}");
    assert!(two_rows.contains("timeline \u{b7} 30 s \u{2500}"), "{two_rows}");
    let some = screen(&run(100, S / 100, 20 * S), "eeeg", (100, 30));
    let shown = lanes_of(&some).len();
    assert!(some.contains(&format!("timeline \u{b7} 30 s, 1\u{2013}{shown} of 100 ")), "{some}");
    let end = screen(&run(100, S / 100, 20 * S), "eeeG", (100, 30));
    assert!(end.contains(&format!(", {}\u{2013}100 of 100 ", 101 - shown)), "{end}");
}

#[test]
fn what_a_dead_worker_left_stands_below_it() {
    let mut model = busy();
    let t = model.now();
    let task = Task { comm: "worker-8".into(), ..Task::default() };
    model.apply(&Event { t, lock: 0, actor: 11, pid: 1908, what: What::Seen(Box::new(task)) });
    model.apply(&Event { t, lock: 0, actor: 12, pid: 1912, what: What::Spawned });
    let lanes = lanes_of(&text(&buffer(&model, &mut unicode(), 120, 36)));
    assert_eq!(lanes[7..10], ["worker-8", "child of 8", "worker-9"]);
}

#[test]
fn a_killed_holder() {
    shots("killed", &killed(), "", &SIZES[..1]);
}

/// Three workers run a command, which fails at times; what it writes is shown beside.
#[test]
fn a_command_under_the_lock() {
    let command = ["./deploy.sh", "--all"].map(String::from).to_vec();
    let setup = Setup { command: Some(command), ..Setup::default() };
    let mut model = Locks::new(Begin { setup, hold_ns: 0, ..empty(3).begin().clone() });
    for seq in 1..=30 {
        let (t, id, mode) = (seq * S, (seq % 3) as u32 + 1, LockMode::Exclusive);
        let acquired =
            Acquisition { mode, seq, waited_ns: 2 * S, contended: true, handoff_ns: Some(40_000), overtaken: 2 };
        tell(&mut model, t, id, What::Acquired(acquired));
        if seq == 30 {
            break;
        }
        let (code, signal) = if seq == 19 { (None, Some(9)) } else { (Some(if seq % 7 == 0 { 3 } else { 0 }), None) };
        let ran_ns = S - seq * 1_000_000;
        tell(&mut model, t + ran_ns, id, What::Ran { seq, code, signal, ran_ns });
        tell(&mut model, t + ran_ns, id, What::Released { seq, held_ns: ran_ns });
        tell(&mut model, t + ran_ns, id, What::Waiting { mode });
    }
    model.advance(30 * S + S / 2);
    shots("command", &model, "", &SIZES[..2]);
    let written = b"\x1b[32mok\x1b[0m\tconfig checked\n 10 %\r100 %\ndeployed to host-2\n";
    for (width, height) in &SIZES[..3] {
        let mut ui = unicode();
        press(&mut ui, &model, "vv\r");
        ui.output = Some((2, written.to_vec()));
        insta::assert_snapshot!(format!("runs_{width}x{height}"), text(&buffer(&model, &mut ui, *width, *height)));
    }
    let mut ascii = scene::ui(true, ThemeName::Auto);
    press(&mut ascii, &model, "vv\r");
    ascii.output = Some((2, "\u{b5}s \u{4e2d}\n".into()));
    assert!(text(&buffer(&model, &mut ascii, 120, 36)).is_ascii());

    // In a frozen view that of the worker in detail is kept, and no other one's.
    let mut ui = unicode();
    press(&mut ui, &model, "vv\rf");
    ui.output = Some((2, written.to_vec()));
    let mut shows = |keys: &str, place: Place, what: &str| {
        press(&mut ui, &model, keys);
        ui.place = place;
        let screen = text(&buffer(&model, &mut ui, 120, 36));
        assert!(screen.contains(what), "{what}: {screen}");
        assert_eq!(screen.contains("deployed to host-2"), what.ends_with("its end"), "{screen}");
    };
    shows("", Place::Lab, "output \u{b7} its end");
    shows("v", Place::Lab, "output \u{b7} not kept in a frozen view");
    shows("v", Place::Replay, "output \u{b7} not in a recording");
}

#[test]
fn help_detail_and_enlarged() {
    shots("help", &busy(), "?", &SIZES[..3]);
    shots("detail", &busy(), "vvv\r", &SIZES[..3]);
    shots("enlarged", &busy(), "e", &SIZES[..2]);
    shots("hold", &busy(), "\tw", &SIZES[1..2]);
}

#[test]
fn a_thousand_workers() {
    shots("thousand", &run(1000, S / 100, 20 * S), ">>>", &SIZES[..1]);
}

/// Rows stand in the order of the numbers that they show, and no wait is worse than the worst.
#[test]
fn overtaken_is_one_number() {
    let mode = LockMode::Exclusive;
    let won = |seq, overtaken| {
        let waited_ns = if overtaken > 0 { S } else { 900 };
        What::Acquired(Acquisition { mode, seq, waited_ns, contended: overtaken > 0, handoff_ns: None, overtaken })
    };
    let mut model = empty(3);
    (1..=3).for_each(|id| tell(&mut model, 0, id, What::Spawned));
    tell(&mut model, 1, 2, What::Waiting { mode });
    for seq in 1..=6 {
        // The first has waited long before, and waits again since the fourth.
        let (id, overtaken) = if seq == 4 { (1, 9) } else { (3, 0) };
        tell(&mut model, seq * S, id, won(seq, overtaken));
        tell(&mut model, seq * S + S / 2, id, What::Released { seq, held_ns: S / 2 });
        if seq == 4 {
            tell(&mut model, seq * S + S / 2, id, What::Waiting { mode });
        }
    }
    model.advance(11 * S);
    let mut ui = unicode();
    (ui.sort, ui.reverse) = (Column::Overtaken, true);
    let screen = text(&buffer(&model, &mut ui, 160, 36));
    let table = screen.lines().skip_while(|line| !line.contains("\u{256d} workers")).skip(2).take(3);
    let cells = table.map(|line| line.split("\u{2502}\u{2502}").next().unwrap().split_whitespace());
    let shown: Vec<_> = cells.map(|mut row| (row.nth(1).unwrap(), row.nth_back(1).unwrap())).collect();
    assert_eq!(shown, [("worker-2", "6"), ("worker-1", "2"), ("worker-3", "0")], "{screen}");
    for (id, most) in [(1, "overtaken at most 9"), (2, "overtaken at most 6")] {
        ui.selected = Some(id);
        press(&mut ui, &model, "\r");
        let detail = text(&buffer(&model, &mut ui, 160, 36));
        assert!(detail.contains(most), "{detail}");
        press(&mut ui, &model, "\r");
    }
}

#[test]
fn ascii_is_ascii() {
    let model = busy();
    for keys in ["", "?", "!", "v\r", "e", "ee", "eee"] {
        let mut ui = scene::ui(true, ThemeName::Auto);
        press(&mut ui, &model, keys);
        let text = text(&buffer(&model, &mut ui, 120, 36));
        assert!(text.is_ascii(), "{text}");
        if keys.is_empty() {
            insta::assert_snapshot!("ascii_120x36", text);
        }
    }
}

#[test]
fn a_theme_with_a_background_fills_the_whole_screen() {
    let model = busy();
    for (keys, (width, height)) in [("", SIZES[0]), ("?", SIZES[0]), ("!", SIZES[1]), ("v\r", SIZES[1]), ("", SIZES[3])]
    {
        let mut ui = scene::ui(false, ThemeName::Safe);
        press(&mut ui, &model, keys);
        let drawn = buffer(&model, &mut ui, width, height);
        let bare = drawn.content().iter().filter(|c| c.bg == Color::Reset || c.fg == Color::Reset).count();
        assert_eq!(bare, 0, "{keys:?} at {width}x{height}");
    }
}

#[test]
fn frozen_shows_what_was() {
    let mut model = busy();
    let mut ui = unicode();
    press(&mut ui, &model, "f");
    let then = text(&buffer(&model, &mut ui, 120, 36));
    model.advance(model.now() + 10 * S);
    assert_eq!(then, text(&buffer(&model, &mut ui, 120, 36)));
    assert!(then.contains("FROZEN"));
}

/// Ten workers with a short hold: pauses, deaths, stops, violations.
fn eventful() -> Locks {
    let mut model = run(10, S / 2, 20 * S);
    let t = model.now();
    let holder = model.first().holders().next().unwrap().id;
    tell(&mut model, t, holder, What::Stopped);
    tell(&mut model, t + 3 * S, holder, What::Continued);
    tell(&mut model, t + 4 * S, holder, What::Exited { code: None, signal: Some(9) });
    tell(&mut model, t + 4 * S + S / 2, holder, What::Spawned);
    tell(&mut model, t + 5 * S, holder, What::Waiting { mode: LockMode::Exclusive });
    tell(&mut model, t + 5 * S, 0, What::Paused);
    tell(&mut model, t + 25 * S, 0, What::Resumed);
    tell(&mut model, t + 27 * S, 1, What::Exited { code: Some(1), signal: None });
    let won = Acquisition {
        mode: LockMode::Exclusive,
        seq: 1000,
        waited_ns: 7 * S,
        contended: true,
        handoff_ns: None,
        overtaken: 3,
    };
    tell(&mut model, t + 28 * S, 2, What::Acquired(won));
    tell(&mut model, t + 28 * S, 2, What::Violation { seq: 1000, other: 3, other_pid: 1903 });
    tell(&mut model, t + 29 * S, 4, What::GaveUp { waited_ns: 9 * S });
    tell(&mut model, t + 30 * S, 4, What::Failed { action: flockmon::event::FailedAction::Open, errno: 2 });
    model.advance(t + 31 * S);
    model
}

#[test]
fn deaths_stops_pauses_and_violations_are_on_the_timeline() {
    let model = eventful();
    shots("eventful", &model, "", &SIZES[..1]);
    let holder = model.first().actors().iter().find(|a| a.restarts > 0).unwrap().id;
    let down = "v".repeat(holder as usize) + "\r";
    shots("eventful_detail", &model, &down, &SIZES[..3]);
}

/// The lower panel alone, with what is in its title.
fn timeline_of(model: &Locks, keys: &str) -> String {
    let mut ui = unicode();
    press(&mut ui, model, &format!("eee{keys}"));
    text(&buffer(model, &mut ui, 100, 18))
}

#[test]
fn the_timeline_goes_back_in_time() {
    let model = busy();
    insta::assert_snapshot!("timeline_back", timeline_of(&model, &LEFT.to_string().repeat(4)));
    insta::assert_snapshot!("timeline_all", timeline_of(&model, "w"));
    let begin = timeline_of(&model, &LEFT.to_string().repeat(1000));
    assert!(begin.contains("54 s ago"), "it ends at the begin of the run: {begin}");
    let there_and_back =
        timeline_of(&model, &format!("f{}{}", LEFT.to_string().repeat(7), RIGHT.to_string().repeat(9)));
    assert_eq!(timeline_of(&model, "f"), there_and_back);
    assert!(!timeline_of(&model, &RIGHT.to_string()).contains("FROZEN"), "there is nothing after the present");
    let thawed = timeline_of(&model, &format!("{LEFT}{LEFT}f"));
    assert_eq!(timeline_of(&model, ""), thawed);
}

/// What came before the statistics were forgotten is not known: nobody is said to have had no need of the lock then.
#[test]
fn the_timeline_is_blank_where_it_was_forgotten() {
    let mut model = busy();
    let now = model.now();
    tell(&mut model, now, 0, What::Reset);
    model.advance(now + 3 * S);
    let timeline = timeline_of(&model, "");
    let worked = |line: &&str| line.contains("worker-") && line.contains('\u{b7}');
    assert_eq!(timeline.lines().find(worked), None, "{timeline}");
    insta::assert_snapshot!("timeline_reset", timeline);
}

#[test]
fn a_short_recording_fills_the_timeline() {
    let model = run(3, S / 2, 2 * S);
    let mut ui = unicode();
    ui.place = Place::Replay;
    ui.position = Some(Position { t: 2 * S, length: Some(2 * S), speed: Some(1.0), paused: false, ended: true });
    let screen = text(&buffer(&model, &mut ui, 120, 36));
    assert!(screen.contains("timeline \u{b7} 2 s"), "{screen}");
    for seconds in [7, 31, 59, 83, 218, 4000] {
        let mut model = run(3, S / 2, S);
        model.advance(seconds * S);
        let timeline = timeline_of(&model, "w");
        let lane = timeline.lines().find(|l| l.contains("worker-1 ")).unwrap();
        let waits = lane.chars().filter(|c| *c == '\u{2591}' || *c == '\u{2588}').count();
        assert!(waits >= 85 * 80 / 100, "{seconds} s: {timeline}");
    }
}

#[test]
fn fast_handoffs_are_shares_of_time() {
    // 3 ms of hold: some hundred turns a cell.
    let model = run(4, 3_000_000, 70 * S);
    insta::assert_snapshot!("timeline_fast", timeline_of(&model, ""));
    insta::assert_snapshot!("timeline_fast_all", timeline_of(&model, "w"));
}

fn watching(opened: Option<u32>) -> Ui {
    let mut ui = unicode();
    as_watched(&mut ui, opened);
    ui
}

fn watch_shots(name: &str, how: How, opened: Option<u32>, keys: &str, sizes: &[(u16, u16)]) {
    let watch = watched::watch(how, opened.is_none());
    for (width, height) in sizes {
        let mut ui = watching(opened);
        press(&mut ui, &watch.locks, keys);
        insta::assert_snapshot!(
            format!("{name}_{width}x{height}"),
            text(&buffer(&watch.locks, &mut ui, *width, *height))
        );
    }
}

#[test]
fn a_watch() {
    watch_shots("watch_list", How::Exact, None, "", &SIZES[..2]);
    watch_shots("watch_lock", How::Exact, Some(watched::JOBS), "", &SIZES[..3]);
    watch_shots("watch_ranges", How::Exact, Some(watched::DATABASE), "", &SIZES[..1]);
    watch_shots("watch_sampled", How::Sampled, Some(watched::JOBS), "", &SIZES[..2]);
    watch_shots("watch_frozen", How::Exact, Some(watched::JOBS), " ", &SIZES[..1]);
}

/// The mouse is used at the line of the screen that says `what`.
fn point(ui: &mut Ui, model: &Locks, screen: &str, what: &str, kind: MouseEventKind) {
    let row = screen.lines().position(|line| line.contains(what)).unwrap_or_else(|| panic!("{what}: {screen}"));
    let row = u16::try_from(row).unwrap();
    ui.on_mouse(MouseEvent { kind, column: 5, row, modifiers: KeyModifiers::NONE }, model);
}

#[test]
fn the_mouse_selects_what_is_drawn() {
    const CLICK: MouseEventKind = MouseEventKind::Down(MouseButton::Left);
    let locks = watched::watch(How::Exact, true).locks;
    let mut ui = watching(None);
    let list = text(&buffer(&locks, &mut ui, 120, 36));
    point(&mut ui, &locks, &list, "db.sqlite", CLICK);
    assert_eq!((ui.picker.selected, ui.selected), (Some(watched::DATABASE), None));
    point(&mut ui, &locks, &list, "600 apt-get", CLICK);
    assert_eq!(ui.picker.selected, Some(watched::PACKAGES));
    point(&mut ui, &locks, &list, "db.sqlite", MouseEventKind::ScrollUp);
    assert_eq!((ui.picker.selected, ui.selected), (Some(watched::JOBS), None));
    press(&mut ui, &locks, "!");
    point(&mut ui, &locks, &list, "db.sqlite", CLICK);
    point(&mut ui, &locks, &list, "db.sqlite", MouseEventKind::ScrollDown);
    assert_eq!((ui.picker.selected, ui.selected), (Some(watched::JOBS), None), "the list is not to be seen");

    // What is enlarged has rows of its own, and stands elsewhere than the table.
    let fleet = run(100, S / 100, 20 * S);
    let mut ui = unicode();
    press(&mut ui, &fleet, "G");
    let both = text(&buffer(&fleet, &mut ui, 100, 30));
    let in_lane = both.lines().skip(20).find(|line| line.contains("worker-9")).unwrap().to_owned();
    let name = in_lane.split_whitespace().nth(1).unwrap();
    point(&mut ui, &fleet, &both, &in_lane, CLICK);
    assert_eq!(ui.selected.map(|id| format!("worker-{id}")).as_deref(), Some(name));
    let mut ui = unicode();
    press(&mut ui, &fleet, "eeeG");
    let lanes = text(&buffer(&fleet, &mut ui, 100, 30));
    let fifth = lanes_of(&lanes)[4].clone();
    point(&mut ui, &fleet, &lanes, &format!("{fifth} "), CLICK);
    assert_eq!(ui.selected.map(|id| format!("worker-{id}")).as_ref(), Some(&fifth));
    let clicked = text(&buffer(&fleet, &mut ui, 100, 30));
    assert_eq!(lanes_of(&clicked), lanes_of(&lanes), "no row moves away from under the mouse");
    press(&mut ui, &fleet, "eeg");
    for row in 0..30 {
        let table = text(&buffer(&fleet, &mut ui, 100, 30));
        let line = table.lines().nth(row).unwrap().to_owned();
        let worker = line.split_whitespace().find_map(|word| word.strip_prefix("worker-")?.parse().ok());
        let before = ui.selected;
        point(&mut ui, &fleet, &table, &line, CLICK);
        assert_eq!(ui.selected, worker.or(before), "{line}");
    }
    press(&mut ui, &fleet, "e");
    let selected = ui.selected;
    for row in 0..30 {
        let histogram = text(&buffer(&fleet, &mut ui, 100, 30));
        let kind = CLICK;
        ui.on_mouse(MouseEvent { kind, column: 5, row, modifiers: KeyModifiers::NONE }, &fleet);
        assert_eq!(ui.selected, selected, "a histogram has no workers: {histogram}");
    }
}

/// The list tells what is wrong at any of its locks, at which one, and by no key that has no meaning there.
#[test]
fn the_list_tells_what_is_wrong_anywhere() {
    watch_shots("watch_list_findings", How::Exact, None, "!", &SIZES[..3]);
    let mut watch = watched::watch(How::Exact, true);
    let listed = |watch: &watched::Watch, keys: &str, (width, height): (u16, u16)| {
        let mut ui = watching(None);
        press(&mut ui, &watch.locks, keys);
        text(&buffer(&watch.locks, &mut ui, width, height))
    };
    let stopped = "! /var/lib/dpkg/lock-frontend: holder apt-get (pid 600) is stopped and keeps the lock";
    let screen = listed(&watch, "v", SIZES[0]);
    assert!(screen.contains(&format!("{stopped}: resume it")) && !screen.contains("press"), "{screen}");
    let marked: Vec<&str> = screen.lines().filter(|line| line.chars().nth(2) == Some('!')).collect();
    assert!(
        matches!(marked[..], [jobs, packages] if jobs.contains("nightly") && packages.contains("dpkg")),
        "{screen}"
    );
    // Several are in the order of their gravity, whatever the order of the locks.
    let all = listed(&watch, "!", SIZES[0]);
    let at = |what: &str| all.find(what).unwrap_or_else(|| panic!("{what}: {all}"));
    assert!(at(stopped) < at("! /srv/jobs/nightly.lock: holder reindex (pid 4230) has slept"), "{all}");
    assert!(at("/var/lib/dpkg/lock-frontend: apt-get (pid 600) was stopped, holding the lock") > at("lately"), "{all}");

    // What concerns the whole run is no lock's, and is told once.
    let now = watch.locks.now();
    watch.tell(now, 0, 0, 0, What::Warning { text: "the recording cannot be written".into() });
    let all = listed(&watch, "!", SIZES[0]);
    assert!(all.contains("! the recording cannot be written"), "{all}");
    assert_eq!(all.matches("the recording cannot be written").count(), 2, "{all}");
    let mut ui = unicode();
    press(&mut ui, &crossed(), &format!("{ESCAPE}!"));
    let circle = text(&buffer(&crossed(), &mut ui, 120, 36));
    assert_eq!(circle.matches("! deadlock, nothing will end it").count(), 2, "above the list, and over it: {circle}");
}

#[test]
fn a_task_of_another_program_in_detail() {
    watch_shots("watch_detail", How::Exact, Some(watched::JOBS), "vv\r", &SIZES[..3]);
    watch_shots("watch_detail_holder", How::Sampled, Some(watched::JOBS), "v\r", &SIZES[..1]);
    let scrolled = format!("v\r{PAGE_DOWN}");
    watch_shots("watch_detail_scrolled", How::Exact, Some(watched::JOBS), &scrolled, &SIZES[2..3]);
}

#[test]
fn the_children_of_a_process_in_detail() {
    let watch = watched::watch(How::Exact, false);
    let child = |pid, parent, command: &str, keeps| Child { pid, parent, command: command.into(), keeps };
    let shown = |children: Children, (width, height): (u16, u16)| {
        let mut ui = watching(Some(watched::JOBS));
        press(&mut ui, &watch.locks, "v\r");
        ui.children = Some(children);
        text(&buffer(&watch.locks, &mut ui, width, height))
    };
    let some = Children {
        of: 4230,
        list: vec![
            child(4231, 4230, "logger -t reindex", Some(false)),
            child(4232, 4230, "python3 -m jobs.worker --shard 1", Some(true)),
            child(4240, 4232, "zstd --long=31 -19 /srv/jobs/index.tmp", Some(true)),
        ],
        more: false,
    };
    // On any screen the last of them is there, or it is said that there is more.
    for height in 10..=40 {
        for width in [40, 60, 80, 120] {
            let text = shown(some.clone(), (width, height));
            let told = ["pid 4231", " more ", " rows "].iter().any(|words| text.contains(words));
            assert!(told, "{width}x{height}\n{text}");
        }
    }
    for size in &SIZES[..3] {
        insta::assert_snapshot!(format!("watch_children_{}x{}", size.0, size.1), shown(some.clone(), *size));
    }
    let many = (0..32).map(|n| child(5000 + n, 4230, "cc1 -quiet", None)).collect();
    let many = shown(Children { of: 4230, list: many, more: true }, SIZES[0]);
    assert!(many.contains("more than 32 child processes; which of them keep the lock cannot be seen"), "{many}");
    assert!(many.contains("pid 5005 \u{b7} cc1 -quiet") && many.contains("and at least 26 more"), "{many}");
    let one = vec![child(4231, 4230, "sleep 60", Some(true))];
    let one = shown(Children { of: 4230, list: one, more: false }, SIZES[0]);
    assert!(one.contains("1 child process, which keeps the lock when pid 4230 ends"), "{one}");
    assert!(shown(Children { of: 4230, list: vec![], more: false }, SIZES[0]).contains("no child processes"));
    let of_another = shown(Children { of: 4101, ..some }, SIZES[0]);
    assert!(!of_another.contains("child process"), "{of_another}");
}

#[test]
fn a_question() {
    let watch = watched::watch(How::Exact, false);
    for (width, height) in &SIZES[..3] {
        let mut ui = watching(Some(watched::JOBS));
        ui.ask(watched::question());
        insta::assert_snapshot!(
            format!("question_{width}x{height}"),
            text(&buffer(&watch.locks, &mut ui, *width, *height))
        );
    }
}

#[test]
fn the_detail_scrolls_and_goes_to_the_next_worker() {
    let model = run(2, S / 10, 40 * S);
    let of = |keys: &str| {
        let mut ui = unicode();
        press(&mut ui, &model, keys);
        text(&buffer(&model, &mut ui, 80, 24))
    };
    let first = of("v\r");
    assert!(first.contains("worker-1") && first.contains("of 64"), "{first}");
    let further = of(&format!("v\r{PAGE_DOWN}"));
    assert_ne!(first, further);
    assert_eq!(first, of(&format!("v\r{PAGE_DOWN}{PAGE_UP}")));
    let end = of(&format!("v\r{}", PAGE_DOWN.to_string().repeat(100)));
    assert!(end.contains("64 of 64"), "{end}");
    assert_eq!(of("vv\r"), of(&format!("v\r{PAGE_DOWN}v")), "the next one is shown from its newest on");
}

/// Shows `model` in the dark theme as the pictures do.
fn dark(model: &Locks, as_in: impl FnOnce(&mut Ui)) -> Buffer {
    let mut ui = scene::ui(false, ThemeName::Dark);
    as_in(&mut ui);
    buffer(model, &mut ui, 120, 36)
}

fn as_recorded(ui: &mut Ui, t: u64) {
    ui.place = Place::Replay;
    ui.position = Some(Position { t, length: Some(200 * S), speed: Some(4.0), paused: false, ended: false });
}

fn as_watched(ui: &mut Ui, opened: Option<u32>) {
    (ui.place, ui.sort, ui.opened) = (Place::Watch, Column::State, opened);
}

/// The name of each picture in `assets/`, and the picture.
fn pictures() -> Vec<(&'static str, String)> {
    let (run, watch) = (busy(), watched::watch(How::Exact, false).locks);
    let light = buffer(&run, &mut scene::ui(false, ThemeName::Light), 120, 36);
    let frames: Vec<Buffer> = scene::moments().iter().map(|moment| dark(moment, |_| {})).collect();
    vec![
        ("screen.svg", svg::picture(&dark(&run, |_| {}), true)),
        ("screen-light.svg", svg::picture(&light, false)),
        ("screen-starvation.svg", svg::picture(&dark(&scene::starved(), |_| {}), true)),
        ("screen-killed.svg", svg::picture(&dark(&killed(), |_| {}), true)),
        ("screen-watch.svg", svg::picture(&dark(&watch, |ui| as_watched(ui, Some(watched::JOBS))), true)),
        ("screen-replay.svg", svg::picture(&dark(&run, |ui| as_recorded(ui, run.now())), true)),
        ("screen-animated.svg", svg::animation(&frames, 1.2, true)),
    ]
}

/// They come from the real renderer; `UPDATE_ASSETS=1 cargo test` draws them anew.
#[test]
fn pictures_are_up_to_date() {
    let assets = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("assets");
    for (name, picture) in pictures() {
        let path = assets.join(name);
        if std::env::var_os("UPDATE_ASSETS").is_some() {
            std::fs::write(&path, &picture).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(kept == picture, "{} is stale: run UPDATE_ASSETS=1 cargo test --test screens", path.display());
    }
}

/// The pictures show what they are named for.
#[test]
fn pictures_show_what_they_are_for() {
    let starved = text(&dark(&scene::starved(), |_| {}));
    assert!(starved.contains("worker-4 (pid 1904) starves"), "{starved}");
    let says = ["worker-10 (pid 1910) has held it"; 2].into_iter().chain(["worker-1 (pid 1901) has held it"; 5]);
    let says = says.chain(["no worker holds it just now"]).chain(["worker-2 (pid 1902) has held it"; 3]);
    let moments: Vec<String> = scene::moments().iter().map(|m| text(&dark(m, |_| {}))).collect();
    assert_eq!(moments.len(), says.clone().count());
    for (moment, says) in moments.iter().zip(says) {
        assert!(moment.contains(says), "{says}:\n{moment}");
    }
}

#[test]
fn the_readme_has_the_keys_that_there_are() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    for recorded in [false, true] {
        let table = flockmon::tui::keymap::markdown(recorded);
        assert!(readme.contains(&table), "README.md lacks this table of keys:\n{table}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn no_size_and_no_key_breaks_it(
        width in 0u16..200, height in 0u16..60, keys in "[ -~\r\tv\u{1}-\u{4}]{0,12}", workers in 0u32..40, ascii: bool, end in 0u64..40,
    ) {
        let model = run(workers.max(1), S / 3, end * S);
        let model = if workers == 0 { empty(0) } else { model };
        let mut ui = scene::ui(ascii, ThemeName::Auto);
        survives(&model, &mut ui, &keys, width, height)?;
    }

    #[test]
    fn nothing_that_happens_breaks_it(
        width in 0u16..200, height in 0u16..60, keys in "[ef\rw\t.!v\u{1}-\u{4}]{0,12}", which in 0u32..5, ascii: bool,
    ) {
        let model = if which == 0 { eventful() } else { watched::watch(How::Exact, which == 1).locks };
        let mut ui = scene::ui(ascii, ThemeName::Auto);
        if which > 0 {
            as_watched(&mut ui, which.checked_sub(2));
        }
        survives(&model, &mut ui, &keys, width, height)?;
    }
}

/// Every cell has one character after every key, and an ASCII one where that is asked for.
fn survives(model: &Locks, ui: &mut Ui, keys: &str, width: u16, height: u16) -> Result<(), TestCaseError> {
    for c in keys.chars() {
        press(ui, model, &c.to_string());
        let drawn = buffer(model, ui, width, height);
        for cell in drawn.content() {
            prop_assert_eq!(cell.symbol().chars().count(), 1, "{:?}", cell.symbol());
            prop_assert!(!ui.glyphs.ascii || cell.symbol().is_ascii(), "{:?}", cell.symbol());
        }
    }
    Ok(())
}
