//! What Goch's services promise each other and the people who use them.
//!
//! Wire types live here and nowhere else: names ([`ids`]), the log's events ([`event`]) and what has [`ended`], WebSocket
//! frames ([`frame`]), who is one [`person`], [`tenant`]s, presence ([`presence`]), REST bodies ([`rest`]), [`webhook`]s,
//! error codes ([`error`]), limits ([`limits`]), NATS subjects ([`subjects`]) and typed request/reply clients
//! ([`services`]). Services depend on this crate and never on each other.

pub mod ended;
pub mod error;
pub mod event;
#[cfg(test)]
mod fixtures;
pub mod frame;
pub mod ids;
pub mod limits;
pub mod person;
pub mod presence;
pub mod rest;
mod roles;
#[cfg(feature = "schemas")]
pub mod schemas;
pub mod services;
pub mod subjects;
pub mod tenant;
pub mod trace;
pub mod webhook;

pub use error::{Error, ErrorCode};
pub use ids::{
    Actor, ChannelName, MembershipId, MessageId, Role, Secret, SecretDigest, Seq, TenantName, Uid,
    UnixMillis,
};
pub use person::{Account, Person, PersonKind};
pub use roles::{InvalidSilentRole, Roles};
pub use tenant::{ChannelScope, Tenants};
