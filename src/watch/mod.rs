//! Locks of other programs: a source of events that makes no contention of its own and takes no lock.
//!
//! It touches `/proc`, tracefs, perf and BPF, and signals only whom a user has confirmed.
//!
//! Two ways to see, one language: [`change`] is what both tell.
//!
//! - [`procfs`] reads `/proc/locks`, [`file_id`] finds what a path is called there;
//! - [`sampled`] makes changes of one reading after the other;
//! - [`process`] tells who a process is, which descriptors keep a lock, and what cannot be seen from here;
//! - [`tracepoint`] reads the kernel's own records, [`grammar`] makes sense of them, [`exact`] joins the two.
//! - [`eyes`] are the two behind one face;
//! - [`roster`] numbers locks and tasks and makes events of changes;
//! - `watcher.rs` is the thread that sees, `probe.rs` the one that asks `/proc` who they are, [`action`] what is done to
//!   them after a question, `source.rs` the main thread's end of it all.

pub mod action;
pub mod change;
pub mod exact;
pub mod eyes;
pub mod file_id;
pub mod grammar;
mod probe;
pub mod process;
pub mod procfs;
pub mod roster;
pub mod sampled;
mod source;
pub mod tracepoint;
mod watcher;

pub use source::{Plan, WatchSource};
