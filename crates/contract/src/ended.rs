//! What has ended for good: a channel that is deleted, a person whose data is erased.
//!
//! Neither is an event of a channel, since what it was told in is gone. Each stands in the log's stream on a subject
//! of its own ([`crate::subjects::Subjects::ended_channel`]), so that it has a place among the channels' events, and is
//! kept for a limited time. It says no more than that it has happened.

use serde::{Deserialize, Serialize};

use crate::{
    ids::{ChannelName, TenantName, Uid, UnixMillis},
    person::Person,
};

/// What has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Ended {
    /// A channel is deleted, with everything of it.
    ChannelDeleted(ChannelDeleted),
    /// A person's data is erased.
    PersonErased(PersonErased),
}

impl Ended {
    /// The form in which it is stored.
    #[must_use]
    pub fn to_payload(&self) -> Vec<u8> {
        // Strings and integers only: serialization has no way to fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// A channel that is deleted: its name is free from about now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct ChannelDeleted {
    /// The channel.
    pub channel: ChannelName,
    /// When the deletion was done.
    pub time: UnixMillis,
}

/// A person whose data is erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct PersonErased {
    /// Who; nothing else is said of the person.
    pub uid: Uid,
    /// The one channel of a guest; null for an account.
    #[cfg_attr(feature = "schemas", schema(required))]
    pub channel: Option<ChannelName>,
    /// Whose account it was; null for an account of no tenant, and for a guest.
    #[cfg_attr(feature = "schemas", schema(required))]
    pub tenant: Option<TenantName>,
    /// When the erasure was done.
    pub time: UnixMillis,
}

impl PersonErased {
    /// Says that a person is erased.
    #[must_use]
    pub fn of(person: &Person, time: UnixMillis) -> Self {
        let tenant = match person {
            Person::Account(account) => account.tenant.clone(),
            Person::Guest(..) => None,
        };
        Self { uid: person.uid().clone(), channel: person.channel().cloned(), tenant, time }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_ended_has_its_golden_form() {
        let channel = ChannelName::parse("ticket-42").unwrap();
        let time = UnixMillis(1_700_000_000_123);
        let uid = Uid::parse("ann").unwrap();
        for (ended, golden) in [
            (
                Ended::ChannelDeleted(ChannelDeleted { channel, time }),
                r#"{"type":"channel_deleted","channel":"ticket-42","time":1700000000123}"#,
            ),
            (
                Ended::PersonErased(PersonErased { uid, channel: None, tenant: None, time }),
                r#"{"type":"person_erased","uid":"ann","channel":null,"tenant":null,"time":1700000000123}"#,
            ),
        ] {
            assert_eq!(String::from_utf8(ended.to_payload()).unwrap(), golden);
            assert_eq!(serde_json::from_str::<Ended>(golden).unwrap(), ended);
        }
    }
}
