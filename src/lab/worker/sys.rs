//! The system calls of a child, none of which may allocate.
#![allow(unsafe_code)]

use nix::errno::Errno;
use std::ffi::CStr;
use std::os::fd::RawFd;
use std::sync::atomic::AtomicU64;

/// Opens the lock file as each worker must: a description of its own, made if it is missing, never changed.
/// `O_NONBLOCK` matters only if the path has become a FIFO, where open(2) would hang.
pub(super) fn open(path: &CStr) -> Result<RawFd, Errno> {
    let flags = libc::O_CLOEXEC | libc::O_NOCTTY | libc::O_NONBLOCK;
    // SAFETY: the path is a C string that outlives the call.
    let open = |more| Errno::result(unsafe { libc::open(path.as_ptr(), flags | more, 0o666) });
    // Almost always it is there, and asking for no more than that is cheaper: O_CREAT may write to the folder.
    match open(libc::O_RDWR) {
        Err(Errno::ENOENT) => open(libc::O_RDWR | libc::O_CREAT),
        // A read-only descriptor is enough for flock(2) and for shared fcntl(2) locks.
        Err(Errno::EACCES | Errno::EPERM | Errno::EROFS) => open(libc::O_RDONLY),
        other => other,
    }
}

pub(super) fn close(fd: RawFd) {
    // SAFETY: the worker owns this descriptor and forgets it.
    unsafe { libc::close(fd) };
}

/// Writes all of `units`, at most `PIPE_BUF` (4096 bytes), or nothing: pipe(7) makes such writes atomic.
pub(super) fn write(fd: RawFd, units: &[AtomicU64]) -> Result<(), Errno> {
    // SAFETY: pointer and length are those of a live slice, which nobody else writes to.
    Errno::result(unsafe { libc::write(fd, units.as_ptr().cast(), size_of_val(units)) }).map(drop)
}

/// How much the pipe holds, in bytes; 0 where it cannot be told.
pub(super) fn room(fd: RawFd) -> usize {
    // SAFETY: fcntl(2) F_GETPIPE_SZ takes no argument.
    usize::try_from(unsafe { libc::fcntl(fd, libc::F_GETPIPE_SZ) }).unwrap_or(0)
}

/// Sleeps until the pipe takes a batch, for at most `ms`.
pub(super) fn wait_writable(fd: RawFd, ms: i32) {
    let mut wanted = libc::pollfd { fd, events: libc::POLLOUT, revents: 0 };
    // SAFETY: poll(2) writes one struct of ours.
    unsafe { libc::poll(&raw mut wanted, 1, ms) };
}

/// Interrupts the present wait after `ns`, and again every 10 ms, should the first ring come before the wait began.
pub(super) fn alarm_after(ns: u64) {
    let value = libc::timeval {
        tv_sec: (ns / 1_000_000_000) as libc::time_t,
        tv_usec: ((ns % 1_000_000_000) / 1000).max(1) as libc::suseconds_t,
    };
    let timer = libc::itimerval { it_interval: libc::timeval { tv_sec: 0, tv_usec: 10_000 }, it_value: value };
    // SAFETY: setitimer(2) reads one struct of ours.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
}

pub(super) fn alarm_off() {
    let zero = libc::timeval { tv_sec: 0, tv_usec: 0 };
    let timer = libc::itimerval { it_interval: zero, it_value: zero };
    // SAFETY: as above.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
}

extern "C" fn ring(_: libc::c_int) {}

/// Makes a fresh child a worker: dies with its parent, in a process group of its own (a ctrl-c at the terminal is
/// for the monitor), no signal handlers of the parent's, no descriptors but `pipe`. `false` where the parent is gone already.
///
/// One that `leads` runs commands: it has a session of its own, so that they find no terminal (tty(4)), and what is meant
/// for all that it has started (kill(2), process group) ends its waits but not itself.
pub(crate) fn prepare(parent: i32, pipe: RawFd, null: RawFd, leads: bool) -> bool {
    // SAFETY: each call takes integers, or structs on this stack, and is async-signal-safe.
    unsafe {
        // PDEATHSIG is for the future; if the parent died before it was set, getppid tells (prctl(2)).
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        if libc::getppid() != parent {
            return false;
        }
        if leads {
            libc::setsid();
        } else {
            libc::setpgid(0, 0);
        }
        libc::prctl(libc::PR_SET_NAME, c"flockmon-worker".as_ptr());
        // The default slack of 50 us would be added to every hold (prctl(2), PR_SET_TIMERSLACK).
        libc::prctl(libc::PR_SET_TIMERSLACK, 1_000);
        let rings = ring as extern "C" fn(libc::c_int) as libc::sighandler_t;
        let mut action: libc::sigaction = std::mem::zeroed();
        for signal in 1..=64 {
            action.sa_sigaction = match signal {
                libc::SIGPIPE => libc::SIG_IGN,
                libc::SIGALRM => rings,
                libc::SIGTERM | libc::SIGINT | libc::SIGHUP | libc::SIGQUIT if leads => rings,
                _ => libc::SIG_DFL,
            };
            libc::sigaction(signal, &raw const action, std::ptr::null_mut());
        }
        for fd in 0..3 {
            libc::dup2(null, fd);
        }
        close_others(3, pipe);
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
    true
}

/// Closes all descriptors from `first` on but `kept`; -1 keeps none. Async-signal-safe.
pub(crate) fn close_others(first: libc::c_uint, kept: RawFd) {
    let close = |first: libc::c_uint, last: libc::c_uint| {
        if first <= last {
            // SAFETY: close_range(2) takes integers; the caller has given up what it closes.
            unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
        }
    };
    match libc::c_uint::try_from(kept) {
        Ok(kept) => {
            if let Some(last) = kept.checked_sub(1) {
                close(first, last);
            }
            close(first.max(kept.saturating_add(1)), libc::c_uint::MAX);
        }
        Err(_) => close(first, libc::c_uint::MAX),
    }
}

/// Leaves without running anything of the parent's.
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: _exit(2) does not return and touches no memory.
    unsafe { libc::_exit(status) }
}
