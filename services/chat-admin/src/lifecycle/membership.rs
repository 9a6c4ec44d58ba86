//! Removing and banning members.
//!
//! The record changes first: from then on nobody is let in. The `left` event follows, by which every
//! gateway puts the member's sockets out.

use goch_chassis::bucket::Entry;
use goch_contract::{
    Actor, ChannelName, Error, ErrorCode, Person, Uid, UnixMillis,
    rest::{Ban, Membership},
    services::admin::Revoked,
};

use super::{ATTEMPTS_MAX, Lifecycle, too_many_changes};
use crate::{
    record::{MemberRecord, Standing, member_key, member_keys, member_keys_of, parse_member_key},
    registry::{
        bucket::{self, Creation, Revised},
        cut, member_after,
    },
};

/// The most memberships that are listed of one person.
const RECORDS_MAX: usize = 100_000;

impl Lifecycle {
    /// Removes a member, who may join again.
    ///
    /// # Errors
    /// `not_found` when there is no such member.
    pub(crate) async fn remove(
        &self,
        channel: &ChannelName,
        uid: &Uid,
        actor: &Actor,
    ) -> Result<(), Error> {
        let key = member_key(channel, uid);
        for _ in 0..ATTEMPTS_MAX {
            let Some(stored) = self.buckets.members.get(&key).await? else { break };
            let dismissed = match stored.record.standing {
                Standing::Banned(_) | Standing::Reserved => break,
                Standing::Removed(_) => Some(stored),
                Standing::Member => {
                    let standing = Standing::Removed(UnixMillis::now());
                    self.memberships.dismiss(channel, stored, standing, Some(actor)).await?
                }
            };
            if let Some(dismissed) = dismissed {
                self.announcer.announce_soon(channel, dismissed).await;
                return Ok(());
            }
        }
        Err(Error::of_field(ErrorCode::NotFound, "uid", "there is no member of this uid"))
    }

    /// Removes somebody who is a member, and keeps anybody from joining as that uid.
    ///
    /// # Errors
    /// `unavailable`.
    pub(crate) async fn ban(
        &self,
        channel: &ChannelName,
        uid: &Uid,
        actor: &Actor,
    ) -> Result<Ban, Error> {
        let key = member_key(channel, uid);
        let standing = Standing::Banned(UnixMillis::now());
        for _ in 0..ATTEMPTS_MAX {
            let banned = match self.buckets.members.get(&key).await? {
                None => {
                    let mut record = MemberRecord::banned(uid.clone(), UnixMillis::now())?;
                    record.actor = Some(actor.clone());
                    match bucket::create(&self.buckets.members, &key, &record).await? {
                        Creation::Done(revision) => {
                            tracing::info!(%channel, %uid, %actor, "somebody is banned");
                            // No member is put out, but somebody may hear the channel as no member.
                            let revoked = Revoked::Member(channel.clone(), uid.clone());
                            self.memberships.revoker.revoke(revoked).await;
                            Some(Revised { revision, record })
                        }
                        Creation::Taken(_) => None,
                    }
                }
                Some(stored) if matches!(stored.record.standing, Standing::Banned(_)) => {
                    Some(stored)
                }
                Some(stored) => {
                    self.memberships.dismiss(channel, stored, standing, Some(actor)).await?
                }
            };
            if let Some(banned) = banned {
                let ban = banned.record.clone().into_ban().ok_or_else(too_many_changes)?;
                self.announcer.announce_soon(channel, banned).await;
                return Ok(ban);
            }
        }
        Err(too_many_changes())
    }

    /// Lets a banned person join again.
    ///
    /// # Errors
    /// `not_found` when there is no such ban.
    pub(crate) async fn unban(
        &self,
        channel: &ChannelName,
        uid: &Uid,
        actor: &Actor,
    ) -> Result<(), Error> {
        let key = member_key(channel, uid);
        for _ in 0..ATTEMPTS_MAX {
            let Some(mut stored) = self.buckets.members.get(&key).await? else { break };
            if !matches!(stored.record.standing, Standing::Banned(_)) {
                break;
            }
            if stored.record.announced {
                if self.announcer.release(&key, &stored).await? {
                    tracing::info!(%channel, %uid, %actor, "ban lifted");
                    return Ok(());
                }
                continue;
            }
            // The log has no `left` event yet.
            stored.record.standing = Standing::Removed(UnixMillis::now());
            if let Some(revision) =
                self.buckets.members.replace(&key, &stored.record, stored.revision).await?
            {
                stored.revision = revision;
                tracing::info!(%channel, %uid, %actor, "ban lifted");
                self.announcer.announce_soon(channel, stored).await;
                return Ok(());
            }
        }
        Err(Error::of_field(ErrorCode::NotFound, "uid", "nobody of this uid is banned"))
    }

    /// Up to `limit` of those who may not join, by uid, after `after`, and whether others follow.
    ///
    /// # Errors
    /// `unavailable`.
    pub(crate) async fn bans(
        &self,
        channel: &ChannelName,
        after: Option<&Uid>,
        limit: usize,
    ) -> Result<(Vec<Ban>, bool), Error> {
        let pick = |entry: Entry| {
            let (uid, record) = member_after(after, &entry)?;
            Some((uid, record.into_ban()?))
        };
        let max = limit.saturating_add(1);
        let bans = self.buckets.members.first(&member_keys(channel), max, pick).await?;
        Ok(cut(bans, limit))
    }

    /// Where a person is a member, or banned, by channel; and whether there are more.
    ///
    /// # Errors
    /// `unavailable`.
    pub(crate) async fn memberships(
        &self,
        person: &Person,
    ) -> Result<(Vec<Membership>, bool), Error> {
        let filter = match person {
            Person::Account(account) => member_keys_of(&account.uid),
            Person::Guest(channel, uid) => member_key(channel, uid),
        };
        let members = &self.buckets.members;
        // Namesakes of other tenants are not among them, and take no places.
        let own = |entry: Entry| {
            parse_member_key(&entry.key).filter(|(channel, _)| person.is_known_in(channel))
        };
        let found = members.some(&filter, RECORDS_MAX + 1, own).await?;
        let (channels, more) = cut(found, RECORDS_MAX);
        let mut memberships = Vec::new();
        for (channel, uid) in channels {
            let stored = members.get(&member_key(&channel, &uid)).await?;
            let kind = person.kind();
            memberships
                .extend(stored.and_then(|stored| stored.record.into_membership(channel, kind)));
        }
        memberships.sort_unstable_by(|one, other| one.channel.cmp(&other.channel));
        Ok((memberships, more))
    }
}
