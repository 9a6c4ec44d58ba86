//! Webhooks: tells ticketing what happens, at least once and in order per channel.
//!
//! The log is the queue. For each webhook one replica reads it, holding a lease that is also the
//! cursor ([`lane`]); a channel whose event is refused is left behind with a small record of where to
//! go on, so that it holds up nobody else ([`delivery`]). So nothing of an event is stored twice, a
//! webhook that is away for days costs nothing but records, and what is deleted from the log is not
//! sent any more.

mod bucket;
mod catalog;
pub(crate) mod config;
mod dead_letters;
mod delivery;
mod guard;
mod lane;
mod manager;
mod metrics;
mod moment;
mod notice;
mod record;
mod secrets;
mod sender;

use std::{sync::Arc, time::Duration};

use goch_chassis::{Chassis, StartError, nats::Nats};
use goch_contract::{Error, ErrorCode, Tenants};

pub(crate) use self::manager::Manager;
use self::{
    bucket::{Bucket, RULES},
    config::WebhookConfig,
    metrics::WebhookMetrics,
    record::{Backlog, Cursor, DeadRecord, WebhookRecord},
    sender::Sender,
};
use crate::{ServiceClient, replay::Replay};

/// Random bytes of an identifier.
const ID_BYTES: usize = 8;

/// The pause before something is tried again that failed on our side.
const POSTPONED: Duration = Duration::from_secs(5);

/// What webhooks are kept in and delivered with. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Webhooks {
    records: Bucket<WebhookRecord>,
    cursors: Bucket<Cursor>,
    /// In the same bucket as the cursors.
    backlogs: Bucket<Backlog>,
    dead: Bucket<DeadRecord>,
    replay: Replay,
    services: ServiceClient,
    sender: Sender,
    config: Arc<WebhookConfig>,
    tenants: Tenants,
    metrics: WebhookMetrics,
    /// This process among the replicas.
    holder: String,
}

impl Webhooks {
    /// # Errors
    /// When the end begins before the buckets are there.
    pub(crate) async fn new(
        chassis: &Chassis,
        nats: &Nats,
        replay: &Replay,
        config: WebhookConfig,
    ) -> Result<Self, StartError> {
        let subjects = &chassis.nats.subjects;
        let webhooks = nats.bucket(chassis, &subjects.webhooks_bucket()).await?;
        let deliveries = nats.bucket(chassis, &subjects.deliveries_bucket()).await?;
        let dead = nats.bucket(chassis, &subjects.dead_letters_bucket()).await?;
        let client = &nats.client;
        let holder =
            random_id().map_err(|error| StartError::because("naming this process", error))?;
        Ok(Self {
            records: Bucket::new(client.clone(), webhooks, RULES),
            cursors: Bucket::new(client.clone(), deliveries.clone(), RULES),
            backlogs: Bucket::new(client.clone(), deliveries, RULES),
            dead: Bucket::new(client.clone(), dead, RULES),
            replay: replay.clone(),
            services: nats.services(chassis),
            sender: Sender::new(&config)?,
            config: Arc::new(config),
            tenants: chassis.tenants.clone(),
            metrics: WebhookMetrics::register(chassis),
            holder,
        })
    }
}

/// A new identifier, in hexadecimal.
fn random_id() -> Result<String, getrandom::Error> {
    let mut bytes = [0; ID_BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{:016x}", u64::from_be_bytes(bytes)))
}

fn no_randomness() -> Error {
    Error::new(ErrorCode::Internal, "the system has no randomness")
}
