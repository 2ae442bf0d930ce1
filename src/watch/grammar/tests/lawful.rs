//! Whatever the records are, what is told makes sense.

use super::*;
use crate::watch::change::Range;
use proptest::prelude::*;
use std::collections::HashMap;

/// Who waits, and for what.
type Wanted = (LockKey, TaskId, LockKind, Option<Range>);

/// What one who only reads the changes knows.
#[derive(Default)]
struct Reader {
    t: u64,
    holds: Vec<(LockKey, TaskId, Option<Range>, LockMode)>,
    /// Whether it waits, and whether it tries.
    waits: HashMap<Wanted, (bool, bool)>,
}

impl Reader {
    fn take(&mut self, change: &Change) {
        assert!(change.t >= self.t, "back in time: {change:?}");
        self.t = change.t;
        let wait = (change.lock, change.task, change.kind, change.range);
        let hold = (change.lock, change.task, change.range);
        match change.deed {
            Deed::Waiting { .. } => {
                let (waits, tries) = self.waits.entry(wait).or_default();
                assert!(!*waits, "waits twice: {change:?}");
                (*waits, *tries) = (true, false);
            }
            Deed::Tried { count, .. } => {
                assert!(count > 0);
                self.waits.entry(wait).or_default().1 = true;
            }
            Deed::GaveUp => self.end_wait(change, change.range),
            Deed::Left => panic!("every end is seen: {change:?}"),
            Deed::Acquired { mode, contended, asked } => {
                if contended {
                    self.end_wait(change, asked);
                }
                self.holds.retain(|h| (h.0, h.1, h.2) != hold || h.3 == mode);
                self.hold(change, mode);
            }
            Deed::Holding { mode } | Deed::Kept { mode, .. } => self.hold(change, mode),
            Deed::Released => {
                let i = self.holds.iter().position(|h| (h.0, h.1, h.2) == hold);
                self.holds.swap_remove(i.unwrap_or_else(|| panic!("released what it did not hold: {change:?}")));
            }
        }
    }

    fn end_wait(&mut self, change: &Change, asked: Option<Range>) {
        let wait = (change.lock, change.task, change.kind, asked);
        assert!(self.waits.remove(&wait).is_some(), "it did not wait: {change:?}");
    }

    fn hold(&mut self, change: &Change, mode: LockMode) {
        let span = Span::of(change.range);
        for (lock, task, range, other) in &self.holds {
            let excluded =
                *lock == change.lock && Span::of(*range).overlaps(span) && (mode == Exclusive || *other == Exclusive);
            assert!(!excluded, "{change:?} beside {task:?} {range:?} {other:?}");
        }
        self.holds.push((change.lock, change.task, change.range, mode));
    }
}

#[derive(Clone, Debug)]
enum Step {
    Record(u64, i32, What),
    Advance(u64),
    Snapshot(u64, Option<Vec<SnapshotEntry>>, bool),
}

/// Few of everything, so that they meet.
fn request() -> impl Strategy<Value = What> {
    let rets = prop_oneof![5 => Just(0), 3 => Just(1), 2 => Just(-11), 1 => Just(-35), 1 => -4000i32..2];
    let spans = prop_oneof![
        (0i64..8, 0i64..8).prop_map(|(a, b)| (a.min(b), a.max(b))),
        Just((0, i64::MAX)),
        (any::<i64>(), any::<i64>())
    ];
    let flags = prop_oneof![3 => Just(FL_SLEEP), 1 => Just(0), 1 => Just(FL_CLOSE), 2 => Just(FL_SLEEP | FL_OFDLCK), 1 => any::<u32>()];
    (0u64..2, any::<bool>(), rets, 1u64..5, 1i32..4, flags, 0u8..3, spans).prop_map(
        |(inode, flock, ret, owner, pid, flags, op, (start, end))| {
            let family = if flock { Family::Flock } else { Family::Record };
            let (start, end) = if flock { (0, i64::MAX) } else { (start, end) };
            let file = FileId { inode, ..FILE };
            What::Lock(Request { file, family, ret, owner, fl: 1, blocker: 0, pid, flags, op, start, end })
        },
    )
}

fn entries() -> impl Strategy<Value = Option<Vec<SnapshotEntry>>> {
    let entry = (0u64..2, 0u8..3, any::<[bool; 3]>(), -1i32..4, 0i32..4, (0u64..8, 0u64..8)).prop_map(
        |(inode, kind, [exclusive, waiting, supposed], pid, tid, (a, b))| {
            let kind = [Flock, Posix, Ofd][usize::from(kind)];
            SnapshotEntry {
                lock: LockKey { file: FileId { inode, ..FILE }, family: kind.into() },
                task: TaskId { pid, tid },
                kind,
                mode: if exclusive { Exclusive } else { Shared },
                range: (kind != Flock).then(|| Range { start: a.min(b), end: Some(a.max(b)) }),
                waiting,
                supposed,
            }
        },
    );
    proptest::option::weighted(0.9, proptest::collection::vec(entry, 0..4))
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let what = prop_oneof![
        12 => request(),
        2 => (1i32..32, 0u64..3, prop_oneof![Just(0), Just(SA_RESTART)])
            .prop_map(|(sig, handler, flags)| What::Signal { sig, handler, flags }),
        1 => Just(What::Exit),
        1 => Just(What::Lost(1)),
    ];
    // Mostly some us on, at times some ms, at times seconds or back.
    let pass = || prop_oneof![8 => 0u64..5_000, 3 => 0u64..5_000_000, 1 => 0u64..4_000_000_000];
    let step = prop_oneof![
        12 => (pass(), 1i32..5, what).prop_map(|(t, tid, what)| Step::Record(t, tid, what)),
        2 => pass().prop_map(Step::Advance),
        2 => (pass(), entries(), any::<bool>()).prop_map(|(t, e, torn)| Step::Snapshot(t, e, torn)),
    ];
    proptest::collection::vec(step, 0..120)
}

proptest! {
    #[test]
    fn any_records_at_all_tell_a_lawful_story(steps in steps()) {
        let (mut grammar, mut t, mut reader, mut out) = (Grammar::default(), 0u64, Reader::default(), Vec::new());
        for step in steps {
            match step {
                Step::Record(pass, tid, what) => {
                    t += pass;
                    grammar.record(&Record { t, cpu: 0, tid, what });
                }
                Step::Advance(pass) => {
                    t += pass;
                    grammar.advance(t);
                    grammar.drain(&mut out);
                }
                Step::Snapshot(pass, entries, torn) => {
                    grammar.snapshot_begins();
                    grammar.snapshot(Snapshot { began: t, ended: t + pass, entries, torn });
                    t += pass;
                }
            }
            out.drain(..).for_each(|change| reader.take(&change));
        }
        grammar.advance(t + 60_000 * MS);
        grammar.drain(&mut out);
        out.drain(..).for_each(|change| reader.take(&change));
        // The reader knows what the grammar knows.
        let held: usize = grammar.locks.values().map(|lock| lock.holds().count()).sum();
        prop_assert_eq!(held, reader.holds.len());
        prop_assert_eq!(grammar.waits.len(), reader.waits.len(), "all who tried have given up by now");
        prop_assert_eq!(grammar.unknown_waits, grammar.waits.values().filter(|w| w.owner == UNKNOWN).count());
    }
}
