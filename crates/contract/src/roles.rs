//! The roles that an installation knows.

use std::{collections::BTreeSet, fmt};

use crate::{
    error::Error,
    ids::{InvalidName, Role},
};

/// The roles that ticketing may give. Those that Goch gives itself are always among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roles(BTreeSet<Role>);

impl Default for Roles {
    fn default() -> Self {
        Self([Role::guest(), Role::member(), Role::agent(), Role::system()].into())
    }
}

impl Roles {
    /// Parses comma-separated words; the roles that Goch gives itself need not be among them.
    ///
    /// # Errors
    /// Which rule a word breaks.
    pub fn parse(words: &str) -> Result<Self, InvalidName> {
        let given = words.split(',').map(|word| Role::parse(word.trim()));
        let mut roles = Self::default();
        for role in given {
            roles.0.insert(role?);
        }
        Ok(roles)
    }

    /// The role that `value` names, found in `field`.
    ///
    /// # Errors
    /// `bad_request` naming the field and the roles there are.
    pub fn find(&self, field: &'static str, value: &str) -> Result<Role, Error> {
        let role = self.0.get(value);
        role.cloned().ok_or_else(|| Error::bad_request(field, format!("{field} must be {self}")))
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.0.iter().map(Role::as_str).collect();
        write!(formatter, "one of {}", words.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_roles_that_goch_gives_are_always_known() {
        let roles = Roles::parse("supervisor, bot").unwrap();
        for role in ["guest", "member", "agent", "system", "supervisor", "bot"] {
            assert_eq!(roles.find("role", role).unwrap().as_str(), role);
        }
        let error = roles.find("role", "boss").unwrap_err();
        assert_eq!(error.field.as_deref(), Some("role"));
        assert!(error.message.contains("supervisor"));
        assert!(Roles::parse("supervisor,Boss").is_err());
        assert!(Roles::parse("supervisor,").is_err());
    }
}
