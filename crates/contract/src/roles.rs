//! The roles that an installation knows.

use std::{collections::BTreeSet, fmt};

use crate::{
    error::Error,
    ids::{InvalidName, Role},
};

/// The roles that ticketing may give, and those that only a token can. Those that Goch gives itself are always among
/// them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roles {
    known: BTreeSet<Role>,
    silent: BTreeSet<Role>,
}

/// Why words are no silent roles.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSilentRole {
    /// A word is no role's.
    #[error("a role {0}")]
    Name(#[from] InvalidName),
    /// A role is one of those that Goch gives itself, or is not known.
    #[error("{0} is none of those that ROLES adds")]
    Unknown(Role),
}

impl Default for Roles {
    fn default() -> Self {
        let known = [Role::guest(), Role::member(), Role::agent(), Role::system()].into();
        Self { known, silent: BTreeSet::new() }
    }
}

impl Roles {
    /// Parses comma-separated words; the roles that Goch gives itself need not be among them.
    ///
    /// # Errors
    /// Which rule a word breaks.
    pub fn parse(words: &str) -> Result<Self, InvalidName> {
        let mut roles = Self::default();
        for role in split(words) {
            roles.known.insert(role?);
        }
        Ok(roles)
    }

    /// The same roles, of which these comma-separated ones are silent: who comes with one by a token hears a channel
    /// without being a member.
    ///
    /// # Errors
    /// Which word is none of the roles that have been added.
    pub fn with_silent(mut self, words: &str) -> Result<Self, InvalidSilentRole> {
        let own = Self::default().known;
        for role in split(words) {
            let role = role?;
            if own.contains(&role) || !self.known.contains(&role) {
                return Err(InvalidSilentRole::Unknown(role));
            }
            self.silent.insert(role);
        }
        Ok(self)
    }

    /// Whether who has the role hears a channel without being a member.
    #[must_use]
    pub fn is_silent(&self, role: &Role) -> bool {
        self.silent.contains(role)
    }

    /// The role that `value` names, found in `field`.
    ///
    /// # Errors
    /// `bad_request` naming the field and the roles there are.
    pub fn find(&self, field: &'static str, value: &str) -> Result<Role, Error> {
        let role = self.known.get(value);
        role.cloned().ok_or_else(|| Error::bad_request(field, format!("{field} must be {self}")))
    }

    /// The role of a member that `value` names, found in `field`: none that is silent.
    ///
    /// # Errors
    /// `bad_request` naming the field, and the roles there are or why it is not this one.
    pub fn find_of_member(&self, field: &'static str, value: &str) -> Result<Role, Error> {
        let role = self.find(field, value)?;
        if self.is_silent(&role) {
            let reason =
                format!("{field} must not be {role}: who has it is no member (SILENT_ROLES)");
            return Err(Error::bad_request(field, reason));
        }
        Ok(role)
    }
}

fn split(words: &str) -> impl Iterator<Item = Result<Role, InvalidName>> {
    words.split(',').map(|word| Role::parse(word.trim()))
}

impl fmt::Display for Roles {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.known.iter().map(Role::as_str).collect();
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

    #[test]
    fn a_silent_role_is_one_that_was_added_and_is_no_members() {
        let roles = Roles::parse("supervisor,bot").unwrap().with_silent("supervisor").unwrap();
        let supervisor = roles.find("role", "supervisor").unwrap();
        assert!(roles.is_silent(&supervisor) && !roles.is_silent(&Role::agent()));
        let refused = roles.find_of_member("role", "supervisor").unwrap_err();
        assert_eq!(refused.field.as_deref(), Some("role"));
        assert!(refused.message.contains("SILENT_ROLES"), "{refused}");
        assert_eq!(roles.find_of_member("role", "bot").unwrap().as_str(), "bot");
        for words in ["agent", "guest", "boss", "bot,", ""] {
            assert!(roles.clone().with_silent(words).is_err(), "{words}");
        }
    }
}
