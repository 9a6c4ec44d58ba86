//! Schemas of what receivers of webhooks are sent.

use serde_json::{Value, json};
use utoipa::PartialSchema as _;

use super::{Frames, components, variants};
use crate::{
    ended::Ended,
    event::Event,
    ids::{Actor, Seq, TenantName},
    limits::Limits,
    webhook::{EventKind, MessageUnread, VERSION},
};

/// The bodies of requests by the words of [`EventKind`], with these limits, and what they refer to by name.
#[must_use]
pub fn bodies(limits: &Limits) -> Frames {
    let mut named = components::<Event>(limits);
    named.extend(components::<Ended>(limits));
    named.extend(components::<MessageUnread>(limits));
    named.extend([
        ("Seq".to_owned(), json!(Seq::schema())),
        ("Actor".to_owned(), json!(Actor::schema())),
        ("TenantName".to_owned(), json!(TenantName::schema())),
    ]);
    let events = variants(&Event::schema())
        .into_iter()
        .filter_map(|(word, data)| Some((EventKind::of_event(&word)?, placed(&data))));
    let ended = variants(&Ended::schema())
        .into_iter()
        .filter_map(|(word, data)| Some((EventKind::of_ended(&word)?, placed(&data))));
    let unread = [(EventKind::MessageUnread, json!(MessageUnread::schema()))];
    let bodies = events.chain(ended).chain(unread);
    let frames = bodies.map(|(kind, data)| (kind.as_str().to_owned(), body(kind, &data))).collect();
    Frames { frames, components: named }
}

/// What the log has, with its place there and who of ticketing had it happen.
fn placed(data: &Value) -> Value {
    let place = json!({
        "type": "object",
        "required": ["seq"],
        "properties": {
            "seq": {"$ref": "#/components/schemas/Seq"},
            "actor": {"$ref": "#/components/schemas/Actor"},
        },
    });
    json!({"description": data["description"], "allOf": [data, place]})
}

fn body(kind: EventKind, data: &Value) -> Value {
    json!({
        "type": "object",
        "required": ["type", "version", "timestamp", "data"],
        "properties": {
            "type": {"type": "string", "enum": [kind.as_str()], "description": "What happened."},
            "version": {
                "type": "string",
                "enum": [VERSION],
                "description": "The version of what is sent. Within one, fields and types are added only: \
                                what you do not know is to be ignored.",
            },
            "timestamp": {
                "type": "string",
                "format": "date-time",
                "description": "When it happened.",
            },
            "data": data,
        },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_has_a_body() {
        let bodies = bodies(&Limits::default()).frames;
        let kinds: BTreeSet<_> = bodies.iter().map(|(kind, _)| kind.as_str()).collect();
        assert_eq!(kinds, EventKind::ALL.iter().map(|kind| kind.as_str()).collect());
        assert_eq!(bodies.len(), kinds.len());
    }
}
