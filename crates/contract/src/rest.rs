//! REST bodies, public and internal, and the problem document of every refusal.

mod people;

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

pub use self::people::{AccountExportBody, GuestExportBody, Suspension, SuspensionsBody};
use crate::{
    error::{Error, ErrorCode},
    ids::{ChannelName, MessageId, Role, Secret, Seq, Uid, UnixMillis},
    person::PersonKind,
    presence::OnlineMember,
};

/// An RFC 9457 problem document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct Problem {
    /// `about:blank`: the code tells the kind, the status its HTTP meaning (RFC 9457, 4.2.1).
    #[serde(rename = "type")]
    #[cfg_attr(feature = "schemas", schema(value_type = String, examples("about:blank")))]
    pub kind: Cow<'static, str>,
    /// The HTTP status in words.
    #[cfg_attr(feature = "schemas", schema(value_type = String, examples("Bad Request")))]
    pub title: Cow<'static, str>,
    /// The HTTP status.
    #[cfg_attr(feature = "schemas", schema(examples(400), minimum = 400, maximum = 599))]
    pub status: u16,
    /// What is wrong, in one sentence.
    #[cfg_attr(feature = "schemas", schema(value_type = String, examples("uid must have at most 64 characters")))]
    pub detail: Cow<'static, str>,
    /// The stable word.
    pub code: ErrorCode,
    /// The field at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemas", schema(value_type = Option<String>, nullable = false, examples("uid")))]
    pub field: Option<Cow<'static, str>>,
}

/// The media type of [`Problem`].
pub const PROBLEM_MEDIA_TYPE: &str = "application/problem+json";

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self {
            kind: Cow::Borrowed("about:blank"),
            title: Cow::Borrowed(title(error.code.http_status())),
            status: error.code.http_status(),
            detail: error.message,
            code: error.code,
            field: error.field,
        }
    }
}

const fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        429 => "Too Many Requests",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}

/// `POST /v1/channels/{name}/members` on the gateway: somebody becomes a member.
// Names are checked by the handler, which knows the limits.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct JoinBody {
    /// The channel's secret; a private channel asks for it.
    #[cfg_attr(feature = "schemas", schema(value_type = Option<crate::schemas::ChannelSecret>))]
    pub channel_secret: Option<Secret>,
    /// The new member.
    #[cfg_attr(feature = "schemas", schema(value_type = Uid))]
    pub uid: String,
    /// The name that others see.
    #[cfg_attr(feature = "schemas", schema(value_type = crate::schemas::DisplayName))]
    pub display_name: String,
    /// The member's address, for the ticketing system; other members never see it.
    #[cfg_attr(feature = "schemas", schema(max_length = 254, examples("ann@example.org")))]
    pub email: Option<String>,
    /// The member's secret; one is generated if it is left out.
    #[cfg_attr(feature = "schemas", schema(value_type = Option<crate::schemas::MemberSecret>))]
    pub secret: Option<Secret>,
}

/// `POST /channels` on the gateway, a path of the first Goch.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct FirstJoinBody {
    /// The channel to join.
    #[cfg_attr(feature = "schemas", schema(value_type = ChannelName))]
    pub channel: String,
    /// Who joins it.
    #[serde(flatten)]
    pub member: JoinBody,
}

/// Somebody who has joined.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct JoinedBody {
    /// The joined channel.
    pub channel: ChannelName,
    /// The member.
    pub uid: Uid,
    /// What the member identifies with from now on. It is not stored and cannot be shown again.
    #[cfg_attr(feature = "schemas", schema(value_type = crate::schemas::MemberSecret))]
    pub secret: Secret,
}

/// A member as others see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct PublicMember {
    /// The member's identifier.
    pub uid: Uid,
    /// The member's name.
    #[cfg_attr(feature = "schemas", schema(value_type = crate::schemas::DisplayName))]
    pub display_name: String,
    /// The member's role.
    pub role: Role,
}

/// `GET /v1/channels/{name}/members` on the gateway.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct MembersBody {
    /// The channel.
    pub channel: ChannelName,
    /// Its members, by uid.
    pub members: Vec<PublicMember>,
    /// Whether more follow; ask with `after` = the last uid.
    pub more: bool,
}

/// `POST /v1/admin/channels`: a ticket was opened.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct CreateChannelBody {
    /// The new channel's name.
    #[cfg_attr(feature = "schemas", schema(value_type = ChannelName))]
    pub name: String,
    /// Whether joining asks for the channel's secret; true if it is left out.
    #[serde(default = "yes")]
    #[cfg_attr(feature = "schemas", schema(default = true))]
    pub is_private: bool,
    /// The secret of a private channel, as 40 hexadecimal digits of 160 random bits; one is made if this is left
    /// out. With it the request can be repeated. Of a public channel it is good for that alone: nobody is asked for it.
    #[cfg_attr(feature = "schemas", schema(value_type = Option<crate::schemas::MadeSecret>, nullable = false))]
    pub secret: Option<String>,
}

/// What `is_private` is if nobody says so: a channel opens to whoever guesses its name only on purpose.
const fn yes() -> bool {
    true
}

/// A channel that was just created.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct CreatedChannelBody {
    /// The channel's name.
    pub name: ChannelName,
    /// Whether joining asks for the channel's secret.
    pub is_private: bool,
    /// The secret of a private channel; null for a public one. It is not stored and cannot be shown
    /// again.
    #[cfg_attr(feature = "schemas", schema(value_type = Option<crate::schemas::ChannelSecret>, required))]
    pub secret: Option<Secret>,
}

/// A channel as ticketing sees it.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct ChannelBody {
    /// The channel's name.
    pub name: ChannelName,
    /// Whether joining asks for the channel's secret.
    pub is_private: bool,
    /// When it was created.
    pub created_at: UnixMillis,
    /// When it was closed; null while it takes messages.
    #[cfg_attr(feature = "schemas", schema(required))]
    pub closed_at: Option<UnixMillis>,
    /// How many members it has, who are listed by `GET /v1/admin/channels/{name}/members`.
    #[cfg_attr(feature = "schemas", schema(examples(2)))]
    pub member_count: usize,
    /// Its latest message, or JSON's null if there is none; left out when it is not known, because
    /// ingest-history is away.
    #[serde(default, deserialize_with = "even_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemas", schema(value_type = Option<crate::schemas::PositionedEvent>))]
    pub last_message: Option<Box<RawValue>>,
}

/// A value that is there, null too, which is not the same as one that is left out.
fn even_null<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Box<RawValue>>, D::Error> {
    Deserialize::deserialize(deserializer).map(Some)
}

/// A channel as ticketing sees it on the paths of the first Goch.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct FirstChannelBody {
    /// The channel's name.
    pub name: ChannelName,
    /// Whether joining asks for the channel's secret.
    pub is_private: bool,
    /// When it was created.
    pub created_at: UnixMillis,
    /// When it was closed; null while it takes messages.
    #[cfg_attr(feature = "schemas", schema(required))]
    pub closed_at: Option<UnixMillis>,
    /// Its first 1,000 members, by uid.
    pub members: Vec<AdminMember>,
    /// Whether there are more, which are listed by `GET /admin/channels/{name}/members`.
    pub more_members: bool,
    /// As in version 1.
    #[serde(default, deserialize_with = "even_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemas", schema(value_type = Option<crate::schemas::PositionedEvent>))]
    pub last_message: Option<Box<RawValue>>,
}

/// A member as ticketing sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct AdminMember {
    /// The member's identifier.
    pub uid: Uid,
    /// The member's name; empty for somebody of whom only a ban is known.
    #[cfg_attr(feature = "schemas", schema(examples("Ann")))]
    pub display_name: String,
    /// The member's address.
    #[cfg_attr(feature = "schemas", schema(required, examples("ann@example.org")))]
    pub email: Option<String>,
    /// The member's role.
    pub role: Role,
    /// What the member is as a person: an account in all its channels, or a guest of this one alone.
    pub kind: PersonKind,
    /// When the member was registered.
    pub joined_at: UnixMillis,
}

/// `PUT /v1/admin/channels/{name}/members/{uid}`: ticketing puts somebody into a channel, or changes a
/// member.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct PutMemberBody {
    /// The name that others see.
    #[cfg_attr(feature = "schemas", schema(value_type = crate::schemas::DisplayName))]
    pub display_name: String,
    /// The member's address; the one that is known stays if this is left out, and an empty one
    /// removes it.
    #[cfg_attr(feature = "schemas", schema(max_length = 254, examples("bea@example.org")))]
    pub email: Option<String>,
    /// The member's role: one of `ROLES`. If this is left out a member keeps the role, and a new one
    /// gets `member`.
    #[cfg_attr(feature = "schemas", schema(value_type = Option<Role>))]
    pub role: Option<String>,
    /// What a new member identifies with, as 40 hexadecimal digits of 160 random bits; one is made if this is left
    /// out. With it the request can be repeated.
    #[cfg_attr(feature = "schemas", schema(value_type = Option<crate::schemas::MadeSecret>, nullable = false))]
    pub secret: Option<String>,
}

/// A member whom ticketing has put into a channel, or changed.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct PutMemberAnswer {
    /// The channel.
    pub channel: ChannelName,
    /// The member.
    #[serde(flatten)]
    pub member: AdminMember,
    /// What a new member identifies with. It is not stored and cannot be shown again; left out when the member was
    /// there before, unless the request has brought it along.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemas", schema(value_type = Option<crate::schemas::MemberSecret>, nullable = false))]
    pub secret: Option<Secret>,
}

/// `GET /v1/admin/channels/{name}/members`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct AdminMembersBody {
    /// The channel.
    pub channel: ChannelName,
    /// Its members, by uid.
    pub members: Vec<AdminMember>,
    /// Whether more follow; ask with `after` = the last uid.
    pub more: bool,
}

/// `GET /v1/admin/channels`: a page, by name.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct ChannelsBody {
    /// The channels.
    pub channels: Vec<ChannelBody>,
    /// Whether more follow; ask with `after` = the last name.
    pub more: bool,
}

/// `GET /admin/channels`: a page, by name.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct FirstChannelsBody {
    /// The channels.
    pub channels: Vec<FirstChannelBody>,
    /// Whether more follow; ask with `after` = the last name.
    pub more: bool,
}

/// `GET /v1/admin/channels/{name}/members/{uid}`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct MemberBody {
    /// The channel.
    pub channel: ChannelName,
    /// The member.
    #[serde(flatten)]
    pub member: AdminMember,
    /// Messages of others that the member has not read; left out when they cannot be counted, because ingest-history
    /// is away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemas", schema(nullable = false, examples(3)))]
    pub unread: Option<u64>,
}

/// `PUT /v1/admin/channels/{name}/members/{uid}/read`.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct ReadBody {
    /// The latest event that the member has read.
    pub seq: Seq,
}

/// How far a member has read: the answer to [`ReadBody`].
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct ReadPositionBody {
    /// The channel.
    pub channel: ChannelName,
    /// The member.
    pub uid: Uid,
    /// The latest event that the member has read, by now.
    pub seq: Seq,
    /// Messages of others after it; left out when they cannot be counted, because ingest-history is away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemas", schema(nullable = false, examples(0)))]
    pub unread: Option<u64>,
}

/// A channel of an account.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct AccountChannel {
    /// The channel.
    pub name: ChannelName,
    /// The account's role there.
    pub role: Role,
    /// When the account became a member.
    pub joined_at: UnixMillis,
    /// When the channel was closed; null while it is open.
    #[cfg_attr(feature = "schemas", schema(required))]
    pub closed_at: Option<UnixMillis>,
    /// Messages of others that the account has not read there; left out when they cannot be counted, because
    /// ingest-history is away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemas", schema(nullable = false, examples(3)))]
    pub unread: Option<u64>,
    /// The latest message, null if there is none; left out while it cannot be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemas", schema(value_type = Option<crate::schemas::PositionedEvent>))]
    pub last_message: Option<Box<RawValue>>,
}

/// `GET /v1/admin/accounts/{uid}/channels`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct AccountChannelsBody {
    /// The channels of the page, by name.
    pub channels: Vec<AccountChannel>,
    /// Whether there are more after these.
    pub more: bool,
}

/// `GET /admin/channels/{name}/user/{uid}`, a path of the first Goch.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct UnreadBody {
    /// Unread messages.
    #[cfg_attr(feature = "schemas", schema(examples(3)))]
    pub count: u64,
}

/// `GET /v1/admin/channels/{name}/presence`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct PresenceBody {
    /// The channel.
    pub channel: ChannelName,
    /// Members who are subscribed to it just now, by uid.
    pub online: Vec<OnlineMember>,
    /// Whether more are online than a gateway lists.
    pub more: bool,
}

/// `POST /v1/admin/channels/{name}/messages`: as the system or an agent, who need not be a member.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct PostMessageBody {
    /// The idempotency key, recognised for the deduplication window (`DEDUPLICATION_SECONDS`, 120 unless the operator
    /// says otherwise); a random one if it is left out.
    #[cfg_attr(feature = "schemas", schema(value_type = Option<MessageId>))]
    pub id: Option<String>,
    /// Who says it; `system` if it is left out.
    #[cfg_attr(feature = "schemas", schema(value_type = Option<Uid>))]
    pub from_uid: Option<String>,
    /// The sender's display name; if it is left out that of the member of this uid, or else the uid.
    #[cfg_attr(feature = "schemas", schema(value_type = Option<crate::schemas::DisplayName>))]
    pub from_name: Option<String>,
    /// The sender's role: one of `ROLES`. If it is left out that of the member of this uid, or else
    /// `system` for `system` and `agent` for anybody.
    #[cfg_attr(feature = "schemas", schema(value_type = Option<Role>))]
    pub from_role: Option<String>,
    /// What is said.
    #[cfg_attr(feature = "schemas", schema(value_type = crate::schemas::Text))]
    pub text: String,
    /// Whatever the product attaches.
    #[cfg_attr(feature = "schemas", schema(value_type = Option<crate::schemas::Meta>))]
    pub meta: Option<BTreeMap<String, String>>,
}

/// A message or an edit that is stored.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct PostedMessageBody {
    /// The message's or the edit's id.
    pub id: MessageId,
    /// The event's sequence.
    pub seq: Seq,
    /// The event's time.
    pub time: UnixMillis,
    /// Whether an earlier request with the same id stored it.
    pub duplicate: bool,
}

/// `PATCH /v1/admin/channels/{name}/messages/{seq}`: changes what a message says, whoever said it.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct EditMessageBody {
    /// The idempotency key, recognised for the deduplication window (`DEDUPLICATION_SECONDS`, 120 unless the operator
    /// says otherwise); a random one if it is left out.
    #[cfg_attr(feature = "schemas", schema(value_type = Option<MessageId>))]
    pub id: Option<String>,
    /// Who edits it; `system` if it is left out.
    #[cfg_attr(feature = "schemas", schema(value_type = Option<Uid>))]
    pub uid: Option<String>,
    /// What it is to say.
    #[cfg_attr(feature = "schemas", schema(value_type = crate::schemas::Text))]
    pub text: String,
    /// What the product attaches; what it has stays if this is left out.
    #[cfg_attr(feature = "schemas", schema(value_type = Option<crate::schemas::Meta>))]
    pub meta: Option<BTreeMap<String, String>>,
}

/// `GET /v1/admin/channels/{name}/messages`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct MessagesBody {
    /// The channel.
    pub channel: ChannelName,
    /// Positioned events, rising by `seq`.
    #[cfg_attr(feature = "schemas", schema(value_type = Vec<crate::schemas::PositionedEvent>))]
    pub messages: Vec<Box<RawValue>>,
    /// Whether more remain: older ones, or newer ones after `after` and `since`.
    pub more: bool,
}

/// Somebody who may not join a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct Ban {
    /// Who.
    pub uid: Uid,
    /// Since when.
    pub banned_at: UnixMillis,
}

/// `GET /v1/admin/channels/{name}/bans`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct BansBody {
    /// The channel.
    pub channel: ChannelName,
    /// Who may not join it, by uid.
    pub bans: Vec<Ban>,
    /// Whether more follow; ask with `after` = the last uid.
    pub more: bool,
}

/// A channel that a person belongs to, in an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct Membership {
    /// The channel.
    pub channel: ChannelName,
    /// The member as ticketing sees it.
    #[serde(flatten)]
    pub member: AdminMember,
    /// Since when nobody of this uid may join; null for a member.
    #[cfg_attr(feature = "schemas", schema(required))]
    pub banned_at: Option<UnixMillis>,
}

/// `GET /v1/admin/channels/{name}/transcript`, as JSON: everything of a channel.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct TranscriptBody {
    /// The channel.
    pub channel: ChannelName,
    /// When it was created.
    pub created_at: UnixMillis,
    /// When it was closed; null while it takes messages.
    #[cfg_attr(feature = "schemas", schema(required))]
    pub closed_at: Option<UnixMillis>,
    /// Its members, by uid.
    pub members: Vec<AdminMember>,
    /// Everything that happened, rising by `seq`.
    // Last, because they are written as they are read.
    #[cfg_attr(feature = "schemas", schema(value_type = Vec<crate::schemas::TranscriptEvent>))]
    pub events: Vec<Box<RawValue>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_has_its_golden_form() {
        let problem = Problem::from(Error::of_field(
            ErrorCode::TooLong,
            "uid",
            "uid must have at most 64 characters",
        ));
        assert_eq!(
            serde_json::to_string(&problem).unwrap(),
            r#"{"type":"about:blank","title":"Bad Request","status":400,"detail":"uid must have at most 64 characters","code":"too_long","field":"uid"}"#
        );
    }
}
