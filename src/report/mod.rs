//! Faces without a screen: one file a format. They read the model, never change it, and touch the stream they write to.
//!
//! - `log.rs`, `json.rs`, `summary.rs`, `perfetto.rs`: what `--output` prints; `hgrm.rs`: histograms for plotters;
//! - `figures.rs`: a run in figures, as JSON has them;
//! - `outlet.rs`: the thread that writes; `progress.rs`: how far a long run is.

pub mod figures;
pub mod hgrm;
mod json;
mod log;
mod outlet;
mod perfetto;
mod progress;
mod summary;

pub use json::{Json, Jsonl};
pub use log::{Log, told};
pub use outlet::{Outlet, Trouble};
pub use perfetto::Perfetto;
pub use progress::Progress;
pub use summary::Summary;

use crate::event::{Begin, Event};
use crate::model::Locks;
use std::io;

/// A face that writes to a stream: told of the begin, of each event, of the end.
pub trait Report: Send {
    /// Whether it needs only the end, when all is in the model: to be told of each event costs more than the rest of the
    /// monitor where turns come by the million.
    fn sums_up(&self) -> bool {
        false
    }

    /// The run begins.
    ///
    /// # Errors
    /// The stream does not take it.
    fn begin(&mut self, _: &Begin) -> io::Result<()> {
        Ok(())
    }

    /// Something happened; the model has it already.
    ///
    /// # Errors
    /// The stream does not take it.
    fn event(&mut self, _: &Event) -> io::Result<()> {
        Ok(())
    }

    /// All that is known by now has been told; what is buffered should be seen.
    ///
    /// # Errors
    /// The stream does not take it.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// The run is over.
    ///
    /// # Errors
    /// The stream does not take it.
    fn end(&mut self, locks: &Locks) -> io::Result<()>;
}
