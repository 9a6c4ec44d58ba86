//! How somebody becomes a member, changes as one, and stops being one.
//!
//! The record in the bucket changes first. Redis, the gateways and the log follow: each step can be
//! repeated, and what is left undone is done by whoever finds the record ([`crate::announcer`]).

use std::sync::Arc;

use goch_contract::{
    Actor, ChannelName, Error, ErrorCode, PersonKind, Role, Secret, Tenants, Uid, UnixMillis,
    services::admin::Revoked,
};

use crate::{
    announcer::Announcer,
    log::is_full,
    metrics::AdminMetrics,
    record::{ChannelRecord, MemberRecord, MemberUpdate, NewMember, Origin, Standing, member_key},
    registry::{
        bucket::{self, Bucket, Creation, Revised},
        projection::{Key, Projection, Write},
        room::Room,
    },
    revoker::Revoker,
    secret::{SecretHash, is_generated},
    suspensions::Suspensions,
};

/// How often a change is tried anew because another one came first.
pub(crate) const ATTEMPTS_MAX: usize = 8;

/// What became of somebody who was to become a member.
#[derive(Debug)]
pub(crate) enum Entry {
    /// A member now.
    Member(MemberRecord),
    /// Somebody else has the uid, or nobody may have it.
    Taken(Revised<MemberRecord>),
}

/// A member whom ticketing has put in or changed.
#[derive(Debug)]
pub(crate) struct Put {
    pub(crate) record: MemberRecord,
    /// What the member identifies with: of a new one, or if ticketing has made it.
    pub(crate) secret: Option<Secret>,
    pub(crate) is_new: bool,
}

/// The members of all channels. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Memberships {
    pub(crate) channels: Arc<Bucket<ChannelRecord>>,
    pub(crate) members: Arc<Bucket<MemberRecord>>,
    pub(crate) projection: Projection,
    pub(crate) announcer: Announcer,
    pub(crate) revoker: Revoker,
    pub(crate) suspensions: Suspensions,
    pub(crate) tenants: Tenants,
    pub(crate) room: Room,
    pub(crate) metrics: AdminMetrics,
}

impl Memberships {
    /// Makes somebody a member.
    ///
    /// A uid that is reserved goes to those for whom the product vouches, and one that somebody took
    /// over the public face goes to whoever has a token for it: that somebody has to leave.
    ///
    /// # Errors
    /// `forbidden` when the channel is gone, `unauthorized` for the user of a token whose account is suspended;
    /// `unavailable`, also when there is no room for more members.
    pub(crate) async fn enter(
        &self,
        channel: &ChannelName,
        mut record: MemberRecord,
    ) -> Result<Entry, Error> {
        self.room.check_members()?;
        let key = member_key(channel, &record.uid);
        for _ in 0..ATTEMPTS_MAX {
            let stored = match bucket::create(&self.members, &key, &record).await? {
                Creation::Done(revision) => {
                    return self.welcome(channel, Revised { revision, record }).await;
                }
                Creation::Taken(stored) => stored,
            };
            match stored.record.standing {
                // Whoever is just being removed makes room first.
                Standing::Removed(_) => self.announcer.announce(channel, stored).await?,
                Standing::Reserved if record.origin != Origin::Joined => {
                    record.is_reserved = true;
                    let replaced = self.members.replace(&key, &record, stored.revision).await?;
                    if let Some(revision) = replaced {
                        return self.welcome(channel, Revised { revision, record }).await;
                    }
                }
                Standing::Member
                    if record.origin == Origin::Token && stored.record.origin == Origin::Joined =>
                {
                    let standing = Standing::Removed(UnixMillis::now());
                    self.dismiss(channel, stored, standing, None).await?;
                }
                _ => return Ok(Entry::Taken(stored)),
            }
        }
        Err(too_many_changes())
    }

    async fn welcome(
        &self,
        channel: &ChannelName,
        stored: Revised<MemberRecord>,
    ) -> Result<Entry, Error> {
        let record = stored.record.clone();
        self.keep_if_channel_lives(channel, &stored).await?;
        self.keep_unless_suspended(channel, &stored).await?;
        self.project(channel, &stored).await;
        self.metrics.members_registered.inc();
        tracing::info!(%channel, uid = %record.uid, role = %record.role, origin = ?record.origin, actor = record.actor.as_ref().map(Actor::as_str), "new member");
        self.announcer.announce_soon(channel, stored).await;
        Ok(Entry::Member(record))
    }

    /// Takes back a record whose channel was deleted while it was being created.
    async fn keep_if_channel_lives(
        &self,
        channel: &ChannelName,
        stored: &Revised<MemberRecord>,
    ) -> Result<(), Error> {
        let found = self.channels.get(&channel.token()).await?;
        if found.is_some_and(|found| !found.record.deleting) {
            return Ok(());
        }
        let key = member_key(channel, &stored.record.uid);
        self.members.remove(&key, Some(stored.revision)).await?;
        Err(Error::new(ErrorCode::Forbidden, "the channel is gone"))
    }

    /// Checks that a member may use channels: an account that is not suspended, or a guest.
    ///
    /// # Errors
    /// `unauthorized`; `unavailable`.
    pub(crate) async fn require_not_suspended(
        &self,
        channel: &ChannelName,
        member: &MemberRecord,
    ) -> Result<(), Error> {
        if self.is_suspended(channel, member).await? { Err(suspended()) } else { Ok(()) }
    }

    /// Whether a member's account is suspended.
    pub(crate) async fn is_suspended(
        &self,
        channel: &ChannelName,
        member: &MemberRecord,
    ) -> Result<bool, Error> {
        // A guest of the same uid is somebody else.
        let is_account = member.kind() == PersonKind::Account;
        let account = self.tenants.account_in(channel, &member.uid);
        Ok(is_account && self.suspensions.find(&account).await?.is_some())
    }

    /// Takes back the record of a token's user whose account was suspended while it was being created: what erases
    /// the account next may have looked for its memberships already.
    async fn keep_unless_suspended(
        &self,
        channel: &ChannelName,
        stored: &Revised<MemberRecord>,
    ) -> Result<(), Error> {
        if stored.record.origin != Origin::Token
            || !self.is_suspended(channel, &stored.record).await?
        {
            return Ok(());
        }
        // What ticketing has taken stays taken.
        let key = member_key(channel, &stored.record.uid);
        self.announcer.release(&key, stored).await?;
        Err(suspended())
    }

    /// Puts somebody into a channel for ticketing, with a secret that is told once, or changes a member.
    /// If ticketing has `made` the secret, it can repeat this.
    ///
    /// # Errors
    /// `conflict` for somebody who is banned, for a member who has another secret than the one made, and for another role than `guest` of somebody who joined
    /// over the public face: whoever took the uid must not be made more than that by mistake.
    pub(crate) async fn put(
        &self,
        channel: &ChannelName,
        uid: &Uid,
        update: MemberUpdate,
        made: Option<Secret>,
        actor: &Actor,
    ) -> Result<Put, Error> {
        let key = member_key(channel, uid);
        for _ in 0..ATTEMPTS_MAX {
            match self.members.get(&key).await? {
                Some(stored) if stored.record.is_member() => {
                    let is_guest = stored.record.origin == Origin::Joined;
                    if is_guest && update.role.as_ref().is_some_and(|it| *it != stored.record.role)
                    {
                        let message = "this uid joined over the public face, as nobody in particular: \
                                       remove that member first";
                        return Err(Error::of_field(ErrorCode::Conflict, "role", message));
                    }
                    let has =
                        |made: &Secret| is_generated(stored.record.secret.as_ref(), &made.digest());
                    if made.as_ref().is_some_and(|made| !has(made)) {
                        let message = "there is such a member already, with another secret or none";
                        return Err(Error::of_field(ErrorCode::Conflict, "secret", message));
                    }
                    // A token's user is ticketing's from now on: the uid stays taken.
                    let origin = (!is_guest).then_some(Origin::Registered);
                    let update = MemberUpdate { origin, ..update.clone() };
                    if let Some(record) = self.update(channel, stored, &update, Some(actor)).await?
                    {
                        return Ok(Put { record, secret: made, is_new: false });
                    }
                }
                Some(stored) if matches!(stored.record.standing, Standing::Banned(_)) => {
                    let message = "this person is banned from the channel";
                    return Err(Error::of_field(ErrorCode::Conflict, "uid", message));
                }
                _ => {
                    let secret = made.clone().map_or_else(Secret::generate, Ok)?;
                    let record = MemberRecord::new(NewMember {
                        uid: uid.clone(),
                        display_name: update
                            .display_name
                            .clone()
                            .unwrap_or_else(|| uid.to_string()),
                        email: update.email.clone().filter(|email| !email.is_empty()),
                        role: update.role.clone().unwrap_or_else(Role::member),
                        origin: Origin::Registered,
                        secret: Some(SecretHash::of_generated(&secret.digest())?),
                        actor: Some(actor.clone()),
                    })?;
                    if let Entry::Member(record) = self.enter(channel, record).await? {
                        return Ok(Put { record, secret: Some(secret), is_new: true });
                    }
                }
            }
        }
        Err(too_many_changes())
    }

    /// Gives a member another name, address or role; nothing when the record has changed since it was
    /// read. The log must have the event before first, so that this one can follow it.
    pub(crate) async fn update(
        &self,
        channel: &ChannelName,
        mut stored: Revised<MemberRecord>,
        update: &MemberUpdate,
        actor: Option<&Actor>,
    ) -> Result<Option<MemberRecord>, Error> {
        if !stored.record.is_changed_by(update) {
            return Ok(Some(stored.record));
        }
        if !stored.record.announced {
            self.announcer.announce(channel, stored).await?;
            // Announced is a change too.
            return Ok(None);
        }
        stored.record.update(update);
        stored.record.actor = actor.cloned();
        let key = member_key(channel, &stored.record.uid);
        let replaced = self.members.replace(&key, &stored.record, stored.revision).await?;
        let Some(revision) = replaced else { return Ok(None) };
        stored.revision = revision;
        self.project(channel, &stored).await;
        let revoked = Revoked::Member(channel.clone(), stored.record.uid.clone());
        self.revoker.revoke(revoked).await;
        tracing::info!(%channel, uid = %stored.record.uid, role = %stored.record.role, actor = actor.map(Actor::as_str), "member updated");
        let record = stored.record.clone();
        self.announcer.announce_soon(channel, stored).await;
        Ok(Some(record))
    }

    /// Takes a uid for ticketing: nobody can join as it any more. Returns the member who has it.
    ///
    /// # Errors
    /// `forbidden` when the channel is gone; `unavailable`.
    pub(crate) async fn reserve(
        &self,
        channel: &ChannelName,
        uid: &Uid,
    ) -> Result<Option<MemberRecord>, Error> {
        let key = member_key(channel, uid);
        for _ in 0..ATTEMPTS_MAX {
            match self.members.get(&key).await? {
                Some(stored) if stored.record.is_reserved => {
                    return Ok(Some(stored.record).filter(MemberRecord::is_member));
                }
                Some(mut stored) => {
                    stored.record.is_reserved = true;
                    let replaced = self.members.replace(&key, &stored.record, stored.revision);
                    if let Some(revision) = replaced.await? {
                        stored.revision = revision;
                        self.project(channel, &stored).await;
                        return Ok(Some(stored.record).filter(MemberRecord::is_member));
                    }
                }
                None => {
                    self.room.check_members()?;
                    let record = MemberRecord::reserved(uid.clone())?;
                    let created = bucket::create(&self.members, &key, &record).await?;
                    if let Creation::Done(revision) = created {
                        let stored = Revised { revision, record };
                        self.keep_if_channel_lives(channel, &stored).await?;
                        return Ok(None);
                    }
                }
            }
        }
        Err(too_many_changes())
    }

    /// Takes a member's rights; nothing when the record has changed since it was read. The log must
    /// have the event before first, so that `left` can follow it, unless it is full: nobody may stay for
    /// want of room.
    pub(crate) async fn dismiss(
        &self,
        channel: &ChannelName,
        mut stored: Revised<MemberRecord>,
        standing: Standing,
        actor: Option<&Actor>,
    ) -> Result<Option<Revised<MemberRecord>>, Error> {
        let uid = stored.record.uid.clone();
        if stored.record.is_member() && !stored.record.announced {
            match self.announcer.announce(channel, stored.clone()).await {
                Err(error) if is_full(&error) => {}
                outcome => {
                    outcome?;
                    // Announced is a change too.
                    return Ok(None);
                }
            }
        }
        stored.record.dismiss(standing);
        stored.record.actor = actor.cloned();
        let key = member_key(channel, &uid);
        let Some(revision) = self.members.replace(&key, &stored.record, stored.revision).await?
        else {
            return Ok(None);
        };
        stored.revision = revision;
        self.project(channel, &stored).await;
        self.revoker.revoke(Revoked::Member(channel.clone(), uid.clone())).await;
        tracing::info!(%channel, %uid, standing = ?stored.record.standing, actor = actor.map(Actor::as_str), "member dismissed");
        Ok(Some(stored))
    }

    /// Writes to Redis at once what the keeper would write a moment later.
    async fn project(&self, channel: &ChannelName, stored: &Revised<MemberRecord>) {
        let key = Key::of(channel.clone(), stored.record.uid.clone(), Some(&stored.record));
        self.projection.write_at_once(Write::of(key, stored.revision, &stored.record)).await;
    }
}

/// Why the user of a token may not come in.
pub(crate) fn suspended() -> Error {
    Error::new(ErrorCode::Unauthorized, "the account is suspended")
}

pub(crate) fn too_many_changes() -> Error {
    Error::unavailable("somebody else is changing the same; try again")
}
