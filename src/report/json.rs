//! One summary object; as lines, every event and then the summary.

use super::Report;
use super::figures::RunFigures;
use crate::event::{Begin, Event};
use crate::model::Locks;
use crate::record::{LineWriter, write_begin};
use serde::Serialize;
use std::io::{self, BufWriter, Write};

/// Writes nothing until the end, then one JSON object on one line.
#[derive(Debug)]
pub struct Json<W: Write> {
    out: W,
}

impl<W: Write> Json<W> {
    /// A summary to `out`.
    pub fn new(out: W) -> Self {
        Self { out }
    }
}

impl<W: Write + Send> Report for Json<W> {
    fn sums_up(&self) -> bool {
        true
    }

    fn end(&mut self, locks: &Locks) -> io::Result<()> {
        let mut text = serde_json::to_vec(&RunFigures::of(locks))?;
        text.push(b'\n');
        self.out.write_all(&text)?;
        self.out.flush()
    }
}

/// Writes a recording: a line an event, as it happens.
#[derive(Debug)]
pub struct Jsonl<W: Write> {
    out: BufWriter<W>,
    lines: LineWriter,
}

impl<W: Write> Jsonl<W> {
    /// A recording to `out`.
    pub fn new(out: W) -> Self {
        Self { out: BufWriter::with_capacity(64 * 1024, out), lines: LineWriter::default() }
    }
}

#[derive(Serialize)]
struct SummaryLine {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(flatten)]
    figures: RunFigures,
}

impl<W: Write + Send> Report for Jsonl<W> {
    fn begin(&mut self, begin: &Begin) -> io::Result<()> {
        self.lines = LineWriter::new(begin);
        write_begin(&mut self.out, begin)
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.lines.event(&mut self.out, event)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn end(&mut self, locks: &Locks) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, &SummaryLine { kind: "summary", figures: RunFigures::of(locks) })?;
        self.out.write_all(b"\n")?;
        self.out.flush()
    }
}
