//! What is known of a run before its first event, as the first line of a recording, both ways.

use super::SCHEMA;
use super::line::{Kind, why};
use crate::dist::Dist;
use crate::event::thresholds::Thresholds;
use crate::event::{Begin, LockInfo, LockKind, Origin, Setup, Watching};
use serde::{Deserialize, Serialize};
use std::io::{self, Write};

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
    config: serde_json::Value,
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
    let config = match &begin.watch {
        None => serde_json::to_value(&begin.setup)?,
        Some(watching) => {
            let mut config = serde_json::to_value(watching)?;
            if !begin.setup.thresholds.is_default() {
                config["thresholds"] = serde_json::to_value(begin.setup.thresholds)?;
            }
            config
        }
    };
    let line = BeginLine {
        kind: Kind::Begin,
        schema: SCHEMA,
        version: begin.version.clone(),
        source: begin.origin,
        started_at: begin.started_at.clone(),
        lock: (&begin.lock).into(),
        workers: begin.workers,
        config,
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
    let bad = |e: &serde_json::Error| format!("{expected}: in its config: {}", why(e));
    let (setup, watch): (_, Option<Watching>) = match line.source {
        Origin::Lab => (serde_json::from_value::<Setup>(line.config).map_err(|e| bad(&e))?, None),
        Origin::Watch => {
            let thresholds = match line.config.get("thresholds") {
                None => Thresholds::default(),
                Some(some) => serde_json::from_value(some.clone()).map_err(|e| bad(&e))?,
            };
            let none = Setup { hold: "0".into(), think: "0".into(), thresholds, ..Setup::default() };
            (none, Some(serde_json::from_value(line.config).map_err(|e| bad(&e))?))
        }
    };
    let mean = |name: &str, text: &str| {
        text.parse::<Dist>().map(Dist::mean).map_err(|e| format!("the {name} in its config: {e}"))
    };
    Ok(Begin {
        origin: line.source,
        version: line.version,
        started_at: line.started_at,
        hold_ns: mean("hold", &setup.hold)?,
        think_ns: mean("think", &setup.think)?,
        lock: LockInfo { name: line.lock.path, kind: line.lock.kind, file: line.lock.dev.zip(line.lock.ino) },
        workers: line.workers,
        setup: if watch.is_some() { Setup { thresholds: setup.thresholds, ..Setup::default() } } else { setup },
        watch,
    })
}
