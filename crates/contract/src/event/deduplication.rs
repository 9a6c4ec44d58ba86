//! Names by which JetStream recognises an event that is published again.
//!
//! What is sent twice is recognised per sender: a member is one by the membership, not by the uid, and
//! what ticketing says in somebody's name is not that member's. So nobody can use up an id that somebody
//! else is going to send with.

use std::fmt::Display;

use crate::ids::{ChannelName, MembershipId, MessageId, Uid};

/// Whose id it is by which a message, an edit or a deletion is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender<'a> {
    /// A member's.
    Member(&'a MembershipId),
    /// Ticketing's, in the name of this uid.
    Ticketing(&'a Uid),
}

/// The value of the `Nats-Msg-Id` header, by which JetStream recognises a resend of a message.
#[must_use]
pub fn deduplication_id(channel: &ChannelName, sender: Sender<'_>, id: &str) -> String {
    match sender {
        Sender::Member(membership) => format!("{}/{membership}/{id}", channel.token()),
        Sender::Ticketing(uid) => {
            lifecycle_deduplication_id(channel, format!("posted/{}/{id}", uid.token()))
        }
    }
}

/// The same for an event that nobody sent: `what` tells which one. It cannot be a member's
/// [`deduplication_id`], where a membership stands between the slashes.
#[must_use]
pub fn lifecycle_deduplication_id(channel: &ChannelName, what: impl Display) -> String {
    format!("{}//{what}", channel.token())
}

/// The same for an edit or a deletion; `what` tells the two apart. It cannot be a message's
/// [`deduplication_id`] either: a client may give a message and its edit the same id.
#[must_use]
pub fn revision_deduplication_id(
    channel: &ChannelName,
    what: &str,
    sender: Sender<'_>,
    id: &MessageId,
) -> String {
    match sender {
        Sender::Member(membership) => {
            lifecycle_deduplication_id(channel, format!("{what}/{membership}/{id}"))
        }
        Sender::Ticketing(uid) => {
            lifecycle_deduplication_id(channel, format!("{what}-over-rest/{}/{id}", uid.token()))
        }
    }
}

/// The same for what says that something has ended ([`crate::ended::Ended`]), by the creation of the record in which
/// it was written down that it is to end. It is no channel's: there is no token before the first slash.
#[must_use]
pub fn end_deduplication_id(creation: &str) -> String {
    format!("/ended/{creation}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAME: &str = "[A-Za-z0-9_|/=-]{1,3}";

    /// Of a membership.
    const WORD: &str = "[A-Za-z0-9_-]{1,3}";

    proptest! {
        #[test]
        fn two_messages_never_share_a_deduplication_id(
            (channel, name, over_rest, id) in (NAME, WORD, any::<bool>(), "[a/-]{1,4}"),
            (other_channel, other_name, other_over_rest, other_id) in
                (NAME, WORD, any::<bool>(), "[a/-]{1,4}"),
        ) {
            let of = |channel: &str, name: &str, over_rest: bool, id: &str| {
                let (uid, membership) =
                    (Uid::parse(name).unwrap(), MembershipId::parse(name).unwrap());
                let sender =
                    if over_rest { Sender::Ticketing(&uid) } else { Sender::Member(&membership) };
                let channel = ChannelName::parse(channel).unwrap();
                let revision = MessageId::parse(id).unwrap();
                let revision = revision_deduplication_id(&channel, "edited", sender, &revision);
                (deduplication_id(&channel, sender, id), revision)
            };
            let one = of(&channel, &name, over_rest, &id);
            let other = of(&other_channel, &other_name, other_over_rest, &other_id);
            let same = (channel, name, over_rest, id)
                == (other_channel, other_name, other_over_rest, other_id);
            prop_assert_eq!(one == other, same);
            prop_assert_ne!(one.0, other.1);
        }
    }
}
