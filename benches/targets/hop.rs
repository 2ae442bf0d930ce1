//! How far two processors are from each other: what a cache line takes from one to the other.
//!
//! Whoever gets a contended lock needs lines that its last holder wrote, the kernel's and the ledger's. A virtual machine
//! is moved about: one minute its two processors share a cache, the next they do not.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicU32, Ordering::*};
use std::time::Instant;

/// Up to here, in ns, two processors are taken to share a cache.
pub const NEAR: f64 = 80.0;
const ROUNDS: u32 = 15;
const HOPS: u32 = 1_000;

#[repr(align(128))]
struct Line(AtomicU32);

/// ns from a store by one thread until another sees it, the median of some rounds; none with a single processor.
pub fn ns() -> Option<f64> {
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        return None;
    }
    let line = Line(AtomicU32::new(0));
    // One thread waits for the even numbers, the other for the odd ones.
    let pass_on = |from: u32, to: u32| {
        for hop in (from..to).step_by(2) {
            while line.0.load(Acquire) != hop {
                spin_loop();
            }
            line.0.store(hop + 1, Release);
        }
    };
    std::thread::scope(|threads| {
        threads.spawn(|| pass_on(1, 2 * ROUNDS * HOPS));
        let mut rounds: Vec<f64> = (0..ROUNDS)
            .map(|round| {
                let began = Instant::now();
                pass_on(2 * round * HOPS, 2 * (round + 1) * HOPS);
                began.elapsed().as_nanos() as f64 / f64::from(2 * HOPS)
            })
            .collect();
        rounds.sort_by(f64::total_cmp);
        rounds.get(rounds.len() / 2).copied()
    })
}
