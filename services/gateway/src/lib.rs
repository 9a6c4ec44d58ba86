//! Goch's edge: WebSockets of customers and agents, and the two REST calls a browser makes.
//!
//! Each thread of the HTTP server is a [`worker`] with its own sockets, rooms and NATS connection:
//! nothing on a message's way is shared. To follow a message, read [`socket`], then [`room`].

mod authorize;
mod capacity;
mod config;
mod edge;
mod http;
mod metrics;
mod pages;
mod profile;
mod revocations;
mod room;
mod serve;
mod socket;
mod token;
mod worker;

pub use config::GatewayConfig;
pub use edge::{AllowedOrigins, EdgeConfig, TrustedProxies};
pub use serve::serve;
pub use token::{Audience, KeySource, TokenConfig};

/// Asks other services for what the contract lists.
pub(crate) type ServiceClient =
    goch_contract::services::ServiceClient<goch_contract::services::callers::Gateway>;

/// What parses strangers' bytes, within reach of the fuzz targets.
#[doc(hidden)]
pub mod untrusted {
    pub use crate::{
        http::{connect::subscription_of, join::check},
        socket::incoming::{Assembler, Fault, Message},
    };
}
