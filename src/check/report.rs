//! The verdicts as text, a line as it becomes known, or as one JSON object in the end.

use super::place::{Mount, Place};
use super::{KINDS, Row, Verdict, overall};
use crate::cli::{CheckArgs, CheckOutput};
use crate::clock;
use crate::event::LockKind;
use crate::failure::Failure;
use crate::format::{dur, printable};
use anyhow::anyhow;
use serde::Serialize;
use std::io::{ErrorKind, Write};

/// What is known before the first row.
#[derive(Debug, Serialize)]
struct Header<'a> {
    #[serde(rename = "type")]
    what: &'static str,
    schema: u32,
    version: &'static str,
    started_at: String,
    path: String,
    file_system: Option<&'a Mount>,
    kernel: String,
    workers: u32,
    round_ns: u64,
}

/// The whole of it.
#[derive(Debug, Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    header: &'a Header<'a>,
    duration_ns: u64,
    verdict: Verdict,
    rows: &'a [Row],
}

/// A report under way.
pub(super) struct Report<'a, W: Write> {
    out: W,
    output: CheckOutput,
    header: Header<'a>,
    began: u64,
    rows: Vec<Row>,
    /// The reader is gone: go on in silence, the exit status still tells.
    deaf: bool,
}

impl<'a, W: Write> Report<'a, W> {
    pub(super) fn begin(args: &CheckArgs, place: &'a Place, out: W) -> Result<Self, Failure> {
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned();
        let header = Header {
            what: "check",
            schema: crate::record::SCHEMA,
            version: env!("CARGO_PKG_VERSION"),
            started_at: humantime::format_rfc3339_millis(std::time::SystemTime::now()).to_string(),
            path: place.folder.display().to_string(),
            file_system: place.mount.as_ref(),
            kernel,
            workers: args.workers,
            round_ns: args.duration,
        };
        let mut report = Self { out, output: args.output, header, began: clock::now(), rows: Vec::new(), deaf: false };
        if report.output == CheckOutput::Text {
            let text = report.header.text();
            report.print(&text)?;
        }
        Ok(report)
    }

    pub(super) fn row(&mut self, row: Row) -> Result<(), Failure> {
        if self.output == CheckOutput::Text {
            let text = text_of(&row, self.rows.last());
            self.print(&text)?;
        }
        self.rows.push(row);
        Ok(())
    }

    /// Tells what it comes to.
    pub(super) fn end(mut self) -> Result<Verdict, Failure> {
        let verdict = overall(&self.rows);
        let duration_ns = clock::now().saturating_sub(self.began);
        let text = match self.output {
            CheckOutput::Text => format!("\n{}\n", conclusion(verdict, &self.rows)),
            CheckOutput::Json => {
                let whole = Whole { header: &self.header, duration_ns, verdict, rows: &self.rows };
                serde_json::to_string(&whole).map_err(|e| anyhow!("cannot write the verdicts as JSON: {e}"))? + "\n"
            }
        };
        self.print(&text)?;
        Ok(verdict)
    }

    fn print(&mut self, text: &str) -> Result<(), Failure> {
        if self.deaf {
            return Ok(());
        }
        match self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => self.deaf = true,
            Err(error) => return Err(Failure::Running(anyhow!("cannot write to standard output: {error}"))),
            Ok(()) => {}
        }
        Ok(())
    }
}

impl Header<'_> {
    fn text(&self) -> String {
        let on = self.file_system.map_or_else(
            || "an unknown file system (/proc/self/mountinfo does not tell)".to_owned(),
            |m| format!("{} ({} on {})", m.kind, m.source, m.mount_point.display()),
        );
        printable(&format!(
            "{} is on {on}, Linux {}; {} processes, {} a round",
            self.path,
            self.kernel,
            self.workers,
            dur(self.round_ns)
        )) + "\n"
    }
}

fn name_of(kind: Option<LockKind>) -> &'static str {
    kind.map_or("between kinds", LockKind::as_str)
}

fn text_of(row: &Row, before: Option<&Row>) -> String {
    let first = before.is_none_or(|b| b.kind != row.kind);
    let title = if first { format!("\n{}\n", name_of(row.kind)) } else { String::new() };
    let word = match row.verdict {
        Verdict::Good => "good",
        Verdict::Broken => "BROKEN",
        Verdict::NotSupported => "not supported",
        Verdict::Info => "info",
    };
    // A kind that is not there is said once.
    let missing = row.verdict == Verdict::NotSupported && row.kind.is_some();
    if missing && !first && before.is_some_and(|b| b.verdict == Verdict::NotSupported) {
        return String::new();
    }
    let label = if missing { "all of it" } else { row.check.label() };
    format!("{title}  {word:<13}  {label:<17}  {}\n", printable(&row.text))
}

/// `flock (mutual exclusion, conversion), posix and ofd`: all rows with this verdict.
fn named(rows: &[Row], verdict: Verdict) -> String {
    let tells = move |r: &&Row| r.verdict == verdict && (verdict != Verdict::Info || r.check.is_promise());
    let with = |kind| rows.iter().filter(tells).filter(move |r| r.kind == kind).map(|r| r.check.label());
    let kinds = KINDS.into_iter().filter_map(|kind| {
        let labels: Vec<&str> = with(Some(kind)).collect();
        let all = verdict == Verdict::NotSupported;
        (!labels.is_empty()).then(|| if all { kind.to_string() } else { format!("{kind} ({})", labels.join(", ")) })
    });
    let between = with(None).filter(|_| verdict != Verdict::NotSupported).map(str::to_owned);
    kinds.chain(between).collect::<Vec<_>>().join(", ")
}

fn conclusion(verdict: Verdict, rows: &[Row]) -> String {
    let missing = named(rows, Verdict::NotSupported);
    let beside = if missing.is_empty() { String::new() } else { format!(" (not supported here: {missing})") };
    match verdict {
        Verdict::Broken => format!("BROKEN, do not trust it here: {}{beside}", named(rows, Verdict::Broken)),
        Verdict::NotSupported => "No kind of lock is supported here: keep lock files on another file system".into(),
        Verdict::Info => format!("Nothing broken, but not all proved: {}{beside}", named(rows, Verdict::Info)),
        Verdict::Good => format!("All good{beside}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Check;

    fn row(kind: Option<LockKind>, check: Check, verdict: Verdict) -> Row {
        Row { kind, check, verdict, text: String::new(), figures: serde_json::Map::new() }
    }

    #[test]
    fn what_could_not_be_proved_is_not_called_good() {
        let flock = Some(LockKind::Flock);
        let mut rows = vec![
            row(flock, Check::Exclusive, Verdict::Good),
            row(flock, Check::Speed, Verdict::Info),
            row(None, Check::FlockFcntl, Verdict::Info),
        ];
        assert_eq!((overall(&rows), conclusion(overall(&rows), &rows).as_str()), (Verdict::Good, "All good"));
        rows.push(row(flock, Check::Shared, Verdict::Info));
        assert_eq!(overall(&rows), Verdict::Info);
        let text = conclusion(Verdict::Info, &rows);
        assert_eq!(text, "Nothing broken, but not all proved: flock (shared readers)");
        rows.push(row(flock, Check::Death, Verdict::Broken));
        assert_eq!(overall(&rows), Verdict::Broken);
    }
}
