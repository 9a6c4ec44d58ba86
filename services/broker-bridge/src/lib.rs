//! Goch's log: it exists because of this service, and is read back through it.
//!
//! `topology` creates the log's stream, its consumer and the key-value buckets, and keeps them as
//! configured. `replay` reads a channel's events out of the log for those who missed some; the NATS
//! `endpoints` are its face.

mod config;
mod endpoints;
mod metrics;
mod replay;
mod serve;
mod topology;

pub use config::LogConfig;
pub use serve::serve;
