//! The lab: a source of events that makes its own contention. It forks workers that contend on a lock
//! file, reads what they tell through pipes, and carries out the user's commands.
//!
//! - `worker.rs` is the child, `worker/sys.rs` its system calls;
//! - `wire.rs` the record in the pipe, `ledger.rs` the pages that all share, `clock.rs` the clock;
//! - `fleet.rs` forks, reaps and signals, in the main thread;
//! - `collector.rs` reads the pipes in a thread of its own, `decode.rs` makes [`Event`](crate::event::Event)s of what it read;
//! - `slice.rs` sees to it that the monitor comes to a processor soon;
//! - `judge.rs` tells a holder that died from a lock that does not exclude;
//! - `target.rs` finds out, before anything is touched, whether the lock file can be used.

pub mod clock;
mod collector;
pub mod decode;
mod fleet;
pub mod judge;
pub mod ledger;
mod slice;
mod source;
pub mod target;
pub mod wire;
pub mod worker;

pub use fleet::{Config, Lab};
pub use source::LabSource;
