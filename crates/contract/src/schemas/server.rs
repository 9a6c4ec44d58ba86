//! Schemas of what a gateway says over a WebSocket.

use serde_json::{Value, json};
use utoipa::{PartialSchema as _, ToSchema};

use super::{Frames, PositionedEvent, components, variants};
use crate::{
    event::Event,
    frame::{ServerFrame, Signal},
    ids::{ChannelName, MessageId, Seq, Uid},
    limits::Limits,
    presence::OnlineMember,
};

/// The frames with a page of events, which [`crate::frame`] writes piece by piece.
#[derive(Debug, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum PageFields {
    /// The answer to `subscribe`; from then on the channel's events arrive as they happen.
    Subscribed {
        /// The id of the `subscribe`.
        id: Option<MessageId>,
        /// The channel.
        channel: ChannelName,
        /// Who the member is: somebody who comes with a token need not know.
        uid: Uid,
        /// The channel's latest event that this socket has been or is being given.
        last_seq: Seq,
        /// The member's unread messages; left out while they cannot be told.
        unread: Option<u64>,
        /// Whether the page does not reach its end: newer events remain after `after` or `since`,
        /// else older ones.
        more: bool,
        /// The other members who are known to be online; left out when there are too many to tell.
        online: Option<Vec<OnlineMember>>,
        /// Events that rise by `seq`.
        messages: Vec<PositionedEvent>,
    },
    /// The answer to `history`.
    History {
        /// The id of the `history`.
        id: Option<MessageId>,
        /// The channel.
        channel: ChannelName,
        /// Whether older events remain.
        more: bool,
        /// Events that rise by `seq`.
        messages: Vec<PositionedEvent>,
    },
}

/// What a gateway that runs with these limits says, the log's events among it.
#[must_use]
pub fn frames(limits: &Limits) -> Frames {
    let mut components = components::<PageFields>(limits);
    components.extend(super::components::<ServerFrame<'static>>(limits));
    components.extend(super::components::<Signal>(limits));
    let mut frames = variants(&PageFields::schema());
    frames.extend(variants(&ServerFrame::schema()));
    frames.extend(variants(&Signal::schema()));
    for (_, schema) in &mut frames {
        leave_out_rather_than_null(schema);
    }
    let events = variants(&Event::schema()).into_iter().map(|(kind, event)| {
        let place = json!({
            "type": "object",
            "required": ["seq", "prev"],
            "properties": {
                "seq": {"$ref": "#/components/schemas/Seq"},
                "prev": {"$ref": "#/components/schemas/Seq"},
            },
        });
        let description = event["description"].clone();
        (kind, json!({"description": description, "allOf": [event, place]}))
    });
    frames.extend(events);
    Frames { frames, components }
}

/// What a gateway has nothing to say about is not in the frame: no field of it is ever null.
fn leave_out_rather_than_null(schema: &mut Value) {
    let Some(properties) = schema["properties"].as_object_mut() else { return };
    for property in properties.values_mut() {
        if let Some(types) = property["type"].as_array() {
            property["type"] =
                types.iter().find(|kind| *kind != "null").cloned().unwrap_or_default();
        }
        let Some(choices) = property["oneOf"].as_array() else { continue };
        let Some(choice) = choices.iter().find(|choice| choice["type"] != "null") else { continue };
        *property = choice.clone();
    }
}
