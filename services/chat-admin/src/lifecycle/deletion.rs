//! Deleting a channel with everything of it.
//!
//! The mark in its record comes first: it makes the channel unknown to everybody at once. Members go
//! before the log, so that nobody's coming or going is published into a log that is already empty;
//! the log goes before its copies, which would read it again; and the record goes last, so that the
//! name is free only when nothing is left, and only when it is stored that the channel is deleted: webhooks tell
//! that before they tell of a new channel of the name.

use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use goch_contract::{
    Actor, ChannelName, Error, ErrorCode, Seq, UnixMillis,
    ended::{ChannelDeleted, Ended},
    event::end_deduplication_id,
    services::{
        admin::Revoked,
        broker::{Purge, Tails},
        history::{ForgetEvents, ForgetPositions},
    },
};

use super::{Lifecycle, Progress, finisher::Unfinished, no_channel};
use crate::{
    record::{Record as _, member_keys},
    registry::projection::Key,
};

/// Records that are read and removed in one go.
const RECORDS: usize = 1_000;

/// Records removed at the same time.
const REMOVED_AT_A_TIME: usize = 32;

/// How often the log is purged until nothing more comes: gateways that have not yet heard may still
/// have messages under way.
const PURGES_MAX: usize = 5;

impl Lifecycle {
    /// Deletes a channel, if there is one. Asked again while that is under way, goes on with it.
    ///
    /// # Errors
    /// `unavailable` when it is not certain to be done.
    pub(crate) async fn delete_channel(
        &self,
        name: &ChannelName,
        actor: &Actor,
    ) -> Result<Progress, Error> {
        let mark = self.change_channel(name, async |stored| {
            stored.record.deleting = true;
            stored.record.actor = Some(actor.clone());
            Ok(true)
        });
        match mark.await {
            Ok(_) => tracing::info!(channel = %name, %actor, "channel is being deleted"),
            Err(error) if error.code == ErrorCode::NotFound => {
                // Unless the mark is there already, nothing is left of it.
                if self.buckets.channels.get(&name.token()).await?.is_none() {
                    return Ok(Progress::Done);
                }
            }
            Err(error) => return Err(error),
        }
        let unfinished = Unfinished::Channel(name.clone());
        Ok(self.finish_within(unfinished, self.finish_deletion(name)).await)
    }

    /// Does what is left of a deletion.
    ///
    /// Another replica may be doing the same, be done, and the name be given to a new channel. So
    /// whatever is to be removed is read first, then the mark is looked for, and only what was read
    /// is removed.
    pub(super) async fn finish_deletion(&self, name: &ChannelName) -> Result<(), Error> {
        let Some(stored) = self.buckets.channels.get(&name.token()).await? else { return Ok(()) };
        if !stored.record.deleting {
            return Ok(());
        }
        let revision = stored.revision;
        self.project(Key::Channel(name.clone()), revision, &stored.record).await;
        self.memberships.revoker.revoke(Revoked::Channel(name.clone())).await;
        self.remove_members(name, revision).await?;
        self.empty_log(name, revision).await?;
        self.require_mark(name, revision).await?;
        let deleted = ChannelDeleted { channel: name.clone(), time: UnixMillis::now() };
        let id = end_deduplication_id(stored.record.creation());
        let actor = stored.record.actor.as_ref();
        self.log.publish_end(&Ended::ChannelDeleted(deleted), id, actor).await?;
        if self.buckets.channels.remove(&name.token(), Some(revision)).await? {
            let actor = stored.record.actor.as_ref().map(Actor::as_str);
            tracing::info!(channel = %name, actor, "channel deleted");
        }
        Ok(())
    }

    async fn require_mark(&self, name: &ChannelName, revision: u64) -> Result<(), Error> {
        let stored = self.buckets.channels.get(&name.token()).await?;
        stored.filter(|stored| stored.revision == revision).map(|_| ()).ok_or_else(no_channel)
    }

    /// Removes every member and every ban, without a word in the log.
    async fn remove_members(&self, name: &ChannelName, revision: u64) -> Result<(), Error> {
        let members = &self.buckets.members;
        loop {
            let found = members.list(&member_keys(name), RECORDS).await?;
            if found.is_empty() {
                return Ok(());
            }
            self.require_mark(name, revision).await?;
            let removals = found.into_iter().map(|entry| {
                let members = Arc::clone(members);
                async move { members.remove(&entry.key, Some(entry.revision)).await }
            });
            let mut removals = stream::iter(removals).buffer_unordered(REMOVED_AT_A_TIME);
            while removals.try_next().await?.is_some() {}
        }
    }

    /// Removes every event, and the copies in Redis.
    async fn empty_log(&self, name: &ChannelName, revision: u64) -> Result<(), Error> {
        let mut through = Seq(0);
        for _ in 0..PURGES_MAX {
            let tails = self.services.call(&Tails { channels: vec![name.clone()] }).await?;
            let tail = tails.first().copied().unwrap_or_default();
            self.require_mark(name, revision).await?;
            if tail > Seq(0) {
                through = tail;
                let purge = Purge { channel: name.clone(), through };
                while self.services.call(&purge).await? {}
            }
            // Also without an event: there may be copies of what an earlier attempt removed.
            self.services.call(&ForgetEvents { channel: name.clone(), through }).await?;
            if tail == Seq(0) {
                self.services.call(&ForgetPositions::OfChannel(name.clone())).await?;
                return Ok(());
            }
        }
        Err(Error::unavailable("the channel's log does not become empty"))
    }
}
