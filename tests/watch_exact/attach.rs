//! Watching begins in the middle.

use crate::accounts::{accounts, fleet, go, holder, holds};
use crate::watcher::{WAYS, lock_file, puppet, say, watch};
use flockmon::watch::change::{Change, Deed};

#[test]
fn what_was_there_before_is_told_once_and_goes_on() {
    for way in WAYS {
        let file = lock_file();
        let [mut a, mut b, mut c] = [puppet(file.path()), puppet(file.path()), puppet(file.path())];
        let [pa, pb, pc] = [a.pid(), b.pid(), c.pid()];
        a.ask("flock a EX");
        a.ask("posix a SH 0 10");
        b.tell("flock a EX");
        crate::support::wait_for("a blocked call", || (crate::support::state(pb) == Some('S')).then_some(()));
        let Some(watcher) = watch(file.path(), way) else { continue };
        watcher.expect(&[format!("{pa} holding EX")]);
        watcher.expect(&[format!("{pa} holding SH 0-9")]);
        watcher.expect(&[format!("{pb} waits EX since before")]);
        c.tell("flock a EX");
        watcher.expect(&[format!("{pc} waits EX")]);
        a.kill();
        assert_eq!(b.hear(), "ok");
        b.kill();
        assert_eq!(c.hear(), "ok");
        c.kill();
        let mut seen: Vec<String> = watcher.all().iter().map(say).collect();
        let (first, rest) = seen.split_at_mut(3);
        first.sort();
        let mut want =
            [format!("{pa} holding EX"), format!("{pa} holding SH 0-9"), format!("{pb} waits EX since before")];
        want.sort();
        assert_eq!(first, want);
        let mut end = [format!("{pa} released"), format!("{pa} released 0-9")];
        end.sort();
        rest[1..3].sort();
        assert_eq!(rest[1..3], end);
        let want = [format!("{pb} won EX"), format!("{pb} released"), format!("{pc} won EX"), format!("{pc} released")];
        assert_eq!(rest[0], format!("{pc} waits EX"));
        assert_eq!(rest[3..], want);
    }
}

#[test]
fn attached_many_times_in_the_middle_of_it() {
    for way in WAYS {
        for hold_us in [0, 300, 2000] {
            let file = lock_file();
            let turns = if hold_us == 0 { 20_000 } else { 100 };
            let mut fleet = fleet(file.path(), turns, hold_us, "unlock");
            go(&mut fleet);
            let mut sights: Vec<Vec<Change>> = Vec::new();
            for _ in 0..6 {
                let Some(watcher) = watch(file.path(), way) else { return };
                let seen = watcher.wait("changes of many", |seen| {
                    let enough = seen.iter().filter(|c| matches!(c.deed, Deed::Acquired { .. })).count() > 20;
                    (enough || fleet[0].child.try_wait().unwrap().is_some()).then(|| seen.to_vec())
                });
                sights.push(seen);
            }
            let own = accounts(&mut fleet);
            for seen in sights {
                lawful(&seen);
                let Some(first) = seen.iter().find(|c| matches!(c.deed, Deed::Acquired { .. })) else { continue };
                let (holds, last) = (holds(&seen), seen.last().unwrap());
                for &(a, b, pid) in own.iter().filter(|&&(_, b, _)| b < last.t) {
                    let middle = a + (b - a) / 2;
                    match holder(&holds, middle) {
                        Some(who) => assert_eq!(who, pid, "{way:?} {hold_us} us: at {middle}"),
                        None => assert!(middle < first.t, "{way:?} {hold_us} us: nobody at {middle}, but {pid}"),
                    }
                }
            }
        }
    }
}

/// Nothing is told twice, nothing ends that did not begin.
fn lawful(seen: &[Change]) {
    let mut waits = std::collections::HashSet::new();
    for change in seen {
        match change.deed {
            Deed::Waiting { .. } => assert!(waits.insert(change.task), "twice: {change:?}"),
            Deed::Acquired { contended: true, .. } | Deed::GaveUp => {
                assert!(waits.remove(&change.task), "it did not wait: {change:?}");
            }
            _ => {}
        }
    }
}
