//! A worker that runs before anybody reads what it tells waits, and loses nothing.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;
use flockmon::dist::Dist;
use flockmon::event::{Event, LockKind, What};
use flockmon::lab::target::Target;
use flockmon::lab::{Acquire, Config, Lab, Restart};
use support::wait_for;

#[test]
fn nothing_is_lost_before_the_monitor_listens() {
    let config = Config {
        workers: 1,
        hold: Dist::Fixed(0),
        think: Dist::Fixed(0),
        kind: LockKind::Flock,
        shared: 0,
        acquire: Acquire::Block,
        keep_open: true,
        restart: Restart::Never,
        seed: 1,
        limit: None,
    };
    // Forked from this thread, whose children they are.
    let mut lab = Lab::start(config, Target::prepare(None, LockKind::Flock).unwrap()).unwrap();
    let thread = nix::unistd::gettid();
    let worker = std::fs::read_to_string(format!("/proc/self/task/{thread}/children")).unwrap();
    let status = format!("/proc/{}/status", worker.trim());
    // Alone, it sleeps only where its pipe is full; again and again as long as nobody listens.
    wait_for("the worker to wait for room more than once", || {
        let text = std::fs::read_to_string(&status).unwrap();
        let slept: u32 = text.lines().find_map(|l| l.strip_prefix("voluntary_ctxt_switches:"))?.trim().parse().ok()?;
        (slept >= 4).then_some(())
    });
    let (tx, batches) = crossbeam_channel::bounded(8);
    lab.listen(tx).unwrap();
    let (mut told, mut highest) = (0u64, 0);
    let mut take = |batch: flockmon::source::Batch| {
        for event in batch.events.into_iter().flat_map(Event::singly) {
            match event.what {
                What::Acquired(won) | What::Cycle { acquired: won, .. } => {
                    told += 1;
                    highest = highest.max(won.seq);
                }
                What::Dropped { count } => panic!("{count} lost"),
                _ => {}
            }
        }
        told
    };
    // More than a pipe holds: it goes on.
    while take(batches.recv_timeout(support::LIMIT).unwrap()) < 50_000 {}
    lab.finish(|| batches.try_iter().for_each(|batch| _ = take(batch)));
    assert_eq!(told, highest);
}
