//! Now, as every source of live events stamps them: ns of `CLOCK_MONOTONIC`, the same in all processes of the machine.
#![allow(unsafe_code)]

/// `CLOCK_MONOTONIC` as the kernel tells it, in ns. Async-signal-safe (vdso(7)).
pub fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: clock_gettime(2) writes one timespec, which is ours.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
