//! Edits and deletions: which message an event is about, and what an edit makes of it.
//!
//! Whoever shows or counts messages reads this here, so that live, pages, Redis and the log agree. An
//! event's headers tell the same as the event itself, for those who read the log without bodies.

use std::borrow::Cow;

use async_nats::HeaderMap;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Edited, Event, Message};
use crate::ids::Seq;

/// Header of a log message: the sequence of the message that this event edits or deletes, so that what
/// has become of a message can be found without bodies.
pub const MESSAGE_HEADER: &str = "Goch-Message";

/// Header of a log message that is there, whatever its value, if the event deletes a message. Such an
/// event has [`MESSAGE_HEADER`] too.
pub const DELETED_HEADER: &str = "Goch-Deleted";

/// An edit or a deletion of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revision {
    /// The sequence of the event that says so.
    pub seq: Seq,
    /// Of which message.
    pub message: Seq,
    /// Whether it deletes the message; else it edits it.
    pub deletes: bool,
}

impl Revision {
    /// What the event at `seq` says itself, stored or positioned; none for any other event and for what
    /// is not an event. Nothing but type and message is looked at: whether an edit can be shown is for
    /// [`edited`] to tell.
    #[must_use]
    pub fn of_event(seq: Seq, event: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Fields<'a> {
            #[serde(rename = "type", borrow)]
            kind: Cow<'a, str>,
            message: Option<Seq>,
        }
        // Of what it skips, serde would not check the encoding; an array of the fields' values it would
        // take for the object.
        let event = std::str::from_utf8(event).ok().filter(|event| event.starts_with('{'))?;
        let Fields { kind, message } = serde_json::from_str(event).ok()?;
        let deletes = match &*kind {
            "edited" => false,
            "deleted" => true,
            _ => return None,
        };
        Some(Self { seq, message: message?, deletes })
    }

    /// What the headers of the event at `seq` say.
    #[must_use]
    pub fn of_headers(seq: Seq, headers: &HeaderMap) -> Option<Self> {
        let message = headers.get(MESSAGE_HEADER)?.as_str().parse().ok().map(Seq)?;
        Some(Self { seq, message, deletes: headers.get(DELETED_HEADER).is_some() })
    }
}

/// A message with the content that an edit gave it; none if the two are not a message and an edit.
#[must_use]
pub fn edited(message: &RawValue, edit: &RawValue) -> Option<Box<RawValue>> {
    let (Ok(Event::Message(message)), Ok(Event::Edited(edit))) =
        (serde_json::from_str(message.get()), serde_json::from_str(edit.get()))
    else {
        return None;
    };
    let Edited { text, meta, time, .. } = edit;
    let message = Event::Message(Message { text, meta, edited_at: Some(time), ..message });
    serde_json::value::to_raw_value(&message).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        event::{Deleted, write_positioned},
        ids::{ChannelName, MessageId, Uid, UnixMillis},
    };

    #[test]
    fn headers_and_events_tell_the_same() {
        let mut headers = HeaderMap::new();
        assert_eq!(Revision::of_headers(Seq(9), &headers), None);
        headers.insert(MESSAGE_HEADER, "7");
        let edit = Revision { seq: Seq(9), message: Seq(7), deletes: false };
        assert_eq!(Revision::of_headers(Seq(9), &headers), Some(edit));
        headers.insert(DELETED_HEADER, "1");
        let deletion = Revision { deletes: true, ..edit };
        assert_eq!(Revision::of_headers(Seq(9), &headers), Some(deletion));
        for (event, expected) in [
            (r#"{"type":"edited","message":7}"#, Some(edit)),
            (r#"{"type":"deleted","message":7}"#, Some(deletion)),
            (r#"{"message":7,"type":"delet\u0065d","seq":9,"prev":7}"#, Some(deletion)),
            (r#"{"type":"message","message":7}"#, None),
            (r#"{"type":"edited"}"#, None),
            (r#"{"type":"edited","message":-7}"#, None),
            (r#"["edited",7]"#, None),
        ] {
            assert_eq!(Revision::of_event(Seq(9), event.as_bytes()), expected, "{event}");
        }
        let not_utf8 = b"{\"type\":\"edited\",\"message\":7,\"text\":\"\xff\"}";
        assert_eq!(Revision::of_event(Seq(9), not_utf8), None);
    }

    #[test]
    fn an_edit_replaces_text_and_meta_and_nothing_else() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        let message = raw(
            r#"{"type":"message","channel":"c","time":1,"id":"m","from_uid":"ann","from_name":"Ann","from_role":"guest","text":"a","meta":{"k":"v"}}"#,
        );
        let edit = raw(
            r#"{"type":"edited","channel":"c","time":5,"id":"e","message":7,"uid":"eve","text":"b"}"#,
        );
        assert_eq!(
            edited(&message, &edit).unwrap().get(),
            r#"{"type":"message","channel":"c","time":1,"id":"m","from_uid":"ann","from_name":"Ann","from_role":"guest","text":"b","edited_at":5}"#
        );
        assert!(edited(&edit, &message).is_none());
    }

    proptest! {
        #[test]
        fn whatever_is_stored_is_a_revision_or_none(junk: Vec<u8>, rest in "\\PC{0,40}") {
            for bytes in [junk, format!(r#"{{"type":"edited",{rest}"#).into_bytes()] {
                if Revision::of_event(Seq(1), &bytes).is_some() {
                    prop_assert!(serde_json::from_slice::<&RawValue>(&bytes).is_ok());
                }
            }
            let mut headers = HeaderMap::new();
            headers.insert(MESSAGE_HEADER, rest.as_str());
            let message = Revision::of_headers(Seq(1), &headers).map(|revision| revision.message);
            prop_assert_eq!(message, rest.parse().ok().map(Seq));
        }

        #[test]
        fn whatever_an_edit_says_it_is_read_as_an_edit_of_its_message(
            text in "\\PC*",
            seq: u64,
            message: u64,
        ) {
            let channel = ChannelName::parse("c").unwrap();
            let (time, uid) = (UnixMillis(5), Uid::parse("ann").unwrap());
            let (id, message) = (MessageId::parse("i").unwrap(), Seq(message));
            let deletion = Deleted { channel, time, id, message, uid };
            let Deleted { channel, id, uid, .. } = deletion.clone();
            let edit = Edited { channel, time, id, message, uid, text, meta: None };
            for (event, deletes) in [(Event::Edited(edit), false), (Event::Deleted(deletion), true)] {
                let expected = Some(Revision { seq: Seq(seq), message, deletes });
                let payload = event.to_payload();
                prop_assert_eq!(Revision::of_event(Seq(seq), &payload), expected);
                let mut positioned = Vec::new();
                write_positioned(&mut positioned, &payload, Seq(seq), Seq(0)).unwrap();
                prop_assert_eq!(Revision::of_event(Seq(seq), &positioned), expected);
            }
        }
    }
}
