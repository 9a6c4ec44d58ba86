//! A person whose data is being erased, and how far that is.

use std::collections::BTreeSet;

use goch_contract::{Actor, ChannelName, Error, Person, Seq, ids::random_hex};
use serde::{Deserialize, Serialize};

use super::{CREATION_BYTES, ChannelRecord, Record};

/// A person whose data is being erased, and how far that is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ErasureRecord {
    pub(crate) person: Person,
    /// Which credential asked for it.
    pub(crate) actor: Actor,
    /// The log holds no event of the person up to here.
    pub(crate) through: Seq,
    /// What is being erased. Written down first: once the log has forgotten these events, nothing
    /// else tells which channels' copies have them.
    pub(crate) page: Option<ErasurePage>,
    /// Tells a guest's channel from a later one of the same name; none if there was no channel.
    #[serde(default)]
    channel_creation: Option<String>,
    creation: String,
}

/// Events of a person that are erased in one go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ErasurePage {
    pub(crate) events: Vec<Seq>,
    pub(crate) channels: BTreeSet<ChannelName>,
    pub(crate) through: Seq,
    /// Whether the log goes on.
    pub(crate) more: bool,
}

impl ErasureRecord {
    /// An erasure that has not begun, of an account or of a guest of `channel`, if there is such a channel.
    pub(crate) fn new(
        person: Person,
        actor: Actor,
        channel: Option<&ChannelRecord>,
    ) -> Result<Self, Error> {
        let creation = random_hex::<CREATION_BYTES>()?;
        let channel_creation = channel.map(|channel| channel.creation().to_owned());
        Ok(Self { person, actor, through: Seq(0), page: None, channel_creation, creation })
    }

    /// Whether the guest was one of an earlier channel of the same name, with which everything of the guest went.
    pub(crate) fn is_outlived_by(&self, channel: &ChannelRecord) -> bool {
        self.channel_creation.as_deref() != Some(channel.creation())
    }
}

impl Record for ErasureRecord {
    fn creation(&self) -> &str {
        &self.creation
    }
}

#[cfg(test)]
mod tests {
    use goch_contract::Uid;

    use super::*;
    use crate::record::tests::channel;

    #[test]
    fn a_guest_of_a_new_channel_of_the_same_name_is_somebody_else() {
        let (before, after) = (channel(None), channel(None));
        let guest = Person::Guest(before.name.clone(), Uid::parse("ann").unwrap());
        let actor = Actor::parse("help-desk").unwrap();
        let erasure = |channel| ErasureRecord::new(guest.clone(), actor.clone(), channel).unwrap();
        assert!(!erasure(Some(&before)).is_outlived_by(&before));
        assert!(erasure(Some(&before)).is_outlived_by(&after));
        assert!(erasure(None).is_outlived_by(&after), "the channel was created since");
    }
}
