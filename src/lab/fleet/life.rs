//! The life of one worker: it is forked, dies, is started again at once or after a while; what it leaves is taken in.

use super::nursery::{self, Newborn};
use super::{Lab, Member};
use crate::event::{Keeper, LockMode, Task, What};
use crate::lab::child::{Files, fork_child};
use crate::lab::collector::Order;
use crate::lab::config::Restart;
use crate::lab::errand::Errand;
use crate::lab::ledger::Owner;
use crate::lab::shared::Doing;
use crate::lab::worker;
use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use nix::unistd::Pid;
use std::fs::File;
use std::os::fd::AsRawFd;

/// A worker that ends within this time of its birth without an acquisition is in a crash loop, in ns.
const BIRTH_NS: u64 = 1_000_000_000;
/// First and longest back-off before it is started again, in ns.
const BACKOFF_NS: (u64, u64) = (100_000_000, 5_000_000_000);
impl Lab {
    /// Starts again those whose time has come.
    pub fn respawn(&mut self) {
        let now = self.clock_now();
        let due: Vec<u32> =
            (1..).zip(&self.members).filter(|(_, m)| m.due.is_some_and(|t| t <= now)).map(|(id, _)| id).collect();
        for id in due {
            if self.fork(id).is_err() {
                // No process or descriptor to be had now: as for any other death at birth, later.
                self.back_off(id);
            }
        }
    }

    /// Forks a worker while the run goes on.
    pub(super) fn fork(&mut self, id: u32) -> Result<()> {
        // Nothing that it tells may be older than its birth.
        let t = self.now();
        let Newborn { owner, read, .. } = self.fork_with(id, Files::Copied)?;
        self.order(Order::Born { owner, pipe: File::from(read), t });
        Ok(())
    }

    #[allow(unsafe_code)]
    pub(super) fn fork_with(&mut self, id: u32, files: Files) -> Result<Newborn> {
        let (slot, draft) = self.shared.slot(id).zip(self.shared.draft(id)).context("no slot left")?;
        slot.set_retired(false);
        slot.set_reader(None);
        // What its predecessor did when it died is not what it does.
        slot.set_doing(Doing::Else, 0);
        self.shared.control().set_members(self.members.len() as u32);
        let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)
            .context("cannot make a pipe: raise the limit on open files (ulimit -n)")?;
        let read = if files == Files::Lent { nursery::out_of_the_way(read)? } else { read };
        // Room for 5 ms of the fastest worker, which calls when half of it is used; above the user's share of pipe memory
        // it stays as it is (pipe(7)).
        let _ = nix::fcntl::fcntl(&write, nix::fcntl::FcntlArg::F_SETPIPE_SZ(256 * 1024));
        let births = self.member(id).map_or(0, |m| m.births);
        let program = self.program.clone();
        let errand = program.as_deref().map(|p| Errand::new(p, id, self.target.path())).transpose()?;
        let mut job = worker::Job {
            shared: &self.shared,
            slot,
            draft,
            me: Owner { worker: id, pid: 0 },
            path: &self.path,
            kind: self.config.kind,
            shared_percent: self.config.shared,
            acquire: self.mischief.as_ref().map_or(self.config.acquire, |m| m.acquire(id, self.config.acquire)),
            keep_open: self.config.keep_open,
            mischief: self.mischief.as_ref(),
            seed: mix(self.config.seed, id, births),
            epoch: 0,
            errand: errand.as_ref(),
            pipe: write.as_raw_fd(),
        };
        let born = self.clock_now();
        // SAFETY: until _exit the child calls only async-signal-safe functions; see worker.rs.
        let child = unsafe {
            fork_child(job.pipe, self.null.as_raw_fd(), files, job.errand.is_some(), || {
                job.me.pid = std::process::id();
                slot.set_leader(job.me.pid);
                job.epoch = job.shared.control().begun();
                worker::run(&job)
            })
        }?;
        self.born(id, child, born);
        let owner = Owner { worker: id, pid: child.as_raw() as u32 };
        Ok(Newborn { owner, read, write: (files == Files::Lent).then_some(write) })
    }

    fn born(&mut self, id: u32, pid: Pid, now: u64) {
        let got = self.shared.slot(id).map_or(0, |s| s.got());
        if let Some(member) = self.member_mut(id) {
            member.pid = Some(pid);
            member.born = now;
            member.got_at_birth = got;
            member.births += 1;
            member.due = None;
            member.stopped = false;
        }
    }

    pub(super) fn died(&mut self, pid: Pid, code: Option<i32>, signal: Option<i32>) {
        let Some(id) = self.find(pid) else { return };
        let now = self.clock_now();
        let got = self.shared.slot(id).map_or(0, |s| s.got());
        let owner = Owner { worker: id, pid: pid.as_raw() as u32 };
        if let Some(slot) = self.shared.slot(id).filter(|slot| slot.reader() == Some(owner)) {
            slot.set_reader(None);
        }
        self.order(Order::Died { owner, t: now.saturating_sub(self.epoch), code, signal });
        self.adopt_child_of(owner);
        let enough = self.config.limit.is_some_and(|n| self.shared.ledger().seq() >= n);
        let again = self.config.restart == Restart::Always && !enough && !self.shared.control().stopping();
        let Some(member) = self.member_mut(id) else { return };
        member.pid = None;
        member.stopped = false;
        if member.removed {
            self.say(id, pid.as_raw(), What::Removed);
            return;
        }
        let at_birth = signal.is_none() && got == member.got_at_birth && now.saturating_sub(member.born) < BIRTH_NS;
        if !at_birth {
            member.stillborn = 0;
        }
        if !again {
            return;
        }
        if at_birth || self.fork(id).is_err() {
            self.back_off(id);
        }
    }

    /// Takes in the child that keeps the lock of a dead worker: it is shown, can be killed, is reaped, and ends with us.
    fn adopt_child_of(&mut self, taker: Owner) {
        let Some((child, fd)) = self.mischief.as_ref().and_then(|m| m.keeper_of(taker)) else { return };
        let born = self.clock_now();
        self.members.push(Member {
            pid: Some(Pid::from_raw(child)),
            born,
            removed: true,
            orphan: true,
            ..Member::default()
        });
        let (id, pid) = (self.members.len() as u32, taker.pid as i32);
        let task = Task {
            comm: format!("worker-{}", taker.worker),
            cmdline: format!("what worker-{} left to its child", taker.worker),
            kind: self.config.kind,
            ..Task::default()
        };
        self.say(id, pid, What::Seen(Box::new(task)));
        self.say(id, pid, What::Found { mode: LockMode::Exclusive, holds: true });
        let keeper = Keeper { pid: child, fd, comm: "flockmon-child".into() };
        self.say(id, pid, What::Keepers(Box::new([keeper])));
    }

    fn back_off(&mut self, id: u32) {
        let now = self.clock_now();
        if let Some(member) = self.member_mut(id) {
            let wait = (BACKOFF_NS.0 << member.stillborn.min(16)).min(BACKOFF_NS.1);
            member.stillborn += 1;
            member.due = Some(now + wait);
        }
    }

    pub(super) fn stopped(&mut self, pid: Pid, stopped: bool) {
        let Some(id) = self.find(pid) else { return };
        if let Some(member) = self.member_mut(id) {
            member.stopped = stopped;
        }
        self.say(id, pid.as_raw(), if stopped { What::Stopped } else { What::Continued });
    }
}

/// A seed a worker and life: splitmix64 (Steele, Lea, Flood 2014).
fn mix(seed: u64, id: u32, births: u64) -> u64 {
    let mut z = seed.wrapping_add((u64::from(id) + (births << 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ z >> 31
}
