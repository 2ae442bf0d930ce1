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

/// Gives back the pages that only freed blocks lie in (`malloc_trim(3)`). A fleet that starts, or was not read for a while,
/// comes with tens of MB at once; they are freed piece by piece, between blocks that stay, and so kept whatever the threshold.
pub(super) fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim(3) takes an integer, changes no block in use, and is safe in any thread (attributes(7)).
    unsafe {
        libc::malloc_trim(KEPT as usize);
    }
}

#[cfg(test)]
#[cfg(target_env = "gnu")]
mod tests {
    use super::give_back;

    /// MiB of this process that are resident (`VmRSS`, proc_pid_status(5)).
    fn resident() -> u64 {
        let text = std::fs::read_to_string("/proc/self/status").unwrap();
        let kib =
            text.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().trim_end_matches(" kB").parse().ok());
        kib.map(|kib: u64| kib / 1024).unwrap()
    }

    #[test]
    fn what_lay_between_blocks_that_stay_is_given_back() {
        const MIB: usize = 256;
        let block = |n: usize| (vec![1u8; 16 << 10], Box::new(n));
        let (large, small): (Vec<Vec<u8>>, Vec<Box<usize>>) = (0..MIB * 64).map(block).unzip();
        drop(large);
        let kept = resident();
        give_back();
        let left = resident();
        assert!(left + MIB as u64 / 2 < kept, "{kept} MiB before, {left} after");
        assert!(small.iter().enumerate().all(|(n, block)| **block == n));
    }
}
