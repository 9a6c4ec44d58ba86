//! The streams, buckets and the consumer that all services stand on, kept as configured.
//!
//! Each round looks at what is there, creates what is missing and changes only the settings that
//! differ from ours; whatever else an operator has set stays. Rounds of several replicas do the same
//! things and so do not disturb each other: creating what another one has just created is no error.

mod refusals;
mod wanted;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_nats::jetstream::{self, Context, ErrorCode, response::Response};
use goch_chassis::{
    Chassis, StartError,
    nats::{Nats, persist},
};
use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::json;
use tokio::time::Instant;

use self::{
    refusals::Refusals,
    wanted::{
        Settings, Wanted, bucket_stream, buckets, changes, history_consumer, log_stream,
        withhold_replicas, withhold_too_small,
    },
};
use crate::{
    BridgeConfig,
    metrics::{BridgeMetrics, Copies},
};

/// How often the topology is looked at while nothing gives cause to.
const CHECK_EVERY: Duration = Duration::from_secs(15);

/// Why a round did not get through.
#[derive(Debug, thiserror::Error)]
enum TopologyError {
    #[error("NATS did not answer about {name}: {error}")]
    Away { name: String, error: jetstream::context::RequestError },
    #[error("NATS refuses to create {name}: {error}")]
    Refused { name: String, error: jetstream::Error },
    #[error("{name} has {present} replicas where LOG_REPLICAS is {wanted}: {reason}")]
    TooFewReplicas { name: String, present: usize, wanted: usize, reason: String },
}

/// What is there already.
#[derive(Deserialize)]
struct Existing<State> {
    config: Settings,
    #[serde(flatten)]
    state: State,
}

#[derive(Deserialize)]
struct StreamState {
    state: Stored,
    /// Nothing on a server that is in no cluster.
    #[serde(default)]
    cluster: Option<Cluster>,
}

/// Who has a stream, as its leader sees it.
#[derive(Deserialize)]
struct Cluster {
    #[serde(default)]
    leader: Option<String>,
    /// All but the leader.
    #[serde(default)]
    replicas: Option<Vec<Peer>>,
}

#[derive(Deserialize)]
struct Peer {
    /// Whether it has all that the leader has.
    current: bool,
}

#[derive(Deserialize)]
struct Stored {
    messages: i64,
    bytes: i64,
}

#[derive(Deserialize)]
struct ConsumerState {
    num_pending: i64,
    num_ack_pending: i64,
}

/// What is there of something, beside its settings.
trait Present: for<'de> Deserialize<'de> {
    /// How many bytes a stream stores; 0 for anything else.
    fn bytes(&self) -> i64 {
        0
    }
}

impl Present for ConsumerState {}

impl Present for StreamState {
    fn bytes(&self) -> i64 {
        self.state.bytes
    }
}

impl StreamState {
    /// Servers that are to have the stream: what NATS does. 2.9 lets a server that is in no cluster say
    /// anything in the settings.
    fn servers(&self) -> usize {
        1 + self.cluster.iter().flat_map(|cluster| &cluster.replicas).flatten().count()
    }

    /// Servers that have all of the stream at the moment.
    fn current(&self) -> i64 {
        let Some(cluster) = &self.cluster else { return 1 };
        let peers = cluster.replicas.iter().flatten().filter(|peer| peer.current).count();
        i64::from(cluster.leader.is_some()) + i64::try_from(peers).unwrap_or(i64::MAX)
    }
}

/// What is there once a round has looked after it.
struct InPlace<State> {
    state: State,
    /// Why it is not as configured, if NATS refuses that.
    refusal: Option<String>,
}

/// See the module.
pub(crate) struct Topology {
    chassis: Chassis,
    nats: Nats,
    jetstream: Context,
    config: BridgeConfig,
    metrics: BridgeMetrics,
    in_place: Arc<AtomicBool>,
    refusals: Refusals,
}

impl Topology {
    /// Puts everything into place, waiting for as long as that takes: for `LOG_REPLICAS`, too, so that
    /// a rollout with more than NATS can have stops at its first new process.
    ///
    /// # Errors
    /// [`StartError::Stopped`] when the service is told to end first.
    pub(crate) async fn establish(
        chassis: &Chassis,
        nats: &Nats,
        config: BridgeConfig,
        metrics: BridgeMetrics,
    ) -> Result<Self, StartError> {
        let topology = Self {
            chassis: chassis.clone(),
            nats: nats.clone(),
            jetstream: nats.jetstream(),
            config,
            metrics,
            in_place: Arc::default(),
            refusals: Refusals::default(),
        };
        let in_place = Arc::clone(&topology.in_place);
        chassis.health.require("topology", move || in_place.load(Ordering::Relaxed));
        persist(chassis, "the log's topology", || topology.round(true)).await?;
        Ok(topology)
    }

    /// Looks again now and then, and at once when NATS was away: it may have come back empty.
    pub(crate) async fn keep(self) {
        let shutdown = &self.chassis.shutdown;
        let mut interruptions = self.nats.interruptions.clone();
        loop {
            let pause = tokio::time::timeout(CHECK_EVERY, interruptions.changed());
            match shutdown.unless_begun(pause).await {
                // The connection is closed for good.
                None | Some(Ok(Err(_))) => return,
                Some(_) => {}
            }
            if let Some(Err(error)) = shutdown.unless_begun(self.round(false)).await {
                tracing::warn!(%error, "the log's topology could not be checked");
            }
        }
    }

    /// Looks after everything. `is_start` asks for the replicas that are configured; a process that has
    /// served with them goes on without, because nothing is gained if all end at once.
    async fn round(&self, is_start: bool) -> Result<(), TopologyError> {
        let outcome = self.provision(is_start).await;
        self.in_place.store(outcome.is_ok(), Ordering::Relaxed);
        outcome
    }

    async fn provision(&self, is_start: bool) -> Result<(), TopologyError> {
        let subjects = &self.chassis.nats.subjects;
        let config = &self.config.log;
        let mut too_few = None;
        let log = self.provision_stream("log", &log_stream(subjects, config), &mut too_few).await?;
        self.metrics.note_log(log.messages, log.bytes, config.max_bytes);
        let consumer: InPlace<ConsumerState> = self.ensure(&history_consumer(subjects)).await?;
        self.metrics.history_pending.set(consumer.state.num_pending);
        self.metrics.history_unacknowledged.set(consumer.state.num_ack_pending);
        for bucket in buckets(subjects, self.config.webhooks.keep_dead_letters) {
            let wanted = bucket_stream(&bucket, config);
            let stored = self.provision_stream(bucket.word, &wanted, &mut too_few).await?;
            let max_bytes = bucket.max_bytes(config.buckets_max_bytes);
            self.metrics.note_bucket(bucket.word, stored.bytes, max_bytes);
        }
        self.metrics.stores.note_heard();
        match too_few {
            Some(error) if is_start => Err(error),
            _ => Ok(()),
        }
    }

    /// Puts a stream into place and notes on how many servers it is; `too_few` if that is not enough.
    async fn provision_stream(
        &self,
        store: &'static str,
        wanted: &Wanted,
        too_few: &mut Option<TopologyError>,
    ) -> Result<Stored, TopologyError> {
        let InPlace { state, refusal } = self.ensure::<StreamState>(wanted).await?;
        let (present, configured) = (state.servers(), self.config.log.replicas);
        let copies = Copies { wanted: configured, present, current: state.current() };
        self.metrics.note_copies(store, copies);
        if present < configured {
            *too_few = Some(TopologyError::TooFewReplicas {
                name: wanted.name.clone(),
                present,
                wanted: configured,
                reason: refusal.unwrap_or_else(|| "NATS has not put them into place".to_owned()),
            });
        }
        Ok(state.state)
    }

    /// Creates or changes one thing, if it needs that. A change that NATS refuses is logged, the others are
    /// made, and what is there stays in use: it serves better than nothing.
    async fn ensure<State: Present>(
        &self,
        wanted: &Wanted,
    ) -> Result<InPlace<State>, TopologyError> {
        let existing = match self.ask::<Existing<State>>(wanted, &wanted.info, &json!({})).await? {
            Ok(existing) => existing,
            Err(error) if is_missing(&error) => {
                let mut config = wanted.fixed.clone();
                config.extend(wanted.settings.clone());
                match self.ask(wanted, &wanted.create, &wanted.request(config)).await? {
                    Ok(created) => {
                        tracing::info!(name = wanted.name, "created");
                        created
                    }
                    Err(error) => {
                        return Err(TopologyError::Refused { name: wanted.name.clone(), error });
                    }
                }
            }
            Err(error) => return Err(TopologyError::Refused { name: wanted.name.clone(), error }),
        };
        let Existing { config, state } = existing;
        let mut changes = changes(&config, &wanted.settings);
        let mut refused = BTreeMap::new();
        let too_small = withhold_too_small(&mut changes, state.bytes());
        refused.extend(too_small.map(|reason| ("max_bytes".to_owned(), reason)));
        let is_clustered = self.nats.client.server_info().cluster.is_some();
        let nowhere = withhold_replicas(&mut changes, is_clustered);
        refused.extend(nowhere.map(|reason| ("num_replicas".to_owned(), reason)));
        refused.extend(self.change(wanted, config, changes).await?);
        for (settings, reason) in &refused {
            if self.refusals.note(&wanted.name, settings, reason, Instant::now()) {
                tracing::error!(name = wanted.name, settings, reason, "a change is refused");
            }
        }
        self.refusals.retain(&wanted.name, &refused.keys().cloned().collect());
        // What is said of replicas, if anything is.
        let refusal = refused.remove("num_replicas").or_else(|| refused.into_values().next());
        Ok(InPlace { state, refusal })
    }

    /// Makes changes, all at once if NATS takes that, else each by itself. Returns those that NATS refuses,
    /// and why. Some that depend on others are taken in a later round.
    async fn change(
        &self,
        wanted: &Wanted,
        mut config: Settings,
        changes: Settings,
    ) -> Result<BTreeMap<String, String>, TopologyError> {
        let mut refused = BTreeMap::new();
        if changes.is_empty() {
            return Ok(refused);
        }
        let names = changes.keys().cloned().collect::<Vec<_>>().join(", ");
        let Err(error) = self.update(wanted, &config, &changes).await? else {
            tracing::info!(name = wanted.name, settings = names, "changed");
            return Ok(refused);
        };
        if changes.len() == 1 {
            refused.insert(names, error.to_string());
            return Ok(refused);
        }
        for (name, value) in changes {
            let change = Settings::from_iter([(name.clone(), value)]);
            match self.update(wanted, &config, &change).await? {
                Ok(()) => {
                    tracing::info!(name = wanted.name, settings = name, "changed");
                    config.extend(change);
                }
                Err(error) => {
                    refused.insert(name, error.to_string());
                }
            }
        }
        Ok(refused)
    }

    /// Changes what is there, and leaves the rest of `config` as it is.
    async fn update(
        &self,
        wanted: &Wanted,
        config: &Settings,
        changes: &Settings,
    ) -> Result<Result<(), jetstream::Error>, TopologyError> {
        let mut config = config.clone();
        config.extend(changes.clone());
        let request = wanted.request(config);
        Ok(self.ask::<IgnoredAny>(wanted, &wanted.update, &request).await?.map(|_| ()))
    }

    async fn ask<T>(
        &self,
        wanted: &Wanted,
        subject: &str,
        request: &(impl Serialize + Sync),
    ) -> Result<Result<T, jetstream::Error>, TopologyError>
    where
        T: for<'de> Deserialize<'de>,
    {
        let answer = self.jetstream.request(subject.to_owned(), request).await;
        match answer {
            Ok(Response::Ok(value)) => Ok(Ok(value)),
            Ok(Response::Err { error }) => Ok(Err(error)),
            Err(error) => Err(TopologyError::Away { name: wanted.name.clone(), error }),
        }
    }
}

fn is_missing(error: &jetstream::Error) -> bool {
    matches!(error.error_code(), ErrorCode::STREAM_NOT_FOUND | ErrorCode::CONSUMER_NOT_FOUND)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn servers_that_have_a_stream_and_all_of_it_are_counted() {
        let counts = |cluster: Value| {
            let state = json!({"state": {"messages": 1, "bytes": 1}, "cluster": cluster});
            let state: StreamState = serde_json::from_value(state).unwrap();
            (state.servers(), state.current())
        };
        assert_eq!(counts(Value::Null), (1, 1));
        assert_eq!(counts(json!({"leader": "a"})), (1, 1));
        let peers = json!([{"name": "b", "current": true}, {"name": "c", "current": false}]);
        assert_eq!(counts(json!({"leader": "a", "replicas": peers})), (3, 2));
        assert_eq!(counts(json!({"replicas": peers})), (3, 1));
    }
}
