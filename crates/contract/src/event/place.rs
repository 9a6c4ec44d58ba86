//! An event at its place in the log: `seq` and `prev` are added to the stored object, which is looked
//! over and not built again.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Revision;
use crate::ids::{Actor, Seq, UnixMillis};

/// A stored event at its place in the log, as services hand it to each other.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Logged {
    /// The event's sequence.
    pub seq: Seq,
    /// The sequence of the channel's event before this one; 0 means none or unknown.
    pub prev: Seq,
    /// The stored object.
    pub event: Box<RawValue>,
    /// Which of ticketing's credentials had it happen, where the log was read with its headers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<Actor>,
}

impl Logged {
    /// An event of which nobody asks who had it happen.
    #[must_use]
    pub fn new(seq: Seq, prev: Seq, event: Box<RawValue>) -> Self {
        Self { seq, prev, event, actor: None }
    }

    /// The event as [`Self::positioned`], with the `actor` if there is one: for ticketing only.
    ///
    /// # Errors
    /// As [`Self::positioned`].
    pub fn for_ticketing(&self) -> Result<Vec<u8>, MalformedEvent> {
        let mut json = self.positioned()?;
        if let Some(actor) = &self.actor {
            // The name of a credential needs no escaping.
            json.pop();
            json.extend_from_slice(format!(",\"actor\":\"{actor}\"}}").as_bytes());
        }
        Ok(json)
    }

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
    use serde_json::Value;

    use super::*;
    use crate::event::tests::message;

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

    #[test]
    fn who_had_it_happen_is_shown_to_ticketing_and_to_nobody_else() {
        let event = RawValue::from_string(r#"{"type":"closed","time":5}"#.to_owned()).unwrap();
        let mut logged = Logged::new(Seq(7), Seq(4), event);
        let place = r#"{"type":"closed","time":5,"seq":7,"prev":4"#;
        assert_eq!(logged.for_ticketing(), Ok(format!("{place}}}").into_bytes()));
        logged.actor = Some(Actor::parse("help-desk").unwrap());
        assert_eq!(logged.positioned(), Ok(format!("{place}}}").into_bytes()));
        let shown = format!("{place},\"actor\":\"help-desk\"}}").into_bytes();
        assert_eq!(logged.for_ticketing(), Ok(shown));
    }

    proptest! {
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
