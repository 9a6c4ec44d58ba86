//! Goch's channels and members.
//!
//! Their truth is two key-value buckets, their fast copy is in Redis: [`registry`] keeps both and
//! decides who may do what, [`lifecycle`] ends what is to end. Two faces ask it: the NATS [`endpoints`] that gateways call, and [`http`]
//! for the ticketing system.

mod announcer;
mod config;
mod credentials;
mod endpoints;
mod http;
mod lifecycle;
mod log;
mod memberships;
mod metrics;
mod presence;
mod principal;
mod record;
mod registry;
mod reserved;
mod revoker;
mod secret;
mod serve;
mod signaller;
mod suspensions;
mod tenants;
mod waiting;

pub use config::AdminConfig;
pub use serve::serve;

/// Asks other services for what the contract lists.
pub(crate) type ServiceClient =
    goch_contract::services::ServiceClient<goch_contract::services::callers::ChatAdmin>;
