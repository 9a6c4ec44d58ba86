//! One thread of the gateway, with everything it owns.
//!
//! Workers share nothing but counters: a room that has sockets on two workers exists twice, and each
//! has its own NATS connection. So nothing on a message's way is locked.

use std::{
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use actix_web::rt;
use async_nats::{Client, jetstream};
use goch_chassis::{
    Chassis, StartError,
    nats::{self, Nats, NatsMetrics},
};
use goch_contract::{services::ServiceClient, subjects::Subjects};
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

use crate::{
    GatewayConfig,
    authorize::Authorizer,
    edge::Edge,
    metrics::GatewayMetrics,
    room::{RoomContext, Rooms},
    socket::Sockets,
    token::{Keyring, Tokens},
};

/// How often a worker looks after its sockets and rooms.
const TICK: Duration = Duration::from_secs(1);

/// What all workers of a process share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) chassis: Chassis,
    pub(crate) config: GatewayConfig,
    pub(crate) metrics: GatewayMetrics,
    pub(crate) nats_metrics: NatsMetrics,
    pub(crate) edge: Arc<Edge>,
    pub(crate) keyring: Keyring,
    pub(crate) sockets: Arc<AtomicUsize>,
    pub(crate) workers_started: Arc<AtomicUsize>,
    /// Workers that still have sockets to drain.
    pub(crate) draining: TaskTracker,
}

/// See the module.
pub(crate) struct Worker {
    pub(crate) config: GatewayConfig,
    pub(crate) client: Client,
    pub(crate) jetstream: jetstream::Context,
    pub(crate) subjects: Subjects,
    pub(crate) services: ServiceClient,
    pub(crate) authorizer: Authorizer,
    pub(crate) tokens: Tokens,
    pub(crate) edge: Arc<Edge>,
    pub(crate) rooms: Rc<Rooms>,
    pub(crate) sockets: Rc<Sockets>,
    pub(crate) metrics: GatewayMetrics,
    chassis: Chassis,
}

impl Worker {
    /// Starts a worker on the present thread.
    pub(crate) async fn start(shared: Shared) -> Result<Rc<Self>, StartError> {
        // Before anything is awaited, so that a shutdown cannot overlook this worker.
        let undrained = shared.draining.token();
        let number = shared.workers_started.fetch_add(1, Ordering::Relaxed);
        let chassis = shared.chassis;
        let nats = nats::connect(&chassis, &format!("nats-{number}"), &shared.nats_metrics).await?;
        let services = nats.services(&chassis);
        let subjects = chassis.nats.subjects.clone();
        let metrics = shared.metrics;
        let rooms = Rooms::new(RoomContext {
            client: nats.client.clone(),
            subjects: subjects.clone(),
            services: services.clone(),
            metrics: metrics.clone(),
            linger: shared.config.room_linger,
            rooms_max: shared.config.rooms_max,
        });
        let authorizer = Authorizer::new(
            services.clone(),
            shared.config.authorization_cache,
            metrics.authorizations_cached.clone(),
        );
        let tokens = Tokens::new(shared.keyring, &shared.config.tokens, &shared.config.limits);
        let worker = Rc::new(Self {
            sockets: Sockets::new(shared.sockets, &shared.config, metrics.clone()),
            config: shared.config,
            client: nats.client.clone(),
            jetstream: nats.jetstream(),
            subjects,
            services,
            authorizer,
            tokens,
            edge: shared.edge,
            rooms,
            metrics,
            chassis,
        });
        rt::spawn(Rc::clone(&worker).look_after());
        rt::spawn(Rc::clone(&worker).check_rooms());
        rt::spawn(Rc::clone(&worker).mend(nats));
        rt::spawn(Rc::clone(&worker).drain(undrained));
        Ok(worker)
    }

    /// Whether no more sockets are taken.
    pub(crate) fn is_draining(&self) -> bool {
        self.chassis.shutdown.has_begun()
    }

    async fn look_after(self: Rc<Self>) {
        let mut interval = rt::time::interval(TICK);
        loop {
            interval.tick().await;
            let now = Instant::now();
            self.rooms.tick(now);
            self.sockets.tick(now);
        }
    }

    async fn check_rooms(self: Rc<Self>) {
        let mut interval = rt::time::interval(TICK);
        loop {
            interval.tick().await;
            self.rooms.check(Instant::now()).await;
        }
    }

    /// After every interruption, looks for what the rooms have missed.
    async fn mend(self: Rc<Self>, mut nats: Nats) {
        while nats.interruptions.changed().await.is_ok() {
            self.rooms.distrust_all();
        }
    }

    async fn drain(self: Rc<Self>, undrained: TaskTrackerToken) {
        self.chassis.shutdown.begun().await;
        self.sockets.drain(self.config.drain_spread).await;
        drop(undrained);
    }
}
