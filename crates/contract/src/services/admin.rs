//! Requests to chat-admin: who may do what, and who is a member.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Service, ServiceRequest};
use crate::{
    ids::{ChannelName, MembershipId, MessageId, Role, SecretDigest, Seq, Uid, UnixMillis},
    person::PersonKind,
    rest::{AdminMember, PublicMember},
};

/// May this member use this channel?
///
/// Refused with `unauthorized` for an unknown channel, an unknown member and a wrong secret alike, and for an
/// account that is suspended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Authorize {
    /// The channel.
    pub channel: ChannelName,
    /// The member.
    pub uid: Uid,
    /// Of the member's secret.
    pub secret: SecretDigest,
}

/// The answer to [`Authorize`], [`Enrol`] and [`Observe`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorized {
    /// The member's name, which goes with each of the member's messages.
    pub display_name: String,
    /// The member's role, which does too.
    pub role: Role,
    /// What makes a message the member's own.
    pub membership: MembershipId,
    /// What the member is, as long as the membership lasts.
    pub kind: PersonKind,
    /// Whether the channel takes no more messages.
    #[serde(default)]
    pub closed: bool,
}

/// Told to every gateway on [`crate::subjects::Subjects::revoked`]: what it remembers of this no
/// longer holds. A core message, which may be lost; what it tells is found out later then.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Revoked {
    /// A channel is gone.
    Channel(ChannelName),
    /// Whoever has the uid in a channel may not use it any more, or is somebody else.
    Member(ChannelName, Uid),
    /// The account of this uid is suspended, in all channels.
    Account(Uid),
}

impl ServiceRequest for Authorize {
    const SERVICE: Service = Service::Admin;
    const ENDPOINT: &'static str = "authorize";
    type Response = Authorized;
}

/// Make somebody whose token was checked a member, if that user is not one yet.
///
/// Such a member has no secret and can only come back with a token. Somebody who has joined over the
/// public face as this uid is another person, who has to leave; a member whom ticketing has put in is
/// the same, and keeps the secret. Refused with `unauthorized` for an unknown channel, and for an account that is
/// suspended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Enrol {
    /// The channel.
    pub channel: ChannelName,
    /// The user, as the token says.
    pub uid: Uid,
    /// The user's present name, if the token says it; a new member without is called by the uid.
    pub display_name: Option<String>,
    /// The user's present address, if the token says it; what is known stays without.
    pub email: Option<String>,
    /// The user's present role, if the token says it; else `member`, unless ticketing has put the user in.
    pub role: Option<Role>,
}

impl ServiceRequest for Enrol {
    const SERVICE: Service = Service::Admin;
    const ENDPOINT: &'static str = "enrol";
    type Response = Authorized;
}

/// May somebody whose token was checked hear this channel, without being a member?
///
/// Nothing is stored of it. The membership of the answer is [`MembershipId::observer`]. Refused with `unauthorized` for
/// an unknown channel, and for somebody who is banned from it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Observe {
    /// The channel.
    pub channel: ChannelName,
    /// The user, as the token says.
    pub uid: Uid,
    /// The user's role, as the token says; a silent one.
    pub role: Role,
}

impl ServiceRequest for Observe {
    const SERVICE: Service = Service::Admin;
    const ENDPOINT: &'static str = "observe";
    type Response = Authorized;
}

/// Make somebody a member who joins over the public face: a `guest`.
///
/// Refused with `forbidden` for an unknown channel and a wrong channel secret alike, with `conflict`
/// when the uid is reserved, or taken in this channel: by a member with another secret, or by
/// ticketing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Register {
    /// The channel.
    pub channel: ChannelName,
    /// Of the channel's secret; a private channel asks for it.
    pub channel_secret: Option<SecretDigest>,
    /// The new member.
    pub uid: Uid,
    /// The new member's name.
    pub display_name: String,
    /// The new member's address.
    pub email: Option<String>,
    /// Of the member's secret.
    pub secret: SecretDigest,
    /// Whether a person or a program chose the secret, who may have chosen one that can be guessed;
    /// else it was [generated](crate::Secret::generate).
    pub is_chosen: bool,
}

/// The answer to [`Register`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// False when the member was registered before, with this secret.
    pub created: bool,
}

impl ServiceRequest for Register {
    const SERVICE: Service = Service::Admin;
    const ENDPOINT: &'static str = "register";
    type Response = Registered;
}

/// Who is a member? For those who could join; refused like [`Register`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Members {
    /// The channel.
    pub channel: ChannelName,
    /// Of the channel's secret; a private channel asks for it.
    pub channel_secret: Option<SecretDigest>,
    /// The page begins after this uid.
    pub after: Option<Uid>,
    /// The most members of the page.
    pub limit: u32,
}

/// The answer to [`Members`]: a page, by uid.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PublicMembers {
    /// The members.
    pub members: Vec<PublicMember>,
    /// Whether others follow.
    pub more: bool,
}

impl ServiceRequest for Members {
    const SERVICE: Service = Service::Admin;
    const ENDPOINT: &'static str = "members";
    type Response = PublicMembers;
}

/// Who is a member, with what ticketing knows of them? For services, which need no secret. An unknown
/// channel has no members.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Roster {
    /// The channel.
    pub channel: ChannelName,
    /// The page begins after this uid.
    pub after: Option<Uid>,
}

/// The answer to [`Roster`]: a page, by uid.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RosterPage {
    /// The members.
    pub members: Vec<AdminMember>,
    /// Whether others follow.
    pub more: bool,
}

impl ServiceRequest for Roster {
    const SERVICE: Service = Service::Admin;
    const ENDPOINT: &'static str = "roster";
    type Response = RosterPage;
}

/// Who is online in a channel, as its gateways say?
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Online {
    /// The channel.
    pub channel: ChannelName,
}

impl ServiceRequest for Online {
    const SERVICE: Service = Service::Admin;
    const ENDPOINT: &'static str = "online";
    /// By uid; in a large channel, those whom gateways list.
    type Response = Vec<Uid>;
}

/// Which of these members may still use these channels? For gateways that check their seats, because
/// a [`Revoked`] may have been lost.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Verify {
    /// Channels, each with memberships; at most [`VERIFY_MAX`] in all.
    pub seats: Vec<(ChannelName, Vec<Member>)>,
}

/// A membership, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Member {
    /// Who.
    pub uid: Uid,
    /// By which membership.
    pub membership: MembershipId,
}

/// The most members of one [`Verify`].
pub const VERIFY_MAX: usize = 256;

/// What holds of one channel of a [`Verify`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// Whether there is such a channel.
    pub exists: bool,
    /// Whether it takes no more messages.
    pub closed: bool,
    /// Those of the memberships that have ended; observers who were banned.
    pub gone: Vec<Member>,
}

impl ServiceRequest for Verify {
    const SERVICE: Service = Service::Admin;
    const ENDPOINT: &'static str = "verify";
    /// In the order of the request.
    type Response = Vec<Verified>;
}

/// Change or withdraw a message of one's own. The gateway vouches for who asks.
///
/// Refused with `not_found` when there is no such message, or none any more, with `forbidden` when it
/// is somebody else's, both with the field `seq`, and with `channel_closed`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Revise {
    /// The channel.
    pub channel: ChannelName,
    /// Which message.
    pub message: Seq,
    /// Who asks.
    pub uid: Uid,
    /// By which membership: a message belongs to that, not to the uid.
    pub membership: MembershipId,
    /// The idempotency key.
    pub id: MessageId,
    /// What is to become of it.
    pub change: Change,
}

/// What is to become of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It is to say something else.
    Edit {
        /// What.
        text: String,
        /// What the product attaches; what it has stays if this is left out.
        meta: Option<BTreeMap<String, String>>,
    },
    /// It is to go.
    Delete,
}

/// The answer to [`Revise`]: the event that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// Where it is in the log.
    pub seq: Seq,
    /// Its time.
    pub time: UnixMillis,
    /// Whether an earlier request with the same id stored it.
    pub duplicate: bool,
}

impl ServiceRequest for Revise {
    const SERVICE: Service = Service::Admin;
    const ENDPOINT: &'static str = "revise";
    type Response = Revision;
}
