//! Locks of other programs: a source of events that makes no contention of its own and takes no lock.
//!
//! Two ways to see, one language: [`change`] is what both tell.
//!
//! - [`procfs`] reads `/proc/locks`, [`file_id`] finds what a path is called there;
//! - [`sampled`] makes changes of one reading after the other;
//! - [`process`] tells who a process is, which descriptors keep a lock, and what cannot be seen from here;
//! - [`tracepoint`] reads the kernel's own records, [`grammar`] makes sense of them, [`exact`] joins the two.
//! - [`roster`] numbers locks and tasks and makes events of changes;

pub mod change;
pub mod exact;
pub mod file_id;
pub mod grammar;
pub mod process;
pub mod procfs;
pub mod roster;
pub mod sampled;
pub mod tracepoint;
