//! Adding events: as the consumer writes them, and as a fill reads them from the log.

use std::collections::{BTreeSet, HashMap};

use fred::{
    interfaces::{KeysInterface as _, SortedSetsInterface as _},
    types::Value,
};
use goch_chassis::redis::queue_script;
use goch_contract::{ChannelName, Seq};

use super::{Entry, Store, StoreError, layout::digits};

const TRIM: &str = include_str!("trim.lua");

/// Events of a fill that are added at a time.
const FILL_ENTRIES: usize = 200;

/// A fill under way.
#[derive(Debug)]
pub(crate) struct Filling {
    key: String,
    token: String,
    history: String,
}

impl Store {
    /// Adds events, in any order and as often as one likes.
    pub(crate) async fn write(&self, generation: u64, entries: &[Entry]) -> Result<(), StoreError> {
        let mut sets = HashMap::<&ChannelName, Vec<(f64, Value)>>::new();
        for entry in entries {
            let members = entry.members().map(|member| (0.0, Value::Bytes(member)));
            sets.entry(&entry.channel).or_default().extend(members);
        }
        let sets: Vec<_> = sets
            .into_iter()
            .map(|(channel, members)| (self.key(generation, channel), members))
            .collect();
        if sets.is_empty() {
            return Ok(());
        }
        let deletions = entries.iter().filter(|entry| entry.deletes());
        let channels: BTreeSet<_> = deletions.map(|entry| &entry.channel).collect();
        let keys: Vec<_> = sets.iter().map(|(key, _)| key.clone()).collect();
        let written = async {
            let pipeline = self.redis.client().pipeline();
            for (key, members) in sets {
                pipeline.zadd::<(), _, _>(&key, None, None, false, false, members).await?;
                pipeline.expire::<(), _>(&key, self.idle_seconds, None).await?;
                pipeline.zlexcount::<(), _, _, _>(&key, "[e", "(f").await?;
            }
            // After the deletions are in: a count that is made from then on leaves out what they delete.
            for channel in channels {
                let key = self.key(generation, channel);
                pipeline.zremrangebylex::<(), _, _, _>(&key, "[c", "(d").await?;
                pipeline.zremrangebylex::<(), _, _, _>(&key, "[n", "(p").await?;
            }
            pipeline.all().await
        };
        let answers: Vec<Value> = self.redis.write(written).await?;
        let counts = answers.iter().skip(2).step_by(3).take(keys.len());
        let counts = counts.map(|count| count.as_u64().unwrap_or(0));
        self.trim(keys.into_iter().zip(counts)).await
    }

    /// Trims the sets that are well beyond the window: an eighth, so that it is not done each time.
    async fn trim(&self, counts: impl Iterator<Item = (String, u64)>) -> Result<(), StoreError> {
        let most = u64::try_from(self.window + self.window / 8).unwrap_or(u64::MAX);
        let keys: Vec<_> = counts.filter(|(_, count)| *count > most).map(|(key, _)| key).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let trimmed = async {
            let pipeline = self.redis.client().pipeline();
            for key in keys {
                queue_script(&pipeline, TRIM, &[key], &[&self.window.to_string()]).await?;
            }
            pipeline.all::<Value>().await
        };
        self.redis.write(trimmed).await?;
        Ok(())
    }

    /// Begins to fill a channel. The log is to be read after this.
    pub(crate) async fn begin_fill(
        &self,
        generation: u64,
        channel: &ChannelName,
        token: String,
    ) -> Result<Filling, StoreError> {
        let key = self.key(generation, channel);
        let arguments = vec![token.clone(), self.idle_seconds.to_string()];
        let client = self.redis.client();
        let history = self.scripts.begin.evalsha_with_reload(client, key.as_str(), arguments);
        Ok(Filling { history: self.redis.write(history).await?, key, token })
    }

    /// Adds events that were read from the log; false if the channel has been forgotten since the
    /// fill began: what was read may be gone from the log by now.
    pub(crate) async fn fill(
        &self,
        filling: &Filling,
        entries: &[Entry],
    ) -> Result<bool, StoreError> {
        for entries in entries.chunks(FILL_ENTRIES) {
            let members = entries.iter().flat_map(|entry| entry.members().map(Value::Bytes));
            let arguments: Vec<_> =
                std::iter::once(Value::from(filling.token.as_str())).chain(members).collect();
            let script = &self.scripts.fill;
            let key = filling.key.as_str();
            let client = self.redis.client();
            let added = script.evalsha_with_reload::<bool, _, _>(client, key, arguments);
            if !self.redis.write(added).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Forgets what is kept of a channel, fills that are under way included.
    pub(crate) async fn forget(
        &self,
        generation: u64,
        channel: &ChannelName,
    ) -> Result<(), StoreError> {
        let key = self.key(generation, channel);
        Ok(self.redis.write(self.redis.client().del(key)).await?)
    }

    /// Marks the channel as whole between `floor` and `top` once that is written; false if it has
    /// to be filled anew.
    pub(crate) async fn complete_fill(
        &self,
        filling: Filling,
        floor: Seq,
        top: Seq,
    ) -> Result<bool, StoreError> {
        let Filling { key, token, history } = filling;
        let arguments = vec![token, history, digits(floor.0), digits(top.0)];
        let script = &self.scripts.complete;
        let marked = script.evalsha_with_reload(self.redis.client(), key.as_str(), arguments);
        Ok(self.redis.write(marked).await?)
    }
}
