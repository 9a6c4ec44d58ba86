//! What a client shows of itself: uid and secret, or a token.

use super::parse::missing;
use crate::{
    error::Error,
    ids::{Secret, Uid},
    limits::Limits,
};

/// What proves who subscribes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A member and the secret that joining gave.
    Member {
        /// Who it is.
        uid: Uid,
        /// The member's secret.
        secret: Secret,
    },
    /// A signed token, which says itself who it is.
    Token(Secret),
}

impl Credentials {
    /// Reads what a frame, a query or a list of channels names: a token, or else uid and secret.
    ///
    /// # Errors
    /// Names the field that is missing, breaks a limit, or is one too many.
    pub fn parse(
        uid: Option<&str>,
        secret: Option<&str>,
        token: Option<&str>,
        limits: &Limits,
    ) -> Result<Self, Error> {
        let Some(token) = token else {
            return Ok(Self::Member {
                uid: limits.parse_uid("uid", uid.ok_or_else(|| missing("uid"))?)?,
                secret: limits.parse_secret("secret", secret.ok_or_else(|| missing("secret"))?)?,
            });
        };
        if uid.is_some() || secret.is_some() {
            let message = "a token stands in place of uid and secret, not beside them";
            return Err(Error::bad_request("token", message));
        }
        Limits::parse_token("token", token).map(Self::Token)
    }
}
