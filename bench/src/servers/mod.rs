//! What is measured: started here, watched, and stopped when it is dropped.

pub mod goch;
pub mod host;
pub mod peers;
pub mod process;
pub mod usage;

use std::net::SocketAddr;

use crate::{client::Dialect, servers::usage::Watched};

/// A server, or several that share the work, as a scenario sees it.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its name in the tables.
    pub name: String,
    /// How it speaks.
    pub dialect: Dialect,
    /// Where clients connect, in turn.
    pub addresses: Vec<SocketAddr>,
    /// Its processes. Those with the role [`usage::FRONT`] hold the sockets.
    pub processes: Watched,
}
