//! An event and its line: one flat form for both ways, so that they cannot drift apart.

use super::SCHEMA;
use crate::dist::Dist;
use crate::event::{
    Acquisition, ActorId, Begin, Event, FailedAction, FindingKind, LockInfo, LockKind, LockMode, MAX_ACTORS, MAX_TIME,
    Origin, Setup, What,
};
use serde::{Deserialize, Deserializer, Serialize};
use std::io::{self, Write};

/// What is wrong with a file in which two recordings follow each other.
pub(super) const SECOND_BEGIN: &str = "a second begin: two recordings in one file; split them";

/// What a line says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "as the variants of What")]
pub enum Kind {
    Begin,
    #[default]
    Spawned,
    Waiting,
    Acquired,
    GaveUp,
    Released,
    Exited,
    Failed,
    Stopped,
    Continued,
    Paused,
    Resumed,
    Violation,
    Dropped,
    PathChanged,
    Settings,
    Removed,
    Reset,
    Warning,
    Finding,
    Ended,
    Summary,
}

/// The fields of all event lines; which of them a line has depends on its type.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "as the fields of What")]
pub struct Line {
    #[serde(rename = "type")]
    pub kind: Kind,
    pub t: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<ActorId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<LockMode>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited_ns: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contended: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "nullable")]
    pub handoff_ns: Option<Option<u64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overtaken: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_ns: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "nullable")]
    pub code: Option<Option<i32>>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "nullable")]
    pub signal: Option<Option<i32>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<FailedAction>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<ActorId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_pid: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "nullable")]
    pub now: Option<Option<u64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_ns: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub think_ns: Option<u64>,
    #[serde(rename = "kind", default, skip_serializing_if = "Option::is_none")]
    pub finding: Option<FindingKind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// Tells a field that is null from one that is missing.
fn nullable<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
}

#[derive(Serialize, Deserialize)]
struct BeginLine {
    #[serde(rename = "type")]
    kind: Kind,
    schema: u32,
    version: String,
    source: Origin,
    started_at: String,
    lock: LockLine,
    workers: u32,
    config: Setup,
}

/// A lock in JSON.
#[allow(missing_docs, reason = "as in LockInfo")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LockLine {
    pub path: String,
    pub dev: Option<String>,
    pub ino: Option<u64>,
    pub kind: LockKind,
}

impl From<&LockInfo> for LockLine {
    fn from(lock: &LockInfo) -> Self {
        let (dev, ino) = lock.file.clone().unzip();
        Self { path: lock.name.clone(), dev, ino, kind: lock.kind }
    }
}

/// Writes the first line.
///
/// # Errors
/// The stream does not take it.
pub fn write_begin(out: &mut impl Write, begin: &Begin) -> io::Result<()> {
    let line = BeginLine {
        kind: Kind::Begin,
        schema: SCHEMA,
        version: begin.version.clone(),
        source: begin.origin,
        started_at: begin.started_at.clone(),
        lock: (&begin.lock).into(),
        workers: begin.workers,
        config: begin.setup.clone(),
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}

/// Reads the first line; the text says what is wrong with it.
pub(super) fn parse_begin(text: &[u8]) -> Result<Begin, String> {
    #[derive(Deserialize)]
    struct Head {
        #[serde(rename = "type")]
        kind: String,
        schema: u32,
    }
    let expected = "expected a recording's first line, {\"type\":\"begin\",\"schema\":1,...}";
    let head: Head = serde_json::from_slice(text).map_err(|e| format!("{expected}: {}", why(&e)))?;
    if head.kind != "begin" {
        return Err(format!("{expected}, found one of type \"{}\"", head.kind));
    }
    if head.schema != SCHEMA {
        return Err(format!(
            "written in schema {}, but this flockmon reads schema {SCHEMA}: use the version that wrote it, or a newer one",
            head.schema
        ));
    }
    let line: BeginLine = serde_json::from_slice(text).map_err(|e| format!("{expected}: {}", why(&e)))?;
    let mean = |name: &str, text: &str| {
        text.parse::<Dist>().map(Dist::mean).map_err(|e| format!("the {name} in its config: {e}"))
    };
    Ok(Begin {
        origin: line.source,
        version: line.version,
        started_at: line.started_at,
        hold_ns: mean("hold", &line.config.hold)?,
        think_ns: mean("think", &line.config.think)?,
        lock: LockInfo { name: line.lock.path, kind: line.lock.kind, file: line.lock.dev.zip(line.lock.ino) },
        workers: line.workers,
        setup: line.config,
    })
}

/// What a JSON error says, without the line number that it counts within the one line.
pub(super) fn why(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((what, at)) => format!("{what} at column {}", at.rsplit(' ').next().unwrap_or("?")),
        None => text,
    }
}

/// Writes an event; a [`What::Cycle`] becomes the lines that it stands for.
///
/// # Errors
/// The stream does not take it.
pub fn write_event(out: &mut impl Write, event: &Event) -> io::Result<()> {
    let line = Line {
        t: event.t,
        worker: (event.actor != 0).then_some(event.actor),
        pid: (event.actor != 0).then_some(event.pid),
        ..Line::default()
    };
    if let What::Cycle { acquired, held_ns } = &event.what {
        if acquired.contended {
            let t = event.t.saturating_sub(acquired.waited_ns);
            put(out, &Line { t, kind: Kind::Waiting, mode: Some(acquired.mode), ..line.clone() })?;
        }
        put(out, &won(line.clone(), acquired))?;
        let t = event.t.saturating_add(*held_ns);
        let seq = Some(acquired.seq);
        return put(out, &Line { t, kind: Kind::Released, seq, held_ns: Some(*held_ns), ..line });
    }
    put(out, &told(line, &event.what))
}

fn put(out: &mut impl Write, line: &Line) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

fn won(line: Line, a: &Acquisition) -> Line {
    Line {
        kind: Kind::Acquired,
        mode: Some(a.mode),
        seq: Some(a.seq),
        waited_ns: Some(a.waited_ns),
        contended: Some(a.contended),
        handoff_ns: Some(a.handoff_ns),
        overtaken: Some(a.overtaken),
        ..line
    }
}

fn told(line: Line, what: &What) -> Line {
    match what {
        What::Spawned => Line { kind: Kind::Spawned, ..line },
        What::Waiting { mode } => Line { kind: Kind::Waiting, mode: Some(*mode), ..line },
        What::Acquired(a) | What::Cycle { acquired: a, .. } => won(line, a),
        What::GaveUp { waited_ns } => Line { kind: Kind::GaveUp, waited_ns: Some(*waited_ns), ..line },
        What::Released { seq, held_ns } => {
            Line { kind: Kind::Released, seq: Some(*seq), held_ns: Some(*held_ns), ..line }
        }
        What::Exited { code, signal } => Line { kind: Kind::Exited, code: Some(*code), signal: Some(*signal), ..line },
        What::Failed { action, errno } => {
            Line { kind: Kind::Failed, action: Some(*action), errno: Some(*errno), ..line }
        }
        What::Stopped => Line { kind: Kind::Stopped, ..line },
        What::Continued => Line { kind: Kind::Continued, ..line },
        What::Paused => Line { kind: Kind::Paused, ..line },
        What::Resumed => Line { kind: Kind::Resumed, ..line },
        What::Violation { seq, other, other_pid } => {
            Line { kind: Kind::Violation, seq: Some(*seq), other: Some(*other), other_pid: Some(*other_pid), ..line }
        }
        What::Dropped { count } => Line { kind: Kind::Dropped, count: Some(*count), ..line },
        What::PathChanged { was, now } => Line { kind: Kind::PathChanged, was: Some(*was), now: Some(*now), ..line },
        What::Settings { hold_ns, think_ns } => {
            Line { kind: Kind::Settings, hold_ns: Some(*hold_ns), think_ns: Some(*think_ns), ..line }
        }
        What::Removed => Line { kind: Kind::Removed, ..line },
        What::Reset => Line { kind: Kind::Reset, ..line },
        What::Warning { text } => Line { kind: Kind::Warning, text: Some(text.clone()), ..line },
        What::Finding { kind, text } => {
            Line { kind: Kind::Finding, finding: Some(*kind), text: Some(text.clone()), ..line }
        }
        What::Ended => Line { kind: Kind::Ended, ..line },
    }
}

impl Line {
    /// The event; none for the lines that are none (`begin`, `summary`). The text says what is wrong.
    pub(super) fn event(&mut self) -> Result<Option<Event>, String> {
        let kind = self.kind;
        let lacks = |field: &'static str| move || format!("its {field} is missing");
        let what = match kind {
            Kind::Begin => return Err(SECOND_BEGIN.into()),
            Kind::Summary => return Ok(None),
            Kind::Spawned => What::Spawned,
            Kind::Waiting => What::Waiting { mode: self.mode.ok_or_else(lacks("mode"))? },
            Kind::Acquired => What::Acquired(Acquisition {
                mode: self.mode.ok_or_else(lacks("mode"))?,
                seq: self.seq.ok_or_else(lacks("seq"))?,
                waited_ns: self.waited_ns.ok_or_else(lacks("waited_ns"))?,
                contended: self.contended.ok_or_else(lacks("contended"))?,
                handoff_ns: self.handoff_ns.flatten(),
                overtaken: self.overtaken.unwrap_or(0),
            }),
            Kind::GaveUp => What::GaveUp { waited_ns: self.waited_ns.ok_or_else(lacks("waited_ns"))? },
            Kind::Released => What::Released {
                seq: self.seq.ok_or_else(lacks("seq"))?,
                held_ns: self.held_ns.ok_or_else(lacks("held_ns"))?,
            },
            Kind::Exited => What::Exited { code: self.code.flatten(), signal: self.signal.flatten() },
            Kind::Failed => What::Failed {
                action: self.action.ok_or_else(lacks("action"))?,
                errno: self.errno.ok_or_else(lacks("errno"))?,
            },
            Kind::Stopped => What::Stopped,
            Kind::Continued => What::Continued,
            Kind::Paused => What::Paused,
            Kind::Resumed => What::Resumed,
            Kind::Violation => What::Violation {
                seq: self.seq.ok_or_else(lacks("seq"))?,
                other: self.other.ok_or_else(lacks("other"))?,
                other_pid: self.other_pid.unwrap_or(0),
            },
            Kind::Dropped => What::Dropped { count: self.count.ok_or_else(lacks("count"))? },
            Kind::PathChanged => What::PathChanged { was: self.was.ok_or_else(lacks("was"))?, now: self.now.flatten() },
            Kind::Settings => What::Settings {
                hold_ns: self.hold_ns.ok_or_else(lacks("hold_ns"))?,
                think_ns: self.think_ns.ok_or_else(lacks("think_ns"))?,
            },
            Kind::Removed => What::Removed,
            Kind::Reset => What::Reset,
            Kind::Warning => What::Warning { text: self.text.take().ok_or_else(lacks("text"))? },
            Kind::Finding => What::Finding {
                kind: self.finding.ok_or_else(lacks("kind"))?,
                text: self.text.take().ok_or_else(lacks("text"))?,
            },
            Kind::Ended => What::Ended,
        };
        let times =
            [Some(self.t), self.waited_ns, self.held_ns, self.handoff_ns.flatten(), self.hold_ns, self.think_ns];
        if let Some(time) = times.into_iter().flatten().find(|t| *t > MAX_TIME) {
            return Err(format!("a time of {time} ns is beyond {MAX_TIME}, the longest there can be"));
        }
        if what.is_of_an_actor() && self.worker.is_none_or(|w| w == 0) {
            return Err("its worker is missing".into());
        }
        let actor = self.worker.unwrap_or(0);
        if actor > MAX_ACTORS {
            return Err(format!("worker {actor} is beyond {MAX_ACTORS}, the most there can be"));
        }
        Ok(Some(Event { t: self.t, actor, pid: self.pid.unwrap_or(0), what }))
    }
}
