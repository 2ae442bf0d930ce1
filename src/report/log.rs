//! A line an event: time, worker, what; a summary at the end.

use super::{Report, Summary};
use crate::dist::plain;
use crate::event::{Acquisition, ActorId, Begin, Condition, Event, Keeper, LockId, LockMode, Task, What};
use crate::format::{dur, printable, seconds, seconds_within, shell};
use crate::model::Locks;
use crate::model::runs::End;
use std::collections::HashMap;
use std::io::{self, BufWriter, Write};

/// Writes lines such as `    9.052 s  worker-10  acquired #10, waited 9.052 s, handoff 41.2 µs`.
#[derive(Debug)]
pub struct Log<W: Write> {
    out: BufWriter<W>,
    /// What tasks of other programs are called, and what locks are, where there is more than one.
    tasks: HashMap<(LockId, ActorId), String>,
    locks: Vec<String>,
    /// How far times may be off, in ns.
    precision: u64,
}

impl<W: Write> Log<W> {
    /// A log to `out`.
    pub fn new(out: W) -> Self {
        Self { out: BufWriter::new(out), tasks: HashMap::new(), locks: Vec::new(), precision: 0 }
    }

    fn line(&mut self, t: u64, lock: LockId, actor: ActorId, text: &str) -> io::Result<()> {
        let who = match (actor, self.tasks.get(&(lock, actor))) {
            (0, _) => "-".to_owned(),
            (_, Some(task)) => task.clone(),
            (_, None) => format!("worker-{actor}"),
        };
        let at = match self.locks.get(lock as usize) {
            Some(name) if self.locks.len() > 1 && actor != 0 => format!("  at {name}"),
            _ => String::new(),
        };
        writeln!(self.out, "{:>11}  {who:<10} {text}{at}", seconds(t))
    }

    /// Remembers what locks and tasks are called.
    fn learn(&mut self, event: &Event) {
        match &event.what {
            What::Announced(info) => {
                let at = event.lock as usize;
                if self.locks.len() <= at {
                    self.locks.resize(at + 1, String::new());
                }
                if let Some(name) = self.locks.get_mut(at) {
                    *name = printable(&info.name);
                }
            }
            What::Seen(task) => {
                let name = printable(&format!("{} {}", event.pid, task.comm));
                self.tasks.insert((event.lock, event.actor), name);
            }
            _ => {}
        }
    }
}

impl<W: Write + Send> Report for Log<W> {
    fn begin(&mut self, begin: &Begin) -> io::Result<()> {
        if let Some(watch) = &begin.watch {
            self.precision = watch.precision_ns;
            let what = if begin.lock.name.is_empty() { "locks".to_owned() } else { printable(&begin.lock.name) };
            self.line(0, 0, 0, &format!("watching {what}, {}", watch.how.as_str()))?;
            return watch.blind.iter().try_for_each(|text| self.line(0, 0, 0, &printable(text)));
        }
        // Others are announced; a watch announces each.
        self.locks.push(printable(&begin.lock.name));
        let file = begin.lock.file.as_ref().map(|(dev, ino)| format!(" ({dev} {ino})")).unwrap_or_default();
        let hold = match &begin.setup.command {
            Some(words) => format!("each holds it while it runs {}", shell(words)),
            None => format!("hold {}", plain(begin.hold_ns)),
        };
        let text = format!(
            "{} workers on {} lock {}{file}, {hold}, think {}",
            begin.workers,
            begin.lock.kind,
            printable(&begin.lock.name),
            plain(begin.think_ns)
        );
        self.line(0, 0, 0, &text)
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        let (t, lock, actor) = (event.t, event.lock, event.actor);
        self.learn(event);
        match &event.what {
            What::Turns(_) => event.clone().singly().try_for_each(|turn| self.event(&turn)),
            What::Cycle { acquired, held_ns } => {
                self.line(t, lock, actor, &won(acquired, self.precision))?;
                self.line(t.saturating_add(*held_ns), lock, actor, &released(*held_ns, self.precision))
            }
            // That a process keeps what it took goes without saying.
            What::Keepers(keepers) if keepers.len() == 1 && keepers.iter().all(|k| k.pid == event.pid) => Ok(()),
            _ => self.line(t, lock, actor, &words(event, self.precision)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn end(&mut self, locks: &Locks) -> io::Result<()> {
        writeln!(self.out)?;
        Summary::new(&mut self.out).end(locks)?;
        self.out.flush()
    }
}

/// An event in one line, as the screen says it; `locks` know who it was.
pub fn told(event: &Event, locks: &Locks) -> String {
    let model = locks.get(event.lock);
    let who = match model.and_then(|m| m.actor(event.actor)) {
        _ if event.actor == 0 => String::new(),
        Some(actor) if actor.task.is_some() => printable(&actor.full_name()) + " ",
        _ => format!("worker-{} ", event.actor),
    };
    let at = match model {
        Some(model) if locks.all().len() > 1 && event.actor != 0 => format!("  at {}", printable(&model.info().name)),
        _ => String::new(),
    };
    format!("{}  {who}{}{at}", seconds(event.t), words(event, locks.first().precision()))
}

fn words(event: &Event, precision: u64) -> String {
    let seconds = |ns| seconds_within(ns, precision);
    let pid = event.pid;
    match &event.what {
        What::Cycle { acquired, .. } => won(acquired, precision),
        What::Turns(turns) => format!("had it {} times", turns.len()),
        What::Spawned => format!("started, pid {pid}"),
        What::Announced(info) => {
            let file = info.file.as_ref().map(|(dev, ino)| format!(" ({dev} {ino})")).unwrap_or_default();
            format!("{} lock {}{file}", info.kind, printable(&info.name))
        }
        What::Seen(task) => seen(task, pid),
        What::Found { mode, holds: true } => format!("holds it already{}", shared(*mode)),
        What::Found { mode, holds: false } => format!("waits already{}", shared(*mode)),
        What::Tried { mode, count } => format!("tried {count} times in vain{}", shared(*mode)),
        What::Keepers(keepers) => kept_by(keepers),
        What::Condition(Condition::Alive) => "goes on".into(),
        What::Condition(Condition::Uninterruptible) => "sleeps in the kernel and hears no signal".into(),
        What::Condition(Condition::Zombie) => "has ended and was not reaped".into(),
        What::Condition(Condition::Gone) => "has ended".into(),
        What::Waiting { mode } => format!("waits{}", shared(*mode)),
        What::Acquired(acquisition) => won(acquisition, precision),
        What::Released { held_ns, .. } => released(*held_ns, precision),
        What::Ran { code, signal, ran_ns, .. } => {
            format!("command ended with {} after {}", End::of(*code, *signal), seconds(*ran_ns))
        }
        What::GaveUp { waited_ns } => format!("gave up, waited {}", seconds(*waited_ns)),
        What::Left { waited_ns } => format!("waits no more, waited {}", seconds(*waited_ns)),
        What::Exited { signal: Some(signal), .. } => format!("killed by signal {signal}, pid {pid}"),
        What::Exited { code: None, .. } => format!("ended, pid {pid}"),
        What::Exited { code: Some(code), .. } => format!("ended with status {code}, pid {pid}"),
        What::Failed { action, errno } => {
            format!("cannot {}: {}", action.as_str(), io::Error::from_raw_os_error(*errno))
        }
        What::Stopped => format!("stopped, pid {pid}"),
        What::Continued => format!("continued, pid {pid}"),
        What::Paused => "paused".into(),
        What::Resumed => "resumed".into(),
        What::Violation { other, other_pid, .. } => {
            format!("VIOLATION: won the lock while worker-{other} (pid {other_pid}) held it")
        }
        What::Dropped { count } => format!("{count} events lost"),
        What::PathChanged { was, now: Some(now) } if was == now => format!("the path names inode {was} again"),
        What::PathChanged { was, now: Some(now) } => {
            format!("the path now names another file (inode {was} -> {now}): two locks exist")
        }
        What::PathChanged { was, now: None } => {
            format!("the path names nothing any more (inode {was} was removed)")
        }
        What::Settings { hold_ns, think_ns } => format!("now hold {}, think {}", plain(*hold_ns), plain(*think_ns)),
        What::Removed => "removed".into(),
        What::Reset => "statistics reset".into(),
        What::Warning { text } | What::Finding { text, .. } => format!("! {}", printable(text)),
        What::Ended => "the end".into(),
    }
}

fn seen(task: &Task, pid: i32) -> String {
    let container = task.container.as_ref().map(|c| format!(" in container {c}")).unwrap_or_default();
    let bytes = match task.range {
        None => String::new(),
        Some((from, Some(to))) => format!(", bytes {from} to {to}"),
        Some((from, None)) => format!(", bytes {from} to the end"),
    };
    let line = if task.cmdline.is_empty() { &task.comm } else { &task.cmdline };
    let user = if task.user.is_empty() { "?" } else { &task.user };
    printable(&format!("pid {pid} of {user}{container}: {line} ({}{bytes})", task.kind))
}

fn kept_by(keepers: &[Keeper]) -> String {
    if keepers.is_empty() {
        return "no living process keeps it".into();
    }
    let names: Vec<String> = keepers.iter().map(|k| format!("{} (pid {}, fd {})", k.comm, k.pid, k.fd)).collect();
    printable(&format!("kept by {}", names.join(", ")))
}

fn won(a: &Acquisition, precision: u64) -> String {
    let handoff = a.handoff_ns.map(|ns| format!(", handoff {}", dur(ns))).unwrap_or_default();
    format!("acquired #{}{}, waited {}{handoff}", a.seq, shared(a.mode), lasted(a.waited_ns, precision))
}

fn released(held_ns: u64, precision: u64) -> String {
    format!("released, held {}", lasted(held_ns, precision))
}

/// Seconds to the millisecond, as people's own logs have them; of less than one, what there is.
fn lasted(ns: u64, precision: u64) -> String {
    if ns < 1_000_000 && precision == 0 { dur(ns) } else { seconds_within(ns, precision) }
}

fn shared(mode: LockMode) -> &'static str {
    if mode == LockMode::Shared { " (shared)" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{LockInfo, LockKind};

    #[test]
    fn where_there_are_two_locks_each_has_its_name() {
        let info = |name: &str| LockInfo { name: name.into(), kind: LockKind::Flock, file: None };
        let begin = Begin::of_lab(info("/tmp/first"), 1);
        let mut out = Vec::new();
        let mut log = Log::new(&mut out);
        log.begin(&begin).unwrap();
        let mut tell = |lock, actor, what| log.event(&Event { t: 0, lock, actor, pid: 7, what }).unwrap();
        tell(1, 0, What::Announced(Box::new(info("/tmp/second"))));
        tell(0, 1, What::Spawned);
        tell(1, 1, What::Waiting { mode: LockMode::Exclusive });
        log.flush().unwrap();
        drop(log);
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("started, pid 7  at /tmp/first\n"), "{text}");
        assert!(text.contains("waits  at /tmp/second\n"), "{text}");
    }

    #[test]
    fn a_task_of_another_program_is_told_by_its_name() {
        use crate::event::{LockInfo, LockKind};
        let info = |n: u64| LockInfo { name: format!("/{n}"), kind: LockKind::Flock, file: Some(("8:1".into(), n)) };
        let mut locks = Locks::new(Begin::of_watch(info(0), true));
        let event = |lock, actor, what| Event { t: 1_000_000_000, lock, actor, pid: 7, what };
        let waits = event(1, 1, What::Waiting { mode: LockMode::Exclusive });
        let task = Task { comm: "cron".into(), ..Task::default() };
        for event in [
            event(0, 0, What::Announced(Box::new(info(0)))),
            event(1, 0, What::Announced(Box::new(info(1)))),
            event(1, 1, What::Seen(Box::new(task))),
            waits.clone(),
        ] {
            locks.apply(&event);
        }
        assert_eq!(told(&waits, &locks), "1.000 s  cron (pid 7) waits  at /1");
        assert_eq!(told(&event(0, 3, What::Spawned), &locks), "1.000 s  worker-3 started, pid 7  at /0");
        assert_eq!(told(&event(0, 0, What::Paused), &locks), "1.000 s  paused");
    }

    #[test]
    fn a_wait_reads_as_in_the_logs_of_old() {
        let mut out = Vec::new();
        let mut log = Log::new(&mut out);
        let acquired = Acquisition {
            mode: LockMode::Exclusive,
            seq: 17,
            waited_ns: 2_005_000_000,
            contended: true,
            handoff_ns: Some(41_200),
            overtaken: 1,
        };
        log.event(&Event { t: 3_000_000_000, lock: 0, actor: 2, pid: 7, what: What::Acquired(acquired) }).unwrap();
        log.flush().unwrap();
        drop(log);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "    3.000 s  worker-2   acquired #17, waited 2.005 s, handoff 41.2 \u{b5}s\n");
        assert_eq!(
            [released(999_999, 0), released(20_300, 0)],
            ["released, held 1.00 ms", "released, held 20.3 \u{b5}s"]
        );
        assert_eq!(released(20_300, 100_000_000), "released, held 0.0 s", "no more is known");
    }
}
