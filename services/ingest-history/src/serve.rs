//! The service from start to drained: connections, the consumer, and the endpoints.

use goch_chassis::{
    Chassis, StartError,
    endpoints::Endpoints,
    nats::{self, NatsMetrics},
    redis,
};
use goch_contract::services::Service;
use tokio::sync::watch;

use crate::{
    HistoryConfig,
    consumer::{self, Consumer},
    counter::LogCounter,
    endpoints,
    evictor::Evictor,
    filler::Filler,
    history::History,
    metrics::HistoryMetrics,
    positions::Positions,
    progress::Progress,
    store::Store,
};

/// Writes the log to Redis and answers requests until the end begins.
///
/// # Errors
/// When the end begins before the start is over, or NATS does not take the registration.
pub async fn serve(config: HistoryConfig, chassis: Chassis) -> Result<(), StartError> {
    let metrics = HistoryMetrics::register(&chassis);
    let nats = nats::connect(&chassis, "nats", &NatsMetrics::register(&chassis)).await?;
    let redis = redis::connect(&config.redis, &chassis.metrics, &chassis.shutdown)?;
    let bucket = nats.bucket(&chassis, &chassis.nats.subjects.positions_bucket()).await?;
    let opened = consumer::open(&chassis, &nats).await?;

    let store = Store::new(redis, &config);
    let broker = nats.services(&chassis);
    let (progress, progress_seen) =
        watch::channel(Progress::new(opened.generation, opened.expires));
    let history = History {
        store: store.clone(),
        filler: Filler::new(chassis.clone(), store.clone(), broker.clone(), metrics.clone()),
        positions: Positions::new(nats.client.clone(), bucket),
        counter: LogCounter::new(chassis.clone(), broker.clone()),
        broker,
        progress: progress_seen,
        metrics: metrics.clone(),
    };
    let evictor = Evictor {
        store: store.clone(),
        progress: history.progress.clone(),
        metrics: metrics.clone(),
    };
    chassis.shutdown.spawn_vital("evictor", evictor.run(chassis.shutdown.clone()));
    let consumer =
        Consumer { chassis: chassis.clone(), nats: nats.clone(), store, metrics, progress };
    chassis.shutdown.spawn_vital("consumer of the log", consumer.run(opened));

    let endpoints = Endpoints::register(&chassis, &nats.client, Service::History).await?;
    endpoints::serve(&endpoints, &history).await?;
    endpoints.announced().await?;
    chassis.health.require("started", || true);
    tracing::info!("serving");
    endpoints.until_shutdown().await;
    Ok(())
}
