//! What broker-bridge measures.

use goch_chassis::Chassis;
use prometheus_client::metrics::{counter::Counter, gauge::Gauge};

/// Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct BridgeMetrics {
    /// Events in the log.
    pub(crate) log_messages: Gauge,
    /// The log's size in bytes.
    pub(crate) log_bytes: Gauge,
    /// Events that ingest-history has not been given.
    pub(crate) history_pending: Gauge,
    /// Events that ingest-history has been given and not acknowledged.
    pub(crate) history_unacknowledged: Gauge,
    /// Events read from the log.
    pub(crate) replayed: Counter,
    /// Consumers created to read the log.
    pub(crate) readers: Counter,
    /// Reads that failed and were tried again.
    pub(crate) retries: Counter,
    /// Stored events that nobody can read.
    pub(crate) unreadable: Counter,
}

impl BridgeMetrics {
    pub(crate) fn register(chassis: &Chassis) -> Self {
        let metrics = Self::default();
        chassis.metrics.register(|registry| {
            registry.register("log_messages", "Events in the log", metrics.log_messages.clone());
            registry.register("log_bytes", "Size of the log", metrics.log_bytes.clone());
            registry.register(
                "history_pending",
                "Events that ingest-history has not been given yet",
                metrics.history_pending.clone(),
            );
            registry.register(
                "history_unacknowledged",
                "Events that ingest-history has been given and has not acknowledged yet",
                metrics.history_unacknowledged.clone(),
            );
            registry.register("replayed", "Events read from the log", metrics.replayed.clone());
            registry.register(
                "replay_consumers",
                "Consumers created to read the log",
                metrics.readers.clone(),
            );
            registry.register(
                "replay_retries",
                "Reads of the log that failed and were tried again",
                metrics.retries.clone(),
            );
            registry.register(
                "unreadable_events",
                "Stored events that were left out because they are not Goch's",
                metrics.unreadable.clone(),
            );
        });
        metrics
    }
}
