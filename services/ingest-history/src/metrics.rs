//! What ingest-history measures.

use goch_chassis::Chassis;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct SourceLabels {
    /// `redis`, `log`, or `both` for a page that reaches further back than Redis.
    pub(crate) source: &'static str,
}

/// Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct HistoryMetrics {
    /// Events that this process wrote to Redis.
    pub(crate) events_written: Counter,
    /// Stored payloads that are not events.
    pub(crate) events_refused: Counter,
    /// Batches that Redis did not take at once.
    pub(crate) write_failures: Counter,
    /// Events in the log that no replica has written yet.
    pub(crate) history_lag: Gauge,
    /// Channels filled from the log.
    pub(crate) fills: Counter,
    /// Fills that did not come to their end.
    pub(crate) fill_failures: Counter,
    /// Pages, by where they came from.
    pub(crate) pages: Family<SourceLabels, Counter>,
    /// Unread counts, by where they came from.
    pub(crate) counts: Family<SourceLabels, Counter>,
}

impl HistoryMetrics {
    pub(crate) fn register(chassis: &Chassis) -> Self {
        let metrics = Self::default();
        chassis.metrics.register(|registry| {
            registry.register(
                "history_events_written",
                "Events written to Redis",
                metrics.events_written.clone(),
            );
            registry.register(
                "history_events_refused",
                "Stored payloads that are not events",
                metrics.events_refused.clone(),
            );
            registry.register(
                "history_write_failures",
                "Batches that Redis did not take at once",
                metrics.write_failures.clone(),
            );
            registry.register(
                "history_lag",
                "Events in the log that are not yet in Redis",
                metrics.history_lag.clone(),
            );
            registry.register(
                "history_fills",
                "Channels filled from the log",
                metrics.fills.clone(),
            );
            registry.register(
                "history_fill_failures",
                "Fills that did not come to their end",
                metrics.fill_failures.clone(),
            );
            registry.register("history_pages", "Pages by source", metrics.pages.clone());
            registry.register(
                "history_unread_counts",
                "Unread counts by source",
                metrics.counts.clone(),
            );
        });
        metrics
    }
}
