//! Erasing a person's data, over all channels: memberships and bans, then events and their copies,
//! then read positions.
//!
//! Memberships go first, so that nobody says anything more. Their `left` events put the sockets out
//! and are then erased with the rest. A log that is full takes these events only when some of the person's
//! are erased: then they come last, and are erased once more.

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use goch_contract::{
    Actor, ChannelName, Error, Uid, UnixMillis,
    ended::{Ended, PersonErased},
    event::{Logged, end_deduplication_id},
    services::{
        broker::{ERASE_MAX, Erase, Find, Found},
        history::{ForgetEvents, ForgetPositions},
    },
};
use serde::Deserialize;

use super::{ATTEMPTS_MAX, Lifecycle, Progress, finisher::Unfinished, too_many_changes};
use crate::{
    log::is_full,
    record::{
        ErasurePage, ErasureRecord, Record as _, Standing, deletion_key, member_key,
        member_keys_of, parse_member_key,
    },
    registry::bucket::{self, Revised},
};

/// Channels whose copies are forgotten at the same time.
const FORGET_AT_A_TIME: usize = 32;

/// Memberships read in one go.
const MEMBERSHIPS: usize = 1_000;

/// Deletions that are looked through for those of the person.
const DELETIONS: usize = 100_000;

impl Lifecycle {
    /// Erases a person's data. Asked again while that is under way, goes on with it.
    ///
    /// # Errors
    /// `unavailable` when it is not certain to be done.
    pub(crate) async fn erase(&self, uid: &Uid, actor: &Actor) -> Result<Progress, Error> {
        let record = ErasureRecord::new(uid.clone(), actor.clone())?;
        // Whoever holds the key has the same done.
        bucket::create(&self.buckets.erasures, &uid.token(), &record).await?;
        // The operator's proof of what was done, and for whom: the uid is all that is kept.
        tracing::info!(%uid, %actor, "a person's data is being erased");
        let unfinished = Unfinished::Erasure(uid.clone());
        Ok(self.finish_within(unfinished, self.finish_erasure(uid)).await)
    }

    /// Does what is left of an erasure.
    pub(super) async fn finish_erasure(&self, uid: &Uid) -> Result<(), Error> {
        let Some(begun) = self.buckets.erasures.get(&uid.token()).await? else { return Ok(()) };
        let actor = begun.record.actor;
        let mut all_left = self.end_memberships(uid, &actor).await?;
        // Before the log is looked through: erasing makes room, and what waits for that would be stored after
        // the look.
        self.drop_deletions(uid).await?;
        while let Some(stored) = self.buckets.erasures.get(&uid.token()).await? {
            match stored.record.page.clone() {
                None => {
                    let is_last = self.find_page(stored, all_left).await?;
                    if is_last && !all_left {
                        all_left = self.end_memberships(uid, &actor).await?;
                        if !all_left {
                            return Err(Error::unavailable("the log has no room for what is left"));
                        }
                    }
                }
                Some(page) => {
                    self.erase_page(uid, &page).await?;
                    if page.more {
                        self.note_erased(stored, &page).await?;
                    } else {
                        self.services.call(&ForgetPositions::OfPerson(uid.clone())).await?;
                        self.drop_deletions(uid).await?;
                        // The uid alone is kept, for a time: whoever was told of the person must hear it.
                        let time = UnixMillis::now();
                        let erased = PersonErased { uid: uid.clone(), channel: None, time };
                        let id = end_deduplication_id(stored.record.creation());
                        let erased = Ended::PersonErased(erased);
                        self.log.publish_end(&erased, id, Some(&actor)).await?;
                        // Nobody follows this bucket: no marker is needed.
                        self.buckets.erasures.purge(&uid.token(), Some(stored.revision)).await?;
                        tracing::info!(%uid, %actor, "a person's data is erased");
                    }
                }
            }
        }
        Ok(())
    }

    /// Ends every membership; false if some of their events are still to be stored, because the log is full.
    /// Nobody is a member any more all the same.
    async fn end_memberships(&self, uid: &Uid, actor: &Actor) -> Result<bool, Error> {
        let mut untold = BTreeSet::new();
        loop {
            // In the order of their changes: those that were just ended, and stay until the log has room,
            // come after all others.
            let entries = self.buckets.members.list(&member_keys_of(uid), MEMBERSHIPS).await?;
            let members = entries.iter().filter_map(|entry| parse_member_key(&entry.key));
            let channels = members.map(|(channel, _)| channel);
            let left: Vec<_> = channels.filter(|channel| !untold.contains(channel)).collect();
            if left.is_empty() {
                return Ok(untold.is_empty());
            }
            for channel in left {
                match self.end_membership(&channel, uid, actor).await {
                    Err(error) if is_full(&error) => {
                        untold.insert(channel);
                    }
                    outcome => outcome?,
                }
            }
        }
    }

    /// Drops deletions by this person of which the channel is still to be told: the log may have nothing of
    /// the person any more. The copies go first: without the event, nothing else says which channel has them.
    async fn drop_deletions(&self, uid: &Uid) -> Result<(), Error> {
        let deletions = self.buckets.deletions.records(">", DELETIONS).await?;
        for record in deletions.iter().filter(|it| it.erased_first && it.uid == *uid) {
            if !record.forgotten_first {
                self.erase_message(&record.channel, record.message, true).await?;
            }
            let key = deletion_key(&record.channel, record.message);
            self.buckets.deletions.purge(&key, None).await?;
        }
        Ok(())
    }

    async fn end_membership(
        &self,
        channel: &ChannelName,
        uid: &Uid,
        actor: &Actor,
    ) -> Result<(), Error> {
        let key = member_key(channel, uid);
        for _ in 0..ATTEMPTS_MAX {
            let Some(stored) = self.buckets.members.get(&key).await? else { return Ok(()) };
            let standing = Standing::Removed(UnixMillis::now());
            if stored.record.standing == Standing::Member || !stored.record.announced {
                let dismissed = self.memberships.dismiss(channel, stored, standing, Some(actor));
                if let Some(dismissed) = dismissed.await? {
                    return self.announcer.announce(channel, dismissed).await;
                }
            } else if self.buckets.members.remove(&key, Some(stored.revision)).await? {
                return Ok(());
            }
        }
        Err(too_many_changes())
    }

    /// Finds events, and writes down which ones before any is erased. More will follow unless `all_left`;
    /// true if until then there are none, and nothing is written down.
    async fn find_page(
        &self,
        mut stored: Revised<ErasureRecord>,
        all_left: bool,
    ) -> Result<bool, Error> {
        let uid = stored.record.uid.clone();
        let limit = u32::try_from(ERASE_MAX).unwrap_or(u32::MAX);
        let after = stored.record.through;
        let find = Find { uid: uid.clone(), after, limit, shown: false };
        let Found { events, through, more } = self.services.call(&find).await?;
        if !all_left && !more && events.is_empty() {
            return Ok(true);
        }
        let more = more || !all_left;
        let channels: BTreeSet<_> = events.iter().filter_map(channel_of).collect();
        let events = events.iter().map(|logged| logged.seq).collect();
        stored.record.page = Some(ErasurePage { events, channels, through, more });
        self.buckets.erasures.replace(&uid.token(), &stored.record, stored.revision).await?;
        Ok(false)
    }

    async fn erase_page(&self, uid: &Uid, page: &ErasurePage) -> Result<(), Error> {
        if page.events.is_empty() {
            return Ok(());
        }
        let erase = Erase { uid: uid.clone(), events: page.events.clone() };
        let through = self.services.call(&erase).await?;
        // Together, because each waits for the log to be written to Redis up to there.
        let forgets = page.channels.iter().cloned().map(|channel| {
            let services = self.services.clone();
            async move { services.call(&ForgetEvents { channel, through }).await }
        });
        let mut forgets = stream::iter(forgets).buffer_unordered(FORGET_AT_A_TIME);
        while forgets.try_next().await?.is_some() {}
        Ok(())
    }

    async fn note_erased(
        &self,
        mut stored: Revised<ErasureRecord>,
        page: &ErasurePage,
    ) -> Result<(), Error> {
        stored.record.through = page.through;
        stored.record.page = None;
        let key = stored.record.uid.token().into_owned();
        self.buckets.erasures.replace(&key, &stored.record, stored.revision).await?;
        Ok(())
    }
}

fn channel_of(logged: &Logged) -> Option<ChannelName> {
    #[derive(Deserialize)]
    struct Place {
        channel: ChannelName,
    }
    serde_json::from_str::<Place>(logged.event.get()).ok().map(|place| place.channel)
}
