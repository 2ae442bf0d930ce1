//! A trace for Perfetto and chrome://tracing: a track a worker, a slice for each wait and hold, an arrow for each
//! handoff, an instant for each death, stop and violation. Form: the JSON Array Format of the Trace Event Format,
//! times in µs.

use super::Report;
use crate::event::{Acquisition, ActorId, Begin, Event, LockMode, What};
use crate::model::Model;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufWriter, Write};

/// The one process of the trace.
const PROCESS: u32 = 1;
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
    open: HashMap<ActorId, Open>,
    /// Who released acquisition n, when: an arrow's tail.
    tails: BTreeMap<u64, (ActorId, u64)>,
    /// Who got acquisition n + 1 handed over, when: its head.
    heads: BTreeMap<u64, (ActorId, u64)>,
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

    fn slice(&mut self, worker: ActorId, name: &str, from: u64, to: u64, args: &Value) -> io::Result<()> {
        let (ts, dur) = (micros(from), micros(to.saturating_sub(from)));
        self.put(&json!({"ph": "X", "pid": PROCESS, "tid": worker, "ts": ts, "dur": dur, "name": name, "cat": "lock", "args": args}))
    }

    /// `worker` 0 concerns all.
    fn instant(&mut self, worker: ActorId, t: u64, name: &str) -> io::Result<()> {
        let scope = if worker == 0 { "g" } else { "t" };
        self.put(&json!({"ph": "i", "pid": PROCESS, "tid": worker, "ts": micros(t), "s": scope, "name": name, "cat": "event"}))
    }

    fn acquired(&mut self, worker: ActorId, t: u64, won: &Acquisition) -> io::Result<()> {
        let open = self.open.entry(worker).or_default();
        let since = open.wait.take().map(|(since, _)| since).or(won.contended.then(|| t.saturating_sub(won.waited_ns)));
        open.hold = Some((t, won.seq, won.mode));
        if let Some(since) = since {
            self.slice(
                worker,
                "wait",
                since,
                t,
                &json!({"waited_ns": won.waited_ns, "overtaken": won.overtaken, "mode": won.mode}),
            )?;
        }
        if won.handoff_ns.is_some() && won.seq > 1 {
            self.heads.insert(won.seq - 1, (worker, t));
            self.arrow(won.seq - 1)?;
        }
        Ok(())
    }

    fn released(&mut self, worker: ActorId, t: u64, how: &str) -> io::Result<()> {
        let Some((since, seq, mode)) = self.open.entry(worker).or_default().hold.take() else { return Ok(()) };
        self.slice(worker, "hold", since, t, &json!({"seq": seq, "mode": mode, "end": how}))?;
        // An arrow begins in a slice only if it begins before its end.
        self.tails.insert(seq, (worker, t.saturating_sub(1).max(since)));
        self.arrow(seq)
    }

    /// Draws the arrow that follows acquisition `seq` where both of its ends are known.
    fn arrow(&mut self, seq: u64) -> io::Result<()> {
        if let (Some(&(from, t)), Some(&(to, at))) = (self.tails.get(&seq), self.heads.get(&seq)) {
            self.tails.remove(&seq);
            self.heads.remove(&seq);
            let end = |ph: &str, worker: ActorId, t: u64| json!({"ph": ph, "bp": "e", "id": seq, "pid": PROCESS, "tid": worker, "ts": micros(t), "name": "handoff", "cat": "handoff"});
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

    fn gone(&mut self, worker: ActorId, t: u64) -> io::Result<()> {
        self.released(worker, t, "died")?;
        self.waited(worker, t, "died")
    }

    fn waited(&mut self, worker: ActorId, t: u64, how: &str) -> io::Result<()> {
        match self.open.entry(worker).or_default().wait.take() {
            Some((since, mode)) => self.slice(worker, "wait", since, t, &json!({"mode": mode, "end": how})),
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
        let name = format!("flockmon {} {} {}", begin.origin.as_str(), begin.lock.kind, begin.lock.name);
        self.put(&json!({"ph": "M", "pid": PROCESS, "tid": 0, "name": "process_name", "args": {"name": name}}))
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        let (t, worker) = (event.t, event.actor);
        if worker != 0 && !self.open.contains_key(&worker) {
            self.open.insert(worker, Open::default());
            let name = format!("worker-{worker}");
            self.put(
                &json!({"ph": "M", "pid": PROCESS, "tid": worker, "name": "thread_name", "args": {"name": name}}),
            )?;
            self.put(&json!({"ph": "M", "pid": PROCESS, "tid": worker, "name": "thread_sort_index", "args": {"sort_index": worker}}))?;
        }
        match &event.what {
            What::Waiting { mode } => {
                self.open.entry(worker).or_default().wait.get_or_insert((t, *mode));
                Ok(())
            }
            What::Acquired(won) => self.acquired(worker, t, won),
            What::Released { .. } => self.released(worker, t, "released"),
            What::Cycle { acquired, held_ns } => {
                self.acquired(worker, t, acquired)?;
                self.released(worker, t.saturating_add(*held_ns), "released")
            }
            What::GaveUp { waited_ns } => {
                self.open
                    .entry(worker)
                    .or_default()
                    .wait
                    .get_or_insert((t.saturating_sub(*waited_ns), LockMode::Exclusive));
                self.waited(worker, t, "gave up")
            }
            What::Exited { signal, .. } => {
                self.gone(worker, t)?;
                self.instant(worker, t, if *signal == Some(9) { "killed" } else { "exited" })
            }
            What::Stopped => self.instant(worker, t, "stopped"),
            What::Continued => self.instant(worker, t, "continued"),
            What::Violation { .. } => self.instant(worker, t, "violation"),
            What::Failed { .. } => self.instant(worker, t, "failed"),
            What::Removed => self.instant(worker, t, "removed"),
            What::Paused => self.instant(0, t, "paused"),
            What::Resumed => self.instant(0, t, "resumed"),
            What::PathChanged { .. } => self.instant(0, t, "path changed"),
            What::Settings { .. } => self.instant(0, t, "settings"),
            What::Reset => self.instant(0, t, "reset"),
            What::Dropped { count } => self.instant(worker, t, &format!("{count} events lost")),
            What::Warning { text } | What::Finding { text, .. } => self.instant(0, t, text),
            What::Spawned => self.instant(worker, t, "spawned"),
            What::Ended => Ok(()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn end(&mut self, model: &Model) -> io::Result<()> {
        let mut workers: Vec<ActorId> = self.open.keys().copied().collect();
        workers.sort_unstable();
        for worker in workers {
            self.released(worker, model.now(), "run ended")?;
            self.waited(worker, model.now(), "run ended")?;
        }
        self.out.write_all(b"\n]}\n")?;
        self.out.flush()
    }
}
