//! Removes what remains of a deleted record: the marker that names its key.
//!
//! Replicas hear of a deletion by the marker, so it stays for a while. Then it goes, since a uid, or a
//! channel's name, can be personal data too. With NATS before 2.10 it stays.
//!
//! It also stays while the copy in Redis is not whole: who builds it anew learns by the marker what to remove there.

use std::{sync::Arc, time::Duration};

use goch_chassis::shutdown::Shutdown;
use goch_contract::Error;
use prometheus_client::metrics::gauge::Gauge;
use tokio::time::{Instant, MissedTickBehavior};

use super::Buckets;
use crate::{registry::projection::Projection, waiting::Waiting};

/// How often it is looked whether anything is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A marker: where it is, and as which revision.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Marker {
    Channel(String, u64),
    Member(String, u64),
}

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Sweeper {
    buckets: Buckets,
    projection: Projection,
    waiting: Arc<Waiting<Marker>>,
}

impl Sweeper {
    /// Markers are kept for `keep_for`, and up to half as long again.
    pub(crate) fn new(buckets: Buckets, projection: Projection, keep_for: Duration) -> Self {
        let waiting = Arc::new(Waiting::new(keep_for, keep_for / 2, Gauge::default()));
        Self { buckets, projection, waiting }
    }

    /// Learns of a marker.
    pub(crate) fn note(&self, marker: Marker) {
        self.waiting.add(marker);
    }

    /// Removes what is due, until the service ends. Calls `reread` when some were left out for want
    /// of room, and there is room again.
    pub(crate) async fn run(self, shutdown: Shutdown, reread: impl Fn()) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while shutdown.unless_begun(look.tick()).await.is_some() {
            if !self.projection.is_whole() {
                continue;
            }
            for marker in self.waiting.due(Instant::now()) {
                // The rest would fail the same way; all stay until they are removed.
                if self.remove(&marker).await.is_err() || shutdown.has_begun() {
                    break;
                }
                self.waiting.remove(&marker);
            }
            if self.waiting.has_room_again() {
                reread();
            }
        }
    }

    async fn remove(&self, marker: &Marker) -> Result<(), Error> {
        if !self.buckets.channels.can_purge() {
            return Ok(());
        }
        match marker {
            Marker::Channel(key, revision) => {
                self.buckets.channels.purge(key, Some(*revision)).await
            }
            Marker::Member(key, revision) => self.buckets.members.purge(key, Some(*revision)).await,
        }
    }
}
