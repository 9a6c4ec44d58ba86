//! The streams, buckets and the consumer that all services stand on, kept as configured.
//!
//! Each round looks at what is there, creates what is missing and changes only the settings that
//! differ from ours; whatever else an operator has set stays. Rounds of several replicas do the same
//! things and so do not disturb each other: creating what another one has just created is no error.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_nats::jetstream::{self, Context, ErrorCode, response::Response};
use goch_chassis::{
    Chassis, StartError,
    nats::{Nats, persist},
};
use goch_contract::subjects::{HISTORY_CONSUMER, Subjects};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{BridgeConfig, config::LogConfig, metrics::BridgeMetrics};

/// How often the topology is looked at while nothing gives cause to.
const CHECK_EVERY: Duration = Duration::from_secs(15);

/// How long ingest-history may take for an event before another replica gets it.
const ACK_WAIT: Duration = Duration::from_secs(10);

/// Events that all replicas of ingest-history together may work on at a time.
const ACK_PENDING_MAX: u32 = 5_000;

/// Why a round did not get through.
#[derive(Debug, thiserror::Error)]
enum TopologyError {
    #[error("NATS did not answer about {name}: {error}")]
    Away { name: String, error: jetstream::context::RequestError },
    #[error("NATS refuses to create {name}: {error}")]
    Refused { name: String, error: jetstream::Error },
}

/// Settings as NATS names them.
type Settings = Map<String, Value>;

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

/// A stream or a consumer as it should be.
struct Wanted {
    /// Its name, for people.
    name: String,
    /// For a consumer, the stream that it reads.
    stream: Option<String>,
    info: String,
    create: String,
    update: String,
    /// What is decided once, when it is created.
    fixed: Settings,
    /// What is kept as configured.
    settings: Settings,
}

/// See the module.
pub(crate) struct Topology {
    chassis: Chassis,
    nats: Nats,
    jetstream: Context,
    config: BridgeConfig,
    metrics: BridgeMetrics,
    in_place: Arc<AtomicBool>,
    /// Changes that NATS has refused, so that each is logged once.
    refused: Mutex<BTreeSet<String>>,
}

impl Topology {
    /// Puts everything into place, waiting for as long as that takes.
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
            refused: Mutex::default(),
        };
        let in_place = Arc::clone(&topology.in_place);
        chassis.health.require("topology", move || in_place.load(Ordering::Relaxed));
        persist(chassis, "the log's topology", || topology.round()).await?;
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
            if let Some(Err(error)) = shutdown.unless_begun(self.round()).await {
                tracing::warn!(%error, "the log's topology could not be checked");
            }
        }
    }

    async fn round(&self) -> Result<(), TopologyError> {
        let outcome = self.provision().await;
        self.in_place.store(outcome.is_ok(), Ordering::Relaxed);
        outcome
    }

    async fn provision(&self) -> Result<(), TopologyError> {
        let subjects = &self.chassis.nats.subjects;
        let log: StreamState = self.ensure(&log_stream(subjects, &self.config.log)).await?;
        let consumer: ConsumerState = self.ensure(&history_consumer(subjects)).await?;
        self.metrics.note_log(log.state.messages, log.state.bytes, self.config.log.max_bytes);
        for bucket in buckets(subjects, self.config.webhooks.keep_dead_letters) {
            let wanted = bucket_stream(&bucket, &self.config.log);
            let stored: StreamState = self.ensure(&wanted).await?;
            let max_bytes = bucket.max_bytes(self.config.log.buckets_max_bytes);
            self.metrics.note_bucket(bucket.word, stored.state.bytes, max_bytes);
        }
        self.metrics.history_pending.set(consumer.num_pending);
        self.metrics.history_unacknowledged.set(consumer.num_ack_pending);
        self.metrics.stores.note_heard();
        Ok(())
    }

    /// Creates or changes one thing, if it needs that. A change that NATS refuses is logged, and what
    /// is there stays in use: it serves better than nothing.
    async fn ensure<State>(&self, wanted: &Wanted) -> Result<State, TopologyError>
    where
        State: for<'de> Deserialize<'de>,
    {
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
        let changes = changes(&existing.config, &wanted.settings);
        if changes.is_empty() {
            return Ok(existing.state);
        }
        let names = changes.keys().cloned().collect::<Vec<_>>().join(", ");
        let mut config = existing.config;
        config.extend(changes);
        match self.ask::<Existing<State>>(wanted, &wanted.update, &wanted.request(config)).await? {
            Ok(_) => tracing::info!(name = wanted.name, settings = names, "changed"),
            Err(error) => {
                let refusal = format!("{}: {names}: {error}", wanted.name);
                let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
                if refused.insert(refusal) {
                    let name = &wanted.name;
                    tracing::error!(name, settings = names, %error, "NATS refuses a change");
                }
            }
        }
        Ok(existing.state)
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

impl Wanted {
    fn stream(name: &str, mut fixed: Settings, settings: Settings) -> Self {
        fixed.insert("name".to_owned(), name.into());
        Self {
            info: format!("STREAM.INFO.{name}"),
            create: format!("STREAM.CREATE.{name}"),
            update: format!("STREAM.UPDATE.{name}"),
            name: format!("the stream {name}"),
            stream: None,
            fixed,
            settings,
        }
    }

    /// The body of a request to create or update it.
    fn request(&self, config: Settings) -> Value {
        match &self.stream {
            Some(stream) => json!({"stream_name": stream, "config": config}),
            None => Value::Object(config),
        }
    }
}

fn log_stream(subjects: &Subjects, config: &LogConfig) -> Wanted {
    let source = subjects.log_of_all();
    let fixed = settings([
        ("storage", "file".into()),
        ("retention", "limits".into()),
        ("max_consumers", (-1).into()),
    ]);
    let settings = settings([
        ("subjects", json!([source])),
        ("num_replicas", config.replicas.into()),
        ("max_age", nanoseconds(config.max_age)),
        ("max_msgs", (-1).into()),
        ("max_bytes", config.max_bytes.into()),
        ("duplicate_window", nanoseconds(config.deduplication)),
        // A full log refuses messages, and their senders are told: what was acknowledged stays.
        ("discard", "new".into()),
        ("allow_direct", true.into()),
        ("republish", json!({"src": source, "dest": subjects.live_template()})),
    ]);
    Wanted::stream(&subjects.log_stream(), fixed, settings)
}

/// A key-value bucket, and its part of what all may have.
struct BucketWanted {
    /// What it is called in metrics.
    word: &'static str,
    name: String,
    max_age: Duration,
    /// Its part, of [`PARTS`].
    parts: i64,
}

/// Into how many parts the room of all buckets is divided.
const PARTS: i64 = 32;

impl BucketWanted {
    /// Its largest size in bytes, where all may have so much; -1 is no limit.
    fn max_bytes(&self, of_all: i64) -> i64 {
        if of_all == -1 { -1 } else { of_all / PARTS * self.parts }
    }
}

fn buckets(subjects: &Subjects, letters_max_age: Duration) -> [BucketWanted; 8] {
    let bucket = |word, name, parts| {
        let max_age = Duration::ZERO;
        BucketWanted { word, name, max_age, parts }
    };
    [
        bucket("channels", subjects.channels_bucket(), 6),
        bucket("members", subjects.members_bucket(), 13),
        bucket("positions", subjects.positions_bucket(), 6),
        bucket("erasures", subjects.erasures_bucket(), 1),
        bucket("deletions", subjects.deletions_bucket(), 1),
        bucket("webhooks", subjects.webhooks_bucket(), 1),
        bucket("deliveries", subjects.deliveries_bucket(), 2),
        BucketWanted {
            max_age: letters_max_age,
            ..bucket("dead_letters", subjects.dead_letters_bucket(), 2)
        },
    ]
}

/// A key-value bucket is a stream with these settings (NATS's ADR-8). One that is full takes no new
/// keys; what makes a record smaller, a removal or a ban, is taken.
fn bucket_stream(bucket: &BucketWanted, config: &LogConfig) -> Wanted {
    let fixed = settings([
        ("subjects", json!([format!("$KV.{}.>", bucket.name)])),
        ("storage", "file".into()),
        ("retention", "limits".into()),
        ("max_consumers", (-1).into()),
        ("max_msgs", (-1).into()),
        ("allow_rollup_hdrs", true.into()),
        ("deny_delete", true.into()),
    ]);
    let settings = settings([
        ("num_replicas", config.replicas.into()),
        ("max_age", nanoseconds(bucket.max_age)),
        ("max_bytes", bucket.max_bytes(config.buckets_max_bytes).into()),
        ("max_msgs_per_subject", 1.into()),
        ("discard", "new".into()),
        ("allow_direct", true.into()),
    ]);
    Wanted::stream(&format!("KV_{}", bucket.name), fixed, settings)
}

/// It has no filter, although the log has one kind of subject only: NATS 2.9 counts what waits for
/// a consumer with a filter anew each time it is asked.
fn history_consumer(subjects: &Subjects) -> Wanted {
    let (stream, name) = (subjects.log_stream(), HISTORY_CONSUMER);
    let create = format!("CONSUMER.CREATE.{stream}.{name}");
    let fixed = settings([
        ("name", name.into()),
        ("durable_name", name.into()),
        ("deliver_policy", "all".into()),
        ("ack_policy", "explicit".into()),
        ("replay_policy", "instant".into()),
    ]);
    let settings = settings([
        ("ack_wait", nanoseconds(ACK_WAIT)),
        ("max_ack_pending", ACK_PENDING_MAX.into()),
        ("max_deliver", (-1).into()),
    ]);
    Wanted {
        name: format!("the consumer {name}"),
        info: format!("CONSUMER.INFO.{stream}.{name}"),
        update: create.clone(),
        create,
        stream: Some(stream),
        fixed,
        settings,
    }
}

/// A duration as NATS counts it.
fn nanoseconds(duration: Duration) -> Value {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX).into()
}

fn settings<const N: usize>(pairs: [(&str, Value); N]) -> Settings {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn is_missing(error: &jetstream::Error) -> bool {
    matches!(error.error_code(), ErrorCode::STREAM_NOT_FOUND | ErrorCode::CONSUMER_NOT_FOUND)
}

/// The settings that are not as they should be.
fn changes(existing: &Settings, settings: &Settings) -> Settings {
    let differs = |name: &str, wanted: &Value| match existing.get(name) {
        Some(value) => value != wanted,
        // The server leaves out what is zero or false.
        None => !matches!(wanted, Value::Null | Value::Bool(false)) && *wanted != json!(0),
    };
    settings
        .iter()
        .filter(|(name, wanted)| differs(name, wanted))
        .map(|(name, wanted)| (name.clone(), wanted.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> LogConfig {
        LogConfig {
            replicas: 1,
            max_age: Duration::ZERO,
            max_bytes: -1,
            buckets_max_bytes: -1,
            deduplication: Duration::from_mins(2),
        }
    }

    #[test]
    fn only_what_differs_is_changed_and_foreign_settings_stay() {
        let wanted = log_stream(&Subjects::default(), &config()).settings;
        let mut existing = wanted.clone();
        existing.insert("compression".to_owned(), "s2".into());
        existing.remove("max_age");
        assert!(changes(&existing, &wanted).is_empty());
        let longer = LogConfig { deduplication: Duration::from_mins(5), ..config() };
        let changes = changes(&existing, &log_stream(&Subjects::default(), &longer).settings);
        assert_eq!(Value::Object(changes), json!({"duplicate_window": 300_000_000_000_u64}));
    }

    #[test]
    fn every_bucket_has_its_part_and_all_parts_are_the_whole() {
        let buckets = buckets(&Subjects::default(), Duration::ZERO);
        assert_eq!(buckets.iter().map(|bucket| bucket.parts).sum::<i64>(), PARTS);
        assert_eq!(buckets.iter().map(|bucket| bucket.max_bytes(3_200)).sum::<i64>(), 3_200);
        assert!(buckets.iter().all(|bucket| bucket.max_bytes(-1) == -1));
    }

    #[test]
    fn a_consumer_is_asked_for_by_its_stream() {
        let wanted = history_consumer(&Subjects::default());
        assert_eq!(wanted.create, "CONSUMER.CREATE.goch_log.ingest-history");
        let request = wanted.request(wanted.fixed.clone());
        assert_eq!(request["stream_name"], "goch_log");
        assert_eq!(request["config"]["durable_name"], HISTORY_CONSUMER);
    }
}
