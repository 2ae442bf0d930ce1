//! The lab as a source of events.

use super::fleet::Lab;
use crate::event::{ActorId, Begin, Command, Event};
use crate::source::{Batch, Source};
use anyhow::Result;
use crossbeam_channel::{Receiver, bounded};

/// Batches under way between the collector and the loop, each up to some hundred KB; when they are full, the pipes fill, and
/// then workers count what they drop.
const BATCHES: usize = 8;
/// How much of a command's output is shown at most, in bytes.
const OUTPUT: u64 = 8 * 1024;

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

    fn admit(&mut self, batch: Batch) {
        batch.join(&mut self.ready);
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

    fn finish(&mut self) -> Option<Vec<Event>> {
        let over = self.lab.end();
        let mut last = std::mem::take(&mut self.ready);
        self.batches.try_iter().take(BATCHES).for_each(|batch| batch.join(&mut last));
        (!over || !last.is_empty()).then_some(last)
    }

    fn output(&self, actor: ActorId) -> Option<Vec<u8>> {
        Some(self.lab.output(actor, OUTPUT)?.unwrap_or_else(|e| format!("the log cannot be read: {e}").into_bytes()))
    }

    fn farewell(&self) -> Option<String> {
        let path = self.lab.target().left_behind()?;
        Some(format!("made the lock file {} and left it there: others may have opened it meanwhile", path.display()))
    }
}
