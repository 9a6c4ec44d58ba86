//! An account that may not use any channel.

use goch_contract::{Actor, Error, Uid, UnixMillis, ids::random_hex, rest::Suspension};
use serde::{Deserialize, Serialize};

use super::{CREATION_BYTES, Record};

/// An account that may not use any channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SuspensionRecord {
    pub(crate) uid: Uid,
    suspended_at: UnixMillis,
    /// Which credential asked for it.
    actor: Actor,
    creation: String,
}

impl SuspensionRecord {
    /// A suspension from now on.
    pub(crate) fn new(uid: Uid, actor: Actor) -> Result<Self, Error> {
        let creation = random_hex::<CREATION_BYTES>()?;
        Ok(Self { uid, suspended_at: UnixMillis::now(), actor, creation })
    }

    /// The suspension as ticketing sees it.
    pub(crate) fn into_rest(self) -> Suspension {
        Suspension { uid: self.uid, suspended_at: self.suspended_at }
    }
}

impl Record for SuspensionRecord {
    fn creation(&self) -> &str {
        &self.creation
    }
}
