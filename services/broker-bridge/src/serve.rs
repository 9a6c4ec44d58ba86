//! The service from start to drained: the connection, the log, and what is asked about it.

use goch_chassis::{
    Chassis, StartError,
    endpoints::Endpoints,
    nats::{self, NatsMetrics},
};
use goch_contract::services::Service;

use crate::{LogConfig, endpoints, metrics::BridgeMetrics, replay::Replay, topology::Topology};

/// Puts the log into place, then answers until the end begins.
///
/// # Errors
/// When NATS does not take the endpoints, or the end begins before the start is over.
pub async fn serve(config: LogConfig, chassis: Chassis) -> Result<(), StartError> {
    let metrics = BridgeMetrics::register(&chassis);
    let nats = nats::connect(&chassis, "nats", &NatsMetrics::register(&chassis)).await?;
    let topology = Topology::establish(&chassis, &nats, config, metrics.clone()).await?;
    chassis.shutdown.tasks().spawn(topology.keep());

    let replay = Replay::new(&chassis, &nats, metrics).await?;
    let endpoints = Endpoints::register(&chassis, &nats.client, Service::Broker).await?;
    endpoints::serve(&endpoints, &replay).await?;
    chassis.health.require("started", || true);
    tracing::info!("serving");
    endpoints.until_shutdown().await;
    Ok(())
}
