//! The command of a worker: started, waited for, told of. As in all of the child, nothing is allocated.
#![allow(unsafe_code)]

use super::super::command::KEPT;
use super::super::errand::Errand;
use super::super::wire::Body;
use super::Worker;
use super::hold::Held;
use nix::errno::Errno;
use std::ffi::{c_int, c_void};
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

/// Exit status where there is no such command, and where there is one that cannot be started, as a shell tells it.
const NOT_FOUND: i32 = 127;
const NOT_STARTED: i32 = 126;
/// Logs are trimmed when they take this much space, in bytes: not for each line.
const TRIMMED_AT: u64 = 4 * KEPT;

impl Worker<'_> {
    /// Runs the command as the critical section: whether the acquisition has been told, and whether the run is over.
    pub(super) fn run_command(&mut self, errand: &Errand<'_>, held: &Held) -> (bool, bool) {
        let (job, clock) = (self.job, self.clock);
        let (control, seq) = (job.shared.control(), held.won.seq);
        if self.still_wanted().is_err() {
            return (false, true);
        }
        self.telling.push(held.at, Body::Acquired { won: held.won, waited: held.waited });
        // Holding the lock, a full pipe must not stop us: what cannot be written stays in the batch.
        if self.telling.flush(clock.now()).is_err() {
            return (true, true);
        }
        errand.set_acquisition(seq);
        let start = clock.now();
        let status = run(errand, job.me.pid as c_int);
        let end = clock.now();
        if control.stopping() {
            // The end of the run ended it too: no run that anyone asked about.
            return (true, true);
        }
        self.telling.push(end, Body::Ran { seq, ran: end.saturating_sub(start), status });
        if status != 0 && errand.program().stops_on_failure() {
            // Before the release: nobody shall come after it and change what it left.
            control.set_stop();
        }
        // Paused, the scene stays as it is: the lock is released when it goes on.
        loop {
            let generation = control.generation();
            if !control.paused() || self.still_wanted().is_err() {
                return (true, false);
            }
            if self.telling.flush(clock.now()).is_err() {
                return (true, true);
            }
            control.sleep(generation, None);
        }
    }
}

/// What a process is given by whoever starts it, and flockmon changes for itself.
#[derive(Debug)]
pub(crate) struct Habits {
    /// `PR_GET_TIMERSLACK`, in ns.
    slack: c_int,
    /// `RLIMIT_NOFILE`.
    files: Option<libc::rlimit>,
}

impl Habits {
    /// Those of this process now.
    pub(crate) fn now() -> Self {
        let mut files = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: getrlimit(2) writes one struct of ours, prctl(2) takes integers.
        let (got, slack) = unsafe {
            (libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut files), libc::prctl(libc::PR_GET_TIMERSLACK, 0, 0, 0, 0))
        };
        Self { slack, files: (got == 0).then_some(files) }
    }
}

/// What the new process needs to know, and what it tells back.
struct Start<'a> {
    errand: &'a Errand<'a>,
    worker: c_int,
    /// Why the command could not be executed; 0 where it could.
    errno: AtomicI32,
}

/// Runs the command to its end; gives its status, as waitpid(2) tells it.
fn run(errand: &Errand<'_>, worker: c_int) -> c_int {
    let start = Start { errand, worker, errno: AtomicI32::new(0) };
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the new process runs in our memory, on a stack of its own, while we stand still until it executes the
    // command or leaves (clone(2), CLONE_VFORK), so `start` and `errand` outlive its use of them. It calls only
    // async-signal-safe functions, and no signal handler runs in it on that stack: all are blocked. The structs that
    // sigprocmask(2) and waitpid(2) write are ours.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        let pid = libc::clone(execute, errand.stack(), flags, (&raw const start).cast_mut().cast());
        libc::sigprocmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut());
        if pid < 0 {
            return NOT_STARTED << 8;
        }
        let mut status = 0;
        while libc::waitpid(pid, &raw mut status, 0) < 0 {
            if Errno::last() != Errno::EINTR {
                return NOT_STARTED << 8;
            }
        }
        match start.errno.load(Relaxed) {
            0 => status,
            libc::ENOENT => NOT_FOUND << 8,
            _ => NOT_STARTED << 8,
        }
    }
}

/// The new process, up to the command: in the session of its worker, to die with it, with a log for its output and
/// no descriptor of ours, since all of those are closed on execution.
extern "C" fn execute(start: *mut c_void) -> c_int {
    // SAFETY: run() passes a Start that outlives this process's use of it.
    let start = unsafe { &*start.cast_const().cast::<Start<'_>>() };
    let (errand, habits) = (start.errand, start.errand.program().habits());
    // SAFETY: each call takes integers, C strings and arrays that outlive it, or structs on this stack, and is
    // async-signal-safe. The arrays end with a null pointer, and their pointers are to C strings.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        if libc::getppid() != start.worker {
            libc::_exit(NOT_STARTED);
        }
        libc::prctl(libc::PR_SET_TIMERSLACK, habits.slack);
        if let Some(files) = &habits.files {
            libc::setrlimit(libc::RLIMIT_NOFILE, files);
        }
        // Handlers go by themselves (execve(2)); what is ignored stays so.
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = libc::SIG_DFL;
        libc::sigaction(libc::SIGPIPE, &raw const action, std::ptr::null_mut());
        let flags = libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT | libc::O_CLOEXEC | libc::O_NOCTTY;
        let log = libc::open(errand.log().as_ptr(), flags, 0o666);
        if log < 0 || libc::dup2(log, 1) < 0 || libc::dup2(log, 2) < 0 {
            start.errno.store(Errno::last_raw(), Relaxed);
            libc::_exit(NOT_STARTED);
        }
        if !errand.program().logs().are_kept() {
            trim(log);
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        libc::execve(errand.program().path().as_ptr(), errand.argv(), errand.envp());
        if Errno::last() == Errno::ENOEXEC {
            let (shell, script) = errand.script();
            libc::execve(shell.as_ptr(), script, errand.envp());
        }
        let errno = Errno::last_raw();
        start.errno.store(errno, Relaxed);
        let complaint = errand.complaint(errno);
        libc::write(2, complaint.as_ptr().cast(), complaint.iter().take_while(|b| b.get() != 0).count());
        libc::write(2, c"\n".as_ptr().cast(), 1);
        libc::_exit(NOT_STARTED)
    }
}

/// Gives back the space of all but the end of a log. Whoever writes to it goes on writing at its end.
pub(crate) fn trim(log: RawFd) {
    // SAFETY: fstat(2) writes one struct of ours, the other calls take integers.
    unsafe {
        let mut meta: libc::stat = std::mem::zeroed();
        if libc::fstat(log, &raw mut meta) != 0 || (meta.st_blocks as u64).saturating_mul(512) <= TRIMMED_AT {
            return;
        }
        let old = meta.st_size.saturating_sub(KEPT as libc::off_t);
        let hole = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        if old > 0 && libc::fallocate(log, hole, 0, old) != 0 {
            // A file system without holes: bounded space is worth more than old output.
            libc::ftruncate(log, 0);
        }
    }
}
