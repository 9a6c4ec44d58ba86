//! What ingest-history measures.

use std::time::Duration;

use goch_chassis::{Chassis, metrics::Source};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};

/// How long what the consumer has told holds; it is asked four times a second.
const CONSUMER_HOLDS_FOR: Duration = Duration::from_secs(15);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct SourceLabels {
    /// `redis`, `log`, or `both` for a page that reaches further back than Redis.
    pub(crate) source: &'static str,
}

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct HistoryMetrics {
    /// Events that this process wrote to Redis.
    pub(crate) events_written: Counter,
    /// Stored payloads that are not events.
    pub(crate) events_refused: Counter,
    /// Batches that Redis did not take at once.
    pub(crate) write_failures: Counter,
    /// Events in the log that no replica has written yet.
    history_lag: Gauge,
    /// The log's consumer, which tells of the lag.
    consumer: Source,
    /// Channels filled from the log.
    pub(crate) fills: Counter,
    /// Fills that did not come to their end.
    pub(crate) fill_failures: Counter,
    /// Events per channel that are kept at the moment.
    pub(crate) window: Gauge,
    /// Channels dropped because memory was short.
    pub(crate) evictions: Counter,
    /// Pages, by where they came from.
    pub(crate) pages: Family<SourceLabels, Counter>,
    /// Unread counts, by where they came from.
    pub(crate) counts: Family<SourceLabels, Counter>,
}

impl HistoryMetrics {
    pub(crate) fn register(chassis: &Chassis) -> Self {
        let metrics = Self {
            events_written: Counter::default(),
            events_refused: Counter::default(),
            write_failures: Counter::default(),
            history_lag: Gauge::default(),
            consumer: Source::new(CONSUMER_HOLDS_FOR),
            fills: Counter::default(),
            fill_failures: Counter::default(),
            window: Gauge::default(),
            evictions: Counter::default(),
            pages: Family::default(),
            counts: Family::default(),
        };
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
                metrics.consumer.bind(metrics.history_lag.clone()),
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
            registry.register(
                "history_window",
                "Events per channel that are kept in Redis: fewer while its memory is short",
                metrics.window.clone(),
            );
            registry.register(
                "history_evictions",
                "Channels that left Redis before their time because its memory was short",
                metrics.evictions.clone(),
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

    /// Notes how many events are not in Redis, as the consumer has just told.
    pub(crate) fn note_lag(&self, waiting: u64) {
        self.history_lag.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        self.consumer.note_heard();
    }
}
