//! `flockmon` makes contention on a file lock visible: who holds it, for how long, who waits,
//! how long, and whether it is fair.
//!
//! Data flows one way:
//!
//! ```text
//!  sources                      vocabulary     fold           faces
//!  lab    (forked workers) ─┐
//!  watch  (other programs) ─┼──▶  Event  ─────▶  Locks  ─────▶  tui     (the screen)
//!  replay (a recording)    ─┘       │        (a Model each) └─▶  report  (log, jsonl, json, summary, perfetto)
//!                                   └─▶ record (a line of JSON each)
//! ```
//!
//! | room | what is in it | what it may touch |
//! |---|---|---|
//! | [`cli`] | options and their validation | nothing |
//! | [`config`] | command line over environment over file over defaults | the environment, configuration and theme files |
//! | [`document`] | TOML whose faults are told by line | nothing |
//! | [`manual`] | manual page and completions, from the tables of options and keys | nothing |
//! | [`dist`] | durations as distributions: `1s`, `500ms..2s`, `exp:1s` | nothing |
//! | [`event`] | the vocabulary: what a source can say, and from when on a finding is said | nothing |
//! | [`clock`] | now, in ns | the clock |
//! | [`failure`] | why a run did not end as it should | nothing |
//! | [`source`] | what the loop asks of a source | nothing |
//! | [`lock`] | taking and releasing flock, POSIX and OFD locks | the lock file |
//! | [`lab`] | a source: workers that contend or run a command, their pipes, the shared page | processes, the lock file, logs, the clock |
//! | [`watch`] | a source: locks of other programs, by the kernel's tracepoints or `/proc/locks` | `/proc`, tracefs, perf and BPF, signals to those confirmed |
//! | [`record`] | events as lines of JSON, both ways | a stream |
//! | [`replay`] | a source: a recording that plays, forth and back | a file or standard input, the clock |
//! | [`model`] | the fold: events in, facts out, findings in words | nothing, not even a clock |
//! | [`tui`] | the screen: keys in, frames out | the terminal |
//! | [`report`] | one file a format, each written by a thread of its own | an output stream |
//! | [`compare`] | two summaries side by side | two files |
//! | [`check`] | is the lock of this file system any good: a verdict a promise | processes, a private file, the clock |
//! | [`format`](mod@format) | numbers as people read them | nothing |
//! | [`run`] | the loop that joins a source, the model and the faces | all of the above |
//!
//! To add a column or a panel, see `tui/view`; a figure, `model`; a finding, `model/finding` and its limits in
//! `event/thresholds.rs`; an output format, `report`; a key, `tui/keymap.rs`; an option, `cli`; an option that can
//! be a preference, also `config`; a role of a theme, `tui/theme.rs`.

pub mod check;
pub mod cli;
pub mod clock;
pub mod compare;
pub mod config;
pub mod dist;
pub mod document;
pub mod event;
pub mod failure;
pub mod format;
pub mod lab;
pub mod lock;
pub mod manual;
pub mod model;
pub mod record;
pub mod replay;
pub mod report;
pub mod run;
pub mod source;
pub mod tui;
pub mod watch;

/// Panics in the thread that the environment names: how tests see that a panic anywhere leaves the terminal
/// whole. Exists in debug builds only.
pub(crate) fn panic_if_asked(_thread: &str) {
    #[cfg(debug_assertions)]
    if std::env::var_os("FLOCKMON_TEST_PANIC").is_some_and(|t| t == _thread) {
        panic!("a panic was asked for in the {_thread} thread");
    }
}
