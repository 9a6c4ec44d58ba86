//! A message that is being deleted.

use goch_contract::{
    Actor, ChannelName, Error, MembershipId, MessageId, Person, PersonKind, Seq, Uid, UnixMillis,
    event::Sender, ids::random_hex,
};
use serde::{Deserialize, Serialize};

use super::{CREATION_BYTES, ChannelRecord, Record};

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
    /// What the member is; ticketing speaks as an account.
    #[serde(default)]
    pub(crate) kind: PersonKind,
    pub(crate) id: MessageId,
    pub(crate) time: UnixMillis,
    /// Which credential asked for it; none if its author did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) actor: Option<Actor>,
    /// Whether the message is being erased before its channel is told, for want of room in the log. Written
    /// down first: once the log has forgotten the message, nothing else says that there is something to tell.
    #[serde(default)]
    pub(crate) erased_first: bool,
    /// Whether the copies in Redis went as well before the channel is told.
    #[serde(default)]
    pub(crate) forgotten_first: bool,
    /// Tells the message's channel from a later one of the same name; nothing in records that are older than
    /// this field.
    #[serde(default)]
    channel_creation: Option<String>,
    creation: String,
}

impl DeletionRecord {
    /// A deletion that has not begun, by a member of that membership and kind or by ticketing.
    pub(crate) fn new(
        channel: &ChannelRecord,
        message: Seq,
        uid: Uid,
        by: Option<(MembershipId, PersonKind)>,
        id: MessageId,
        actor: Option<Actor>,
    ) -> Result<Self, Error> {
        let creation = random_hex::<CREATION_BYTES>()?;
        let time = UnixMillis::now();
        let (membership, kind) = by.unzip();
        Ok(Self {
            channel: channel.name.clone(),
            message,
            uid,
            membership,
            kind: kind.unwrap_or_default(),
            id,
            time,
            actor,
            erased_first: false,
            forgotten_first: false,
            channel_creation: Some(channel.creation().to_owned()),
            creation,
        })
    }

    /// Whose id the deletion has.
    pub(crate) fn sender(&self) -> Sender<'_> {
        self.membership.as_ref().map_or(Sender::Ticketing(&self.uid), Sender::Member)
    }

    /// Whether this person deletes it.
    pub(crate) fn is_by(&self, person: &Person) -> bool {
        person.is(&self.channel, &self.uid, self.kind)
    }

    /// Whether the message was in this channel, and not in an earlier one of the same name.
    pub(crate) fn is_of(&self, channel: &ChannelRecord) -> bool {
        let is_same = |creation: &String| creation == channel.creation();
        self.channel == channel.name && self.channel_creation.as_ref().is_none_or(is_same)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::channel::tests::channel;

    #[test]
    fn a_deletion_is_of_the_channel_that_had_the_message_whatever_clocks_say() {
        let (before, mut after) = (channel(None), channel(None));
        after.created_at = UnixMillis(0);
        let (uid, id) = (Uid::parse("ann").unwrap(), MessageId::parse("d").unwrap());
        let record = DeletionRecord::new(&before, Seq(7), uid, None, id, None).unwrap();
        assert!(record.is_of(&before));
        assert!(!record.is_of(&after), "the name was given to a new channel");

        let mut turned = before.clone();
        turned.turn(true);
        turned.created_at = UnixMillis(u64::MAX);
        assert!(record.is_of(&turned));
        let mut stored = serde_json::to_value(&record).unwrap();
        stored.as_object_mut().unwrap().remove("channel_creation");
        let older: DeletionRecord = serde_json::from_value(stored).unwrap();
        assert!(older.is_of(&before), "it is finished as it was begun");
    }
}
