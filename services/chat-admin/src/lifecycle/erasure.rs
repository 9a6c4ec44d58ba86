//! Erasing a person's data: memberships, then events and their copies, then read positions. Of an account in all
//! channels, of a guest in one.
//!
//! Memberships go first, so that nobody says anything more. Their `left` events put the sockets out
//! and are then erased with the rest. A log that is full takes these events only when some of the person's
//! are erased: then they come last, and are erased once more.
//!
//! A ban stays, with uid and time: else whoever was banned could have it lifted by being erased. So does a suspension.

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use goch_chassis::bucket::Entry;
use goch_contract::{
    Actor, ChannelName, Error, Person, PersonKind, Uid, UnixMillis,
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
        EraseStep, ErasurePage, ErasureRecord, MemberRecord, Record as _, Standing, deletion_key,
        erasure_key, member_key, member_keys_of, parse_member_key,
    },
    registry::bucket::{self, Creation, Revised},
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
    pub(crate) async fn erase(&self, person: &Person, actor: &Actor) -> Result<Progress, Error> {
        let channel = match person.channel() {
            Some(channel) => self.buckets.channels.get(&channel.token()).await?,
            None => None,
        };
        let channel = channel.as_ref().map(|stored| &stored.record);
        let record = ErasureRecord::new(person.clone(), actor.clone(), channel)?;
        let (key, erasures) = (erasure_key(person), &self.buckets.erasures);
        // Whoever holds the key has the same done, unless it is a guest of a channel that is gone.
        if let Creation::Taken(held) = bucket::create(erasures, &key, &record).await?
            && channel.is_some_and(|channel| held.record.is_outlived_by(channel))
        {
            erasures.purge(&key, Some(held.revision)).await?;
            bucket::create(erasures, &key, &record).await?;
        }
        // The operator's proof of what was done, and for whom: the uid is all that is kept.
        tracing::info!(%person, %actor, "a person's data is being erased");
        let unfinished = Unfinished::Erasure(person.clone());
        Ok(self.finish_within(unfinished, self.finish_erasure(person)).await)
    }

    /// Does what is left of an erasure.
    pub(super) async fn finish_erasure(&self, person: &Person) -> Result<(), Error> {
        let key = erasure_key(person);
        let Some(begun) = self.buckets.erasures.get(&key).await? else { return Ok(()) };
        if self.has_gone_with_channel(&begun.record).await? {
            return self.end_erasure(begun).await;
        }
        let actor = begun.record.actor;
        let mut all_left = self.end_memberships(person, &actor).await?;
        // Before the log is looked through: erasing makes room, and what waits for that would be stored after
        // the look.
        self.drop_deletions(person).await?;
        while let Some(stored) = self.buckets.erasures.get(&key).await? {
            // The channel may have gone meanwhile.
            if self.has_gone_with_channel(&stored.record).await? {
                return self.end_erasure(stored).await;
            }
            match stored.record.page.clone() {
                None => {
                    let is_last = self.find_page(stored, all_left).await?;
                    if is_last && !all_left {
                        all_left = self.end_memberships(person, &actor).await?;
                        if !all_left {
                            return Err(Error::unavailable("the log has no room for what is left"));
                        }
                    }
                }
                Some(page) => {
                    self.erase_page(person, &page).await?;
                    if page.more {
                        self.note_erased(stored, &page).await?;
                    } else {
                        self.services.call(&ForgetPositions::OfPerson(person.clone())).await?;
                        self.drop_deletions(person).await?;
                        self.end_erasure(stored).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Says that a person is erased, and forgets that it was to be done.
    async fn end_erasure(&self, stored: Revised<ErasureRecord>) -> Result<(), Error> {
        let ErasureRecord { person, actor, .. } = &stored.record;
        // The uid alone is kept, for a time: whoever was told of the person must hear it.
        let erased = Ended::PersonErased(PersonErased::of(person, UnixMillis::now()));
        let id = end_deduplication_id(stored.record.creation());
        self.log.publish_end(&erased, id, Some(actor)).await?;
        // Nobody follows this bucket: no marker is needed.
        self.buckets.erasures.purge(&erasure_key(person), Some(stored.revision)).await?;
        tracing::info!(%person, %actor, "a person's data is erased");
        Ok(())
    }

    /// Whether it is a guest's of a channel that was deleted since, so that only a namesake could be erased.
    async fn has_gone_with_channel(&self, record: &ErasureRecord) -> Result<bool, Error> {
        let Some(channel) = record.person.channel() else { return Ok(false) };
        let stored = self.buckets.channels.get(&channel.token()).await?;
        Ok(stored.is_some_and(|stored| record.is_outlived_by(&stored.record)))
    }

    /// Ends every membership; false if some of their events are still to be stored, because the log is full.
    /// Nobody is a member any more all the same.
    async fn end_memberships(&self, person: &Person, actor: &Actor) -> Result<bool, Error> {
        let uid = person.uid();
        if let Some(channel) = person.channel() {
            return self.end_membership(channel, uid, person.kind(), actor).await;
        }
        let filter = member_keys_of(uid);
        let mut untold = BTreeSet::new();
        loop {
            let left = |entry: Entry| {
                let (channel, _) = parse_member_key(&entry.key)?;
                let is_left = person.is_known_in(&channel)
                    && has_of_account(&entry)
                    && !untold.contains(&channel);
                is_left.then_some(channel)
            };
            let left = self.buckets.members.some(&filter, MEMBERSHIPS, left).await?;
            if left.is_empty() {
                return Ok(untold.is_empty());
            }
            for channel in left {
                if !self.end_membership(&channel, uid, person.kind(), actor).await? {
                    untold.insert(channel);
                }
            }
        }
    }

    /// Drops deletions by this person of which the channel is still to be told: the log may have nothing of
    /// the person any more. The copies go first: without the event, nothing else says which channel has them.
    async fn drop_deletions(&self, person: &Person) -> Result<(), Error> {
        let deletions = self.buckets.deletions.records(">", DELETIONS).await?;
        for record in deletions.iter().filter(|it| it.erased_first && it.is_by(person)) {
            if !record.forgotten_first {
                self.erase_message(&record.channel, record.message, true).await?;
            }
            let key = deletion_key(&record.channel, record.message);
            self.buckets.deletions.purge(&key, None).await?;
        }
        Ok(())
    }

    /// Takes what the record of a uid in a channel has of the person of that kind; false if the log is still to have
    /// an event of it, and is full.
    async fn end_membership(
        &self,
        channel: &ChannelName,
        uid: &Uid,
        kind: PersonKind,
        actor: &Actor,
    ) -> Result<bool, Error> {
        let (key, members) = (member_key(channel, uid), &self.buckets.members);
        for _ in 0..ATTEMPTS_MAX {
            let Some(stored) = members.get(&key).await? else { return Ok(true) };
            let to_announce = match stored.record.next_to_erase(kind) {
                EraseStep::Nothing => return Ok(true),
                EraseStep::Dismiss => {
                    let standing = Standing::Removed(UnixMillis::now());
                    self.memberships.dismiss(channel, stored, standing, Some(actor)).await?
                }
                EraseStep::Announce => Some(stored),
                EraseStep::Strip => {
                    let stripped = stored.record.stripped(kind)?;
                    members.replace(&key, &stripped, stored.revision).await?;
                    None
                }
                EraseStep::Remove => {
                    members.remove(&key, Some(stored.revision)).await?;
                    None
                }
            };
            if let Some(to_announce) = to_announce {
                match self.announcer.announce(channel, to_announce).await {
                    Err(error) if is_full(&error) => return Ok(false),
                    outcome => outcome?,
                }
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
        let person = stored.record.person.clone();
        let limit = u32::try_from(ERASE_MAX).unwrap_or(u32::MAX);
        let after = stored.record.through;
        let find = Find { person: person.clone(), after, limit, shown: false };
        let Found { events, through, more } = self.services.call(&find).await?;
        if !all_left && !more && events.is_empty() {
            return Ok(true);
        }
        let more = more || !all_left;
        let channels: BTreeSet<_> = events.iter().filter_map(channel_of).collect();
        let events = events.iter().map(|logged| logged.seq).collect();
        stored.record.page = Some(ErasurePage { events, channels, through, more });
        let key = erasure_key(&person);
        self.buckets.erasures.replace(&key, &stored.record, stored.revision).await?;
        Ok(false)
    }

    async fn erase_page(&self, person: &Person, page: &ErasurePage) -> Result<(), Error> {
        if page.events.is_empty() {
            return Ok(());
        }
        let erase = Erase { person: person.clone(), events: page.events.clone() };
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
        let key = erasure_key(&stored.record.person);
        self.buckets.erasures.replace(&key, &stored.record, stored.revision).await?;
        Ok(())
    }
}

/// Whether there is anything to be done about the record; one that cannot be read is not passed over.
fn has_of_account(entry: &Entry) -> bool {
    let record: Result<MemberRecord, _> = serde_json::from_slice(&entry.value);
    record.map_or(true, |it| it.next_to_erase(PersonKind::Account) != EraseStep::Nothing)
}

fn channel_of(logged: &Logged) -> Option<ChannelName> {
    #[derive(Deserialize)]
    struct Place {
        channel: ChannelName,
    }
    serde_json::from_str::<Place>(logged.event.get()).ok().map(|place| place.channel)
}
