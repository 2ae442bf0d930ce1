//! The system calls: perf_event_open(2) and its ioctls, bpf(2), mapped memory that the kernel writes.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::io::{Error, Result};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

/// `struct perf_event_attr` as of `PERF_ATTR_SIZE_VER3`, the first with a choice of clock.
#[repr(C)]
#[derive(Default)]
pub(super) struct Attr {
    pub kind: u32,
    pub size: u32,
    pub config: u64,
    pub sample_period: u64,
    pub sample_type: u64,
    pub read_format: u64,
    pub flags: u64,
    pub wakeup_watermark: u32,
    pub bp_type: u32,
    pub config1: u64,
    pub config2: u64,
    pub branch_sample_type: u64,
    pub sample_regs_user: u64,
    pub sample_stack_user: u32,
    pub clock: i32,
}

fn owned(result: libc::c_long) -> Result<OwnedFd> {
    if result < 0 {
        return Err(Error::last_os_error());
    }
    // SAFETY: the call has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(result as libc::c_int) })
}

/// One event on one CPU, whoever runs there.
pub(super) fn perf_event_open(attr: &mut Attr, cpu: u32) -> Result<OwnedFd> {
    const CLOEXEC: libc::c_ulong = 8;
    attr.size = size_of::<Attr>() as u32;
    let attr: *const Attr = attr;
    // SAFETY: the kernel reads `size` bytes of a struct that outlives the call.
    owned(unsafe { libc::syscall(libc::SYS_perf_event_open, attr, -1, cpu as libc::c_int, -1, CLOEXEC) })
}

fn ioctl(event: &OwnedFd, request: libc::c_ulong, argument: libc::c_ulong) -> Result<()> {
    // SAFETY: the requests below take an integer, or a pointer to a string that outlives the call.
    match unsafe { libc::ioctl(event.as_raw_fd(), request as _, argument) } {
        0 => Ok(()),
        _ => Err(Error::last_os_error()),
    }
}

/// Lets the event record from now on.
pub(super) fn enable(event: &OwnedFd) -> Result<()> {
    ioctl(event, nix::request_code_none!(b'$', 0) as _, 0)
}

/// Its records go to the ring of `ring`.
pub(super) fn set_output(event: &OwnedFd, ring: &OwnedFd) -> Result<()> {
    ioctl(event, nix::request_code_none!(b'$', 5) as _, ring.as_raw_fd() as libc::c_ulong)
}

/// Only records that match are kept. Once for each event: the kernel refuses a second time.
pub(super) fn set_filter(event: &OwnedFd, filter: &CStr) -> Result<()> {
    ioctl(event, nix::request_code_write!(b'$', 6, size_of::<*const u8>()) as _, filter.as_ptr() as libc::c_ulong)
}

/// The program runs at each record.
pub(super) fn set_bpf(event: &OwnedFd, program: &OwnedFd) -> Result<()> {
    ioctl(event, nix::request_code_write!(b'$', 8, size_of::<u32>()) as _, program.as_raw_fd() as libc::c_ulong)
}

/// bpf(2).
fn bpf(command: libc::c_int, attr: &[u64]) -> Result<OwnedFd> {
    // SAFETY: the kernel reads the bytes of `attr`; the pointers in it are those of slices that its maker keeps alive.
    owned(unsafe { libc::syscall(libc::SYS_bpf, command, attr.as_ptr(), size_of_val(attr)) })
}

/// An array of `entries` values that is shared with us by mmap(2).
pub(super) fn bpf_array(value_size: u32, entries: u32) -> Result<OwnedFd> {
    const MAP_CREATE: libc::c_int = 0;
    const ARRAY: u32 = 2;
    const MMAPABLE: u32 = 1 << 10;
    bpf(MAP_CREATE, &[pair(ARRAY, 4), pair(value_size, entries), pair(MMAPABLE, 0)])
}

/// A program of tracepoints; on refusal what the verifier says is in the error.
pub(super) fn bpf_program(instructions: &[u64]) -> Result<OwnedFd> {
    const PROG_LOAD: libc::c_int = 5;
    const TRACEPOINT: u32 = 5;
    let license = c"MIT";
    let load = |log: &mut [u8]| {
        let attr = [
            pair(TRACEPOINT, instructions.len() as u32),
            instructions.as_ptr() as u64,
            license.as_ptr() as u64,
            pair(u32::from(!log.is_empty()), log.len() as u32),
            if log.is_empty() { 0 } else { log.as_mut_ptr() as u64 },
        ];
        bpf(PROG_LOAD, &attr)
    };
    load(&mut []).or_else(|refusal| {
        if refusal.kind() == std::io::ErrorKind::PermissionDenied && refusal.raw_os_error() == Some(libc::EPERM) {
            return Err(refusal);
        }
        let mut log = vec![0; 1 << 16];
        load(&mut log).map_err(|again| {
            let said = String::from_utf8_lossy(log.split(|&b| b == 0).next().unwrap_or_default()).trim().to_owned();
            let tail = said.lines().rev().take(3).collect::<Vec<_>>();
            Error::new(again.kind(), format!("{again}: {}", tail.into_iter().rev().collect::<Vec<_>>().join("; ")))
        })
    })
}

/// Two 32-bit fields that follow each other.
fn pair(first: u32, second: u32) -> u64 {
    let ([a, b, c, d], [e, f, g, h]) = (first.to_ne_bytes(), second.to_ne_bytes());
    u64::from_ne_bytes([a, b, c, d, e, f, g, h])
}

/// Memory that the kernel writes while we read it.
#[derive(Debug)]
pub(super) struct Shared {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread; every access goes through atomics or bytes at rest.
unsafe impl Send for Shared {}

impl Shared {
    /// Maps `len` bytes of what the descriptor stands for, from `from` on.
    pub fn map(fd: BorrowedFd<'_>, from: usize, len: usize) -> Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let from = libc::off_t::try_from(from).map_err(Error::other)?;
        // SAFETY: a new mapping at a place that the kernel chooses; mmap(2) checks the length against the object.
        let start =
            unsafe { libc::mmap(std::ptr::null_mut(), len, protection, libc::MAP_SHARED, fd.as_raw_fd(), from) };
        if start == libc::MAP_FAILED {
            return Err(Error::last_os_error());
        }
        // A fork need not copy the table of its pages; perf's own mappings are of that kind already.
        // SAFETY: advice on the mapping just made.
        unsafe { libc::madvise(start, len, libc::MADV_DONTFORK) };
        NonNull::new(start.cast()).map(|start| Self { start, len }).ok_or_else(|| Error::other("mapped at 0"))
    }

    fn word(&self, at: usize) -> Option<&AtomicU64> {
        if !at.is_multiple_of(8) || at.checked_add(8)? > self.len {
            return None;
        }
        // SAFETY: within the mapping, aligned (the mapping begins at a page), and only ever read and written as a
        // whole word, on both sides.
        Some(unsafe { self.start.add(at).cast::<AtomicU64>().as_ref() })
    }

    /// The word at `at`; what was written before it is seen after it. 0 outside of the mapping.
    pub fn load(&self, at: usize) -> u64 {
        self.word(at).map_or(0, |word| word.load(Ordering::Acquire))
    }

    /// Sets the word at `at`; what was read before it is not overwritten by who sees it.
    pub fn store(&self, at: usize, value: u64) {
        if let Some(word) = self.word(at) {
            word.store(value, Ordering::Release);
        }
    }

    /// Bytes that are at rest: between the tail and the head of a ring, as [`load`](Self::load) gave them, the kernel writes
    /// nothing until the tail moves on, and that takes `&mut`. Empty where they lie outside of the mapping.
    pub fn bytes(&self, at: usize, len: usize) -> &[u8] {
        match at.checked_add(len) {
            // SAFETY: within the mapping, which lives as long as `self`; at rest, as said above.
            Some(end) if end <= self.len => unsafe { std::slice::from_raw_parts(self.start.add(at).as_ptr(), len) },
            _ => &[],
        }
    }
}

impl Default for Shared {
    fn default() -> Self {
        Self { start: NonNull::dangling(), len: 0 }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if self.len == 0 {
            return;
        }
        // SAFETY: the very mapping that `map` made; no reference into it outlives `self`.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}
