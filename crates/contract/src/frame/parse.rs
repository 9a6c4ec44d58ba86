//! Reading what a client says: one pass over the text, and the error of the first rule that it breaks.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Deserialize;
use serde_json::Value;

use super::{
    ClientFrame, Credentials, Delete, Edit, History, Send, Subscribe, Watch, WatchedChannel,
};
use crate::{
    error::{Error, ErrorCode},
    ids::{ChannelName, MessageId, Seq},
    limits::{Limits, WATCH_MAX, page_limit},
    services::history::{Since, Window},
};

/// Why a frame was refused: the error, and the frame's `id` where it could still be read.
#[derive(Debug)]
pub struct RefusedFrame {
    /// The frame's `id`, to echo.
    pub id: Option<MessageId>,
    /// What is wrong with it.
    pub error: Error,
}

/// Every field that a client frame can have. Flat, so that one pass over the text suffices, with no
/// buffering, whatever the order of the fields.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    channel: Option<Cow<'a, str>>,
    #[serde(borrow)]
    uid: Option<Cow<'a, str>>,
    #[serde(borrow)]
    secret: Option<Cow<'a, str>>,
    #[serde(borrow)]
    token: Option<Cow<'a, str>>,
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
    meta: Option<BTreeMap<String, String>>,
    after: Option<u64>,
    last_seq: Option<u64>,
    since: Option<u64>,
    before: Option<u64>,
    seq: Option<u64>,
    limit: Option<u64>,
    #[serde(borrow)]
    channels: Option<Vec<WatchedFields<'a>>>,
}

/// The fields of a channel of a `watch`.
#[derive(Deserialize)]
struct WatchedFields<'a> {
    #[serde(borrow)]
    channel: Cow<'a, str>,
    #[serde(borrow)]
    uid: Option<Cow<'a, str>>,
    #[serde(borrow)]
    secret: Option<Cow<'a, str>>,
    #[serde(borrow)]
    token: Option<Cow<'a, str>>,
}

impl ClientFrame {
    /// Parses and checks one text frame.
    ///
    /// A frame without `type` but with `channel` and credentials is a `subscribe`, whose `since` is in seconds:
    /// clients of the first Goch send that first.
    ///
    /// # Errors
    /// `bad_frame` for what is not a JSON object or of an unknown type; otherwise the error of the
    /// first field that is missing or breaks a rule, with the frame's `id`.
    pub fn parse(text: &str, limits: &Limits) -> Result<Self, RefusedFrame> {
        // serde would take an array of the fields' values for the object.
        if !text.trim_start().starts_with('{') {
            return Err(not_an_object());
        }
        let fields: Fields<'_> = serde_json::from_str(text).map_err(|_| explain(text))?;
        let id = match fields.id.as_deref().map(|id| Limits::parse_message_id("id", id)) {
            Some(Ok(id)) => Some(id),
            Some(Err(error)) => return Err(RefusedFrame { id: None, error }),
            None => None,
        };
        fields.into_frame(id.clone(), limits).map_err(|error| RefusedFrame { id, error })
    }
}

impl Fields<'_> {
    fn into_frame(self, id: Option<MessageId>, limits: &Limits) -> Result<ClientFrame, Error> {
        match self.kind.as_deref() {
            Some("send") => self.into_send(id, limits),
            Some("subscribe") => self.into_subscribe(id, limits),
            Some("history") => Ok(ClientFrame::History(History {
                id,
                channel: self.channel(limits)?,
                before: Seq(self.before.ok_or_else(|| missing("before"))?),
                limit: page_limit(self.limit)?,
            })),
            Some("edit") => self.into_edit(id, limits),
            Some("delete") => Ok(ClientFrame::Delete(Delete {
                id: id.ok_or_else(|| missing("id"))?,
                channel: self.channel(limits)?,
                seq: self.seq()?,
            })),
            Some("read") => {
                Ok(ClientFrame::Read { channel: self.channel(limits)?, seq: self.seq()? })
            }
            Some("typing") => Ok(ClientFrame::Typing { channel: self.channel(limits)? }),
            Some("watch") => self.into_watch(id, limits),
            Some("authenticate") => {
                let token = self.token.as_deref().ok_or_else(|| missing("token"))?;
                Ok(ClientFrame::Authenticate { id, token: Limits::parse_token("token", token)? })
            }
            Some("unsubscribe") => {
                Ok(ClientFrame::Unsubscribe { id, channel: self.channel(limits)? })
            }
            None if self.channel.is_some() && (self.uid.is_some() || self.token.is_some()) => {
                self.into_subscribe(id, limits)
            }
            None => Err(Error::of_field(ErrorCode::BadFrame, "type", "the frame has no type")),
            // The word itself is not repeated: it can be anything, of any length.
            Some(_) => Err(Error::of_field(ErrorCode::BadFrame, "type", "unknown type of frame")),
        }
    }

    fn channel(&self, limits: &Limits) -> Result<ChannelName, Error> {
        let channel = self.channel.as_deref().ok_or_else(|| missing("channel"))?;
        limits.parse_channel("channel", channel)
    }

    fn seq(&self) -> Result<Seq, Error> {
        self.seq.map(Seq).ok_or_else(|| missing("seq"))
    }

    fn into_send(self, id: Option<MessageId>, limits: &Limits) -> Result<ClientFrame, Error> {
        let id = id.ok_or_else(|| missing("id"))?;
        let channel = self.channel(limits)?;
        let (text, meta) = self.into_content(limits)?;
        Ok(ClientFrame::Send(Send { id, channel, text, meta }))
    }

    fn into_edit(self, id: Option<MessageId>, limits: &Limits) -> Result<ClientFrame, Error> {
        let id = id.ok_or_else(|| missing("id"))?;
        let (channel, seq) = (self.channel(limits)?, self.seq()?);
        let (text, meta) = self.into_content(limits)?;
        Ok(ClientFrame::Edit(Edit { id, channel, seq, text, meta }))
    }

    /// What a message says and carries.
    fn into_content(
        self,
        limits: &Limits,
    ) -> Result<(String, Option<BTreeMap<String, String>>), Error> {
        let text = self.text.ok_or_else(|| missing("text"))?;
        limits.check_text(&text)?;
        if let Some(meta) = &self.meta {
            limits.check_meta(meta)?;
        }
        Ok((text.into_owned(), self.meta))
    }

    fn into_subscribe(self, id: Option<MessageId>, limits: &Limits) -> Result<ClientFrame, Error> {
        let channel = self.channel(limits)?;
        let (uid, secret, token) =
            (self.uid.as_deref(), self.secret.as_deref(), self.token.as_deref());
        // Clients of the first Goch know no types, and name moments in seconds.
        let unit = if self.kind.is_some() { Since::Millis } else { Since::Seconds };
        let since = self.since.map(unit);
        Ok(ClientFrame::Subscribe(Subscribe {
            id,
            channel,
            credentials: Credentials::parse(uid, secret, token, limits)?,
            window: Window::parse(self.after.or(self.last_seq), since)?,
            limit: page_limit(self.limit)?,
        }))
    }

    fn into_watch(self, id: Option<MessageId>, limits: &Limits) -> Result<ClientFrame, Error> {
        let channels = self.channels.ok_or_else(|| missing("channels"))?;
        if channels.is_empty() || channels.len() > WATCH_MAX {
            let message = format!("channels must have 1 to {WATCH_MAX} elements");
            return Err(Error::bad_request("channels", message));
        }
        let watched = |fields: WatchedFields<'_>| {
            Ok(WatchedChannel {
                channel: limits.parse_channel("channel", &fields.channel)?,
                credentials: Credentials::parse(
                    fields.uid.as_deref(),
                    fields.secret.as_deref(),
                    fields.token.as_deref(),
                    limits,
                )?,
            })
        };
        let channels = channels.into_iter().map(watched).collect::<Result<_, Error>>()?;
        Ok(ClientFrame::Watch(Watch { id, channels }))
    }
}

pub(super) fn missing(field: &'static str) -> Error {
    Error::bad_request(field, format!("{field} is missing"))
}

/// Tells malformed JSON from a field of the wrong type, and finds the `id` to echo. Only frames that
/// are refused anyway pay for the second parse.
fn explain(text: &str) -> RefusedFrame {
    let Ok(Value::Object(object)) = serde_json::from_str::<Value>(text) else {
        return not_an_object();
    };
    let id = object.get("id").and_then(Value::as_str).and_then(|id| MessageId::parse(id).ok());
    let is_wrong = |field: &str, expected: fn(&Value) -> bool| {
        object.get(field).is_some_and(|value| !value.is_null() && !expected(value))
    };
    let strings = ["type", "id", "channel", "uid", "secret", "token", "text"];
    let integers = ["after", "last_seq", "since", "before", "seq", "limit"];
    let error = if let Some(field) = strings.into_iter().find(|f| is_wrong(f, Value::is_string)) {
        Error::bad_request(field, format!("{field} must be a string"))
    } else if let Some(field) = integers.into_iter().find(|f| is_wrong(f, Value::is_u64)) {
        Error::bad_request(field, format!("{field} must be an integer that is not negative"))
    } else if is_wrong("channels", is_list_of_watched) {
        let message = "channels must be a list of objects with channel, uid and secret or token";
        Error::bad_request("channels", message)
    } else if is_wrong("meta", is_object_of_strings) {
        Error::bad_request("meta", "meta must be an object of strings")
    } else {
        Error::new(ErrorCode::BadFrame, "the frame names a field twice")
    };
    RefusedFrame { id, error }
}

fn is_list_of_watched(value: &Value) -> bool {
    let is_watched = |value: &Value| WatchedFields::deserialize(value).is_ok();
    value.as_array().is_some_and(|channels| channels.iter().all(is_watched))
}

fn is_object_of_strings(value: &Value) -> bool {
    value.as_object().is_some_and(|object| object.values().all(Value::is_string))
}

fn not_an_object() -> RefusedFrame {
    let message = "the frame is not a JSON object";
    RefusedFrame { id: None, error: Error::new(ErrorCode::BadFrame, message) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::ids::{Secret, UnixMillis};

    fn parse(frame: &Value) -> Result<ClientFrame, RefusedFrame> {
        ClientFrame::parse(&frame.to_string(), &Limits::default())
    }

    const SECRET: &str = "a-secret-of-twenty-characters";

    #[test]
    fn a_bare_first_frame_subscribes() {
        let frame = parse(&json!({"channel": "c", "uid": "ann", "secret": SECRET, "last_seq": 7}));
        let Ok(ClientFrame::Subscribe(subscribe)) = frame else { panic!("{frame:?}") };
        assert_eq!(subscribe.window, Window::After(Seq(7)));
        assert_eq!(subscribe.limit, 100);
    }

    #[test]
    fn a_token_stands_in_place_of_uid_and_secret() {
        let token = Credentials::Token(Secret::new("a.b.c"));
        for frame in [
            json!({"channel": "c", "token": "a.b.c"}),
            json!({"type": "subscribe", "channel": "c", "token": "a.b.c"}),
        ] {
            let Ok(ClientFrame::Subscribe(subscribe)) = parse(&frame) else { panic!("{frame}") };
            assert_eq!(subscribe.credentials, token);
        }
        for (field, value) in [("uid", "ann"), ("secret", SECRET)] {
            let mut frame = json!({"type": "subscribe", "channel": "c", "token": "a.b.c"});
            frame[field] = json!(value);
            assert_eq!(parse(&frame).unwrap_err().error.field.as_deref(), Some("token"));
        }
        let long = json!({"type": "authenticate", "id": "1", "token": "x".repeat(9_000)});
        assert_eq!(parse(&long).unwrap_err().error.code, ErrorCode::TooLong);
    }

    #[test]
    fn what_is_not_a_json_object_is_a_bad_frame() {
        for text in ["", "hello", "[]", "1", "null", "{", "{\"type\":\"send\"", "\"send\""] {
            let refused = ClientFrame::parse(text, &Limits::default()).unwrap_err();
            assert_eq!(refused.error.code, ErrorCode::BadFrame, "{text}");
        }
    }

    #[test]
    fn an_array_of_a_frames_values_is_no_frame() {
        let frame = json!(["typing", null, "c", null, null, null, null, 1, 1, 1, 1, 1, 1]);
        assert_eq!(parse(&frame).unwrap_err().error.code, ErrorCode::BadFrame);
    }

    #[test]
    fn a_field_that_is_there_twice_is_not_blamed_on_another() {
        let text = r#"{"type":"send","id":"1","channel":"c","text":"a","text":"b","meta":{}}"#;
        let refused = ClientFrame::parse(text, &Limits::default()).unwrap_err();
        assert_eq!(refused.error.code, ErrorCode::BadFrame);
        assert_eq!(refused.error.field, None);
    }

    #[test]
    fn an_edit_and_a_delete_name_their_message_and_are_held_to_the_limits_of_a_send() {
        let frame = json!({"type": "edit", "id": "e1", "channel": "c", "seq": 7, "text": "x"});
        let Ok(ClientFrame::Edit(edit)) = parse(&frame) else { panic!("{frame}") };
        assert_eq!((edit.seq, edit.text.as_str(), edit.meta), (Seq(7), "x", None));
        let frame = json!({"type": "delete", "id": "d1", "channel": "c", "seq": 7});
        let Ok(ClientFrame::Delete(delete)) = parse(&frame) else { panic!("{frame}") };
        assert_eq!((delete.id.as_str(), delete.seq), ("d1", Seq(7)));
        for (field, value) in [
            ("id", json!(null)),
            ("channel", json!(null)),
            ("seq", json!(null)),
            ("seq", json!(-1)),
            ("text", json!(" ")),
            ("text", json!("x".repeat(4_097))),
            ("meta", json!({"k": "x".repeat(4_096)})),
        ] {
            let mut frame =
                json!({"type": "edit", "id": "e1", "channel": "c", "seq": 7, "text": "x"});
            frame[field] = value;
            assert_eq!(parse(&frame).unwrap_err().error.field.as_deref(), Some(field), "{frame}");
        }
    }

    #[test]
    fn a_wrong_type_names_the_field_and_echoes_the_id() {
        for (field, value) in [
            ("text", json!(5)),
            ("meta", json!({"a": 1})),
            ("meta", json!("a")),
            ("channel", json!(["c"])),
        ] {
            let mut frame = json!({"type": "send", "id": "m1", "channel": "c", "text": "x"});
            frame[field] = value;
            let refused = parse(&frame).unwrap_err();
            assert_eq!(refused.error.code, ErrorCode::BadRequest, "{frame}");
            assert_eq!(refused.error.field.as_deref(), Some(field));
            assert_eq!(refused.id, MessageId::parse("m1").ok());
        }
    }

    #[test]
    fn since_is_in_milliseconds_unless_the_frame_is_one_of_the_first_goch() {
        let mut frame = json!({"type": "subscribe", "channel": "c", "uid": "ann", "secret": SECRET,
                               "since": 1_700_000_000_123_u64});
        let Ok(ClientFrame::Subscribe(subscribe)) = parse(&frame) else { panic!("{frame}") };
        assert_eq!(subscribe.window, Window::Since(UnixMillis(1_700_000_000_123)));
        frame["type"] = Value::Null;
        assert_eq!(parse(&frame).unwrap_err().error.field.as_deref(), Some("since"));
        frame["since"] = json!(1_700_000_000);
        let Ok(ClientFrame::Subscribe(subscribe)) = parse(&frame) else { panic!("{frame}") };
        assert_eq!(subscribe.window, Window::Since(UnixMillis(1_700_000_000_000)));
        frame["type"] = json!("subscribe");
        assert_eq!(parse(&frame).unwrap_err().error.field.as_deref(), Some("since"));
    }

    #[test]
    fn a_negative_or_impossible_since_names_the_field() {
        for since in [json!(-1), json!(1.5), json!(u64::MAX), json!("now")] {
            let frame = json!({"type": "subscribe", "id": "1", "channel": "c", "uid": "ann",
                               "secret": SECRET, "since": since});
            let refused = parse(&frame).unwrap_err();
            assert_eq!(refused.error.field.as_deref(), Some("since"), "{frame}");
        }
    }

    #[test]
    fn an_unknown_type_is_a_bad_frame_that_does_not_repeat_the_word() {
        let refused = parse(&json!({"type": "shout", "id": "1"})).unwrap_err();
        assert_eq!(refused.error.code, ErrorCode::BadFrame);
        assert!(!refused.error.message.contains("shout"));
    }

    #[test]
    fn a_watch_names_one_to_as_many_channels_as_a_socket_may_have() {
        let watched = json!({"channel": "c", "uid": "ann", "secret": SECRET});
        let frame = parse(&json!({"type": "watch", "id": "w", "channels": [watched, watched]}));
        let Ok(ClientFrame::Watch(watch)) = frame else { panic!("{frame:?}") };
        assert_eq!(watch.channels.len(), 2);
        for channels in
            [json!([]), json!(vec![watched; 101]), json!(["c"]), json!("c"), json!(null)]
        {
            let refused = parse(&json!({"type": "watch", "id": "w", "channels": channels}));
            let error = refused.unwrap_err().error;
            assert_eq!(error.code, ErrorCode::BadRequest);
            assert_eq!(error.field.as_deref(), Some("channels"), "{channels}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,200}") {
            let _ = ClientFrame::parse(&text, &Limits::default());
        }

        #[test]
        fn a_text_within_limits_arrives_unchanged(text in "\\PC{1,4096}") {
            prop_assume!(!text.chars().all(char::is_whitespace));
            let frame = json!({"type": "send", "id": "1", "channel": "c", "text": text});
            let Ok(ClientFrame::Send(send)) = parse(&frame) else { panic!() };
            prop_assert_eq!(send.text, text);
        }
    }
}
