//! Between fork and _exit a worker allocates nothing: here the allocator aborts in children.
#![allow(missing_docs, unsafe_code, clippy::unwrap_used)]

use flockmon::cli::{Acquire, Restart};
use flockmon::dist::Dist;
use flockmon::event::{LockKind, What};
use flockmon::lab::target::Target;
use flockmon::lab::{Config, Lab, Program};
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

#[test]
fn workers_allocate_nothing() {
    PARENT.store(std::process::id(), Ordering::Relaxed);
    let ways = [Acquire::Block, Acquire::Poll(1_000_000), Acquire::Timeout(3_000_000)];
    for (acquire, keep_open, kind) in ways
        .into_iter()
        .flat_map(|a| [(a, false, LockKind::Flock), (a, true, LockKind::Ofd), (a, false, LockKind::Posix)])
    {
        let config = Config {
            workers: 5,
            hold: Dist::Exponential(2_000_000),
            think: Dist::Uniform(0, 1_000_000),
            kind,
            shared: 30,
            acquire,
            keep_open,
            restart: Restart::Never,
            seed: 7,
            limit: Some(60),
        };
        let mut lab = Lab::start(config, Target::prepare(None, kind).unwrap()).unwrap();
        let (tx, batches) = crossbeam_channel::bounded(64);
        lab.listen(tx).unwrap();
        let mut acquired = 0;
        while acquired < 60 {
            for event in batches.recv_timeout(Duration::from_secs(60)).expect("events").events {
                acquired += u32::from(matches!(event.what, What::Acquired(_) | What::Cycle { .. }));
                // SIGABRT would be the allocator's.
                assert!(!matches!(event.what, What::Exited { signal: Some(_), .. } | What::Failed { .. }), "{event:?}");
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
            for event in batches.recv_timeout(Duration::from_secs(60)).expect("events").events {
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
