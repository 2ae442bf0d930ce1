//! The exact way of seeing, on real processes that we did not write: Python's `fcntl`, `flock(1)`. What was seen is held
//! against the processes' own accounts. Needs the right to read the kernel's events; says loudly where it has not.
#![allow(clippy::unwrap_used)]

mod accounts;
mod attach;
mod privilege;
mod product;
mod scenes;
#[path = "../support/mod.rs"]
mod support;
mod tracer;
mod watcher;
