//! Goch's history: recent events and unread counts from Redis, read positions from their bucket.
//!
//! The [`consumer`] writes the log's events to Redis as they come; the [`store`] knows for each
//! channel whether what Redis has is whole; what it does not know is answered from the log, and the
//! [`filler`] makes it known for the next time. [`history`] puts the answers together.

mod config;
mod consumer;
mod counter;
mod endpoints;
mod evictor;
mod filler;
mod forget;
mod history;
mod metrics;
mod positions;
mod progress;
mod serve;
mod store;

pub use config::HistoryConfig;
pub use serve::serve;

/// Asks other services for what the contract lists.
pub(crate) type ServiceClient =
    goch_contract::services::ServiceClient<goch_contract::services::callers::IngestHistory>;
