//! Carries out what the user asks of the fleet: pause, kill, stop, more workers or fewer, longer holds.

use super::{Lab, Member, raise_limits};
use crate::event::{Command, Event, LockId, What};
use crate::lab::collector::Order;
use crate::lab::config::Acquire;
use crate::lab::ledger::Owner;
use crate::lab::shared::{MAX_WORKERS, Slot};
use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How often the slots are looked at for somebody who holds the lock: at full speed it is free between any two.
const LOOKS: u32 = 100;

impl Lab {
    /// Carries out a command; tells in words what was done where the screen does not show it by itself.
    ///
    /// # Errors
    /// In words, why it could not be done; the run goes on.
    pub fn command(&mut self, command: Command) -> Result<Option<String>> {
        match command {
            Command::TogglePause => self.pause(!self.paused),
            Command::KillHolder(lock) => {
                let Some(holder) = self.holder_of(lock) else {
                    return Ok(Some("no worker holds the lock just now".into()));
                };
                return self.kill(holder.worker).map(Some);
            }
            Command::StallHolder(lock) => return self.stall(lock).map(Some),
            Command::Kill(_, id) => return self.kill(id).map(Some),
            Command::AddWorker => return self.add().map(Some),
            Command::RemoveWorker => return self.remove().map(Some),
            Command::StepHold(_) if self.program.is_some() => {
                return Ok(Some("the lock is held as long as the command runs".into()));
            }
            Command::StepHold(longer) => {
                self.config.hold = self.config.hold.stepped(longer);
                self.shared.control().set_hold(self.config.hold);
                self.say_settings();
                return Ok(Some(format!("hold {}", self.config.hold)));
            }
            Command::StepThink(longer) => {
                self.config.think = self.config.think.stepped(longer);
                self.shared.control().set_think(self.config.think);
                self.say_settings();
                return Ok(Some(format!("think {}", self.config.think)));
            }
            Command::Reset => self.order(Order::Say(Event::of_run(self.now(), What::Reset))),
            Command::Answer(_) => {}
            Command::Step | Command::Jump(_) | Command::NextLandmark | Command::Pace(_) => {
                return Ok(Some("a lab cannot do this; it is for recordings (flockmon replay)".into()));
            }
        }
        Ok(None)
    }

    /// Pauses or goes on. Nobody is signalled: holders stay in their critical section, waiters in the kernel's queue.
    pub fn pause(&mut self, paused: bool) {
        if paused == self.paused {
            return;
        }
        self.paused = paused;
        let now = self.shared.control().set_paused(paused, || self.clock_now());
        let what = if paused { What::Paused } else { What::Resumed };
        self.order(Order::Say(Event::of_run(now.saturating_sub(self.epoch), what)));
        if !paused && matches!(self.config.acquire, Acquire::Timeout(_)) {
            for pid in self.members.iter().filter_map(|m| m.pid) {
                let _ = kill(pid, Signal::SIGALRM);
            }
        }
    }

    /// The process that holds the lock now, by the ledger; among readers the first. Who has nothing to do while it holds it
    /// is not entered there: at full speed somebody is seen to hold it soon.
    fn holder(&self) -> Option<Owner> {
        let reader = || self.shared.readers().find(|o| self.lives(o));
        let orphan = || {
            let keeps = |(id, m): (u32, &Member)| Some(Owner { worker: id, pid: m.pid?.as_raw() as u32 });
            (1..).zip(&self.members).filter(|(_, m)| m.orphan).find_map(keeps)
        };
        let seen = || (0..LOOKS).find_map(|_| self.seen_holding());
        self.shared.ledger().owner().filter(|o| self.lives(o)).or_else(reader).or_else(orphan).or_else(seen)
    }

    /// The first process that says in its slot that it holds the lock.
    fn seen_holding(&self) -> Option<Owner> {
        let says = |id| self.shared.slot(id).and_then(Slot::turn).is_some_and(|turn| turn.won.is_some());
        let holds = |(id, m): (u32, &Member)| Some(Owner { worker: id, pid: m.pid?.as_raw() as u32 });
        (1..).zip(&self.members).filter(|(id, _)| says(*id)).find_map(holds)
    }

    /// Whether worker `id` holds the lock, maybe with others.
    fn holds(&self, id: u32) -> bool {
        let reads = self.shared.slot(id).and_then(|slot| slot.reader()).is_some_and(|o| self.lives(&o));
        reads || self.holder().is_some_and(|holder| holder.worker == id)
    }

    fn holder_of(&self, lock: LockId) -> Option<Owner> {
        match lock {
            0 => self.holder(),
            _ => self.mischief.as_ref()?.second_holder().filter(|o| self.lives(o)),
        }
    }

    /// Whether this process is that of its worker still: what a dead one wrote into the shared pages may stand there.
    fn lives(&self, owner: &Owner) -> bool {
        self.member(owner.worker).is_some_and(|m| m.pid == Some(Pid::from_raw(owner.pid as i32)))
    }

    fn kill(&mut self, id: u32) -> Result<String> {
        let Some(pid) = self.member(id).and_then(|m| m.pid) else {
            return Ok(format!("worker-{id} has no process to kill"));
        };
        // The pid is that of a child not yet reaped, so it cannot have been given to anyone else.
        self.signal(pid, Signal::SIGKILL).with_context(|| format!("cannot kill worker-{id} (pid {pid})"))?;
        let too = if self.program.is_some() { " and its command" } else { "" };
        Ok(format!("killed worker-{id} (pid {pid}){too}"))
    }

    fn stall(&mut self, lock: LockId) -> Result<String> {
        let stopped: Vec<(u32, Pid)> =
            (1..).zip(&self.members).filter(|(_, m)| m.stopped).filter_map(|(id, m)| Some((id, m.pid?))).collect();
        if !stopped.is_empty() {
            for (id, pid) in &stopped {
                self.signal(*pid, Signal::SIGCONT).with_context(|| format!("cannot resume worker-{id} (pid {pid})"))?;
            }
            return Ok(format!(
                "resumed {}",
                stopped.iter().map(|(id, _)| format!("worker-{id}")).collect::<Vec<_>>().join(", ")
            ));
        }
        let Some(holder) = self.holder_of(lock) else { return Ok("no worker holds the lock just now".into()) };
        let pid = Pid::from_raw(holder.pid as i32);
        self.signal(pid, Signal::SIGSTOP)
            .with_context(|| format!("cannot stop worker-{} (pid {pid})", holder.worker))?;
        Ok(format!("stopped worker-{} (pid {pid}): it keeps what it holds; s resumes it", holder.worker))
    }

    fn add(&mut self) -> Result<String> {
        let vacant = self.members.iter().position(|m| m.removed && m.pid.is_none() && !m.orphan);
        let id = match vacant {
            Some(index) => index as u32 + 1,
            None if self.members.len() as u32 >= MAX_WORKERS => bail!("{MAX_WORKERS} workers are the most"),
            None => {
                self.members.push(Member::default());
                self.members.len() as u32
            }
        };
        if let Some(member) = self.member_mut(id) {
            member.removed = false;
            member.stillborn = 0;
        }
        if let Err(error) = raise_limits(self.members.len() as u32).and_then(|()| self.fork(id)) {
            if let Some(member) = self.member_mut(id) {
                member.removed = true;
            }
            return Err(error.context(format!("cannot add worker-{id}")));
        }
        Ok(format!("added worker-{id}"))
    }

    fn remove(&mut self) -> Result<String> {
        let staying = (1..).zip(&self.members).filter(|(_, m)| !m.removed).map(|(id, _)| id);
        let (count, last) = staying.fold((0, 0), |(n, _), id| (n + 1, id));
        if count <= 1 {
            return Ok("the last worker stays; q quits".into());
        }
        if let Some(slot) = self.shared.slot(last) {
            slot.set_retired(true);
        }
        let mut pid = None;
        if let Some(member) = self.member_mut(last) {
            member.removed = true;
            member.due = None;
            pid = member.pid;
        }
        match pid {
            // It may be deep in the kernel's queue: leaving the queue at once is what removing means.
            Some(pid) if !self.holds(last) => {
                // One that runs commands leaves by itself when the signal has ended its wait.
                self.shared.control().announce();
                kill(pid, Signal::SIGTERM).with_context(|| format!("cannot end worker-{last} (pid {pid})"))?;
            }
            Some(_) => {
                self.shared.control().announce();
                if self.program.is_some() {
                    return Ok(format!("worker-{last} leaves when its command has ended"));
                }
            }
            None => self.say(last, 0, What::Removed),
        }
        Ok(format!("removed worker-{last}"))
    }
}
