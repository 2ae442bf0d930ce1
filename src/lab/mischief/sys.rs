//! A page that children share, and the adoption of orphans.
#![allow(unsafe_code)]

use nix::errno::Errno;
use std::ops::Deref;
use std::ptr::NonNull;

/// A `T` in memory of its own that children share. Zeroed bytes must be a `T`, and all in it be atomic.
#[derive(Debug)]
pub(super) struct Mapped<T> {
    at: NonNull<T>,
}

// SAFETY: behind the pointer are only atomics, made to be used by many at once.
unsafe impl<T: Sync> Send for Mapped<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Mapped<T> {}

impl Mapped<super::Page> {
    /// # Errors
    /// What mmap(2) says.
    pub(super) fn new() -> Result<Self, Errno> {
        let (size, protection) = (size_of::<super::Page>(), libc::PROT_READ | libc::PROT_WRITE);
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        // SAFETY: a fresh anonymous mapping at an address of the kernel's choice aliases nothing.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), size, protection, flags, -1, 0) };
        if at == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        NonNull::new(at.cast()).map(|at| Self { at }).ok_or(Errno::ENOMEM)
    }
}

impl<T> Deref for Mapped<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the mapping is page-aligned, as large as T, lives as long as self, and zeroed pages are a valid T.
        unsafe { self.at.as_ref() }
    }
}

impl<T> Drop for Mapped<T> {
    fn drop(&mut self) {
        // SAFETY: new() made the mapping with this size, and no reference outlives self.
        unsafe { libc::munmap(self.at.as_ptr().cast(), size_of::<T>()) };
    }
}

/// Children of workers that die become ours (prctl(2), PR_SET_CHILD_SUBREAPER), so that they can be reaped.
///
/// # Errors
/// What prctl(2) says.
pub(super) fn adopt_orphans() -> Result<(), Errno> {
    // SAFETY: this call takes integers.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }).map(drop)
}
