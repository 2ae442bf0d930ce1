//! How a run ends: the source first, then the terminal is given back, then every report is closed, and the exit status
//! says how it went.

use super::{Session, complain};
use crate::event::{Event, What};
use crate::report::{Report, Summary, hgrm};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// A stream beside standard output that takes nothing for so long in the end is given up.
const STALLED: Duration = Duration::from_secs(5);

impl Session {
    /// Ends the source, takes in the last events, gives the terminal back.
    pub(super) fn close(&mut self) {
        let now = self.source.now();
        while let Some(last) = self.source.finish() {
            self.take(last);
        }
        // What was told last may have happened after the end was decided upon.
        let now = now.max(self.locks.now());
        self.locks.advance(now);
        if self.tells_news() {
            let news = self.news.since(&self.locks);
            self.pass_on(news);
        }
        if self.source.is_live() {
            self.take(vec![Event::of_run(now, What::Ended)]);
        }
        self.progress = None;
        if let Some(on) = &mut self.on_screen {
            on.screen.leave();
        }
    }

    /// Lets every report end: those beside first, so that their troubles are in the main one.
    pub(super) fn tell_end(&mut self) {
        if let Some(Err(error)) = self.hgrm.as_deref().map(|folder| hgrm::write(folder, &self.locks)) {
            self.failed = true;
            complain(&format!("{error:#}"));
        }
        for vital in [false, true] {
            for number in 0..self.outlets.len() {
                if self.outlets.get(number).is_some_and(|o| o.vital == vital) {
                    self.end_outlet(number);
                }
            }
            while let Ok((number, error)) = self.troubles.1.try_recv() {
                self.trouble(number, &error);
            }
        }
        if self.on_screen.is_some() {
            self.print_summary();
        }
        if let Some(text) = self.failed_run() {
            self.failed = true;
            complain(&text);
        }
        if let Some(text) = self.source.farewell() {
            complain(&text);
        }
    }

    /// Waits for a report to be written, as long as nobody is in a hurry: whoever reads standard output may take his time.
    /// One beside is waited for as long as its stream takes anything.
    fn end_outlet(&mut self, number: usize) {
        let locks = &self.locks;
        let Some(outlet) = self.outlets.get_mut(number) else { return };
        outlet.end(locks);
        let (mut waiting, mut moved) = (outlet.waiting(), Instant::now());
        let hurry = |s: i32| matches!(s, SIGINT | SIGTERM | SIGQUIT | SIGHUP);
        while !outlet.is_done() {
            if outlet.waiting() != waiting {
                (waiting, moved) = (outlet.waiting(), Instant::now());
            }
            let stalled = !outlet.vital && moved.elapsed() > STALLED;
            if stalled || self.signals.try_iter().any(hurry) {
                self.failed = true;
                let why = if stalled { ": nobody reads it" } else { "" };
                complain(&format!("gave up writing to {}{why}; its end is missing", outlet.name));
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        if outlet.panicked() {
            self.failed = true;
            complain(&format!("a defect of flockmon ended the writing to {}: please report it", outlet.name));
        }
        if outlet.lost() > 0 && !outlet.vital {
            complain(&format!("{} lacks {} events that came too fast; it says so", outlet.name, outlet.lost()));
        }
    }

    fn print_summary(&mut self) {
        match Summary::new(io::stdout()).end(&self.locks) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                self.failed = true;
                complain(&format!("cannot write to standard output: {error}"));
            }
            _ => {}
        }
    }

    /// The run of the command that failed, where one may not.
    pub(super) fn failed_run(&self) -> Option<String> {
        let model = self.locks.first();
        if !self.stop_on_failure || model.runs().is_none_or(|runs| runs.failed == 0) {
            return None;
        }
        let failed = model.actors().iter().filter_map(|a| {
            let run = a.runs.as_ref()?.latest.iter().find(|run| run.end.is_failure())?;
            Some((
                run.t,
                format!("stopped: the command of {} ended with {} (acquisition {})", a.name(), run.end, run.seq),
            ))
        });
        failed.min().map(|(_, text)| text)
    }

    pub(super) fn status(&self) -> ExitCode {
        let idle = self.locks.acquisitions_ever() == 0 && self.locks.all().iter().any(|m| m.failures() > 0);
        match (self.locks.was_violated(), self.failed || idle) {
            (true, _) => ExitCode::from(3),
            (false, true) => ExitCode::from(1),
            (false, false) => ExitCode::SUCCESS,
        }
    }
}
