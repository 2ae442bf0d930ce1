//! What a worker tells: records are gathered in a batch, and written when they must be seen or the batch is full.
//!
//! Async-signal-safe as all of the child. Whoever holds the lock is never stopped by a full pipe.

use super::{End, Job, sys};
use crate::lab::shared::{Draft, Progress, Reader, Shared, Slot};
use crate::lab::wire::{Body, Full, UNIT, Won, Writer};
use nix::errno::Errno;
use std::os::fd::RawFd;

/// What a record takes at most, in units.
const LONGEST: usize = size_of::<Full>() / UNIT;
/// For how long a worker that holds nothing waits for room in its pipe, in ms: with a thousand others at full speed,
/// the monitor and the worker itself may each wait that long for a processor.
const LATE_MS: i32 = 500;

/// Records on their way into the pipe.
pub(super) struct Telling<'a> {
    pipe: RawFd,
    epoch: u64,
    writer: Writer,
    slot: &'a Slot,
    draft: &'a Draft,
    /// Units that are written.
    written: u64,
    /// Units of the draft that are filled.
    len: usize,
    oldest: u64,
    flushed: u64,
    lost: u64,
    /// The monitor was waited for in vain.
    jammed: bool,
    /// So many batches fill half of the pipe.
    half: usize,
    /// Batches written since the round of reading that has this number began.
    unread: (u32, usize),
}

impl<'a> Telling<'a> {
    /// Writes into the pipe of `job`, or nowhere where that is -1.
    pub(super) fn new(job: &Job<'a>) -> Self {
        let Job { pipe, epoch, slot, draft, .. } = *job;
        Self {
            pipe,
            epoch,
            writer: Writer::default(),
            slot,
            draft,
            written: 0,
            len: 0,
            oldest: 0,
            flushed: 0,
            lost: 0,
            jammed: false,
            half: if pipe < 0 { 0 } else { sys::room(pipe) / Draft::BYTES / 2 },
            unread: (0, 0),
        }
    }

    #[inline(always)]
    pub(super) fn push(&mut self, t: u64, body: Body) {
        if self.pipe < 0 {
            return;
        }
        // The last place is kept for the count of what was lost.
        if self.len + 2 * LONGEST > Draft::ROOM && !matches!(body, Body::Dropped { .. }) && !self.make_room(t) {
            return;
        }
        if self.len == 0 {
            self.oldest = t;
        }
        let mut record = Full::default();
        let n = self.writer.put(t.saturating_sub(self.epoch), body, &mut record);
        if self.len + n <= Draft::ROOM {
            record.iter().take(n).zip(self.len..).for_each(|(unit, place)| self.draft.put(place, *unit));
            self.has(self.written, self.len + n);
        }
    }

    /// Tells a whole turn, won at `t` (ns since the run began), whose place is for the reader to find: most often in one
    /// unit, whose way is short.
    #[inline(always)]
    pub(super) fn push_turn(&mut self, t: u64, waited: u64, held: u64) {
        // Where one can be told so, there is another one before it in the batch, and so a pipe.
        if self.len < Draft::ROOM - 2 * LONGEST
            && let Some(unit) = self.writer.put_bare(t, waited, held)
        {
            self.draft.put(self.len, unit);
            self.has(self.written, self.len + 1);
        } else {
            self.push_long_turn(t.saturating_add(self.epoch), waited, held);
        }
    }

    #[cold]
    fn push_long_turn(&mut self, t: u64, waited: u64, held: u64) {
        let won = Won { seq: 0, shared: false, contended: false, handoff: None, overtaken: None };
        match (u32::try_from(waited), u32::try_from(held)) {
            (Ok(waited), Ok(held)) => self.push(t, Body::Cycle { won, waited, held }),
            _ => {
                self.push(t, Body::Acquired { won, waited });
                self.push(t.saturating_add(held), Body::Released { seq: 0, held });
            }
        }
    }

    /// Says how far it has come.
    #[inline]
    fn has(&mut self, written: u64, drafted: usize) {
        (self.written, self.len) = (written, drafted);
        self.slot.set_progress(Progress { written, drafted });
    }

    /// Whether there is room now for a record, which else is lost.
    #[cold]
    fn make_room(&mut self, t: u64) -> bool {
        let _ = self.flush(t);
        let room = self.len + 2 * LONGEST <= Draft::ROOM;
        self.lost += u64::from(!room);
        room
    }

    pub(super) fn full(&self) -> bool {
        self.len + 2 * LONGEST >= Draft::ROOM
    }

    pub(super) fn oldest_before(&self, t: u64) -> bool {
        self.len > 0 && self.oldest < t
    }

    /// Whether the last write was at least `ns` before `now`.
    pub(super) fn due(&self, now: u64, ns: u64) -> bool {
        now.saturating_sub(self.flushed) >= ns
    }

    /// Writes the batch at time `now` if the pipe takes it; else keeps it.
    pub(super) fn flush(&mut self, now: u64) -> Result<(), End> {
        if self.len == 0 && self.lost == 0 || self.pipe < 0 {
            return Ok(());
        }
        if self.lost > 0 {
            let count = self.lost;
            let len = self.len;
            self.push(now, Body::Dropped { count });
            if self.len > len {
                self.lost = 0;
            }
        }
        match sys::write(self.pipe, self.draft.units(self.len)) {
            Ok(()) => {
                self.has(self.written + self.len as u64, 0);
                self.writer.begin_batch();
                self.flushed = now;
                self.jammed = false;
                Ok(())
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {
                // Not written: what was counted as told stays in the batch, the count included.
                Ok(())
            }
            Err(_) => Err(End::Orphaned),
        }
    }

    /// Writes a full batch. Where the pipe is full, waits a little: nobody holds the lock here, and a monitor that
    /// is merely late loses nothing, nor does one that has not begun to read. One that does not read at all is waited
    /// for only once.
    pub(super) fn flush_soon(&mut self, now: u64, shared: &Shared) -> Result<(), End> {
        let (control, reader) = (shared.control(), shared.reader());
        self.flush(now)?;
        self.call_in_time(reader);
        while self.len > 0 && self.pipe >= 0 && !self.jammed {
            let late = control.heard() || control.stopping();
            reader.call();
            sys::wait_writable(self.pipe, LATE_MS);
            self.flush(now)?;
            self.jammed = late && self.len > 0;
        }
        Ok(())
    }

    /// Ends the nap of the one that reads when the pipe is half full: the other half is for the time until it comes.
    fn call_in_time(&mut self, reader: &Reader) {
        let (round, written) = self.unread;
        self.unread = if reader.round() == round { (round, written + 1) } else { (reader.round(), 1) };
        if self.unread.1 == self.half {
            reader.call();
        }
    }

    /// Writes what is left before the end, as long as the monitor takes it.
    pub(super) fn flush_patiently(&mut self, shared: &Shared) {
        for _ in 0..200 {
            if self.flush(shared.clock().now()).is_err() || self.len == 0 && self.lost == 0 {
                return;
            }
            let control = shared.control();
            control.sleep(control.generation(), Some(1_000_000));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, LockKind, What};
    use crate::lab::config::Acquire;
    use crate::lab::decode::{Amount, Stream};
    use crate::lab::judge::Judge;
    use crate::lab::ledger::Owner;
    use std::io::Read;
    use std::os::fd::AsRawFd;

    /// What worker 1 tells into `pipe`.
    fn telling(shared: &Shared, pipe: RawFd) -> Telling<'_> {
        Telling::new(&Job {
            shared,
            slot: shared.slot(1).unwrap(),
            draft: shared.draft(1).unwrap(),
            me: Owner { worker: 1, pid: 1 },
            path: c"",
            kind: LockKind::Flock,
            shared_percent: 0,
            acquire: Acquire::Block,
            keep_open: false,
            seed: 0,
            epoch: 0,
            mischief: None,
            errand: None,
            pipe,
        })
    }

    /// Fills a batch and writes it.
    fn write_a_batch(telling: &mut Telling<'_>, shared: &Shared) {
        while !telling.full() {
            telling.push(1, Body::Tried { shared: false, count: 1 });
        }
        assert!(telling.flush_soon(1, shared).is_ok());
        assert_eq!(telling.len, 0);
    }

    /// 2,000 turns pushed one after the other, each batch written when it is full: the bytes and what they say.
    fn written(push: impl Fn(&mut Telling<'_>, u64)) -> (Vec<u8>, Vec<Event>, Amount) {
        let shared = Shared::new().unwrap();
        let (mut end, pipe) = std::io::pipe().unwrap();
        let mut telling = telling(&shared, pipe.as_raw_fd());
        for n in 1..=2_000 {
            push(&mut telling, n);
            if telling.full() {
                assert!(telling.flush_soon(n, &shared).is_ok());
            }
        }
        assert!(telling.flush(1).is_ok());
        drop((telling, pipe));
        let (mut bytes, mut out) = (Vec::new(), Vec::new());
        end.read_to_end(&mut bytes).unwrap();
        let mut stream = Stream::new(Owner { worker: 1, pid: 1 });
        let read = stream.take(&bytes, &mut Judge::default(), &mut out);
        (bytes, out.into_iter().flat_map(Event::singly).collect(), read)
    }

    /// Every seventh is too long for a shorter form, and each batch begins in full.
    fn held(n: u64) -> u32 {
        if n.is_multiple_of(7) { 1 << 20 } else { 5 }
    }
    const SHORTER: usize = 2_000 - 2_000 / 7;

    #[test]
    fn records_of_both_sizes_fill_batches_and_none_is_lost() {
        let won = |seq| Won { seq, shared: false, contended: false, handoff: None, overtaken: Some(0) };
        let (bytes, _, read) = written(|telling, n| {
            telling.push(n * 1_000_000, Body::Cycle { won: won(n), waited: 5, held: held(n) });
        });
        assert_eq!(read, Amount { records: 2_000, turns: 2_000 });
        assert!(bytes.len() < 2_000 * 32 - (SHORTER - SHORTER / 50) * 2 * UNIT, "{}", bytes.len());
    }

    /// Each goes the short way or the long one.
    #[test]
    fn turns_without_a_place_fill_batches_and_none_is_lost() {
        let (bytes, told, read) = written(|telling, n| telling.push_turn(n * 1_000, 5, held(n).into()));
        assert_eq!(read, Amount { records: 2_000, turns: 2_000 });
        let told = told.into_iter().map(|event| match event.what {
            What::Cycle { held_ns, .. } => (event.t, held_ns),
            what => panic!("{what:?}"),
        });
        assert!(told.eq((1..=2_000).map(|n| (n * 1_000, u64::from(held(n))))));
        assert!(bytes.len() < 2_000 * 32 - (SHORTER - SHORTER / 50) * 3 * UNIT, "{}", bytes.len());
    }

    #[test]
    fn the_reader_is_called_once_a_round_when_the_pipe_is_half_full() {
        let shared = Shared::new().unwrap();
        let reader = shared.reader();
        let (mut end, pipe) = std::io::pipe().unwrap();
        let mut telling = telling(&shared, pipe.as_raw_fd());
        let half = sys::room(pipe.as_raw_fd()) / Draft::BYTES / 2;
        assert!(half > 1);
        for round in 1..4 {
            reader.begin_round();
            (1..half).for_each(|_| write_a_batch(&mut telling, &shared));
            assert_eq!(reader.calls(), round - 1);
            (0..half / 2).for_each(|_| write_a_batch(&mut telling, &shared));
            assert_eq!(reader.calls(), round);
            let mut written = vec![0; (half - 1 + half / 2) * (Draft::ROOM - 2 * LONGEST) * UNIT];
            end.read_exact(&mut written).unwrap();
        }
    }
}
