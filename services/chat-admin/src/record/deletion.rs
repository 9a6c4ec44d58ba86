//! A message that is being deleted.

use goch_contract::{
    Actor, ChannelName, Error, MembershipId, MessageId, Seq, Uid, UnixMillis, event::Sender,
    ids::random_hex,
};
use serde::{Deserialize, Serialize};

use super::{CREATION_BYTES, Record};

/// A message that is being deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeletionRecord {
    pub(crate) channel: ChannelName,
    pub(crate) message: Seq,
    /// Who deletes it.
    pub(crate) uid: Uid,
    /// By which membership; none for ticketing.
    #[serde(default)]
    membership: Option<MembershipId>,
    pub(crate) id: MessageId,
    pub(crate) time: UnixMillis,
    /// Which credential asked for it; none if its author did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) actor: Option<Actor>,
    /// Whether the message is being erased before its channel is told, for want of room in the log. Written
    /// down first: once the log has forgotten the message, nothing else says that there is something to tell.
    #[serde(default)]
    pub(crate) erased_first: bool,
    creation: String,
}

impl DeletionRecord {
    /// A deletion that has not begun, by a member of that membership or by ticketing.
    pub(crate) fn new(
        channel: ChannelName,
        message: Seq,
        uid: Uid,
        membership: Option<MembershipId>,
        id: MessageId,
        actor: Option<Actor>,
    ) -> Result<Self, Error> {
        let creation = random_hex::<CREATION_BYTES>()?;
        let time = UnixMillis::now();
        Ok(Self {
            channel,
            message,
            uid,
            membership,
            id,
            time,
            actor,
            erased_first: false,
            creation,
        })
    }

    /// Whose id the deletion has.
    pub(crate) fn sender(&self) -> Sender<'_> {
        self.membership.as_ref().map_or(Sender::Ticketing(&self.uid), Sender::Member)
    }

    /// Whether the other one is the same request, made again.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        (self.sender(), &self.id) == (other.sender(), &other.id)
    }
}

impl Record for DeletionRecord {
    fn creation(&self) -> &str {
        &self.creation
    }
}
