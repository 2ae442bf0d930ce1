//! The tracer itself: other files while it runs, all files, losses.

use crate::support::{wait_for, without_events};
use crate::watcher::{WAYS, file_id, lock_file, proc_locks, puppet, say};
use flockmon::event::{LockKind, LockMode};
use flockmon::lock::Lock;
use flockmon::watch::change::Change;
use flockmon::watch::exact::{Options, Tracer, Way};
use flockmon::watch::grammar::Reading;
use flockmon::watch::tracepoint::Scope;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// A tracer that is polled by hand; none where the kernel's events cannot be had.
fn tracer(scope: &Scope, way: Way, ring: usize, snapshots_of: &Path) -> Option<Tracer> {
    let id = file_id(snapshots_of);
    let options = Options { way: Some(way), ring };
    Tracer::open(scope, options, Box::new(move || Ok(Reading { entries: proc_locks(id), torn: false })))
        .map_err(|e| without_events(&e.to_string()))
        .ok()
}

/// Polls until these words were seen, in this order; all that was seen.
fn expect(tracer: &mut Tracer, words: &[String]) -> Vec<String> {
    let (mut changes, mut seen): (Vec<Change>, Vec<String>) = Default::default();
    wait_for(&words.join(", "), || {
        tracer.poll(Duration::from_millis(10), &mut changes).unwrap();
        seen.extend(changes.drain(..).map(|c| say(&c)));
        let mut all = seen.iter();
        words.iter().all(|word| all.any(|said| said == word)).then_some(())
    });
    seen
}

#[test]
fn other_files_can_be_looked_at_while_it_runs() {
    for way in WAYS {
        let (one, two) = (lock_file(), lock_file());
        let (first, second) = (file_id(one.path()), file_id(two.path()));
        let only = |id| Scope::Files(vec![id]);
        let Some(mut tracer) = tracer(&only(first), way, 1 << 20, two.path()) else { return };
        let [mut a, mut b] = [puppet(one.path()), puppet(two.path())];
        let [pa, pb] = [a.pid(), b.pid()];
        let turn = |p: i32| [format!("{p} got EX"), format!("{p} released")];
        b.ask("flock a EX");
        a.ask("flock a EX");
        a.ask("flock a UN");
        assert_eq!(expect(&mut tracer, &turn(pa)), turn(pa), "nothing of the other file");
        // What is held there already comes from a snapshot.
        tracer.set_scope(&Scope::Files(vec![first, second])).unwrap();
        assert_eq!(expect(&mut tracer, &[format!("{pb} holding EX")]).len(), 1);
        a.ask("flock a EX");
        b.ask("flock a UN");
        expect(&mut tracer, &[format!("{pa} got EX"), format!("{pb} released")]);
        // The first is watched no more.
        tracer.set_scope(&only(second)).unwrap();
        a.ask("flock a UN");
        b.ask("flock a EX");
        b.ask("flock a UN");
        assert_eq!(expect(&mut tracer, &turn(pb)), turn(pb));
        // None is.
        tracer.set_scope(&Scope::Files(Vec::new())).unwrap();
        b.ask("flock a EX");
        tracer.set_scope(&only(first)).unwrap();
        a.ask("flock a EX");
        assert_eq!(expect(&mut tracer, &[format!("{pa} got EX")]).len(), 1);
    }
}

#[test]
fn every_lock_of_the_system_can_be_looked_at() {
    for way in WAYS {
        let (one, two) = (lock_file(), lock_file());
        let [mut a, mut b] = [puppet(one.path()), puppet(two.path())];
        let Some(mut tracer) = tracer(&Scope::All, way, 4 << 20, one.path()) else { return };
        let (mut changes, mut wanted) = (Vec::new(), ["got EX", "got SH", "got EX 5-9"].map(str::to_owned).to_vec());
        // Other tests may make so much noise that something is lost, so again and again.
        wait_for("locks of both files", || {
            for (first, words) in [(true, "flock a EX"), (false, "flock a SH"), (false, "posix a EX 5 5")] {
                let puppet = if first { &mut a } else { &mut b };
                puppet.ask(words);
                puppet.ask(&words.replace("EX", "UN").replace("SH", "UN"));
                tracer.poll(Duration::from_millis(1), &mut changes).unwrap();
            }
            let own = [a.pid(), b.pid()];
            for change in changes.drain(..).filter(|c| own.contains(&c.task.pid)) {
                wanted.retain(|said| say(&change) != format!("{} {said}", change.task.pid));
            }
            wanted.is_empty().then_some(())
        });
    }
}

#[test]
fn what_is_lost_is_counted_and_made_good() {
    for way in WAYS {
        let file = lock_file();
        let scope = Scope::Files(vec![file_id(file.path())]);
        // A ring for some hundred records, and nobody who reads them.
        let Some(mut tracer) = tracer(&scope, way, 64 << 10, file.path()) else { return };
        let [mut a, mut b] = [puppet(file.path()), puppet(file.path())];
        a.ask("flock a EX");
        expect(&mut tracer, &[format!("{} got EX", a.pid())]);
        a.ask("flock a UN");
        let own = File::open(file.path()).unwrap();
        for _ in 0..20_000 {
            LockKind::Flock.acquire(own.as_raw_fd(), LockMode::Exclusive).unwrap();
            LockKind::Flock.release(own.as_raw_fd()).unwrap();
        }
        // These records find no room.
        b.ask("flock a SH");
        a.ask("flock a SH");
        let words = |tracer: &mut Tracer| {
            let (mut changes, mut held) = (Vec::new(), std::collections::BTreeSet::new());
            let [pa, pb] = [a.pid(), b.pid()];
            wait_for("both holders", || {
                tracer.poll(Duration::from_millis(10), &mut changes).unwrap();
                for change in changes.drain(..).filter(|c| [pa, pb].contains(&c.task.pid)) {
                    if say(&change).ends_with("SH") {
                        held.insert(change.task.pid)
                    } else {
                        held.remove(&change.task.pid)
                    };
                }
                (held.len() == 2).then_some(())
            });
        };
        words(&mut tracer);
        b.ask("flock a UN");
        a.ask("flock a UN");
        expect(&mut tracer, &[format!("{} released", b.pid()), format!("{} released", a.pid())]);
        // perf says how many with the next record of that CPU.
        for cpu in 0..std::thread::available_parallelism().unwrap().get() {
            let flock = ["-c", &cpu.to_string(), "flock", file.path().to_str().unwrap(), "true"];
            assert!(Command::new("taskset").args(flock).status().unwrap().success());
        }
        let mut none = Vec::new();
        // Two rings have not the room for them all, and each of them was read or counted.
        wait_for("the number of lost records", || {
            tracer.poll(Duration::from_millis(10), &mut none).unwrap();
            let stats = tracer.stats();
            (stats.lost > 0 && stats.records + stats.lost >= 40_000).then_some(())
        });
    }
}
