//! Which channels have been idle for the longest time, and letting them go.
//!
//! A sorted set beside the channels, one for each log, has the second in which each was last written to or filled.
//! It is no more than a help: a channel that is not in it leaves when it has been idle for
//! `HISTORY_IDLE_SECONDS`, as all do. In a cluster it may lie on another node than a channel, so nothing that is
//! written or forgotten waits for it. Each step looks at a few of the longest idle, never at all keys.

use fred::{
    interfaces::{KeysInterface as _, SortedSetsInterface as _},
    types::Value,
};
use goch_chassis::redis::RedisError;
use goch_contract::ChannelName;

use super::{
    Store, StoreError, room,
    uses::{Use, now},
};

/// The last place in the list that is looked at in one step: a hundred channels.
const LAST_PLACE: i64 = 99;

/// A channel that was written to or filled within so many seconds stays, however full Redis is: it would come back
/// at once.
const STAYS_SECONDS: i64 = 60;

impl Store {
    pub(super) fn idle_key(&self, generation: u64) -> String {
        format!("{}:histories:{generation}", self.prefix)
    }

    /// Notes that a channel is being filled.
    pub(crate) fn note_use(&self, channel: &ChannelName) {
        self.uses.note(std::iter::once(channel));
    }

    /// Tells Redis which channels were used or forgotten since the last time. What it does not take is tried again.
    pub(crate) async fn tell_uses(&self, generation: u64) {
        let (used, forgotten): (Vec<_>, Vec<_>) =
            self.uses.take().into_iter().partition(|(_, used)| matches!(used, Use::At(_)));
        let (client, key) = (self.redis.client(), self.idle_key(generation));
        if !forgotten.is_empty() {
            let names: Vec<_> = forgotten.iter().map(|(channel, _)| channel.as_str()).collect();
            let told = self.redis.write(client.zrem::<(), _, _>(&key, names)).await;
            self.note_told(told, forgotten);
        }
        let scores: Vec<_> = used
            .iter()
            .filter_map(|(channel, used)| match used {
                Use::At(second) => Some((precise(*second), channel.as_str())),
                Use::Forgotten => None,
            })
            .collect();
        if !scores.is_empty() {
            let told = client.zadd::<(), _, _>(&key, None, None, false, false, scores);
            let told = self.redis.write(told).await;
            self.note_told(told, used);
        }
    }

    /// There may be no room, or that node may be away: no channel waits for it.
    fn note_told(&self, told: Result<(), RedisError>, uses: Vec<(ChannelName, Use)>) {
        if let Err(error) = told {
            tracing::debug!(%error, "when channels were last used is not noted");
            self.uses.give_back(uses.into_iter());
        }
    }

    /// Drops channels with all that is kept of them; how many had anything.
    pub(super) async fn drop_channels(
        &self,
        generation: u64,
        channels: impl Iterator<Item = &ChannelName>,
    ) -> Result<u64, StoreError> {
        let pipeline = self.redis.client().pipeline();
        let mut is_empty = true;
        for channel in channels {
            pipeline.del::<(), _>(self.key(generation, channel)).await?;
            is_empty = false;
        }
        if is_empty {
            return Ok(0);
        }
        let answers = self.redis.write_each(pipeline.try_all::<u64>()).await?;
        let dropped = answers.into_iter().sum::<Result<_, _>>()?;
        Ok(dropped)
    }

    /// One step: tells Redis which channels were used, drops the longest idle ones if memory is short, and forgets
    /// of those that have left by themselves when they were used. How many were dropped.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn evict(&self, generation: u64) -> Result<u64, StoreError> {
        self.tell_uses(generation).await;
        let is_short = room::evicts(&self.redis);
        let key = self.idle_key(generation);
        let idle = async {
            let pipeline = self.redis.client().pipeline();
            // It goes with the last channel.
            pipeline.expire::<(), _>(&key, self.idle_seconds, None).await?;
            pipeline.zrange::<(), _, _, _>(&key, 0, LAST_PLACE, None, false, None, true).await?;
            pipeline.all::<(Value, Vec<(String, f64)>)>().await
        };
        let (_, idle) = self.redis.write(idle).await?;
        let now = now();
        let stays = if is_short { STAYS_SECONDS } else { self.idle_seconds };
        let is_to_go = |used: f64| precise(now) - used >= precise(stays);
        let leaving: Vec<_> =
            idle.into_iter().filter(|(_, used)| is_to_go(*used)).map(|(name, _)| name).collect();
        if leaving.is_empty() {
            return Ok(0);
        }
        // First: whoever writes to one of them after this notes it again.
        let client = self.redis.client();
        self.redis.write(client.zrem::<(), _, _>(&key, leaving.clone())).await?;
        if !is_short {
            // Their keys expire by themselves.
            return Ok(0);
        }
        let leaving: Vec<_> =
            leaving.iter().filter_map(|name| ChannelName::parse(name).ok()).collect();
        let dropped = self.drop_channels(generation, leaving.iter()).await?;
        tracing::debug!(dropped, "idle channels have left Redis");
        Ok(dropped)
    }
}

/// As a score, which holds seconds exactly for millions of years.
#[expect(clippy::cast_precision_loss, reason = "see above")]
fn precise(seconds: i64) -> f64 {
    seconds as f64
}
