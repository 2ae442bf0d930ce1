//! The pages that monitor and workers share, mapped before the first fork: the ledger of the lock, the clock, what the
//! monitor tells all (`control.rs`), how the one that reads the pipes is called (`reader.rs`), a slot a worker (`slot.rs`).

mod control;
mod reader;
mod slot;
pub use control::{Active, Control};
pub use reader::Reader;
pub use slot::{Doing, Slot};

use super::clock::Clock;
use super::ledger::{Ledger, Owner};
use nix::errno::Errno;
use std::ptr::NonNull;

/// The most workers there can be.
pub const MAX_WORKERS: u32 = 10_000;

#[repr(C)]
struct Layout {
    ledger: Ledger,
    control: Control,
    clock: Clock,
    reader: Reader,
    slots: [Slot; MAX_WORKERS as usize],
}

/// The shared pages, mapped before the first fork. Unused slots cost no memory.
#[derive(Debug)]
pub struct Shared {
    at: NonNull<Layout>,
}

// SAFETY: behind the pointer are only atomics, made to be used by many at once.
#[allow(unsafe_code)]
unsafe impl Send for Shared {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl Sync for Shared {}

impl Shared {
    /// Maps fresh, zeroed pages that children will share.
    ///
    /// # Errors
    /// What mmap(2) says.
    #[allow(unsafe_code)]
    pub fn new() -> Result<Self, Errno> {
        // SAFETY: a fresh anonymous mapping at an address of the kernel's choice aliases nothing.
        let at = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size_of::<Layout>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if at == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        NonNull::new(at.cast()).map(|at| Self { at }).ok_or(Errno::ENOMEM)
    }

    #[allow(unsafe_code)]
    fn layout(&self) -> &Layout {
        // SAFETY: the mapping is page-aligned, as large as Layout, lives as long as self, and zeroed
        // pages are a valid Layout: it consists of atomic integers.
        unsafe { self.at.as_ref() }
    }

    /// The ledger of the lock.
    pub fn ledger(&self) -> &Ledger {
        &self.layout().ledger
    }

    /// The live settings.
    pub fn control(&self) -> &Control {
        &self.layout().control
    }

    /// Between those that write and the one that reads.
    pub fn reader(&self) -> &Reader {
        &self.layout().reader
    }

    /// The clock of the run.
    pub fn clock(&self) -> &Clock {
        &self.layout().clock
    }

    /// The slot of worker `id` (from 1); none for a number that no worker has.
    pub fn slot(&self, id: u32) -> Option<&Slot> {
        self.layout().slots.get((id as usize).checked_sub(1)?)
    }

    /// The shared holders.
    pub fn readers(&self) -> impl Iterator<Item = Owner> {
        let members = self.control().members() as usize;
        self.layout().slots.iter().take(members).filter_map(Slot::reader)
    }
}

impl Drop for Shared {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: the mapping was made by new() with this size, and no reference outlives self.
        unsafe { libc::munmap(self.at.as_ptr().cast(), size_of::<Layout>()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_worker_has_a_slot() {
        let shared = Shared::new().unwrap();
        assert!(shared.slot(1).is_some() && shared.slot(MAX_WORKERS).is_some());
        assert!(shared.slot(0).is_none() && shared.slot(MAX_WORKERS + 1).is_none());
    }

    #[test]
    fn readers_are_looked_for_among_all_members() {
        let shared = Shared::new().unwrap();
        let last = Owner { worker: 70, pid: 700 };
        shared.slot(70).unwrap().set_reader(Some(last));
        for (members, seen) in [(0, None), (69, None), (70, Some(last)), (MAX_WORKERS, Some(last))] {
            shared.control().set_members(members);
            assert_eq!(shared.readers().next(), seen);
        }
    }
}
