//! What a user asks of a source; the one thing that flows from the faces back. Plain data, no I/O.

use super::{ActorId, LockId};

/// What a user asks of a source; the faces send it, the source carries it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Pause the lab if it runs, else let it go on.
    TogglePause,
    /// Kill the process that holds this lock now.
    KillHolder(LockId),
    /// Stop the process that holds this lock now; resume all that are stopped if any is.
    StallHolder(LockId),
    /// Kill the process of this actor at this lock.
    Kill(LockId, ActorId),
    /// Yes or no to what the source asked.
    Answer(bool),
    /// Start one more worker.
    AddWorker,
    /// Take the last worker out.
    RemoveWorker,
    /// Hold the lock one step longer (`true`) or shorter.
    StepHold(bool),
    /// Think one step longer (`true`) or shorter between release and the next try.
    StepThink(bool),
    /// Forget the statistics so far.
    Reset,
    /// Replay only: one event further.
    Step,
    /// Replay only: so many ns forward, or backward where negative.
    Jump(i64),
    /// Replay only: to the next event that deserves attention; see [`What::is_landmark`](super::What::is_landmark).
    NextLandmark,
    /// Replay only: twice as fast (`true`) or half as fast.
    Pace(bool),
}
