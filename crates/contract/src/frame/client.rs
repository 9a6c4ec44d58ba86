//! What clients ask for. Whatever exists here has been checked: [`ClientFrame::parse`] makes it.

use std::collections::BTreeMap;

use super::Credentials;
use crate::{
    ids::{ChannelName, MessageId, Secret, Seq},
    services::history::Window,
};

/// What a client asks for. Names and lengths are already checked.
#[derive(Debug, PartialEq, Eq)]
pub enum ClientFrame {
    /// Open a channel, or ask an open one for what came after a sequence.
    Subscribe(Subscribe),
    /// Say something.
    Send(Send),
    /// Change what a message says.
    Edit(Edit),
    /// Withdraw a message.
    Delete(Delete),
    /// Ask for older events.
    History(History),
    /// Move the read position.
    Read {
        /// The channel that was read.
        channel: ChannelName,
        /// The latest event that was read.
        seq: Seq,
    },
    /// Tell the others that this member is typing.
    Typing {
        /// The channel that is typed in.
        channel: ChannelName,
    },
    /// Be told the unread messages of channels that are not open, now and whenever they change.
    Watch(Watch),
    /// Present a newer token, so that the socket outlives the older one.
    Authenticate {
        /// Echoed in the answer.
        id: Option<MessageId>,
        /// A signed token of the same user.
        token: Secret,
    },
    /// Close a channel on this socket.
    Unsubscribe {
        /// Echoed in the answer.
        id: Option<MessageId>,
        /// The channel.
        channel: ChannelName,
    },
}

/// `subscribe`.
#[derive(Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// Echoed in the answer.
    pub id: Option<MessageId>,
    /// The channel.
    pub channel: ChannelName,
    /// Who subscribes.
    pub credentials: Credentials,
    /// Which events are wanted first.
    pub window: Window,
    /// How many of them, 1 to [`crate::limits::PAGE_MAX`].
    pub limit: u32,
}

/// `send`.
#[derive(Debug, PartialEq, Eq)]
pub struct Send {
    /// The idempotency key.
    pub id: MessageId,
    /// The channel.
    pub channel: ChannelName,
    /// What is said.
    pub text: String,
    /// Whatever the product attaches.
    pub meta: Option<BTreeMap<String, String>>,
}

/// `edit`.
#[derive(Debug, PartialEq, Eq)]
pub struct Edit {
    /// The idempotency key.
    pub id: MessageId,
    /// The channel.
    pub channel: ChannelName,
    /// Which message.
    pub seq: Seq,
    /// What it is to say.
    pub text: String,
    /// What the product attaches from now on; what it has stays if this is left out.
    pub meta: Option<BTreeMap<String, String>>,
}

/// `delete`.
#[derive(Debug, PartialEq, Eq)]
pub struct Delete {
    /// The idempotency key.
    pub id: MessageId,
    /// The channel.
    pub channel: ChannelName,
    /// Which message.
    pub seq: Seq,
}

/// `history`.
#[derive(Debug, PartialEq, Eq)]
pub struct History {
    /// Echoed in the answer.
    pub id: Option<MessageId>,
    /// The channel.
    pub channel: ChannelName,
    /// The events before this sequence are wanted.
    pub before: Seq,
    /// How many of them, 1 to [`crate::limits::PAGE_MAX`].
    pub limit: u32,
}

/// `watch`.
#[derive(Debug, PartialEq, Eq)]
pub struct Watch {
    /// Echoed in the answers.
    pub id: Option<MessageId>,
    /// What to watch: at least one channel, at most as many as a socket may be subscribed to.
    pub channels: Vec<WatchedChannel>,
}

/// A channel of a `watch`.
#[derive(Debug, PartialEq, Eq)]
pub struct WatchedChannel {
    /// The channel.
    pub channel: ChannelName,
    /// Whose unread messages are counted.
    pub credentials: Credentials,
}

impl ClientFrame {
    /// The id to echo in the answer.
    #[must_use]
    pub fn id(&self) -> Option<&MessageId> {
        match self {
            Self::Subscribe(subscribe) => subscribe.id.as_ref(),
            Self::Send(send) => Some(&send.id),
            Self::Edit(edit) => Some(&edit.id),
            Self::Delete(delete) => Some(&delete.id),
            Self::History(history) => history.id.as_ref(),
            Self::Watch(watch) => watch.id.as_ref(),
            Self::Authenticate { id, .. } | Self::Unsubscribe { id, .. } => id.as_ref(),
            Self::Read { .. } | Self::Typing { .. } => None,
        }
    }
}
