//! The service from start to drained: connections, the registry, and its two faces.

use std::{
    future::ready,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix_http::{HttpService, error::DispatchError};
use actix_service::{ServiceFactoryExt as _, fn_service, map_config};
use actix_web::{
    App,
    dev::{AppConfig, Server},
    middleware::from_fn,
    rt::{self, net::TcpStream},
    web,
};
use goch_chassis::{
    Chassis, StartError,
    endpoints::Endpoints,
    http::{Guarded, HEAD_WITHIN, LINGER, Place, Places, limited_as, spawn_server},
    nats::{self, Nats, NatsMetrics},
    redis,
};
use goch_contract::{ids::random_hex, services::Service};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    AdminConfig,
    announcer::Announcer,
    credentials::Credentials,
    endpoints,
    http::{self, Description, Desk, Doorman},
    lifecycle::{Buckets, Lifecycle, finisher, sweeper::Sweeper},
    log::Log,
    memberships::Memberships,
    metrics::AdminMetrics,
    presence::Presence,
    record::Record,
    registry::{
        Registry,
        bucket::{self, Bucket},
        keeper::Keeper,
        projection::Projection,
        room::Room,
    },
    revoker::Revoker,
    signaller::Signaller,
    suspensions::Suspensions,
    waiting::Waiting,
};

/// Ticketing is one system: few connections, little work.
const HTTP_WORKERS: usize = 2;

/// Connections of one HTTP worker.
const CONNECTIONS_MAX: usize = 256;

/// How long an idle connection is kept.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// How long requests are still taken after the end has begun. Each answer then ends its connection, so
/// that clients which keep theirs open come over to another replica without meeting a closed one.
const HAND_OVER: Duration = Duration::from_secs(2);

/// What is left of the grace period for what comes after the last REST request.
const MARGIN: Duration = Duration::from_secs(2);

/// Serves ticketing and the gateways until the end begins and all requests are answered.
///
/// # Errors
/// When the address cannot be listened on, or the end begins before the start is over.
pub async fn serve(config: AdminConfig, chassis: Chassis) -> Result<(), StartError> {
    let metrics = AdminMetrics::register(&chassis);
    let nats = nats::connect(&chassis, "nats", &NatsMetrics::register(&chassis)).await?;
    let redis = redis::connect(&config.redis, &chassis.metrics, &chassis.shutdown)?;
    let subjects = &chassis.nats.subjects;
    let buckets = open_buckets(&chassis, &nats).await?;
    let (channels, members) = (Arc::clone(&buckets.channels), Arc::clone(&buckets.members));

    let process =
        random_hex::<8>().map_err(|error| StartError::because("naming this process", error))?;
    let projection = Projection::new(redis.clone(), &config.redis.prefix, &process);
    let log = Log::new(&chassis, &nats);
    let revoker = Revoker::new(nats.client.clone(), subjects.clone());
    let announcer = Announcer::new(
        log.clone(),
        Arc::clone(&channels),
        Arc::clone(&members),
        revoker.clone(),
        metrics.announcements_waiting.clone(),
    );
    let unfinished = metrics.unfinished.clone();
    let unfinished = Arc::new(Waiting::new(finisher::PATIENCE, finisher::SPREAD, unfinished));
    let room = Room::default();
    let memberships = Memberships {
        channels: Arc::clone(&channels),
        members: Arc::clone(&members),
        projection: projection.clone(),
        announcer: announcer.clone(),
        suspensions: Suspensions::new(Arc::clone(&buckets.suspensions), revoker.clone()),
        tenants: chassis.tenants.clone(),
        revoker,
        room: room.clone(),
        metrics: metrics.clone(),
    };
    let lifecycle = Lifecycle::new(
        &chassis,
        &nats,
        buckets.clone(),
        memberships.clone(),
        Arc::clone(&unfinished),
    );
    let sweeper = Sweeper::new(buckets, projection.clone(), config.keep_markers);
    let registry = Registry::new(memberships.clone(), Arc::clone(&config.rules));
    let shutdown = &chassis.shutdown;
    let reread = || {
        let projection = projection.clone();
        move || projection.ask_for_build()
    };
    shutdown.spawn_vital("announcer", announcer.clone().run(shutdown.clone(), reread()));
    shutdown.spawn_vital("finisher", lifecycle.clone().run(shutdown.clone(), reread()));
    shutdown.spawn_vital("sweeper", sweeper.clone().run(shutdown.clone(), reread()));
    let measuring = room.run(Arc::clone(&channels), Arc::clone(&members), shutdown.clone());
    shutdown.spawn_vital("room in the buckets", measuring);
    let keeper = Keeper {
        chassis: chassis.clone(),
        nats: nats.clone(),
        redis,
        channels,
        members,
        projection,
        announcer,
        unfinished,
        sweeper,
        metrics: metrics.clone(),
    };
    chassis.shutdown.spawn_vital("keeper of the copy in Redis", keeper.run());

    let endpoints = Endpoints::register(&chassis, &nats.client, Service::Admin).await?;
    let presence = Presence::new(nats.client.clone(), subjects.clone());
    endpoints::serve(&endpoints, &registry, &lifecycle, &presence).await?;
    endpoints.announced().await?;
    let desk = Desk {
        registry,
        lifecycle,
        memberships,
        rules: Arc::clone(&config.rules),
        roles: config.roles.clone(),
        services: nats.services(&chassis),
        log,
        presence,
        signaller: Signaller::new(nats.client.clone(), subjects.clone()),
        limits: config.limits.clone(),
    };
    let stopping = CancellationToken::new();
    let server = rest(&config, &chassis, desk, metrics, &stopping)?;
    let handle = server.handle();
    let serving = spawn_server("HTTP server", server, &chassis.shutdown);
    chassis.health.require("started", || true);
    tracing::info!(address = %config.listen_address, "serving");

    endpoints.until_shutdown().await;
    sleep(HAND_OVER.min(chassis.shutdown.time_left())).await;
    stopping.cancel();
    handle.stop(true).await;
    let _ = serving.await;
    Ok(())
}

async fn open_buckets(chassis: &Chassis, nats: &Nats) -> Result<Buckets, StartError> {
    let subjects = &chassis.nats.subjects;
    Ok(Buckets {
        channels: open_bucket(chassis, nats, &subjects.channels_bucket()).await?,
        members: open_bucket(chassis, nats, &subjects.members_bucket()).await?,
        erasures: open_bucket(chassis, nats, &subjects.erasures_bucket()).await?,
        suspensions: open_bucket(chassis, nats, &subjects.suspensions_bucket()).await?,
        deletions: open_bucket(chassis, nats, &subjects.deletions_bucket()).await?,
    })
}

async fn open_bucket<R: Record>(
    chassis: &Chassis,
    nats: &Nats,
    name: &str,
) -> Result<Arc<Bucket<R>>, StartError> {
    let store = nats.bucket(chassis, name).await?;
    Ok(Arc::new(Bucket::new(nats.client.clone(), store, bucket::RULES)))
}

/// The HTTP server of ticketing.
fn rest(
    config: &AdminConfig,
    chassis: &Chassis,
    desk: Desk,
    metrics: AdminMetrics,
    stopping: &CancellationToken,
) -> Result<Server, StartError> {
    let body_bytes = config.limits.body_bytes;
    let credentials = Credentials::keep(config.credentials.clone(), &chassis.shutdown);
    let doorman = web::Data::new(Doorman::new(credentials, metrics.clone()));
    let description = web::Data::new(Description::new(&config.limits));
    let desk = web::Data::new(desk);
    let metrics = web::Data::new(metrics);
    let (connections, connections_max) = (Arc::<Places>::default(), config.connections_max);
    let stopping = stopping.clone();
    let (health, shutdown) = (chassis.health.clone(), chassis.shutdown.clone());
    let workers = Arc::<AtomicUsize>::default();
    // Called once on each worker's thread.
    let service = move || {
        let number = workers.fetch_add(1, Ordering::Relaxed);
        let heartbeat = health.heartbeat(format!("worker {number}"));
        rt::spawn(shutdown.vital(format!("heartbeat of worker {number}"), heartbeat));
        let (connections, stopped) = (Arc::clone(&connections), stopping.clone());
        let admit = fn_service(move |stream: TcpStream| {
            let peer = stream.peer_addr().ok();
            let place = peer.map_or(Some(Place::unlimited()), |peer| {
                connections.take(limited_as(peer.ip()), connections_max)
            });
            let refused = || DispatchError::Io(io::ErrorKind::ConnectionRefused.into());
            let admitted = place.map(|place| (Guarded::new(stream, place), peer));
            ready(admitted.ok_or_else(refused))
        });
        let app = App::new()
            .app_data(doorman.clone())
            .app_data(desk.clone())
            .app_data(description.clone())
            .app_data(metrics.clone())
            .app_data(web::Data::new(shutdown.clone()))
            .wrap(from_fn(http::observe))
            .configure(|app| http::configure(app, body_bytes));
        let served = HttpService::build()
            .client_request_timeout(HEAD_WITHIN)
            .client_disconnect_timeout(LINGER)
            .keep_alive(KEEP_ALIVE)
            .graceful_shutdown_signal(move || stopped.clone().cancelled_owned())
            .h1(map_config(app, |()| AppConfig::default()));
        admit.and_then(served)
    };
    let server = Server::build()
        .workers(HTTP_WORKERS)
        .max_concurrent_connections(CONNECTIONS_MAX)
        .disable_signals()
        .shutdown_timeout(chassis.shutdown.time_left().saturating_sub(HAND_OVER + MARGIN).as_secs())
        .bind("chat-admin", config.listen_address, service)
        .map_err(|error| {
            let doing = format!("listening on LISTEN_ADDRESS {}", config.listen_address);
            StartError::because(doing, error)
        })?;
    Ok(server.run())
}
