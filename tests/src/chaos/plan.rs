//! How a run is to be.

use std::time::Duration;

use crate::parameter::number;

/// A run's parameters. The same seed makes the same faults in the same order; what they hit depends
/// on the machine's timing.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What all chance comes from.
    pub seed: u64,
    /// How long load and faults go on.
    pub duration: Duration,
    /// Gateways.
    pub gateways: usize,
    /// Threads of each gateway that hold sockets.
    pub workers: usize,
    /// Channels.
    pub channels: usize,
    /// Writers of each channel.
    pub writers: usize,
    /// Readers of each channel.
    pub readers: usize,
    /// Whether NATS is a cluster of three servers with three replicas of everything.
    pub cluster: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            seed: 1,
            duration: Duration::from_secs(30),
            gateways: 2,
            workers: 2,
            channels: 3,
            writers: 2,
            readers: 3,
            cluster: false,
        }
    }
}

impl Plan {
    /// The plan that `SEED`, `SECONDS`, `GATEWAYS`, `WORKERS`, `CHANNELS`, `WRITERS`, `READERS` and
    /// `CLUSTER=1` make; a seed of this moment if none is given.
    ///
    /// # Panics
    /// When a variable is not a number.
    #[must_use]
    pub fn from_environment() -> Self {
        let default = Self { duration: Duration::from_mins(1), ..Self::default() };
        Self {
            seed: number("SEED").unwrap_or_else(|| fastrand::u64(1..1_000_000)),
            duration: number("SECONDS").map_or(default.duration, Duration::from_secs),
            gateways: number("GATEWAYS").unwrap_or(default.gateways),
            workers: number("WORKERS").unwrap_or(default.workers),
            channels: number("CHANNELS").unwrap_or(default.channels),
            writers: number("WRITERS").unwrap_or(default.writers),
            readers: number("READERS").unwrap_or(default.readers),
            cluster: number::<u8>("CLUSTER").is_some_and(|value| value > 0),
        }
    }
}
