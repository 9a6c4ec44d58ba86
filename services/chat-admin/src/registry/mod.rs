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

use goch_contract::{
    ChannelName, Error, ErrorCode, Secret, Uid,
    rest::{CreatedChannelBody, JoinedBody, PublicMember},
    services::admin::{Authorize, Authorized, Members, Register, Registered},
};
use tokio::sync::Semaphore;

use self::{
    bucket::{Bucket, Creation, Revised},
    projection::{ChannelPage, Key, Projection, Write},
};
use crate::{
    announcer::Announcer,
    metrics::AdminMetrics,
    record::{ChannelRecord, MemberRecord, Record, member_key},
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
}

impl Registry {
    pub(crate) fn new(
        channels: Arc<Bucket<ChannelRecord>>,
        members: Arc<Bucket<MemberRecord>>,
        projection: Projection,
        announcer: Announcer,
        metrics: AdminMetrics,
    ) -> Self {
        let bucket_lists = Arc::new(Semaphore::new(BUCKET_LISTS_MAX));
        Self { channels, members, projection, announcer, metrics, bucket_lists }
    }

    /// Creates a channel, with a secret if it is to be private.
    ///
    /// # Errors
    /// `conflict` if there is one of that name.
    pub(crate) async fn create_channel(
        &self,
        name: ChannelName,
        is_private: bool,
    ) -> Result<CreatedChannelBody, Error> {
        let secret = is_private.then(secret::generate).transpose()?;
        let record = ChannelRecord::new(name.clone(), secret.as_ref())?;
        match self.channels.create(name.as_str(), &record).await? {
            Creation::Done(revision) => {
                self.project(Key::Channel(name.clone()), revision, &record).await;
            }
            Creation::Taken(_) => {
                let message = "there is a channel of this name";
                return Err(Error::of_field(ErrorCode::Conflict, "name", message));
            }
        }
        self.metrics.channels_created.inc();
        tracing::info!(channel = %name, is_private, "channel created");
        Ok(CreatedChannelBody { name, is_private, secret })
    }

    /// The channel, if there is one.
    pub(crate) async fn channel(&self, name: &ChannelName) -> Result<Option<ChannelRecord>, Error> {
        if let Some(channel) = self.projection.channel(name).await {
            return Ok(Some(channel));
        }
        Ok(self.channels.get(name.as_str()).await?.map(|stored| stored.record))
    }

    /// The member, if there is one.
    pub(crate) async fn member(
        &self,
        channel: &ChannelName,
        uid: &Uid,
    ) -> Result<Option<MemberRecord>, Error> {
        if let Some(member) = self.projection.member(channel, uid).await {
            return Ok(Some(member));
        }
        Ok(self.members.get(&member_key(channel, uid)).await?.map(|stored| stored.record))
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
        let mut members = self.members.list(&format!("{channel}.*"), MEMBERS_MAX).await?;
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
        let allowed = |member: Option<MemberRecord>| {
            let stored = member.as_ref().and_then(|member| member.secret.as_ref());
            let matches = secret::verify(stored, &secret);
            member
                .filter(|_| matches)
                .map(|member| Authorized { display_name: member.display_name })
        };
        if let Some(authorized) = allowed(self.projection.member(&channel, &uid).await) {
            return Ok(authorized);
        }
        let stored = self.members.get(&member_key(&channel, &uid)).await?;
        allowed(stored.map(|stored| stored.record)).ok_or_else(|| {
            let message = "there is no such member of such a channel, or the secret is wrong";
            Error::new(ErrorCode::Unauthorized, message)
        })
    }

    /// Makes somebody a member.
    ///
    /// # Errors
    /// `forbidden` for an unknown channel or a wrong channel secret; `conflict` if the uid belongs
    /// to somebody with another secret.
    pub(crate) async fn register(&self, request: Register) -> Result<Registered, Error> {
        let Register { channel, channel_secret, uid, display_name, email, secret } = request;
        self.admit(&channel, channel_secret.as_ref()).await?;
        let secret = secret.map_or_else(secret::generate, Ok)?;
        let record = MemberRecord::new(uid.clone(), display_name, email, Some(&secret))?;
        let created = match self.members.create(&member_key(&channel, &uid), &record).await? {
            Creation::Done(revision) => {
                self.project(Key::Member(channel.clone(), uid.clone()), revision, &record).await;
                self.metrics.members_registered.inc();
                tracing::info!(%channel, %uid, "member registered");
                self.announce(&channel, Revised { revision, record }).await;
                true
            }
            Creation::Taken(stored) if secret::verify(stored.record.secret.as_ref(), &secret) => {
                self.announce(&channel, stored).await;
                false
            }
            Creation::Taken(_) => {
                let message = "the uid is registered in this channel with another secret";
                return Err(Error::of_field(ErrorCode::Conflict, "uid", message));
            }
        };
        Ok(Registered { member: JoinedBody { channel, uid, secret }, created })
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
        let message = "there is no such channel, or its secret is wrong or missing";
        Err(Error::new(ErrorCode::Forbidden, message))
    }

    async fn announce(&self, channel: &ChannelName, member: Revised<MemberRecord>) {
        self.announcer.announce_within(ANNOUNCE_WITHIN, channel, member).await;
    }

    /// Writes to Redis at once what the keeper would write a moment later.
    async fn project(&self, key: Key, revision: u64, record: &impl Record) {
        let Ok(record) = serde_json::to_string(record) else { return };
        self.projection.write_at_once(Write { key, revision, record }).await;
    }
}

/// Whether `secret` opens the channel. Takes the same time when there is none.
fn admits(channel: Option<&ChannelRecord>, secret: Option<&Secret>) -> bool {
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
}
