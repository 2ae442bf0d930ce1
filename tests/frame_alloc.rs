//! A frame allocates nothing for rows that it does not draw: many more workers cost hardly an allocation more.
#![allow(missing_docs, unsafe_code, clippy::unwrap_used)]

#[path = "support/scene.rs"]
mod scene;

use flockmon::cli::ThemeName;
use flockmon::event::{LockMode, What};
use flockmon::tui::{Column, view};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

struct Counting;
static CALLS: AtomicU64 = AtomicU64::new(0);

// SAFETY: everything is handed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of a frame of so many workers, sorted so.
fn calls(workers: u32, sort: Column) -> u64 {
    let mut model = scene::empty(workers);
    for actor in 1..=workers {
        scene::tell(&mut model, u64::from(actor), actor, What::Waiting { mode: LockMode::Exclusive });
    }
    let mut ui = scene::ui(false, ThemeName::Auto);
    ui.sort = sort;
    let mut terminal = Terminal::new(TestBackend::new(200, 60)).unwrap();
    let mut before = 0;
    for _ in 0..2 {
        before = CALLS.load(Ordering::Relaxed);
        terminal.draw(|frame| view::draw(frame, &model, &mut ui)).unwrap();
    }
    CALLS.load(Ordering::Relaxed) - before
}

#[test]
fn rows_not_drawn_allocate_nothing() {
    for sort in [Column::Worker, Column::P99] {
        let (few, many) = (calls(1_000, sort), calls(9_000, sort));
        // A list of all rows in their order grows a few times more; a hundredth of an allocation a row would be seen.
        assert!(many < few + 80, "{few} allocations with 1,000 workers, {many} with 9,000");
    }
}
