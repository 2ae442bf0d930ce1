//! Reads the recording in a thread of its own.

use crate::event::Begin;
use crate::record::Line;
use crate::record::{Entry, Reader};
use crate::source::{Batch, Mark};
use anyhow::{Context, Error, Result, anyhow, bail};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Events read at once, and how often that is done in advance.
const CHUNK: usize = 1024;
const AHEAD: usize = 16;
/// The end of a file that is searched for its last time, in bytes: at first, at most.
const TAIL: (u64, u64) = (1 << 16, 1 << 23);

/// The last line has no end.
#[derive(Debug, Error)]
#[error("{name} ends in the middle of line {line}, as after a crash of its writer: all before it counts")]
pub(super) struct CutOff {
    name: String,
    line: u64,
}

/// A recording, as a file or a stream.
#[derive(Debug)]
pub(super) struct Tape {
    /// None is standard input.
    path: Option<PathBuf>,
    name: String,
    first_offset: u64,
    seekable: bool,
    length: Option<u64>,
}

impl Tape {
    /// Reads the first line, and starts to read the rest.
    pub(super) fn open(path: &Path) -> Result<(Self, Begin, Receiver<Batch>)> {
        if path == Path::new("-") {
            let name = "standard input".to_owned();
            let (reader, begin) = Reader::open(io::stdin()).map_err(|e| anyhow!("cannot replay {name}: {e}"))?;
            let tape = Self { path: None, name, first_offset: 0, seekable: false, length: None };
            let chunks = spawn(reader, tape.name.clone())?;
            return Ok((tape, begin, chunks));
        }
        let name = path.display().to_string();
        let file = File::open(path).with_context(|| {
            format!(
                "cannot open the recording {name}: give a file that flockmon --record wrote, or - for standard input"
            )
        })?;
        let kind = file.metadata().with_context(|| format!("cannot look at the recording {name}"))?.file_type();
        if kind.is_dir() {
            bail!("cannot replay {name}: it is a folder; give a file that flockmon --record wrote");
        }
        let length = if kind.is_file() { last_time(&file) } else { None };
        let (reader, begin) = Reader::open(file).map_err(|e| anyhow!("cannot replay {name}: {e}"))?;
        let (_, first_offset) = reader.position();
        let tape = Self { path: Some(path.to_owned()), name, first_offset, seekable: kind.is_file(), length };
        let chunks = spawn(reader, tape.name.clone())?;
        Ok((tape, begin, chunks))
    }

    /// Reads again from byte `offset`, behind line `line`.
    pub(super) fn rewind(&self, line: u64, offset: u64) -> Result<Receiver<Batch>> {
        let Some(path) = self.path.as_ref().filter(|_| self.seekable) else {
            bail!("a stream cannot be rewound: save it to a file and replay that");
        };
        let mut file = File::open(path).with_context(|| format!("cannot open {} again", self.name))?;
        file.seek(SeekFrom::Start(offset)).with_context(|| format!("cannot rewind {}", self.name))?;
        spawn(Reader::resume(file, line, offset), self.name.clone())
    }

    pub(super) fn can_rewind(&self) -> bool {
        self.seekable
    }

    pub(super) fn first_offset(&self) -> u64 {
        self.first_offset
    }

    /// When the last event was, in ns since the run began, where that can be known in advance.
    pub(super) fn length(&self) -> Option<u64> {
        self.length
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

/// The time of the last event in a file; its place is found again from the start by whoever reads next.
fn last_time(mut file: &File) -> Option<u64> {
    let size = file.metadata().ok()?.len();
    let (mut tail, most) = TAIL;
    let found = loop {
        let from = size.saturating_sub(tail);
        file.seek(SeekFrom::Start(from)).ok()?;
        let mut bytes = Vec::new();
        file.take(tail).read_to_end(&mut bytes).ok()?;
        let lines = bytes.rsplit(|b| *b == b'\n');
        let last = lines.filter_map(|l| serde_json::from_slice::<Line>(l).ok()).map(|l| l.t).find(|t| *t > 0);
        if last.is_some() || from == 0 || tail >= most {
            break last;
        }
        tail *= 8;
    };
    file.seek(SeekFrom::Start(0)).ok()?;
    found
}

fn spawn<R: Read + Send + 'static>(reader: Reader<R>, name: String) -> Result<Receiver<Batch>> {
    let (to, chunks) = bounded(AHEAD);
    std::thread::Builder::new()
        .name("tape".into())
        .spawn(move || read(reader, &name, &to))
        .context("cannot start a thread that reads the recording")?;
    Ok(chunks)
}

/// Reads on until the end, a fault, or until nobody listens any more.
fn read<R: Read>(mut reader: Reader<R>, name: &str, to: &Sender<Batch>) {
    loop {
        let mut events = Vec::with_capacity(CHUNK);
        let end: Option<Result<(), Error>> = loop {
            match reader.next() {
                Ok(Entry::Event(event)) => events.push(event),
                Ok(Entry::Summary) => {}
                Ok(Entry::End) => break Some(Ok(())),
                Ok(Entry::Cut { line }) => break Some(Err(CutOff { name: name.to_owned(), line }.into())),
                Err(error) => break Some(Err(error.into())),
            }
            // From a pipe, what is there is shown before more is waited for.
            if events.len() >= CHUNK || !reader.has_line() {
                break None;
            }
        };
        let over = end.is_some();
        let (line, offset) = reader.position();
        if to.send(Batch { events, mark: Some(Mark { line, offset, end }) }).is_err() || over {
            return;
        }
    }
}
