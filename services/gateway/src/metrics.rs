//! What the gateway measures. Shared by all workers; counted per batch, not per socket.

use goch_chassis::Chassis;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct CodeLabel {
    pub(crate) code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct CloseLabel {
    pub(crate) code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct LimitLabel {
    pub(crate) limit: &'static str,
}

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct GatewayMetrics {
    /// Open sockets.
    pub(crate) sockets: Gauge,
    /// Open rooms, of all workers.
    pub(crate) rooms: Gauge,
    /// Messages that were stored and acked.
    pub(crate) acked: Counter,
    /// Seconds from a `send` frame to its ack.
    pub(crate) ack_seconds: Histogram,
    /// Events handed to sockets.
    pub(crate) deliveries: Counter,
    /// Holes in a channel that were closed from the log.
    pub(crate) holes: Counter,
    /// Error frames, by code.
    pub(crate) errors: Family<CodeLabel, Counter>,
    /// Sockets closed by the gateway, by close code.
    pub(crate) closes: Family<CloseLabel, Counter>,
    /// Bytes that wait for slow readers.
    pub(crate) outbox_bytes: Gauge,
    /// Sockets closed because too much waited for all together.
    pub(crate) outboxes_shed: Counter,
    /// Authorisations answered from the cache.
    pub(crate) authorizations_cached: Counter,
    /// What a limit at the edge has refused, by limit.
    pub(crate) limited: Family<LimitLabel, Counter>,
}

impl Default for GatewayMetrics {
    fn default() -> Self {
        Self {
            sockets: Gauge::default(),
            rooms: Gauge::default(),
            acked: Counter::default(),
            ack_seconds: Histogram::new(exponential_buckets(0.000_25, 2.0, 15)),
            deliveries: Counter::default(),
            holes: Counter::default(),
            errors: Family::default(),
            closes: Family::default(),
            outbox_bytes: Gauge::default(),
            outboxes_shed: Counter::default(),
            authorizations_cached: Counter::default(),
            limited: Family::default(),
        }
    }
}

impl GatewayMetrics {
    pub(crate) fn register(chassis: &Chassis) -> Self {
        let metrics = Self::default();
        chassis.metrics.register(|registry| {
            registry.register("sockets", "Open sockets", metrics.sockets.clone());
            registry.register("rooms", "Open rooms of all workers", metrics.rooms.clone());
            registry.register("messages_acked", "Messages stored and acked", metrics.acked.clone());
            registry.register(
                "ack_seconds",
                "Seconds from a send frame to its ack",
                metrics.ack_seconds.clone(),
            );
            registry.register("deliveries", "Events handed to sockets", metrics.deliveries.clone());
            registry.register(
                "holes_closed",
                "Holes in a channel that were closed from the log",
                metrics.holes.clone(),
            );
            registry.register("error_frames", "Error frames by code", metrics.errors.clone());
            registry.register(
                "closes",
                "Sockets closed by the gateway, by close code",
                metrics.closes.clone(),
            );
            registry.register(
                "outbox_bytes",
                "Bytes that wait to be written to sockets",
                metrics.outbox_bytes.clone(),
            );
            registry.register(
                "outboxes_shed",
                "Sockets closed because too much waited for all sockets together",
                metrics.outboxes_shed.clone(),
            );
            registry.register(
                "authorizations_cached",
                "Authorisations answered from the cache",
                metrics.authorizations_cached.clone(),
            );
            registry.register(
                "limited",
                "Handshakes, joins, frames and messages refused by a limit, by limit",
                metrics.limited.clone(),
            );
        });
        metrics
    }
}
