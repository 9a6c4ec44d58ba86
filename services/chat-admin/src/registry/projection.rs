//! The copy of both buckets in Redis: quick to read, and never the only place of anything.
//!
//! Each value is `<epoch> <revision> <record as JSON>`, and a script keeps an older revision from
//! replacing a newer one, so replicas may write in any order. The epoch is the bucket's: after NATS
//! has lost its data, values of the buckets that are gone count for nothing.

mod memberships;
mod read;
mod write;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use goch_chassis::redis::Redis;
use goch_contract::{ChannelName, Uid};
use tokio::sync::Notify;

pub(crate) use self::{
    memberships::MembershipPage,
    read::ChannelPage,
    write::{Key, Write},
};

/// How long a read may take before the bucket is asked instead.
const READ_TIMEOUT: Duration = Duration::from_millis(300);

/// The field of a channel's own hash.
const STATE: &str = "state";

/// When each bucket was created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Epochs {
    pub(crate) channels: u64,
    pub(crate) members: u64,
}

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Projection {
    redis: Redis,
    prefix: Arc<str>,
    /// Set anew at the start of each build by this process; once it is gone, so may be anything
    /// else that was written since.
    marker: Arc<str>,
    whole: Arc<AtomicBool>,
    build_asked: Arc<Notify>,
    channels_epoch: Arc<AtomicU64>,
    members_epoch: Arc<AtomicU64>,
}

impl Projection {
    /// `process` tells this process from all others that use the same keys.
    pub(crate) fn new(redis: Redis, prefix: &str, process: &str) -> Self {
        Self {
            redis,
            prefix: Arc::from(prefix),
            // Apart from every channel's keys, so that ACLs can tell the two apart.
            marker: Arc::from(format!("{prefix}:projection:{process}")),
            whole: Arc::default(),
            build_asked: Arc::default(),
            channels_epoch: Arc::default(),
            members_epoch: Arc::default(),
        }
    }

    fn channel_key(&self, channel: &ChannelName) -> String {
        format!("{}:{{{}}}:channel", self.prefix, channel.token())
    }

    fn members_key(&self, channel: &ChannelName) -> String {
        format!("{}:{{{}}}:members", self.prefix, channel.token())
    }

    /// Records of people who are no members: bans, and uids that are taken.
    fn others_key(&self, channel: &ChannelName) -> String {
        format!("{}:{{{}}}:others", self.prefix, channel.token())
    }

    /// Remembers that the field `field` of one of a channel's hashes was deleted.
    fn gone_key(&self, channel: &ChannelName, field: &str) -> String {
        format!("{}:{{{}}}:gone:{field}", self.prefix, channel.token())
    }

    /// The channels of an account, apart from all of theirs.
    fn memberships_key(&self, uid: &Uid) -> String {
        format!("{}:{{{}}}:memberships", self.prefix, uid.token())
    }

    fn names_key(&self) -> String {
        format!("{}:channels", self.prefix)
    }

    /// Whether Redis has all that the buckets hold.
    pub(crate) fn is_whole(&self) -> bool {
        self.whole.load(Ordering::Relaxed)
    }

    pub(crate) fn epochs(&self) -> Epochs {
        Epochs {
            channels: self.channels_epoch.load(Ordering::Relaxed),
            members: self.members_epoch.load(Ordering::Relaxed),
        }
    }
}
