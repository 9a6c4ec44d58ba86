//! The streams, buckets and the consumer as they should be, in NATS's own words.

use std::time::Duration;

use goch_contract::subjects::{HISTORY_CONSUMER, Subjects};
use serde_json::{Map, Value, json};

use crate::config::LogConfig;

/// How long ingest-history may take for an event before another replica gets it.
const ACK_WAIT: Duration = Duration::from_secs(10);

/// Events that all replicas of ingest-history together may work on at a time.
const ACK_PENDING_MAX: u32 = 5_000;

/// Settings as NATS names them.
pub(super) type Settings = Map<String, Value>;

/// A stream or a consumer as it should be.
pub(super) struct Wanted {
    /// Its name, for people.
    pub(super) name: String,
    /// For a consumer, the stream that it reads.
    stream: Option<String>,
    pub(super) info: String,
    pub(super) create: String,
    pub(super) update: String,
    /// What is decided once, when it is created.
    pub(super) fixed: Settings,
    /// What is kept as configured.
    pub(super) settings: Settings,
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
    pub(super) fn request(&self, config: Settings) -> Value {
        match &self.stream {
            Some(stream) => json!({"stream_name": stream, "config": config}),
            None => Value::Object(config),
        }
    }
}

pub(super) fn log_stream(subjects: &Subjects, config: &LogConfig) -> Wanted {
    let source = subjects.log_of_all();
    let fixed = settings([
        ("storage", "file".into()),
        ("retention", "limits".into()),
        ("max_consumers", (-1).into()),
    ]);
    let settings = settings([
        ("subjects", json!([source, subjects.ended_of_all()])),
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
pub(super) struct BucketWanted {
    /// What it is called in metrics.
    pub(super) word: &'static str,
    name: String,
    max_age: Duration,
    /// Its part, of [`PARTS`].
    parts: i64,
}

/// Into how many parts the room of all buckets is divided.
const PARTS: i64 = 32;

impl BucketWanted {
    /// Its largest size in bytes, where all may have so much; -1 is no limit.
    pub(super) fn max_bytes(&self, of_all: i64) -> i64 {
        if of_all == -1 { -1 } else { of_all / PARTS * self.parts }
    }
}

pub(super) fn buckets(subjects: &Subjects, letters_max_age: Duration) -> [BucketWanted; 9] {
    let bucket = |word, name, parts| {
        let max_age = Duration::ZERO;
        BucketWanted { word, name, max_age, parts }
    };
    [
        bucket("channels", subjects.channels_bucket(), 6),
        bucket("members", subjects.members_bucket(), 13),
        bucket("positions", subjects.positions_bucket(), 5),
        bucket("erasures", subjects.erasures_bucket(), 1),
        bucket("suspensions", subjects.suspensions_bucket(), 1),
        bucket("deletions", subjects.deletions_bucket(), 1),
        bucket("webhooks", subjects.webhooks_bucket(), 1),
        bucket("deliveries", subjects.deliveries_bucket(), 2),
        BucketWanted {
            max_age: letters_max_age,
            ..bucket("dead_letters", subjects.dead_letters_bucket(), 2)
        },
    ]
}

/// A key-value bucket is a stream with these settings (NATS's ADR-8). One that is full takes nothing for
/// certain: NATS 2.9 refuses a smaller record in the place of a larger one, too. So chat-admin keeps some
/// room for what ends.
pub(super) fn bucket_stream(bucket: &BucketWanted, config: &LogConfig) -> Wanted {
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
pub(super) fn history_consumer(subjects: &Subjects) -> Wanted {
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

/// Takes a largest size out of the changes that is less than what is stored, and says why: NATS 2.9 would
/// delete the oldest events, which somebody was told are stored.
pub(super) fn withhold_too_small(changes: &mut Settings, stored: i64) -> Option<String> {
    let max_bytes = changes.get("max_bytes").and_then(Value::as_i64)?;
    if max_bytes == -1 || max_bytes >= stored {
        return None;
    }
    changes.remove("max_bytes");
    Some(format!("{stored} bytes are stored, and {max_bytes} would be the most"))
}

/// Takes more replicas than one out of the changes where there is no cluster, and says why: NATS 2.9
/// would take the number, and do nothing.
pub(super) fn withhold_replicas(changes: &mut Settings, is_clustered: bool) -> Option<String> {
    let replicas = changes.get("num_replicas").and_then(Value::as_u64)?;
    if is_clustered || replicas <= 1 {
        return None;
    }
    changes.remove("num_replicas");
    Some(format!("{replicas} replicas need a cluster, and this server is in none"))
}

/// A duration as NATS counts it.
fn nanoseconds(duration: Duration) -> Value {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX).into()
}

fn settings<const N: usize>(pairs: [(&str, Value); N]) -> Settings {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The settings that are not as they should be.
pub(super) fn changes(existing: &Settings, settings: &Settings) -> Settings {
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
    fn a_store_is_never_made_smaller_than_what_it_has() {
        let wanted = LogConfig { max_bytes: 1_000, ..config() };
        let mut existing = log_stream(&Subjects::default(), &config()).settings;
        let changes = |existing: &Settings, stored| {
            let mut changes =
                changes(existing, &log_stream(&Subjects::default(), &wanted).settings);
            let refusal = withhold_too_small(&mut changes, stored);
            (changes.contains_key("max_bytes"), refusal.is_some())
        };
        assert_eq!(changes(&existing, 1_000), (true, false));
        assert_eq!(changes(&existing, 1_001), (false, true));
        existing.insert("max_bytes".to_owned(), 1_000.into());
        assert_eq!(changes(&existing, 1_001), (false, false));
        let mut no_limit = settings([("max_bytes", (-1).into())]);
        assert_eq!(withhold_too_small(&mut no_limit, 1_001), None);
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
