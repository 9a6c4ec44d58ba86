//! The copy of both buckets in Redis: quick to read, and never the only place of anything.
//!
//! Each value is `<epoch> <revision> <record as JSON>`, and a script keeps an older revision from
//! replacing a newer one, so replicas may write in any order. The epoch is the bucket's: after NATS
//! has lost its data, values of the buckets that are gone count for nothing.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use fred::{
    clients::{Client, Pipeline},
    interfaces::{HashesInterface as _, KeysInterface as _, SortedSetsInterface as _},
    types::{Expiration, Value},
};
use goch_chassis::redis::queue_script;
use goch_contract::{ChannelName, Error, Uid};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use super::MEMBERS_MAX;
use crate::record::{ChannelRecord, MemberRecord, Record};

/// How long a read may take before the bucket is asked instead.
const READ_TIMEOUT: Duration = Duration::from_millis(300);

/// How long the list of channels may take.
const LIST_TIMEOUT: Duration = Duration::from_secs(3);

/// How long this process's marker outlives it, in seconds.
const MARKER_SECONDS: i64 = 60;

/// The field of a channel's own hash.
const STATE: &str = "state";

/// How long the revision of a deleted record is remembered, in seconds. No write of an older one,
/// held up along its way, takes as long.
const GONE_SECONDS: u32 = 15;

/// Sets field `ARGV[1]` of the hash `KEYS[1]` to the record `ARGV[4]` of epoch `ARGV[2]` and revision
/// `ARGV[3]`, unless that revision or a newer one has been there. An empty record deletes the field;
/// `KEYS[2]` remembers the revision for `ARGV[5]` seconds.
const PUT: &str = "
local new_epoch, new_revision = tonumber(ARGV[2]), tonumber(ARGV[3])
for _, held in ipairs({redis.call('HGET', KEYS[1], ARGV[1]), redis.call('GET', KEYS[2])}) do
  if held then
    local epoch, revision = string.match(held, '^(%d+) (%d+)')
    epoch, revision = tonumber(epoch) or 0, tonumber(revision) or 0
    if epoch > new_epoch or (epoch == new_epoch and revision >= new_revision) then return 0 end
  end
end
if ARGV[4] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
  redis.call('SET', KEYS[2], ARGV[2] .. ' ' .. ARGV[3], 'EX', ARGV[5])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. ARGV[3] .. ' ' .. ARGV[4])
end
return 1";

/// The fields and values of the hash `KEYS[1]`: all, or some `ARGV[1]` if there are more.
const SCAN: &str = "return redis.call('HSCAN', KEYS[1], '0', 'COUNT', ARGV[1])[2]";

/// What is written: a channel or a member.
#[derive(Debug, Clone)]
pub(crate) enum Key {
    Channel(ChannelName),
    Member(ChannelName, Uid),
}

/// One record to write.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) key: Key,
    pub(crate) revision: u64,
    /// JSON; empty for a deleted one.
    pub(crate) record: String,
}

impl Write {
    /// What `record`, stored as `revision`, is written as.
    pub(crate) fn of(key: Key, revision: u64, record: &impl Record) -> Self {
        // Strings, integers and booleans only: serialization has no way to fail.
        Self { key, revision, record: serde_json::to_string(record).unwrap_or_default() }
    }
}

/// When each bucket was created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Epochs {
    pub(crate) channels: u64,
    pub(crate) members: u64,
}

/// Channels in the order of their names, each with its members.
#[derive(Debug, Default)]
pub(crate) struct ChannelPage {
    pub(crate) channels: Vec<(ChannelRecord, Vec<MemberRecord>)>,
    pub(crate) more: bool,
}

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Projection {
    client: Client,
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
    pub(crate) fn new(client: Client, prefix: &str, process: &str) -> Self {
        Self {
            client,
            prefix: Arc::from(prefix),
            marker: Arc::from(format!("{prefix}:{{projection}}:{process}")),
            whole: Arc::default(),
            build_asked: Arc::default(),
            channels_epoch: Arc::default(),
            members_epoch: Arc::default(),
        }
    }

    fn channel_key(&self, channel: &ChannelName) -> String {
        format!("{}:{{{channel}}}:channel", self.prefix)
    }

    fn members_key(&self, channel: &ChannelName) -> String {
        format!("{}:{{{channel}}}:members", self.prefix)
    }

    /// Remembers that the field `field` of one of a channel's hashes was deleted.
    fn gone_key(&self, channel: &ChannelName, field: &str) -> String {
        format!("{}:{{{channel}}}:gone:{field}", self.prefix)
    }

    fn names_key(&self) -> String {
        format!("{}:channels", self.prefix)
    }

    pub(crate) fn epochs(&self) -> Epochs {
        Epochs {
            channels: self.channels_epoch.load(Ordering::Relaxed),
            members: self.members_epoch.load(Ordering::Relaxed),
        }
    }

    // Building.

    /// Begins a build: nothing is trusted until [`Self::complete`].
    pub(crate) async fn begin(&self, epochs: Epochs) -> Result<(), fred::error::Error> {
        self.whole.store(false, Ordering::Relaxed);
        self.channels_epoch.store(epochs.channels, Ordering::Relaxed);
        self.members_epoch.store(epochs.members, Ordering::Relaxed);
        let expiration = Some(Expiration::EX(MARKER_SECONDS));
        self.client.set(&*self.marker, 1, expiration, None, false).await
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
    pub(crate) async fn is_marked(&self) -> Result<bool, fred::error::Error> {
        self.client.expire(&*self.marker, MARKER_SECONDS, None).await
    }

    /// Writes records, in one round trip.
    pub(crate) async fn write(&self, writes: &[Write]) -> Result<(), fred::error::Error> {
        let pipeline = self.client.pipeline();
        for write in writes {
            self.queue(&pipeline, write).await?;
        }
        if !writes.is_empty() {
            pipeline.all::<Value>().await?;
        }
        Ok(())
    }

    /// Writes what the keeper would write a moment later. While a build goes on, that is soon
    /// enough.
    pub(crate) async fn write_at_once(&self, write: Write) {
        if !self.whole.load(Ordering::Relaxed) {
            return;
        }
        let written = tokio::time::timeout(READ_TIMEOUT, self.write(&[write])).await;
        if !matches!(written, Ok(Ok(()))) {
            tracing::debug!("a record is left to the keeper");
        }
    }

    async fn queue(
        &self,
        pipeline: &Pipeline<Client>,
        write: &Write,
    ) -> Result<(), fred::error::Error> {
        let epochs = self.epochs();
        let (key, gone, field, epoch) = match &write.key {
            // No uid is empty, so the channel's own key is no member's.
            Key::Channel(name) => {
                (self.channel_key(name), self.gone_key(name, ""), STATE, epochs.channels)
            }
            Key::Member(channel, uid) => {
                let gone = self.gone_key(channel, uid.as_str());
                (self.members_key(channel), gone, uid.as_str(), epochs.members)
            }
        };
        let (epoch, revision) = (epoch.to_string(), write.revision.to_string());
        let seconds = GONE_SECONDS.to_string();
        let arguments = [field, &epoch, &revision, &write.record, &seconds];
        queue_script(pipeline, PUT, &[key, gone], &arguments).await?;
        match &write.key {
            Key::Channel(name) if write.record.is_empty() => {
                pipeline.zrem::<(), _, _>(self.names_key(), name.as_str()).await
            }
            Key::Channel(name) => {
                let member = (0.0, name.as_str());
                pipeline.zadd::<(), _, _>(self.names_key(), None, None, false, false, member).await
            }
            Key::Member(..) => Ok(()),
        }
    }

    // Reading. Nothing is ever refused because Redis does not have it: the bucket decides.

    /// A channel, if Redis can be trusted and has it.
    pub(crate) async fn channel(&self, name: &ChannelName) -> Option<ChannelRecord> {
        let value = self.field(self.channel_key(name), STATE).await?;
        parse(&value, self.epochs().channels)
    }

    /// A member, if Redis can be trusted and has it.
    pub(crate) async fn member(&self, channel: &ChannelName, uid: &Uid) -> Option<MemberRecord> {
        let value = self.field(self.members_key(channel), uid.as_str()).await?;
        parse(&value, self.epochs().members)
    }

    async fn field(&self, key: String, field: &str) -> Option<String> {
        if !self.whole.load(Ordering::Relaxed) {
            return None;
        }
        let read = self.client.hget::<Option<String>, _, _>(key, field);
        tokio::time::timeout(READ_TIMEOUT, read).await.ok()?.ok()?
    }

    /// The members of a channel, if Redis can be trusted.
    pub(crate) async fn members(&self, channel: &ChannelName) -> Option<Vec<MemberRecord>> {
        let names = [channel.clone()];
        let described = tokio::time::timeout(READ_TIMEOUT, self.describe(&names)).await.ok()?;
        described.ok()?.into_iter().next().map(|(_, members)| members)
    }

    /// Up to `limit` channels after the name `after`.
    pub(crate) async fn page(
        &self,
        after: Option<&ChannelName>,
        limit: usize,
    ) -> Result<ChannelPage, Error> {
        let page = self.read_page(after.cloned(), limit);
        tokio::time::timeout(LIST_TIMEOUT, page)
            .await
            .ok()
            .and_then(|read| read.inspect_err(|error| tracing::debug!(%error, "no list")).ok())
            .ok_or_else(|| Error::unavailable("the list of channels is being rebuilt"))
    }

    async fn read_page(
        &self,
        mut after: Option<ChannelName>,
        limit: usize,
    ) -> Result<ChannelPage, ReadError> {
        let count = i64::try_from(limit)?;
        loop {
            let from = after.map_or_else(|| "-".to_owned(), |name| format!("({name}"));
            let mut names: Vec<String> = self
                .client
                .zrangebylex(self.names_key(), from, "+", Some((0, count.saturating_add(1))))
                .await?;
            let more = names.len() > limit;
            names.truncate(limit);
            let names: Vec<_> =
                names.iter().filter_map(|name| ChannelName::parse(name).ok()).collect();
            let described = self.describe(&names).await?;
            let channels: Vec<_> = described
                .into_iter()
                .filter_map(|(channel, members)| {
                    channel.filter(|channel| !channel.deleting).map(|channel| (channel, members))
                })
                .collect();
            after = names.last().cloned();
            // A page of nothing but channels that are being deleted is skipped.
            if !channels.is_empty() || !more {
                return Ok(ChannelPage { channels, more });
            }
        }
    }

    /// Each channel with its members by uid. An error when Redis turns out not to be whole.
    async fn describe(
        &self,
        names: &[ChannelName],
    ) -> Result<Vec<(Option<ChannelRecord>, Vec<MemberRecord>)>, ReadError> {
        if !self.whole.load(Ordering::Relaxed) {
            return Err(ReadError::NotWhole);
        }
        let pipeline = self.client.pipeline();
        for name in names {
            pipeline.hget::<(), _, _>(self.channel_key(name), STATE).await?;
            let count = MEMBERS_MAX.to_string();
            queue_script(&pipeline, SCAN, &[self.members_key(name)], &[&count]).await?;
        }
        // Last: if it is still there, nothing was wiped before the reads.
        pipeline.exists::<(), _>(&*self.marker).await?;
        let mut answers: Vec<Value> = pipeline.all().await?;
        if answers.pop().and_then(|marked| marked.as_i64()) != Some(1) {
            return Err(ReadError::NotWhole);
        }
        let epochs = self.epochs();
        let mut described = Vec::with_capacity(names.len());
        let mut answers = answers.into_iter();
        while let (Some(state), Some(members)) = (answers.next(), answers.next()) {
            let channel = state.as_str().and_then(|state| parse(&state, epochs.channels));
            described.push((channel, parse_members(members, epochs.members)?));
        }
        Ok(described)
    }
}

#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("the projection is not whole")]
    NotWhole,
    #[error(transparent)]
    Redis(#[from] fred::error::Error),
    #[error(transparent)]
    Limit(#[from] std::num::TryFromIntError),
}

/// The record of a stored value, unless it is deleted or of another epoch.
fn parse<R: DeserializeOwned>(value: &str, epoch: u64) -> Option<R> {
    let (of_epoch, rest) = value.split_once(' ')?;
    let (_revision, record) = rest.split_once(' ')?;
    if of_epoch.parse() != Ok(epoch) || record.is_empty() {
        return None;
    }
    serde_json::from_str(record).ok()
}

/// Fields and values of a scan, which may name a field twice.
fn parse_members(scanned: Value, epoch: u64) -> Result<Vec<MemberRecord>, fred::error::Error> {
    let flat: Vec<String> = scanned.convert()?;
    let (pairs, _) = flat.as_chunks::<2>();
    let members: BTreeMap<_, _> = pairs
        .iter()
        .filter_map(|[uid, value]| Some((uid.as_str(), parse::<MemberRecord>(value, epoch)?)))
        .filter(|(_, record)| record.is_member())
        .collect();
    Ok(members.into_values().take(MEMBERS_MAX).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::secret;

    fn member(uid: &str) -> MemberRecord {
        let secret = secret::generate().unwrap();
        MemberRecord::new(Uid::parse(uid).unwrap(), uid.to_owned(), None, Some(&secret)).unwrap()
    }

    #[test]
    fn a_value_of_another_epoch_or_of_a_deleted_key_is_none() {
        let ann = member("ann");
        let json = serde_json::to_string(&ann).unwrap();
        assert_eq!(parse(&format!("7 12 {json}"), 7), Some(ann));
        assert_eq!(parse::<MemberRecord>(&format!("6 12 {json}"), 7), None);
        assert_eq!(parse::<MemberRecord>("7 13 ", 7), None);
        assert_eq!(parse::<MemberRecord>("junk", 7), None);
    }

    #[test]
    fn members_come_by_uid_and_once() {
        let (ann, bob) = (member("ann"), member("bob"));
        let value = |record: &MemberRecord| {
            Value::from(format!("7 1 {}", serde_json::to_string(record).unwrap()))
        };
        let scanned = Value::Array(vec![
            "bob".into(),
            value(&bob),
            "ann".into(),
            value(&ann),
            "bob".into(),
            value(&bob),
        ]);
        assert_eq!(parse_members(scanned, 7).unwrap(), [ann, bob]);
    }

    proptest! {
        #[test]
        fn a_value_counts_in_its_own_epoch_only(epoch: u64, revision: u64, asked: u64) {
            let value = format!("{epoch} {revision} {{\"a\":1}}");
            prop_assert!(parse::<serde_json::Value>(&value, epoch).is_some());
            prop_assert_eq!(parse::<serde_json::Value>(&value, asked).is_some(), asked == epoch);
        }

        #[test]
        fn whatever_redis_holds_is_a_record_or_none(value in "(7 |[0-9] )?(1 )?[{}a-z\":, ]{0,20}") {
            prop_assert!(parse::<MemberRecord>(&value, 7).is_none());
        }
    }
}
