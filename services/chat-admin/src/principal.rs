//! Who asks over REST, and what for.

use goch_contract::{Actor, Error, ErrorCode, TenantName};

use crate::credentials::{Scope, Scopes};

/// Who has logged in.
#[derive(Debug, Clone)]
pub(crate) struct Principal {
    /// The credential's name.
    pub(crate) actor: Actor,
    /// Whose channels and people are there for this one; all of them for whoever operates the installation.
    pub(crate) tenant: Option<TenantName>,
    pub(crate) scopes: Scopes,
}

impl Principal {
    /// Checks that this is what the credential is for.
    ///
    /// # Errors
    /// `forbidden`, naming the scope.
    pub(crate) fn expect(&self, scope: Scope) -> Result<(), Error> {
        if self.scopes.has(scope) {
            return Ok(());
        }
        let message = format!("this credential does not have the scope {}", scope.as_str());
        Err(Error::new(ErrorCode::Forbidden, message))
    }
}
