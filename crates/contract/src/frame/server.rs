//! What clients are told, apart from the log's events, signals and pages.

use serde::Serialize;

use crate::{
    error::{Error, ErrorCode},
    ids::{ChannelName, MessageId, Role, Seq, Uid, UnixMillis},
};

/// What a client is told, apart from the log's events.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerFrame<'a> {
    /// A message, an edit or a deletion is stored.
    Ack {
        /// The id of the `send`, `edit` or `delete`.
        id: &'a MessageId,
        /// The channel.
        channel: &'a ChannelName,
        /// The event's sequence.
        seq: Seq,
        /// The event's time.
        time: UnixMillis,
        /// Whether it was stored by an earlier frame with the same id.
        duplicate: bool,
    },
    /// A channel is closed on this socket.
    Unsubscribed {
        /// The id of the `unsubscribe`.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a MessageId>,
        /// The channel.
        channel: &'a ChannelName,
    },
    /// Another member came online in a channel, has another role, or went.
    Presence {
        /// The channel.
        channel: &'a ChannelName,
        /// Who.
        uid: &'a Uid,
        /// The member's role.
        role: &'a Role,
        /// Whether the member is there now.
        online: bool,
    },
    /// How many messages the member has not read in a watched channel.
    Unread {
        /// The id of the `watch` that this answers; later changes have none.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a MessageId>,
        /// The channel.
        channel: &'a ChannelName,
        /// Messages of others after the read position.
        count: u64,
    },
    /// A newer token is taken.
    Authenticated {
        /// The id of the `authenticate`.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a MessageId>,
        /// When the socket will be closed unless a newer token is presented before.
        expires_at: UnixMillis,
    },
    /// The socket will soon be closed unless a newer token is presented before.
    TokenExpiring {
        /// When.
        expires_at: UnixMillis,
    },
    /// This gateway is draining: connect again, to whichever gateway answers.
    Reconnect {
        /// How long to wait before, in milliseconds.
        after_ms: u64,
    },
    /// A frame was refused.
    Error {
        /// The id of the refused frame.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a MessageId>,
        /// The stable word.
        code: ErrorCode,
        /// One sentence for the developer.
        message: &'a str,
        /// The field at fault.
        #[serde(skip_serializing_if = "Option::is_none")]
        field: Option<&'a str>,
        /// The one of several channels that the error is about.
        #[serde(skip_serializing_if = "Option::is_none")]
        channel: Option<&'a ChannelName>,
    },
}

impl<'a> ServerFrame<'a> {
    /// An error frame.
    #[must_use]
    pub fn error(id: Option<&'a MessageId>, error: &'a Error) -> Self {
        let (message, field) = (&error.message, error.field.as_deref());
        Self::Error { id, code: error.code, message, field, channel: None }
    }

    /// The frame's text.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        // Strings, integers and booleans only: serialization has no way to fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presence_and_unread_have_their_golden_forms() {
        let (channel, uid) = (ChannelName::parse("c").unwrap(), Uid::parse("ben").unwrap());
        let role = Role::agent();
        let presence =
            ServerFrame::Presence { channel: &channel, uid: &uid, role: &role, online: false };
        let unread = ServerFrame::Unread { id: None, channel: &channel, count: 3 };
        for (frame, golden) in [
            (
                presence,
                r#"{"type":"presence","channel":"c","uid":"ben","role":"agent","online":false}"#,
            ),
            (unread, r#"{"type":"unread","channel":"c","count":3}"#),
        ] {
            assert_eq!(String::from_utf8(frame.to_json()).unwrap(), golden);
        }
    }
}
