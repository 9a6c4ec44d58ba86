//! What receivers are sent: the body of a webhook's request, and those of its `data` that are no event of a channel.

use serde::{Deserialize, Serialize};

use super::EventKind;
use crate::ids::{ChannelName, Role, Seq, Uid, UnixMillis};

/// The version of what is sent. It changes when a receiver that ignores what it does not know would misunderstand.
pub const VERSION: &str = "v1";

/// A request's body, as Standard Webhooks shapes it.
#[derive(Debug, Clone, Serialize)]
pub struct Body<D> {
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// [`VERSION`].
    pub version: &'static str,
    /// When it happened, as RFC 3339 writes it.
    pub timestamp: String,
    /// The rest.
    pub data: D,
}

impl<D> Body<D> {
    /// What happened at `timestamp`.
    pub const fn new(kind: EventKind, timestamp: String, data: D) -> Self {
        Self { kind, version: VERSION, timestamp, data }
    }
}

/// Who may want an e-mail, and about how much. Never what was said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct MessageUnread {
    /// The channel.
    pub channel: ChannelName,
    /// The member who has not read.
    pub uid: Uid,
    /// The member's display name.
    #[cfg_attr(feature = "schemas", schema(value_type = crate::schemas::DisplayName))]
    pub display_name: String,
    /// The member's role.
    pub role: Role,
    /// The member's address; null if none is known.
    #[cfg_attr(feature = "schemas", schema(required, examples("ben@example.org")))]
    pub email: Option<String>,
    /// The first message that is unread.
    pub seq: Seq,
    /// When it was said.
    pub since: UnixMillis,
    /// All that are unread by now.
    #[cfg_attr(feature = "schemas", schema(examples(2)))]
    pub unread: u64,
    /// Whether the member has the channel open somewhere, and yet has not read.
    pub online: bool,
}
