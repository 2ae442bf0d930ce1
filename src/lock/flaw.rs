//! Locks that are broken on purpose, so that tests see whether those notice who must (`flockmon check`).
//!
//! One flaw at a time, named by the environment (`FLOCKMON_TEST_FLAW`), in debug builds only: in a release
//! build [`is`] is always false and all of this compiles to nothing. Runs in forked children, so it allocates nothing.

use super::Lock;
use crate::event::{LockKind, LockMode};
use nix::errno::Errno;
use std::os::fd::RawFd;
#[cfg(debug_assertions)]
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::Duration;

/// A way of being broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Flaw {
    /// Everyone is told that he has the lock; nothing is locked.
    NoLock = 1,
    /// A shared lock excludes other shared ones.
    SharedExcludes,
    /// An exclusive lock is only a shared one.
    ExclusiveShares,
    /// A non-blocking try says yes and locks nothing; to wait works.
    TryLies,
    /// A non-blocking try waits.
    TryWaits,
    /// One that waits looks again and again, rather than being woken.
    Polls,
    /// One that waits is never woken.
    NeverWakes,
    /// A holder that is killed keeps the lock.
    OutlivesDeath,
    /// One that closes its descriptor keeps the lock.
    OutlivesClose,
    /// A conversion is said to be done and is not.
    ConversionIgnored,
    /// A lock on some bytes takes the whole file.
    RangesCollide,
    /// POSIX locks are not supported.
    NoPosix,
    /// No locks are supported.
    Unsupported,
}

#[cfg(debug_assertions)]
const NAMES: [(&str, Flaw); 13] = [
    ("no-lock", Flaw::NoLock),
    ("shared-excludes", Flaw::SharedExcludes),
    ("exclusive-shares", Flaw::ExclusiveShares),
    ("try-lies", Flaw::TryLies),
    ("try-waits", Flaw::TryWaits),
    ("polls", Flaw::Polls),
    ("never-wakes", Flaw::NeverWakes),
    ("outlives-death", Flaw::OutlivesDeath),
    ("outlives-close", Flaw::OutlivesClose),
    ("conversion-ignored", Flaw::ConversionIgnored),
    ("ranges-collide", Flaw::RangesCollide),
    ("no-posix", Flaw::NoPosix),
    ("unsupported", Flaw::Unsupported),
];

#[cfg(debug_assertions)]
static PRESENT: AtomicU8 = AtomicU8::new(0);

/// Takes on the flaw that the environment names, if it names one. Before the first fork: children inherit it.
pub(crate) fn take_on() {
    #[cfg(debug_assertions)]
    if let Some(name) = std::env::var_os("FLOCKMON_TEST_FLAW") {
        match NAMES.iter().find(|(n, _)| name == *n) {
            Some((_, flaw)) => PRESENT.store(*flaw as u8, Relaxed),
            None => panic!("FLOCKMON_TEST_FLAW names no flaw: {name:?}"),
        }
    }
}

/// Whether the lock has this flaw.
pub(crate) fn is(flaw: Flaw) -> bool {
    #[cfg(debug_assertions)]
    return PRESENT.load(Relaxed) == flaw as u8;
    #[cfg(not(debug_assertions))]
    {
        let _ = flaw;
        false
    }
}

/// For how long to wait for a lock that is broken in such a way that one waits for it in vain.
pub(crate) fn patience() -> Option<Duration> {
    if is(Flaw::TryWaits) || is(Flaw::NeverWakes) {
        Some(Duration::from_millis(300))
    } else {
        // What comes before the fault must have its time.
        (is(Flaw::OutlivesDeath) || is(Flaw::OutlivesClose)).then_some(Duration::from_secs(2))
    }
}

/// The mode that is used instead of `mode`.
pub(super) fn mode(mode: LockMode) -> LockMode {
    match mode {
        LockMode::Shared if is(Flaw::SharedExcludes) => LockMode::Exclusive,
        LockMode::Exclusive if is(Flaw::ExclusiveShares) => LockMode::Shared,
        mode => mode,
    }
}

/// What a broken lock answers to a try; none where it does what it should.
pub(super) fn try_acquire(kind: LockKind, fd: RawFd, mode: LockMode) -> Option<Result<bool, Errno>> {
    if is(Flaw::NoLock) || is(Flaw::TryLies) {
        return Some(Ok(true));
    }
    if is(Flaw::TryWaits) {
        return Some(kind.acquire(fd, mode).map(|()| true));
    }
    (is(Flaw::Unsupported) || is(Flaw::NoPosix) && kind == LockKind::Posix).then_some(Err(Errno::ENOLCK))
}

/// What a broken lock does instead of waiting; none where it does what it should.
pub(super) fn acquire(kind: LockKind, fd: RawFd, mode: LockMode) -> Option<Result<(), Errno>> {
    if is(Flaw::NoLock) {
        return Some(Ok(()));
    }
    let nap = if is(Flaw::Polls) {
        Duration::from_micros(200)
    } else if is(Flaw::NeverWakes) {
        Duration::from_secs(3600)
    } else {
        return None;
    };
    loop {
        match kind.try_acquire(fd, mode) {
            Ok(true) => return Some(Ok(())),
            Ok(false) => std::thread::sleep(nap),
            Err(errno) => return Some(Err(errno)),
        }
    }
}
