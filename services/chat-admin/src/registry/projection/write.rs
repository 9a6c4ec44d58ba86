//! Building the copy, and keeping it up to date: an older revision never replaces a newer one.

use std::sync::atomic::Ordering;

use fred::{
    clients::{Client, Pipeline},
    interfaces::{KeysInterface as _, SortedSetsInterface as _},
    types::{Expiration, Value},
};
use goch_chassis::redis::{RedisError, queue_script};
use goch_contract::{ChannelName, Uid};

use super::{Epochs, Projection, READ_TIMEOUT, STATE};
use crate::record::{MemberRecord, Record};

/// How long this process's marker outlives it, in seconds.
const MARKER_SECONDS: i64 = 60;

/// How long the revision of a deleted record is remembered, in seconds. No write of an older one,
/// held up along its way, takes as long.
const GONE_SECONDS: u32 = 15;

/// Sets field `ARGV[1]` of the hash `KEYS[1]` to the record `ARGV[4]` of epoch `ARGV[2]` and revision
/// `ARGV[3]`, unless that revision or a newer one has been there, and deletes it in the hash `KEYS[3]`, if there is
/// one. An empty record deletes the field in both; `KEYS[2]` remembers the revision for `ARGV[5]` seconds.
///
/// A Redis that is full refuses a script's first write, if it takes memory. A record that takes another's place
/// may: what was there must not outlast it.
const PUT: &str = "
local new_epoch, new_revision = tonumber(ARGV[2]), tonumber(ARGV[3])
local replaced = redis.call('HGET', KEYS[1], ARGV[1])
local moved = KEYS[3] and redis.call('HGET', KEYS[3], ARGV[1]) or false
for place, held in ipairs({replaced, redis.call('GET', KEYS[2]), moved}) do
  if held then
    local epoch, revision = string.match(held, '^(%d+) (%d+)')
    epoch, revision = tonumber(epoch) or 0, tonumber(revision) or 0
    -- The very same may still be where an earlier version of Goch put it.
    if place == 3 then revision = revision - 1 end
    if epoch > new_epoch or (epoch == new_epoch and revision >= new_revision) then return 0 end
  end
end
if moved then redis.call('HDEL', KEYS[3], ARGV[1]) end
if ARGV[4] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
  redis.call('SET', KEYS[2], ARGV[2] .. ' ' .. ARGV[3], 'EX', ARGV[5])
else
  if replaced then redis.call('HDEL', KEYS[1], ARGV[1]) end
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. ARGV[3] .. ' ' .. ARGV[4])
end
return 1";

/// What is written: a channel, or what is known of a uid in one.
#[derive(Debug, Clone)]
pub(crate) enum Key {
    Channel(ChannelName),
    Member(ChannelName, Uid),
    /// Of who is no member, or nothing any more.
    Other(ChannelName, Uid),
}

impl Key {
    /// Where the record of a uid is written; none if it is deleted.
    pub(crate) fn of(channel: ChannelName, uid: Uid, record: Option<&MemberRecord>) -> Self {
        if record.is_some_and(MemberRecord::is_member) {
            Self::Member(channel, uid)
        } else {
            Self::Other(channel, uid)
        }
    }
}

/// One record to write.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) key: Key,
    pub(crate) revision: u64,
    /// JSON; empty for a deleted one.
    pub(crate) record: String,
    /// Whether it is a membership of an account ([`super::memberships`]).
    pub(crate) is_of_account: bool,
}

impl Write {
    /// What `record`, stored as `revision`, is written as.
    pub(crate) fn of(key: Key, revision: u64, record: &impl Record) -> Self {
        // Strings, integers and booleans only: serialization has no way to fail.
        let is_of_account = record.is_of_account();
        let record = serde_json::to_string(record).unwrap_or_default();
        Self { key, revision, record, is_of_account }
    }
}

impl Projection {
    /// Begins a build: nothing is trusted until [`Self::complete`].
    ///
    /// # Errors
    /// [`RedisError`].
    pub(crate) async fn begin(&self, epochs: Epochs) -> Result<(), RedisError> {
        self.whole.store(false, Ordering::Relaxed);
        self.channels_epoch.store(epochs.channels, Ordering::Relaxed);
        self.members_epoch.store(epochs.members, Ordering::Relaxed);
        let expiration = Some(Expiration::EX(MARKER_SECONDS));
        let client = self.redis.client();
        self.redis.write(client.set(&*self.marker, 1, expiration, None, false)).await
    }

    /// Everything that the buckets hold is written.
    pub(crate) fn complete(&self) {
        self.whole.store(true, Ordering::Relaxed);
    }

    /// Something is missing, or may be.
    pub(crate) fn distrust(&self) {
        self.whole.store(false, Ordering::Relaxed);
    }

    /// Asks for a build from the beginning.
    pub(crate) fn ask_for_build(&self) {
        self.build_asked.notify_one();
    }

    /// Waits until somebody asks for a build.
    pub(crate) async fn build_asked(&self) {
        self.build_asked.notified().await;
    }

    /// Whether this process's marker is still there; keeps it for longer.
    pub(crate) async fn is_marked(&self) -> Result<bool, RedisError> {
        let client = self.redis.client();
        self.redis.write(client.expire(&*self.marker, MARKER_SECONDS, None)).await
    }

    /// Writes records, in one round trip.
    pub(crate) async fn write(&self, writes: &[Write]) -> Result<(), RedisError> {
        if writes.is_empty() {
            return Ok(());
        }
        self.redis.write(self.put(writes)).await
    }

    /// Writes what a Redis that is full takes of records.
    pub(crate) async fn write_what_fits(&self, writes: &[Write]) -> Result<(), RedisError> {
        if writes.is_empty() {
            return Ok(());
        }
        let pipeline = self.pipeline(writes).await?;
        for answer in self.redis.write_each(pipeline.try_all::<Value>()).await? {
            if let Err(error) = answer
                && !matches!(error, RedisError::Full)
            {
                return Err(error);
            }
        }
        Ok(())
    }

    async fn put(&self, writes: &[Write]) -> Result<(), fred::error::Error> {
        let answers = self.pipeline(writes).await?.all::<Vec<Value>>().await?;
        // Two answers of each, in the order of `queue`.
        let answers = answers.as_chunks::<2>().0.iter();
        let overtaken =
            writes.iter().zip(answers).filter_map(|(write, answers)| match &write.key {
                Key::Member(channel, uid) | Key::Other(channel, uid) if !write.is_of_account => {
                    (answers[1].as_i64() == Some(0)).then_some((channel, uid))
                }
                _ => None,
            });
        self.mend_memberships(&overtaken.collect::<Vec<_>>()).await
    }

    /// The commands, not sent yet.
    async fn pipeline(&self, writes: &[Write]) -> Result<Pipeline<Client>, fred::error::Error> {
        let pipeline = self.redis.client().pipeline();
        for write in writes {
            self.queue(&pipeline, write).await?;
        }
        Ok(pipeline)
    }

    /// Writes what the keeper would write a moment later. While a build goes on, that is soon
    /// enough.
    pub(crate) async fn write_at_once(&self, write: Write) {
        if !self.whole.load(Ordering::Relaxed) {
            return;
        }
        if let Err(error) = self.redis.read(READ_TIMEOUT, self.put(&[write])).await {
            tracing::debug!(%error, "a record is left to the keeper");
        }
    }

    async fn queue(
        &self,
        pipeline: &Pipeline<Client>,
        write: &Write,
    ) -> Result<(), fred::error::Error> {
        let epochs = self.epochs();
        let (keys, field, epoch) = match &write.key {
            // No uid is empty, so the channel's own key is no member's.
            Key::Channel(name) => {
                (vec![self.channel_key(name), self.gone_key(name, "")], STATE, epochs.channels)
            }
            Key::Member(channel, uid) => {
                let gone = self.gone_key(channel, &uid.token());
                let keys = vec![self.members_key(channel), gone, self.others_key(channel)];
                (keys, uid.as_str(), epochs.members)
            }
            Key::Other(channel, uid) => {
                let gone = self.gone_key(channel, &uid.token());
                let keys = vec![self.others_key(channel), gone, self.members_key(channel)];
                (keys, uid.as_str(), epochs.members)
            }
        };
        let (epoch, revision) = (epoch.to_string(), write.revision.to_string());
        let seconds = GONE_SECONDS.to_string();
        let arguments = [field, &epoch, &revision, &write.record, &seconds];
        if let Key::Member(channel, uid) | Key::Other(channel, uid) = &write.key
            && !write.is_of_account
        {
            self.queue_without(pipeline, channel, uid).await?;
        }
        queue_script(pipeline, PUT, &keys, &arguments).await?;
        match &write.key {
            Key::Channel(name) if write.record.is_empty() => {
                pipeline.zrem::<(), _, _>(self.names_key(), name.as_str()).await
            }
            Key::Channel(name) => {
                let member = (0.0, name.as_str());
                pipeline.zadd::<(), _, _>(self.names_key(), None, None, false, false, member).await
            }
            Key::Member(channel, uid) if write.is_of_account => {
                self.queue_with(pipeline, channel, uid).await
            }
            Key::Member(..) | Key::Other(..) => Ok(()),
        }
    }
}
