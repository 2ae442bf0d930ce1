//! A child that makes one lock call at a time, when it is told to, and says what came of it. A worker runs free and
//! shows what happens under load; a puppet answers "and what if just now …".
//!
//! In the child the rules of `worker.rs` hold: nothing that is not async-signal-safe.

use super::child::{Files, fork_child};
use super::clock;
use super::worker::{EXIT_FAILED, EXIT_OK};
use crate::event::{LockKind, LockMode};
use crate::lock::flaw::{self, Flaw};
use crate::lock::{Bytes, Lock};
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use std::ffi::CStr;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

const ASK_SIZE: usize = 10;
const ANSWER_SIZE: usize = 9;

/// What a puppet is told to do with the lock file, which it opens when it needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Take the lock if it is free.
    Try(LockMode),
    /// Take the lock; wait for it if need be.
    Take(LockMode),
    /// Turn the lock that it has into this one, without waiting.
    Convert(LockMode),
    /// Release the lock and keep the file open.
    Unlock,
    /// Close the file.
    Close,
    /// Lock (or unlock, where there is no mode) some bytes, without waiting.
    Bytes(Option<LockMode>, Bytes),
}

/// What a puppet says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Done, at this time of [`clock::now`].
    Yes(u64),
    /// Refused: somebody else has it.
    No,
    /// Refused, and it begins to wait; another answer follows.
    Waits,
    /// The file cannot be opened.
    CannotOpen(Errno),
    /// The call failed.
    Failed(Errno),
}

/// The parent's end of it. The child dies with it.
#[derive(Debug)]
pub struct Puppet {
    pid: Pid,
    line: UnixStream,
    heard: ([u8; ANSWER_SIZE], usize),
}

impl Puppet {
    /// Forks one for this lock. Call it in the main thread.
    ///
    /// # Errors
    /// No process or descriptor is to be had.
    #[allow(unsafe_code)]
    pub fn start(kind: LockKind, path: &CStr) -> Result<Self> {
        let (line, theirs) =
            UnixStream::pair().context("cannot make a socket: raise the limit on open files (ulimit -n)")?;
        let null = File::options().read(true).write(true).open("/dev/null").context("cannot open /dev/null")?;
        // SAFETY: the child reads, writes, opens, closes and locks by bare system calls until it leaves.
        let pid = unsafe {
            fork_child(theirs.as_raw_fd(), null.as_raw_fd(), Files::Copied, false, || obey(kind, path, &theirs))
        }
        .context("cannot start a process: raise the limit on processes (ulimit -u)")?;
        Ok(Self { pid, line, heard: ([0; ANSWER_SIZE], 0) })
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Tells it what to do; [`Puppet::answer`] gives what came of it.
    ///
    /// # Errors
    /// It is dead.
    pub fn ask(&mut self, ask: Ask) -> Result<()> {
        self.line.write_all(&ask.encode()).with_context(|| format!("the process {} that tries the lock died", self.pid))
    }

    /// Its next answer; none if there is none within `patience`.
    ///
    /// # Errors
    /// It is dead.
    pub fn answer(&mut self, patience: Duration) -> Result<Option<Answer>> {
        let died = || format!("the process {} that tries the lock died", self.pid);
        // A timeout of zero would mean to wait for ever.
        self.line.set_read_timeout(Some(patience.max(Duration::from_millis(1)))).context("cannot set a timeout")?;
        let (buffer, len) = &mut self.heard;
        while let Some(rest) = buffer.get_mut(*len..).filter(|r| !r.is_empty()) {
            match self.line.read(rest) {
                Ok(0) => anyhow::bail!(died()),
                Ok(n) => *len += n,
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {
                    return Ok(None);
                }
                Err(e) => return Err(e).with_context(died),
            }
        }
        *len = 0;
        Answer::decode(*buffer)
            .with_context(|| format!("the process {} said what cannot be understood", self.pid))
            .map(Some)
    }
}

impl Drop for Puppet {
    fn drop(&mut self) {
        // Not yet reaped, so the pid is still its own.
        let _ = kill(self.pid, Signal::SIGKILL);
        while waitpid(self.pid, None) == Err(Errno::EINTR) {}
    }
}

/// The child: does what it is told until nobody tells it any more.
fn obey(kind: LockKind, path: &CStr, mut line: &UnixStream) -> i32 {
    let mut file: Option<OwnedFd> = None;
    let mut words = [0; ASK_SIZE];
    while line.read_exact(&mut words).is_ok() {
        let Some(ask) = Ask::decode(words) else { return EXIT_FAILED };
        let answer = match open(&mut file, path) {
            Err(errno) => Answer::CannotOpen(errno),
            Ok(fd) => match ask {
                Ask::Take(mode) => take(kind, fd, mode, line),
                ask => at_once(kind, fd, ask),
            },
        };
        if ask == Ask::Close && !flaw::is(Flaw::OutlivesClose) {
            file = None;
        }
        if line.write_all(&answer.encode()).is_err() {
            return EXIT_FAILED;
        }
    }
    EXIT_OK
}

/// Opens the file if it is not open. Never makes it: whoever removed it meanwhile had a reason.
fn open(file: &mut Option<OwnedFd>, path: &CStr) -> Result<i32, Errno> {
    let open = match file.take() {
        Some(open) => open,
        None => nix::fcntl::open(path, OFlag::O_RDWR | OFlag::O_CLOEXEC | OFlag::O_NOCTTY, Mode::empty())?,
    };
    Ok(file.insert(open).as_raw_fd())
}

fn take(kind: LockKind, fd: i32, mode: LockMode, mut line: &UnixStream) -> Answer {
    match kind.try_acquire(fd, mode) {
        Ok(true) => return Answer::Yes(clock::now()),
        // If nobody listens any more, the answer that follows will not get through either.
        Ok(false) => drop(line.write_all(&Answer::Waits.encode())),
        Err(errno) => return Answer::Failed(errno),
    }
    loop {
        match kind.acquire(fd, mode) {
            Ok(()) => return Answer::Yes(clock::now()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Answer::Failed(errno),
        }
    }
}

fn at_once(kind: LockKind, fd: i32, ask: Ask) -> Answer {
    // A release counts from before, a success from after.
    let before = clock::now();
    let done = match ask {
        Ask::Convert(_) if flaw::is(Flaw::ConversionIgnored) => Ok(true),
        Ask::Try(mode) | Ask::Take(mode) | Ask::Convert(mode) => kind.try_acquire(fd, mode),
        Ask::Unlock => return kind.release(fd).map_or_else(Answer::Failed, |()| Answer::Yes(before)),
        Ask::Close => return Answer::Yes(before),
        Ask::Bytes(mode, bytes) => kind.try_bytes(fd, mode, bytes),
    };
    match done {
        Ok(true) => Answer::Yes(clock::now()),
        Ok(false) => Answer::No,
        Err(errno) => Answer::Failed(errno),
    }
}

fn mode_byte(mode: Option<LockMode>) -> u8 {
    match mode {
        None => 0,
        Some(LockMode::Shared) => 1,
        Some(LockMode::Exclusive) => 2,
    }
}

impl Ask {
    /// One byte of what, one of mode, two numbers.
    fn encode(self) -> [u8; ASK_SIZE] {
        let nowhere = Bytes { start: 0, len: 0 };
        let (what, mode, bytes) = match self {
            Self::Try(mode) => (0, Some(mode), nowhere),
            Self::Take(mode) => (1, Some(mode), nowhere),
            Self::Convert(mode) => (2, Some(mode), nowhere),
            Self::Unlock => (3, None, nowhere),
            Self::Close => (4, None, nowhere),
            Self::Bytes(mode, bytes) => (5, mode, bytes),
        };
        let ([a, b, c, d], [e, f, g, h]) = (bytes.start.to_le_bytes(), bytes.len.to_le_bytes());
        [what, mode_byte(mode), a, b, c, d, e, f, g, h]
    }

    fn decode([what, mode, a, b, c, d, e, f, g, h]: [u8; ASK_SIZE]) -> Option<Self> {
        let mode = match mode {
            1 => Some(LockMode::Shared),
            2 => Some(LockMode::Exclusive),
            _ => None,
        };
        Some(match what {
            0 => Self::Try(mode?),
            1 => Self::Take(mode?),
            2 => Self::Convert(mode?),
            3 => Self::Unlock,
            4 => Self::Close,
            5 => Self::Bytes(
                mode,
                Bytes { start: u32::from_le_bytes([a, b, c, d]), len: u32::from_le_bytes([e, f, g, h]) },
            ),
            _ => return None,
        })
    }
}

impl Answer {
    /// One byte of what, then a time or an `errno(3)`.
    fn encode(self) -> [u8; ANSWER_SIZE] {
        let (what, number) = match self {
            Self::Yes(t) => (0, t),
            Self::No => (1, 0),
            Self::Waits => (2, 0),
            Self::CannotOpen(errno) => (3, errno as u64),
            Self::Failed(errno) => (4, errno as u64),
        };
        let [a, b, c, d, e, f, g, h] = u64::to_le_bytes(number);
        [what, a, b, c, d, e, f, g, h]
    }

    fn decode([what, a, b, c, d, e, f, g, h]: [u8; ANSWER_SIZE]) -> Option<Self> {
        let number = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        let errno = || Errno::from_raw(number as i32);
        Some(match what {
            0 => Self::Yes(number),
            1 => Self::No,
            2 => Self::Waits,
            3 => Self::CannotOpen(errno()),
            4 => Self::Failed(errno()),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_back_as_they_went() {
        let bytes = Bytes { start: 1 << 31, len: 77 };
        for mode in [LockMode::Shared, LockMode::Exclusive] {
            let all = [
                Ask::Try(mode),
                Ask::Take(mode),
                Ask::Convert(mode),
                Ask::Bytes(Some(mode), bytes),
                Ask::Bytes(None, bytes),
            ];
            for ask in all.into_iter().chain([Ask::Unlock, Ask::Close]) {
                assert_eq!(Ask::decode(ask.encode()), Some(ask));
            }
        }
        let errno = Errno::ENOLCK;
        for answer in
            [Answer::Yes(u64::MAX), Answer::No, Answer::Waits, Answer::CannotOpen(errno), Answer::Failed(errno)]
        {
            assert_eq!(Answer::decode(answer.encode()), Some(answer));
        }
    }
}
