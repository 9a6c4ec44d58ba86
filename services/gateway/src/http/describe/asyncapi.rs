//! The WebSocket protocol, described by AsyncAPI 3.0.

use goch_contract::{
    limits::{Limits, PAGE_DEFAULT, PAGE_MAX},
    schemas::{client, server, tidy},
    services::history::Since,
};
use serde_json::{Map, Value, json};

use crate::{http::connect::SUBPROTOCOL, socket::closing::Closing};

/// Examples of every frame, by who says it and by its type.
const EXAMPLES: &str = include_str!("examples.json");

/// How each frame of a client is answered when it is not refused; a refusal is an `error`.
const ANSWERS: [(&str, &str); 8] = [
    ("subscribe", "subscribed"),
    ("send", "ack"),
    ("edit", "ack"),
    ("delete", "ack"),
    ("history", "history"),
    ("watch", "unread"),
    ("authenticate", "authenticated"),
    ("unsubscribe", "unsubscribed"),
];

/// Why a gateway closes a socket, and what a client then does.
const CLOSINGS: [(Closing, &str); 9] = [
    (Closing::Goodbye, "Closed as asked."),
    (
        Closing::Draining,
        "The gateway is draining: connect again, after `after_ms` if `reconnect` came.",
    ),
    (Closing::ProtocolError, "A defect in the client: the WebSocket protocol is broken."),
    (Closing::InvalidText, "A defect in the client: a text frame is not UTF-8."),
    (
        Closing::Unauthorized,
        "No successful `subscribe` in time, too many refused frames (the reason says so), or (reason \
         `token expired`) the token has ended: do not repeat blindly.",
    ),
    (Closing::TooLarge, "A frame was larger than the limit: drop that frame, connect again."),
    (Closing::Overloaded, "The gateway is overloaded: connect again, with a longer back-off."),
    (
        Closing::TooSlow,
        "Events could not be handed over in time: connect again at once and resume.",
    ),
    (
        Closing::Removed,
        "Removed from the channel that the reason names, it was deleted, or the account is suspended.",
    ),
];

/// Who says a message.
#[derive(Clone, Copy)]
enum Side {
    Client,
    Server,
}

impl Side {
    const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }

    /// The key of a message. Both sides have a `read`, a `typing` and a `history`.
    fn key(self, kind: &str) -> String {
        format!("{}.{kind}", self.name())
    }
}

/// The document of a gateway that runs with these limits.
pub(super) fn document(limits: &Limits) -> Value {
    let (client, server) = (client::frames(limits), server::frames(limits));
    let examples: Value = serde_json::from_str(EXAMPLES).unwrap_or_default();
    let mut messages = Map::new();
    for (side, frames) in [(Side::Client, &client.frames), (Side::Server, &server.frames)] {
        for (kind, payload) in frames {
            messages.insert(side.key(kind), message(side, kind, payload, &examples));
        }
    }
    let channel = channel(limits, messages.keys());
    let operations = operations(&client.frames, &server.frames);
    let schemas: Map<_, _> = client.components.into_iter().chain(server.components).collect();
    let mut document = json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Goch's WebSocket protocol",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What is said between a client and a gateway. An acknowledged message is \
                            stored; every subscribed client that stays or resumes sees every event \
                            of a channel exactly once, in the order of `seq`. Fields, frames and \
                            events that you do not know are to be ignored: later versions add some.",
            "license": {"name": "MIT OR Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "gateway": {
                "host": "{host}",
                "protocol": "wss",
                "description": "A gateway behind its proxy, which ends TLS.",
                "variables": {"host": {"default": "localhost:8080", "description": "Host and port."}},
            },
        },
        "channels": {"connect": channel},
        "operations": operations,
        "components": {"messages": messages, "schemas": schemas},
    });
    tidy(&mut document);
    document
}

fn reference(place: &str, key: &str) -> Value {
    json!({"$ref": format!("#/{place}/{key}")})
}

fn message(side: Side, kind: &str, payload: &Value, examples: &Value) -> Value {
    let examples = examples[side.name()][kind].as_array().into_iter().flatten();
    let examples: Vec<Value> = examples.map(|payload| json!({"payload": payload})).collect();
    json!({
        "name": kind,
        "title": kind,
        "summary": payload["description"],
        "payload": payload,
        "examples": examples,
    })
}

fn channel<'a>(limits: &Limits, messages: impl Iterator<Item = &'a String>) -> Value {
    let messages = messages.map(|key| (key.clone(), reference("components/messages", key)));
    let messages: Map<_, _> = messages.collect();
    let parameter = |schema: &str| reference("components/schemas", schema);
    let closings =
        CLOSINGS.map(|(closing, meaning)| json!({"code": closing.code(), "meaning": meaning}));
    json!({
        "address": "/connect",
        "title": "A socket",
        "description": "Text frames, each one JSON object that `type` tells apart. A socket can have \
                        many channels of Goch. A bare first frame with the fields of `subscribe` and \
                        no `type` is a `subscribe` of a client of the first Goch, with `since` in Unix \
                        seconds.",
        "servers": [reference("servers", "gateway")],
        "messages": messages,
        "bindings": {
            "ws": {
                "bindingVersion": "0.1.0",
                "method": "GET",
                "headers": {
                    "type": "object",
                    "properties": {
                        "Sec-WebSocket-Protocol": {
                            "type": "string",
                            "description": "Optional: the versions that the client speaks. `goch.v1` is \
                                            selected if it is among them; else none is.",
                            "examples": [SUBPROTOCOL],
                        },
                    },
                },
                "query": {
                    "type": "object",
                    "description": "Subscribes at once. Prefer frames, so that no secret stands in a URL.",
                    "properties": {
                        "channel": parameter("ChannelName"),
                        "uid": parameter("Uid"),
                        "secret": parameter("MemberSecret"),
                        "token": parameter("Token"),
                        "last_seq": parameter("Seq"),
                        "since": {
                            "type": "integer",
                            "description": "In Unix seconds.",
                            "minimum": 0,
                            "maximum": Since::SECONDS_MAX,
                        },
                        "limit": {"type": "integer", "minimum": 1, "maximum": PAGE_MAX},
                    },
                },
            },
        },
        "x-close-codes": closings,
        "x-limits": {
            "frame_bytes": limits.frame_bytes,
            "frames_per_second": limits.frames_per_second,
            "subscriptions_per_socket": limits.subscriptions_per_socket,
            "watched_per_socket": limits.watched_per_socket,
            "page_default": PAGE_DEFAULT,
            "page_max": PAGE_MAX,
        },
    })
}

/// What the gateway receives, with its answers, and what it sends.
fn operations(client: &[(String, Value)], server: &[(String, Value)]) -> Map<String, Value> {
    let channel = reference("channels", "connect");
    let message = |side: Side, kind: &str| reference("channels/connect/messages", &side.key(kind));
    let mut operations = Map::new();
    for (kind, _) in client {
        let answer = ANSWERS.iter().find(|(asked, _)| asked == kind).map(|(_, answer)| *answer);
        let answers = answer.into_iter().chain(["error"]);
        let answers: Vec<Value> = answers.map(|kind| message(Side::Server, kind)).collect();
        let operation = json!({
            "action": "receive",
            "channel": channel,
            "messages": [message(Side::Client, kind)],
            "reply": {"channel": channel, "messages": answers},
        });
        operations.insert(kind.clone(), operation);
    }
    let told: Vec<Value> = server.iter().map(|(kind, _)| message(Side::Server, kind)).collect();
    let tell = json!({
        "action": "send",
        "channel": channel,
        "summary": "Answers, events of the channels that are open, and what concerns the socket.",
        "messages": told,
    });
    operations.insert("tell".to_owned(), tell);
    operations
}

#[cfg(test)]
mod tests {
    use goch_contract::schemas::committed;
    use jsonschema::Validator;

    use super::*;

    const PROTOCOL: &str = include_str!("../../../../../docs/protocol.md");

    /// The validators of all messages, by their keys.
    fn validators(document: &Value) -> Vec<(String, Validator)> {
        let messages = document["components"]["messages"].as_object().unwrap();
        let validator = |(key, message): (&String, &Value)| {
            let mut schema = message["payload"].clone();
            schema["components"] = document["components"].clone();
            (key.clone(), jsonschema::draft202012::new(&schema).unwrap())
        };
        messages.iter().map(validator).collect()
    }

    #[test]
    fn the_committed_document_is_what_the_code_says() {
        committed::check("asyncapi.json", &document(&Limits::default()))
            .unwrap_or_else(|drift| panic!("{drift}"));
    }

    #[test]
    fn every_message_has_examples_that_are_ones() {
        let document = document(&Limits::default());
        for (key, validator) in validators(&document) {
            let examples = document["components"]["messages"][&key]["examples"].as_array().unwrap();
            assert!(!examples.is_empty(), "{key} has no example in examples.json");
            for example in examples {
                let payload = &example["payload"];
                validator.validate(payload).unwrap_or_else(|fault| panic!("{key}: {fault}"));
            }
        }
    }

    #[test]
    fn the_frames_of_the_documentation_are_messages() {
        let validators = validators(&document(&Limits::default()));
        let blocks =
            PROTOCOL.split("```json\n").skip(1).filter_map(|rest| rest.split("\n```").next());
        let mut frames = 0;
        for block in blocks {
            let frame: Value = serde_json::from_str(block).unwrap();
            let fits = validators.iter().any(|(_, validator)| validator.is_valid(&frame));
            assert!(fits, "docs/protocol.md has {block}");
            frames += 1;
        }
        assert!(frames > 20, "{frames}");
    }

    #[test]
    fn limits_are_those_that_are_configured() {
        let mut limits = Limits { subscriptions_per_socket: 7, ..Limits::default() };
        limits.text.max = 12;
        let document = document(&limits);
        assert_eq!(document["components"]["schemas"]["Text"]["maxLength"], 12);
        assert_eq!(document["channels"]["connect"]["x-limits"]["subscriptions_per_socket"], 7);
        // What one `watch` may have is a part of the protocol.
        let watch = &document["components"]["messages"]["client.watch"]["payload"];
        assert_eq!(watch["properties"]["channels"]["maxItems"], 100);
    }
}
