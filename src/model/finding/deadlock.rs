//! The finding `deadlock`: waits that form a circle, over all locks of the run.

use super::Here;
use std::fmt;

/// Processes wait for each other in a circle, at whichever locks.
#[derive(Clone, Debug, PartialEq)]
pub struct Deadlock {
    /// Each member: who waits, at which lock, for whom.
    pub members: Vec<(String, String, String)>,
}

impl Deadlock {
    pub(super) fn find(here: Here<'_>) -> Option<Self> {
        let members = here.circle?.iter().filter_map(|wait| {
            let model = here.locks.get(wait.lock)?;
            let (waiter, holder) = (model.actor(wait.waiter)?, model.actor(wait.holder)?);
            Some((waiter.full_name(), model.info().name.clone(), holder.full_name()))
        });
        Some(Self { members: members.collect() })
    }
}

impl fmt::Display for Deadlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [(who, ..)] = self.members.as_slice() {
            return write!(
                f,
                "{who} waits for a lock that it holds itself: it may wait for ever; end it, or mend its locking"
            );
        }
        f.write_str("deadlock, nothing will end it but a signal: ")?;
        let mut before: Option<&str> = None;
        for (who, lock, whom) in &self.members {
            match before {
                None => write!(f, "{who} waits for {whom} at {lock}")?,
                // Mostly it is the holder itself that waits on, rather than another process that keeps its lock.
                Some(holder) if holder == who => write!(f, ", that for {whom} at {lock}")?,
                Some(_) => write!(f, ", {who} waits for {whom} at {lock}")?,
            }
            before = Some(whom);
        }
        Ok(())
    }
}
