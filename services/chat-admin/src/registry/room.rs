//! Whether channels and members may be added. What ends is written into the same buckets, and can be larger
//! than what it takes the place of; so the last part of a bucket is kept for it, and new records are refused
//! before NATS refuses everything.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use goch_chassis::shutdown::Shutdown;
use goch_contract::Error;
use tokio::time::MissedTickBehavior;

use super::bucket::Bucket;
use crate::record::{ChannelRecord, MemberRecord, Record};

/// How often it is looked how full the buckets are.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Which part of a bucket is kept for what ends: the 32nd.
const PARTS: u64 = 32;

/// See the module. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Room {
    channels_are_full: Arc<AtomicBool>,
    members_are_full: Arc<AtomicBool>,
}

impl Room {
    /// Keeps it current, until the service ends.
    pub(crate) async fn run(
        self,
        channels: Arc<Bucket<ChannelRecord>>,
        members: Arc<Bucket<MemberRecord>>,
        shutdown: Shutdown,
    ) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while shutdown.unless_begun(look.tick()).await.is_some() {
            note("channels", &self.channels_are_full, &channels).await;
            note("members", &self.members_are_full, &members).await;
        }
    }

    /// # Errors
    /// `unavailable` when no channel may be added.
    pub(crate) fn check_channels(&self) -> Result<(), Error> {
        check(&self.channels_are_full, "there is no room for more channels")
    }

    /// # Errors
    /// `unavailable` when no member may be added.
    pub(crate) fn check_members(&self) -> Result<(), Error> {
        check(&self.members_are_full, "there is no room for more members")
    }
}

fn check(full: &AtomicBool, message: &'static str) -> Result<(), Error> {
    if full.load(Ordering::Relaxed) { Err(Error::unavailable(message)) } else { Ok(()) }
}

/// While NATS does not tell, what it told last holds.
async fn note<R: Record>(what: &str, full: &AtomicBool, bucket: &Bucket<R>) {
    let Ok((bytes, max_bytes)) = bucket.size().await else { return };
    let is_full = max_bytes.is_some_and(|max_bytes| is_full(bytes, max_bytes));
    if full.swap(is_full, Ordering::Relaxed) != is_full {
        tracing::warn!(bucket = what, is_full, bytes, "whether a bucket is full has changed");
    }
}

fn is_full(bytes: u64, max_bytes: u64) -> bool {
    bytes >= max_bytes - max_bytes / PARTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_part_is_kept() {
        assert!(!is_full(3_099, 3_200));
        assert!(is_full(3_100, 3_200));
        assert!(is_full(3_200, 3_200));
    }
}
