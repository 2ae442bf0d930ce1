//! The lab as a source of events.

use super::fleet::Lab;
use crate::event::{Begin, Command, Event};
use crate::source::{Batch, Source};
use anyhow::Result;
use crossbeam_channel::{Receiver, bounded};

/// Batches under way between the collector and the loop; when they are full, the pipes fill, and then workers
/// count what they drop.
const BATCHES: usize = 16;

/// A lab whose collector runs.
#[derive(Debug)]
pub struct LabSource {
    lab: Lab,
    batches: Receiver<Batch>,
    ready: Vec<Event>,
}

impl LabSource {
    /// Starts the collector of a lab whose first fleet has been forked.
    ///
    /// # Errors
    /// No thread or descriptor is to be had.
    pub fn listen(mut lab: Lab) -> Result<Self> {
        let (to_us, batches) = bounded(BATCHES);
        lab.listen(to_us)?;
        lab.reap();
        Ok(Self { lab, batches, ready: Vec::new() })
    }
}

impl Source for LabSource {
    fn begin(&self) -> Begin {
        self.lab.begin()
    }

    fn now(&self) -> u64 {
        self.lab.now()
    }

    fn is_live(&self) -> bool {
        true
    }

    fn incoming(&self) -> Receiver<Batch> {
        self.batches.clone()
    }

    fn admit(&mut self, mut batch: Batch) {
        if self.ready.is_empty() {
            self.ready = batch.events;
        } else {
            self.ready.append(&mut batch.events);
        }
    }

    fn due(&mut self) -> Vec<Event> {
        self.lab.respawn();
        std::mem::take(&mut self.ready)
    }

    fn next_due(&self) -> Option<u64> {
        self.lab.next_due()
    }

    fn reap(&mut self) {
        self.lab.reap();
    }

    fn command(&mut self, command: Command) -> Result<Option<String>> {
        self.lab.command(command)
    }

    fn pause(&mut self, paused: bool) {
        self.lab.pause(paused);
    }

    fn is_paused(&self) -> bool {
        self.lab.is_paused()
    }

    fn is_over(&self) -> bool {
        self.lab.is_over()
    }

    fn finish(&mut self) -> Vec<Event> {
        let mut last = std::mem::take(&mut self.ready);
        let batches = self.batches.clone();
        self.lab.finish(|| last.extend(batches.try_iter().flat_map(|b| b.events)));
        last
    }

    fn farewell(&self) -> Option<String> {
        let path = self.lab.target().left_behind()?;
        Some(format!("made the lock file {} and left it there: others may have opened it meanwhile", path.display()))
    }
}
