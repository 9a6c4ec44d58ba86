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
use goch_contract::{ChannelName, Uid};

use super::{
    Projection, READ_TIMEOUT, STATE,
    read::{ReadError, parse},
};
use crate::record::{ChannelRecord, MemberRecord};

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
        uid: &Uid,
        after: Option<&ChannelName>,
        limit: usize,
    ) -> Option<MembershipPage> {
        let page = self.read_memberships(uid, after.cloned(), limit).await;
        page.inspect_err(|error| tracing::debug!(%error, "the list comes from the bucket")).ok()
    }

    async fn read_memberships(
        &self,
        uid: &Uid,
        mut after: Option<ChannelName>,
        limit: usize,
    ) -> Result<MembershipPage, ReadError> {
        let mut page = MembershipPage::default();
        loop {
            if !self.whole.load(Ordering::Relaxed) {
                return Err(ReadError::NotWhole);
            }
            let missing = limit - page.memberships.len();
            let from = after.map_or_else(|| "-".to_owned(), |name| format!("({name}"));
            let limits = Some((0, i64::try_from(missing.saturating_add(1))?));
            let client = self.redis.client();
            let names = client.zrangebylex(self.memberships_key(uid), from, "+", limits);
            let mut names: Vec<String> = self.redis.read(READ_TIMEOUT, names).await?;
            page.more = names.len() > missing;
            names.truncate(missing);
            let names: Vec<_> =
                names.iter().filter_map(|name| ChannelName::parse(name).ok()).collect();
            page.memberships.extend(self.look_up(uid, &names).await?);
            after = names.last().cloned();
            // What the index has too much is left out, and others take its place.
            if !page.more || page.memberships.len() == limit {
                return Ok(page);
            }
        }
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
