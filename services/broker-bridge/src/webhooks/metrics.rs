//! What is measured of webhooks.

use goch_chassis::Chassis;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OutcomeLabels {
    pub(crate) outcome: &'static str,
}

/// Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct WebhookMetrics {
    /// Requests sent.
    pub(crate) requests: Family<OutcomeLabels, Counter>,
    /// Channels whose events wait, of the webhooks that this process delivers.
    pub(crate) waiting: Gauge,
    /// Events given up.
    pub(crate) dead_letters: Counter,
    /// Webhooks disabled because they failed.
    pub(crate) disabled: Counter,
}

impl WebhookMetrics {
    pub(crate) fn register(chassis: &Chassis) -> Self {
        let metrics = Self::default();
        chassis.metrics.register(|registry| {
            registry.register(
                "webhook_requests",
                "Requests sent to webhooks, by outcome",
                metrics.requests.clone(),
            );
            registry.register(
                "webhook_channels_waiting",
                "Channels whose events wait for another attempt, over the webhooks that this \
                 process delivers",
                metrics.waiting.clone(),
            );
            registry.register(
                "webhook_dead_letters",
                "Events that became dead letters after all attempts",
                metrics.dead_letters.clone(),
            );
            registry.register(
                "webhooks_disabled",
                "Webhooks disabled because they failed",
                metrics.disabled.clone(),
            );
        });
        metrics
    }
}
