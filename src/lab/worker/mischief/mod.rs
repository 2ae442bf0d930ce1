//! The child's part in the small misbehaviours of scenes; as all of the child, async-signal-safe.

mod sys;

use super::hold::Held;
use super::{EXIT_OK, End, Worker, exit_now};
use crate::event::LockMode;
use crate::lab::mischief::{Act, Mischief};
use crate::lab::shared::Shared;
use crate::lab::wire::{Body, Stage};
use crate::lock::Lock;
use nix::errno::Errno;
use std::os::fd::RawFd;

/// How often a child looks who its parent is until that is the monitor, and later, in ns.
const ADOPTED_NS: (u64, u64) = (1_000_000, 100_000_000);

/// The second lock, as this worker has it.
#[derive(Debug)]
pub(super) struct Second {
    fd: RawFd,
    /// The acquisition that it holds it by, and since when on the active clock.
    held: Option<(u64, u64)>,
}

impl Default for Second {
    fn default() -> Self {
        Self { fd: -1, held: None }
    }
}

impl Worker<'_> {
    /// Before the lock is asked for.
    pub(super) fn before_turn(&mut self, mischief: &Mischief) -> Result<(), End> {
        let first = mischief.act() == Act::Cross && self.job.me.worker.is_multiple_of(2);
        if first { self.take_second(mischief).and_then(|()| self.dwell()) } else { Ok(()) }
    }

    /// While the lock is held, before its hold time begins to matter.
    pub(super) fn while_holding(&mut self, mischief: &Mischief, held: &mut Held) -> Result<(), End> {
        let act = mischief.act();
        let crosses = act == Act::Cross && !self.job.me.worker.is_multiple_of(2);
        let once = matches!(act, Act::Stall | Act::Split | Act::Inherit);
        if !(crosses || once && mischief.is_due(held.won.seq)) {
            return Ok(());
        }
        // Before anything: who looks at it must see who holds the lock.
        self.telling.push(held.at, Body::Acquired { won: held.won, waited: held.waited });
        self.telling.flush(self.clock.now())?;
        held.told = true;
        match act {
            Act::Stall => sys::signal_me(libc::SIGSTOP),
            // The private file of the lab, never one of the user's; see Lab::start_scene.
            Act::Split => sys::make_anew(self.job.path).map_err(|errno| End::Failed(0, errno))?,
            Act::Inherit => self.leave_to_child(mischief)?,
            Act::Cross => {
                self.dwell()?;
                self.take_second(mischief)?;
            }
            Act::Poll => {}
        }
        Ok(())
    }

    /// After the lock was released, or given up.
    pub(super) fn after_turn(&mut self, mischief: &Mischief) -> Result<(), End> {
        let Some((seq, since)) = self.second.held.take() else { return Ok(()) };
        let now = self.clock.now();
        let held = self.job.shared.control().active_at(now).saturating_sub(since);
        mischief.second_released(self.job.me);
        self.job.kind.release(self.second.fd).map_err(|errno| End::Failed(2, errno))?;
        self.telling.push(now, Body::Second { stage: Stage::Released, seq, ns: held, contended: false });
        self.telling.flush(self.clock.now())
    }

    fn take_second(&mut self, mischief: &Mischief) -> Result<(), End> {
        let (job, control) = (self.job, self.job.shared.control());
        let Some(path) = mischief.second_path() else { return Ok(()) };
        if self.second.fd < 0 {
            self.second.fd = super::sys::open(path).map_err(|errno| End::Failed(0, errno))?;
        }
        let (fd, start) = (self.second.fd, self.clock.now());
        let active = control.active_at(start);
        let free = job.kind.try_acquire(fd, LockMode::Exclusive).map_err(|errno| End::Failed(1, errno))?;
        if !free {
            self.telling.push(start, Body::Second { stage: Stage::Waits, seq: 0, ns: 0, contended: true });
            self.telling.flush(self.clock.now())?;
            loop {
                match job.kind.acquire(fd, LockMode::Exclusive) {
                    Ok(()) => break,
                    Err(Errno::EINTR) => self.still_wanted()?,
                    Err(errno) => return Err(End::Failed(1, errno)),
                }
            }
        }
        let now = self.clock.now();
        let (seq, since) = (mischief.second_won(job.me), control.active_at(now));
        self.second.held = Some((seq, since));
        let ns = since.saturating_sub(active);
        self.telling.push(now, Body::Second { stage: Stage::Acquired, seq, ns, contended: !free });
        self.telling.flush(self.clock.now())
    }

    /// Works for a hold time between one lock and the next.
    fn dwell(&mut self) -> Result<(), End> {
        let control = self.job.shared.control();
        let (u, start) = (self.random.unit(), control.active_at(self.clock.now()));
        loop {
            let generation = control.generation();
            self.still_wanted()?;
            let paused = control.paused();
            let left = control.hold().at(u).saturating_sub(control.active_at(self.clock.now()).saturating_sub(start));
            if left == 0 && !paused {
                return Ok(());
            }
            control.sleep(generation, (!paused).then_some(left));
        }
    }

    /// Forks a child, which shares the open file and with it the lock, and dies.
    fn leave_to_child(&mut self, mischief: &Mischief) -> Result<(), End> {
        let monitor = sys::parent();
        match sys::fork().map_err(|errno| End::Failed(1, errno))? {
            None => {
                super::sys::close(self.job.pipe);
                keep(self.job.shared, monitor)
            }
            Some(child) => {
                mischief.leave_to(self.job.me, child, self.fd);
                sys::signal_me(libc::SIGKILL);
                Ok(())
            }
        }
    }
}

/// Keeps what was inherited until the run is over or the monitor is gone.
fn keep(shared: &Shared, monitor: i32) -> ! {
    let taker = sys::parent();
    sys::call_me(c"flockmon-child");
    let control = shared.control();
    let mut adopted = false;
    loop {
        let generation = control.generation();
        let parent = sys::parent();
        if control.stopping() || parent != monitor && parent != taker {
            exit_now(EXIT_OK);
        }
        if parent == monitor && !adopted {
            // From now on it dies with the monitor; if that has died just now, the next look tells.
            sys::die_with_parent();
            adopted = true;
            continue;
        }
        control.sleep(generation, Some(if adopted { ADOPTED_NS.1 } else { ADOPTED_NS.0 }));
    }
}
