//! Who reads the locks as they are now, beside the reader of the records: a read may take many ms.

use super::ReadLocks;
use crate::clock;
use crate::watch::grammar::{Grammar, Snapshot, SnapshotEntry};
use crate::watch::tracepoint::TraceError;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::time::Duration;

/// One reading misses what is handed over at that moment; so many are put together when watching begins.
const FIRST: u32 = 5;
/// Between those.
const APART: Duration = Duration::from_millis(1);
/// When something is in doubt, as after a loss; and no sooner than so long after the last, in ns.
const AGAIN: u32 = 2;
const SOON: u64 = 300_000_000;
/// Between two readings that check what the records told.
const CHECK: u64 = 3_000_000_000;
/// All of them may take one part in so many of the time, but for the first ones.
const SHARE: u64 = 20;

/// The thread and what it was asked.
pub(super) struct Snapshots {
    ask: Sender<()>,
    answers: Receiver<Snapshot>,
    /// None while one is being read.
    next: Option<u64>,
    left: u32,
    earliest: u64,
}

impl Snapshots {
    /// Starts the thread; with pids that are of no use here there is none to be read.
    pub fn start(mut locks: ReadLocks, useless: bool) -> Result<Self, TraceError> {
        let (ask, asked) = bounded::<()>(1);
        let (answer, answers) = bounded(1);
        if !useless {
            let work = move || {
                for () in asked {
                    let began = clock::now();
                    let (entries, torn) = locks().map(|read| (read.entries, read.torn)).ok().unzip();
                    let torn = torn.unwrap_or_default();
                    let snapshot = Snapshot { began, ended: clock::now(), entries, torn };
                    if answer.send(snapshot).is_err() {
                        break;
                    }
                    std::thread::sleep(APART);
                }
            };
            std::thread::Builder::new()
                .name("flockmon-locks".into())
                .spawn(work)
                .map_err(|source| TraceError::System { tried: "start a thread".into(), source })?;
        }
        Ok(Self { ask, answers, next: Some(0), left: 0, earliest: 0 })
    }

    /// As when watching begins: soon, and several times.
    pub fn want_first(&mut self, grammar: &mut Grammar) {
        self.left = FIRST;
        if self.next.is_some() {
            self.begin(grammar);
        }
    }

    fn begin(&mut self, grammar: &mut Grammar) {
        if self.ask.try_send(()).is_ok() {
            grammar.snapshot_begins();
            self.left = self.left.saturating_sub(1);
            self.next = None;
        }
    }

    /// Takes in what was read, of the locks in question, and asks for what is due.
    pub fn exchange(&mut self, now: u64, grammar: &mut Grammar, wanted: impl Fn(&SnapshotEntry) -> bool) {
        if let Ok(mut read) = self.answers.try_recv() {
            if let Some(entries) = &mut read.entries {
                entries.retain(wanted);
            }
            let rest = read.ended.saturating_sub(read.began).saturating_mul(SHARE);
            grammar.snapshot(read);
            self.next = Some(now + CHECK.max(rest));
            self.earliest = now + SOON.max(rest);
        }
        if grammar.wants_snapshot() && self.left == 0 && self.earliest <= now {
            self.left = AGAIN;
        }
        if self.next.is_some_and(|next| self.left > 0 || next <= now) {
            self.begin(grammar);
        }
    }
}
