//! What Goch's services promise each other and the people who use them.
//!
//! Wire types live here and nowhere else: names ([`ids`]), the log's events ([`event`]), WebSocket
//! frames ([`frame`]), presence ([`presence`]), REST bodies ([`rest`]), [`webhook`]s, error codes
//! ([`error`]), limits ([`limits`]), NATS subjects ([`subjects`]) and typed request/reply clients
//! ([`services`]). Services depend on this crate and never on each other.

pub mod error;
pub mod event;
#[cfg(test)]
mod fixtures;
pub mod frame;
pub mod ids;
pub mod limits;
pub mod presence;
pub mod rest;
mod roles;
#[cfg(feature = "schemas")]
pub mod schemas;
pub mod services;
pub mod subjects;
pub mod trace;
pub mod webhook;

pub use error::{Error, ErrorCode};
pub use ids::{
    Actor, ChannelName, MembershipId, MessageId, Role, Secret, SecretDigest, Seq, Uid, UnixMillis,
};
pub use roles::Roles;
