//! Why a run ends early.

use std::{fmt::Display, path::PathBuf};

/// Why a run ends early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A server did what no correct server does: a delivery is missing, wrong or out of order. No
    /// figure of such a run counts.
    #[error("wrong: {0}")]
    Wrong(String),
    /// Something was not done in time.
    #[error("no end after {seconds} s: {what}")]
    Timeout {
        /// What was waited for.
        what: String,
        /// How long.
        seconds: u64,
    },
    /// The operating system, or another program, refused something.
    #[error("{what}: {why}")]
    Failed {
        /// What was tried.
        what: String,
        /// Why it did not work.
        why: String,
    },
    /// A program that is needed is not there.
    #[error("{0} is not there; `make bench` builds and finds everything")]
    Missing(PathBuf),
}

/// What everything here returns.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A server did something wrong.
    pub fn wrong(what: impl Into<String>) -> Self {
        Self::Wrong(what.into())
    }

    /// Something was tried and did not work.
    pub fn failed(what: impl Into<String>, why: impl Display) -> Self {
        Self::Failed { what: what.into(), why: why.to_string() }
    }
}

/// Says what was tried, when it did not work.
pub trait Trying<T> {
    /// Says what was tried, when it did not work.
    ///
    /// # Errors
    /// The one it had, with that said.
    fn trying(self, what: &str) -> Result<T>;
}

impl<T, E: Display> Trying<T> for std::result::Result<T, E> {
    fn trying(self, what: &str) -> Result<T> {
        self.map_err(|error| Error::failed(what, error))
    }
}
