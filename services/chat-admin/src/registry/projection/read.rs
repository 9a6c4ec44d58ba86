//! Reading the copy, as far as it can be trusted. Nothing is ever refused because Redis does not have it:
//! the bucket decides.

use std::{sync::atomic::Ordering, time::Duration};

use fred::{
    clients::{Client, Pipeline},
    interfaces::{HashesInterface as _, KeysInterface as _, SortedSetsInterface as _},
    types::Value,
};
use goch_chassis::redis::{RedisError, queue_script};
use goch_contract::{ChannelName, Uid};
use serde::de::DeserializeOwned;

use super::{Projection, READ_TIMEOUT, STATE};
use crate::{
    record::{ChannelRecord, MemberRecord},
    registry::MemberPage,
};

/// How long the channels of a page may take.
const LIST_TIMEOUT: Duration = Duration::from_secs(1);

/// Of the hash `KEYS[1]` the fields after `ARGV[1]` in their order, `ARGV[2]` at most, their values, and whether
/// there are more.
const FIELDS_AFTER: &str = "local fields, page, more = redis.call('HKEYS', KEYS[1]), {}, 0 \
    table.sort(fields) \
    for _, field in ipairs(fields) do \
      if field > ARGV[1] then \
        if #page == tonumber(ARGV[2]) then more = 1 break end \
        page[#page + 1] = field \
      end \
    end \
    if #page == 0 then return {page, page, more} end \
    return {page, redis.call('HMGET', KEYS[1], unpack(page)), more}";

/// Before every uid: none is empty.
const BEGINNING: &str = "";

/// Channels in the order of their names, each with how many members it has.
#[derive(Debug, Default)]
pub(crate) struct ChannelPage {
    pub(crate) channels: Vec<(ChannelRecord, usize)>,
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

    /// How many members a channel has, and how many others it knows of, if Redis can be trusted.
    pub(crate) async fn count(&self, channel: &ChannelName) -> Option<(usize, usize)> {
        if !self.whole.load(Ordering::Relaxed) {
            return None;
        }
        let counted = async {
            let pipeline = self.redis.client().pipeline();
            pipeline.hlen::<(), _>(self.members_key(channel)).await?;
            pipeline.hlen::<(), _>(self.others_key(channel)).await?;
            // Last: if it is still there, nothing was wiped before the count.
            pipeline.exists::<(), _>(&*self.marker).await?;
            pipeline.all::<(usize, usize, u64)>().await
        };
        let (members, others, marked) = self.redis.read(READ_TIMEOUT, counted).await.ok()?;
        (marked == 1).then_some((members, others))
    }

    /// Up to `limit` of a channel's members by uid, after `after`, if Redis can be trusted.
    pub(crate) async fn members(
        &self,
        channel: &ChannelName,
        after: Option<&Uid>,
        limit: usize,
    ) -> Option<MemberPage> {
        let mut members = Vec::new();
        let mut after = after.map_or_else(|| BEGINNING.to_owned(), Uid::to_string);
        loop {
            let fields = self.fields_after(channel, &after, limit + 1).await.ok()?;
            after = fields.last;
            members.extend(fields.members);
            // Fields of an earlier bucket are no members.
            if members.len() > limit || !fields.more {
                return Some(MemberPage::of(members, limit));
            }
        }
    }

    async fn fields_after(
        &self,
        channel: &ChannelName,
        after: &str,
        max: usize,
    ) -> Result<Fields, ReadError> {
        if !self.whole.load(Ordering::Relaxed) {
            return Err(ReadError::NotWhole);
        }
        let read = async {
            let pipeline = self.redis.client().pipeline();
            self.queue_fields(&pipeline, channel, after, max).await?;
            // Last: if it is still there, nothing was wiped before the read.
            pipeline.exists::<(), _>(&*self.marker).await?;
            pipeline.all::<(Value, u64)>().await
        };
        let (fields, marked) = self.redis.read(READ_TIMEOUT, read).await?;
        if marked != 1 {
            return Err(ReadError::NotWhole);
        }
        Ok(parse_fields(fields, self.epochs().members)?)
    }

    async fn queue_fields(
        &self,
        pipeline: &Pipeline<Client>,
        channel: &ChannelName,
        after: &str,
        max: usize,
    ) -> Result<(), fred::error::Error> {
        let max = max.to_string();
        queue_script(pipeline, FIELDS_AFTER, &[self.members_key(channel)], &[after, &max]).await
    }

    /// Up to `limit` channels after the name `after`, of those that begin with `prefix`, if Redis can be trusted.
    pub(crate) async fn page(
        &self,
        prefix: &str,
        after: Option<&ChannelName>,
        limit: usize,
    ) -> Option<ChannelPage> {
        let page = self.read_page(prefix, after.cloned(), limit).await;
        page.inspect_err(|error| tracing::debug!(%error, "the list comes from the bucket")).ok()
    }

    async fn read_page(
        &self,
        prefix: &str,
        mut after: Option<ChannelName>,
        limit: usize,
    ) -> Result<ChannelPage, ReadError> {
        if !self.whole.load(Ordering::Relaxed) {
            return Err(ReadError::NotWhole);
        }
        let count = i64::try_from(limit)?;
        loop {
            // The later of the two.
            let after_name = after.filter(|name| name.as_str() >= prefix);
            let from = after_name.map_or_else(|| first_of(prefix), |name| format!("({name}"));
            let client = self.redis.client();
            let limits = Some((0, count.saturating_add(1)));
            let names = client.zrangebylex(self.names_key(), from, end_of(prefix), limits);
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

    /// How many channels there are whose names begin with `prefix`, those that are being deleted included, if Redis
    /// can be trusted.
    pub(crate) async fn count_channels(&self, prefix: &str) -> Option<usize> {
        if !self.whole.load(Ordering::Relaxed) {
            return None;
        }
        let client = self.redis.client();
        let counted = client.zlexcount(self.names_key(), first_of(prefix), end_of(prefix));
        self.redis.read(READ_TIMEOUT, counted).await.ok()
    }

    /// Each channel with the number of its members. An error when Redis turns out not to be whole.
    async fn describe(
        &self,
        names: &[ChannelName],
        within: Duration,
    ) -> Result<Vec<(Option<ChannelRecord>, usize)>, ReadError> {
        if !self.whole.load(Ordering::Relaxed) {
            return Err(ReadError::NotWhole);
        }
        let described = async {
            let pipeline = self.redis.client().pipeline();
            for name in names {
                pipeline.hget::<(), _, _>(self.channel_key(name), STATE).await?;
                pipeline.hlen::<(), _>(self.members_key(name)).await?;
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
            described.push((channel, members.convert()?));
        }
        Ok(described)
    }
}

/// Where names that begin with `prefix` begin, as Redis writes it.
pub(super) fn first_of(prefix: &str) -> String {
    if prefix.is_empty() { "-".to_owned() } else { format!("[{prefix}") }
}

/// Where they end: no name has a character as high as this one.
pub(super) fn end_of(prefix: &str) -> String {
    if prefix.is_empty() { "+".to_owned() } else { format!("({prefix}\u{7f}") }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("the projection is not whole")]
    NotWhole,
    #[error("too much of the index is others'")]
    TooMany,
    #[error(transparent)]
    Redis(#[from] RedisError),
    #[error("Redis holds something unreadable: {0}")]
    Unreadable(#[from] fred::error::Error),
    #[error(transparent)]
    Limit(#[from] std::num::TryFromIntError),
}

/// The record of a stored value, unless it is deleted or of another epoch.
pub(super) fn parse<R: DeserializeOwned>(value: &str, epoch: u64) -> Option<R> {
    let (of_epoch, rest) = value.split_once(' ')?;
    let (_revision, record) = rest.split_once(' ')?;
    if of_epoch.parse() != Ok(epoch) || record.is_empty() {
        return None;
    }
    serde_json::from_str(record).ok()
}

/// What [`FIELDS_AFTER`] gives.
#[derive(Debug, PartialEq, Eq)]
struct Fields {
    members: Vec<MemberRecord>,
    /// The last field, whoever's and whatever it is: where to read on.
    last: String,
    more: bool,
}

fn parse_fields(answer: Value, epoch: u64) -> Result<Fields, fred::error::Error> {
    let (mut fields, values, more): (Vec<String>, Vec<String>, u64) = answer.convert()?;
    let members = values.iter().filter_map(|value| parse::<MemberRecord>(value, epoch));
    Ok(Fields {
        members: members.filter(MemberRecord::is_member).collect(),
        last: fields.pop().unwrap_or_default(),
        more: more == 1,
    })
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
    fn who_is_banned_is_no_member_and_yet_where_the_next_page_begins() {
        let (ann, bob) = (
            member("ann"),
            MemberRecord::banned(Uid::parse("bob").unwrap(), goch_contract::UnixMillis(7)).unwrap(),
        );
        let value = |record: &MemberRecord| {
            Value::from(format!("7 1 {}", serde_json::to_string(record).unwrap()))
        };
        let uids = Value::Array(vec!["ann".into(), "no uid".into()]);
        let values = Value::Array(vec![value(&ann), value(&bob)]);
        let fields = parse_fields(Value::Array(vec![uids, values, 1.into()]), 7).unwrap();
        // What is not ours is no reason to begin again.
        assert_eq!(fields, Fields { members: vec![ann], last: "no uid".to_owned(), more: true });
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
