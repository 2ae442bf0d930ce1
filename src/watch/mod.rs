//! Locks of other programs: a source of events that makes no contention of its own and takes no lock.
//!
//! Two ways to see, one language: [`change`] is what both tell.
//!
//! - `procfs.rs` reads `/proc/locks`, `file_id.rs` finds what a path is called there;
//! - `process.rs` tells who a process is, which descriptors keep a lock, and what cannot be seen from here;
//! - `tracepoint/` reads the kernel's own records, `grammar/` makes sense of them, `exact.rs` joins the two.

pub mod change;
pub mod exact;
pub mod grammar;
pub mod tracepoint;
