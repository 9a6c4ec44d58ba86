//! A person whose data is being erased, and how far that is.

use std::collections::BTreeSet;

use goch_contract::{Actor, ChannelName, Error, Seq, Uid, ids::random_hex};
use serde::{Deserialize, Serialize};

use super::{CREATION_BYTES, Record};

/// A person whose data is being erased, and how far that is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ErasureRecord {
    pub(crate) uid: Uid,
    /// Which credential asked for it.
    pub(crate) actor: Actor,
    /// The log holds no event of the person up to here.
    pub(crate) through: Seq,
    /// What is being erased. Written down first: once the log has forgotten these events, nothing
    /// else tells which channels' copies have them.
    pub(crate) page: Option<ErasurePage>,
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
    /// An erasure that has not begun.
    pub(crate) fn new(uid: Uid, actor: Actor) -> Result<Self, Error> {
        let creation = random_hex::<CREATION_BYTES>()?;
        Ok(Self { uid, actor, through: Seq(0), page: None, creation })
    }
}

impl Record for ErasureRecord {
    fn creation(&self) -> &str {
        &self.creation
    }
}
