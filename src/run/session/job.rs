//! Job control: whether anybody could bring us back if we stopped.

use crate::watch::process;
use nix::unistd::{Pid, getpgid, getpgrp, getppid, getsid};

/// Whoever starts us through more programs than this does without.
const ANCESTORS: usize = 64;

/// Whether a shell with job control waits for us: the first of our ancestors that is not in our process group is in our
/// session. Else our group is orphaned, and nobody would continue it: the kernel's own `SIGTSTP` does nothing there
/// (signal.c, `SIGTSTP`; credentials(7)). So it is in `ssh -t host flockmon`, or as the first process of a container.
pub(super) fn can_be_continued() -> bool {
    let (group, session) = (getpgrp(), getsid(None));
    let mut ancestor = getppid();
    for _ in 0..ANCESTORS {
        match getpgid(Some(ancestor)) {
            Ok(its) if ancestor.as_raw() > 0 && its == group => {}
            Ok(_) if ancestor.as_raw() > 0 => return getsid(Some(ancestor)) == session,
            _ => return false,
        }
        let Some(parent) = process::parent(ancestor.as_raw()) else { return false };
        ancestor = Pid::from_raw(parent);
    }
    false
}
