//! An event and its line: one flat form for both ways, so that they cannot drift apart. No I/O.

use crate::event::{
    Acquisition, ActorId, Condition, Event, FailedAction, FindingKind, Keeper, LockId, LockInfo, LockKind, LockMode,
    MAX_ACTORS, MAX_LOCKS, MAX_TIME, Task, What,
};
use serde::{Deserialize, Deserializer, Serialize};

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
    Lock,
    Seen,
    Waiting,
    Holding,
    Tried,
    Keepers,
    Condition,
    Acquired,
    GaveUp,
    Left,
    Released,
    Ran,
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

/// What `kind` says: of a lock, or of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
#[allow(missing_docs, reason = "the types say it")]
pub enum AnyKind {
    Lock(LockKind),
    Finding(FindingKind),
}

/// What `since` says: it was so before watching began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the word says it")]
pub enum Since {
    Before,
}

/// The fields of all event lines; which of them a line has depends on its type.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "as the fields of What")]
pub struct Line {
    #[serde(rename = "type")]
    pub what: Kind,
    pub t: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<LockId>,
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ran_ns: Option<u64>,
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<AnyKind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "nullable")]
    pub dev: Option<Option<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "nullable")]
    pub ino: Option<Option<u64>>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "nullable")]
    pub tid: Option<Option<i32>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comm: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cmdline: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "nullable")]
    pub container: Option<Option<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "nullable")]
    pub range: Option<Option<Bytes>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Since>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keepers: Option<Box<[Keeper]>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Condition>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision_ns: Option<u64>,
}

/// First and last byte of a record lock; a last one that is null is the end of the file.
pub(super) type Bytes = (u64, Option<u64>);

/// Tells a field that is null from one that is missing.
fn nullable<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// What a JSON error says, without the line number that it counts within the one line.
pub(super) fn why(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((what, at)) => format!("{what} at column {}", at.rsplit(' ').next().unwrap_or("?")),
        None => text,
    }
}

pub(super) fn won(line: Line, a: &Acquisition) -> Line {
    Line {
        what: Kind::Acquired,
        mode: Some(a.mode),
        seq: Some(a.seq),
        waited_ns: Some(a.waited_ns),
        contended: Some(a.contended),
        handoff_ns: Some(a.handoff_ns),
        overtaken: Some(a.overtaken),
        ..line
    }
}

pub(super) fn told(line: Line, event: &What) -> Line {
    match event {
        What::Spawned => Line { what: Kind::Spawned, ..line },
        What::Announced(info) => {
            let (dev, ino) = info.file.clone().unzip();
            let kind = Some(AnyKind::Lock(info.kind));
            Line { what: Kind::Lock, path: Some(info.name.clone()), dev: Some(dev), ino: Some(ino), kind, ..line }
        }
        What::Seen(task) => Line {
            what: Kind::Seen,
            tid: Some(task.tid),
            comm: Some(task.comm.clone()),
            cmdline: Some(task.cmdline.clone()),
            user: Some(task.user.clone()),
            container: Some(task.container.clone()),
            kind: Some(AnyKind::Lock(task.kind)),
            range: Some(task.range),
            ..line
        },
        What::Found { mode, holds } => {
            let what = if *holds { Kind::Holding } else { Kind::Waiting };
            Line { what, mode: Some(*mode), since: Some(Since::Before), ..line }
        }
        What::Tried { mode, count } => Line { what: Kind::Tried, mode: Some(*mode), count: Some(*count), ..line },
        What::Keepers(keepers) => Line { what: Kind::Keepers, keepers: Some(keepers.clone()), ..line },
        What::Condition(state) => Line { what: Kind::Condition, state: Some(*state), ..line },
        What::Waiting { mode } => Line { what: Kind::Waiting, mode: Some(*mode), ..line },
        What::Acquired(a) | What::Cycle { acquired: a, .. } => won(line, a),
        What::Turns(turns) => turns.last().map(|turn| won(line.clone(), &turn.acquisition())).unwrap_or(line),
        What::Left { waited_ns } => Line { what: Kind::Left, waited_ns: Some(*waited_ns), ..line },
        What::GaveUp { waited_ns } => Line { what: Kind::GaveUp, waited_ns: Some(*waited_ns), ..line },
        What::Released { seq, held_ns } => {
            Line { what: Kind::Released, seq: Some(*seq), held_ns: Some(*held_ns), ..line }
        }
        What::Ran { seq, code, signal, ran_ns } => Line {
            what: Kind::Ran,
            seq: Some(*seq),
            code: Some(*code),
            signal: Some(*signal),
            ran_ns: Some(*ran_ns),
            ..line
        },
        What::Exited { code, signal } => Line { what: Kind::Exited, code: Some(*code), signal: Some(*signal), ..line },
        What::Failed { action, errno } => {
            Line { what: Kind::Failed, action: Some(*action), errno: Some(*errno), ..line }
        }
        What::Stopped => Line { what: Kind::Stopped, ..line },
        What::Continued => Line { what: Kind::Continued, ..line },
        What::Paused => Line { what: Kind::Paused, ..line },
        What::Resumed => Line { what: Kind::Resumed, ..line },
        What::Violation { seq, other, other_pid } => {
            Line { what: Kind::Violation, seq: Some(*seq), other: Some(*other), other_pid: Some(*other_pid), ..line }
        }
        What::Dropped { count } => Line { what: Kind::Dropped, count: Some(*count), ..line },
        What::PathChanged { was, now } => Line { what: Kind::PathChanged, was: Some(*was), now: Some(*now), ..line },
        What::Settings { hold_ns, think_ns } => {
            Line { what: Kind::Settings, hold_ns: Some(*hold_ns), think_ns: Some(*think_ns), ..line }
        }
        What::Removed => Line { what: Kind::Removed, ..line },
        What::Reset => Line { what: Kind::Reset, ..line },
        What::Warning { text } => Line { what: Kind::Warning, text: Some(text.clone()), ..line },
        What::Finding { kind, text } => {
            Line { what: Kind::Finding, kind: Some(AnyKind::Finding(*kind)), text: Some(text.clone()), ..line }
        }
        What::Ended => Line { what: Kind::Ended, ..line },
    }
}

impl Line {
    /// The event; none for the lines that are none (`begin`, `summary`). The text says what is wrong.
    pub(super) fn event(&mut self) -> Result<Option<Event>, String> {
        let lacks = |field: &'static str| move || format!("its {field} is missing");
        let what = match self.what {
            Kind::Begin => return Err(SECOND_BEGIN.into()),
            Kind::Summary => return Ok(None),
            Kind::Spawned => What::Spawned,
            Kind::Lock => What::Announced(Box::new(LockInfo {
                name: self.path.take().ok_or_else(lacks("path"))?,
                kind: self.lock_kind().ok_or_else(lacks("kind"))?,
                file: self.dev.take().flatten().zip(self.ino.flatten()),
            })),
            Kind::Seen => What::Seen(Box::new(Task {
                tid: self.tid.flatten(),
                comm: self.comm.take().unwrap_or_default(),
                cmdline: self.cmdline.take().unwrap_or_default(),
                user: self.user.take().unwrap_or_default(),
                container: self.container.take().flatten(),
                kind: self.lock_kind().ok_or_else(lacks("kind"))?,
                range: self.range.flatten(),
            })),
            Kind::Waiting | Kind::Holding if self.since.is_some() => {
                What::Found { mode: self.mode.ok_or_else(lacks("mode"))?, holds: self.what == Kind::Holding }
            }
            Kind::Holding => return Err("its since is missing".into()),
            Kind::Waiting => What::Waiting { mode: self.mode.ok_or_else(lacks("mode"))? },
            Kind::Tried => What::Tried {
                mode: self.mode.ok_or_else(lacks("mode"))?,
                count: self.count.ok_or_else(lacks("count"))?,
            },
            Kind::Keepers => What::Keepers(self.keepers.take().ok_or_else(lacks("keepers"))?),
            Kind::Condition => What::Condition(self.state.ok_or_else(lacks("state"))?),
            Kind::Acquired => What::Acquired(Acquisition {
                mode: self.mode.ok_or_else(lacks("mode"))?,
                seq: self.seq.ok_or_else(lacks("seq"))?,
                waited_ns: self.waited_ns.ok_or_else(lacks("waited_ns"))?,
                contended: self.contended.ok_or_else(lacks("contended"))?,
                handoff_ns: self.handoff_ns.flatten(),
                overtaken: self.overtaken.unwrap_or(0),
            }),
            Kind::Left => What::Left { waited_ns: self.waited_ns.ok_or_else(lacks("waited_ns"))? },
            Kind::GaveUp => What::GaveUp { waited_ns: self.waited_ns.ok_or_else(lacks("waited_ns"))? },
            Kind::Released => What::Released {
                seq: self.seq.ok_or_else(lacks("seq"))?,
                held_ns: self.held_ns.ok_or_else(lacks("held_ns"))?,
            },
            Kind::Ran => What::Ran {
                seq: self.seq.ok_or_else(lacks("seq"))?,
                code: self.code.flatten(),
                signal: self.signal.flatten(),
                ran_ns: self.ran_ns.ok_or_else(lacks("ran_ns"))?,
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
                kind: match self.kind {
                    Some(AnyKind::Finding(kind)) => kind,
                    _ => return Err(lacks("kind")()),
                },
                text: self.text.take().ok_or_else(lacks("text"))?,
            },
            Kind::Ended => What::Ended,
        };
        let times = [
            Some(self.t),
            self.waited_ns,
            self.held_ns,
            self.ran_ns,
            self.handoff_ns.flatten(),
            self.hold_ns,
            self.think_ns,
        ];
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
        let lock = self.lock.unwrap_or(0);
        if lock >= MAX_LOCKS {
            return Err(format!("lock {lock} is beyond {}, the most there can be", MAX_LOCKS - 1));
        }
        Ok(Some(Event { t: self.t, lock, actor, pid: self.pid.unwrap_or(0), what }))
    }

    fn lock_kind(&self) -> Option<LockKind> {
        match self.kind {
            Some(AnyKind::Lock(kind)) => Some(kind),
            _ => None,
        }
    }
}
