//! Keeps the projection whole: follows both buckets and writes every change to Redis.
//!
//! Whenever anything may be missing there (Redis was wiped, restarted or away, a write failed, the
//! buckets were replaced) the projection is distrusted and built from the beginning. While Redis is away the
//! buckets are followed all the same, because what is left to be done is found that way. While it is full, what is
//! removed or replaced in the buckets is so in Redis, too.

use std::{sync::Arc, time::Duration};

use async_nats::connection::State;
use fred::interfaces::EventInterface as _;
use futures_util::{StreamExt as _, stream};
use goch_chassis::{
    Chassis,
    bucket::{Bucket, Change, Changes, FollowError},
    nats::{Nats, pause},
    redis::{Redis, RedisError},
};
use goch_contract::{ChannelName, Error};
use tokio::time::{Instant, MissedTickBehavior};

use super::projection::{Epochs, Key, Projection, Write};
use crate::{
    announcer::Announcer,
    lifecycle::{
        finisher::Unfinished,
        sweeper::{Marker, Sweeper},
    },
    metrics::AdminMetrics,
    record::{ChannelRecord, MemberRecord, parse_member_key},
    waiting::Waiting,
};

/// Changes written to Redis in one round trip.
const BATCH: usize = 512;

/// How often the marker is looked for.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// Follows both buckets.
pub(crate) struct Keeper {
    pub(crate) chassis: Chassis,
    pub(crate) nats: Nats,
    pub(crate) redis: Redis,
    pub(crate) channels: Arc<Bucket<ChannelRecord>>,
    pub(crate) members: Arc<Bucket<MemberRecord>>,
    pub(crate) projection: Projection,
    pub(crate) announcer: Announcer,
    pub(crate) unfinished: Arc<Waiting<Unfinished>>,
    pub(crate) sweeper: Sweeper,
    pub(crate) metrics: AdminMetrics,
}

/// Why the projection must be built again.
#[derive(Debug, thiserror::Error)]
enum Damage {
    #[error("Redis takes writes again")]
    Back,
    #[error("Redis was wiped")]
    Wiped,
    #[error("the connection to Redis was lost for a moment")]
    Reconnected,
    #[error("the buckets are to be read again")]
    Asked,
    #[error("the buckets: {0}")]
    Buckets(#[from] Error),
    #[error("following the buckets: {0}")]
    Follow(#[from] FollowError),
    #[error("following the buckets ended")]
    Ended,
    #[error("the buckets are others than before")]
    Replaced,
}

/// What of the changes is written to Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Copying {
    All,
    /// Redis is full: what it still takes, which is whatever removes something or replaces it.
    WhatFits,
    Nothing,
}

#[derive(Debug, Clone, Copy)]
enum Source {
    Channels,
    Members,
}

impl Keeper {
    /// Works until the service ends.
    pub(crate) async fn run(mut self) {
        let shutdown = self.chassis.shutdown.clone();
        shutdown.unless_begun(self.keep()).await;
    }

    async fn keep(&mut self) {
        let mut attempt = 1;
        let mut reported = false;
        loop {
            let built = match self.build_and_follow().await {
                Ok(never) => match never {},
                Err(stopped) => stopped,
            };
            self.projection.distrust();
            self.metrics.projection_whole.set(0);
            if built.was_whole || !reported {
                tracing::warn!(reason = %built.damage, "the copy in Redis is not whole; rebuilding");
            }
            reported = true;
            attempt = if built.was_whole { 1 } else { attempt + 1 };
            tokio::time::sleep(pause(attempt)).await;
        }
    }

    async fn build_and_follow(&mut self) -> Result<std::convert::Infallible, Stopped> {
        let mut was_whole = false;
        self.follow(&mut was_whole).await.map_err(|damage| Stopped { damage, was_whole })
    }

    /// Writes all that the buckets hold, and then every change, until something goes wrong.
    async fn follow(&mut self, was_whole: &mut bool) -> Result<std::convert::Infallible, Damage> {
        let mut reconnected = self.redis.client().reconnect_rx();
        self.nats.interruptions.mark_unchanged();
        let started = Instant::now();
        let epochs = self.read_epochs().await?;
        let mut copying = self.begin(epochs).await;
        let mut last = self.read_last_revisions().await?;
        let channels = self.channels.follow(">").await?;
        let members = self.members.follow(">").await?;
        let mut lag = Lag { channels: channels.pending, members: members.pending };
        let mut seen = LastRevisions::default();
        let mut changes = merge(channels, members).ready_chunks(BATCH);
        let mut check = tokio::time::interval(CHECK_EVERY);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut compare_epochs = false;
        loop {
            self.metrics.projection_lag.set(i64::try_from(lag.total()).unwrap_or(i64::MAX));
            if copying == Copying::All && !*was_whole && lag.total() == 0 && seen.reaches(last) {
                *was_whole = true;
                self.projection.complete();
                self.metrics.projection_whole.set(1);
                let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or_default();
                tracing::info!(milliseconds, "the copy in Redis is whole");
            }
            tokio::select! {
                batch = changes.next() => {
                    let writes = self.understand_all(batch.ok_or(Damage::Ended)?, &mut lag, &mut seen)?;
                    let written = match copying {
                        Copying::All => self.projection.write(&writes).await,
                        Copying::WhatFits => self.projection.write_what_fits(&writes).await,
                        Copying::Nothing => Ok(()),
                    };
                    if let Err(error) = written {
                        copying = self.do_without(&error);
                    }
                }
                _ = check.tick() => {
                    // What was the last may have been purged meanwhile.
                    if !*was_whole && lag.total() == 0 && !seen.reaches(last)
                        && let Ok(now) = self.read_last_revisions().await
                    {
                        last = now;
                    }
                    // Without a connection nothing is heard, and nothing says so.
                    if self.nats.client.connection_state() == State::Connected {
                        self.metrics.buckets.note_heard();
                    }
                    if copying == Copying::All {
                        match self.projection.is_marked().await {
                            Ok(true) => {}
                            Ok(false) => return Err(Damage::Wiped),
                            Err(error) => copying = self.do_without(&error),
                        }
                    }
                    if compare_epochs && let Ok(now) = self.read_epochs().await {
                        if now != epochs {
                            return Err(Damage::Replaced);
                        }
                        compare_epochs = false;
                    }
                }
                _ = reconnected.recv(), if copying == Copying::All => {
                    return Err(Damage::Reconnected);
                }
                () = self.redis.takes_writes(), if copying != Copying::All => {
                    return Err(Damage::Back);
                }
                () = self.projection.build_asked() => return Err(Damage::Asked),
                // The consumers go on by themselves, if the buckets are still the same ones.
                Ok(()) = self.nats.interruptions.changed() => compare_epochs = true,
            }
        }
    }

    /// Where the buckets end. A replica that lags behind has nothing more before that.
    async fn read_last_revisions(&self) -> Result<LastRevisions, Error> {
        let channels = self.channels.last_revision(">").await?;
        Ok(LastRevisions { channels, members: self.members.last_revision(">").await? })
    }

    async fn read_epochs(&self) -> Result<Epochs, Error> {
        Ok(Epochs { channels: self.channels.epoch().await?, members: self.members.epoch().await? })
    }

    /// Begins a build, if there is a Redis that takes one.
    async fn begin(&self, epochs: Epochs) -> Copying {
        match self.projection.begin(epochs).await {
            Ok(()) => {
                self.metrics.projection_builds.inc();
                Copying::All
            }
            Err(error) => self.do_without(&error),
        }
    }

    /// Goes on without a copy until Redis takes all writes again.
    fn do_without(&self, error: &RedisError) -> Copying {
        self.projection.distrust();
        self.metrics.projection_whole.set(0);
        tracing::warn!(%error, "channels and members are not copied to Redis");
        if matches!(error, RedisError::Full) { Copying::WhatFits } else { Copying::Nothing }
    }

    /// What a batch of changes writes.
    fn understand_all(
        &self,
        batch: Vec<(Source, Option<Result<Change, FollowError>>)>,
        lag: &mut Lag,
        seen: &mut LastRevisions,
    ) -> Result<Vec<Write>, Damage> {
        let mut writes = Vec::with_capacity(batch.len());
        for (source, change) in batch {
            let change = change.ok_or(Damage::Ended)??;
            match source {
                Source::Channels => {
                    (lag.channels, seen.channels) = (change.pending, change.revision);
                }
                Source::Members => (lag.members, seen.members) = (change.pending, change.revision),
            }
            writes.extend(self.understand(source, &change));
        }
        Ok(writes)
    }

    /// What a change writes. What is not ours is left out.
    fn understand(&self, source: Source, change: &Change) -> Option<Write> {
        let value = change.value.as_ref();
        let mut is_of_account = false;
        let key = match source {
            Source::Channels => {
                let name = ChannelName::of_token(&change.key)?;
                match value.map(|value| serde_json::from_slice::<ChannelRecord>(value)) {
                    None => {
                        self.sweeper.note(Marker::Channel(change.key.clone(), change.revision));
                    }
                    Some(Ok(record)) if record.deleting || !record.announced => {
                        self.unfinished.add(Unfinished::Channel(name.clone()));
                    }
                    Some(Ok(_)) => self.unfinished.remove(&Unfinished::Channel(name.clone())),
                    Some(Err(_)) => {}
                }
                Key::Channel(name)
            }
            Source::Members => {
                let (channel, uid) = parse_member_key(&change.key)?;
                let record = value.map(|value| serde_json::from_slice::<MemberRecord>(value));
                match &record {
                    None => {
                        self.sweeper.note(Marker::Member(change.key.clone(), change.revision));
                    }
                    Some(Ok(record)) => {
                        is_of_account = record.is_account();
                        self.announcer.note(&channel, &uid, record.announced);
                    }
                    Some(Err(_)) => {}
                }
                Key::of(channel, uid, record.and_then(Result::ok).as_ref())
            }
        };
        let record = std::str::from_utf8(value.map_or(&[], |value| value)).ok()?.to_owned();
        Some(Write { key, revision: change.revision, record, is_of_account })
    }
}

struct Stopped {
    damage: Damage,
    was_whole: bool,
}

/// The last change of each bucket.
#[derive(Debug, Clone, Copy, Default)]
struct LastRevisions {
    channels: u64,
    members: u64,
}

impl LastRevisions {
    fn reaches(self, other: Self) -> bool {
        self.channels >= other.channels && self.members >= other.members
    }
}

/// Changes that are still to come, when each bucket was last heard of.
#[derive(Debug)]
struct Lag {
    channels: u64,
    members: u64,
}

impl Lag {
    fn total(&self) -> u64 {
        self.channels.saturating_add(self.members)
    }
}

/// Both streams as one, whose items say where they come from; the end of either is an item.
fn merge(
    channels: Changes,
    members: Changes,
) -> impl stream::Stream<Item = (Source, Option<Result<Change, FollowError>>)> {
    let with_end = |changes: Changes| changes.map(Some).chain(stream::iter([None]));
    stream::select(
        with_end(channels).map(|change| (Source::Channels, change)),
        with_end(members).map(|change| (Source::Members, change)),
    )
}
