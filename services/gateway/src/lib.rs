//! Goch's edge: WebSockets of customers and agents, and the two REST calls a browser makes.
//!
//! Each thread of the HTTP server is a [`worker`] that shares nothing with the others: its own
//! sockets, rooms and NATS connection. To follow a message, read [`socket`], then [`room`].

mod authorize;
mod config;
mod http;
mod metrics;
mod room;
mod serve;
mod socket;
mod worker;

pub use config::GatewayConfig;
pub use serve::serve;

/// What parses strangers' bytes, within reach of the fuzz targets.
#[doc(hidden)]
pub mod untrusted {
    pub use crate::{
        http::{connect::subscription_of, join::check},
        socket::incoming::{Assembler, Fault, Message},
    };
}
