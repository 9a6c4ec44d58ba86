//! The channels of each account: an index over the members, since these are kept by channel.
//!
//! It may lie in another node of a cluster than the members, so no script can change both, and it is a hint: who reads
//! it looks at the members too. What it has too much does no harm, and it lacks nothing, for this order of writes: a
//! membership is written before it is indexed, and taken out of the index before its end is written. If a newer one
//! has come in between, which the write of the end finds, that one is indexed once more
//! ([`Projection::mend_memberships`]). Guests are not indexed: each is a person of one channel.

use std::sync::atomic::Ordering;

use fred::{
    clients::{Client, Pipeline},
    interfaces::{HashesInterface as _, KeysInterface as _, SortedSetsInterface as _},
    types::Value,
};
use goch_contract::{Account, ChannelName, Uid};

use super::{
    Projection, READ_TIMEOUT, STATE,
    read::{ReadError, end_of, first_of, parse},
};
use crate::{
    record::{ChannelRecord, MemberRecord},
    registry::cut,
};

/// The fewest names of the index that are read in one go.
const NAMES_AT_ONCE: usize = 500;

/// How often a page reads on because what it has read is not the account's.
const ROUNDS_MAX: usize = 10;

/// Channels of an account in the order of their names, each with the account's membership.
#[derive(Debug, Default)]
pub(crate) struct MembershipPage {
    pub(crate) memberships: Vec<(ChannelRecord, MemberRecord)>,
    /// Whether others follow.
    pub(crate) more: bool,
}

impl Projection {
    /// Adds to a pipeline that a person is a member of a channel.
    pub(super) async fn queue_with(
        &self,
        pipeline: &Pipeline<Client>,
        channel: &ChannelName,
        uid: &Uid,
    ) -> Result<(), fred::error::Error> {
        let member = (0.0, channel.as_str());
        pipeline.zadd::<(), _, _>(self.memberships_key(uid), None, None, false, false, member).await
    }

    /// Adds to a pipeline that a person is no member of a channel.
    pub(super) async fn queue_without(
        &self,
        pipeline: &Pipeline<Client>,
        channel: &ChannelName,
        uid: &Uid,
    ) -> Result<(), fred::error::Error> {
        pipeline.zrem::<(), _, _>(self.memberships_key(uid), channel.as_str()).await
    }

    /// Indexes memberships again that were taken out for an end that a newer one had overtaken.
    pub(super) async fn mend_memberships(
        &self,
        overtaken: &[(&ChannelName, &Uid)],
    ) -> Result<(), fred::error::Error> {
        if overtaken.is_empty() {
            return Ok(());
        }
        let look = self.redis.client().pipeline();
        for (channel, uid) in overtaken {
            look.hget::<(), _, _>(self.members_key(channel), uid.as_str()).await?;
        }
        let stored = look.all::<Vec<Option<String>>>().await?;
        let mend = self.redis.client().pipeline();
        let mut is_needed = false;
        for ((channel, uid), stored) in overtaken.iter().zip(stored) {
            let member = stored.and_then(|value| parse(&value, self.epochs().members));
            if member.is_some_and(|member: MemberRecord| member.is_account()) {
                self.queue_with(&mend, channel, uid).await?;
                is_needed = true;
            }
        }
        if is_needed { mend.all::<Value>().await.map(drop) } else { Ok(()) }
    }

    /// Up to `limit` channels of an account, after the name `after`, if Redis can be trusted.
    pub(crate) async fn memberships(
        &self,
        account: &Account,
        after: Option<&ChannelName>,
        limit: usize,
    ) -> Option<MembershipPage> {
        let page = self.read_memberships(account, after.cloned(), limit).await;
        page.inspect_err(|error| tracing::debug!(%error, "the list comes from the bucket")).ok()
    }

    async fn read_memberships(
        &self,
        account: &Account,
        after: Option<ChannelName>,
        limit: usize,
    ) -> Result<MembershipPage, ReadError> {
        let prefix = account.channels.prefix();
        let mut page = MembershipPage::default();
        // The later of the two.
        let after = after.filter(|name| name.as_str() >= prefix);
        let mut from = after.map_or_else(|| first_of(prefix), |name| format!("({name}"));
        for _ in 0..ROUNDS_MAX {
            if !self.whole.load(Ordering::Relaxed) {
                return Err(ReadError::NotWhole);
            }
            let missing = limit - page.memberships.len();
            let at_once = missing.saturating_add(1).max(NAMES_AT_ONCE);
            let limits = Some((0, i64::try_from(at_once)?));
            let (client, key) = (self.redis.client(), self.memberships_key(&account.uid));
            let names = client.zrangebylex(key, from, end_of(prefix), limits);
            let names: Vec<String> = self.redis.read(READ_TIMEOUT, names).await?;
            let more = names.len() == at_once;
            let last = names.last().cloned();
            let names = names.iter().filter_map(|name| ChannelName::parse(name).ok());
            // Namesakes of other tenants have the same key.
            let own = names.filter(|name| account.channels.has(name)).collect();
            let (own, more_own) = cut::<ChannelName>(own, missing);
            page.memberships.extend(self.look_up(&account.uid, &own).await?);
            page.more = more || more_own;
            let Some(last) = last else { return Ok(page) };
            // What the index has too much is left out, and others take its place.
            if !page.more || page.memberships.len() == limit {
                return Ok(page);
            }
            from = match own.last() {
                Some(name) if more_own => format!("({name}"),
                _ => format!("({last}"),
            };
        }
        // The bucket is read in one go, however many there are between.
        Err(ReadError::TooMany)
    }

    /// Those of the channels in which the person is a member with an account. An error when Redis turns out not to be
    /// whole.
    async fn look_up(
        &self,
        uid: &Uid,
        names: &[ChannelName],
    ) -> Result<Vec<(ChannelRecord, MemberRecord)>, ReadError> {
        let read = async {
            let pipeline = self.redis.client().pipeline();
            for name in names {
                pipeline.hget::<(), _, _>(self.channel_key(name), STATE).await?;
                pipeline.hget::<(), _, _>(self.members_key(name), uid.as_str()).await?;
            }
            // Last: if it is still there, nothing was wiped before the reads, that of the index included.
            pipeline.exists::<(), _>(&*self.marker).await?;
            pipeline.all::<Vec<Value>>().await
        };
        let mut answers = self.redis.read(READ_TIMEOUT, read).await?;
        if answers.pop().and_then(|marked| marked.as_i64()) != Some(1) {
            return Err(ReadError::NotWhole);
        }
        let epochs = self.epochs();
        let pairs = answers.as_chunks::<2>().0.iter();
        let memberships = pairs.filter_map(|[channel, member]| {
            let channel = parse::<ChannelRecord>(&channel.as_str()?, epochs.channels)?;
            let member = parse::<MemberRecord>(&member.as_str()?, epochs.members)?;
            (!channel.deleting && member.is_account()).then_some((channel, member))
        });
        Ok(memberships.collect())
    }
}
