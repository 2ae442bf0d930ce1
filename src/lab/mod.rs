//! The lab: a source of events that makes its own contention. It forks workers that contend on a lock
//! file, reads what they tell through pipes, and carries out the user's commands.
//!
//! - `worker.rs` is the child, `worker/sys.rs` its system calls;
//! - `config.rs` is what it is to do;
//! - `command.rs` is the command that workers run while they hold the lock, `errand.rs` what one of them needs for that,
//!   `worker/exec.rs` how it runs; `warden.rs` sees that nothing of it stays behind;
//! - `wire.rs` the record in the pipe, `wire/short.rs` its short form, `clock.rs` the clock;
//! - `shared.rs` has the pages that all share, `ledger.rs` what stands in them of the lock, `shared/` the rest;
//! - `child.rs` makes processes;
//! - `fleet.rs` starts and ends the whole, `fleet/life.rs` forks a worker and sees to its death, `fleet/reap.rs` reaps and
//!   signals, `fleet/command.rs` does what the user asks, all in the main thread;
//! - `collector.rs` is a thread of its own, `collector/reading.rs` what it reads, and in which order, and `decode.rs` makes
//!   [`Event`](crate::event::Event)s of that;
//! - `slice.rs` sees to it that the monitor comes to a processor soon, `heap.rs` that it keeps its memory;
//! - `places.rs` puts turns in order that were told without their places, `places/recent.rs` says how many were won since,
//!   `shared/draft.rs` lets it know of all;
//! - `puppet.rs` is a child of another sort, which makes one lock call at a time, when told to;
//! - `judge.rs` tells a holder that died from a lock that does not exclude;
//! - `scene.rs` has the presets, `mischief` and `worker/mischief` what goes wrong in them on purpose;
//! - `target.rs` finds out, before anything is touched, whether the lock file can be used.

mod child;
pub mod clock;
mod collector;
pub mod command;
pub mod config;
pub mod decode;
pub mod errand;
mod fleet;
mod heap;
pub mod judge;
pub mod ledger;
pub mod mischief;
pub mod places;
pub mod puppet;
pub mod scene;
pub mod shared;
mod slice;
mod source;
pub mod target;
mod warden;
pub mod wire;
pub mod worker;

pub use command::Program;
pub use config::{Acquire, AcquireError, Config, Restart};
pub use fleet::Lab;
pub use source::LabSource;
