//! What is looked at while a soak run lasts.

use std::time::Duration;

use crate::{metrics::Metrics, system::System};

/// A moment of a run.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Since the beginning.
    pub at: Duration,
    /// Open sockets of the gateway.
    pub sockets: u64,
    /// Open rooms of all its workers.
    pub rooms: u64,
    /// What each program has in memory, in bytes.
    pub memory: Vec<(&'static str, u64)>,
}

/// Programs that are not ours: they store what they are given, so their memory is shown, not judged.
pub(super) const SERVERS: [&str; 2] = ["nats-server", "redis-server"];

impl Sample {
    pub(super) async fn take(system: &System, at: Duration) -> Self {
        let services =
            [system.gateway(), &system.chat_admin, &system.ingest_history, &system.broker_bridge];
        let services = services.map(|service| (service.binary(), service.memory()));
        let [nats, redis] = SERVERS;
        let servers = system.servers();
        let servers = [(nats, servers.nats.memory()), (redis, servers.redis.memory())];
        let memory = services.into_iter().chain(servers);
        let metrics = Metrics::of(system.gateway()).await;
        Self {
            at,
            sockets: metrics.sum("goch_sockets", ""),
            rooms: metrics.sum("goch_rooms", ""),
            memory: memory.map(|(name, bytes)| (name, bytes.unwrap_or_default())).collect(),
        }
    }
}
