//! Soon on a processor, not longer: what the monitor's threads ask of the scheduler.
#![allow(unsafe_code)]

/// What sched_setattr(2) takes, in its first version.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// The slice, in ns. Below what the kernel gives by itself (0.7 ms and more, kernel/sched/fair.c, `sysctl_sched_base_slice`),
/// so that it comes before others; about what there is to do after a nap at full speed, which with the shortest slice (0.1 ms)
/// is cut in pieces, each of which takes the processor from a worker anew, maybe while it holds the lock.
const SLICE_NS: u64 = 500_000;

/// Asks for short slices for the calling thread. With a thousand workers at full speed, a thread that wakes up waits
/// for its turn among them, a slice of some ms each; one that asks for less at a time comes earlier, and gets no more
/// in all (Linux 6.12, kernel/sched/syscalls.c, "custom_slice"). Children are not to inherit it. Older kernels ignore
/// it or refuse; then it is as it was.
pub(super) fn ask_for_short_ones() {
    // SAFETY: getpriority(2) takes integers; 0 is the calling thread.
    let nice = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    let wanted = Attributes {
        size: size_of::<Attributes>() as u32,
        policy: libc::SCHED_OTHER as u32,
        flags: libc::SCHED_FLAG_RESET_ON_FORK as u64,
        nice,
        runtime: SLICE_NS,
        ..Attributes::default()
    };
    // SAFETY: sched_setattr(2) reads the struct, whose size stands in it.
    unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const wanted, 0) };
}
