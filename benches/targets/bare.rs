//! The bare twin: the same processes, the calls on the lock that any program makes, and nothing else.

use crate::program::WARM_UP;
use flockmon::event::{LockKind, LockMode};
use flockmon::lab::clock;
use flockmon::lab::shared::{Doing, Shared, Slot};
use flockmon::lab::target::Target;
use flockmon::lock::Lock;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// What is done while the lock is held.
#[derive(Clone, Copy)]
pub enum Hold {
    Nothing,
    /// ns.
    Spin(u64),
    /// ns.
    Sleep(u64),
}

/// A fleet and its loop.
#[derive(Clone, Copy)]
pub struct Loop {
    pub workers: u32,
    pub hold: Hold,
    /// ns slept between two turns.
    pub think: u64,
    pub keep_open: bool,
    /// First a try that does not wait.
    pub try_first: bool,
}

impl Default for Loop {
    fn default() -> Self {
        Self { workers: 1, hold: Hold::Nothing, think: 0, keep_open: true, try_first: false }
    }
}

impl Loop {
    /// Acquisitions a second.
    pub fn rate(&self, run_for: Duration) -> f64 {
        let (turns, _, took) = self.run(run_for, false);
        turns as f64 / took.as_secs_f64()
    }

    /// Median ns from a release to the return of a waiter that was asleep by then.
    pub fn handoff(&self, run_for: Duration) -> f64 {
        let (_, mut handoffs, _) = self.run(run_for, true);
        handoffs.sort_unstable();
        handoffs.get(handoffs.len() / 2).map_or(f64::NAN, |ns| *ns as f64)
    }

    /// Turns, handoffs where wanted, and the time that it took.
    fn run(&self, run_for: Duration, handoffs: bool) -> (u64, Vec<u64>, Duration) {
        let target = Target::prepare(None, LockKind::Flock).expect("a temporary lock file");
        let shared = Shared::new().expect("a shared page");
        let control = shared.control();
        let mut children = Vec::new();
        let (mut read, write) = std::io::pipe().expect("a pipe");
        for id in 1..=self.workers {
            // SAFETY: this process has no other thread while bare twins run, and the child leaves by _exit.
            match unsafe { nix::unistd::fork() }.expect("fork") {
                nix::unistd::ForkResult::Parent { child } => children.push(child),
                nix::unistd::ForkResult::Child => {
                    let slot = shared.slot(id).expect("a slot");
                    slot.count();
                    let told = self.child(target.path(), &shared, slot, handoffs);
                    if handoffs {
                        use std::io::Write;
                        let bytes: Vec<u8> = told.iter().flat_map(|ns| ns.to_le_bytes()).collect();
                        let _ = (&write).write_all(&bytes);
                    }
                    // SAFETY: leaves without running anything of the parent's.
                    unsafe { libc::_exit(0) }
                }
            }
        }
        drop(write);
        let ready = || (1..=self.workers).all(|id| shared.slot(id).is_some_and(|s| s.got() > 0));
        while !ready() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let turns = || (1..=self.workers).filter_map(|id| shared.slot(id)).map(|s| s.doing().1).sum::<u64>();
        std::thread::sleep(WARM_UP);
        let (began, before) = (Instant::now(), turns());
        std::thread::sleep(run_for);
        let (done, took) = (turns() - before, began.elapsed());
        control.set_stop();
        if !handoffs {
            // A thousand of them that wait would need long to come to their ends one after the other.
            for child in &children {
                let _ = nix::sys::signal::kill(*child, nix::sys::signal::Signal::SIGKILL);
            }
        }
        let mut told = Vec::new();
        std::io::Read::read_to_end(&mut read, &mut told).expect("the handoffs");
        for child in children {
            let _ = nix::sys::wait::waitpid(child, None);
        }
        (done, told.as_chunks().0.iter().map(|b| u64::from_le_bytes(*b)).collect(), took)
    }

    fn child(&self, path: &Path, shared: &Shared, slot: &Slot, handoffs: bool) -> Vec<u64> {
        let (control, ledger) = (shared.control(), shared.ledger());
        let open = || File::options().read(true).write(true).open(path).expect("the lock file");
        let kept = self.keep_open.then(open);
        let mut turns = 0u64;
        let mut told = Vec::with_capacity(4096);
        while !control.stopping() {
            let opened = kept.is_none().then(open);
            let Some(fd) = kept.as_ref().or(opened.as_ref()).map(AsRawFd::as_raw_fd) else { break };
            let start = if handoffs { clock::now() } else { 0 };
            if !self.try_first || LockKind::Flock.try_acquire(fd, LockMode::Exclusive) == Ok(false) {
                let _ = LockKind::Flock.acquire(fd, LockMode::Exclusive);
                if handoffs && ledger.last_release() > start && told.len() < told.capacity() {
                    told.push(clock::now().saturating_sub(ledger.last_release()));
                }
            }
            match self.hold {
                Hold::Nothing => {}
                Hold::Spin(ns) => {
                    let begin = clock::now();
                    while clock::now() - begin < ns {
                        std::hint::spin_loop();
                    }
                }
                Hold::Sleep(ns) => control.sleep(control.generation(), Some(ns)),
            }
            if handoffs {
                ledger.releasing(clock::now());
            }
            if kept.is_some() {
                let _ = LockKind::Flock.release(fd);
            }
            drop(opened);
            if self.think > 0 {
                control.sleep(control.generation(), Some(self.think));
            }
            turns += 1;
            slot.set_doing(Doing::Else, turns);
        }
        told
    }
}

/// `bare-loop MS`: one process, plain flock(2), so long; prints turns a second. Tracers are run on it.
pub fn as_a_program(words: &[String]) {
    let ms = words.get(1).and_then(|w| w.parse().ok()).unwrap_or(300);
    let target = Target::prepare(None, LockKind::Flock).expect("a temporary lock file");
    let file = File::options().read(true).write(true).open(target.path()).expect("the lock file");
    let (began, run_for, mut turns) = (Instant::now(), Duration::from_millis(ms), 0u64);
    while began.elapsed() < run_for {
        for _ in 0..20 {
            let _ = LockKind::Flock.acquire(file.as_raw_fd(), LockMode::Exclusive);
            let _ = LockKind::Flock.release(file.as_raw_fd());
        }
        turns += 20;
    }
    println!("{}", turns as f64 / began.elapsed().as_secs_f64());
}
