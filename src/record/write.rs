//! Writes events as lines. What the lines of a watch need from each other is remembered here.

use super::line::{Bytes, Kind, Line, told, won};
use crate::event::{ActorId, Begin, Event, LockId, What};
use std::collections::HashMap;
use std::io::{self, Write};

/// Writes events; those of a watch say which lock, which bytes, and how far times may be off.
#[derive(Clone, Debug, Default)]
pub struct LineWriter {
    watch: bool,
    precision_ns: Option<u64>,
    ranges: HashMap<(LockId, ActorId), Option<Bytes>>,
}

impl LineWriter {
    /// For the events that follow `begin`.
    pub fn new(begin: &Begin) -> Self {
        let precision_ns = begin.watch.as_ref().map(|w| w.precision_ns).filter(|ns| *ns > 0);
        Self { watch: begin.watch.is_some(), precision_ns, ranges: HashMap::new() }
    }

    /// Writes an event; a [`What::Cycle`] becomes the lines that it stands for, and so do [`What::Turns`].
    ///
    /// # Errors
    /// The stream does not take it.
    pub fn event(&mut self, out: &mut impl Write, event: &Event) -> io::Result<()> {
        if let What::Turns(_) = event.what {
            return event.clone().singly().try_for_each(|turn| self.event(out, &turn));
        }
        let mut line = Line {
            t: event.t,
            worker: (event.actor != 0).then_some(event.actor),
            pid: (event.actor != 0).then_some(event.pid),
            ..Line::default()
        };
        if !self.watch && event.lock != 0 {
            line.lock = Some(event.lock);
        }
        if self.watch && !event.what.is_of_the_run(event.actor) {
            line.lock = Some(event.lock);
            if let What::Seen(task) = &event.what {
                self.ranges.insert((event.lock, event.actor), task.range);
            } else if event.actor != 0 {
                line.range = Some(self.ranges.get(&(event.lock, event.actor)).copied().flatten());
                line.precision_ns = self.precision_ns;
            }
        }
        write_lines(out, line, event)
    }
}

fn write_lines(out: &mut impl Write, line: Line, event: &Event) -> io::Result<()> {
    if let What::Cycle { acquired, held_ns } = &event.what {
        if acquired.contended {
            let t = event.t.saturating_sub(acquired.waited_ns);
            put(out, &Line { t, what: Kind::Waiting, mode: Some(acquired.mode), ..line.clone() })?;
        }
        put(out, &won(line.clone(), acquired))?;
        let t = event.t.saturating_add(*held_ns);
        let seq = Some(acquired.seq);
        return put(out, &Line { t, what: Kind::Released, seq, held_ns: Some(*held_ns), ..line });
    }
    put(out, &told(line, &event.what))
}

fn put(out: &mut impl Write, line: &Line) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}
