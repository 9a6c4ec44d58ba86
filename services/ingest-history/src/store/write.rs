//! Adding events: as the consumer writes them, and as a fill reads them from the log.

use std::collections::{BTreeMap, BTreeSet};

use fred::{
    interfaces::{KeysInterface as _, SortedSetsInterface as _},
    types::Value,
};
use goch_chassis::redis::{RedisError, queue_script};
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
    /// Adds events, in any order and as often as one likes. How many channels had to be dropped instead.
    ///
    /// A channel whose events Redis has no memory for is dropped as a whole. So it is one that Redis does not know,
    /// which is read from the log, and the events count as written: no other channel's wait for them. A fill that
    /// is under way, and may have read the log before them, finds its token gone.
    pub(crate) async fn write(
        &self,
        generation: u64,
        entries: &[Entry],
    ) -> Result<u64, StoreError> {
        let mut sets = BTreeMap::<&ChannelName, Vec<(f64, Value)>>::new();
        for entry in entries {
            let members = entry.members().map(|member| (0.0, Value::Bytes(member)));
            sets.entry(&entry.channel).or_default().extend(members);
        }
        if sets.is_empty() {
            return Ok(0);
        }
        let channels: Vec<_> = sets.keys().copied().collect();
        self.uses.note(channels.iter().copied());
        let deletions = entries.iter().filter(|entry| entry.deletes());
        let thinned: BTreeSet<_> = deletions.map(|entry| &entry.channel).collect();
        let pipeline = self.redis.client().pipeline();
        for (channel, members) in sets {
            let key = self.key(generation, channel);
            pipeline.zadd::<(), _, _>(&key, None, None, false, false, members).await?;
            pipeline.expire::<(), _>(&key, self.idle_seconds, None).await?;
            pipeline.zlexcount::<(), _, _, _>(&key, "[e", "(f").await?;
        }
        // After the deletions are in: a count that is made from then on leaves out what they delete.
        for channel in thinned {
            let key = self.key(generation, channel);
            pipeline.zremrangebylex::<(), _, _, _>(&key, "[c", "(d").await?;
            pipeline.zremrangebylex::<(), _, _, _>(&key, "[n", "(p").await?;
        }
        let answers = self.redis.write_each(pipeline.try_all::<Value>()).await?;
        let mut answers = answers.into_iter();
        let mut next = || answers.next().ok_or(StoreError::Unreadable);
        let (mut written, mut refused) = (Vec::new(), Vec::new());
        for channel in channels {
            // A pipeline that fails as a whole has one answer for all, and ends here.
            let is_refused = match next()? {
                Ok(_) => false,
                Err(RedisError::Full) => true,
                Err(error) => return Err(error.into()),
            };
            let (kept, count) = (next()?, next()?);
            if is_refused {
                refused.push(channel);
            } else {
                kept?;
                written.push((self.key(generation, channel), count?.as_u64().unwrap_or(0)));
            }
        }
        for answer in answers {
            answer?;
        }
        let dropped = self.drop_channels(generation, refused.into_iter()).await?;
        self.trim(written).await?;
        Ok(dropped)
    }

    /// Trims the sets that are well beyond the window: an eighth, so that it is not done each time.
    async fn trim(&self, counts: Vec<(String, u64)>) -> Result<(), StoreError> {
        let window = self.window();
        let most = u64::try_from(window + window / 8).unwrap_or(u64::MAX);
        let counts = counts.into_iter();
        let keys: Vec<_> = counts.filter(|(_, count)| *count > most).map(|(key, _)| key).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let trimmed = async {
            let pipeline = self.redis.client().pipeline();
            for key in keys {
                queue_script(&pipeline, TRIM, &[key], &[&window.to_string()]).await?;
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
        self.redis.write(self.redis.client().del::<(), _>(key)).await?;
        self.uses.forget(channel);
        Ok(())
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
