//! A run as text: one JSON object a line, written as it happens and read back exactly.
//!
//! The first line is a `begin`, the last a `summary`; between them a line an event, in the order in which
//! events became known. `assets/schema.json` describes each line. It touches the stream that it is given.
//!
//! - `begin.rs`: the first line; `line.rs`: an event and its line, both ways;
//! - `write.rs` and `read.rs`: whole recordings.

mod begin;
mod line;
mod read;
mod write;

pub use begin::{LockLine, write_begin};
pub use line::{Kind, Line, Since};
pub use read::{Entry, ReadError, Reader};
pub use write::LineWriter;

/// The version of the form; a reader refuses a newer one.
pub const SCHEMA: u32 = 1;
/// The JSON Schema of every line and of the summary object.
pub const SCHEMA_TEXT: &str = include_str!("../../assets/schema.json");
