//! The log's events: what is stored, republished live and kept in history.
//!
//! An event is stored as one JSON object with everything but its place in the log. A reader gets
//! that same object with `seq` and `prev` added at its end ([`write_positioned`]), so an event is
//! serialized once, when it is published, and only looked over on its way to a socket.

mod deduplication;
mod place;
mod revision;
mod whose;

use std::collections::BTreeMap;

use async_nats::HeaderMap;
use serde::{Deserialize, Serialize};

pub use self::{
    deduplication::{
        Sender, deduplication_id, end_deduplication_id, lifecycle_deduplication_id,
        revision_deduplication_id,
    },
    place::{Logged, MalformedEvent, Outline, is_trusted, write_positioned},
    revision::{DELETED_HEADER, MESSAGE_HEADER, Revision, edited},
    whose::{
        FROM_HEADER, GUEST_HEADER, MEMBER_HEADER, is_of, kind_of_sender, name_person, name_sender,
    },
};
use crate::ids::{Actor, ChannelName, MembershipId, MessageId, Role, Seq, Uid, UnixMillis};

/// Header of a log message: the membership whose message this is. A message without it was posted by
/// ticketing, and belongs to no member.
pub const MEMBERSHIP_HEADER: &str = "Goch-Membership";

/// Header of a log message: which of ticketing's credentials had it happen, if one did.
///
/// It is no field of the event, because events reach every subscribed client, and the name of a
/// credential is half of what somebody needs to log in with it. Ticketing is shown it
/// ([`Logged::for_ticketing`]).
pub const ACTOR_HEADER: &str = "Goch-Actor";

/// Which of ticketing's credentials the headers of a log message name.
#[must_use]
pub fn actor_of(headers: &HeaderMap) -> Option<Actor> {
    Actor::parse(headers.get(ACTOR_HEADER)?.as_str()).ok()
}

/// An event of a channel's life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// Somebody said something.
    Message(Message),
    /// A message was changed.
    Edited(Edited),
    /// A message was withdrawn.
    Deleted(Deleted),
    /// Somebody became a member.
    Joined(Joined),
    /// A member has another name or role.
    Updated(Updated),
    /// Somebody is no longer a member.
    Left(Left),
    /// The channel was created.
    Created(Turned),
    /// The channel takes no more messages.
    Closed(Turned),
    /// The channel takes messages again.
    Reopened(Turned),
}

impl Event {
    /// The event as it is stored in the log.
    #[must_use]
    pub fn to_payload(&self) -> Vec<u8> {
        // Strings and integers only: serialization has no way to fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// A message of a member, of an agent or of the system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct Message {
    /// The channel it was said in.
    pub channel: ChannelName,
    /// When the service that published it took it in. Stored with the event, because the copy that
    /// NATS 2.9 republishes carries no time of the server.
    pub time: UnixMillis,
    /// The sender's own identifier of the message.
    pub id: MessageId,
    /// Who said it.
    pub from_uid: Uid,
    /// The sender's display name at the time.
    #[cfg_attr(feature = "schemas", schema(value_type = crate::schemas::DisplayName))]
    pub from_name: String,
    /// The sender's role at the time.
    #[serde(default)]
    #[cfg_attr(feature = "schemas", schema(required))]
    pub from_role: Role,
    /// What was said.
    #[cfg_attr(feature = "schemas", schema(value_type = crate::schemas::Text))]
    pub text: String,
    /// Whatever the product attaches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemas", schema(value_type = Option<crate::schemas::Meta>, nullable = false))]
    pub meta: Option<BTreeMap<String, String>>,
    /// When it was last edited. Never stored: a message is shown with its latest text ([`edited`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemas", schema(nullable = false))]
    pub edited_at: Option<UnixMillis>,
}

/// A message's new content, all of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct Edited {
    /// The message's channel.
    pub channel: ChannelName,
    /// When the edit was taken in.
    pub time: UnixMillis,
    /// The editor's own identifier of the edit.
    pub id: MessageId,
    /// Which message.
    pub message: Seq,
    /// Who edited it.
    pub uid: Uid,
    /// What it says from now on.
    #[cfg_attr(feature = "schemas", schema(value_type = crate::schemas::Text))]
    pub text: String,
    /// What the product attaches from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemas", schema(value_type = Option<crate::schemas::Meta>, nullable = false))]
    pub meta: Option<BTreeMap<String, String>>,
}

/// A message that is no more. Its text, and those of its edits, are erased from the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct Deleted {
    /// The message's channel.
    pub channel: ChannelName,
    /// When the deletion was taken in.
    pub time: UnixMillis,
    /// The deleter's own identifier of the deletion.
    pub id: MessageId,
    /// Which message.
    pub message: Seq,
    /// Who deleted it.
    pub uid: Uid,
}

/// A new member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct Joined {
    /// The channel that was joined.
    pub channel: ChannelName,
    /// When the member was registered.
    pub time: UnixMillis,
    /// Who joined.
    pub uid: Uid,
    /// The member's display name.
    #[cfg_attr(feature = "schemas", schema(value_type = crate::schemas::DisplayName))]
    pub display_name: String,
    /// The member's role.
    #[serde(default)]
    #[cfg_attr(feature = "schemas", schema(required))]
    pub role: Role,
    /// The membership that begins: whoever joins under the same uid later has another one.
    pub membership: MembershipId,
}

/// A member whose name or role was changed, by ticketing or by a newer token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct Updated {
    /// The member's channel.
    pub channel: ChannelName,
    /// When that was.
    pub time: UnixMillis,
    /// Who.
    pub uid: Uid,
    /// The member's display name from now on.
    #[cfg_attr(feature = "schemas", schema(value_type = crate::schemas::DisplayName))]
    pub display_name: String,
    /// The member's role from now on.
    pub role: Role,
    /// The membership.
    pub membership: MembershipId,
}

/// Somebody who was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct Left {
    /// The channel that was left.
    pub channel: ChannelName,
    /// When the member was removed.
    pub time: UnixMillis,
    /// Who left.
    pub uid: Uid,
    /// The membership that has ended.
    pub membership: MembershipId,
}

/// A channel that was created, closed or reopened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct Turned {
    /// The channel.
    pub channel: ChannelName,
    /// When that was.
    pub time: UnixMillis,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    pub(super) fn message(text: &str) -> Event {
        Event::Message(Message {
            channel: ChannelName::parse("ticket-42").unwrap(),
            time: UnixMillis(1_700_000_000_123),
            id: MessageId::parse("m1").unwrap(),
            from_uid: Uid::parse("ann").unwrap(),
            from_name: "Ann".to_owned(),
            from_role: Role::guest(),
            text: text.to_owned(),
            meta: None,
            edited_at: None,
        })
    }

    fn membership() -> MembershipId {
        MembershipId::parse("5f7c1e0a9b3d2468").unwrap()
    }

    #[test]
    fn a_message_has_its_golden_form() {
        let mut frame = Vec::new();
        write_positioned(&mut frame, &message("Hello").to_payload(), Seq(7), Seq(4)).unwrap();
        assert_eq!(
            String::from_utf8(frame).unwrap(),
            r#"{"type":"message","channel":"ticket-42","time":1700000000123,"id":"m1","from_uid":"ann","from_name":"Ann","from_role":"guest","text":"Hello","seq":7,"prev":4}"#
        );
    }

    #[test]
    fn a_joined_event_has_its_golden_form() {
        let joined = Event::Joined(Joined {
            channel: ChannelName::parse("ticket-42").unwrap(),
            time: UnixMillis(1_700_000_000_123),
            uid: Uid::parse("ann").unwrap(),
            display_name: "Ann".to_owned(),
            role: Role::guest(),
            membership: membership(),
        });
        assert_eq!(
            serde_json::to_value(&joined).unwrap(),
            json!({"type": "joined", "channel": "ticket-42", "time": 1_700_000_000_123_u64,
                   "uid": "ann", "display_name": "Ann", "role": "guest",
                   "membership": "5f7c1e0a9b3d2468"})
        );
    }

    #[test]
    fn the_events_of_a_channels_life_have_their_golden_form() {
        let channel = ChannelName::parse("ticket-42").unwrap();
        let time = UnixMillis(1_700_000_000_123);
        let uid = Uid::parse("ann").unwrap();
        let left =
            Left { channel: channel.clone(), time, uid: uid.clone(), membership: membership() };
        let updated = Updated {
            channel: channel.clone(),
            time,
            uid,
            display_name: "Ann".to_owned(),
            role: Role::agent(),
            membership: membership(),
        };
        let turned = Turned { channel, time };
        for (event, golden) in [
            (
                Event::Created(turned.clone()),
                r#"{"type":"created","channel":"ticket-42","time":1700000000123}"#,
            ),
            (
                Event::Left(left),
                r#"{"type":"left","channel":"ticket-42","time":1700000000123,"uid":"ann","membership":"5f7c1e0a9b3d2468"}"#,
            ),
            (
                Event::Updated(updated),
                r#"{"type":"updated","channel":"ticket-42","time":1700000000123,"uid":"ann","display_name":"Ann","role":"agent","membership":"5f7c1e0a9b3d2468"}"#,
            ),
            (
                Event::Closed(turned.clone()),
                r#"{"type":"closed","channel":"ticket-42","time":1700000000123}"#,
            ),
            (
                Event::Reopened(turned),
                r#"{"type":"reopened","channel":"ticket-42","time":1700000000123}"#,
            ),
        ] {
            let payload = event.to_payload();
            assert!(is_trusted(&payload));
            assert_eq!(std::str::from_utf8(&payload).unwrap(), golden);
        }
    }

    #[test]
    fn edits_and_deletions_have_their_golden_form() {
        let channel = ChannelName::parse("ticket-42").unwrap();
        let (time, uid) = (UnixMillis(1_700_000_000_123), Uid::parse("ann").unwrap());
        let (id, message) = (MessageId::parse("e1").unwrap(), Seq(7));
        let deleted = Event::Deleted(Deleted {
            channel: channel.clone(),
            time,
            id: id.clone(),
            message,
            uid: uid.clone(),
        });
        let text = "Hello!".to_owned();
        let edited = Event::Edited(Edited { channel, time, id, message, uid, text, meta: None });
        for (event, golden) in [
            (
                edited,
                r#"{"type":"edited","channel":"ticket-42","time":1700000000123,"id":"e1","message":7,"uid":"ann","text":"Hello!"}"#,
            ),
            (
                deleted,
                r#"{"type":"deleted","channel":"ticket-42","time":1700000000123,"id":"e1","message":7,"uid":"ann"}"#,
            ),
        ] {
            let payload = event.to_payload();
            assert!(is_trusted(&payload));
            assert_eq!(std::str::from_utf8(&payload).unwrap(), golden);
        }
    }
}
