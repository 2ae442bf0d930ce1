//! Ten processes write down when they held the lock, on the clock that the records use.

use crate::watcher::{Program, WAYS, lock_file, watch};
use flockmon::watch::change::{Change, Deed};
use std::path::Path;

/// Turns of: wait, hold for some us, release by unlock or by close; afterwards when each hold began and ended.
const WORKER: &str = r"
import fcntl, sys, time
path, turns, hold, how = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
own = []
f = open(path)
print('ready', flush=True)
sys.stdin.readline()
now = time.monotonic_ns
for _ in range(turns):
    if how == 'close': f = open(path)
    fcntl.flock(f, fcntl.LOCK_EX)
    a = now()
    if hold >= 1000: time.sleep(hold / 1e6)
    while now() - a < hold * 1000: pass
    b = now()
    if how == 'close': f.close()
    else: fcntl.flock(f, fcntl.LOCK_UN)
    own.append((a, b))
print('\n'.join('%d %d' % t for t in own))
";

/// From, to, by whom.
pub type Hold = (u64, u64, i32);

/// A fleet that waits for the word to begin.
pub fn fleet(path: &Path, turns: u32, hold_us: u32, how: &str) -> Vec<Program> {
    let mut fleet: Vec<Program> =
        (0..10).map(|_| Program::python(WORKER, path, &[&turns.to_string(), &hold_us.to_string(), how])).collect();
    fleet.iter_mut().for_each(|worker| assert_eq!(worker.hear(), "ready"));
    fleet
}

/// The word.
pub fn go(fleet: &mut [Program]) {
    for worker in fleet {
        worker.tell("go");
    }
}

/// What the fleet wrote down, in the order of time.
pub fn accounts(fleet: &mut [Program]) -> Vec<Hold> {
    let mut all = Vec::new();
    for worker in fleet {
        let pid = worker.pid();
        for line in worker.rest().lines() {
            let (a, b) = line.split_once(' ').unwrap();
            all.push((a.parse().unwrap(), b.parse().unwrap(), pid));
        }
    }
    all.sort_unstable();
    all
}

/// The holds that were seen.
pub fn holds(changes: &[Change]) -> Vec<Hold> {
    let mut holds: Vec<Hold> = Vec::new();
    for change in changes {
        match change.deed {
            Deed::Acquired { .. } | Deed::Holding { .. } => {
                let free = holds.last().is_none_or(|&(_, to, _)| to <= change.t);
                assert!(free, "two hold it: {change:?} after {:?}", holds.last());
                holds.push((change.t, u64::MAX, change.task.pid));
            }
            Deed::Released => {
                let last = holds.last_mut().expect("a release follows an acquisition");
                assert_eq!((last.1, last.2), (u64::MAX, change.task.pid), "{change:?}");
                last.1 = change.t;
            }
            _ => {}
        }
    }
    holds
}

/// Who held it then, as seen.
pub fn holder(holds: &[Hold], t: u64) -> Option<i32> {
    let i = holds.partition_point(|&(from, ..)| from <= t);
    holds[..i].last().filter(|&&(_, to, _)| t < to).map(|&(.., pid)| pid)
}

#[test]
fn what_is_seen_is_what_ten_processes_say_of_themselves() {
    for way in WAYS {
        for (turns, hold_us, how) in [(40, 1000, "unlock"), (100, 300, "close"), (1000, 0, "unlock"), (400, 0, "close")]
        {
            let file = lock_file();
            let Some(watcher) = watch(file.path(), way) else { continue };
            let mut fleet = fleet(file.path(), turns, hold_us, how);
            go(&mut fleet);
            let own = accounts(&mut fleet);
            assert_eq!(own.len(), 10 * turns as usize);
            let changes = watcher.all();
            let seen = holds(&changes);
            assert_eq!(seen.len(), own.len(), "{way:?} {how}: as many acquisitions");
            for (&(a, b, pid), &(from, to, who)) in own.iter().zip(&seen) {
                assert_eq!(pid, who, "{way:?} {how}: in the same order");
                let middle = a + (b - a) / 2;
                assert_eq!(holder(&seen, middle), Some(pid), "{way:?} {how}: at {middle}, {a}-{b}, seen {from}-{to}");
            }
            let waits = changes.iter().filter(|c| matches!(c.deed, Deed::Waiting { .. })).count();
            let won = changes.iter().filter(|c| matches!(c.deed, Deed::Acquired { contended: true, .. })).count();
            assert_eq!(waits, won, "{way:?} {how}: every wait was won");
            assert_eq!(watcher.lost(), 0);
        }
    }
}

#[test]
fn both_ways_at_once_see_the_same() {
    let file = lock_file();
    let both: Vec<_> = WAYS.iter().filter_map(|&way| watch(file.path(), way)).collect();
    let mut fleet = fleet(file.path(), 300, 0, "unlock");
    go(&mut fleet);
    let own = accounts(&mut fleet).len();
    for watcher in both {
        assert_eq!(holds(&watcher.all()).len(), own, "neither takes anything from the other");
    }
}

#[test]
fn a_killed_holder_is_followed_by_the_right_one() {
    for way in WAYS {
        let file = lock_file();
        let Some(watcher) = watch(file.path(), way) else { continue };
        let mut fleet = fleet(file.path(), 1_000_000, 2000, "close");
        go(&mut fleet);
        let mut dead = Vec::new();
        while dead.len() < 8 {
            let before = dead.len();
            let pid = watcher.wait("a holder", |seen| {
                let last = seen.iter().rev().find(|c| matches!(c.deed, Deed::Acquired { .. }))?;
                (!dead.contains(&last.task.pid)).then_some(last.task.pid)
            });
            fleet.iter_mut().find(|worker| worker.pid() == pid).unwrap().kill();
            dead.push(pid);
            // Whatever it did when it died, that has an end, and another goes on.
            watcher.wait("the end of it and another holder", |seen| {
                let of = |c: &&Change| c.task.pid == pid;
                let over = seen.iter().rev().find(of).is_some_and(|c| matches!(c.deed, Deed::Released | Deed::GaveUp));
                let last = seen.iter().rev().find(|c| matches!(c.deed, Deed::Acquired { .. }))?;
                (over && last.task.pid != pid).then_some(())
            });
            assert_eq!(dead.len(), before + 1);
        }
        drop(fleet);
        let seen = watcher.all();
        holds(&seen);
        for pid in dead {
            let last = seen.iter().rfind(|c| c.task.pid == pid).unwrap();
            assert!(matches!(last.deed, Deed::Released | Deed::GaveUp), "{last:?}");
        }
    }
}
