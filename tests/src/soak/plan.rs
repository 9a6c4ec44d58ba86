//! How a soak run is to be.

use std::time::Duration;

use crate::parameter::number;

/// A run's parameters.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How long clients come and go.
    pub duration: Duration,
    /// Clients at a time.
    pub clients: usize,
}

impl Plan {
    /// The plan that `SECONDS` and `CLIENTS` make.
    ///
    /// # Panics
    /// When a variable is not a number.
    #[must_use]
    pub fn from_environment() -> Self {
        Self {
            duration: Duration::from_secs(number("SECONDS").unwrap_or(180)),
            clients: number("CLIENTS").unwrap_or(50),
        }
    }
}
