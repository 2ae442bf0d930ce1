//! What the loop asks of a source of events: a lab, a watch, or a recording. No I/O here: the sources do it.

use crate::event::{ActorId, Begin, Command, Event, LockId};
use crate::model::Locks;
use anyhow::{Error, Result};
use crossbeam_channel::Receiver;

/// Events in the order in which they became known.
#[derive(Debug, Default)]
pub struct Batch {
    /// The events.
    pub events: Vec<Event>,
    /// Where in the recording they end, if there is one.
    pub mark: Option<Mark>,
}

impl Batch {
    /// Adds its events to those that are ready.
    pub fn join(mut self, ready: &mut Vec<Event>) {
        if ready.is_empty() {
            *ready = self.events;
        } else {
            ready.append(&mut self.events);
        }
    }
}

/// A place in a recording.
#[derive(Debug)]
pub struct Mark {
    /// Lines so far.
    pub line: u64,
    /// Bytes so far.
    pub offset: u64,
    /// Nothing follows; if that is a fault, which.
    pub end: Option<Result<()>>,
}

/// How far a recording has been shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Position {
    /// ns since the run began.
    pub t: u64,
    /// How long the recording is, in ns, where that is known.
    pub length: Option<u64>,
    /// Recorded time a second of real time; none is as fast as can be.
    pub speed: Option<f64>,
    /// It does not move.
    pub paused: bool,
    /// All has been shown.
    pub ended: bool,
}

/// What is to be confirmed before it is done; the answer is [`Command::Answer`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What is asked.
    pub title: String,
    /// Who is concerned, what will happen and what will not: a line each.
    pub lines: Vec<String>,
    /// What a yes does, in one or two words.
    pub yes: String,
}

/// A process that descends from another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// Its process id.
    pub pid: i32,
    /// Its parent: the other one, or a descendant of it.
    pub parent: i32,
    /// Its command line.
    pub command: String,
    /// Whether it has the lock's open file too, and so keeps the lock when the other one ends; none where that is not
    /// known, or where the other one does not hold it.
    pub keeps: Option<bool>,
}

/// The living descendants of a process, when it was last looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Children {
    /// Whose they are.
    pub of: i32,
    /// Parents before their children.
    pub list: Vec<Child>,
    /// There are more.
    pub more: bool,
}

/// A source of events. Everything that it does to the outside world, it does when called, in the main thread.
pub trait Source {
    /// What the faces are told before the first event.
    fn begin(&self) -> Begin;

    /// ns since the run began.
    fn now(&self) -> u64;

    /// Whether the keys that act on processes are taken away.
    fn is_read_only(&self) -> bool {
        false
    }

    /// Whether it happens now; else it is a recording, which tells its end and its findings itself.
    fn is_live(&self) -> bool;

    /// Where news come from; a channel that never delivers where no more is wanted for now.
    fn incoming(&self) -> Receiver<Batch>;

    /// Takes in what came from there; what is due is got by [`Source::due`].
    fn admit(&mut self, batch: Batch);

    /// The next events that are due.
    fn due(&mut self) -> Vec<Event>;

    /// When something is to be done though nothing comes, in ns from now.
    fn next_due(&self) -> Option<u64>;

    /// A child process changed its state.
    fn reap(&mut self) {}

    /// Carries out a command; tells in words what was done where the screen does not show it by itself.
    ///
    /// # Errors
    /// In words, why it could not be done; the run goes on.
    fn command(&mut self, command: Command) -> Result<Option<String>>;

    /// Pauses or goes on, without being asked by a key.
    fn pause(&mut self, paused: bool);

    /// Whether it is paused.
    fn is_paused(&self) -> bool;

    /// Whether nothing will come any more.
    fn is_over(&self) -> bool;

    /// Ends it, step by step: gives some of the last events, if maybe none yet; nothing once all have been given.
    fn finish(&mut self) -> Option<Vec<Event>>;

    /// What the user should know in the end.
    fn farewell(&self) -> Option<String> {
        None
    }

    /// How far a recording has been shown.
    fn position(&self) -> Option<Position> {
        None
    }

    /// All that was due has been folded into `locks`.
    fn folded(&mut self, _locks: &Locks) {}

    /// What to go on with, after a jump back.
    fn rewound(&mut self) -> Option<Box<Locks>> {
        None
    }

    /// The event that it stopped at since the last call, because a step or a landmark was asked for.
    fn reached(&mut self) -> Option<Event> {
        None
    }

    /// What it asks since the last call.
    fn question(&mut self) -> Option<Question> {
        None
    }

    /// What the screen shows: a lock, or rows of the list of locks; and of that lock, who is shown in detail. What is not
    /// looked at need not be known well.
    fn looked_at(&mut self, _opened: Option<LockId>, _rows: &[LockId], _in_detail: Option<ActorId>) {}

    /// The children of the one that is shown in detail; none as long as they are not known.
    fn children(&mut self) -> Option<Children> {
        None
    }

    /// The end of what the command of this actor has written; none where it runs none.
    fn output(&self, _actor: ActorId) -> Option<Vec<u8>> {
        None
    }

    /// Why news have ceased to come.
    fn broken(&mut self) -> Option<Error> {
        None
    }

    /// What is wrong with its input.
    fn fault(&mut self) -> Option<Error> {
        None
    }
}
