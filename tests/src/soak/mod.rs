//! Sockets, members and channels that come and go for minutes, and whether memory stays flat.
//!
//! A gateway is met by clients of which none stays: each joins a channel, often a new one, talks,
//! reads and leaves, in one of several ways. Meanwhile the memory of every service is sampled. What
//! is never given back shows as growth between the second quarter of the run, when caches are warm,
//! and the last one.

mod churn;
mod plan;
mod report;
mod samples;

pub use self::{plan::Plan, report::Report};

use std::{sync::Arc, time::Duration};

use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use self::{
    churn::{Churn, Counts},
    samples::Sample,
};
use crate::{servers::Servers, system::System};

/// How often memory is looked at.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// How long the last rooms may take to close: they linger for a second, and a member who vanished is
/// remembered for a while more.
const EMPTY_WITHIN: Duration = Duration::from_mins(1);

/// Runs the clients, and watches.
///
/// # Panics
/// When the system does not come up, or a service ends by itself.
pub async fn run(plan: &Plan) -> Report {
    let mut servers = Servers::new();
    servers.start().await;
    let mut system = System::builder()
        .servers(servers)
        .env_of_all("LOG_FILTER", "warn")
        // Short, so that what is kept for a while is given back within the run.
        .env("gateway", "ROOM_LINGER_SECONDS", "1")
        .env("gateway", "PRESENCE_GRACE_SECONDS", "1")
        .env("gateway", "AUTHORIZATION_CACHE_SECONDS", "5")
        .env("chat-admin", "DELETE_MARKERS_SECONDS", "10")
        .start()
        .await;
    let stop = CancellationToken::new();
    let churn = Arc::new(Churn::new(&system));
    let mut clients = JoinSet::new();
    for _ in 0..plan.clients {
        clients.spawn(Arc::clone(&churn).run(stop.clone()));
    }

    let mut samples = Vec::new();
    let begun = Instant::now();
    let mut tick = interval(SAMPLE_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while begun.elapsed() < plan.duration {
        tick.tick().await;
        for service in system.services() {
            let binary = service.binary();
            assert!(service.is_running(), "{binary} ended by itself\n{}", service.log());
        }
        samples.push(Sample::take(&system, begun.elapsed()).await);
    }
    stop.cancel();
    let mut counts = Counts::default();
    while let Some(client) = clients.join_next().await {
        counts.add(&client.expect("a client does not panic"));
    }

    let deadline = Instant::now() + EMPTY_WITHIN;
    let left = loop {
        let sample = Sample::take(&system, begun.elapsed()).await;
        if (sample.sockets, sample.rooms) == (0, 0) || Instant::now() > deadline {
            break sample;
        }
        tick.tick().await;
    };
    Report { counts, samples, left }
}
