//! Signals to processes of others: never without having named each of them, what the signal will do and what not.

use super::change::FileId;
use super::probe::keeps;
use super::process::signal::{Expect, Refusal, Target};
use super::process::{Mark, Names, life, owners};
use super::roster::Entry;
use crate::source::Question;
use nix::sys::signal::Signal;

/// What a user wants done to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// To kill.
    Kill,
    /// To stop, or to resume where one is stopped already.
    Stall,
}

/// A wish, and whom it concerns.
#[derive(Clone, Debug)]
pub struct Wish {
    /// What.
    pub intent: Intent,
    /// Rows that hold or wait.
    pub rows: Vec<Entry>,
}

/// A wish with its processes held fast, ready to be carried out.
#[derive(Debug)]
pub struct Asked {
    /// What the user is asked; where nothing can be done, its title says why and there is nobody in it.
    pub question: Question,
    /// Whom to signal, and what must be true of each then.
    pub targets: Vec<(Target, Expect)>,
    /// The signal.
    pub signal: Signal,
}

/// Finds every process that keeps what `wish` is about, and puts the question.
pub fn prepare(wish: &Wish, names: &mut Names) -> Asked {
    let holders: Vec<&Entry> = wish.rows.iter().filter(|r| r.holds.is_some()).collect();
    // The pid; when the process began that was seen, where it was seen to do anything; what it is signalled for.
    let mut pids: Vec<(i32, Option<Mark>, Expect)> = Vec::new();
    let mut lines: Vec<String> = Vec::new();
    let mut shared = Vec::new();
    for row in &wish.rows {
        let file = row.key.file;
        if row.holds.is_some() {
            let keepers = keepers(file, row);
            if keepers.len() > 1 || keepers.first().is_some_and(|pid| *pid != row.task.pid) {
                shared.push((row.task.pid, keepers.clone()));
            }
            // They were found right now, and are looked at once more before the signal.
            pids.extend(keepers.into_iter().map(|pid| (pid, None, Expect::Keeps(file))));
            continue;
        }
        let there = || life(row.task.pid).map(|l| l.mark).filter(|mark| row.waits && row.was_done_by(*mark));
        if let Some(seen) = row.mark.or_else(there) {
            pids.push((row.task.pid, Some(seen), if row.waits { Expect::Waits(file) } else { Expect::Lives }));
        } else if row.task.pid > 0 {
            // That it lives is all that could be asked of it then, which holds for anyone.
            lines.push(Refusal::Unknown { pid: row.task.pid }.to_string());
        }
    }
    pids.retain(|(pid, ..)| *pid > 1 && *pid != std::process::id() as i32);
    pids.sort_by_key(|(pid, ..)| *pid);
    pids.dedup_by_key(|(pid, ..)| *pid);

    let stopped = pids.iter().any(|(pid, ..)| life(*pid).is_some_and(|l| l.state == 'T'));
    let (signal, verb, yes) = match (wish.intent, stopped) {
        (Intent::Kill, _) => (Signal::SIGKILL, "Kill", "kill (SIGKILL)"),
        (Intent::Stall, false) => (Signal::SIGSTOP, "Stop", "stop (SIGSTOP)"),
        (Intent::Stall, true) => (Signal::SIGCONT, "Resume", "resume (SIGCONT)"),
    };
    let mut targets = Vec::new();
    for (pid, seen, expect) in pids {
        let Some(who) = names.of(pid).cloned() else { continue };
        match Target::open(pid, seen.unwrap_or(who.mark).start, names) {
            Ok(target) => targets.push((target, expect)),
            Err(refusal) => {
                lines.push(refusal.to_string());
                continue;
            }
        }
        let container = who.container.as_ref().map(|c| format!(", container {c}")).unwrap_or_default();
        lines.push(format!("pid {pid}  {}  user {}{container}", who.command, who.user));
    }
    for (listed, keepers) in &shared {
        lines.push(together(*listed, keepers));
    }
    lines.extend(effect(signal, !holders.is_empty(), targets.len()).map(str::to_owned));
    let title = match targets.len() {
        0 => "nobody to signal: no living process was found that keeps it".to_owned(),
        1 => format!("{verb} this process?"),
        n => format!("{verb} these {n} processes?"),
    };
    Asked { question: Question { title, lines, yes: yes.to_owned() }, targets, signal }
}

/// Every process that keeps the lock of a row: those with its line among their descriptors; the one that took it where
/// that cannot be read.
fn keepers(file: FileId, row: &Entry) -> Vec<i32> {
    let found = owners::scan(Some(&[file])).unwrap_or_default();
    let mut pids: Vec<i32> = found.owners.iter().filter(|o| keeps(o, row)).map(|o| o.pid).collect();
    pids.sort_unstable();
    pids.dedup();
    let itself = || life(row.task.pid).is_some_and(|l| row.was_done_by(l.mark));
    if pids.is_empty() && found.refused > 0 && row.task.pid > 0 && itself() {
        pids.push(row.task.pid);
    }
    pids
}

/// Why the one that the kernel lists is not the one that matters.
fn together(listed: i32, keepers: &[i32]) -> String {
    let all: Vec<String> = keepers.iter().map(ToString::to_string).collect();
    match keepers.len() {
        0 => format!("pid {listed} took the lock and is gone; no process that can be seen keeps it"),
        1 => format!(
            "pid {listed} took the lock, but pid {} keeps it: signalling {listed} would free nothing",
            all.concat()
        ),
        _ => format!(
            "they share one open file ({}): the lock is free only when all of them are gone or have closed it",
            all.join(", ")
        ),
    }
}

fn effect(signal: Signal, holds: bool, targets: usize) -> impl Iterator<Item = &'static str> {
    let text = match (signal, holds, targets) {
        (_, _, 0) => None,
        (Signal::SIGKILL, true, _) => {
            Some("The kernel frees the lock, the next waiter gets it. Work in progress is lost.")
        }
        (Signal::SIGKILL, false, _) => Some("It loses its place in the queue. Work in progress is lost."),
        (Signal::SIGSTOP, true, _) => Some("It keeps the lock while it is stopped: everyone else goes on waiting."),
        (Signal::SIGSTOP, false, _) => Some("A waiter that is stopped loses its place in the queue."),
        _ => Some("It goes on where it was stopped."),
    };
    text.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::LockKind;
    use crate::watch::change::{Family, LockKey, TaskId};

    /// A row of a process that lives, which did something last at `acted` and was taken for `mark` then.
    fn row(pid: i32, mark: Option<Mark>, acted: u64, waits: bool) -> Entry {
        Entry {
            lock: 0,
            actor: 1,
            key: LockKey { file: FileId::default(), family: Family::Flock },
            task: TaskId { pid, tid: pid },
            kind: LockKind::Flock,
            range: None,
            holds: None,
            waits,
            mark,
            acted,
            over: false,
            used: 0,
        }
    }

    fn asked(rows: Vec<Entry>) -> Asked {
        prepare(&Wish { intent: Intent::Kill, rows }, &mut Names::new())
    }

    #[test]
    fn only_the_process_that_was_seen_is_a_target() {
        let mut sleeper = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = sleeper.id() as i32;
        let mark = life(pid).unwrap().mark;
        let former = Mark { start: mark.start - 1, ..mark };
        // More than two readings of the clocks may be apart.
        let began_later = mark.began().saturating_sub(1_000_000_000);
        let cases = [
            (row(pid, Some(mark), u64::MAX, false), true, "sleep"),
            (row(pid, Some(former), u64::MAX, false), false, "another process by now"),
            (row(pid, Some(former), u64::MAX, true), false, "another process by now"),
            // Whoever it is: it was not looked at when it was there.
            (row(pid, None, u64::MAX, false), false, "may be another process by now"),
            (row(pid, None, u64::MAX, true), true, "sleep"),
            (row(pid, None, began_later, true), false, "may be another process by now"),
        ];
        for (row, is_target, words) in cases {
            let asked = asked(vec![row.clone()]);
            assert_eq!(asked.targets.len(), usize::from(is_target), "{row:?}: {asked:?}");
            assert!(asked.question.lines.join("\n").contains(words), "{row:?}: {asked:?}");
        }
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
    }
}
