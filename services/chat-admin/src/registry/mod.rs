//! Channels and members: who there is, and who may do what.
//!
//! The buckets are the truth ([`bucket`]), and they alone decide who is let in: whoever could write to
//! Redis must not be able to let anybody in, and a copy that lags must not refuse anybody. What is
//! shown and listed comes from Redis where it can ([`projection`], kept whole by [`keeper`]), else from the
//! buckets, more slowly ([`lists`]).

pub(crate) mod bucket;
mod enrol;
pub(crate) mod keeper;
mod lists;
mod observe;
pub(crate) mod projection;
pub(crate) mod room;

use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use goch_contract::{
    Actor, ChannelName, Error, ErrorCode, Role, Secret, SecretDigest, Uid,
    rest::CreatedChannelBody,
    services::admin::{
        Authorize, Authorized, Member, Members, PublicMembers, Register, Registered, VERIFY_MAX,
        Verified, Verify,
    },
};
use tokio::sync::Semaphore;

use self::{
    bucket::{Bucket, Creation, Revised},
    projection::{Key, Projection, Write},
};
use crate::{
    memberships::{Entry, Memberships},
    metrics::AdminMetrics,
    record::{ChannelRecord, MemberRecord, NewMember, Origin, Standing, member_key},
    secret::{self, SecretHash, Secrets},
    tenants::AllRules,
};

pub(crate) use self::lists::{MEMBERS_MAX, MemberPage, cut, member_after};

/// Who may join a new channel.
#[derive(Debug)]
pub(crate) enum Access {
    /// Whoever knows its name. A secret that comes with the request tells it from others, and is asked for by nobody.
    Public(Option<Secret>),
    /// Whoever has its secret: the given one, or one that is made.
    Private(Option<Secret>),
}

/// A channel that was created, now or by an earlier request that was the same.
#[derive(Debug)]
pub(crate) struct Created {
    pub(crate) channel: CreatedChannelBody,
    pub(crate) is_new: bool,
}

/// Channels and members. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Registry {
    channels: Arc<Bucket<ChannelRecord>>,
    members: Arc<Bucket<MemberRecord>>,
    projection: Projection,
    memberships: Memberships,
    secrets: Secrets,
    rules: Arc<AllRules>,
    metrics: AdminMetrics,
    /// One for each list that may be read from a bucket at a time.
    bucket_lists: Arc<Semaphore>,
}

impl Registry {
    pub(crate) fn new(memberships: Memberships, rules: Arc<AllRules>) -> Self {
        Self {
            channels: Arc::clone(&memberships.channels),
            members: Arc::clone(&memberships.members),
            projection: memberships.projection.clone(),
            metrics: memberships.metrics.clone(),
            memberships,
            secrets: Secrets::new(),
            rules,
            bucket_lists: Arc::new(Semaphore::new(lists::AT_A_TIME)),
        }
    }

    /// Creates a channel; the event is still to be published unless the record says that it is.
    ///
    /// # Errors
    /// `conflict` if there is one of that name, which was not created with the same secret; `being_deleted` while
    /// one is.
    pub(crate) async fn create_channel(
        &self,
        name: ChannelName,
        access: Access,
        actor: &Actor,
    ) -> Result<(Created, Revised<ChannelRecord>), Error> {
        self.memberships.room.check_channels()?;
        self.check_quota(&name).await?;
        let (is_private, secret) = match &access {
            Access::Public(_) => (false, None),
            Access::Private(secret) => {
                (true, Some(secret.clone().map_or_else(Secret::generate, Ok)?))
            }
        };
        let hash = |secret: &Secret| SecretHash::of_generated(&secret.digest());
        let mut record = ChannelRecord::new(name.clone(), secret.as_ref().map(hash).transpose()?)?;
        if let Access::Public(Some(made)) = &access {
            record.made_with = Some(hash(made)?);
        }
        record.actor = Some(actor.clone());
        let revision = match bucket::create(&self.channels, &name.token(), &record).await? {
            Creation::Done(revision) => {
                let write = Write::of(Key::Channel(name.clone()), revision, &record);
                self.projection.write_at_once(write).await;
                revision
            }
            Creation::Taken(stored) if stored.record.deleting => {
                let message = "a channel of this name is still being deleted";
                return Err(Error::of_field(ErrorCode::BeingDeleted, "name", message));
            }
            Creation::Taken(stored) if is_repeated(&access, &stored.record) => {
                let channel = CreatedChannelBody { name, is_private, secret };
                return Ok((Created { channel, is_new: false }, stored));
            }
            Creation::Taken(_) => {
                let message = "there is a channel of this name";
                return Err(Error::of_field(ErrorCode::Conflict, "name", message));
            }
        };
        self.metrics.channels_created.inc();
        tracing::info!(channel = %name, is_private, %actor, "channel created");
        let channel = CreatedChannelBody { name, is_private, secret };
        Ok((Created { channel, is_new: true }, Revised { revision, record }))
    }

    /// Checks that the tenant may have another channel. Those that are created at the same time are not counted yet,
    /// and while Redis is away none is; a channel that there is already is not another one.
    async fn check_quota(&self, name: &ChannelName) -> Result<(), Error> {
        let tenant = self.rules.tenants.of(name);
        let max = self.rules.of(tenant).channels_max;
        if max == 0 {
            return Ok(());
        }
        let scope = self.rules.tenants.channels_of(tenant);
        let count = self.projection.count_channels(scope.prefix()).await.unwrap_or(0);
        if count < max || self.channels.get(&name.token()).await?.is_some() {
            return Ok(());
        }
        let message = format!("there are {max} channels, and there may be no more");
        Err(Error::of_field(ErrorCode::Forbidden, "name", message))
    }

    /// The channel, if there is one.
    pub(crate) async fn channel(&self, name: &ChannelName) -> Result<Option<ChannelRecord>, Error> {
        if let Some(channel) = self.projection.channel(name).await {
            return Ok(Some(channel).filter(|channel| !channel.deleting));
        }
        let stored = self.channels.find(&name.token()).await?.map(|stored| stored.record);
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
        let stored =
            self.members.find(&member_key(channel, uid)).await?.map(|stored| stored.record);
        Ok(stored.filter(MemberRecord::is_member))
    }

    /// Whether a member may use a channel.
    ///
    /// # Errors
    /// `unauthorized`, whatever the reason.
    pub(crate) async fn authorize(&self, request: Authorize) -> Result<Authorized, Error> {
        let Authorize { channel: name, uid, secret } = request;
        let (token, key) = (name.token(), member_key(&name, &uid));
        let (channel, member) =
            tokio::try_join!(self.channels.peek(&token), self.members.peek(&key))?;
        let seen = (revision(channel.as_ref()), revision(member.as_ref()));
        if let Some((channel, member)) = self.allow(channel, member, &secret).await? {
            self.memberships.require_not_suspended(&name, &member).await?;
            return Ok(authorized(&channel, member));
        }
        // Whoever has joined a moment ago may not be known to the replica that answered.
        let (channel, member) =
            tokio::try_join!(self.channels.get(&token), self.members.get(&key))?;
        let is_news = (revision(channel.as_ref()), revision(member.as_ref())) != seen;
        let allowed = if is_news { self.allow(channel, member, &secret).await? } else { None };
        let (channel, member) = allowed.ok_or_else(|| {
            let message = "there is no such member of such a channel, or the secret is wrong";
            Error::new(ErrorCode::Unauthorized, message)
        })?;
        self.memberships.require_not_suspended(&name, &member).await?;
        Ok(authorized(&channel, member))
    }

    /// Whether a member may use a channel. With a secret that was generated, it takes the same time when
    /// there is none.
    async fn allow(
        &self,
        channel: Option<Revised<ChannelRecord>>,
        member: Option<Revised<MemberRecord>>,
        secret: &SecretDigest,
    ) -> Result<Option<(ChannelRecord, MemberRecord)>, Error> {
        let member = member.map(|stored| stored.record).filter(MemberRecord::is_member);
        let stored = member.as_ref().and_then(|member| member.secret.as_ref());
        let matches = self.secrets.verify(stored, secret).await?;
        let channel = channel.map(|stored| stored.record).filter(|channel| !channel.deleting);
        Ok(channel.zip(member.filter(|_| matches)))
    }

    /// Which of these members may still use these channels.
    ///
    /// # Errors
    /// `bad_request` when there are too many; `unavailable`.
    pub(crate) async fn verify(&self, request: Verify) -> Result<Vec<Verified>, Error> {
        let members: usize = request.seats.iter().map(|(_, members)| members.len()).sum();
        if members > VERIFY_MAX || request.seats.len() > VERIFY_MAX {
            let message = format!("at most {VERIFY_MAX} members are verified at a time");
            return Err(Error::bad_request("seats", message));
        }
        let verified =
            request.seats.into_iter().map(|(channel, members)| self.verify_one(channel, members));
        stream::iter(verified).buffered(VERIFIED_AT_A_TIME).try_collect().await
    }

    async fn verify_one(&self, name: ChannelName, members: Vec<Member>) -> Result<Verified, Error> {
        let Some(channel) = self.living(&name).await? else {
            return Ok(Verified { exists: false, closed: false, gone: members });
        };
        let mut gone = Vec::new();
        for member in members {
            if !self.holds(&name, &member).await? {
                gone.push(member);
            }
        }
        Ok(Verified { exists: true, closed: channel.closed_at.is_some(), gone })
    }

    /// Whether a membership has not ended, and may be used, or an observer may go on.
    async fn holds(&self, channel: &ChannelName, member: &Member) -> Result<bool, Error> {
        if member.membership.is_observer() {
            return self.may_observe(channel, &member.uid).await;
        }
        let it = |stored: Option<Revised<MemberRecord>>| {
            let record = stored.map(|stored| stored.record);
            record.filter(|it| it.is_member() && *it.membership() == member.membership)
        };
        let key = member_key(channel, &member.uid);
        let mut record = it(self.members.peek(&key).await?);
        if record.is_none() {
            record = it(self.members.get(&key).await?);
        }
        match record {
            Some(record) => Ok(!self.memberships.is_suspended(channel, &record).await?),
            None => Ok(false),
        }
    }

    /// A channel that is not being deleted, as the bucket has it.
    async fn living(&self, name: &ChannelName) -> Result<Option<ChannelRecord>, Error> {
        let living = |stored: Option<Revised<ChannelRecord>>| {
            stored.map(|stored| stored.record).filter(|channel| !channel.deleting)
        };
        if let Some(channel) = living(self.channels.peek(&name.token()).await?) {
            return Ok(Some(channel));
        }
        Ok(living(self.channels.get(&name.token()).await?))
    }

    /// Makes somebody a member who joins over the public face.
    ///
    /// # Errors
    /// `forbidden` for an unknown channel or a wrong channel secret, and for who is banned; `conflict`
    /// for a uid that is reserved, or that somebody else has.
    pub(crate) async fn register(&self, request: Register) -> Result<Registered, Error> {
        let Register { channel, channel_secret, uid, display_name, email, secret, is_chosen } =
            request;
        self.admit(&channel, channel_secret.as_ref()).await?;
        if self.rules.of_channel(&channel).reserved_uids.contains(&uid) {
            return Err(taken());
        }
        // Looked at before the secret is hashed, which can be slow.
        let known = self.members.get(&member_key(&channel, &uid)).await?;
        let is_free = known.as_ref().is_none_or(|known| known.record.is_leaving());
        let stored = match known {
            Some(known) if !is_free => known,
            _ => {
                self.check_room(&channel).await?;
                let record = MemberRecord::new(NewMember {
                    uid,
                    display_name,
                    email,
                    role: Role::guest(),
                    origin: Origin::Joined,
                    secret: Some(self.secrets.hash(secret, is_chosen).await?),
                    actor: None,
                })?;
                match self.memberships.enter(&channel, record).await? {
                    Entry::Member(_) => return Ok(Registered { created: true }),
                    Entry::Taken(stored) => stored,
                }
            }
        };
        match stored.record.standing {
            Standing::Banned(_) => {
                let message = "this person may not join this channel";
                Err(Error::of_field(ErrorCode::Forbidden, "uid", message))
            }
            Standing::Member
                if self.secrets.verify(stored.record.secret.as_ref(), &secret).await? =>
            {
                if !stored.record.announced {
                    let announcer = &self.memberships.announcer;
                    announcer.announce_soon(&channel, stored).await;
                }
                Ok(Registered { created: false })
            }
            _ => Err(taken()),
        }
    }

    /// Checks that the channel takes another member over the public face. Who come at the same time are not counted yet, so it
    /// may get a few more.
    async fn check_room(&self, channel: &ChannelName) -> Result<(), Error> {
        let max = self.rules.of_channel(channel).channel_members_max;
        if max == 0 || self.count_uids(channel).await? < max {
            return Ok(());
        }
        let message = format!("the channel has {max} members, and takes no more");
        Err(Error::of_field(ErrorCode::Forbidden, "channel", message))
    }

    /// The members of a channel, for whoever could join it.
    ///
    /// # Errors
    /// `forbidden` for an unknown channel or a wrong channel secret.
    pub(crate) async fn public_members(&self, request: Members) -> Result<PublicMembers, Error> {
        let Members { channel, channel_secret, after, limit } = request;
        self.admit(&channel, channel_secret.as_ref()).await?;
        let limit = (limit as usize).clamp(1, MEMBERS_MAX);
        let page = self.members(&channel, after.as_ref(), limit).await?;
        let members = page.members.into_iter().map(MemberRecord::into_public).collect();
        Ok(PublicMembers { members, more: page.more })
    }

    /// Lets those through who may join.
    async fn admit(&self, name: &ChannelName, secret: Option<&SecretDigest>) -> Result<(), Error> {
        let is_open = |stored: Option<Revised<ChannelRecord>>| {
            let channel = stored.map(|stored| stored.record).filter(|channel| !channel.deleting);
            admits(channel.as_ref(), secret)
        };
        if is_open(self.channels.peek(&name.token()).await?) {
            return Ok(());
        }
        // A replica may lag. Asked whether there was a channel or not: else the time of the answer would
        // tell which.
        if is_open(self.channels.get(&name.token()).await?) {
            return Ok(());
        }
        let message = "there is no such channel, or its secret is wrong or missing";
        Err(Error::new(ErrorCode::Forbidden, message))
    }
}

/// How many channels are verified at the same time.
const VERIFIED_AT_A_TIME: usize = 32;

fn revision<R>(stored: Option<&Revised<R>>) -> Option<u64> {
    stored.map(|stored| stored.revision)
}

fn authorized(channel: &ChannelRecord, member: MemberRecord) -> Authorized {
    Authorized {
        membership: member.membership().clone(),
        kind: member.kind(),
        display_name: member.display_name,
        role: member.role,
        closed: channel.closed_at.is_some(),
    }
}

/// Whether a channel was created by the same request: nobody else has made the same secret.
fn is_repeated(access: &Access, stored: &ChannelRecord) -> bool {
    match access {
        Access::Private(Some(made)) => secret::is_generated(stored.secret.as_ref(), &made.digest()),
        Access::Public(Some(made)) => {
            secret::is_generated(stored.made_with.as_ref(), &made.digest())
        }
        Access::Private(None) | Access::Public(None) => false,
    }
}

fn taken() -> Error {
    Error::of_field(ErrorCode::Conflict, "uid", "the uid is taken in this channel")
}

/// Whether `secret` opens the channel. Takes the same time when there is none.
fn admits(channel: Option<&ChannelRecord>, secret: Option<&SecretDigest>) -> bool {
    let nothing = Secret::new("").digest();
    let stored = channel.and_then(|channel| channel.secret.as_ref());
    let matches = secret::is_generated(stored, secret.unwrap_or(&nothing));
    matches || channel.is_some_and(|channel| !channel.is_private())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::channel;

    #[test]
    fn a_private_channel_opens_to_its_secret_only() {
        let secret = Secret::generate().unwrap();
        let (right, wrong) = (secret.digest(), Secret::generate().unwrap().digest());
        let private = channel(Some(&secret));
        assert!(admits(Some(&private), Some(&right)));
        assert!(!admits(Some(&private), None));
        assert!(!admits(Some(&private), Some(&Secret::new("").digest())));
        assert!(!admits(Some(&private), Some(&wrong)));
        let public = channel(None);
        assert!(admits(Some(&public), None));
        assert!(admits(Some(&public), Some(&right)));
        assert!(!admits(None, None));
        assert!(!admits(None, Some(&right)));
    }
}
