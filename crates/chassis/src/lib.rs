//! What every Goch service stands on, and nothing that one of them does alone.
//!
//! [`run()`] reads the configuration, starts telemetry and the health port, hands the service a
//! [`Chassis`] and waits for its end. The rest are the parts a service builds on: connections to
//! [`nats`] and [`redis`], with their certificates ([`tls`]), records in a [`bucket`], request
//! [`endpoints`], [`metrics`], [`health`], [`http`] connections and [`shutdown`], with the tasks that must not end before.

pub mod bucket;
mod cgroup;
pub mod config;
mod deadline;
mod descriptors;
pub mod endpoints;
#[cfg(debug_assertions)]
mod faults;
pub mod health;
pub mod http;
pub mod metrics;
pub mod nats;
pub mod problem;
pub mod redis;
mod run;
pub mod shutdown;
mod telemetry;
pub mod tls;
mod vital;

pub use run::{Chassis, StartError, run};

/// Services allocate small and short-lived things by the million; the system's allocator took a
/// third of the gateway's time for messages on their way to the log. Without huge pages, which would make
/// the unused halves of a socket's buffers resident.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
