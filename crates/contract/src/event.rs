//! The log's events: what is stored, republished live and kept in history.
//!
//! An event is stored as one JSON object with everything but its place in the log. A reader gets
//! that same object with `seq` and `prev` added at its end ([`write_positioned`]), so an event is
//! serialized once, when it is published, and only looked over on its way to a socket.

mod revision;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use self::revision::{DELETED_HEADER, MESSAGE_HEADER, Revision, edited};
use crate::ids::{ChannelName, MessageId, Seq, Uid, UnixMillis};

/// Header of a log message: the uid whose message this is. Only `message` events carry it, so
/// unread messages can be counted without their bodies.
pub const FROM_HEADER: &str = "Goch-From";

/// Header of a log message: the uid whose coming or going this is. Together with [`FROM_HEADER`] it
/// tells whose personal data an event is, so a person's events can be found without their bodies.
///
/// An event that is about two people, as an agent's edit of a customer's message is, has it twice.
pub const MEMBER_HEADER: &str = "Goch-Member";

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

/// The value of the `Nats-Msg-Id` header, by which JetStream recognises a resend.
#[must_use]
pub fn deduplication_id(channel: &ChannelName, uid: &Uid, id: &str) -> String {
    format!("{channel}/{uid}/{id}")
}

/// The same for an event that nobody sent: `what` tells which one. It cannot be a message's
/// [`deduplication_id`], where a uid stands between the slashes.
#[must_use]
pub fn lifecycle_deduplication_id(channel: &ChannelName, what: &str) -> String {
    format!("{channel}//{what}")
}

/// The same for an edit or a deletion by `uid`; `what` tells the two apart. It cannot be a message's
/// [`deduplication_id`] either: a client may give a message and its edit the same id.
#[must_use]
pub fn revision_deduplication_id(
    channel: &ChannelName,
    what: &str,
    uid: &Uid,
    id: &MessageId,
) -> String {
    lifecycle_deduplication_id(channel, &format!("{what}/{uid}/{id}"))
}

/// A stored event at its place in the log, as services hand it to each other.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Logged {
    /// The event's sequence.
    pub seq: Seq,
    /// The sequence of the channel's event before this one; 0 means none or unknown.
    pub prev: Seq,
    /// The stored object.
    pub event: Box<RawValue>,
}

impl Logged {
    /// The event as [`write_positioned`] writes it.
    ///
    /// # Errors
    /// [`MalformedEvent`]: the log only has such a one when something other than Goch wrote there.
    pub fn positioned(&self) -> Result<Vec<u8>, MalformedEvent> {
        let mut json = Vec::new();
        write_positioned(&mut json, self.event.get().as_bytes(), self.seq, self.prev)?;
        Ok(json)
    }

    /// The edit or the deletion that this is, if it is one.
    #[must_use]
    pub fn revision(&self) -> Option<Revision> {
        Revision::of_event(self.seq, self.event.get().as_bytes())
    }
}

/// What every stored event has, whatever its type: enough to place and to count it.
#[derive(Debug, Deserialize)]
pub struct Outline<'a> {
    /// The event's type.
    #[serde(rename = "type", borrow)]
    pub kind: std::borrow::Cow<'a, str>,
    /// When it was published.
    pub time: UnixMillis,
    /// The sender, for a message.
    #[serde(borrow)]
    pub from_uid: Option<std::borrow::Cow<'a, str>>,
}

/// A stored payload that is not a JSON object with members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stored event is not a JSON object")]
pub struct MalformedEvent;

/// Appends the stored object `payload` with `seq` and `prev` added to `output`: the live frame, and
/// an element of a page.
///
/// # Errors
/// [`MalformedEvent`] when `payload` is not a JSON object with at least one member; nothing is
/// appended. Only the shape of its ends is looked at:
/// [`is_trusted`] or a parser decides before.
pub fn write_positioned(
    output: &mut Vec<u8>,
    payload: &[u8],
    seq: Seq,
    prev: Seq,
) -> Result<(), MalformedEvent> {
    let body = payload
        .strip_suffix(b"}")
        .filter(|body| body.starts_with(b"{\"") && body.len() > 2)
        .ok_or(MalformedEvent)?;
    let mut digits = itoa::Buffer::new();
    output.reserve(payload.len() + 56);
    output.extend_from_slice(body);
    output.extend_from_slice(b",\"seq\":");
    output.extend_from_slice(digits.format(seq.0).as_bytes());
    output.extend_from_slice(b",\"prev\":");
    output.extend_from_slice(digits.format(prev.0).as_bytes());
    output.push(b'}');
    Ok(())
}

/// Whether `payload` is an event that may be passed on: a JSON object in UTF-8 with `type` and
/// `time`. One that is not would end the connection of every client that gets it.
///
/// One of a type that is not known here is passed on, so that a newer service can add types before
/// the gateways are updated.
#[must_use]
pub fn is_trusted(payload: &[u8]) -> bool {
    // Of what it skips, serde would not check the encoding; of an array, it would take the elements
    // for the members.
    std::str::from_utf8(payload).is_ok_and(|text| {
        text.starts_with('{') && serde_json::from_str::<Outline<'_>>(text).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn message(text: &str) -> Event {
        Event::Message(Message {
            channel: ChannelName::parse("ticket-42").unwrap(),
            time: UnixMillis(1_700_000_000_123),
            id: MessageId::parse("m1").unwrap(),
            from_uid: Uid::parse("ann").unwrap(),
            from_name: "Ann".to_owned(),
            text: text.to_owned(),
            meta: None,
            edited_at: None,
        })
    }

    #[test]
    fn a_message_has_its_golden_form() {
        let mut frame = Vec::new();
        write_positioned(&mut frame, &message("Hello").to_payload(), Seq(7), Seq(4)).unwrap();
        assert_eq!(
            String::from_utf8(frame).unwrap(),
            r#"{"type":"message","channel":"ticket-42","time":1700000000123,"id":"m1","from_uid":"ann","from_name":"Ann","text":"Hello","seq":7,"prev":4}"#
        );
    }

    #[test]
    fn a_joined_event_has_its_golden_form() {
        let joined = Event::Joined(Joined {
            channel: ChannelName::parse("ticket-42").unwrap(),
            time: UnixMillis(1_700_000_000_123),
            uid: Uid::parse("ann").unwrap(),
            display_name: "Ann".to_owned(),
        });
        assert_eq!(
            serde_json::to_value(&joined).unwrap(),
            json!({"type": "joined", "channel": "ticket-42", "time": 1_700_000_000_123_u64,
                   "uid": "ann", "display_name": "Ann"})
        );
    }

    #[test]
    fn the_events_of_a_channels_life_have_their_golden_form() {
        let channel = ChannelName::parse("ticket-42").unwrap();
        let time = UnixMillis(1_700_000_000_123);
        let left = Left { channel: channel.clone(), time, uid: Uid::parse("ann").unwrap() };
        let turned = Turned { channel, time };
        for (event, golden) in [
            (
                Event::Created(turned.clone()),
                r#"{"type":"created","channel":"ticket-42","time":1700000000123}"#,
            ),
            (
                Event::Left(left),
                r#"{"type":"left","channel":"ticket-42","time":1700000000123,"uid":"ann"}"#,
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

    #[test]
    fn what_is_not_an_object_is_refused_and_nothing_is_written() {
        for payload in ["", "{", "}", "{}", "[]", "null", "\"}", "{1}"] {
            let mut output = Vec::new();
            assert_eq!(
                write_positioned(&mut output, payload.as_bytes(), Seq(1), Seq(0)),
                Err(MalformedEvent),
                "{payload}"
            );
            assert!(output.is_empty());
        }
    }

    #[test]
    fn an_event_of_a_newer_type_is_passed_on() {
        assert!(is_trusted(br#"{"type":"pinned","channel":"a","time":5}"#));
        assert!(!is_trusted(br#"{"type":"pinned"}"#));
        assert!(!is_trusted(b"junk"));
    }

    #[test]
    fn what_would_break_a_clients_connection_is_not_passed_on() {
        for payload in [
            br#"{"type":"message","channel":"c","time":5"#.as_slice(),
            b"{\"type\":\"message\",\"channel\":\"}",
            b"{\"type\":\"message\",\"time\":5,\"text\":\"\xff\"}",
            br#"["message",5,null]"#,
        ] {
            assert!(!is_trusted(payload), "{}", payload.escape_ascii());
        }
    }

    const NAME: &str = "[A-Za-z0-9_-]{1,3}";

    proptest! {
        #[test]
        fn two_messages_never_share_a_deduplication_id(
            (channel, uid, id) in (NAME, NAME, "[a/-]{1,4}"),
            (other_channel, other_uid, other_id) in (NAME, NAME, "[a/-]{1,4}"),
        ) {
            let of = |channel: &str, uid: &str, id: &str| {
                deduplication_id(&ChannelName::parse(channel).unwrap(), &Uid::parse(uid).unwrap(), id)
            };
            let one = of(&channel, &uid, &id);
            let other = of(&other_channel, &other_uid, &other_id);
            let same = (channel, uid, id) == (other_channel, other_uid, other_id);
            prop_assert_eq!(one == other, same);
        }

        #[test]
        fn whatever_is_said_survives_the_splice(text in "\\PC*", seq: u64, prev: u64) {
            let payload = message(&text).to_payload();
            prop_assert!(is_trusted(&payload));
            let mut frame = Vec::new();
            write_positioned(&mut frame, &payload, Seq(seq), Seq(prev)).unwrap();
            let frame: Value = serde_json::from_slice(&frame).unwrap();
            prop_assert_eq!(frame["text"].as_str(), Some(text.as_str()));
            prop_assert_eq!(frame["seq"].as_u64(), Some(seq));
            prop_assert_eq!(frame["prev"].as_u64(), Some(prev));
        }
    }
}
