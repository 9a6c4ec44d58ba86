//! Schemas of what clients say over a WebSocket.
//!
//! [`crate::frame::ClientFrame`] is what remains of a frame when it is parsed: these are its fields
//! on the wire. A test compares both: what the schema takes, the parser takes, and nothing else.

use serde_json::{Value, json};
use utoipa::{PartialSchema as _, ToSchema};

use super::{Frames, MemberSecret, Meta, Text, Token, components, variants};
use crate::{
    ids::{ChannelName, MessageId, Seq, Uid},
    limits::{Limits, WATCH_MAX},
};

/// A frame of a client, by its type.
#[derive(Debug, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientFields {
    /// Opens a channel, or asks an open one for what came after a sequence: either with uid and
    /// secret or with a token. At most one of `after` (or `last_seq`, which means the same) and
    /// `since` chooses the page; without them it has the latest events.
    Subscribe {
        /// Echoed in the answer.
        id: Option<MessageId>,
        /// The channel.
        channel: ChannelName,
        /// Who subscribes.
        uid: Option<Uid>,
        /// The member's secret.
        secret: Option<MemberSecret>,
        /// A signed token, in place of uid and secret.
        token: Option<Token>,
        /// The page has the first events after this one.
        after: Option<Seq>,
        /// The same as `after`.
        last_seq: Option<Seq>,
        /// The page has the first events since this moment, in Unix milliseconds.
        #[schema(minimum = 100_000_000_000_u64, maximum = 253_402_300_799_999_u64)]
        since: Option<u64>,
        /// The most events of the page; 100 if left out.
        #[schema(minimum = 1, maximum = 500)]
        limit: Option<u32>,
    },
    /// Says something. Acknowledged once it is stored.
    Send {
        /// The idempotency key, recognised for the deduplication window (`DEDUPLICATION_SECONDS`, 120 unless the operator
        /// says otherwise).
        id: MessageId,
        /// The channel.
        channel: ChannelName,
        /// What is said.
        text: Text,
        /// Whatever the product attaches.
        meta: Option<Meta>,
    },
    /// Changes what a message of one's own says. Acknowledged once it is stored.
    Edit {
        /// The idempotency key, recognised for the deduplication window (`DEDUPLICATION_SECONDS`, 120 unless the operator
        /// says otherwise).
        id: MessageId,
        /// The channel.
        channel: ChannelName,
        /// The message's `seq`.
        seq: Seq,
        /// What it is to say.
        text: Text,
        /// What the product attaches from now on; what it has stays if this is left out.
        meta: Option<Meta>,
    },
    /// Withdraws a message of one's own. Acknowledged once it is stored.
    Delete {
        /// The idempotency key, recognised for as long as the deletion's event is in the log.
        id: MessageId,
        /// The channel.
        channel: ChannelName,
        /// The message's `seq`.
        seq: Seq,
    },
    /// Asks for older events.
    History {
        /// Echoed in the answer.
        id: Option<MessageId>,
        /// The channel.
        channel: ChannelName,
        /// The latest events before this one are wanted.
        before: Seq,
        /// The most events of the answer; 100 if left out.
        #[schema(minimum = 1, maximum = 500)]
        limit: Option<u32>,
    },
    /// Moves the read position, never back.
    Read {
        /// Echoed in an `error`.
        id: Option<MessageId>,
        /// The channel that was read.
        channel: ChannelName,
        /// The latest event that was read.
        seq: Seq,
    },
    /// Tells the others that this member is typing.
    Typing {
        /// Echoed in an `error`.
        id: Option<MessageId>,
        /// The channel that is typed in.
        channel: ChannelName,
    },
    /// Asks for the unread counts of channels that are not open, now and whenever they change.
    Watch {
        /// Echoed in the answers.
        id: Option<MessageId>,
        /// What to watch.
        #[schema(min_items = 1)]
        channels: Vec<WatchedFields>,
    },
    /// Presents a newer token, so that the socket outlives the older one.
    Authenticate {
        /// Echoed in the answer.
        id: Option<MessageId>,
        /// A signed token of the same user.
        token: Token,
    },
    /// Closes a channel on this socket.
    Unsubscribe {
        /// Echoed in the answer.
        id: Option<MessageId>,
        /// The channel.
        channel: ChannelName,
    },
}

/// A channel of a `watch`: either with uid and secret or with a token.
#[derive(Debug, ToSchema)]
pub struct WatchedFields {
    /// The channel.
    pub channel: ChannelName,
    /// Whose unread messages are counted.
    pub uid: Option<Uid>,
    /// The member's secret.
    pub secret: Option<MemberSecret>,
    /// A signed token, in place of uid and secret.
    pub token: Option<Token>,
}

/// What clients may say to a gateway that runs with these limits.
///
/// A `subscribe` may also come without `type`, with `since` in Unix seconds: clients of the first Goch send that first.
#[must_use]
pub fn frames(limits: &Limits) -> Frames {
    let mut components = components::<ClientFields>(limits);
    for (_, schema) in components.iter_mut().filter(|(name, _)| name == "WatchedFields") {
        require_credentials(schema);
    }
    let mut frames = variants(&ClientFields::schema());
    for (kind, schema) in &mut frames {
        match kind.as_str() {
            "subscribe" => {
                require_credentials(schema);
                let given = |field: &str| json!({"required": [field], "properties": {field: {"type": "integer"}}});
                let after = json!({"anyOf": [given("after"), given("last_seq")]});
                schema["not"] = json!({"allOf": [given("since"), after]});
            }
            "watch" => {
                schema["properties"]["channels"]["maxItems"] = json!(WATCH_MAX);
            }
            _ => {}
        }
    }
    Frames { frames, components }
}

/// Either uid and secret, or a token.
fn require_credentials(schema: &mut Value) {
    schema["oneOf"] = json!([
        {
            "title": "by secret",
            "required": ["uid", "secret"],
            "properties": {
                "uid": {"type": "string"}, "secret": {"type": "string"}, "token": {"type": "null"},
            },
        },
        {
            "title": "by token",
            "required": ["token"],
            "properties": {
                "token": {"type": "string"}, "uid": {"type": "null"}, "secret": {"type": "null"},
            },
        },
    ]);
}

#[cfg(test)]
mod tests {
    use jsonschema::Validator;
    use proptest::prelude::*;
    use serde_json::Map;

    use super::*;
    use crate::{frame::ClientFrame, limits::TOKEN_MAX, services::history::Since};

    const SECRET: &str = "a-secret-of-twenty-characters";

    /// Every field, with values that fit and values that break a rule.
    fn fields() -> [(&'static str, Vec<Value>, Vec<Value>); 15] {
        let numbers = || (vec![json!(0), json!(7), json!(500)], vec![json!(-1), json!(1.5)]);
        let text = |max: usize| vec![json!(""), json!("x".repeat(max + 1))];
        let name = || [text(128), vec![json!(".."), json!("\u{e4}"), json!("a b")]].concat();
        let id = [text(64), vec![json!("a\r\nb")]].concat();
        let watched = |element: Value| json!([element]);
        let by_token = json!({"channel": "c", "token": "t"});
        [
            ("id", vec![json!("m1"), json!("\u{e4} b")], id),
            ("channel", vec![json!("ticket-42"), json!("x".repeat(120))], name()),
            ("uid", vec![json!("ann"), json!("auth0|5f7c")], name()),
            ("secret", vec![json!(SECRET)], vec![json!("short"), json!("x".repeat(129))]),
            ("token", vec![json!("a.b.c")], text(TOKEN_MAX)),
            ("text", vec![json!("Hello"), json!("\u{1f600}".repeat(4_096))], text(4_096)),
            ("text", vec![json!(" a ")], vec![json!(" \n\u{2003}")]),
            ("meta", vec![json!({}), json!({"k": "v"})], vec![]),
            ("after", numbers().0, numbers().1),
            ("last_seq", numbers().0, numbers().1),
            ("before", numbers().0, numbers().1),
            ("seq", numbers().0, numbers().1),
            (
                "since",
                vec![json!(Since::MILLIS_MIN), json!(Since::MILLIS_MAX)],
                vec![json!(Since::MILLIS_MIN - 1), json!(Since::MILLIS_MAX + 1), json!(-1)],
            ),
            ("limit", vec![json!(1), json!(500)], vec![json!(0), json!(501), json!(-1)]),
            (
                "channels",
                vec![watched(by_token.clone()), json!(vec![by_token; 100])],
                vec![
                    json!([]),
                    watched(json!({"channel": "c", "uid": "ann"})),
                    watched(json!({"channel": "c", "token": "t", "uid": "ann"})),
                    watched(json!({"channel": "a.b", "token": "t"})),
                ],
            ),
        ]
    }

    fn validators() -> Vec<(String, Value, Validator)> {
        let Frames { frames, components } = frames(&Limits::default());
        let components: Map<String, Value> = components.into_iter().collect();
        let validator = |(kind, schema): (String, Value)| {
            let mut whole = schema.clone();
            whole["components"] = json!({"schemas": components});
            (kind, schema, jsonschema::draft202012::new(&whole).unwrap())
        };
        frames.into_iter().map(validator).collect()
    }

    /// A frame of a type, with fields chosen and spoilt at random.
    fn frame(kind: &str, schema: &Value) -> impl Strategy<Value = Value> + use<> {
        let of_frame = |name: &str| schema["properties"].get(name).is_some();
        let choices: Vec<_> = fields()
            .into_iter()
            .map(|(name, good, bad)| {
                let absent = Just(None).boxed();
                let good = prop::sample::select(good).prop_map(Some).boxed();
                // Of fields that belong to other frames, only the type is looked at.
                let wrong = if of_frame(name) {
                    let wrong = [json!(true), json!(["x"]), Value::Null];
                    prop::sample::select([bad, wrong.to_vec()].concat()).prop_map(Some).boxed()
                } else {
                    Just(None).boxed()
                };
                prop_oneof![4 => absent, 12 => good, 1 => wrong]
                    .prop_map(move |value| (name, value))
            })
            .collect();
        let kind = kind.to_owned();
        choices.prop_map(move |fields| {
            let mut frame = json!({"type": kind, "unknown": [1]});
            for (name, value) in fields {
                if let Some(value) = value {
                    frame[name] = value;
                }
            }
            frame
        })
    }

    #[test]
    fn schema_and_parser_take_the_same_frames() {
        let limits = Limits::default();
        for (kind, schema, validator) in validators() {
            let (mut taken, mut refused) = (0, 0);
            let mut runner = proptest::test_runner::TestRunner::default();
            let outcome = runner.run(&frame(&kind, &schema), |frame| {
                let parsed = ClientFrame::parse(&frame.to_string(), &limits);
                let fault = validator.validate(&frame).err().map(|fault| fault.to_string());
                prop_assert_eq!(parsed.is_ok(), fault.is_none(), "{:?} {:?}", parsed, fault);
                Ok(())
            });
            outcome.unwrap_or_else(|fault| panic!("{kind}: {fault}"));
            // The test would be worth nothing if all were refused.
            let mut sample = |frame: &Value| {
                if validator.is_valid(frame) { taken += 1 } else { refused += 1 }
            };
            for _ in 0..500 {
                let tree = frame(&kind, &schema).new_tree(&mut runner).unwrap();
                sample(&proptest::strategy::ValueTree::current(&tree));
            }
            assert!(taken > 0 && refused > 0, "{kind}: {taken} taken, {refused} refused");
        }
    }
}
