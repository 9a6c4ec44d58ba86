//! Who is one person: an account in all its channels, a guest in one channel alone.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{ChannelName, Uid};

/// What makes somebody of a uid one person.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PersonKind {
    /// The product's word: who comes with a token, was put in by ticketing, or is spoken as over REST. One person
    /// wherever the uid is an account's.
    #[default]
    Account,
    /// Who joined over the public face, under a uid of their own choice. One person in that channel.
    Guest,
}

impl PersonKind {
    /// The person of this kind who has the uid in a channel.
    #[must_use]
    pub fn person(self, channel: &ChannelName, uid: &Uid) -> Person {
        match self {
            Self::Account => Person::Account(uid.clone()),
            Self::Guest => Person::Guest(channel.clone(), uid.clone()),
        }
    }
}

/// One person, whose data is exported and erased as a whole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Person {
    /// The account of this uid, in all its channels.
    Account(Uid),
    /// The guest of this uid in one channel.
    Guest(ChannelName, Uid),
}

impl Person {
    /// The uid, which others may have, too.
    #[must_use]
    pub fn uid(&self) -> &Uid {
        match self {
            Self::Account(uid) | Self::Guest(_, uid) => uid,
        }
    }

    /// What makes them one person.
    #[must_use]
    pub fn kind(&self) -> PersonKind {
        match self {
            Self::Account(_) => PersonKind::Account,
            Self::Guest(..) => PersonKind::Guest,
        }
    }

    /// The one channel of a guest.
    #[must_use]
    pub fn channel(&self) -> Option<&ChannelName> {
        match self {
            Self::Account(_) => None,
            Self::Guest(channel, _) => Some(channel),
        }
    }
}

impl fmt::Display for Person {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(uid) => write!(formatter, "account {uid}"),
            Self::Guest(channel, uid) => write!(formatter, "guest {uid} of {channel}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_of_two_channels_and_an_account_are_three_people() {
        let uid = Uid::parse("ann").unwrap();
        let [one, other] = ["a", "b"].map(|name| ChannelName::parse(name).unwrap());
        let account = |channel| PersonKind::Account.person(channel, &uid);
        let guest = |channel| PersonKind::Guest.person(channel, &uid);
        assert_eq!(account(&one), account(&other));
        assert_ne!(guest(&one), guest(&other));
        assert_ne!(guest(&one), account(&one));
        assert_eq!((guest(&one).kind(), guest(&one).channel()), (PersonKind::Guest, Some(&one)));
        assert_eq!(serde_json::to_string(&guest(&one)).unwrap(), r#"{"guest":["a","ann"]}"#);
        assert_eq!(serde_json::to_string(&account(&one)).unwrap(), r#"{"account":"ann"}"#);
    }
}
