//! A trace for Perfetto and chrome://tracing: a track a worker, a slice for each wait and hold, an arrow for each
//! handoff, an instant for each death, stop and violation. Form: the JSON Array Format of the Trace Event Format,
//! times in µs.

use super::Report;
use crate::event::{Acquisition, ActorId, Begin, Event, LockId, LockMode, What};
use crate::model::Locks;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufWriter, Write};

/// A track: an actor at a lock. Each lock is a process of the trace, numbered from 1; actor 0 concerns all.
type Track = (LockId, ActorId);

fn process(track: Track) -> u32 {
    track.0 + 1
}

/// Releases that wait for the acquisition that they lead to, and the other way round.
const REMEMBERED: usize = 1 << 14;

/// What a worker has begun and not ended.
#[derive(Debug, Default, Clone, Copy)]
struct Open {
    /// Waits since, for a lock of this mode.
    wait: Option<(u64, LockMode)>,
    /// Holds since, by this acquisition.
    hold: Option<(u64, u64, LockMode)>,
}

/// Writes a trace as it comes.
#[derive(Debug)]
pub struct Perfetto<W: Write> {
    out: BufWriter<W>,
    open: HashMap<Track, Open>,
    /// Who released acquisition n, when: an arrow's tail.
    tails: BTreeMap<(LockId, u64), (Track, u64)>,
    /// Who got acquisition n + 1 handed over, when: its head.
    heads: BTreeMap<(LockId, u64), (Track, u64)>,
    first: bool,
}

impl<W: Write> Perfetto<W> {
    /// A trace to `out`.
    pub fn new(out: W) -> Self {
        Self {
            out: BufWriter::with_capacity(64 * 1024, out),
            open: HashMap::new(),
            tails: BTreeMap::new(),
            heads: BTreeMap::new(),
            first: true,
        }
    }

    fn put(&mut self, entry: &Value) -> io::Result<()> {
        self.out.write_all(if self.first { b"\n" } else { b",\n" })?;
        self.first = false;
        serde_json::to_writer(&mut self.out, entry)?;
        Ok(())
    }

    fn slice(&mut self, track: Track, name: &str, from: u64, to: u64, args: &Value) -> io::Result<()> {
        let (ts, dur) = (micros(from), micros(to.saturating_sub(from)));
        self.put(&json!({"ph": "X", "pid": process(track), "tid": track.1, "ts": ts, "dur": dur, "name": name, "cat": "lock", "args": args}))
    }

    fn instant(&mut self, track: Track, t: u64, name: &str) -> io::Result<()> {
        let scope = if track.1 == 0 { "g" } else { "t" };
        self.put(&json!({"ph": "i", "pid": process(track), "tid": track.1, "ts": micros(t), "s": scope, "name": name, "cat": "event"}))
    }

    fn acquired(&mut self, track: Track, t: u64, won: &Acquisition) -> io::Result<()> {
        let open = self.open.entry(track).or_default();
        let since = open.wait.take().map(|(since, _)| since).or(won.contended.then(|| t.saturating_sub(won.waited_ns)));
        open.hold = Some((t, won.seq, won.mode));
        if let Some(since) = since {
            self.slice(
                track,
                "wait",
                since,
                t,
                &json!({"waited_ns": won.waited_ns, "overtaken": won.overtaken, "mode": won.mode}),
            )?;
        }
        if won.handoff_ns.is_some() && won.seq > 1 {
            self.heads.insert((track.0, won.seq - 1), (track, t));
            self.arrow((track.0, won.seq - 1))?;
        }
        Ok(())
    }

    fn released(&mut self, track: Track, t: u64, how: &str) -> io::Result<()> {
        let Some((since, seq, mode)) = self.open.entry(track).or_default().hold.take() else { return Ok(()) };
        self.slice(track, "hold", since, t, &json!({"seq": seq, "mode": mode, "end": how}))?;
        // An arrow begins in a slice only if it begins before its end.
        self.tails.insert((track.0, seq), (track, t.saturating_sub(1).max(since)));
        self.arrow((track.0, seq))
    }

    fn process_name(&mut self, lock: LockId, name: &str) -> io::Result<()> {
        let pid = process((lock, 0));
        self.put(&json!({"ph": "M", "pid": pid, "tid": 0, "name": "process_name", "args": {"name": name}}))
    }

    fn thread_name(&mut self, track: Track, name: &str) -> io::Result<()> {
        let meta = |what: &str, args: &Value| json!({"ph": "M", "pid": process(track), "tid": track.1, "name": what, "args": args});
        self.put(&meta("thread_name", &json!({"name": name})))?;
        self.put(&meta("thread_sort_index", &json!({"sort_index": track.1})))
    }

    /// Draws the arrow that follows acquisition `seq` where both of its ends are known.
    fn arrow(&mut self, seq: (LockId, u64)) -> io::Result<()> {
        if let (Some(&(from, t)), Some(&(to, at))) = (self.tails.get(&seq), self.heads.get(&seq)) {
            self.tails.remove(&seq);
            self.heads.remove(&seq);
            let end = |ph: &str, track: Track, t: u64| json!({"ph": ph, "bp": "e", "id": u64::from(seq.0) << 40 | seq.1, "pid": process(track), "tid": track.1, "ts": micros(t), "name": "handoff", "cat": "handoff"});
            self.put(&end("s", from, t))?;
            self.put(&end("f", to, at))?;
        }
        for ends in [&mut self.tails, &mut self.heads] {
            while ends.len() > REMEMBERED {
                ends.pop_first();
            }
        }
        Ok(())
    }

    fn gone(&mut self, track: Track, t: u64) -> io::Result<()> {
        self.released(track, t, "died")?;
        self.waited(track, t, "died")
    }

    fn waited(&mut self, track: Track, t: u64, how: &str) -> io::Result<()> {
        match self.open.entry(track).or_default().wait.take() {
            Some((since, mode)) => self.slice(track, "wait", since, t, &json!({"mode": mode, "end": how})),
            None => Ok(()),
        }
    }
}

/// ns as µs, to the ns.
fn micros(ns: u64) -> Value {
    match ns % 1000 {
        0 => json!(ns / 1000),
        _ => json!(ns as f64 / 1000.0),
    }
}

impl<W: Write + Send> Report for Perfetto<W> {
    fn begin(&mut self, begin: &Begin) -> io::Result<()> {
        self.out.write_all(b"{\"displayTimeUnit\":\"ns\",\"traceEvents\":[")?;
        if begin.watch.is_some() {
            // It announces each lock.
            return Ok(());
        }
        let name = format!("flockmon {} {} {}", begin.origin.as_str(), begin.lock.kind, begin.lock.name);
        self.process_name(0, &name)
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        let (t, track, all) = (event.t, (event.lock, event.actor), (event.lock, 0));
        if let What::Announced(info) = &event.what {
            return self.process_name(event.lock, &format!("{} {}", info.kind, info.name));
        }
        if let What::Seen(task) = &event.what {
            self.gone(track, t)?;
            self.open.insert(track, Open::default());
            return self.thread_name(track, &format!("{} {}", task.comm, event.pid));
        }
        if event.actor != 0 && !self.open.contains_key(&track) {
            self.open.insert(track, Open::default());
            let name = format!("worker-{}", event.actor);
            self.thread_name(track, &name)?;
        }
        match &event.what {
            What::Waiting { mode } | What::Tried { mode, .. } | What::Found { mode, holds: false } => {
                self.open.entry(track).or_default().wait.get_or_insert((t, *mode));
                Ok(())
            }
            What::Acquired(won) => self.acquired(track, t, won),
            What::Released { .. } => self.released(track, t, "released"),
            What::Turns(_) => event.clone().singly().try_for_each(|turn| self.event(&turn)),
            What::Cycle { acquired, held_ns } => {
                self.acquired(track, t, acquired)?;
                self.released(track, t.saturating_add(*held_ns), "released")
            }
            What::Ran { seq, code, signal, ran_ns } => {
                let args = json!({"seq": seq, "code": code, "signal": signal});
                self.slice(track, "run", t.saturating_sub(*ran_ns), t, &args)
            }
            What::Left { .. } => self.waited(track, t, "left"),
            What::GaveUp { waited_ns } => {
                self.open
                    .entry(track)
                    .or_default()
                    .wait
                    .get_or_insert((t.saturating_sub(*waited_ns), LockMode::Exclusive));
                self.waited(track, t, "gave up")
            }
            What::Exited { signal, .. } => {
                self.gone(track, t)?;
                self.instant(track, t, if *signal == Some(9) { "killed" } else { "exited" })
            }
            What::Stopped => self.instant(track, t, "stopped"),
            What::Continued => self.instant(track, t, "continued"),
            What::Violation { .. } => self.instant(track, t, "violation"),
            What::Failed { .. } => self.instant(track, t, "failed"),
            What::Removed => self.instant(track, t, "removed"),
            What::Paused => self.instant(all, t, "paused"),
            What::Resumed => self.instant(all, t, "resumed"),
            What::PathChanged { .. } => self.instant(all, t, "path changed"),
            What::Settings { .. } => self.instant(all, t, "settings"),
            What::Reset => self.instant(all, t, "reset"),
            What::Dropped { count } => self.instant(track, t, &format!("{count} events lost")),
            What::Warning { text } | What::Finding { text, .. } => self.instant(all, t, text),
            What::Spawned => self.instant(track, t, "spawned"),
            What::Found { mode, holds: true } => {
                self.open.entry(track).or_default().hold = Some((t, 0, *mode));
                Ok(())
            }
            What::Condition(condition) => self.instant(track, t, &format!("{condition:?}").to_lowercase()),
            What::Keepers(_) | What::Ended | What::Announced(_) | What::Seen(_) => Ok(()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn end(&mut self, locks: &Locks) -> io::Result<()> {
        let mut tracks: Vec<Track> = self.open.keys().copied().collect();
        tracks.sort_unstable();
        for track in tracks {
            self.released(track, locks.now(), "run ended")?;
            self.waited(track, locks.now(), "run ended")?;
        }
        self.out.write_all(b"\n]}\n")?;
        self.out.flush()
    }
}
