//! Names by which JetStream recognises an event that is published again.

use crate::ids::{ChannelName, MessageId, Uid};

/// The value of the `Nats-Msg-Id` header, by which JetStream recognises a resend.
#[must_use]
pub fn deduplication_id(channel: &ChannelName, uid: &Uid, id: &str) -> String {
    format!("{channel}/{uid}/{id}")
}

/// The same for an event that nobody sent: `what` tells which one. It cannot be a message's
/// [`deduplication_id`], where a uid stands between the slashes.
#[must_use]
pub fn lifecycle_deduplication_id(channel: &ChannelName, what: &str) -> String {
    format!("{channel}//{what}")
}

/// The same for an edit or a deletion by `uid`; `what` tells the two apart. It cannot be a message's
/// [`deduplication_id`] either: a client may give a message and its edit the same id.
#[must_use]
pub fn revision_deduplication_id(
    channel: &ChannelName,
    what: &str,
    uid: &Uid,
    id: &MessageId,
) -> String {
    lifecycle_deduplication_id(channel, &format!("{what}/{uid}/{id}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAME: &str = "[A-Za-z0-9_-]{1,3}";

    proptest! {
        #[test]
        fn two_messages_never_share_a_deduplication_id(
            (channel, uid, id) in (NAME, NAME, "[a/-]{1,4}"),
            (other_channel, other_uid, other_id) in (NAME, NAME, "[a/-]{1,4}"),
        ) {
            let of = |channel: &str, uid: &str, id: &str| {
                deduplication_id(&ChannelName::parse(channel).unwrap(), &Uid::parse(uid).unwrap(), id)
            };
            let one = of(&channel, &uid, &id);
            let other = of(&other_channel, &other_uid, &other_id);
            let same = (channel, uid, id) == (other_channel, other_uid, other_id);
            prop_assert_eq!(one == other, same);
        }
    }
}
