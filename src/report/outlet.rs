//! A report in a thread of its own: a stream that stalls stalls nobody else. What it cannot take in time is
//! left out, counted, and said in the stream itself.

use super::Report;
use crate::event::{Begin, Event, What};
use crate::model::Locks;
use anyhow::{Context, Result};
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

/// Events that may wait for the stream; about 25 MB.
const ROOM: usize = 1 << 18;

/// Events after which it is seen that the stream takes something.
const PROGRESS: usize = 256;

enum Told {
    Events(Arc<Vec<Event>>),
    End(Box<Locks>),
}

/// A report by its number, and why it failed.
pub type Trouble = (usize, io::Error);

/// The main thread's end of a report.
#[derive(Debug)]
pub struct Outlet {
    /// What it writes to, in words.
    pub name: String,
    /// Whether the run is pointless without it.
    pub vital: bool,
    /// Whether it is told of events, and not only of the end.
    hears: bool,
    tell: Option<Sender<Told>>,
    waiting: Arc<AtomicUsize>,
    /// Left out and not told yet.
    untold: u64,
    /// Left out in all.
    lost: u64,
    thread: Option<JoinHandle<()>>,
}

impl Outlet {
    /// Starts a thread that gives `report` what it is told; a failure is sent to `troubles`, with `number`, once.
    ///
    /// # Errors
    /// No thread is to be had.
    pub fn start(
        name: String,
        vital: bool,
        mut report: Box<dyn Report>,
        begin: Begin,
        troubles: Sender<Trouble>,
        number: usize,
    ) -> Result<Self> {
        let hears = !report.sums_up();
        let (tell, told) = unbounded();
        let waiting = Arc::new(AtomicUsize::new(0));
        let left = Arc::clone(&waiting);
        let run = move || {
            if let Err(error) = write_all(report.as_mut(), &begin, &told, &left) {
                // The run may be over already, and then nobody is left to tell.
                let _ = troubles.send((number, error));
            }
        };
        let thread = std::thread::Builder::new()
            .name("report".into())
            .spawn(run)
            .with_context(|| format!("cannot start a thread that writes {name}"))?;
        Ok(Self { name, vital, hears, tell: Some(tell), waiting, untold: 0, lost: 0, thread: Some(thread) })
    }

    /// Whether events are to be told.
    pub fn hears(&self) -> bool {
        self.hears
    }

    /// Whether it is too far behind to be told more.
    pub fn is_full(&self) -> bool {
        self.waiting() > ROOM
    }

    /// How many events it has yet to write.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// How many it had to leave out.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Tells it more. What it has no room for is left out, and that is told as soon as there is room.
    pub fn tell(&mut self, events: &Arc<Vec<Event>>) {
        let (Some(last), true) = (events.last(), self.hears) else { return };
        if self.is_full() {
            self.untold += events.len() as u64;
            self.lost += events.len() as u64;
            return;
        }
        self.settle(last.t);
        self.send(Arc::clone(events));
    }

    fn settle(&mut self, t: u64) {
        if self.untold > 0 {
            let what = What::Dropped { count: std::mem::take(&mut self.untold) };
            self.send(Arc::new(vec![Event::of_run(t, what)]));
        }
    }

    fn send(&mut self, events: Arc<Vec<Event>>) {
        let Some(tell) = &self.tell else { return };
        self.waiting.fetch_add(events.len(), Ordering::Relaxed);
        // Where its thread has ended, the reason is on its way.
        let _ = tell.send(Told::Events(events));
    }

    /// Tells it that this is all; [`Outlet::is_done`] says when it has written everything.
    pub fn end(&mut self, locks: &Locks) {
        self.settle(locks.now());
        if let Some(tell) = self.tell.take() {
            let _ = tell.send(Told::End(Box::new(locks.clone())));
        }
    }

    /// Whether it ended by a panic, once [`Outlet::is_done`]; the panic has said why.
    pub fn panicked(&mut self) -> bool {
        self.thread.take().is_some_and(|thread| thread.join().is_err())
    }

    /// Whether it has written everything, or failed.
    pub fn is_done(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

fn write_all(report: &mut dyn Report, begin: &Begin, told: &Receiver<Told>, left: &AtomicUsize) -> io::Result<()> {
    report.begin(begin)?;
    report.flush()?;
    loop {
        // A sender that is gone without a word: the run ended badly, and there is nothing to sum up.
        let Ok(next) = told.recv() else { return report.flush() };
        match next {
            Told::End(locks) => return report.end(&locks),
            Told::Events(events) => {
                crate::panic_if_asked("report");
                for some in events.chunks(PROGRESS) {
                    some.iter().try_for_each(|event| report.event(event))?;
                    left.fetch_sub(some.len(), Ordering::Relaxed);
                }
                if told.is_empty() {
                    report.flush()?;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{LockInfo, LockKind};

    /// Counts the events that it is told of; at the end it fails with their number.
    struct Counts {
        sums_up: bool,
        events: usize,
    }

    impl Report for Counts {
        fn sums_up(&self) -> bool {
            self.sums_up
        }

        fn event(&mut self, _: &Event) -> io::Result<()> {
            self.events += 1;
            Ok(())
        }

        fn end(&mut self, _: &Locks) -> io::Result<()> {
            Err(io::Error::other(self.events.to_string()))
        }
    }

    #[test]
    fn a_report_that_sums_up_is_told_of_the_end_alone() {
        for (sums_up, told) in [(true, "0"), (false, "2")] {
            let begin = Begin::of_lab(LockInfo { name: "x".into(), kind: LockKind::Flock, file: None }, 1);
            let (troubles, trouble) = unbounded();
            let report = Box::new(Counts { sums_up, events: 0 });
            let mut outlet = Outlet::start("a test".into(), true, report, begin.clone(), troubles, 7).unwrap();
            assert_eq!(outlet.hears(), !sums_up);
            let event = Event { t: 1, lock: 0, actor: 1, pid: 1, what: What::Spawned };
            outlet.tell(&Arc::new(vec![event.clone(), event]));
            outlet.end(&Locks::new(begin));
            let (number, error) = trouble.recv().unwrap();
            assert_eq!((number, error.to_string().as_str()), (7, told));
        }
    }
}
