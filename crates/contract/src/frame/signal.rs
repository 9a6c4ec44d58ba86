//! What is told to a channel and never stored.

use serde::{Deserialize, Serialize};

use crate::ids::{ChannelName, Seq, Uid};

/// What members tell each other without its being stored. On the channel's signal subject it is the
/// very frame that the others' sockets get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Signal {
    /// Somebody's read position moved.
    Read {
        /// The channel.
        channel: ChannelName,
        /// Who read.
        uid: Uid,
        /// Up to where.
        seq: Seq,
    },
    /// Somebody is typing.
    Typing {
        /// The channel.
        channel: ChannelName,
        /// Who is typing.
        uid: Uid,
    },
}

impl Signal {
    /// Whose signal it is.
    #[must_use]
    pub fn uid(&self) -> &Uid {
        match self {
            Self::Read { uid, .. } | Self::Typing { uid, .. } => uid,
        }
    }

    /// The frame's text.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        // Strings and integers only: serialization has no way to fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
}
