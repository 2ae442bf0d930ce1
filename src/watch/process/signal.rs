//! Signals to processes of others: through a pidfd, so that a pid that was reused is never hit.
//!
//! The order matters: first the pidfd, then the proof that the pid still is who it was taken for (its start, and that
//! it still keeps or waits for the lock), then the signal. From the opening on, the pidfd is that process or nobody.

use super::{Names, life, owners, sys, waits};
use crate::watch::change::FileId;
use nix::errno::Errno;
use nix::sys::signal::Signal;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What must be true of a process at the moment of the signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// It keeps a lock on the file.
    Keeps(FileId),
    /// It waits for a lock on the file.
    Waits(FileId),
    /// It lives.
    Lives,
}

/// Why no signal was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is gone.
    #[error("{who} is gone: nothing was sent")]
    Gone {
        /// Who.
        who: String,
    },
    /// The pid is another process's by now.
    #[error("pid {pid} is another process by now: nothing was sent")]
    Reused {
        /// The pid.
        pid: i32,
    },
    /// Whether the pid still is the process that was seen is not known.
    #[error("pid {pid} was not looked at while it used the lock and may be another process by now: nothing was sent")]
    Unknown {
        /// The pid.
        pid: i32,
    },
    /// It has let go since.
    #[error("{who} does not keep the lock any more: nothing was sent")]
    LetGo {
        /// Who.
        who: String,
    },
    /// It does not wait any more.
    #[error("{who} does not wait for the lock any more: nothing was sent")]
    WaitsNoMore {
        /// Who.
        who: String,
    },
    /// The kernel does not let us.
    #[error("not permitted to signal {who}: run flockmon as that user or as root (CAP_KILL)")]
    NotPermitted {
        /// Who, and whose process it is.
        who: String,
    },
    /// Anything else.
    #[error("cannot signal {who}: {why}")]
    Failed {
        /// Who.
        who: String,
        /// What the kernel says, and what to do.
        why: String,
    },
}

/// A process held fast: whatever happens, this is never another one.
#[derive(Debug)]
pub struct Target {
    pidfd: OwnedFd,
    pid: i32,
    start: u64,
    who: String,
}

impl Target {
    /// Holds the process fast that has `pid` and began at `start` (clock ticks since boot, as [`Mark`](super::Mark) has it).
    ///
    /// # Errors
    /// It is gone, or the pid is another's; the kernel has no pidfds.
    pub fn open(pid: i32, start: u64, names: &mut Names) -> Result<Self, Refusal> {
        let who =
            names.of(pid).map_or_else(|| format!("pid {pid}"), |i| format!("pid {pid} ({}, user {})", i.comm, i.user));
        let pidfd = match sys::pidfd_open(pid) {
            Ok(pidfd) => pidfd,
            // EINVAL: no such number can be a pid, or it is a thread's.
            Err(Errno::ESRCH | Errno::EINVAL) => return Err(Refusal::Gone { who }),
            Err(errno) => return Err(Refusal::Failed { who, why: reason(errno) }),
        };
        // The pidfd is of whoever had the pid a moment ago; if the start is right now, it was right then.
        match life(pid) {
            Some(life) if life.mark.start == start => Ok(Self { pidfd, pid, start, who }),
            Some(_) => Err(Refusal::Reused { pid }),
            None => Err(Refusal::Gone { who }),
        }
    }

    /// The pid.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The process: its pid and when it began, in clock ticks since boot.
    pub fn process(&self) -> (i32, u64) {
        (self.pid, self.start)
    }

    /// Sends `signal` if the process is as expected.
    ///
    /// # Errors
    /// Why not, in words; then nothing was sent.
    pub fn send(&self, signal: Signal, expect: Expect) -> Result<(), Refusal> {
        self.check(expect)?;
        match sys::pidfd_send_signal(self.pidfd.as_fd(), signal as libc::c_int) {
            Ok(()) => Ok(()),
            Err(Errno::ESRCH) => Err(Refusal::Gone { who: self.who.clone() }),
            Err(Errno::EPERM) => Err(Refusal::NotPermitted { who: self.who.clone() }),
            Err(errno) => Err(Refusal::Failed { who: self.who.clone(), why: reason(errno) }),
        }
    }

    fn check(&self, expect: Expect) -> Result<(), Refusal> {
        match expect {
            Expect::Lives => Ok(()),
            Expect::Keeps(file) => {
                let scan = owners::scan_among([self.pid], Some(&[file]));
                // Where its descriptors may not be read, its start alone has to do.
                if scan.owners.is_empty() && scan.refused == 0 {
                    return Err(Refusal::LetGo { who: self.who.clone() });
                }
                Ok(())
            }
            Expect::Waits(file) => {
                let readable = std::fs::read(format!("/proc/{}/syscall", self.pid)).is_ok();
                if readable && !waits::of(self.pid).iter().any(|w| w.file == Some(file)) {
                    return Err(Refusal::WaitsNoMore { who: self.who.clone() });
                }
                Ok(())
            }
        }
    }
}

/// Becomes readable when the process ends (pidfd_open(2)).
impl AsFd for Target {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

fn reason(errno: Errno) -> String {
    match errno {
        Errno::ENOSYS => {
            "the kernel has no pidfds (they came with Linux 5.3), and by its number alone another process might be hit"
                .into()
        }
        Errno::EMFILE | Errno::ENFILE => "too many files are open: raise the limit (ulimit -n)".into(),
        errno => errno.desc().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_is_another_by_now_is_not_touched() {
        let me = std::process::id() as i32;
        let start = life(me).unwrap().mark.start;
        assert_eq!(Target::open(me, start + 1, &mut Names::new()).unwrap_err(), Refusal::Reused { pid: me });
        // Signal 0 is not among nix's; CONT does nothing to one who runs.
        let target = Target::open(me, start, &mut Names::new()).unwrap();
        assert_eq!(target.send(Signal::SIGCONT, Expect::Lives), Ok(()));
        let elsewhere = FileId { major: 0, minor: 0, inode: 0 };
        let refusal = target.send(Signal::SIGKILL, Expect::Keeps(elsewhere)).unwrap_err();
        assert!(refusal.to_string().contains("does not keep the lock any more"), "{refusal}");
        let refusal = target.send(Signal::SIGKILL, Expect::Waits(elsewhere)).unwrap_err();
        assert!(refusal.to_string().contains("does not wait"), "{refusal}");
    }

    #[test]
    fn one_that_is_gone_is_told() {
        for pid in [i32::MAX, 0, -1] {
            let refusal = Target::open(pid, 0, &mut Names::new()).unwrap_err();
            assert!(matches!(refusal, Refusal::Gone { .. }), "{pid}: {refusal:?}");
        }
    }
}
