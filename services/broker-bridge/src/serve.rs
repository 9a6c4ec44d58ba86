//! The service from start to drained: the connection, the log, what is asked about it, and webhooks.

use goch_chassis::{
    Chassis, StartError,
    endpoints::Endpoints,
    nats::{self, NatsMetrics},
};
use goch_contract::services::Service;

use crate::{
    BridgeConfig,
    ended_sweeper::EndedSweeper,
    endpoints,
    eraser::Eraser,
    metrics::BridgeMetrics,
    replay::Replay,
    topology::Topology,
    webhooks::{Manager, Webhooks},
};

/// Puts the log into place, then answers until the end begins.
///
/// # Errors
/// When NATS does not take the endpoints, or the end begins before the start is over.
pub async fn serve(config: BridgeConfig, chassis: Chassis) -> Result<(), StartError> {
    let metrics = BridgeMetrics::register(&chassis);
    let nats = nats::connect(&chassis, "nats", &NatsMetrics::register(&chassis)).await?;
    let topology = Topology::establish(&chassis, &nats, config.clone(), metrics.clone()).await?;
    chassis.shutdown.spawn_vital("topology of the log", topology.keep());

    let replay = Replay::new(&chassis, &nats, metrics).await?;
    let eraser = Eraser::new(&replay);
    let sweeper = EndedSweeper::new(&replay, &eraser, config.webhooks.keep_dead_letters);
    chassis
        .shutdown
        .spawn_vital("sweeper of what has ended", sweeper.run(chassis.shutdown.clone()));
    let webhooks = Webhooks::new(&chassis, &nats, &replay, config.webhooks).await?;
    let manager = Manager::new(&chassis, webhooks.clone());
    chassis.shutdown.spawn_vital("manager of webhooks", manager.run());
    let endpoints = Endpoints::register(&chassis, &nats.client, Service::Broker).await?;
    endpoints::serve(&endpoints, &replay, &eraser, &webhooks).await?;
    endpoints.announced().await?;
    chassis.health.require("started", || true);
    tracing::info!("serving");
    endpoints.until_shutdown().await;
    Ok(())
}
