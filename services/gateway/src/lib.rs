//! Goch's edge: WebSockets of customers and agents, and the two REST calls a browser makes.
//!
//! Each thread of the HTTP server is a [`worker`] that shares nothing with the others: its own
//! sockets, rooms and NATS connection. To follow a message, read [`socket`], then [`room`].

mod authorize;
mod config;
mod http;
mod metrics;
mod revocations;
mod room;
mod serve;
mod socket;
mod worker;

pub use config::GatewayConfig;
pub use serve::serve;
