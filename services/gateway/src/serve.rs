//! The HTTP server and its workers, from start to drained.

use std::{
    future::ready,
    io,
    num::NonZero,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix_http::{Extensions, HttpService, error::DispatchError};
use actix_service::{
    Service as _, ServiceFactoryExt as _, apply_fn_factory, fn_service, map_config,
};
use actix_web::{
    App,
    dev::{AppConfig, Server},
    middleware::from_fn,
    rt::net::TcpStream,
    web,
};
use futures_util::FutureExt as _;
use goch_chassis::{
    Chassis, StartError,
    http::{Guarded, HEAD_WITHIN, LINGER, Place, spawn_server, within_deadline},
    nats::{self, NatsMetrics},
};
use socket2::SockRef;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    GatewayConfig,
    authorize::Authorizer,
    capacity::{Capacity, Surroundings},
    edge::Edge,
    http::{
        self, Assets, Descriptions,
        upgrade::{self, Handover},
    },
    metrics::GatewayMetrics,
    socket::budget::Budget,
    token::TenantKeyrings,
    worker::{Shared, Worker},
};

/// How long written bytes may stay unacknowledged before the kernel ends the connection: a client
/// that stopped reading, or vanished without a word, does not hold its memory for longer. Linux alone can be told
/// so; elsewhere such a client is noticed by its silence, within a minute (`socket/registry.rs`).
#[cfg(target_os = "linux")]
const PEER_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes that the kernel takes of a connection whose client does not read; it reserves about twice as
/// much. By itself it would take up to 4 MiB, which count as the container's memory.
const SEND_BUFFER: usize = 64 * 1024;

/// How long REST requests may take to finish after the sockets are drained, in seconds.
const REST_DRAIN_SECONDS: u64 = 5;

/// Serves clients until the end begins and every socket is drained.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn serve(config: GatewayConfig, chassis: Chassis) -> Result<(), StartError> {
    let capacity = capacity(&config, &chassis);
    let workers = capacity.workers.value;
    let nats_metrics = NatsMetrics::register(&chassis);
    // Waits here, where signals are heard, rather than in the workers, whose start blocks.
    let first = nats::connect(&chassis, "nats", &nats_metrics).await?;
    let metrics = GatewayMetrics::register(&chassis);
    let edge = Arc::new(Edge::new(config.edge.clone(), metrics.limited.clone()));
    let cached = metrics.authorizations_cached.clone();
    let sockets = Arc::new(AtomicUsize::new(0));
    let shared = Shared {
        authorizer: Authorizer::new(config.authorization_cache, cached, chassis.shutdown.clone()),
        positions: Arc::default(),
        metrics,
        edge: Arc::clone(&edge),
        keyrings: TenantKeyrings::start(&config, &chassis)?,
        nats_metrics,
        budget: Budget::new(capacity.outbox_total_bytes.value, Arc::clone(&sockets)),
        sockets,
        sockets_max: capacity.sockets.value,
        workers_started: Arc::default(),
        workers_ready: Arc::default(),
        draining: TaskTracker::new(),
        chassis: chassis.clone(),
        config: config.clone(),
    };
    let draining = shared.draining.clone();
    let workers_ready = Arc::clone(&shared.workers_ready);
    let limits = config.limits.clone();
    let descriptions = web::Data::new(Descriptions::new(&limits));
    let assets = web::Data::new(Assets::new());
    let stopping = CancellationToken::new();
    let stopped = stopping.clone();
    let admitting = Arc::clone(&edge);
    let service = move || {
        let worker = Worker::start(shared.clone()).map(|worker| worker.map_err(Rc::new));
        let worker = worker.boxed_local().shared();
        let app = || {
            let worker = worker.clone();
            let app = App::new()
                .data_factory(move || worker.clone())
                .app_data(descriptions.clone())
                .app_data(assets.clone())
                .wrap(from_fn(within_deadline))
                .configure(|app| http::configure(app, &limits, &edge));
            map_config(app, |()| AppConfig::default())
        };
        // The same routes once more, for requests that ask for a WebSocket.
        let upgrades = apply_fn_factory(app(), |(request, framed), app: &_| {
            let handover = Handover::offer(&request);
            upgrade::answer(handover, framed, app.call(request))
        });
        let stopped = stopped.clone();
        let edge = Arc::clone(&admitting);
        let admit = fn_service(move |stream: TcpStream| {
            let peer = stream.peer_addr().ok();
            let place = peer.map_or(Some(Place::unlimited()), |peer| edge.admit(peer.ip()));
            let refused = || DispatchError::Io(io::ErrorKind::ConnectionRefused.into());
            let admitted = place.map(|place| (Guarded::new(stream, place), peer));
            ready(admitted.ok_or_else(refused))
        });
        let served = HttpService::build()
            .client_request_timeout(HEAD_WITHIN)
            .client_disconnect_timeout(LINGER)
            .graceful_shutdown_signal(move || stopped.clone().cancelled_owned())
            .on_connect_ext(tune)
            .upgrade(upgrades)
            .h1(app());
        admit.and_then(served)
    };
    let server = Server::build()
        .workers(workers)
        // Of each worker. Sockets are bounded where they are registered.
        .max_concurrent_connections(capacity.http.div_ceil(workers))
        .disable_signals()
        .shutdown_timeout(REST_DRAIN_SECONDS)
        .bind("gateway", config.listen_address, service)
        .map_err(|error| {
            let doing = format!("listening on LISTEN_ADDRESS {}", config.listen_address);
            StartError::because(doing, error)
        })?
        .run();
    let handle = server.handle();
    let serving = spawn_server("HTTP server", server, &chassis.shutdown);
    chassis.health.require("started", move || workers_ready.load(Ordering::Relaxed) >= workers);
    tracing::info!(address = %config.listen_address, "serving");

    chassis.shutdown.begun().await;
    draining.close();
    // A margin within the grace period is left for what comes after.
    let patience =
        chassis.shutdown.time_left().saturating_sub(Duration::from_secs(REST_DRAIN_SECONDS));
    if tokio::time::timeout(patience, draining.wait()).await.is_err() {
        tracing::warn!("some sockets did not close in time and are cut");
    }
    stopping.cancel();
    handle.stop(true).await;
    let _ = serving.await;
    drop(first);
    Ok(())
}

/// How large this gateway is, which it says.
fn capacity(config: &GatewayConfig, chassis: &Chassis) -> Capacity {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let (memory, open_files) = (chassis.memory_limit, chassis.open_files);
    let capacity = Capacity::of(config, Surroundings { cores, memory, open_files });
    let Capacity { workers, sockets, http, outbox_total_bytes } = capacity;
    tracing::info!(
        workers = workers.value,
        workers_from = workers.from,
        sockets = sockets.value,
        sockets_from = sockets.from,
        http,
        outbox_total_bytes = outbox_total_bytes.value,
        outbox_total_bytes_from = outbox_total_bytes.from,
        cores,
        memory,
        open_files,
        "size"
    );
    if sockets.from == "open files" {
        let sockets = sockets.value;
        tracing::warn!(open_files, sockets, "the limit of open files allows no more sockets");
    }
    capacity
}

/// Sets what every connection needs from the kernel.
fn tune(connection: &Guarded, of_connection: &mut Extensions) {
    let socket = SockRef::from(connection.stream());
    // No failure harms more than latency, the time until a dead peer is noticed, and memory.
    let _ = socket.set_tcp_nodelay(true);
    limit_unacknowledged(&socket);
    let _ = socket.set_send_buffer_size(SEND_BUFFER);
    of_connection.insert(Handover::default());
}

/// Has the kernel end a connection whose peer confirms nothing, after [`PEER_TIMEOUT`].
#[cfg(target_os = "linux")]
#[expect(clippy::disallowed_methods, reason = "this is compiled for Linux only")]
fn limit_unacknowledged(socket: &SockRef<'_>) {
    let _ = socket.set_tcp_user_timeout(Some(PEER_TIMEOUT));
}

/// Nothing: only Linux has such a limit.
#[cfg(not(target_os = "linux"))]
fn limit_unacknowledged(_: &SockRef<'_>) {}
