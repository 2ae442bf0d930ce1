//! When the latest turns were won: by it, how many others had the lock since a moment is found.

/// How many turns are looked at one by one, from the last one back.
const NEAR: usize = 8;
/// Room for the times of so many turns is kept.
const ROOM: usize = 1 << 14;

/// When the turns were won that were placed in this round and in the one before: their numbers follow each other.
#[derive(Clone, Debug, Default)]
pub(super) struct Recent {
    /// Number of the first of them.
    first: u64,
    before: Vec<u64>,
    pub(super) now: Vec<u64>,
}

impl Recent {
    /// Begins another round.
    pub(super) fn turn(&mut self) {
        self.first += self.before.len() as u64;
        std::mem::swap(&mut self.before, &mut self.now);
        self.now.clear();
        self.now.shrink_to(ROOM);
    }

    /// Whether acquisition `seq` follows those that are known.
    #[inline]
    pub(super) fn goes_on_with(&self, seq: u64) -> bool {
        self.first + (self.before.len() + self.now.len()) as u64 == seq
    }

    pub(super) fn note(&mut self, seq: u64, t: u64) {
        if !self.goes_on_with(seq) {
            self.before.clear();
            self.now.clear();
            self.first = seq;
        }
        self.now.push(t);
    }

    /// Number of the last one that was won before `t`: of those before all that are known where it was none of them.
    #[inline]
    pub(super) fn until(&self, t: u64) -> u64 {
        let near = self.now.iter().rev().take(NEAR).take_while(|time| **time >= t).count();
        let n = match (near, self.now.len()) {
            (near, all) if near < all.min(NEAR) => self.before.len() + all - near,
            _ => match self.now.partition_point(|time| *time < t) {
                0 => self.before.partition_point(|time| *time < t),
                n => self.before.len() + n,
            },
        };
        (self.first + n as u64).saturating_sub(1)
    }
}
