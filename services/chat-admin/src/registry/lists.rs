//! Lists of channels and members: from Redis if it can be trusted, else from the buckets.
//!
//! A bucket has no order, so a page is found by reading all that the list is of, tens of thousands a second,
//! of which no more than the page is held.

use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use goch_chassis::bucket::Entry;
use goch_contract::{Account, ChannelName, Error, Uid};
use tokio::{sync::SemaphorePermit, time::timeout};

use super::{
    Registry,
    projection::{ChannelPage, MembershipPage},
};
use crate::record::{ChannelRecord, MemberRecord, member_keys, member_keys_of, parse_member_key};

/// The most members of one page.
pub(crate) const MEMBERS_MAX: usize = 1_000;

/// Some of a channel's members, by uid.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct MemberPage {
    pub(crate) members: Vec<MemberRecord>,
    /// Whether others follow.
    pub(crate) more: bool,
}

impl MemberPage {
    /// See [`cut`].
    pub(super) fn of(members: Vec<MemberRecord>, limit: usize) -> Self {
        let (members, more) = cut(members, limit);
        Self { members, more }
    }
}

/// The first `limit` of a list that was read one further, and whether others follow.
pub(crate) fn cut<T>(mut list: Vec<T>, limit: usize) -> (Vec<T>, bool) {
    let more = list.len() > limit;
    list.truncate(limit);
    (list, more)
}

/// Lists read from a bucket at a time: each is a consumer on the server for its duration.
pub(super) const AT_A_TIME: usize = 8;

/// As how many of them the list of all channels counts.
const WEIGHT_OF_CHANNELS: u32 = 3;

/// Channels of one page whose members are counted at a time.
const AT_A_TIME_OF_PAGE: usize = 4;

/// How long a list may wait for others to end.
const WAIT_WITHIN: Duration = Duration::from_secs(2);

/// How long reading all channels may take.
const CHANNELS_WITHIN: Duration = Duration::from_secs(10);

/// How long a page of channels may take, with their members counted.
const PAGE_WITHIN: Duration = Duration::from_secs(13);

impl Registry {
    /// Up to `limit` of the channel's members by uid, after `after`.
    ///
    /// # Errors
    /// `unavailable`.
    pub(crate) async fn members(
        &self,
        channel: &ChannelName,
        after: Option<&Uid>,
        limit: usize,
    ) -> Result<MemberPage, Error> {
        if let Some(page) = self.projection.members(channel, after, limit).await {
            return Ok(page);
        }
        self.members_of_bucket(channel, after, limit).await
    }

    /// All members of a channel, however many.
    ///
    /// # Errors
    /// `unavailable`.
    pub(crate) async fn all_members(
        &self,
        channel: &ChannelName,
    ) -> Result<Vec<MemberRecord>, Error> {
        let mut all = Vec::<MemberRecord>::new();
        loop {
            let after = all.last().map(|member| member.uid.clone());
            let page = self.members(channel, after.as_ref(), MEMBERS_MAX).await?;
            all.extend(page.members);
            if !page.more {
                return Ok(all);
            }
        }
    }

    async fn members_of_bucket(
        &self,
        channel: &ChannelName,
        after: Option<&Uid>,
        limit: usize,
    ) -> Result<MemberPage, Error> {
        let _permit = self.list_permit(1).await?;
        let pick = |entry: Entry| member_after(after, &entry).filter(|(_, it)| it.is_member());
        let max = limit.saturating_add(1);
        let members = self.members.first(&member_keys(channel), max, pick).await?;
        Ok(MemberPage::of(members, limit))
    }

    /// How many members a channel has.
    ///
    /// # Errors
    /// `unavailable`.
    pub(crate) async fn count_members(&self, channel: &ChannelName) -> Result<usize, Error> {
        if let Some((members, _)) = self.projection.count(channel).await {
            return Ok(members);
        }
        self.count_members_of_bucket(channel).await
    }

    async fn count_members_of_bucket(&self, channel: &ChannelName) -> Result<usize, Error> {
        let _permit = self.list_permit(1).await?;
        let pick = |entry: Entry| {
            let (uid, record) = member_after(None, &entry)?;
            record.is_member().then_some((uid, ()))
        };
        Ok(self.members.first(&member_keys(channel), usize::MAX, pick).await?.len())
    }

    /// How many members, bans and reserved uids a channel has; of many more than it may have, some.
    pub(super) async fn count_uids(&self, channel: &ChannelName) -> Result<usize, Error> {
        if let Some((members, others)) = self.projection.count(channel).await {
            return Ok(members + others);
        }
        let _permit = self.list_permit(1).await?;
        let max = self.rules.of_channel(channel).channel_members_max;
        let entries = self.members.list(&member_keys(channel), max).await?;
        Ok(entries.len())
    }

    /// Up to `limit` channels by name, after `after`, each with how many members it has, of those whose names begin
    /// with `prefix`.
    ///
    /// # Errors
    /// `unavailable`, also when there are more channels than can be read in time while Redis is away.
    pub(crate) async fn page(
        &self,
        prefix: &str,
        after: Option<&ChannelName>,
        limit: usize,
    ) -> Result<ChannelPage, Error> {
        if let Some(page) = self.projection.page(prefix, after, limit).await {
            return Ok(page);
        }
        let page = timeout(PAGE_WITHIN, self.page_of_buckets(prefix, after, limit)).await;
        page.unwrap_or_else(|_| Err(Error::unavailable("the list of channels took too long")))
    }

    /// Up to `limit` channels of an account by name, after `after`, with the account's memberships.
    ///
    /// # Errors
    /// `unavailable`, also when there are more members than can be looked through in time while Redis is away.
    pub(crate) async fn memberships(
        &self,
        account: &Account,
        after: Option<&ChannelName>,
        limit: usize,
    ) -> Result<MembershipPage, Error> {
        if let Some(page) = self.projection.memberships(account, after, limit).await {
            return Ok(page);
        }
        let page = timeout(PAGE_WITHIN, self.memberships_of_buckets(account, after, limit)).await;
        page.unwrap_or_else(|_| Err(Error::unavailable("the list of channels took too long")))
    }

    async fn memberships_of_buckets(
        &self,
        account: &Account,
        after: Option<&ChannelName>,
        limit: usize,
    ) -> Result<MembershipPage, Error> {
        let mut page = MembershipPage::default();
        let mut after = after.cloned();
        loop {
            let found =
                self.account_in_bucket(account, after.as_ref(), limit.saturating_add(1)).await?;
            let (found, more) = cut(found, limit - page.memberships.len());
            after = found.last().map(|(channel, _)| channel.clone());
            let with_channels = found.into_iter().map(|(name, member)| async move {
                let channel = self.channels.find(&name.token()).await?.map(|stored| stored.record);
                let living = channel.filter(|channel| !channel.deleting);
                Ok::<_, Error>(living.map(|channel| (channel, member)))
            });
            let with_channels = stream::iter(with_channels).buffered(AT_A_TIME);
            let living: Vec<_> = with_channels.try_collect().await?;
            page.memberships.extend(living.into_iter().flatten());
            page.more = more;
            // Channels that are being deleted are left out, and others take their places.
            if !more || page.memberships.len() == limit {
                return Ok(page);
            }
        }
    }

    /// Memberships of an account by the channels' names. NATS looks through the keys of all members.
    async fn account_in_bucket(
        &self,
        account: &Account,
        after: Option<&ChannelName>,
        max: usize,
    ) -> Result<Vec<(ChannelName, MemberRecord)>, Error> {
        let _permit = self.list_permit(WEIGHT_OF_CHANNELS).await?;
        let members = self.members.listing_within(CHANNELS_WITHIN);
        let pick = |entry: Entry| {
            let (channel, _) = parse_member_key(&entry.key)?;
            let is_wanted = account.channels.has(&channel);
            if !is_wanted || after.is_some_and(|after| channel <= *after) {
                return None;
            }
            let record: MemberRecord = serde_json::from_slice(&entry.value).ok()?;
            record.is_account().then(|| (channel.clone(), (channel, record)))
        };
        members.first(&member_keys_of(&account.uid), max, pick).await
    }

    async fn page_of_buckets(
        &self,
        prefix: &str,
        after: Option<&ChannelName>,
        limit: usize,
    ) -> Result<ChannelPage, Error> {
        let max = limit.saturating_add(1);
        let channels = self.channels_of_bucket(prefix, after, max).await?;
        let (channels, more) = cut(channels, limit);
        let counted = channels.into_iter().map(|channel| async move {
            let members = self.count_members_of_bucket(&channel.name).await?;
            Ok::<_, Error>((channel, members))
        });
        let channels = stream::iter(counted).buffered(AT_A_TIME_OF_PAGE).try_collect().await?;
        Ok(ChannelPage { channels, more })
    }

    async fn channels_of_bucket(
        &self,
        prefix: &str,
        after: Option<&ChannelName>,
        max: usize,
    ) -> Result<Vec<ChannelRecord>, Error> {
        let _permit = self.list_permit(WEIGHT_OF_CHANNELS).await?;
        let channels = self.channels.listing_within(CHANNELS_WITHIN);
        channels.first(">", max, |entry| listed(prefix, after, &entry)).await
    }

    async fn list_permit(&self, weight: u32) -> Result<SemaphorePermit<'_>, Error> {
        // The semaphore is never closed.
        let permit = timeout(WAIT_WITHIN, self.bucket_lists.acquire_many(weight)).await;
        permit
            .ok()
            .and_then(Result::ok)
            .ok_or_else(|| Error::unavailable("too many lists are asked for"))
    }
}

/// A channel that is listed after the name `after`, by its name, which begins with `prefix`. What is not ours is left out, as it is in
/// Redis.
fn listed(
    prefix: &str,
    after: Option<&ChannelName>,
    entry: &Entry,
) -> Option<(ChannelName, ChannelRecord)> {
    let name = ChannelName::of_token(&entry.key)?;
    if !name.as_str().starts_with(prefix) || after.is_some_and(|after| name <= *after) {
        return None;
    }
    let record: ChannelRecord = serde_json::from_slice(&entry.value).ok()?;
    (!record.deleting).then_some((name, record))
}

/// Whoever is listed after the uid `after`, member or not, by uid.
pub(crate) fn member_after(after: Option<&Uid>, entry: &Entry) -> Option<(Uid, MemberRecord)> {
    let (_, uid) = parse_member_key(&entry.key)?;
    if after.is_some_and(|after| uid <= *after) {
        return None;
    }
    Some((uid, serde_json::from_slice(&entry.value).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::channel;

    fn entry(key: &str, value: &impl serde::Serialize) -> Entry {
        let value = serde_json::to_vec(value).unwrap().into();
        Entry { key: key.to_owned(), revision: 1, value }
    }

    #[test]
    fn channels_are_listed_after_a_name_unless_they_are_being_deleted() {
        let mut record = channel(None);
        let name = |after: &str, record: &ChannelRecord| {
            let after = ChannelName::parse(after).ok();
            // `c.` as it stands in a key.
            listed("", after.as_ref(), &entry("c=2E", record)).map(|(name, _)| name.to_string())
        };
        assert_eq!(name("", &record).as_deref(), Some("c."));
        // By its name, not by its key: `.` is before `/`, and `=` is not.
        assert_eq!(name("c-", &record).as_deref(), Some("c."));
        assert_eq!(name("c.", &record), None);
        assert_eq!(name("c/", &record), None);
        let of_prefix = |prefix| listed(prefix, None, &entry("c=2E", &record)).is_some();
        assert!(of_prefix("c.") && !of_prefix("c/"));
        record.deleting = true;
        assert_eq!(name("", &record), None);
        assert!(listed("", None, &entry("c", &"junk")).is_none());
    }
}
