//! The screen: keys in, frames out. It reads the model and never changes it; what a user asks for
//! leaves as a [`Request`]. No I/O but on the terminal, no clock.
//!
//! - `keymap.rs`: keys as data; footer, help, README come from it;
//! - `ui.rs`: what the screen itself remembers (selection, sorting, what is open); `ui/keys.rs`, `ui/mouse.rs`: what is done to it;
//! - `column.rs`: the columns of the table and how they sort;
//! - `picker.rs`: the same for the list of locks;
//! - `view/`: one file a panel;
//! - `ink.rs`: text and borders, cell by cell; `surface.rs`: from one frame to the next;
//! - `theme.rs`: colours and glyphs; `terminal.rs`: taking the terminal and giving it back; `input.rs`: its events.

mod column;
mod ink;
pub mod input;
pub mod keymap;
pub mod picker;
pub mod surface;
pub mod terminal;
pub mod theme;
mod ui;
pub mod view;

pub use column::Column;
pub use ui::{Figure, Look, Overlay, Panel, Request, Ui};
