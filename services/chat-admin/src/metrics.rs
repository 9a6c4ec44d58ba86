//! What chat-admin measures.

use std::time::Duration;

use goch_chassis::{Chassis, metrics::Source};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};

/// How long what is known of the buckets holds; it is looked every second whether they are followed.
const BUCKETS_HOLD_FOR: Duration = Duration::from_secs(15);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RouteLabels {
    pub(crate) method: &'static str,
    /// The pattern of the path, never the path itself.
    pub(crate) route: String,
    pub(crate) status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct LoginLabels {
    pub(crate) reason: &'static str,
}

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct AdminMetrics {
    /// The buckets, which tell what is to be done and to be copied.
    pub(crate) buckets: Source,
    /// REST requests.
    pub(crate) http_requests: Family<RouteLabels, Counter>,
    /// Logins that were refused.
    pub(crate) logins_refused: Family<LoginLabels, Counter>,
    /// Channels created by this process.
    pub(crate) channels_created: Counter,
    /// Members registered by this process.
    pub(crate) members_registered: Counter,
    /// `joined` events that were not stored at once.
    pub(crate) announcements_waiting: Gauge,
    /// Deletions, closings and erasures that some replica has to finish.
    pub(crate) unfinished: Gauge,
    /// 1 while Redis can be trusted.
    pub(crate) projection_whole: Gauge,
    /// Changes in the buckets that this process has not yet applied to Redis.
    pub(crate) projection_lag: Gauge,
    /// How often the projection was built from the beginning.
    pub(crate) projection_builds: Counter,
}

impl AdminMetrics {
    pub(crate) fn register(chassis: &Chassis) -> Self {
        let metrics = Self {
            buckets: Source::new(BUCKETS_HOLD_FOR),
            http_requests: Family::default(),
            logins_refused: Family::default(),
            channels_created: Counter::default(),
            members_registered: Counter::default(),
            announcements_waiting: Gauge::default(),
            unfinished: Gauge::default(),
            projection_whole: Gauge::default(),
            projection_lag: Gauge::default(),
            projection_builds: Counter::default(),
        };
        let buckets = &metrics.buckets;
        chassis.metrics.register(|registry| {
            registry.register(
                "http_requests",
                "REST requests by method, route and status",
                metrics.http_requests.clone(),
            );
            registry.register(
                "logins_refused",
                "Logins refused, by reason: wrong credentials, or throttled after such",
                metrics.logins_refused.clone(),
            );
            registry.register(
                "channels_created",
                "Channels created",
                metrics.channels_created.clone(),
            );
            registry.register(
                "members_registered",
                "Members registered",
                metrics.members_registered.clone(),
            );
            registry.register(
                "announcements_waiting",
                "Members whose joined event is not yet in the log",
                buckets.bind(metrics.announcements_waiting.clone()),
            );
            registry.register(
                "lifecycle_unfinished",
                "Deletions, closings and erasures of which some step is still to be done",
                buckets.bind(metrics.unfinished.clone()),
            );
            registry.register(
                "projection_whole",
                "1 while Redis has all channels and members",
                buckets.bind(metrics.projection_whole.clone()),
            );
            registry.register(
                "projection_lag",
                "Changes of channels and members not yet applied to Redis",
                buckets.bind(metrics.projection_lag.clone()),
            );
            registry.register(
                "projection_builds",
                "How often the copy in Redis was built from the beginning",
                metrics.projection_builds.clone(),
            );
        });
        metrics
    }
}
