//! The pages that monitor and workers share, mapped before the first fork: the ledger of the lock, the clock, what the
//! monitor tells all (`control.rs`), how the one that reads the pipes is called (`reader.rs`), a slot a worker (`slot.rs`) and what it
//! has not written yet (`draft.rs`).

mod control;
mod draft;
mod reader;
mod slot;
pub use control::{Active, Control};
pub use draft::{Draft, Progress};
pub use reader::Reader;
pub use slot::{Doing, Slot, Turn};

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
    drafts: [Draft; MAX_WORKERS as usize],
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

    /// The draft of worker `id` (from 1); none for a number that no worker has.
    pub fn draft(&self, id: u32) -> Option<&Draft> {
        self.layout().drafts.get((id as usize).checked_sub(1)?)
    }

    /// Gives back the memory that this process takes up to see the drafts; each is there again as soon as it is looked at.
    ///
    /// # Errors
    /// What madvise(2) says.
    #[allow(unsafe_code)]
    pub fn let_go_of_drafts(&self) -> Result<(), Errno> {
        let drafts = &self.layout().drafts;
        let at = std::ptr::from_ref(drafts).cast_mut().cast();
        // SAFETY: a range of our mapping, whole pages, as a draft is one. What stands in shared ones stays as it is
        // (madvise(2), MADV_DONTNEED).
        Errno::result(unsafe { libc::madvise(at, size_of_val(drafts), libc::MADV_DONTNEED) }).map(drop)
    }

    /// How often all workers got the lock. Exact for the exclusive holder, who keeps others from counting.
    pub fn acquisitions(&self) -> u64 {
        self.members().map(Slot::got).sum()
    }

    /// The slots that are in use, or were.
    pub fn members(&self) -> impl Iterator<Item = &Slot> {
        let members = self.control().members() as usize;
        self.layout().slots.iter().take(members)
    }

    /// The shared holders.
    pub fn readers(&self) -> impl Iterator<Item = Owner> {
        self.members().filter_map(Slot::reader)
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
    fn a_draft_that_was_let_go_of_is_as_it_was() {
        let shared = Shared::new().unwrap();
        shared.draft(MAX_WORKERS).unwrap().put(3, [7; 8]);
        shared.let_go_of_drafts().unwrap();
        let mut bytes = Vec::new();
        shared.draft(MAX_WORKERS).unwrap().copy(3, 4, &mut bytes);
        assert_eq!(bytes, [7; 8]);
        shared.draft(1).unwrap().put(0, [8; 8]);
        assert_eq!(shared.slot(MAX_WORKERS).unwrap().got(), 0);
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
