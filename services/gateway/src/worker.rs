//! One thread of the gateway, with everything it owns.
//!
//! A room that has sockets on two workers exists twice, and each worker has its own NATS connection. So
//! nothing on a message's way is locked. What workers share is looked at when somebody comes: who may
//! use a channel, and how far members have read.

use std::{
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use actix_web::rt;
use async_nats::{Client, Subscriber, jetstream};
use futures_util::{FutureExt as _, StreamExt as _, future::LocalBoxFuture};
use goch_chassis::{
    Chassis, StartError,
    nats::{self, Nats, NatsMetrics},
};
use goch_contract::{Role, services::admin::Revoked, subjects::Subjects};
use tokio::time::MissedTickBehavior;
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

use crate::{
    GatewayConfig, ServiceClient,
    authorize::Authorizer,
    edge::Edge,
    metrics::GatewayMetrics,
    room::{Positions, PresenceRules, RoomContext, Rooms, Stirred},
    socket::{
        Sockets,
        budget::{Budget, Share},
        flusher::Flusher,
    },
    token::{TenantKeyrings, TenantTokens, TokenUser},
};

/// How often a worker looks after its sockets and rooms.
const TICK: Duration = Duration::from_secs(1);

/// How often it works off what has gathered in rooms.
const SETTLE_EVERY: Duration = Duration::from_millis(100);

/// What all workers of a process share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) chassis: Chassis,
    pub(crate) config: GatewayConfig,
    pub(crate) metrics: GatewayMetrics,
    pub(crate) nats_metrics: NatsMetrics,
    pub(crate) edge: Arc<Edge>,
    pub(crate) keyrings: TenantKeyrings,
    pub(crate) authorizer: Arc<Authorizer>,
    pub(crate) positions: Arc<Positions>,
    pub(crate) sockets: Arc<AtomicUsize>,
    /// Sockets of the process at most.
    pub(crate) sockets_max: usize,
    pub(crate) budget: Arc<Budget>,
    pub(crate) workers_started: Arc<AtomicUsize>,
    /// Those that can take sockets.
    pub(crate) workers_ready: Arc<AtomicUsize>,
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
    pub(crate) authorizer: Arc<Authorizer>,
    pub(crate) tokens: TenantTokens,
    pub(crate) edge: Arc<Edge>,
    pub(crate) rooms: Rc<Rooms>,
    pub(crate) sockets: Rc<Sockets>,
    pub(crate) metrics: GatewayMetrics,
    budget: Arc<Budget>,
    chassis: Chassis,
}

impl Worker {
    /// Starts a worker on the present thread.
    pub(crate) async fn start(shared: Shared) -> Result<Rc<Self>, StartError> {
        // Before anything is awaited, so that a shutdown cannot overlook this worker.
        let undrained = shared.draining.token();
        let number = shared.workers_started.fetch_add(1, Ordering::Relaxed);
        let chassis = shared.chassis;
        let shutdown = chassis.shutdown.clone();
        let spawn = |task: &str, future: LocalBoxFuture<'static, ()>| {
            rt::spawn(shutdown.vital(format!("{task} of worker {number}"), future));
        };
        spawn("heartbeat", chassis.health.heartbeat(format!("worker {number}")).boxed_local());
        let nats = nats::connect(&chassis, &format!("nats-{number}"), &shared.nats_metrics).await?;
        let services = nats.services(&chassis);
        let subjects = chassis.nats.subjects.clone();
        let revoked = nats
            .client
            .subscribe(subjects.revoked())
            .await
            .map_err(|error| StartError::because("subscribing to what is revoked", error))?;
        let metrics = shared.metrics;
        let flusher = Rc::new(Flusher::new(Share::of(&shared.budget)));
        let rooms = Rooms::new(RoomContext {
            client: nats.client.clone(),
            subjects: subjects.clone(),
            services: services.clone(),
            metrics: metrics.clone(),
            linger: shared.config.room_linger,
            rooms_max: shared.config.rooms_max,
            presence: PresenceRules {
                origin: fastrand::u64(..),
                ttl: shared.config.presence_ttl,
                grace: shared.config.presence_grace,
                max: shared.config.presence_max,
            },
            positions: shared.positions,
            shutdown: shutdown.clone(),
            stirred: Rc::new(Stirred::default()),
            flusher: Rc::clone(&flusher),
        });
        let config = &shared.config;
        let tokens = TenantTokens::new(shared.keyrings, config, &chassis.tenants);
        let worker = Rc::new(Self {
            sockets: Sockets::new(
                shared.sockets,
                shared.sockets_max,
                &shared.config,
                Rc::clone(&flusher),
                metrics.clone(),
            ),
            config: shared.config,
            client: nats.client.clone(),
            jetstream: nats.jetstream(),
            subjects,
            services,
            authorizer: shared.authorizer,
            tokens,
            edge: shared.edge,
            rooms,
            metrics,
            budget: shared.budget,
            chassis,
        });
        spawn("flusher", flusher.run().boxed_local());
        spawn("budget", Rc::clone(&worker).keep_within_budget().boxed_local());
        spawn("clock", Rc::clone(&worker).look_after().boxed_local());
        spawn("comparison with the log", Rc::clone(&worker).check_rooms().boxed_local());
        spawn("signals", Rc::clone(&worker).settle_rooms().boxed_local());
        spawn("verification", Rc::clone(&worker).verify_rooms().boxed_local());
        spawn("revocations", Rc::clone(&worker).heed(revoked).boxed_local());
        spawn("mending", Rc::clone(&worker).mend(nats).boxed_local());
        spawn("drain", Rc::clone(&worker).drain(undrained).boxed_local());
        shared.workers_ready.fetch_add(1, Ordering::Relaxed);
        Ok(worker)
    }

    /// The role of a token's user who hears channels without becoming a member.
    pub(crate) fn silent_role<'a>(&self, user: &'a TokenUser) -> Option<&'a Role> {
        user.role.as_ref().filter(|role| self.config.roles.is_silent(role))
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
            let bytes = i64::try_from(self.budget.bytes()).unwrap_or(i64::MAX);
            self.metrics.outbox_bytes.set(bytes);
        }
    }

    async fn keep_within_budget(self: Rc<Self>) {
        self.sockets.keep_within_budget().await;
    }

    async fn check_rooms(self: Rc<Self>) {
        let mut interval = rt::time::interval(TICK);
        loop {
            interval.tick().await;
            self.rooms.check(Instant::now()).await;
        }
    }

    async fn settle_rooms(self: Rc<Self>) {
        let mut interval = rt::time::interval(SETTLE_EVERY);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            self.rooms.settle().await;
        }
    }

    async fn verify_rooms(self: Rc<Self>) {
        let mut interval = rt::time::interval(TICK);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            self.rooms.verify(Instant::now()).await;
        }
    }

    /// Heeds what chat-admin revokes.
    async fn heed(self: Rc<Self>, mut revoked: Subscriber) {
        while let Some(message) = revoked.next().await {
            let Ok(revoked) = serde_json::from_slice::<Revoked>(&message.payload) else {
                tracing::warn!("a revocation cannot be read");
                self.authorizer.revocations().distrust();
                continue;
            };
            self.authorizer.revocations().note(revoked.clone());
            match revoked {
                Revoked::Member(channel, uid) => self.rooms.hurry_verify(&channel, &uid),
                Revoked::Channel(channel) => self.rooms.put_out_all(&channel),
                Revoked::Account(uid) => self.rooms.verify_account(&uid),
            }
        }
    }

    /// After every interruption, looks for what the rooms have missed.
    async fn mend(self: Rc<Self>, mut nats: Nats) {
        while nats.interruptions.changed().await.is_ok() {
            self.authorizer.revocations().distrust();
            self.rooms.distrust_all();
        }
    }

    async fn drain(self: Rc<Self>, undrained: TaskTrackerToken) {
        self.chassis.shutdown.begun().await;
        // Clients come back elsewhere within the spread; until then nobody needs to see them go.
        let back_within = self.config.drain_spread + self.config.presence_grace;
        self.rooms.say_goodbye(Instant::now() + back_within).await;
        self.sockets.drain(self.config.drain_spread).await;
        self.rooms.finish().await;
        drop(undrained);
    }
}
