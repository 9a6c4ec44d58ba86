//! Channels and members: who there is, and who may do what.
//!
//! The buckets are the truth ([`bucket`]). Redis answers first where it can ([`projection`], kept
//! whole by [`keeper`]), but only ever says yes: what it does not have, or a secret that does not
//! match, is looked up in the bucket before anybody is refused. So a copy that lags refuses nobody,
//! and refusals of all kinds take the same time.

pub(crate) mod bucket;
mod enrol;
pub(crate) mod keeper;
pub(crate) mod projection;

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use goch_contract::{
    ChannelName, Error, ErrorCode, Secret, Uid,
    rest::{CreatedChannelBody, JoinedBody, PublicMember},
    services::admin::{
        Authorize, Authorized, Members, Register, Registered, VERIFY_MAX, Verified, Verify,
    },
};
use tokio::sync::Semaphore;

use self::{
    bucket::{Bucket, Creation, Revised},
    projection::{ChannelPage, Key, Projection, Write},
};
use crate::{
    announcer::Announcer,
    metrics::AdminMetrics,
    record::{ChannelRecord, MemberRecord, Record, Standing, member_key},
    secret,
};

/// The most members that are listed of one channel.
pub(crate) const MEMBERS_MAX: usize = 1_000;

/// Lists read from the bucket at a time: each is a consumer on the server for its duration.
const BUCKET_LISTS_MAX: usize = 8;

/// How long a registration waits for the log.
const ANNOUNCE_WITHIN: Duration = Duration::from_secs(1);

/// Channels and members. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Registry {
    channels: Arc<Bucket<ChannelRecord>>,
    members: Arc<Bucket<MemberRecord>>,
    projection: Projection,
    announcer: Announcer,
    metrics: AdminMetrics,
    bucket_lists: Arc<Semaphore>,
    /// How many a channel may have of those who join by themselves; 0 for any number.
    channel_members_max: usize,
}

impl Registry {
    pub(crate) fn new(
        channels: Arc<Bucket<ChannelRecord>>,
        members: Arc<Bucket<MemberRecord>>,
        projection: Projection,
        announcer: Announcer,
        metrics: AdminMetrics,
        channel_members_max: usize,
    ) -> Self {
        let bucket_lists = Arc::new(Semaphore::new(BUCKET_LISTS_MAX));
        Self {
            channels,
            members,
            projection,
            announcer,
            metrics,
            bucket_lists,
            channel_members_max,
        }
    }

    /// Creates a channel, with a secret if it is to be private; the event is still to be published.
    ///
    /// # Errors
    /// `conflict` if there is one of that name.
    pub(crate) async fn create_channel(
        &self,
        name: ChannelName,
        is_private: bool,
    ) -> Result<(CreatedChannelBody, Revised<ChannelRecord>), Error> {
        let secret = is_private.then(secret::generate).transpose()?;
        let record = ChannelRecord::new(name.clone(), secret.as_ref())?;
        let revision = match bucket::create(&self.channels, name.as_str(), &record).await? {
            Creation::Done(revision) => {
                self.project(Key::Channel(name.clone()), revision, &record).await;
                revision
            }
            Creation::Taken(_) => {
                let message = "there is a channel of this name";
                return Err(Error::of_field(ErrorCode::Conflict, "name", message));
            }
        };
        self.metrics.channels_created.inc();
        tracing::info!(channel = %name, is_private, "channel created");
        Ok((CreatedChannelBody { name, is_private, secret }, Revised { revision, record }))
    }

    /// The channel, if there is one.
    pub(crate) async fn channel(&self, name: &ChannelName) -> Result<Option<ChannelRecord>, Error> {
        if let Some(channel) = self.projection.channel(name).await {
            return Ok(Some(channel).filter(|channel| !channel.deleting));
        }
        let stored = self.channels.get(name.as_str()).await?.map(|stored| stored.record);
        Ok(stored.filter(|channel| !channel.deleting))
    }

    /// The member, if there is one.
    pub(crate) async fn member(
        &self,
        channel: &ChannelName,
        uid: &Uid,
    ) -> Result<Option<MemberRecord>, Error> {
        let projected = self.projection.member(channel, uid).await;
        if let Some(member) = projected.filter(MemberRecord::is_member) {
            return Ok(Some(member));
        }
        let stored = self.members.get(&member_key(channel, uid)).await?.map(|stored| stored.record);
        Ok(stored.filter(MemberRecord::is_member))
    }

    /// The channel's members by uid, at most [`MEMBERS_MAX`].
    pub(crate) async fn members(&self, channel: &ChannelName) -> Result<Vec<MemberRecord>, Error> {
        if let Some(members) = self.projection.members(channel).await {
            return Ok(members);
        }
        let _permit = self
            .bucket_lists
            .try_acquire()
            .map_err(|_| Error::unavailable("members cannot be listed now"))?;
        let mut members = self.members.records(&format!("{channel}.*"), MEMBERS_MAX).await?;
        members.retain(MemberRecord::is_member);
        members.sort_unstable_by(|one, other| one.uid.cmp(&other.uid));
        Ok(members)
    }

    /// Up to `limit` channels by name, after `after`, each with its members.
    pub(crate) async fn page(
        &self,
        after: Option<&ChannelName>,
        limit: usize,
    ) -> Result<ChannelPage, Error> {
        self.projection.page(after, limit).await
    }

    /// Whether a member may use a channel.
    ///
    /// # Errors
    /// `unauthorized`, whatever the reason.
    pub(crate) async fn authorize(&self, request: Authorize) -> Result<Authorized, Error> {
        let Authorize { channel, uid, secret } = request;
        let projected =
            tokio::join!(self.projection.channel(&channel), self.projection.member(&channel, &uid));
        if let Some(authorized) = allow(projected, &secret) {
            return Ok(authorized);
        }
        let key = member_key(&channel, &uid);
        let (channel, member) =
            tokio::try_join!(self.channels.get(channel.as_str()), self.members.get(&key))?;
        let stored = (channel.map(|stored| stored.record), member.map(|stored| stored.record));
        allow(stored, &secret).ok_or_else(|| {
            let message = "there is no such member of such a channel, or the secret is wrong";
            Error::new(ErrorCode::Unauthorized, message)
        })
    }

    /// Which of these members may still use these channels.
    ///
    /// # Errors
    /// `bad_request` when there are too many; `unavailable`.
    pub(crate) async fn verify(&self, request: Verify) -> Result<Vec<Verified>, Error> {
        let members: usize = request.seats.iter().map(|(_, uids)| uids.len()).sum();
        if members > VERIFY_MAX || request.seats.len() > VERIFY_MAX {
            let message = format!("at most {VERIFY_MAX} members are verified at a time");
            return Err(Error::bad_request("seats", message));
        }
        let verified =
            request.seats.into_iter().map(|(channel, uids)| self.verify_one(channel, uids));
        stream::iter(verified).buffered(VERIFIED_AT_A_TIME).try_collect().await
    }

    async fn verify_one(&self, name: ChannelName, uids: Vec<Uid>) -> Result<Verified, Error> {
        let Some(channel) = self.channel(&name).await? else {
            return Ok(Verified { exists: false, closed: false, gone: uids });
        };
        let mut gone = Vec::new();
        for uid in uids {
            if self.member(&name, &uid).await?.is_none() {
                gone.push(uid);
            }
        }
        Ok(Verified { exists: true, closed: channel.closed_at.is_some(), gone })
    }

    /// Makes somebody a member.
    ///
    /// # Errors
    /// `forbidden` for an unknown channel or a wrong channel secret; `conflict` if the uid belongs
    /// to somebody with another secret.
    pub(crate) async fn register(&self, request: Register) -> Result<Registered, Error> {
        let Register { channel, channel_secret, uid, display_name, email, secret } = request;
        self.admit(&channel, channel_secret.as_ref()).await?;
        self.check_room(&channel, &uid).await?;
        let secret = secret.map_or_else(secret::generate, Ok)?;
        let record = MemberRecord::new(uid.clone(), display_name, email, Some(&secret))?;
        let created = match self.create_member(&channel, &record).await? {
            Creation::Done(revision) => {
                self.keep_if_channel_lives(&channel, &uid, revision).await?;
                self.project(Key::Member(channel.clone(), uid.clone()), revision, &record).await;
                self.metrics.members_registered.inc();
                tracing::info!(%channel, %uid, "member registered");
                self.announce(&channel, Revised { revision, record }).await;
                true
            }
            Creation::Taken(stored) if !stored.record.is_member() => {
                let message = "this person may not join this channel";
                return Err(Error::of_field(ErrorCode::Forbidden, "uid", message));
            }
            Creation::Taken(stored) if secret::verify(stored.record.secret.as_ref(), &secret) => {
                if !stored.record.announced {
                    self.announce(&channel, stored).await;
                }
                false
            }
            Creation::Taken(_) => {
                let message = "the uid is registered in this channel with another secret";
                return Err(Error::of_field(ErrorCode::Conflict, "uid", message));
            }
        };
        Ok(Registered { member: JoinedBody { channel, uid, secret }, created })
    }

    /// Checks that the channel takes another member, unless this one is no new one. Who come at the
    /// same time are not counted yet, so it may get a few more.
    async fn check_room(&self, channel: &ChannelName, uid: &Uid) -> Result<(), Error> {
        let max = self.channel_members_max;
        if max == 0 || self.count_members(channel).await? < max {
            return Ok(());
        }
        if self.members.get(&member_key(channel, uid)).await?.is_some() {
            return Ok(());
        }
        let message = format!("the channel has {max} members, and takes no more");
        Err(Error::of_field(ErrorCode::Forbidden, "channel", message))
    }

    /// How many members and bans a channel has; of many more than it may have, some.
    async fn count_members(&self, channel: &ChannelName) -> Result<usize, Error> {
        if let Some(count) = self.projection.count_members(channel).await {
            return Ok(count);
        }
        let _permit = self
            .bucket_lists
            .try_acquire()
            .map_err(|_| Error::unavailable("members cannot be counted now"))?;
        let entries = self.members.list(&format!("{channel}.*"), self.channel_members_max).await?;
        Ok(entries.len())
    }

    /// Creates a member; one who is just being removed may come back once that is done.
    async fn create_member(
        &self,
        channel: &ChannelName,
        record: &MemberRecord,
    ) -> Result<Creation<MemberRecord>, Error> {
        let key = member_key(channel, &record.uid);
        match bucket::create(&self.members, &key, record).await? {
            Creation::Taken(stored) if matches!(stored.record.standing, Standing::Removed(_)) => {
                self.announcer.announce(channel, stored).await?;
                bucket::create(&self.members, &key, record).await
            }
            creation => Ok(creation),
        }
    }

    /// Takes back a membership whose channel was deleted while it was being created.
    async fn keep_if_channel_lives(
        &self,
        channel: &ChannelName,
        uid: &Uid,
        revision: u64,
    ) -> Result<(), Error> {
        let stored = self.channels.get(channel.as_str()).await?;
        if stored.is_some_and(|stored| !stored.record.deleting) {
            return Ok(());
        }
        self.members.remove(&member_key(channel, uid), Some(revision)).await?;
        Err(not_admitted())
    }

    /// The members of a channel, for whoever could join it.
    ///
    /// # Errors
    /// `forbidden` for an unknown channel or a wrong channel secret.
    pub(crate) async fn public_members(
        &self,
        request: Members,
    ) -> Result<Vec<PublicMember>, Error> {
        self.admit(&request.channel, request.channel_secret.as_ref()).await?;
        let members = self.members(&request.channel).await?;
        Ok(members.into_iter().map(MemberRecord::into_public).collect())
    }

    /// Lets those through who may join.
    async fn admit(&self, name: &ChannelName, secret: Option<&Secret>) -> Result<(), Error> {
        if admits(self.projection.channel(name).await.as_ref(), secret) {
            return Ok(());
        }
        let stored = self.channels.get(name.as_str()).await?;
        if admits(stored.as_ref().map(|stored| &stored.record), secret) {
            return Ok(());
        }
        Err(not_admitted())
    }

    async fn announce(&self, channel: &ChannelName, member: Revised<MemberRecord>) {
        self.announcer.announce_within(ANNOUNCE_WITHIN, channel, member).await;
    }

    /// Writes to Redis at once what the keeper would write a moment later.
    async fn project(&self, key: Key, revision: u64, record: &impl Record) {
        self.projection.write_at_once(Write::of(key, revision, record)).await;
    }
}

/// How many channels are verified at the same time.
const VERIFIED_AT_A_TIME: usize = 32;

/// Whether a member may use a channel. Takes the same time when there is none.
fn allow(
    (channel, member): (Option<ChannelRecord>, Option<MemberRecord>),
    secret: &Secret,
) -> Option<Authorized> {
    let member = member.filter(MemberRecord::is_member);
    let stored = member.as_ref().and_then(|member| member.secret.as_ref());
    let matches = secret::verify(stored, secret);
    let channel = channel.filter(|channel| !channel.deleting)?;
    let member = member.filter(|_| matches)?;
    Some(Authorized { display_name: member.display_name, closed: channel.closed_at.is_some() })
}

fn not_admitted() -> Error {
    let message = "there is no such channel, or its secret is wrong or missing";
    Error::new(ErrorCode::Forbidden, message)
}

/// Whether `secret` opens the channel. Takes the same time when there is none.
fn admits(channel: Option<&ChannelRecord>, secret: Option<&Secret>) -> bool {
    let channel = channel.filter(|channel| !channel.deleting);
    let nothing = Secret::new("");
    let given = secret.unwrap_or(&nothing);
    let matches = secret::verify(channel.and_then(|channel| channel.secret.as_ref()), given);
    matches || channel.is_some_and(|channel| !channel.is_private())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_channel_opens_to_its_secret_only() {
        let name = ChannelName::parse("c").unwrap();
        let secret = secret::generate().unwrap();
        let private = ChannelRecord::new(name.clone(), Some(&secret)).unwrap();
        assert!(admits(Some(&private), Some(&secret)));
        assert!(!admits(Some(&private), None));
        assert!(!admits(Some(&private), Some(&Secret::new(""))));
        assert!(!admits(Some(&private), Some(&secret::generate().unwrap())));
        let public = ChannelRecord::new(name, None).unwrap();
        assert!(admits(Some(&public), None));
        assert!(admits(Some(&public), Some(&secret)));
        assert!(!admits(None, None));
        assert!(!admits(None, Some(&secret)));
    }

    #[test]
    fn a_channel_that_is_being_deleted_lets_nobody_in() {
        let mut channel = ChannelRecord::new(ChannelName::parse("c").unwrap(), None).unwrap();
        let secret = secret::generate().unwrap();
        let uid = Uid::parse("ann").unwrap();
        let member = MemberRecord::new(uid, "Ann".to_owned(), None, Some(&secret)).unwrap();
        let allowed = |channel: &ChannelRecord, member: &MemberRecord| {
            allow((Some(channel.clone()), Some(member.clone())), &secret)
        };
        assert!(allowed(&channel, &member).is_some_and(|authorized| !authorized.closed));
        channel.turn(true);
        assert!(allowed(&channel, &member).is_some_and(|authorized| authorized.closed));
        channel.deleting = true;
        assert!(allowed(&channel, &member).is_none());
        assert!(!admits(Some(&channel), None));
    }

    #[test]
    fn a_member_who_was_removed_is_refused_with_the_right_secret() {
        let channel = ChannelRecord::new(ChannelName::parse("c").unwrap(), None).unwrap();
        let secret = secret::generate().unwrap();
        let uid = Uid::parse("ann").unwrap();
        let mut member = MemberRecord::new(uid, "Ann".to_owned(), None, Some(&secret)).unwrap();
        member.standing = Standing::Removed(goch_contract::UnixMillis(1));
        assert!(allow((Some(channel), Some(member)), &secret).is_none());
    }
}
