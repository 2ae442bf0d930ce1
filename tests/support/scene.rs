//! A made-up run, event by event, so that screens are the same each time: ten workers, one second of hold.
#![allow(dead_code, missing_docs, clippy::unwrap_used, reason = "each test file uses a part of it")]

use flockmon::cli::ThemeName;
use flockmon::event::{Acquisition, Begin, Event, LockInfo, LockKind, LockMode, Origin, Setup, What};
use flockmon::model::Locks;
use flockmon::tui::theme::Theme;
use flockmon::tui::{Look, Ui, view};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;

pub const S: u64 = 1_000_000_000;

pub fn empty(workers: u32) -> Locks {
    let lock = LockInfo { name: "/run/jobs.lock".into(), kind: LockKind::Flock, file: Some(("254:0".into(), 42)) };
    Locks::new(Begin {
        origin: Origin::Lab,
        version: "0.1.0".into(),
        started_at: "2026-01-01T00:00:00Z".into(),
        lock,
        workers,
        hold_ns: S,
        think_ns: 0,
        setup: Setup::default(),
        watch: None,
    })
}

pub fn tell(model: &mut Locks, t: u64, actor: u32, what: What) {
    let pid = if actor == 0 { 0 } else { 1900 + actor as i32 };
    model.apply(&Event { t, lock: 0, actor, pid, what });
}

/// `workers` start together, hold for `hold` each, in turn; at times the releaser barges in again. Ends at `end`.
pub fn run(workers: u32, hold: u64, end: u64) -> Locks {
    let mut model = empty(workers);
    for id in 1..=workers {
        tell(&mut model, u64::from(id) * 200_000, id, What::Spawned);
        tell(&mut model, u64::from(id) * 250_000, id, What::Waiting { mode: LockMode::Exclusive });
    }
    let mut since: Vec<(u64, u64)> = (1..=workers).map(|id| (u64::from(id) * 250_000, 0)).collect();
    let mut queue: std::collections::VecDeque<u32> = (1..=workers).collect();
    let (mut t, mut seq, mut luck) = (5_000_000, 0, 7u64);
    while t < end {
        let id = queue.pop_front().unwrap();
        let mut again = true;
        while again && t < end {
            seq += 1;
            let (began, seq_then) = since[id as usize - 1];
            let waited_ns = t - began;
            let acquired = Acquisition {
                mode: LockMode::Exclusive,
                seq,
                waited_ns,
                contended: waited_ns > 10_000,
                handoff_ns: (waited_ns > 10_000 && seq > 1).then_some(30_000 + luck % 20_000),
                overtaken: (seq - seq_then).saturating_sub(1),
            };
            tell(&mut model, t, id, What::Acquired(acquired));
            if t + hold > end {
                model.advance(end);
                return model;
            }
            t += hold;
            tell(&mut model, t, id, What::Released { seq, held_ns: hold });
            since[id as usize - 1] = (t + 2_000, seq);
            luck = luck.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            again = (luck >> 33) % 100 < 18;
            t += if again { 5_000 } else { 40_000 };
        }
        tell(&mut model, t - 38_000, id, What::Waiting { mode: LockMode::Exclusive });
        queue.push_back(id);
    }
    model.advance(end);
    model
}

/// The scene of the ten containers, 83.6 s on.
pub fn busy() -> Locks {
    run(10, S, 83 * S + 600_000_000)
}

/// Nine readers come and go, each holding for a second; the writer, worker-4, has had one turn and waits since.
pub fn starved() -> Locks {
    const WRITER: u32 = 4;
    let think = S * 2 / 5;
    let setup = Setup { shared: 90, ..Setup::default() };
    let mut model = Locks::new(Begin { think_ns: think, setup, ..empty(10).begin().clone() });
    (1..=10).for_each(|id| tell(&mut model, 0, id, What::Spawned));
    let won = |mode, seq| Acquisition { mode, seq, waited_ns: 2_000, contended: false, handoff_ns: None, overtaken: 0 };
    tell(&mut model, S / 20, WRITER, What::Acquired(won(LockMode::Exclusive, 1)));
    tell(&mut model, S, WRITER, What::Released { seq: 1, held_ns: S - S / 20 });
    tell(&mut model, S + think, WRITER, What::Waiting { mode: LockMode::Exclusive });

    let readers: Vec<u32> = (1..=10).filter(|id| *id != WRITER).collect();
    let apart = (S + think) / readers.len() as u64;
    let mut told = vec![];
    for (n, id) in (0..84).zip(readers.iter().cycle()) {
        let t = S + n * apart;
        told.push((t, *id, What::Acquired(won(LockMode::Shared, n + 2))));
        told.push((t + S, *id, What::Released { seq: n + 2, held_ns: S }));
    }
    let end = S + 83 * apart;
    told.retain(|(t, ..)| *t <= end);
    told.sort_by_key(|(t, ..)| *t);
    told.into_iter().for_each(|(t, id, what)| tell(&mut model, t, id, what));
    model.advance(end + apart / 2);
    model
}

/// `id`, which waited, wins the lock at `t`, `handoff_ns` after the release.
fn wins(model: &mut Locks, t: u64, id: u32, seq: u64, handoff_ns: u64) {
    model.advance(t);
    let waiter = model.first().actor(id).unwrap();
    let (waited_ns, overtaken) = (model.first().in_state(waiter), model.first().overtaken_now(waiter).unwrap());
    let (mode, handoff_ns) = (LockMode::Exclusive, Some(handoff_ns));
    tell(model, t, id, What::Acquired(Acquisition { mode, seq, waited_ns, contended: true, handoff_ns, overtaken }));
}

/// [`busy`] goes on: a handoff from worker-10 to worker-1, which then barges back in and is killed; worker-2 is next.
/// The moments to be shown, in order.
pub fn moments() -> Vec<Locks> {
    let mode = LockMode::Exclusive;
    let mut shown = vec![busy()];
    let mut model = busy();
    let now = model.now();
    let holder = model.first().holders().next().unwrap();
    let (last, seq, began) = (holder.id, 84, now - model.first().in_state(holder));
    let mut show = |model: &mut Locks, t: u64| {
        model.advance(t);
        shown.push(model.clone());
    };

    let mut t = began + S;
    show(&mut model, t - S / 20);
    tell(&mut model, t, last, What::Released { seq, held_ns: S });
    tell(&mut model, t + 2_000, last, What::Waiting { mode });
    wins(&mut model, t + 41_000, 1, seq + 1, 41_000);
    show(&mut model, t + S / 10);
    show(&mut model, t + S / 2);
    show(&mut model, t + S * 19 / 20);

    t += S + 41_000;
    tell(&mut model, t, 1, What::Released { seq: seq + 1, held_ns: S });
    let barged = Acquisition { mode, seq: seq + 2, waited_ns: 3_000, contended: false, handoff_ns: None, overtaken: 0 };
    tell(&mut model, t + 5_000, 1, What::Acquired(barged));
    show(&mut model, t + S / 10);
    show(&mut model, t + S / 2);

    t += S * 7 / 10;
    tell(&mut model, t, 1, What::Exited { code: None, signal: Some(9) });
    show(&mut model, t);
    wins(&mut model, t + 180_000, 2, seq + 3, 180_000);
    show(&mut model, t + S / 10);
    tell(&mut model, t + S / 2, 1, What::Spawned);
    tell(&mut model, t + S / 2 + 300_000, 1, What::Waiting { mode });
    show(&mut model, t + S * 6 / 10);
    show(&mut model, t + S * 19 / 20);
    shown
}

pub fn ui(ascii: bool, theme: ThemeName) -> Ui {
    Ui::new(Look { theme: Theme::built_in(theme), ascii, ..Look::default() })
}

pub fn buffer(model: &Locks, ui: &mut Ui, width: u16, height: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| view::draw(frame, model, ui)).unwrap();
    terminal.backend().buffer().clone()
}

/// Draws the first line of what is shown anew, where it can be drawn alone.
pub fn first_line(model: &Locks, ui: &Ui, shown: &mut Buffer) -> bool {
    let size = shown.area;
    let mut terminal = Terminal::new(TestBackend::new(size.width, size.height)).unwrap();
    let mut is_drawn = false;
    terminal.draw(|frame| is_drawn = view::draw_first_line(frame, model, ui)).unwrap();
    let line = terminal.backend().buffer().content().iter().take(size.width.into());
    if is_drawn {
        shown.content.iter_mut().zip(line).for_each(|(old, new)| old.clone_from(new));
    }
    is_drawn
}

pub fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width).max(1);
    let rows = buffer.content().chunks(width);
    rows.map(|row| row.iter().map(|c| c.symbol()).collect::<String>().trim_end().to_owned() + "\n").collect()
}
