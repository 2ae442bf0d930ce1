//! What a worker writes into its pipe: records of 32 bytes, four little-endian words.
//!
//! | word | low bits | high bits |
//! |---|---|---|
//! | 0 | time in ns since the run began (56) | flags (4), kind (4) |
//! | 1 | acquisition number (48) | record number of this worker (16) |
//! | 2 | waited in ns (32), or one 64-bit value | held in ns (32) |
//! | 3 | handoff in ns (32) | overtaken (32) |
//!
//! A turn that began and ended within one batch travels as one [`Body::Cycle`]. Its durations have
//! 32 bits each (4.29 s); longer ones travel as separate records with 64 bits. A handoff over 4.29 s is
//! told as that limit, and so is a count of more than 2^32 acquisitions by others.
//! The record number wraps; what a worker had to throw away it tells by itself in [`Body::Dropped`].

/// Size of a record in bytes; it divides `PIPE_BUF`, so a batch of whole records is written atomically.
pub const SIZE: usize = 32;

/// A record, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// ns since the run began.
    pub t: u64,
    /// Number of this record among its worker's, modulo 2^16.
    pub number: u16,
    /// What it says.
    pub body: Body,
}

/// How a lock was won.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Won {
    /// Place in the total order, from 1; 48 bits.
    pub seq: u64,
    /// Shared rather than exclusive.
    pub shared: bool,
    /// The first try failed.
    pub contended: bool,
    /// From the last release to this acquisition, ns.
    pub handoff: Option<u32>,
    /// Acquisitions by others meanwhile.
    pub overtaken: u32,
}

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Begins to wait.
    Waiting {
        /// For a shared lock.
        shared: bool,
    },
    /// Has the lock.
    Acquired {
        /// How it was won.
        won: Won,
        /// ns waited.
        waited: u64,
    },
    /// Let go of it.
    Released {
        /// The acquisition that ended.
        seq: u64,
        /// ns held.
        held: u64,
    },
    /// A whole turn; the time is that of its acquisition.
    Cycle {
        /// How it was won.
        won: Won,
        /// ns waited.
        waited: u32,
        /// ns held.
        held: u32,
    },
    /// Gave up.
    GaveUp {
        /// ns waited.
        waited: u64,
    },
    /// Found the lock held by another when it had just won it, or taken from it when it released it.
    Conflict {
        /// The acquisition that found it.
        seq: u64,
        /// Number of the other worker.
        other: u32,
        /// Process id of the other.
        other_pid: u32,
    },
    /// Threw records away since the pipe was full.
    Dropped {
        /// How many.
        count: u64,
    },
    /// Cannot go on and is about to exit.
    Failed {
        /// 0 open, 1 lock, 2 unlock.
        action: u8,
        /// `errno(3)`.
        errno: i32,
    },
}

const KINDS: u64 = 60;
const CYCLE: u64 = 4;
const SHARED: u64 = 1 << 56;
const CONTENDED: u64 = 1 << 57;
const HANDOFF: u64 = 1 << 58;
const TIME: u64 = (1 << 56) - 1;
const SEQ: u64 = (1 << 48) - 1;

impl Record {
    /// The record as bytes. Allocates nothing and cannot panic: it runs in forked children.
    #[inline]
    pub fn encode(&self) -> [u8; SIZE] {
        let won_flags = |w: &Won| {
            (if w.shared { SHARED } else { 0 })
                | (if w.contended { CONTENDED } else { 0 })
                | (if w.handoff.is_some() { HANDOFF } else { 0 })
        };
        let won_word = |w: &Won| u64::from(w.handoff.unwrap_or(0)) | u64::from(w.overtaken) << 32;
        let (kind, flags, seq, a, b) = match &self.body {
            Body::Waiting { shared } => (1u64, if *shared { SHARED } else { 0 }, 0, 0, 0),
            Body::Acquired { won, waited } => (2, won_flags(won), won.seq, *waited, won_word(won)),
            Body::Released { seq, held } => (3, 0, *seq, *held, 0),
            Body::Cycle { won, waited, held } => {
                (CYCLE, won_flags(won), won.seq, u64::from(*waited) | u64::from(*held) << 32, won_word(won))
            }
            Body::GaveUp { waited } => (5, 0, 0, *waited, 0),
            Body::Conflict { seq, other, other_pid } => {
                (6, 0, *seq, u64::from(*other) | u64::from(*other_pid) << 32, 0)
            }
            Body::Dropped { count } => (7, 0, 0, *count, 0),
            Body::Failed { action, errno } => (8, 0, 0, u64::from(*action) | u64::from(*errno as u32) << 32, 0),
        };
        let words = [self.t & TIME | flags | kind << KINDS, seq & SEQ | u64::from(self.number) << 48, a, b];
        let mut bytes = [0; SIZE];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Reads a record; none where the bytes are not one.
    #[inline]
    pub fn decode(bytes: &[u8; SIZE]) -> Option<Self> {
        let [head, order, a, b] = words(bytes);
        let seq = order & SEQ;
        let won = Won::of(head, order, b);
        let body = match head >> KINDS {
            1 => Body::Waiting { shared: won.shared },
            2 => Body::Acquired { won, waited: a },
            3 => Body::Released { seq, held: a },
            CYCLE => Body::Cycle { won, waited: a as u32, held: (a >> 32) as u32 },
            5 => Body::GaveUp { waited: a },
            6 => Body::Conflict { seq, other: a as u32, other_pid: (a >> 32) as u32 },
            7 => Body::Dropped { count: a },
            8 => Body::Failed { action: a as u8, errno: (a >> 32) as i32 },
            _ => return None,
        };
        Some(Self { t: head & TIME, number: (order >> 48) as u16, body })
    }
}

/// The words of a record.
fn words(bytes: &[u8; SIZE]) -> [u64; 4] {
    let (words, _) = bytes.as_chunks();
    let word = |n: usize| words.get(n).map_or(0, |w| u64::from_le_bytes(*w));
    [word(0), word(1), word(2), word(3)]
}

impl Won {
    #[inline]
    fn of(head: u64, order: u64, b: u64) -> Self {
        Self {
            seq: order & SEQ,
            shared: head & SHARED != 0,
            contended: head & CONTENDED != 0,
            handoff: (head & HANDOFF != 0).then_some(b as u32),
            overtaken: (b >> 32) as u32,
        }
    }
}

/// A record known to be a [`Body::Cycle`]: the same as [`Record::decode`] without the choice, for those that read millions.
#[derive(Clone, Copy, Debug)]
pub struct Cycle {
    /// ns since the run began.
    pub t: u64,
    /// How it was won.
    pub won: Won,
    /// ns waited.
    pub waited: u32,
    /// ns held.
    pub held: u32,
}

impl Cycle {
    /// Whether `bytes` are a cycle with this record number.
    #[inline]
    pub fn is(bytes: &[u8; SIZE], number: u16) -> bool {
        let [head, order, ..] = words(bytes);
        head >> KINDS == CYCLE && (order >> 48) as u16 == number
    }

    /// Reads what [`Cycle::is`] said is one.
    #[inline]
    pub fn read(bytes: &[u8; SIZE]) -> Self {
        let [head, order, a, b] = words(bytes);
        Self { t: head & TIME, won: Won::of(head, order, b), waited: a as u32, held: (a >> 32) as u32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn won() -> impl Strategy<Value = Won> {
        (0..=SEQ, any::<bool>(), any::<bool>(), any::<Option<u32>>(), any::<u32>())
            .prop_map(|(seq, shared, contended, handoff, overtaken)| Won { seq, shared, contended, handoff, overtaken })
    }

    fn body() -> impl Strategy<Value = Body> {
        prop_oneof![
            any::<bool>().prop_map(|shared| Body::Waiting { shared }),
            (won(), any::<u64>()).prop_map(|(won, waited)| Body::Acquired { won, waited }),
            (0..=SEQ, any::<u64>()).prop_map(|(seq, held)| Body::Released { seq, held }),
            (won(), any::<u32>(), any::<u32>()).prop_map(|(won, waited, held)| Body::Cycle { won, waited, held }),
            any::<u64>().prop_map(|waited| Body::GaveUp { waited }),
            (0..=SEQ, any::<u32>(), any::<u32>()).prop_map(|(seq, other, other_pid)| Body::Conflict {
                seq,
                other,
                other_pid
            }),
            any::<u64>().prop_map(|count| Body::Dropped { count }),
            (any::<u8>(), any::<i32>()).prop_map(|(action, errno)| Body::Failed { action, errno }),
        ]
    }

    proptest! {
        #[test]
        fn comes_back_as_it_went(t in 0..=TIME, number: u16, body in body()) {
            let record = Record { t, number, body };
            let bytes = record.encode();
            prop_assert_eq!(Record::decode(&bytes), Some(record));
            prop_assert_eq!(Cycle::is(&bytes, number), matches!(body, Body::Cycle { .. }));
            prop_assert!(!Cycle::is(&bytes, number.wrapping_add(1)));
            if let Body::Cycle { won, waited, held } = body {
                let cycle = Cycle::read(&bytes);
                prop_assert_eq!((cycle.t, cycle.won, cycle.waited, cycle.held), (t, won, waited, held));
            }
        }

        #[test]
        fn any_bytes_are_survived(bytes: [u8; SIZE]) {
            let _ = Record::decode(&bytes);
        }
    }
}
