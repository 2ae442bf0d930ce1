//! Reads a recording line by line; never holds more than one of them.

use super::begin::parse_begin;
use super::line::{Kind, Line, SECOND_BEGIN, why};
use crate::event::{ActorId, Begin, Event, MAX_ACTORS_IN_ALL};
use serde::Deserialize;
use std::io::{BufRead, BufReader, Read};
use thiserror::Error;

/// No line is longer, in bytes: a summary of 10,000 workers has about 5 MiB.
const LONGEST: u64 = 32 << 20;
const BUFFER: usize = 1 << 17;

/// What is wrong with a recording.
#[derive(Debug, Error)]
pub enum ReadError {
    /// Nothing in it.
    #[error("it is empty: expected a recording, as flockmon --record FILE writes it")]
    Empty,
    /// A line that cannot be.
    #[error("line {line}: {why}")]
    Line {
        /// From 1.
        line: u64,
        /// What was expected.
        why: String,
    },
    /// The system failed.
    #[error("line {line}: cannot read on: {error}")]
    Io {
        /// From 1.
        line: u64,
        /// Why.
        error: std::io::Error,
    },
}

/// What [`Reader::next`] found.
#[derive(Debug)]
pub enum Entry {
    /// An event.
    Event(Event),
    /// The summary that closes a recording: nothing is to be done, it can be computed.
    Summary,
    /// The last line has no end: the writer was cut off. All before it counts.
    Cut {
        /// Its number.
        line: u64,
    },
    /// No more.
    End,
}

/// A recording being read.
#[derive(Debug)]
pub struct Reader<R> {
    from: BufReader<R>,
    text: Vec<u8>,
    line: u64,
    offset: u64,
    crowd: Crowd,
}

/// How many actors the locks have: to each that has one, the fold gives all those with lower numbers, too.
#[derive(Debug, Default)]
struct Crowd {
    highest: Vec<ActorId>,
    all: u64,
}

impl Crowd {
    /// Whether there is room for who is in `event`.
    fn admits(&mut self, event: &Event) -> bool {
        let lock = event.lock as usize;
        if self.highest.len() <= lock {
            self.highest.resize(lock + 1, 0);
        }
        if let Some(highest) = self.highest.get_mut(lock)
            && event.actor > *highest
        {
            self.all += u64::from(event.actor - *highest);
            *highest = event.actor;
        }
        self.all <= MAX_ACTORS_IN_ALL
    }
}

impl<R: Read> Reader<R> {
    /// Reads the first line.
    ///
    /// # Errors
    /// It is not that of a recording that this version can read.
    pub fn open(from: R) -> Result<(Self, Begin), ReadError> {
        let from = BufReader::with_capacity(BUFFER, from);
        let mut reader = Self { from, text: Vec::new(), line: 0, offset: 0, crowd: Crowd::default() };
        match reader.fill()? {
            None => Err(ReadError::Empty),
            Some(_) => {
                let begin = parse_begin(&reader.text).map_err(|why| reader.wrong(why))?;
                Ok((reader, begin))
            }
        }
    }

    /// Goes on in the middle of one, at the begin of a line: after line `line`, at byte `offset`.
    pub fn resume(from: R, line: u64, offset: u64) -> Self {
        let from = BufReader::with_capacity(BUFFER, from);
        Self { from, text: Vec::new(), line, offset, crowd: Crowd::default() }
    }

    /// Lines and bytes read so far.
    pub fn position(&self) -> (u64, u64) {
        (self.line, self.offset)
    }

    /// Whether a whole line can be had without waiting.
    pub fn has_line(&self) -> bool {
        self.from.buffer().contains(&b'\n')
    }

    /// The next line.
    ///
    /// # Errors
    /// Which line is wrong, and what was expected. Reading can go on behind it.
    #[allow(clippy::should_implement_trait, reason = "an iterator would hide that End is for good")]
    pub fn next(&mut self) -> Result<Entry, ReadError> {
        let Some(whole) = self.fill()? else { return Ok(Entry::End) };
        match serde_json::from_slice::<Line>(&self.text) {
            Ok(mut line) => match line.event() {
                Ok(Some(event)) if self.crowd.admits(&event) => Ok(Entry::Event(event)),
                Ok(Some(_)) => Err(self.wrong(format!(
                    "its worker's number is too high: the workers of all locks may be {MAX_ACTORS_IN_ALL} at most"
                ))),
                Ok(None) => Ok(Entry::Summary),
                Err(why) => Err(self.wrong(format!("an event cannot be read: {why}"))),
            },
            Err(_) if !whole => Ok(Entry::Cut { line: self.line }),
            Err(error) => match self.kind() {
                Some(Kind::Summary) => Ok(Entry::Summary),
                Some(Kind::Begin) => Err(self.wrong(SECOND_BEGIN.into())),
                _ => Err(self.wrong(format!("expected an event as JSON: {}", why(&error)))),
            },
        }
    }

    /// What the line says of itself: begins and summaries have fields of other types than events have.
    fn kind(&self) -> Option<Kind> {
        #[derive(Deserialize)]
        struct Head {
            #[serde(rename = "type")]
            kind: Kind,
        }
        serde_json::from_slice::<Head>(&self.text).ok().map(|h| h.kind)
    }

    /// Takes in a line; whether it was whole, none at the end.
    fn fill(&mut self) -> Result<Option<bool>, ReadError> {
        loop {
            self.text.clear();
            self.line += 1;
            let line = self.line;
            let n = (&mut self.from)
                .take(LONGEST)
                .read_until(b'\n', &mut self.text)
                .map_err(|error| ReadError::Io { line, error })? as u64;
            self.offset += n;
            if n == 0 {
                self.line -= 1;
                return Ok(None);
            }
            let whole = self.text.last() == Some(&b'\n');
            if n == LONGEST && !whole {
                return Err(self.wrong(format!("it is longer than {LONGEST} bytes: not a recording")));
            }
            if !self.text.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some(whole));
            }
        }
    }

    fn wrong(&self, why: String) -> ReadError {
        ReadError::Line { line: self.line, why }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{LineWriter, write_begin};
    use super::*;
    use crate::event::*;
    use proptest::prelude::*;

    fn begin() -> Begin {
        Begin {
            origin: Origin::Lab,
            version: "0".into(),
            started_at: "2026-01-01T00:00:00Z".into(),
            lock: LockInfo { name: "a \"b\"\n".into(), kind: LockKind::Ofd, file: Some(("254:0".into(), 42)) },
            workers: 3,
            hold_ns: 1_000_000_000,
            think_ns: 0,
            setup: Setup { hold: "1s".into(), think: "0".into(), acquire: "block".into(), ..Setup::default() },
            watch: None,
        }
    }

    fn mode() -> impl Strategy<Value = LockMode> {
        prop_oneof![Just(LockMode::Exclusive), Just(LockMode::Shared)]
    }

    fn time() -> impl Strategy<Value = u64> {
        0..=MAX_TIME
    }

    fn what() -> impl Strategy<Value = What> {
        let acquired = (mode(), any::<u64>(), time(), any::<bool>(), prop::option::of(time()), any::<u64>()).prop_map(
            |(mode, seq, waited_ns, contended, handoff_ns, overtaken)| {
                What::Acquired(Acquisition { mode, seq, waited_ns, contended, handoff_ns, overtaken })
            },
        );
        prop_oneof![
            Just(What::Spawned),
            Just(What::Paused),
            Just(What::Reset),
            Just(What::Ended),
            mode().prop_map(|mode| What::Waiting { mode }),
            acquired,
            (any::<u64>(), time()).prop_map(|(seq, held_ns)| What::Released { seq, held_ns }),
            time().prop_map(|waited_ns| What::GaveUp { waited_ns }),
            (any::<Option<i32>>(), any::<Option<i32>>()).prop_map(|(code, signal)| What::Exited { code, signal }),
            (any::<u64>(), any::<Option<i32>>(), any::<Option<i32>>(), time())
                .prop_map(|(seq, code, signal, ran_ns)| What::Ran { seq, code, signal, ran_ns }),
            (any::<u64>(), any::<Option<u64>>()).prop_map(|(was, now)| What::PathChanged { was, now }),
            (any::<u64>(), any::<u32>(), any::<i32>()).prop_map(|(seq, other, other_pid)| What::Violation {
                seq,
                other,
                other_pid
            }),
            any::<u64>().prop_map(|count| What::Dropped { count }),
            any::<i32>().prop_map(|errno| What::Failed { action: FailedAction::Lock, errno }),
            any::<String>().prop_map(|text| What::Finding { kind: FindingKind::Starvation, text }),
        ]
    }

    fn entries(bytes: &[u8]) -> Vec<Entry> {
        let (mut reader, _) = Reader::open(bytes).unwrap();
        let mut out = Vec::new();
        loop {
            match reader.next().unwrap() {
                Entry::End => return out,
                entry => out.push(entry),
            }
        }
    }

    /// Each of these lines would have the fold make room for 65536 actors.
    #[test]
    fn actors_of_all_locks_together_are_bounded() {
        let mut bytes = Vec::new();
        write_begin(&mut bytes, &begin()).unwrap();
        let mut lines = LineWriter::new(&Begin {
            watch: Some(Watching { how: How::Exact, precision_ns: 0, list: true, blind: Vec::new() }),
            ..begin()
        });
        let most = (MAX_ACTORS_IN_ALL / u64::from(MAX_ACTORS)) as u32;
        for lock in 0..=most {
            let what = What::Waiting { mode: LockMode::Exclusive };
            lines.event(&mut bytes, &Event { t: 0, lock, actor: MAX_ACTORS, pid: 7, what }).unwrap();
        }
        let (mut reader, _) = Reader::open(&bytes[..]).unwrap();
        for _ in 0..most {
            assert!(matches!(reader.next(), Ok(Entry::Event(_))));
        }
        let error = reader.next().unwrap_err().to_string();
        assert!(error.contains(&format!("line {}", most + 2)) && error.contains("too high"), "{error}");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(events in prop::collection::vec((time(), 1..=MAX_ACTORS, any::<i32>(), what()), 0..30)) {
            let mut bytes = Vec::new();
            write_begin(&mut bytes, &begin()).unwrap();
            let events: Vec<Event> = events.into_iter().map(|(t, actor, pid, what)| Event { t, lock: 0, actor, pid, what }).collect();
            let mut lines = LineWriter::new(&begin());
            events.iter().for_each(|e| lines.event(&mut bytes, e).unwrap());
            let read: Vec<Event> = entries(&bytes).into_iter().filter_map(|e| match e { Entry::Event(e) => Some(e), _ => None }).collect();
            prop_assert_eq!(read, events);
            prop_assert_eq!(Reader::open(&bytes[..]).unwrap().1, begin());
        }

        #[test]
        fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..400), cut in 0usize..400) {
            let _ = Reader::open(&bytes[..]).map(|_| ());
            let mut text = Vec::new();
            write_begin(&mut text, &begin()).unwrap();
            LineWriter::default().event(&mut text, &Event { t: 1, lock: 0, actor: 1, pid: 1, what: What::Spawned }).unwrap();
            text.truncate(text.len().saturating_sub(cut % 40));
            text.extend(bytes);
            if let Ok((mut reader, _)) = Reader::open(&text[..]) {
                for _ in 0..500 {
                    if matches!(reader.next(), Ok(Entry::End)) { break }
                }
            }
        }
    }

    #[test]
    fn each_fault_is_named_with_its_line() {
        let good = |rest: &str| {
            let mut bytes = Vec::new();
            write_begin(&mut bytes, &begin()).unwrap();
            bytes.extend(rest.as_bytes());
            bytes
        };
        let fault = |bytes: &[u8]| match Reader::open(bytes) {
            Err(e) => e.to_string(),
            Ok((mut reader, _)) => loop {
                match reader.next() {
                    Err(e) => break e.to_string(),
                    Ok(Entry::End) => break String::new(),
                    Ok(_) => {}
                }
            },
        };
        for (bytes, words) in [
            (Vec::new(), "empty"),
            (b"hello\n".to_vec(), "line 1: expected a recording's first line"),
            (b"{\"type\":\"begin\",\"schema\":2}\n".to_vec(), "schema 2"),
            (b"{\"type\":\"spawned\",\"schema\":1}\n".to_vec(), "found one of type \"spawned\""),
            (good("{\"type\":\"paused\",\"t\":1}\nrubbish\n"), "line 3: expected an event"),
            (good("{\"type\":\"spawned\",\"t\":1}\n"), "line 2: an event cannot be read: its worker is missing"),
            (good("{\"type\":\"paused\"}\n"), "missing field `t`"),
            (good(std::str::from_utf8(&good("")).unwrap()), "line 2: a second begin"),
            (good("{\"type\":\"flew\",\"t\":1}\n"), "unknown variant `flew`"),
            (good("{\"type\":\"acquired\",\"t\":1,\"worker\":1,\"mode\":\"shared\"}\n"), "its seq is missing"),
            (good("{\"type\":\"spawned\",\"t\":1,\"worker\":4000000000}\n"), "worker 4000000000 is beyond"),
            (
                good("{\"type\":\"spawned\",\"t\":18446744073709551615,\"worker\":1}\n"),
                "18446744073709551615 ns is beyond",
            ),
        ] {
            let said = fault(&bytes);
            assert!(said.contains(words), "{said:?} lacks {words:?}");
        }
        let cut = good("{\"type\":\"paused\",\"t\":1}\n{\"type\":\"rele");
        assert!(matches!(entries(&cut).last(), Some(Entry::Cut { line: 3 })));
        let summary = good("{\"type\":\"summary\",\"contended\":7,\"dropped\":1}\n");
        assert!(matches!(entries(&summary)[..], [Entry::Summary]));
    }
}
