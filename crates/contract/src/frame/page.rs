//! Answers that carry events: `subscribed` and `history`. The events are spliced in as they are.

use serde::Serialize;

use crate::{
    ids::{ChannelName, MessageId, Seq, Uid},
    presence::OnlineMember,
};

/// The answer to a `subscribe`, but for its messages: those are already positioned frames.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "subscribed")]
pub struct Subscribed<'a> {
    /// The id of the `subscribe`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<&'a MessageId>,
    /// The channel.
    pub channel: &'a ChannelName,
    /// Who the member is: somebody who comes with a token need not know.
    pub uid: &'a Uid,
    /// The channel's latest event that this socket has been or is being given.
    pub last_seq: Seq,
    /// Unread messages; left out when no service can tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread: Option<u64>,
    /// Whether the page does not reach its end: older events for the latest page, newer ones after
    /// `after` or `since`.
    pub more: bool,
    /// The other members who are known to be online; left out when there are too many to tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub online: Option<Vec<OnlineMember>>,
}

impl Subscribed<'_> {
    /// The frame's text, with `messages`, each a positioned event.
    #[must_use]
    pub fn to_json<M: AsRef<[u8]>>(&self, messages: &[M]) -> Vec<u8> {
        with_messages(self, messages)
    }
}

/// The answer to a `history`, with `messages`, each a positioned event.
#[must_use]
pub fn history_json<M: AsRef<[u8]>>(
    id: Option<&MessageId>,
    channel: &ChannelName,
    messages: &[M],
    more: bool,
) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(tag = "type", rename = "history")]
    struct Head<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a MessageId>,
        channel: &'a ChannelName,
        more: bool,
    }
    with_messages(&Head { id, channel, more }, messages)
}

fn with_messages<M: AsRef<[u8]>>(head: &impl Serialize, messages: &[M]) -> Vec<u8> {
    let mut json = serde_json::to_vec(head).unwrap_or_default();
    json.pop();
    json.extend_from_slice(b",\"messages\":[");
    for (index, message) in messages.iter().enumerate() {
        if index > 0 {
            json.push(b',');
        }
        json.extend_from_slice(message.as_ref());
    }
    json.extend_from_slice(b"]}");
    json
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Role;

    #[test]
    fn the_answer_to_subscribe_has_its_golden_form() {
        let channel = ChannelName::parse("c").unwrap();
        let subscribed = Subscribed {
            id: None,
            channel: &channel,
            uid: &Uid::parse("ann").unwrap(),
            last_seq: Seq(9),
            unread: Some(2),
            more: false,
            online: Some(vec![OnlineMember {
                uid: Uid::parse("ben").unwrap(),
                role: Role::agent(),
            }]),
        };
        let json = subscribed.to_json(&[b"{\"seq\":8}".as_slice(), b"{\"seq\":9}"]);
        assert_eq!(
            String::from_utf8(json).unwrap(),
            r#"{"type":"subscribed","channel":"c","uid":"ann","last_seq":9,"unread":2,"more":false,"online":[{"uid":"ben","role":"agent"}],"messages":[{"seq":8},{"seq":9}]}"#
        );
    }
}
