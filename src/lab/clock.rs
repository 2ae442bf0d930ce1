//! The one clock: `CLOCK_MONOTONIC` in ns, the same in all processes of the machine.

use nix::errno::Errno;

/// ns since an arbitrary point, the same for every process. Async-signal-safe (vdso(7)).
#[allow(unsafe_code)]
pub fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: clock_gettime(2) writes one timespec, which is ours.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Sleeps while `word` is `seen`, for at most `ns` where given. Wakes early for no reason at times, as futex(2) may.
#[allow(unsafe_code)]
pub fn futex_wait(word: &std::sync::atomic::AtomicU32, seen: u32, ns: Option<u64>) {
    let time = ns.map(|ns| libc::timespec {
        tv_sec: (ns / 1_000_000_000) as libc::time_t,
        tv_nsec: (ns % 1_000_000_000) as libc::c_long,
    });
    let time_ptr = time.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: futex(2) FUTEX_WAIT reads the word and the timespec, both alive during the call. The word lies in
    // memory shared between processes, hence no FUTEX_PRIVATE_FLAG.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, seen, time_ptr) };
}

/// Wakes everyone that sleeps on `word`.
#[allow(unsafe_code)]
pub fn futex_wake_all(word: &std::sync::atomic::AtomicU32) -> Result<(), Errno> {
    // SAFETY: futex(2) FUTEX_WAKE uses only the address of the word, which is alive.
    Errno::result(unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, i32::MAX) }).map(drop)
}
