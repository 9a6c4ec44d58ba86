//! Which channels have been idle for the longest time, and letting them go.
//!
//! A sorted set beside the channels, one for each log, has the second in which each was last written to or filled.
//! It is no more than a help: a channel that is not in it leaves when it has been idle for
//! `HISTORY_IDLE_SECONDS`, as all do. Each step looks at a few of the longest idle, never at all keys.

use std::time::{SystemTime, UNIX_EPOCH};

use fred::{
    clients::{Client, Pipeline},
    interfaces::{KeysInterface as _, SortedSetsInterface as _},
    types::Value,
};
use goch_contract::ChannelName;

use super::{Store, StoreError, room};

/// Channels looked at in one step.
const STEP: i64 = 100;

/// A channel that was written to or filled within so many seconds stays, however full Redis is: it would come back
/// at once.
const STAYS_SECONDS: i64 = 60;

impl Store {
    fn idle_key(&self, generation: u64) -> String {
        format!("{}:histories:{generation}", self.prefix)
    }

    /// Adds to a pipeline that channels are written to now; it is one command more.
    pub(super) async fn queue_use(
        &self,
        pipeline: &Pipeline<Client>,
        generation: u64,
        channels: impl Iterator<Item = &ChannelName>,
    ) -> Result<(), fred::error::Error> {
        let now = precise(now());
        let used: Vec<_> = channels.map(|channel| (now, channel.as_str())).collect();
        let key = self.idle_key(generation);
        pipeline.zadd::<(), _, _>(key, None, None, false, false, used).await
    }

    /// Notes that a channel was filled.
    pub(crate) async fn note_use(&self, generation: u64, channel: &ChannelName) {
        let client = self.redis.client();
        let used = (precise(now()), channel.as_str());
        let key = self.idle_key(generation);
        let noted = client.zadd::<(), _, _>(key, None, None, false, false, used);
        if let Err(error) = self.redis.write(noted).await {
            tracing::debug!(%channel, %error, "when a channel was last used is not noted");
        }
    }

    /// Drops channels with all that is kept of them; how many had anything.
    pub(super) async fn drop_channels(
        &self,
        generation: u64,
        channels: &[&ChannelName],
    ) -> Result<u64, StoreError> {
        if channels.is_empty() {
            return Ok(0);
        }
        let pipeline = self.redis.client().pipeline();
        // First: whoever writes to one of them after this notes it again.
        let names: Vec<_> = channels.iter().map(|channel| channel.as_str()).collect();
        pipeline.zrem::<(), _, _>(self.idle_key(generation), names).await?;
        for channel in channels {
            pipeline.del::<(), _>(self.key(generation, channel)).await?;
        }
        let answers = self.redis.write_each(pipeline.try_all::<u64>()).await?;
        // Without the first, which is a help only. A pipeline that fails as a whole has one answer for all.
        let help = usize::from(answers.len() > channels.len());
        let dropped = answers.into_iter().skip(help).sum::<Result<_, _>>()?;
        Ok(dropped)
    }

    /// One step: drops the longest idle channels if memory is short, and forgets of those that have left by
    /// themselves when they were used. How many were dropped.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn evict(&self, generation: u64) -> Result<u64, StoreError> {
        let is_short = room::evicts(&self.redis);
        let key = self.idle_key(generation);
        let idle = async {
            let pipeline = self.redis.client().pipeline();
            // It goes with the last channel.
            pipeline.expire::<(), _>(&key, self.idle_seconds, None).await?;
            pipeline.zrange::<(), _, _, _>(&key, 0, STEP - 1, None, false, None, true).await?;
            pipeline.all::<(Value, Vec<(String, f64)>)>().await
        };
        let (_, idle) = self.redis.write(idle).await?;
        let now = now();
        let stays = if is_short { STAYS_SECONDS } else { self.idle_seconds };
        let is_to_go = |used: f64| precise(now) - used >= precise(stays);
        let leaving: Vec<_> = idle
            .into_iter()
            .filter(|(_, used)| is_to_go(*used))
            .filter_map(|(name, _)| ChannelName::parse(&name).ok())
            .collect();
        let dropped = self.drop_channels(generation, &leaving.iter().collect::<Vec<_>>()).await?;
        if dropped > 0 {
            tracing::debug!(dropped, "idle channels have left Redis");
        }
        Ok(dropped)
    }
}

/// Unix seconds.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// As a score, which holds seconds exactly for millions of years.
#[expect(clippy::cast_precision_loss, reason = "see above")]
fn precise(seconds: i64) -> f64 {
    seconds as f64
}
