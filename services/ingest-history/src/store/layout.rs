//! How a channel's history lies in Redis: one sorted set, ordered by its members' bytes.
//!
//! All scores are 0. The first byte of a member says what it is:
//!
//! | member | |
//! | --- | --- |
//! | `e<seq>:<time>:<event>` | an event, as it is stored in the log |
//! | `m<seq>:<uid>` | there is a message, and who said it |
//! | `s<uid>:<seq>` | the same, by sender: what is to be left out of a member's unread messages |
//! | `r<message>:<seq>:<e or d>` | the event at `seq` edits or deletes that message |
//! | `w<floor>:<top>:<history>` | the mark: this is whole, see [`super`] |
//! | `t<seq>` | events up to this one were removed, being too many |
//! | `f<token>` | somebody is filling this from the log |
//! | `c<position>:<through>:<count>` | so many messages are between the two, see `counted.lua` |
//! | `o<position>:<uid>:<count>` | so many of them are that member's |
//! | `n<token>` | such counts may be kept: nothing has been deleted since the token came |
//!
//! A `<uid>` is a token, which has no `:`. Numbers have 20 digits, so their order is that of their bytes. One key holds everything, so that
//! no part of it can be lost without the rest; adding a member twice changes nothing, so events may
//! be written in any order and again. That is why an edit does not replace its message: the two are put
//! together by who reads them.

use bytes::Bytes;
use goch_contract::{
    ChannelName, Seq, Uid, UnixMillis,
    event::{Logged, Outline, Revision},
};
use serde_json::value::RawValue;

/// Digits of a number.
const DIGITS: usize = 20;

/// Where an event begins in its member.
const EVENT_AT: usize = 1 + DIGITS + 1 + DIGITS + 1;

/// An event on its way into Redis.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) channel: ChannelName,
    pub(crate) seq: Seq,
    time: UnixMillis,
    /// Whose message it is, if it is one.
    from: Option<Uid>,
    /// What it makes of another message, if it edits or deletes one.
    revision: Option<Revision>,
    event: Bytes,
}

impl Entry {
    /// The entry of a stored event; none for what is not an event.
    pub(crate) fn parse(channel: ChannelName, seq: Seq, event: Bytes) -> Option<Self> {
        let outline: Outline<'_> = serde_json::from_str(std::str::from_utf8(&event).ok()?).ok()?;
        let (time, is_message) = (outline.time, outline.kind == "message");
        let from = outline.from_uid.as_deref().filter(|_| is_message);
        let from = from.and_then(|uid| Uid::parse(uid).ok());
        let revision = if is_message { None } else { Revision::of_event(seq, &event) };
        Some(Self { channel, seq, time, from, revision, event })
    }

    /// Whether it takes a message back, which counts may have that are kept.
    pub(crate) fn deletes(&self) -> bool {
        self.revision.is_some_and(|revision| revision.deletes)
    }

    /// What is added to the channel's set.
    pub(crate) fn members(&self) -> impl Iterator<Item = Bytes> {
        let (seq, time) = (digits(self.seq.0), digits(self.time.0));
        let mut event = Vec::with_capacity(EVENT_AT + self.event.len());
        for part in [b"e", seq.as_bytes(), b":", time.as_bytes(), b":", &self.event] {
            event.extend_from_slice(part);
        }
        let from = self.from.as_ref().map(Uid::token);
        let index =
            from.map(|uid| [format!("m{seq}:{uid}").into(), format!("s{uid}:{seq}").into()]);
        let revision = self.revision.map(|Revision { message, deletes, .. }| {
            format!("r{}:{seq}:{}", digits(message.0), if deletes { 'd' } else { 'e' })
        });
        std::iter::once(Bytes::from(event))
            .chain(index.into_iter().flatten())
            .chain(revision.map(Bytes::from))
    }
}

/// A number as it stands in a member.
pub(super) fn digits(number: u64) -> String {
    format!("{number:0DIGITS$}")
}

/// An event's member, read back. `prev` is for the caller to know.
pub(super) fn read_event(member: &[u8]) -> Option<Logged> {
    let seq = std::str::from_utf8(member.get(1..=DIGITS)?).ok()?.parse().ok()?;
    let event = std::str::from_utf8(member.get(EVENT_AT..)?).ok()?.to_owned();
    let event = RawValue::from_string(event).ok()?;
    Some(Logged::new(Seq(seq), Seq(0), event))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(event: &str) -> Option<Entry> {
        let channel = ChannelName::parse("c").unwrap();
        Entry::parse(channel, Seq(7), Bytes::copy_from_slice(event.as_bytes()))
    }

    fn members(event: &str) -> Vec<String> {
        let members = entry(event).unwrap().members().collect::<Vec<_>>();
        members.into_iter().map(|member| String::from_utf8(member.to_vec()).unwrap()).collect()
    }

    #[test]
    fn a_message_is_an_event_and_is_counted_for_its_sender() {
        let event = r#"{"type":"message","time":5,"from_uid":"ann"}"#;
        let (seven, five) = ("00000000000000000007", "00000000000000000005");
        assert_eq!(
            members(event),
            [format!("e{seven}:{five}:{event}"), format!("m{seven}:ann"), format!("sann:{seven}")]
        );
    }

    #[test]
    fn what_is_no_message_is_not_counted() {
        assert_eq!(members(r#"{"type":"joined","time":5,"uid":"ann"}"#).len(), 1);
        assert_eq!(members(r#"{"type":"pinned","time":5,"from_uid":"ann"}"#).len(), 1);
    }

    #[test]
    fn an_edit_and_a_deletion_are_found_by_their_message() {
        let (seven, three) = ("00000000000000000007", "00000000000000000003");
        for (kind, letter) in [("edited", 'e'), ("deleted", 'd')] {
            let event = format!(r#"{{"type":"{kind}","time":5,"message":3,"uid":"ann"}}"#);
            assert_eq!(members(&event)[1..], [format!("r{three}:{seven}:{letter}")]);
        }
        assert_eq!(members(r#"{"type":"message","time":5,"message":3}"#).len(), 1);
    }

    #[test]
    fn what_is_no_event_is_no_entry() {
        for junk in ["", "junk", "{}", r#"{"type":"message","channel":"c","time":1"#] {
            assert!(entry(junk).is_none(), "{junk}");
        }
        let channel = ChannelName::parse("c").unwrap();
        let not_utf8 = Bytes::from_static(b"{\"type\":\"x\",\"time\":1,\"a\":\"\xff\"}");
        assert!(Entry::parse(channel, Seq(1), not_utf8).is_none());
    }

    #[test]
    fn an_event_is_read_back_as_it_was() {
        let event = r#"{"type":"message","time":5,"from_uid":"ann","text":"ä"}"#;
        let logged = read_event(members(event)[0].as_bytes()).unwrap();
        assert_eq!((logged.seq, logged.event.get()), (Seq(7), event));
        assert!(read_event(b"e1").is_none());
    }

    proptest! {
        #[test]
        fn members_sort_as_their_sequences_do(one: u64, other: u64) {
            prop_assert_eq!(digits(one).cmp(&digits(other)), one.cmp(&other));
        }

        #[test]
        fn whatever_an_event_says_it_is_read_back_as_it_was(text in "\\PC{0,40}", time: u64) {
            let event = serde_json::json!({"type": "message", "time": time, "text": text}).to_string();
            let logged = read_event(members(&event)[0].as_bytes()).unwrap();
            prop_assert_eq!((logged.seq, logged.event.get()), (Seq(7), event.as_str()));
        }

        #[test]
        fn whatever_redis_holds_is_an_event_or_none(member: Vec<u8>, rest in ".{0,40}") {
            for member in [member, format!("e{}:{}", digits(7), rest).into_bytes()] {
                if let Some(logged) = read_event(&member) {
                    prop_assert!(serde_json::to_string(&logged).is_ok());
                }
            }
        }
    }
}
