//! Who is one person: an account in all channels of its tenant, a guest in one channel alone.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    ids::{ChannelName, TenantName, Uid},
    tenant::{ChannelScope, Tenants},
};

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

/// An account: one person in all channels of a tenant, or in all that are no tenant's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Account {
    /// Whose account it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantName>,
    /// Who.
    pub uid: Uid,
    /// The channels where the uid is this account's.
    #[serde(default)]
    pub channels: ChannelScope,
}

impl Account {
    /// The account as a key of a bucket. No guest's key looks like it.
    #[must_use]
    pub fn key(&self) -> String {
        match &self.tenant {
            Some(tenant) => format!("tenant.{tenant}.{}", self.uid.token()),
            None => self.uid.token().into_owned(),
        }
    }

    /// Whose account a key is, and who.
    #[must_use]
    pub fn of_key(key: &str) -> Option<(Option<TenantName>, Uid)> {
        let Some(rest) = key.strip_prefix("tenant.") else {
            return Some((None, Uid::of_token(key)?));
        };
        let (tenant, uid) = rest.split_once('.')?;
        Some((Some(TenantName::parse(tenant).ok()?), Uid::of_token(uid)?))
    }
}

impl fmt::Display for Account {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tenant {
            Some(tenant) => write!(formatter, "account {} of tenant {tenant}", self.uid),
            None => write!(formatter, "account {}", self.uid),
        }
    }
}

impl Tenants {
    /// The account of this uid of a tenant, or of those that are no tenant's.
    #[must_use]
    pub fn account(&self, tenant: Option<&TenantName>, uid: &Uid) -> Account {
        let channels = self.channels_of(tenant);
        Account { tenant: tenant.cloned(), uid: uid.clone(), channels }
    }

    /// The account that has this uid in a channel.
    #[must_use]
    pub fn account_in(&self, channel: &ChannelName, uid: &Uid) -> Account {
        self.account(self.of(channel), uid)
    }
}

/// One person, whose data is exported and erased as a whole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Person {
    /// An account, in all its channels.
    Account(Account),
    /// The guest of this uid in one channel.
    Guest(ChannelName, Uid),
}

impl Person {
    /// The uid, which others may have, too.
    #[must_use]
    pub fn uid(&self) -> &Uid {
        match self {
            Self::Account(account) => &account.uid,
            Self::Guest(_, uid) => uid,
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

    /// Whether what somebody of this uid and kind does in a channel is this person's doing.
    #[must_use]
    pub fn is_known_in(&self, channel: &ChannelName) -> bool {
        match self {
            Self::Account(account) => account.channels.has(channel),
            Self::Guest(own, _) => own == channel,
        }
    }

    /// Whether this is who has the uid in a channel, as an account or as a guest.
    #[must_use]
    pub fn is(&self, channel: &ChannelName, uid: &Uid, kind: PersonKind) -> bool {
        self.is_known_in(channel) && self.uid() == uid && self.kind() == kind
    }
}

impl fmt::Display for Person {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(account) => account.fmt(formatter),
            Self::Guest(channel, uid) => write!(formatter, "guest {uid} of {channel}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_of_two_channels_and_accounts_of_two_tenants_are_four_people() {
        let acme = TenantName::parse("acme").unwrap();
        let tenants = Tenants::new([(acme.clone(), "a".to_owned())]).unwrap();
        let uid = Uid::parse("ann").unwrap();
        let [one, other] = ["a", "b"].map(|name| ChannelName::parse(name).unwrap());
        let accounts = [&one, &other].map(|it| Person::Account(tenants.account_in(it, &uid)));
        let guests = [&one, &other].map(|it| Person::Guest(it.clone(), uid.clone()));
        let people: Vec<_> = accounts.iter().chain(&guests).collect();
        for (index, person) in people.iter().enumerate() {
            let is = |channel, kind| people[index].is(channel, &uid, kind);
            let found = [
                is(&one, PersonKind::Account),
                is(&other, PersonKind::Account),
                is(&one, PersonKind::Guest),
                is(&other, PersonKind::Guest),
            ];
            assert_eq!(found.iter().position(|is| *is), Some(index), "{person}");
            assert_eq!(found.iter().filter(|is| **is).count(), 1, "{person}");
            assert!(!person.is(&one, &Uid::parse("ben").unwrap(), person.kind()));
        }
        assert_eq!(tenants.account_in(&one, &uid), tenants.account(Some(&acme), &uid));
    }

    #[test]
    fn an_account_is_found_again_in_its_key() {
        let acme = TenantName::parse("acme").unwrap();
        let tenants = Tenants::new([(acme.clone(), "a".to_owned())]).unwrap();
        let uid = Uid::parse("a.b").unwrap();
        for (tenant, key) in [(None, "a=2Eb"), (Some(acme), "tenant.acme.a=2Eb")] {
            assert_eq!(tenants.account(tenant.as_ref(), &uid).key(), key);
            assert_eq!(Account::of_key(key), Some((tenant, uid.clone())));
        }
        for key in ["", "a.b", "tenant.acme", "tenant.a b.c"] {
            assert_eq!(Account::of_key(key), None, "{key}");
        }
    }
}
