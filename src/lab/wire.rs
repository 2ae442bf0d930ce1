//! What a worker writes into its pipe: records of four little-endian words; most turns in two or in one, see `short.rs`.
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
//!
//! A turn in which there is nothing to be done is told without its place among the turns of all workers: whoever reads them
//! all finds it, see `places.rs`.

mod short;
pub(super) use short::{BARE, Before, SHORT, missing};

/// What every record is a multiple of, in bytes. It divides `PIPE_BUF`, so a batch of whole records is written atomically.
pub const UNIT: usize = 8;
/// A word of a record.
pub type Unit = [u8; UNIT];
/// A record in full.
pub type Full = [Unit; 4];

/// How many units the record takes that begins with this one.
#[inline]
pub(super) fn length(first: &Unit) -> usize {
    match kind(first) {
        BARE => 1,
        SHORT => 2,
        _ => size_of::<Full>() / UNIT,
    }
}

/// What form and sort of record begins with this unit.
#[inline]
pub(super) fn kind(first: &Unit) -> u64 {
    u64::from_le_bytes(*first) >> KINDS
}

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
    /// Place in the total order, from 1; 48 bits. 0 where it is for the reader to find.
    pub seq: u64,
    /// Shared rather than exclusive.
    pub shared: bool,
    /// The first try failed. Where there was none, that is for the reader to find, as is what others did.
    pub contended: bool,
    /// From the last release to this acquisition, ns.
    pub handoff: Option<u32>,
    /// Acquisitions by others meanwhile; none where that, and the handoff, are for the reader to find.
    pub overtaken: Option<u32>,
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
    /// The command run under the lock has ended.
    Ran {
        /// The acquisition under which it ran.
        seq: u64,
        /// ns from its start to its end.
        ran: u64,
        /// How it ended, as waitpid(2) tells it.
        status: i32,
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
    /// Tried in vain, without waiting in the kernel's queue.
    Tried {
        /// For a shared lock.
        shared: bool,
        /// How often since it last told.
        count: u64,
    },
    /// Does something at the second lock (scene `deadlock`).
    Second {
        /// What it does there.
        stage: Stage,
        /// Place in the total order there; 0 while it waits.
        seq: u64,
        /// ns waited or held; 0 while it waits.
        ns: u64,
        /// The first try failed.
        contended: bool,
    },
    /// Cannot go on and is about to exit.
    Failed {
        /// 0 open, 1 lock, 2 unlock.
        action: u8,
        /// `errno(3)`.
        errno: i32,
    },
}

/// What a worker does at the second lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Begins to wait.
    Waits,
    /// Has it.
    Acquired,
    /// Let go of it.
    Released,
}

const KINDS: u64 = 60;
const CYCLE: u64 = 4;
const SHARED: u64 = 1 << 56;
const CONTENDED: u64 = 1 << 57;
const HANDOFF: u64 = 1 << 58;
/// What others did meanwhile is for the reader to find.
const UNTOLD: u64 = 1 << 59;
const TIME: u64 = (1 << 56) - 1;
const SEQ: u64 = (1 << 48) - 1;

impl Record {
    /// The record as bytes. Allocates nothing and cannot panic: it runs in forked children.
    #[inline]
    pub fn encode(&self) -> Full {
        let won_flags = Won::flags;
        let won_word = |w: &Won| u64::from(w.handoff.unwrap_or(0)) | u64::from(w.overtaken.unwrap_or(0)) << 32;
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
            Body::Ran { seq, ran, status } => (11, 0, *seq, *ran, u64::from(*status as u32)),
            Body::Failed { action, errno } => (8, 0, 0, u64::from(*action) | u64::from(*errno as u32) << 32, 0),
            Body::Tried { shared, count } => (9, if *shared { SHARED } else { 0 }, 0, *count, 0),
            Body::Second { stage, seq, ns, contended } => {
                (10, if *contended { CONTENDED } else { 0 }, *seq, *ns, *stage as u64)
            }
        };
        [self.t & TIME | flags | kind << KINDS, seq & SEQ | u64::from(self.number) << 48, a, b].map(u64::to_le_bytes)
    }

    /// Reads a record; none where the bytes are not one.
    #[inline]
    pub fn decode(full: &Full) -> Option<Self> {
        let [head, order, a, b] = full.map(u64::from_le_bytes);
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
            11 => Body::Ran { seq, ran: a, status: b as i32 },
            8 => Body::Failed { action: a as u8, errno: (a >> 32) as i32 },
            9 => Body::Tried { shared: won.shared, count: a },
            10 => {
                let stage = match b {
                    0 => Stage::Waits,
                    1 => Stage::Acquired,
                    2 => Stage::Released,
                    _ => return None,
                };
                Body::Second { stage, seq, ns: a, contended: won.contended }
            }
            _ => return None,
        };
        Some(Self { t: head & TIME, number: (order >> 48) as u16, body })
    }
}

impl Won {
    #[inline]
    fn flags(&self) -> u64 {
        (if self.shared { SHARED } else { 0 })
            | (if self.contended { CONTENDED } else { 0 })
            | (if self.handoff.is_some() { HANDOFF } else { 0 })
            | (if self.overtaken.is_none() { UNTOLD } else { 0 })
    }

    #[inline]
    fn of(head: u64, order: u64, b: u64) -> Self {
        Self {
            seq: order & SEQ,
            shared: head & SHARED != 0,
            contended: head & CONTENDED != 0,
            handoff: (head & HANDOFF != 0).then_some(b as u32),
            overtaken: (head & UNTOLD == 0).then_some((b >> 32) as u32),
        }
    }
}

/// Numbers a worker's records and chooses their form.
#[derive(Debug, Default)]
pub struct Writer {
    number: u16,
    /// The whole turn told last in this batch.
    before: Option<Before>,
}

impl Writer {
    /// Begins a batch: it can be read without those before it.
    pub fn begin_batch(&mut self) {
        self.before = None;
    }

    /// A record of a whole turn, won at `t` (ns since the run began), whose place is for the reader to find, where it can be
    /// told [`BARE`].
    #[inline(always)]
    pub fn put_bare(&mut self, t: u64, waited: u64, held: u64) -> Option<Unit> {
        let (unit, after) = self.before?.encode_bare(t, waited, held, self.number)?;
        self.number = self.number.wrapping_add(1);
        self.before = Some(after);
        Some(unit)
    }

    /// Puts a record of `t` (ns since the run began) at the front of `place`; gives how many units it takes.
    #[inline]
    pub fn put(&mut self, t: u64, body: Body, place: &mut Full) -> usize {
        let [first, second, ..] = place;
        if let Body::Cycle { won, waited, held } = body {
            let cycle = Cycle { t, won, waited, held };
            let before = self.before.replace(Before::of(&cycle));
            if let Some(units) = before.and_then(|before| before.encode(&cycle, self.number)) {
                [*first, *second] = units;
                self.number = self.number.wrapping_add(1);
                return 2;
            }
        }
        let number = self.number;
        self.number = number.wrapping_add(1);
        *place = Record { t, number, body }.encode();
        place.len()
    }
}

/// A record known to be a [`Body::Cycle`]: the same as [`Record::decode`] without the choice, for those that read millions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// Whether it is a cycle with this record number.
    #[inline]
    pub fn is([first, order, ..]: &Full, number: u16) -> bool {
        kind(first) == CYCLE && (u64::from_le_bytes(*order) >> 48) as u16 == number
    }

    /// Reads what [`Cycle::is`] said is one.
    #[inline]
    pub fn read(full: &Full) -> Self {
        let [head, order, a, b] = full.map(u64::from_le_bytes);
        Self { t: head & TIME, won: Won::of(head, order, b), waited: a as u32, held: (a >> 32) as u32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn won() -> impl Strategy<Value = Won> {
        (0..=SEQ, any::<bool>(), any::<bool>(), any::<Option<u32>>(), any::<Option<u32>>())
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
            (any::<bool>(), any::<u64>()).prop_map(|(shared, count)| Body::Tried { shared, count }),
            (0..=SEQ, any::<u64>(), any::<bool>()).prop_map(|(seq, ns, contended)| {
                let stage = [Stage::Waits, Stage::Acquired, Stage::Released][seq as usize % 3];
                Body::Second { stage, seq, ns, contended }
            }),
            (0..=SEQ, any::<u64>(), any::<i32>()).prop_map(|(seq, ran, status)| Body::Ran { seq, ran, status }),
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
        fn any_bytes_are_survived(bytes: Full) {
            let _ = Record::decode(&bytes);
        }
    }
}
