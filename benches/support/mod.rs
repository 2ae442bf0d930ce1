//! What the benches share: traffic as workers at full speed write it, and a screen that goes nowhere.
#![allow(dead_code, missing_docs, clippy::expect_used, reason = "each bench uses a part of it")]

use flockmon::event::{Begin, Event, LockInfo, LockKind, Origin, Setup, What, in_order};
use flockmon::lab::decode::Stream;
use flockmon::lab::judge::Judge;
use flockmon::lab::ledger::Owner;
use flockmon::lab::places::Places;
use flockmon::lab::wire::{Body, Full, Won, Writer};
use flockmon::model::Locks;
use flockmon::tui::surface::Surface;
use flockmon::tui::{Look, Ui, view};
use ratatui::Viewport;
use ratatui::layout::Rect;
use std::io::Write;

/// A worker writes when its next two records might not fit into this, in bytes.
const WRITE: usize = 4096 - 2 * size_of::<Full>();
/// Records that are read, put in order and folded together: what comes in 2 ms.
const ROUND: usize = 3_000;

pub fn model() -> Locks {
    Locks::new(Begin {
        origin: Origin::Lab,
        version: "0".into(),
        started_at: "2026-01-01T00:00:00Z".into(),
        lock: LockInfo { name: "/run/jobs.lock".into(), kind: LockKind::Flock, file: Some(("254:0".into(), 42)) },
        workers: 1,
        hold_ns: 0,
        think_ns: 0,
        setup: Setup::default(),
        watch: None,
    })
}

pub fn owner(worker: u32) -> Owner {
    Owner { worker, pid: 10_000 + worker }
}

/// A generator of numbers that look random (xorshift64).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// What so many workers write at zero hold, two at a time: three times of four the other one has the lock next, after
/// it waited for it, as is so on two processors (runs of 1.1 to 2.2 there, from two workers to a thousand); who has it
/// again waits some hundred ns. When both have written, the next two have their turn, until all have had it.
pub struct Traffic {
    pub workers: u32,
    pub records: usize,
    rounds: Vec<Vec<Written>>,
}

/// What a worker writes at once.
#[derive(Default)]
struct Written {
    worker: u32,
    bytes: Vec<u8>,
    records: usize,
}

impl Traffic {
    /// Where each worker writes once, then all others do.
    pub fn new(workers: u32, records: usize) -> Self {
        Self::in_stints(workers, records, 1)
    }

    /// Where each writes `stint` times before the next ones have their turn: 3 times live, from ten workers to a
    /// thousand, as long as the scheduler lets it run.
    pub fn in_stints(workers: u32, records: usize, stint: usize) -> Self {
        let mut random = Random(0x9E37_79B9_7F4A_7C15);
        let (mut t, mut seq) = (1_000_000_000u64, 0u64);
        let mut writers: Vec<Writer> = (0..workers).map(|_| Writer::default()).collect();
        // When each had the lock last, and its number then.
        let mut had = vec![(1_000_000_000u64, 0u64); workers as usize];
        let (mut rounds, mut round, mut made, mut unread, mut written) = (Vec::new(), Vec::new(), 0, 0, 0);
        while made < records {
            let turn = (written / stint * 2) as u32;
            let pair = [turn % workers, (turn + 1) % workers];
            written += 1;
            let running = if workers == 1 { 1 } else { 2 };
            let (mut writes, mut which) = ([Written::default(), Written::default()], 0);
            let full = |write: &Written| write.bytes.len() >= WRITE;
            while !writes.iter().take(running).all(full) {
                t += 600 + random.below(200);
                seq += 1;
                if running == 2 && (random.below(4) != 0 || full(&writes[which])) && !full(&writes[1 - which]) {
                    which = 1 - which;
                }
                let (ended, before) = had[pair[which] as usize];
                let contended = seq > before + 1;
                let waited = if contended { t - ended - 1 } else { 200 + random.below(150) };
                let won = Won { seq: 0, shared: false, contended, handoff: None, overtaken: None };
                let held = 20 + random.below(40) as u32;
                had[pair[which] as usize] = (t + u64::from(held), seq);
                let body = Body::Cycle { won, waited: waited as u32, held };
                let (writer, mut place) = (&mut writers[pair[which] as usize], Full::default());
                let units = writer.put(t, body, &mut place);
                writes[which].bytes.extend_from_slice(place[..units].as_flattened());
                writes[which].records += 1;
            }
            for (worker, write) in pair.into_iter().zip(writes).take(running) {
                writers[worker as usize].begin_batch();
                (made, unread) = (made + write.records, unread + write.records);
                round.push(Written { worker: worker + 1, ..write });
            }
            if unread >= ROUND {
                rounds.push(std::mem::take(&mut round));
                unread = 0;
            }
        }
        rounds.push(round);
        Self { workers, records: made, rounds }
    }

    /// A reader at the beginning.
    pub fn reader(&self) -> Reader<'_> {
        let streams = (1..=self.workers).map(|w| Stream::new(owner(w))).collect();
        let (judge, places) = (Judge::default(), Places::default());
        Reader { rounds: self.rounds.iter(), streams, judge, places, events: Vec::new() }
    }

    /// Folds the first half; gives what is left to be read, and how many records that is.
    pub fn half(&self, model: &mut Locks) -> (Reader<'_>, usize) {
        let (mut reader, half) = (self.reader(), self.rounds.len() / 2);
        for _ in 0..half {
            reader.round(|events| events.iter().for_each(|event| model.apply(event)));
        }
        let left = self.rounds.iter().skip(half).flatten().map(|write| write.records).sum();
        (reader, left)
    }

    /// All of it, folded.
    pub fn fold(&self, model: &mut Locks) {
        self.reader().fold(model);
    }
}

/// Reads as the collector does.
#[derive(Clone)]
pub struct Reader<'a> {
    rounds: std::slice::Iter<'a, Vec<Written>>,
    streams: Vec<Stream>,
    judge: Judge,
    places: Places,
    events: Vec<Event>,
}

impl Reader<'_> {
    /// Reads a round and gives it to `use_it`; `false` where there is none left.
    pub fn round(&mut self, use_it: impl FnOnce(&[Event])) -> bool {
        let Some(round) = self.rounds.next() else { return false };
        self.events.clear();
        for Written { worker, bytes, .. } in round {
            self.streams[*worker as usize - 1].take(bytes, &mut self.judge, &mut self.events);
        }
        in_order(&mut self.events);
        self.places.place(&mut self.events, u64::MAX, &[]);
        use_it(&self.events);
        true
    }

    pub fn fold(&mut self, model: &mut Locks) {
        while self.round(|events| events.iter().for_each(|event| model.apply(event))) {}
    }
}

/// A model of so many workers with a past, all of which wait but one.
pub fn populated(workers: u32) -> Locks {
    let mut model = model();
    for worker in 1..=workers {
        let pid = owner(worker).pid as i32;
        model.apply(&Event { t: u64::from(worker), lock: 0, actor: worker, pid, what: What::Spawned });
    }
    Traffic::new(workers, 200_000.max(workers as usize * 500)).fold(&mut model);
    model
}

/// A model of so many workers that have contended for a minute at zero hold: every window and timeline is full.
pub fn after_a_minute(workers: u32) -> Locks {
    let mut model = populated(workers);
    // A record comes every 700 ns: so slowed down that they last a minute.
    let records = 300_000;
    let slower = 60_000_000_000 / (records as u64 * 700);
    let traffic = Traffic::new(workers, records);
    let (mut reader, begin) = (traffic.reader(), model.now());
    let tell = |model: &mut Locks, events: &[Event]| {
        for mut event in events.iter().cloned().flat_map(Event::singly) {
            event.t = begin + event.t.saturating_sub(1_000_000_000) * slower;
            model.apply(&event);
        }
    };
    while reader.round(|events| tell(&mut model, events)) {}
    model
}

/// A terminal of this size.
pub struct Screen<W: Write> {
    surface: Surface<W>,
    pub ui: Ui,
}

impl<W: Write> Screen<W> {
    pub fn new(out: W, columns: u16, rows: u16) -> Self {
        let viewport = Viewport::Fixed(Rect::new(0, 0, columns, rows));
        Self { surface: Surface::new(out, viewport).expect("a terminal"), ui: Ui::new(Look::default()) }
    }

    pub fn draw(&mut self, model: &Locks) {
        let ui = &mut self.ui;
        self.surface.draw(|frame| view::draw(frame, model, ui)).expect("a frame");
    }
}
