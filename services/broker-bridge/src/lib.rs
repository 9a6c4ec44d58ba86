//! Goch's log: it exists because of this service, and is read back through it.
//!
//! `topology` creates the log's stream, its consumer and the key-value buckets, and keeps them as
//! configured. `replay` reads a channel's events out of the log for those who missed some; the NATS
//! `endpoints` are its face. `webhooks` tells ticketing what the log says.

mod config;
mod ended_sweeper;
mod endpoints;
mod eraser;
mod metrics;
mod replay;
mod serve;
mod topology;
mod webhooks;

pub use config::BridgeConfig;
pub use serve::serve;

/// Asks other services for what the contract lists.
pub(crate) type ServiceClient =
    goch_contract::services::ServiceClient<goch_contract::services::callers::BrokerBridge>;
