//! Reaps workers, and signals them, together with all that their commands have started.

use super::Lab;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;

impl Lab {
    /// Reaps the dead and notices the stopped; call it on `SIGCHLD`.
    pub fn reap(&mut self) {
        loop {
            match self.next_change() {
                Ok(WaitStatus::Exited(pid, code)) => self.died(pid, Some(code), None),
                Ok(WaitStatus::Signaled(pid, signal, _)) => self.died(pid, None, Some(signal as i32)),
                Ok(WaitStatus::Stopped(pid, _)) => self.stopped(pid, true),
                Ok(WaitStatus::Continued(pid)) => self.stopped(pid, false),
                Err(Errno::EINTR) => {}
                _ => return,
            }
        }
    }

    /// What became of a child, if anything did.
    fn next_change(&self) -> nix::Result<WaitStatus> {
        let stops = WaitPidFlag::WUNTRACED | WaitPidFlag::WCONTINUED;
        if self.program.is_none() {
            return waitpid(None, Some(WaitPidFlag::WNOHANG | stops));
        }
        loop {
            let any = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT | stops;
            let seen = waitid(Id::All, any)?;
            let Some(pid) = seen.pid() else { return Ok(WaitStatus::StillAlive) };
            let how = match seen {
                WaitStatus::Exited(..) | WaitStatus::Signaled(..) => {
                    self.clear_away(pid);
                    WaitPidFlag::WEXITED
                }
                _ => stops,
            };
            // One that went on before its stop was asked for has nothing to tell any more.
            match waitid(Id::Pid(pid), how | WaitPidFlag::WNOHANG)? {
                WaitStatus::StillAlive => {}
                change => return Ok(change),
            }
        }
    }

    /// Kills what the command of a dead worker has left. Before it is reaped: so long its number is nobody else's.
    fn clear_away(&self, pid: Pid) {
        if self.program.is_some() {
            // Mostly there is nobody.
            let _ = killpg(pid, Signal::SIGKILL);
        }
        if let Some(slot) = self.find(pid).and_then(|id| self.shared.slot(id)) {
            slot.set_leader(0);
        }
    }

    /// Reaps a worker; at once where it is dead, else after its end if `patient`. Whether it is gone.
    fn bury(&self, pid: Pid, patient: bool) -> bool {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        let flags = if patient { flags } else { flags | WaitPidFlag::WNOHANG };
        loop {
            match waitid(Id::Pid(pid), flags) {
                Err(Errno::EINTR) => {}
                Err(_) => return true,
                Ok(WaitStatus::StillAlive) => return false,
                Ok(_) => break,
            }
        }
        self.clear_away(pid);
        while waitpid(pid, None) == Err(Errno::EINTR) {}
        true
    }

    /// Signals a worker and all that its command has started.
    pub(super) fn signal(&self, pid: Pid, signal: Signal) -> nix::Result<()> {
        match &self.program {
            // Just born, it may not lead a group yet.
            Some(_) => killpg(pid, signal).or_else(|_| kill(pid, signal)),
            None => kill(pid, signal),
        }
    }

    /// Reaps without telling: an end that the run itself brings is no event. Whether any worker is left.
    pub(super) fn reap_quietly(&mut self) -> bool {
        let living: Vec<Pid> = self.members.iter().filter_map(|m| m.pid).collect();
        let gone: Vec<Pid> = living.into_iter().filter(|pid| self.bury(*pid, false)).collect();
        for member in self.members.iter_mut().filter(|m| m.pid.is_some_and(|pid| gone.contains(&pid))) {
            member.pid = None;
        }
        self.members.iter().any(|m| m.pid.is_some())
    }

    /// Kills and reaps whoever is left.
    pub(super) fn kill_all(&mut self) {
        let living: Vec<Pid> = self.members.iter().filter_map(|m| m.pid).collect();
        for pid in &living {
            let _ = self.signal(*pid, Signal::SIGKILL);
        }
        for pid in living {
            self.bury(pid, true);
        }
        for member in &mut self.members {
            member.pid = None;
        }
    }
}
