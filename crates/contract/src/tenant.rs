//! Tenants: the customers of one installation. Each has the channels whose names begin with its prefix, and whoever is
//! an account there is another person than the account of the same uid elsewhere.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::{ChannelName, TenantName};

/// The longest prefix, in bytes: it leaves room for the ticket.
const PREFIX_CEILING: usize = 64;

/// The tenants of an installation; none in most. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tenants(Arc<[Tenant]>);

#[derive(Debug, PartialEq, Eq)]
struct Tenant {
    name: TenantName,
    prefix: String,
}

/// Why tenants cannot be told apart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTenants {
    /// No channel's name begins so.
    #[error(
        "the prefix of {0} must have 1 to {PREFIX_CEILING} printable ASCII characters other than the space"
    )]
    Prefix(TenantName),
    /// Some channels would be of both.
    #[error("the prefix of {0} begins with that of {1}")]
    Overlap(TenantName, TenantName),
}

impl Tenants {
    /// Tenants with the prefixes of their channels' names.
    ///
    /// # Errors
    /// [`InvalidTenants`] unless each prefix can begin a name and none begins with another one.
    pub fn new(
        tenants: impl IntoIterator<Item = (TenantName, String)>,
    ) -> Result<Self, InvalidTenants> {
        let tenants: Vec<_> =
            tenants.into_iter().map(|(name, prefix)| Tenant { name, prefix }).collect();
        for (index, tenant) in tenants.iter().enumerate() {
            let is_beginning = ChannelName::parse(&format!("{}x", tenant.prefix)).is_ok();
            if tenant.prefix.is_empty() || tenant.prefix.len() > PREFIX_CEILING || !is_beginning {
                return Err(InvalidTenants::Prefix(tenant.name.clone()));
            }
            let others = tenants.iter().enumerate().filter(|(other, _)| *other != index);
            for (_, other) in others {
                if tenant.prefix.starts_with(&other.prefix) {
                    return Err(InvalidTenants::Overlap(tenant.name.clone(), other.name.clone()));
                }
            }
        }
        Ok(Self(tenants.into()))
    }

    /// Whether there is a tenant of this name.
    #[must_use]
    pub fn has(&self, name: &TenantName) -> bool {
        self.0.iter().any(|tenant| tenant.name == *name)
    }

    /// Whose channel this is; none's if its name begins with no tenant's prefix.
    #[must_use]
    pub fn of(&self, channel: &ChannelName) -> Option<&TenantName> {
        let mut all = self.0.iter();
        let tenant = all.find(|tenant| channel.as_str().starts_with(&tenant.prefix));
        tenant.map(|tenant| &tenant.name)
    }

    /// The channels of a tenant, or those that are no tenant's.
    #[must_use]
    pub fn channels_of(&self, tenant: Option<&TenantName>) -> ChannelScope {
        let Some(name) = tenant else {
            let except = self.0.iter().map(|tenant| tenant.prefix.clone()).collect();
            return ChannelScope { begins_with: String::new(), except };
        };
        let tenant = self.0.iter().find(|tenant| tenant.name == *name);
        tenant.map_or_else(ChannelScope::nothing, |tenant| ChannelScope {
            begins_with: tenant.prefix.clone(),
            except: Vec::new(),
        })
    }
}

/// Some of an installation's channels, by how their names begin. The default is all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ChannelScope {
    begins_with: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    except: Vec<String>,
}

impl ChannelScope {
    /// No channel's name begins with a space.
    fn nothing() -> Self {
        Self { begins_with: " ".to_owned(), except: Vec::new() }
    }

    /// Whether the channel is one of these.
    #[must_use]
    pub fn has(&self, channel: &ChannelName) -> bool {
        let begins = |prefix: &String| channel.as_str().starts_with(prefix.as_str());
        begins(&self.begins_with) && !self.except.iter().any(begins)
    }

    /// Whether all channels are.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.begins_with.is_empty() && self.except.is_empty()
    }

    /// What all names begin with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.begins_with
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(name: &str) -> TenantName {
        TenantName::parse(name).unwrap()
    }

    fn tenants(prefixes: &[(&str, &str)]) -> Result<Tenants, InvalidTenants> {
        Tenants::new(prefixes.iter().map(|(tenant, prefix)| (name(tenant), (*prefix).to_owned())))
    }

    #[test]
    fn a_channel_is_of_the_tenant_whose_prefix_begins_its_name() {
        let tenants = tenants(&[("acme", "acme."), ("beta", "b:")]).unwrap();
        let of = |channel: &str| {
            let tenant = tenants.of(&ChannelName::parse(channel).unwrap());
            tenant.map(ToString::to_string)
        };
        assert_eq!(of("acme.ticket-1").as_deref(), Some("acme"));
        assert_eq!(of("b:1").as_deref(), Some("beta"));
        for channel in ["acme", "Acme.1", "ticket-1", "xacme.1"] {
            assert_eq!(of(channel), None);
        }
    }

    #[test]
    fn prefixes_that_overlap_or_begin_no_name_are_refused() {
        let overlap = InvalidTenants::Overlap(name("b"), name("a"));
        assert_eq!(tenants(&[("a", "x"), ("b", "xy")]), Err(overlap.clone()));
        assert_eq!(tenants(&[("b", "xy"), ("a", "x")]), Err(overlap));
        assert!(tenants(&[("a", "x"), ("b", "x")]).is_err());
        for prefix in ["", "a b", "\n", "\u{e4}", &"x".repeat(65)] {
            assert_eq!(tenants(&[("a", prefix)]), Err(InvalidTenants::Prefix(name("a"))));
        }
        assert!(tenants(&[("a", "."), ("b", &"x".repeat(64))]).is_ok());
    }

    proptest! {
        #[test]
        fn each_channel_is_in_the_scope_of_its_tenant_and_in_no_other(channel in "[ab.:]{1,6}") {
            let tenants = tenants(&[("a", "a."), ("b", "b"), ("c", ":")]).unwrap();
            let Ok(channel) = ChannelName::parse(&channel) else { return Ok(()) };
            for tenant in [None, Some(name("a")), Some(name("b")), Some(name("c"))] {
                let scope = tenants.channels_of(tenant.as_ref());
                prop_assert_eq!(scope.has(&channel), tenants.of(&channel) == tenant.as_ref());
            }
            prop_assert!(!tenants.channels_of(Some(&name("other"))).has(&channel));
            prop_assert!(ChannelScope::default().has(&channel));
        }
    }
}
