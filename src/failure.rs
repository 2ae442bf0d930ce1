//! Why a run did not end as it should: the exit status depends on it.

use anyhow::Error;

/// Why a run did not end as it should.
#[derive(Debug)]
pub enum Failure {
    /// Wrong use or bad input: nothing was touched; exit status 2.
    BadInput(Error),
    /// It failed while running; exit status 1.
    Running(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Running(error)
    }
}
