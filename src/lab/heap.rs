//! What the monitor asks of malloc.
#![allow(unsafe_code)]

/// As many bytes as are on their way between the collector and the loop at full speed, a few times over.
#[cfg(target_env = "gnu")]
const KEPT: std::ffi::c_int = 4 << 20;

/// Asks to keep what was freed, up to 4 MiB. Lists of turns are made by one thread and freed by another, some MB a
/// second: what malloc gives back at once (128 KiB and more, `mallopt(3)`, `M_TRIM_THRESHOLD`) comes back a page fault a
/// page, for which the collector needed a third of its time. Other C libraries than glibc have no such knob. To be called
/// before there are threads.
pub(super) fn keep_what_is_freed() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt(3) takes two integers and changes no block. It is safe as long as no other thread asks for the same
    // (attributes(7), "init"), which nothing else here does.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT);
    }
}
