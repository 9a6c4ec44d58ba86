//! Lists of channels and members: from Redis if it can be trusted, else from the buckets.
//!
//! A bucket has no order, so a page of channels is found by reading all of them, tens of thousands a second,
//! of which no more than the page is held.

use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use goch_chassis::bucket::Entry;
use goch_contract::{ChannelName, Error};
use tokio::{sync::SemaphorePermit, time::timeout};

use super::{Registry, projection::ChannelPage};
use crate::record::{ChannelRecord, MemberRecord};

/// The most members that are listed of one channel.
pub(crate) const MEMBERS_MAX: usize = 1_000;

/// Lists read from a bucket at a time: each is a consumer on the server for its duration.
pub(super) const AT_A_TIME: usize = 8;

/// As how many of them the list of all channels counts.
const WEIGHT_OF_CHANNELS: u32 = 3;

/// Lists of members read at a time for one page of channels.
const AT_A_TIME_OF_PAGE: usize = 4;

/// How long a list may wait for others to end.
const WAIT_WITHIN: Duration = Duration::from_secs(2);

/// How long reading all channels may take.
const CHANNELS_WITHIN: Duration = Duration::from_secs(10);

/// How long a page of channels may take, with their members.
const PAGE_WITHIN: Duration = Duration::from_secs(13);

impl Registry {
    /// The channel's members by uid, at most [`MEMBERS_MAX`].
    ///
    /// # Errors
    /// `unavailable`.
    pub(crate) async fn members(&self, channel: &ChannelName) -> Result<Vec<MemberRecord>, Error> {
        if let Some(members) = self.projection.members(channel).await {
            return Ok(members);
        }
        self.members_of_bucket(channel).await
    }

    async fn members_of_bucket(&self, channel: &ChannelName) -> Result<Vec<MemberRecord>, Error> {
        let _permit = self.list_permit(1).await?;
        let mut members =
            self.members.records(&format!("{}.*", channel.token()), MEMBERS_MAX).await?;
        members.retain(MemberRecord::is_member);
        members.sort_unstable_by(|one, other| one.uid.cmp(&other.uid));
        Ok(members)
    }

    /// How many members, bans and reserved uids a channel has; of many more than it may have, some.
    pub(super) async fn count_members(&self, channel: &ChannelName) -> Result<usize, Error> {
        if let Some(count) = self.projection.count_members(channel).await {
            return Ok(count);
        }
        let _permit = self.list_permit(1).await?;
        let entries =
            self.members.list(&format!("{}.*", channel.token()), self.channel_members_max).await?;
        Ok(entries.len())
    }

    /// Up to `limit` channels by name, after `after`, each with its members.
    ///
    /// # Errors
    /// `unavailable`, also when there are more channels than can be read in time while Redis is away.
    pub(crate) async fn page(
        &self,
        after: Option<&ChannelName>,
        limit: usize,
    ) -> Result<ChannelPage, Error> {
        if let Some(page) = self.projection.page(after, limit).await {
            return Ok(page);
        }
        let page = timeout(PAGE_WITHIN, self.page_of_buckets(after, limit)).await;
        page.unwrap_or_else(|_| Err(Error::unavailable("the list of channels took too long")))
    }

    async fn page_of_buckets(
        &self,
        after: Option<&ChannelName>,
        limit: usize,
    ) -> Result<ChannelPage, Error> {
        let mut channels = self.channels_of_bucket(after, limit.saturating_add(1)).await?;
        let more = channels.len() > limit;
        channels.truncate(limit);
        let with_members = channels.into_iter().map(|channel| async move {
            let members = self.members_of_bucket(&channel.name).await?;
            Ok::<_, Error>((channel, members))
        });
        let channels = stream::iter(with_members).buffered(AT_A_TIME_OF_PAGE).try_collect().await?;
        Ok(ChannelPage { channels, more })
    }

    async fn channels_of_bucket(
        &self,
        after: Option<&ChannelName>,
        max: usize,
    ) -> Result<Vec<ChannelRecord>, Error> {
        let _permit = self.list_permit(WEIGHT_OF_CHANNELS).await?;
        let channels = self.channels.listing_within(CHANNELS_WITHIN);
        let after = after.map_or("", ChannelName::as_str);
        channels.first(">", max, |entry| listed(after, entry)).await
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

/// A channel that is listed after the name `after`, by its name. What is not ours is left out, as it is in
/// Redis.
fn listed(after: &str, entry: Entry) -> Option<(String, ChannelRecord)> {
    if *entry.key <= *after {
        return None;
    }
    let record: ChannelRecord = serde_json::from_slice(&entry.value).ok()?;
    (!record.deleting).then_some((entry.key, record))
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
        let name =
            |after, record: &ChannelRecord| listed(after, entry("c", record)).map(|(name, _)| name);
        assert_eq!(name("", &record).as_deref(), Some("c"));
        assert_eq!(name("b", &record).as_deref(), Some("c"));
        assert_eq!(name("c", &record), None);
        assert_eq!(name("d", &record), None);
        record.deleting = true;
        assert_eq!(name("", &record), None);
        assert!(listed("", entry("c", &"junk")).is_none());
    }
}
