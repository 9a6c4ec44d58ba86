//! Reading the copy, as far as it can be trusted. Nothing is ever refused because Redis does not have it:
//! the bucket decides.

use std::{collections::BTreeMap, slice, sync::atomic::Ordering, time::Duration};

use fred::{
    interfaces::{HashesInterface as _, KeysInterface as _, SortedSetsInterface as _},
    types::Value,
};
use goch_chassis::redis::{RedisError, queue_script};
use goch_contract::{ChannelName, Uid};
use serde::de::DeserializeOwned;

use super::{Projection, READ_TIMEOUT, STATE};
use crate::{
    record::{ChannelRecord, MemberRecord},
    registry::MEMBERS_MAX,
};

/// How long the channels of a page with all their members may take.
const LIST_TIMEOUT: Duration = Duration::from_secs(1);

/// The fields and values of the hash `KEYS[1]`: all, or some `ARGV[1]` if there are more.
const SCAN: &str = "return redis.call('HSCAN', KEYS[1], '0', 'COUNT', ARGV[1])[2]";

/// Channels in the order of their names, each with its members.
#[derive(Debug, Default)]
pub(crate) struct ChannelPage {
    pub(crate) channels: Vec<(ChannelRecord, Vec<MemberRecord>)>,
    pub(crate) more: bool,
}

impl Projection {
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
        let read = self.redis.client().hget::<Option<String>, _, _>(key, field);
        self.redis.read(READ_TIMEOUT, read).await.ok()?
    }

    /// How many members and bans a channel has, if Redis can be trusted.
    pub(crate) async fn count_members(&self, channel: &ChannelName) -> Option<usize> {
        if !self.whole.load(Ordering::Relaxed) {
            return None;
        }
        let counted = async {
            let pipeline = self.redis.client().pipeline();
            pipeline.hlen::<(), _>(self.members_key(channel)).await?;
            // Last: if it is still there, nothing was wiped before the count.
            pipeline.exists::<(), _>(&*self.marker).await?;
            pipeline.all::<(usize, u64)>().await
        };
        let (count, marked) = self.redis.read(READ_TIMEOUT, counted).await.ok()?;
        (marked == 1).then_some(count)
    }

    /// The members of a channel, if Redis can be trusted.
    pub(crate) async fn members(&self, channel: &ChannelName) -> Option<Vec<MemberRecord>> {
        let described = self.describe(slice::from_ref(channel), READ_TIMEOUT).await.ok()?;
        described.into_iter().next().map(|(_, members)| members)
    }

    /// Up to `limit` channels after the name `after`, if Redis can be trusted.
    pub(crate) async fn page(
        &self,
        after: Option<&ChannelName>,
        limit: usize,
    ) -> Option<ChannelPage> {
        let page = self.read_page(after.cloned(), limit).await;
        page.inspect_err(|error| tracing::debug!(%error, "the list comes from the bucket")).ok()
    }

    async fn read_page(
        &self,
        mut after: Option<ChannelName>,
        limit: usize,
    ) -> Result<ChannelPage, ReadError> {
        if !self.whole.load(Ordering::Relaxed) {
            return Err(ReadError::NotWhole);
        }
        let count = i64::try_from(limit)?;
        loop {
            let from = after.map_or_else(|| "-".to_owned(), |name| format!("({name}"));
            let client = self.redis.client();
            let limits = Some((0, count.saturating_add(1)));
            let names = client.zrangebylex(self.names_key(), from, "+", limits);
            let mut names: Vec<String> = self.redis.read(READ_TIMEOUT, names).await?;
            let more = names.len() > limit;
            names.truncate(limit);
            let names: Vec<_> =
                names.iter().filter_map(|name| ChannelName::parse(name).ok()).collect();
            let described = self.describe(&names, LIST_TIMEOUT).await?;
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
        within: Duration,
    ) -> Result<Vec<(Option<ChannelRecord>, Vec<MemberRecord>)>, ReadError> {
        if !self.whole.load(Ordering::Relaxed) {
            return Err(ReadError::NotWhole);
        }
        let described = async {
            let pipeline = self.redis.client().pipeline();
            for name in names {
                pipeline.hget::<(), _, _>(self.channel_key(name), STATE).await?;
                let count = MEMBERS_MAX.to_string();
                queue_script(&pipeline, SCAN, &[self.members_key(name)], &[&count]).await?;
            }
            // Last: if it is still there, nothing was wiped before the reads.
            pipeline.exists::<(), _>(&*self.marker).await?;
            pipeline.all::<Vec<Value>>().await
        };
        let mut answers = self.redis.read(within, described).await?;
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
    Redis(#[from] RedisError),
    #[error("Redis holds something unreadable: {0}")]
    Unreadable(#[from] fred::error::Error),
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
    use crate::record::{Origin, tests::member as any_member};

    fn member(uid: &str) -> MemberRecord {
        any_member(uid, Origin::Joined, None)
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
