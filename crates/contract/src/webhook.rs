//! Webhooks: what ticketing subscribes to, and what it is sent.
//!
//! Requests are signed and their bodies shaped as Standard Webhooks says
//! (<https://www.standardwebhooks.com>).

mod pattern;
mod payload;

use std::{borrow::Cow, collections::BTreeSet, fmt};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub use self::{
    pattern::ChannelPattern,
    payload::{Body, MessageUnread, VERSION},
};
use crate::{
    error::Error,
    ids::{Secret, Seq, TenantName, UnixMillis},
};

/// The most names and beginnings of names that a webhook's channels are told by.
pub const CHANNELS_MAX: usize = 100;

/// What happened, as a webhook calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// A channel was created.
    ChannelCreated,
    /// A channel takes no more messages.
    ChannelClosed,
    /// A channel takes messages again.
    ChannelReopened,
    /// A channel is deleted, with everything of it.
    ChannelDeleted,
    /// Somebody became a member.
    MemberJoined,
    /// A member has another name or role.
    MemberUpdated,
    /// Somebody is no longer a member.
    MemberLeft,
    /// Somebody said something.
    MessageCreated,
    /// A message was changed.
    MessageEdited,
    /// A message was withdrawn.
    MessageDeleted,
    /// A member has not read a message for some time.
    MessageUnread,
    /// A person's data is erased.
    PersonErased,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::ChannelCreated,
        Self::ChannelClosed,
        Self::ChannelReopened,
        Self::ChannelDeleted,
        Self::MemberJoined,
        Self::MemberUpdated,
        Self::MemberLeft,
        Self::MessageCreated,
        Self::MessageEdited,
        Self::MessageDeleted,
        Self::MessageUnread,
        Self::PersonErased,
    ];

    /// The kind's word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ChannelCreated => "channel.created",
            Self::ChannelClosed => "channel.closed",
            Self::ChannelReopened => "channel.reopened",
            Self::ChannelDeleted => "channel.deleted",
            Self::MemberJoined => "member.joined",
            Self::MemberUpdated => "member.updated",
            Self::MemberLeft => "member.left",
            Self::MessageCreated => "message.created",
            Self::MessageEdited => "message.edited",
            Self::MessageDeleted => "message.deleted",
            Self::MessageUnread => "message.unread",
            Self::PersonErased => "person.erased",
        }
    }

    /// The kind for a word on the wire.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// The kind of an event of a channel, by its `type`; none for one that is not sent.
    #[must_use]
    pub fn of_event(kind: &str) -> Option<Self> {
        match kind {
            "created" => Some(Self::ChannelCreated),
            "closed" => Some(Self::ChannelClosed),
            "reopened" => Some(Self::ChannelReopened),
            "joined" => Some(Self::MemberJoined),
            "updated" => Some(Self::MemberUpdated),
            "left" => Some(Self::MemberLeft),
            "message" => Some(Self::MessageCreated),
            "edited" => Some(Self::MessageEdited),
            "deleted" => Some(Self::MessageDeleted),
            _ => None,
        }
    }

    /// The kind of what has ended ([`crate::ended::Ended`]), by its `type`.
    #[must_use]
    pub fn of_ended(kind: &str) -> Option<Self> {
        match kind {
            "channel_deleted" => Some(Self::ChannelDeleted),
            "person_erased" => Some(Self::PersonErased),
            _ => None,
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl Serialize for EventKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for EventKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&word).ok_or_else(|| de::Error::custom("an unknown type of event"))
    }
}

/// A webhook as ticketing sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct Webhook {
    /// Its identifier.
    #[cfg_attr(feature = "schemas", schema(examples("5e1f0c3b9a7d2468")))]
    pub id: String,
    /// Where events are sent.
    #[cfg_attr(feature = "schemas", schema(examples("https://tickets.example.org/goch")))]
    pub url: String,
    /// Which events are sent.
    #[cfg_attr(feature = "schemas", schema(value_type = Vec<EventKind>))]
    pub events: BTreeSet<EventKind>,
    /// Of which channels they are: names, or beginnings of names with a star behind them. `*` is all.
    pub channels: BTreeSet<ChannelPattern>,
    /// Whose it is; left out if it is of whoever operates the installation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemas", schema(nullable = false))]
    pub tenant: Option<TenantName>,
    /// Whether anything is sent.
    pub enabled: bool,
    /// Why nothing is sent; null while something is.
    #[cfg_attr(feature = "schemas", schema(required))]
    pub disabled_reason: Option<String>,
    /// When it was created.
    pub created_at: UnixMillis,
    /// Until when requests are also signed with a secret before the present one; null if they are
    /// not.
    #[cfg_attr(feature = "schemas", schema(required))]
    pub old_secret_expires_at: Option<UnixMillis>,
}

/// A webhook with the secret that it was just given.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct WebhookWithSecret {
    /// The webhook.
    #[serde(flatten)]
    pub webhook: Webhook,
    /// What requests are signed with: `whsec_` and 32 random bytes in Base64. It is never shown
    /// again.
    #[cfg_attr(feature = "schemas", schema(value_type = String, pattern = "^whsec_", examples("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=")))]
    pub secret: Secret,
}

/// An event that could not be delivered, after all attempts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct DeadLetter {
    /// Its identifier within the webhook.
    #[cfg_attr(feature = "schemas", schema(examples("event-7")))]
    pub id: String,
    /// The event's sequence in the log; for `message.unread`, that of the message.
    pub seq: Seq,
    /// Attempts that failed.
    #[cfg_attr(feature = "schemas", schema(examples(11)))]
    pub attempts: u32,
    /// When the last one failed.
    pub failed_at: UnixMillis,
    /// How it failed.
    #[cfg_attr(feature = "schemas", schema(examples("status 500")))]
    pub error: String,
    /// Whether another attempt is under way.
    pub replaying: bool,
}

/// `POST /v1/admin/webhooks`.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct CreateWebhookBody {
    /// Where events are to be sent.
    #[cfg_attr(feature = "schemas", schema(examples("https://tickets.example.org/goch")))]
    pub url: String,
    /// Which events are to be sent.
    #[cfg_attr(feature = "schemas", schema(value_type = Vec<EventKind>, min_items = 1))]
    pub events: Vec<String>,
    /// Of which channels; left out, of all.
    #[cfg_attr(feature = "schemas", schema(value_type = Option<Vec<ChannelPattern>>, nullable = false, min_items = 1, max_items = 100))]
    pub channels: Option<Vec<String>>,
    /// What requests are to be signed with: `whsec_` and 24 to 64 random bytes in Base64; one is made if this is left
    /// out. With it the request can be repeated.
    #[cfg_attr(
        feature = "schemas",
        schema(
            nullable = false,
            pattern = "^whsec_[A-Za-z0-9+/]{32,86}={0,2}$",
            examples("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=")
        )
    )]
    pub secret: Option<String>,
}

/// Takes a secret that ticketing has made, as Standard Webhooks has them.
///
/// # Errors
/// `bad_request`, never with the secret.
pub fn parse_secret(field: &'static str, value: &str) -> Result<Secret, Error> {
    let bytes = value.strip_prefix("whsec_").and_then(|text| STANDARD.decode(text).ok());
    if bytes.is_none_or(|bytes| !(24..=64).contains(&bytes.len())) {
        let message = format!("{field} must be whsec_ and 24 to 64 random bytes in Base64");
        return Err(Error::bad_request(field, message));
    }
    Ok(Secret::new(value))
}

/// `PATCH /v1/admin/webhooks/{id}`; what is left out stays.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct ChangeWebhookBody {
    /// Where events are to be sent.
    #[cfg_attr(feature = "schemas", schema(examples("https://tickets.example.org/goch")))]
    pub url: Option<String>,
    /// Which events are to be sent.
    #[cfg_attr(feature = "schemas", schema(value_type = Option<Vec<EventKind>>, min_items = 1))]
    pub events: Option<Vec<String>>,
    /// Of which channels; `["*"]` is all.
    #[cfg_attr(feature = "schemas", schema(value_type = Option<Vec<ChannelPattern>>, min_items = 1, max_items = 100))]
    pub channels: Option<Vec<String>>,
    /// Whether anything is to be sent.
    pub enabled: Option<bool>,
}

/// How long the secrets before a new one go on signing, if the request does not say: a day.
pub const OVERLAP_SECONDS_DEFAULT: u64 = 86_400;

/// The longest time for that: thirty days.
pub const OVERLAP_SECONDS_MAX: u64 = 2_592_000;

/// `POST /v1/admin/webhooks/{id}/secret`.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct RotateSecretBody {
    /// For how long requests are signed with the secrets before the new one as well; 0 ends these at
    /// once.
    #[cfg_attr(feature = "schemas", schema(maximum = 2_592_000, default = 86_400))]
    pub overlap_seconds: Option<u64>,
    /// The new secret, as in creating a webhook; one is made if this is left out. With it the request can be repeated.
    #[cfg_attr(
        feature = "schemas",
        schema(nullable = false, pattern = "^whsec_[A-Za-z0-9+/]{32,86}={0,2}$")
    )]
    pub secret: Option<String>,
}

/// `GET /v1/admin/webhooks`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct WebhooksBody {
    /// The webhooks, by id.
    pub webhooks: Vec<Webhook>,
    /// Whether more follow; ask with `after` = the last id.
    pub more: bool,
}

/// `GET /v1/admin/webhooks/{id}/dead-letters`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct DeadLettersBody {
    /// The dead letters of the page, rising by `seq`.
    pub dead_letters: Vec<DeadLetter>,
    /// Whether there are more after these.
    pub more: bool,
}

/// `POST /v1/admin/webhooks/{id}/dead-letters/replay`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct ReplayBody {
    /// Dead letters that will be tried because of this request, the first by `seq`.
    #[cfg_attr(feature = "schemas", schema(examples(12)))]
    pub replaying: usize,
    /// Whether there are more, which were left alone: ask again.
    pub more: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_is_brought_along_has_24_to_64_bytes() {
        let secret = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![7; bytes]));
        for bytes in [24, 32, 64] {
            assert_eq!(parse_secret("secret", &secret(bytes)).unwrap().expose(), secret(bytes));
        }
        let (bare, short) = (secret(32).replace("whsec_", ""), secret(1));
        for wrong in [secret(23), secret(65), bare, short, format!("{}!", secret(32))] {
            let error = parse_secret("secret", &wrong).unwrap_err();
            assert_eq!(error.field.as_deref(), Some("secret"));
            assert!(!error.message.contains(&wrong));
        }
    }

    #[test]
    fn every_kind_has_one_word_on_the_wire() {
        for kind in EventKind::ALL {
            assert_eq!(EventKind::parse(kind.as_str()), Some(kind));
            let word = serde_json::to_string(&kind).unwrap();
            assert_eq!(serde_json::from_str::<EventKind>(&word).unwrap(), kind);
        }
    }

    #[test]
    fn a_webhook_with_its_secret_has_its_golden_form() {
        let webhook = Webhook {
            id: "5e1f".to_owned(),
            url: "https://tickets.example.org/goch".to_owned(),
            events: [EventKind::ChannelClosed, EventKind::MessageUnread].into(),
            channels: [ChannelPattern::all()].into(),
            tenant: None,
            enabled: true,
            disabled_reason: None,
            created_at: UnixMillis(1_700_000_000_123),
            old_secret_expires_at: None,
        };
        let created = WebhookWithSecret { webhook, secret: Secret::new("whsec_c2VjcmV0") };
        assert_eq!(
            serde_json::to_string(&created).unwrap(),
            r#"{"id":"5e1f","url":"https://tickets.example.org/goch","events":["channel.closed","message.unread"],"channels":["*"],"enabled":true,"disabled_reason":null,"created_at":1700000000123,"old_secret_expires_at":null,"secret":"whsec_c2VjcmV0"}"#
        );
    }
}
