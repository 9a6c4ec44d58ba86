//! Tells the log who came, changed and went, at least once.
//!
//! A member's record says whether the log has the event of its standing: `joined` or `updated`, or
//! `left` once the member is removed or banned. The event is published when the record is written; if that
//! fails, or the process dies in between, some replica does it later: every replica learns of such
//! members as it follows the bucket. The event has the same deduplication id each time, so it can be
//! there twice only if it was stored, the record not updated, and longer than the deduplication
//! window passed until the next attempt.

use std::{sync::Arc, time::Duration};

use goch_chassis::shutdown::Shutdown;
use goch_contract::{ChannelName, Error, Uid, services::admin::Revoked};
use prometheus_client::metrics::gauge::Gauge;
use tokio::time::Instant;

use crate::{
    log::{About, Log, Whom},
    record::{ChannelRecord, MemberRecord, Standing, member_key},
    registry::bucket::{Bucket, Revised},
    revoker::Revoker,
    waiting::Waiting,
};

/// How long a request waits for the log to take an event that may also be published later.
pub(crate) const ANNOUNCE_WITHIN: Duration = Duration::from_secs(1);

/// How long the replica that writes a record is given before another one does its work; the spread
/// keeps replicas from doing it all at once.
const PATIENCE: Duration = Duration::from_secs(5);
const SPREAD: Duration = Duration::from_secs(10);

/// How often it is looked whether anything is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Announcer {
    log: Log,
    channels: Arc<Bucket<ChannelRecord>>,
    members: Arc<Bucket<MemberRecord>>,
    revoker: Revoker,
    waiting: Arc<Waiting<(ChannelName, Uid)>>,
}

impl Announcer {
    pub(crate) fn new(
        log: Log,
        channels: Arc<Bucket<ChannelRecord>>,
        members: Arc<Bucket<MemberRecord>>,
        revoker: Revoker,
        count: Gauge,
    ) -> Self {
        let waiting = Arc::new(Waiting::new(PATIENCE, SPREAD, count));
        Self { log, channels, members, revoker, waiting }
    }

    /// Learns whether a member is announced, as the bucket says.
    pub(crate) fn note(&self, channel: &ChannelName, uid: &Uid, announced: bool) {
        let key = (channel.clone(), uid.clone());
        if announced { self.waiting.remove(&key) } else { self.waiting.add(key) }
    }

    /// Announces a member within [`ANNOUNCE_WITHIN`], or leaves it for later.
    pub(crate) async fn announce_soon(&self, channel: &ChannelName, member: Revised<MemberRecord>) {
        let uid = member.record.uid.clone();
        let announced = tokio::time::timeout(ANNOUNCE_WITHIN, self.announce(channel, member)).await;
        if !matches!(announced, Ok(Ok(()))) {
            tracing::warn!(%channel, %uid, "the joined or left event will follow");
            self.waiting.add((channel.clone(), uid));
        }
    }

    /// Announces a member, unless that is done. The record of one who was removed goes with it.
    pub(crate) async fn announce(
        &self,
        channel: &ChannelName,
        mut member: Revised<MemberRecord>,
    ) -> Result<(), Error> {
        let key = member_key(channel, &member.record.uid);
        if !member.record.announced
            && let Some((event, deduplication_id)) = member.record.event(channel)
        {
            let (kind, uid) = (member.record.kind(), &member.record.uid);
            let about = About::Member(Whom { kind, uid });
            let actor = member.record.actor.as_ref();
            self.log.publish(channel, &event, deduplication_id, about, actor).await?;
            member.record.announced = true;
            if !matches!(member.record.standing, Standing::Removed(_)) {
                // If it has changed meanwhile, whoever changed it knows or will be told by the bucket.
                self.members.replace(&key, &member.record, member.revision).await?;
            }
        }
        if matches!(member.record.standing, Standing::Removed(_)) {
            self.release(&key, &member).await?;
        }
        Ok(())
    }

    /// Removes a record that is no longer needed; of a uid that is reserved, it stays that. False if the
    /// record has changed since it was read.
    pub(crate) async fn release(
        &self,
        key: &str,
        member: &Revised<MemberRecord>,
    ) -> Result<bool, Error> {
        match member.record.remains()? {
            Some(reserved) => {
                Ok(self.members.replace(key, &reserved, member.revision).await?.is_some())
            }
            None => self.members.remove(key, Some(member.revision)).await,
        }
    }

    /// Announces whoever is due, until the service ends. Calls `reread` when members were left out
    /// for want of room, and there is room again.
    pub(crate) async fn run(self, shutdown: Shutdown, reread: impl Fn()) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut revoked = LastRevoked::default();
        while shutdown.unless_begun(look.tick()).await.is_some() {
            for (channel, uid) in self.waiting.due(Instant::now()) {
                // The rest would fail the same way; all stay until they are announced.
                let announced = self.announce_late(&channel, &uid, &mut revoked).await;
                if announced.is_err() || shutdown.has_begun() {
                    break;
                }
                self.waiting.remove(&(channel, uid));
            }
            if self.waiting.has_room_again() {
                reread();
            }
        }
    }

    async fn announce_late(
        &self,
        channel: &ChannelName,
        uid: &Uid,
        revoked: &mut LastRevoked,
    ) -> Result<(), Error> {
        let key = member_key(channel, uid);
        let Some(member) = self.members.get(&key).await? else { return Ok(()) };
        if member.record.announced {
            return Ok(());
        }
        let stored = self.channels.get(&channel.token()).await?;
        if stored.is_none_or(|stored| stored.record.deleting) {
            // Nothing may be written about a channel that is gone.
            self.members.remove(&key, Some(member.revision)).await?;
            return Ok(());
        }
        // Whoever changed the record may have got no further than that.
        if revoked.is_news(&key, member.revision) {
            self.revoker.revoke(Revoked::Member(channel.clone(), uid.clone())).await;
        }
        self.announce(channel, member).await?;
        tracing::info!(%channel, %uid, "announced late");
        Ok(())
    }
}

/// The record of which the gateways were told last. While the log takes nothing, one and the same member is
/// due at every look, and each revocation has every gateway ask.
#[derive(Debug, Default)]
struct LastRevoked(Option<(String, u64)>);

impl LastRevoked {
    /// Notes a record; true unless it is the one of the last time, unchanged.
    fn is_news(&mut self, key: &str, revision: u64) -> bool {
        let record = (key.to_owned(), revision);
        self.0.replace(record.clone()) != Some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_whose_event_waits_for_room_is_revoked_once_for_each_change() {
        let mut revoked = LastRevoked::default();
        assert!(revoked.is_news("c.ann", 7));
        assert!(!revoked.is_news("c.ann", 7));
        assert!(revoked.is_news("c.ann", 8), "the record has changed");
        assert!(revoked.is_news("c.ben", 8), "somebody else's");
    }
}
