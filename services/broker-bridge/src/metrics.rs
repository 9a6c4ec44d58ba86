//! What broker-bridge measures.

use std::{sync::atomic::AtomicU64, time::Duration};

use goch_chassis::{Chassis, metrics::Source};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};

/// How long what NATS has told of its stores holds; it is asked every 15 seconds.
const STORES_HOLD_FOR: Duration = Duration::from_secs(45);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct StoreLabel {
    /// The log, or a bucket.
    store: &'static str,
}

/// On how many servers something is stored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Copies {
    /// As configured.
    pub(crate) wanted: usize,
    /// As NATS is told to.
    pub(crate) present: usize,
    /// How many have all of it at the moment.
    pub(crate) current: i64,
}

/// A share of 1.
type Ratio = Gauge<f64, AtomicU64>;

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct BridgeMetrics {
    /// NATS, which tells of the log, the buckets and the consumer.
    pub(crate) stores: Source,
    /// Events in the log.
    pub(crate) log_messages: Gauge,
    /// The log's size in bytes.
    pub(crate) log_bytes: Gauge,
    /// How full the log and each bucket are.
    pub(crate) full: Family<StoreLabel, Ratio>,
    /// The size of the log and of each bucket.
    pub(crate) stored: Family<StoreLabel, Gauge>,
    /// The largest size that each may have; -1 for any.
    pub(crate) stored_max: Family<StoreLabel, Gauge>,
    /// `LOG_REPLICAS`.
    replicas_wanted: Family<StoreLabel, Gauge>,
    /// On how many servers NATS is to store the log and each bucket.
    replicas: Family<StoreLabel, Gauge>,
    /// On how many servers all of it is at the moment.
    replicas_current: Family<StoreLabel, Gauge>,
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

impl Default for BridgeMetrics {
    fn default() -> Self {
        Self {
            stores: Source::new(STORES_HOLD_FOR),
            log_messages: Gauge::default(),
            log_bytes: Gauge::default(),
            full: Family::default(),
            stored: Family::default(),
            stored_max: Family::default(),
            replicas_wanted: Family::default(),
            replicas: Family::default(),
            replicas_current: Family::default(),
            history_pending: Gauge::default(),
            history_unacknowledged: Gauge::default(),
            replayed: Counter::default(),
            readers: Counter::default(),
            retries: Counter::default(),
            unreadable: Counter::default(),
        }
    }
}

impl BridgeMetrics {
    pub(crate) fn register(chassis: &Chassis) -> Self {
        let metrics = Self::default();
        let stores = &metrics.stores;
        chassis.metrics.register(|registry| {
            registry.register(
                "log_messages",
                "Events in the log",
                stores.bind(metrics.log_messages.clone()),
            );
            registry.register(
                "log_bytes",
                "Size of the log",
                stores.bind(metrics.log_bytes.clone()),
            );
            registry.register(
                "store_full_ratio",
                "How full the log and each bucket are, 0 to 1; 0 for one without a limit",
                stores.bind(metrics.full.clone()),
            );
            registry.register(
                "store_bytes",
                "Size of the log and of each bucket",
                stores.bind(metrics.stored.clone()),
            );
            registry.register(
                "store_max_bytes",
                "The largest size that the log and each bucket may have, -1 for any",
                stores.bind(metrics.stored_max.clone()),
            );
            registry.register(
                "store_replicas_wanted",
                "On how many servers the log and each bucket are to be, as LOG_REPLICAS says",
                stores.bind(metrics.replicas_wanted.clone()),
            );
            registry.register(
                "store_replicas",
                "On how many servers NATS is to store the log and each bucket",
                stores.bind(metrics.replicas.clone()),
            );
            registry.register(
                "store_replicas_current",
                "How many servers have all of the log and of each bucket",
                stores.bind(metrics.replicas_current.clone()),
            );
            registry.register(
                "history_pending",
                "Events that ingest-history has not been given yet",
                stores.bind(metrics.history_pending.clone()),
            );
            registry.register(
                "history_unacknowledged",
                "Events that ingest-history has been given and has not acknowledged yet",
                stores.bind(metrics.history_unacknowledged.clone()),
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

    /// Notes how large the log is, and how large it may be.
    pub(crate) fn note_log(&self, messages: i64, bytes: i64, max_bytes: i64) {
        self.log_messages.set(messages);
        self.log_bytes.set(bytes);
        self.note_bucket("log", bytes, max_bytes);
    }

    /// Notes how large a bucket is, and how large it may be.
    pub(crate) fn note_bucket(&self, store: &'static str, bytes: i64, max_bytes: i64) {
        let label = StoreLabel { store };
        self.stored.get_or_create(&label).set(bytes);
        self.stored_max.get_or_create(&label).set(max_bytes);
        self.full.get_or_create(&label).set(ratio(bytes, max_bytes));
    }

    /// Notes on how many servers the log or a bucket is.
    pub(crate) fn note_copies(&self, store: &'static str, copies: Copies) {
        let label = StoreLabel { store };
        let wanted = i64::try_from(copies.wanted).unwrap_or(i64::MAX);
        self.replicas_wanted.get_or_create(&label).set(wanted);
        self.replicas.get_or_create(&label).set(i64::try_from(copies.present).unwrap_or(i64::MAX));
        self.replicas_current.get_or_create(&label).set(copies.current);
    }
}

/// How full something is; 0 where there is no limit.
#[expect(clippy::cast_precision_loss, reason = "nobody needs more than a few digits")]
fn ratio(bytes: i64, max_bytes: i64) -> f64 {
    if max_bytes > 0 { bytes as f64 / max_bytes as f64 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_limit_is_never_full() {
        assert!(ratio(5, -1).abs() < f64::EPSILON);
        assert!((ratio(3, 4) - 0.75).abs() < f64::EPSILON);
    }
}
