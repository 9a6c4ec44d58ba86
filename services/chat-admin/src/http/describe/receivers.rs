//! What receivers of webhooks are sent, as OpenAPI's `webhooks` say it. utoipa knows nothing of these.

use goch_contract::{
    limits::Limits,
    schemas::{tidy, webhooks::bodies},
    webhook::EventKind,
};
use serde_json::{Map, Value, json};

/// An example of each body, by its type.
const EXAMPLES: &str = include_str!("receivers.json");

/// Adds them to a document, with the schemas that it lacks.
pub(super) fn add(document: &mut Value, limits: &Limits) {
    let described = bodies(limits);
    let examples: Value = serde_json::from_str(EXAMPLES).unwrap_or_default();
    let requests = described.frames.iter().filter_map(|(word, body)| {
        let kind = EventKind::parse(word)?;
        Some((word.clone(), json!({"post": request(kind, body, &examples[word])})))
    });
    document["webhooks"] = Value::Object(requests.collect());
    if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
        for (name, schema) in described.components {
            schemas.entry(name).or_insert(schema);
        }
    }
    tidy(document);
}

fn request(kind: EventKind, body: &Value, example: &Value) -> Value {
    json!({
        "tags": ["webhooks"],
        "operationId": format!("on_{}", kind.as_str().replace('.', "_")),
        "summary": summary(kind),
        "description": "Sent to each webhook that asks for it, at least once. See docs/webhooks.md.",
        "security": [],
        "parameters": headers(),
        "requestBody": {
            "required": true,
            "content": {"application/json": {"schema": body, "example": example}},
        },
        "responses": responses(),
    })
}

const fn summary(kind: EventKind) -> &'static str {
    match kind {
        EventKind::ChannelCreated => "A channel was created.",
        EventKind::ChannelClosed => "A channel takes no more messages.",
        EventKind::ChannelReopened => "A channel takes messages again.",
        EventKind::ChannelDeleted => "A channel is deleted, with everything of it.",
        EventKind::MemberJoined => "Somebody became a member.",
        EventKind::MemberUpdated => "A member has another name or role.",
        EventKind::MemberLeft => "Somebody is no longer a member.",
        EventKind::MessageCreated => "Somebody said something.",
        EventKind::MessageEdited => "A message was changed.",
        EventKind::MessageDeleted => "A message was withdrawn.",
        EventKind::MessageUnread => "A member has not read a message for some time.",
        EventKind::PersonErased => "A person's data is erased.",
    }
}

/// The headers of Standard Webhooks.
fn headers() -> Value {
    let header = |name: &str, about: &str, kind: &str, example: Value| {
        json!({
            "name": name,
            "in": "header",
            "required": true,
            "description": about,
            "schema": {"type": kind},
            "example": example,
        })
    };
    json!([
        header(
            "webhook-id",
            "The same for each attempt, and another one for each webhook. It means nothing else.",
            "string",
            json!("7c1e5a90f3b24d68a1c05e9d2b7f4836"),
        ),
        header(
            "webhook-timestamp",
            "When the request was made, in Unix seconds.",
            "integer",
            json!(1_700_000_001),
        ),
        header(
            "webhook-signature",
            "One signature or several, with spaces between them.",
            "string",
            json!("v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4="),
        ),
    ])
}

fn responses() -> Value {
    let answers = [
        ("2XX", "Taken: it is not sent again."),
        ("410", "The webhook is disabled: nothing is sent to it any more."),
        ("default", "Failed, as is none in time: it is sent again later."),
    ];
    let answers = answers.map(|(status, about)| (status.to_owned(), json!({"description": about})));
    Value::Object(Map::from_iter(answers))
}
