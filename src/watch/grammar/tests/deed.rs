//! Deeds as short words: for these tests, and for those that look at a real kernel (`tests/watch_exact`).

use super::{Deed, LockMode};

pub fn mode(mode: LockMode) -> &'static str {
    if mode == LockMode::Exclusive { "EX" } else { "SH" }
}

pub fn in_words(deed: Deed) -> String {
    match deed {
        Deed::Holding { mode: m } => format!("holding {}", mode(m)),
        Deed::Waiting { mode: m, before: false } => format!("waits {}", mode(m)),
        Deed::Waiting { mode: m, before: true } => format!("waits {} since before", mode(m)),
        Deed::Tried { mode: m, count } => format!("tried {} {count}", mode(m)),
        Deed::Acquired { mode: m, contended: false, .. } => format!("got {}", mode(m)),
        Deed::Acquired { mode: m, contended: true, .. } => format!("won {}", mode(m)),
        Deed::Kept { mode: m, .. } => format!("kept {}", mode(m)),
        Deed::Released => "released".to_owned(),
        Deed::GaveUp => "gave up".to_owned(),
        Deed::Left => unreachable!("every end is seen"),
    }
}
