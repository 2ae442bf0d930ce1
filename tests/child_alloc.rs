//! Between fork and _exit a worker allocates nothing: here the allocator aborts in children.
#![allow(missing_docs, unsafe_code, clippy::unwrap_used)]

use flockmon::dist::Dist;
use flockmon::event::{Event, LockKind, What};
use flockmon::lab::puppet::{Answer, Ask, Puppet};
use flockmon::lab::scene::SCENES;
use flockmon::lab::target::Target;
use flockmon::lab::{Acquire, Config, Lab, Program, Restart};
use flockmon::lock::Bytes;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

struct OnlyInTheParent;
static PARENT: AtomicU32 = AtomicU32::new(0);

fn check() {
    let parent = PARENT.load(Ordering::Relaxed);
    // SAFETY: getpid and abort may be called anywhere.
    if parent != 0 && parent != unsafe { libc::getpid() } as u32 {
        unsafe { libc::abort() }
    }
}

// SAFETY: everything is handed on to the system's allocator.
unsafe impl GlobalAlloc for OnlyInTheParent {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        check();
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        check();
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: OnlyInTheParent = OnlyInTheParent;

/// One test: two labs in one process would reap each other's workers.
#[test]
fn children_allocate_nothing() {
    PARENT.store(std::process::id(), Ordering::Relaxed);
    workers_allocate_nothing();
    nor_do_those_that_misbehave();
}

fn workers_allocate_nothing() {
    let ways = [Acquire::Block, Acquire::Poll(1_000_000), Acquire::Timeout(3_000_000)];
    let ways = ways
        .into_iter()
        .flat_map(|a| [(a, false, LockKind::Flock), (a, true, LockKind::Ofd), (a, false, LockKind::Posix)])
        .flat_map(|way| [(way, true), (way, false)]);
    for ((acquire, keep_open, kind), busy) in ways {
        // Some hold it for a while; others have nothing to do but to get it.
        let (hold, think) = match busy {
            true => (Dist::Exponential(2_000_000), Dist::Uniform(0, 1_000_000)),
            false => (Dist::Fixed(0), Dist::Fixed(0)),
        };
        let config = Config {
            workers: 5,
            hold,
            think,
            kind,
            shared: if busy { 30 } else { 0 },
            acquire,
            keep_open,
            restart: Restart::Never,
            seed: 7,
            limit: busy.then_some(60),
        };
        let mut lab = Lab::start(config, Target::prepare(None, kind).unwrap()).unwrap();
        let (tx, batches) = crossbeam_channel::bounded(64);
        lab.listen(tx).unwrap();
        let mut acquired = 0;
        while acquired < 60 {
            let batch = batches.recv_timeout(Duration::from_secs(60)).expect("events");
            for event in batch.events.into_iter().flat_map(Event::singly) {
                acquired += u32::from(matches!(event.what, What::Acquired(_) | What::Cycle { .. }));
                // SIGABRT would be the allocator's.
                assert!(!matches!(event.what, What::Exited { signal: Some(_), .. } | What::Failed { .. }), "{event:?}");
            }
            lab.reap();
        }
        lab.finish(|| batches.try_iter().for_each(drop));
    }
    puppets_allocate_nothing();
}

fn puppets_allocate_nothing() {
    use flockmon::event::LockMode::{Exclusive, Shared};
    let target = Target::prepare(None, LockKind::Posix).unwrap();
    let path = target.c_path().unwrap();
    for kind in [LockKind::Flock, LockKind::Posix, LockKind::Ofd] {
        let (mut a, mut b) = (Puppet::start(kind, &path).unwrap(), Puppet::start(kind, &path).unwrap());
        // One that aborts is heard of no more, which is an error here.
        let heard = |p: &mut Puppet| p.answer(Duration::from_secs(60)).unwrap().unwrap();
        let ask = |p: &mut Puppet, ask| {
            p.ask(ask).unwrap();
            heard(p)
        };
        assert!(matches!(ask(&mut a, Ask::Try(Shared)), Answer::Yes(_)));
        assert!(matches!(ask(&mut a, Ask::Convert(Exclusive)), Answer::Yes(_)));
        assert_eq!(ask(&mut b, Ask::Try(Exclusive)), Answer::No);
        assert_eq!(ask(&mut b, Ask::Take(Exclusive)), Answer::Waits);
        assert!(matches!(ask(&mut a, Ask::Unlock), Answer::Yes(_)));
        assert!(matches!(heard(&mut b), Answer::Yes(_)));
        assert!(matches!(ask(&mut b, Ask::Close), Answer::Yes(_)));
        let bytes = ask(&mut a, Ask::Bytes(Some(Exclusive), Bytes { start: 1, len: 2 }));
        assert_eq!(matches!(bytes, Answer::Yes(_)), kind != LockKind::Flock, "{bytes:?}");
        std::fs::rename(target.path(), target.path().with_extension("moved")).unwrap();
        assert!(matches!(ask(&mut b, Ask::Try(Shared)), Answer::CannotOpen(_)));
        std::fs::rename(target.path().with_extension("moved"), target.path()).unwrap();
    }
}

/// What workers do in scenes, and the child that one of them leaves behind, allocate nothing either.
fn nor_do_those_that_misbehave() {
    for scene in SCENES.iter().filter(|s| s.act.is_some()) {
        let config = Config {
            workers: 6,
            hold: Dist::Fixed(2_000_000),
            think: Dist::Fixed(0),
            kind: LockKind::Flock,
            shared: 0,
            acquire: Acquire::Poll(1_000_000),
            keep_open: false,
            restart: Restart::Always,
            seed: 7,
            limit: None,
        };
        let target = Target::prepare(None, LockKind::Flock).unwrap();
        let mut lab = Lab::start_scene(config, target, Some(scene)).unwrap();
        let (tx, batches) = crossbeam_channel::bounded(64);
        lab.listen(tx).unwrap();
        let (mut turns, mut over) = (0, false);
        while !over {
            let batch = batches.recv_timeout(Duration::from_secs(60)).expect("events");
            for event in batch.events.into_iter().flat_map(Event::singly) {
                turns += u32::from(matches!(event.what, What::Acquired(_) | What::Cycle { .. }));
                // A holder that was stopped, the new file, the child, a try in vain, a wait at the second lock.
                over |= match scene.name {
                    "stalled" => matches!(event.what, What::Stopped),
                    "split" => matches!(event.what, What::PathChanged { .. }),
                    "inherited" => matches!(event.what, What::Keepers(_)),
                    "pollers" => turns > 30 && matches!(event.what, What::Tried { .. }),
                    _ => event.lock == 1 && matches!(event.what, What::Waiting { .. }),
                };
                let killed = matches!(event.what, What::Exited { signal: Some(signal), .. } if signal != libc::SIGKILL);
                assert!(!killed && !matches!(event.what, What::Failed { .. }), "{}: {event:?}", scene.name);
            }
            lab.reap();
        }
        lab.finish(|| batches.try_iter().for_each(drop));
    }
}

#[test]
fn nor_do_those_that_run_a_command() {
    PARENT.store(std::process::id(), Ordering::Relaxed);
    for script in ["echo out; exit 3", "kill -9 $$"] {
        let config = Config {
            workers: 3,
            hold: Dist::Fixed(0),
            think: Dist::Fixed(0),
            kind: LockKind::Flock,
            shared: 30,
            acquire: Acquire::Block,
            keep_open: false,
            restart: Restart::Never,
            seed: 7,
            limit: Some(20),
        };
        let words: Vec<_> = ["sh", "-c", script].map(Into::into).into();
        let program = Program::prepare(&words, None, false, false).unwrap();
        let target = Target::prepare(None, LockKind::Flock).unwrap();
        let mut lab = Lab::start_with(config, target, program).unwrap();
        let (tx, batches) = crossbeam_channel::bounded(64);
        lab.listen(tx).unwrap();
        let mut ran = 0;
        while ran < 20 {
            let batch = batches.recv_timeout(Duration::from_secs(60)).expect("events");
            for event in batch.events.into_iter().flat_map(Event::singly) {
                let wanted = [(Some(3), None), (None, Some(9))];
                if let What::Ran { code, signal, .. } = event.what {
                    ran += 1;
                    assert!(wanted.contains(&(code, signal)), "{event:?}");
                }
                assert!(!matches!(event.what, What::Exited { signal: Some(_), .. } | What::Failed { .. }), "{event:?}");
            }
            lab.reap();
        }
        lab.finish(|| batches.try_iter().for_each(drop));
    }
}
