//! What broker-bridge is configured with.

use std::time::Duration;

use goch_chassis::config::{Config, Environment, Faults, Setting};
use serde::Deserialize;

use crate::webhooks::config::WebhookConfig;

/// JetStream keeps at most five copies of a stream.
const REPLICAS_MAX: usize = 5;

/// NATS counts durations in nanoseconds of 63 bits; a hundred years stay well below.
const SECONDS_MAX: u64 = 100 * 365 * 24 * 3_600;

/// A log that fills no disk of usual size: some ten million messages.
const LOG_BYTES: i64 = 6 << 30;

/// What is kept free for channels, members and whatever else is no message.
const BUCKETS_BYTES: i64 = 2 << 30;

/// Each bucket gets a part; a smaller one would not hold what a small installation needs.
const BUCKETS_BYTES_MIN: i64 = 32 << 20;

/// broker-bridge's own configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BridgeConfig {
    /// How the log is kept.
    pub(crate) log: LogConfig,
    /// How webhooks are delivered.
    pub(crate) webhooks: WebhookConfig,
}

impl Config for BridgeConfig {
    fn read(environment: &Environment, faults: &mut Faults) -> Self {
        Self {
            log: LogConfig::read(environment, faults),
            webhooks: WebhookConfig::read(environment, faults),
        }
    }
}

/// How the log is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogConfig {
    /// On how many NATS servers the log and the buckets are stored.
    pub(crate) replicas: usize,
    /// Older events are deleted; zero keeps them for ever.
    pub(crate) max_age: Duration,
    /// The largest size of the log in bytes; -1 is no limit.
    pub(crate) max_bytes: i64,
    /// The largest size of all buckets together; -1 is no limit.
    pub(crate) buckets_max_bytes: i64,
    /// For how long NATS remembers message ids.
    pub(crate) deduplication: Duration,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LogSettings {
    log_replicas: Setting<usize>,
    log_max_age_seconds: Setting<u64>,
    log_max_bytes: Setting<i64>,
    buckets_max_bytes: Setting<i64>,
    deduplication_seconds: Setting<u64>,
}

impl Config for LogConfig {
    fn read(environment: &Environment, faults: &mut Faults) -> Self {
        let settings: LogSettings = environment.settings(faults);
        let replicas = settings.log_replicas.or("LOG_REPLICAS", 1, faults);
        faults.expect(
            // An even number survives no more failures than the odd one below it.
            replicas % 2 == 1 && replicas <= REPLICAS_MAX,
            "LOG_REPLICAS",
            "must be 1, 3 or 5",
        );
        let max_age = settings.log_max_age_seconds.or("LOG_MAX_AGE_SECONDS", 0, faults);
        faults.expect(
            max_age <= SECONDS_MAX,
            "LOG_MAX_AGE_SECONDS",
            format!("must be at most {SECONDS_MAX}"),
        );
        let max_bytes = settings.log_max_bytes.or("LOG_MAX_BYTES", LOG_BYTES, faults);
        faults.expect(
            max_bytes == -1 || max_bytes > 0,
            "LOG_MAX_BYTES",
            "must be more than 0, or -1 for no limit",
        );
        let buckets = settings.buckets_max_bytes.or("BUCKETS_MAX_BYTES", BUCKETS_BYTES, faults);
        faults.expect(
            buckets == -1 || buckets >= BUCKETS_BYTES_MIN,
            "BUCKETS_MAX_BYTES",
            format!("must be at least {BUCKETS_BYTES_MIN}, or -1 for no limit"),
        );
        let deduplication = settings.deduplication_seconds.or("DEDUPLICATION_SECONDS", 120, faults);
        faults.expect(
            (1..=SECONDS_MAX).contains(&deduplication),
            "DEDUPLICATION_SECONDS",
            format!("must be 1 to {SECONDS_MAX}"),
        );
        faults.expect(
            max_age == 0 || deduplication <= max_age,
            "DEDUPLICATION_SECONDS",
            "must not be more than LOG_MAX_AGE_SECONDS",
        );
        Self {
            replicas,
            max_age: Duration::from_secs(max_age),
            max_bytes,
            buckets_max_bytes: buckets,
            deduplication: Duration::from_secs(deduplication),
        }
    }
}

#[cfg(test)]
mod tests {
    use goch_chassis::config::audit;

    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<LogConfig, Faults> {
        let mut faults = Faults::default();
        let config = LogConfig::read(&Environment::of(variables), &mut faults);
        faults.or_value(config)
    }

    #[test]
    fn without_configuration_the_log_is_kept_for_ever_on_one_server_within_a_bound() {
        let config = read(&[]).unwrap();
        assert_eq!((config.replicas, config.max_bytes), (1, 6_442_450_944));
        assert_eq!(config.buckets_max_bytes, 2_147_483_648);
        let unbounded = read(&[("LOG_MAX_BYTES", "-1"), ("BUCKETS_MAX_BYTES", "-1")]).unwrap();
        assert_eq!((unbounded.max_bytes, unbounded.buckets_max_bytes), (-1, -1));
        assert_eq!((config.max_age, config.deduplication.as_secs()), (Duration::ZERO, 120));
    }

    #[test]
    fn what_nats_would_refuse_is_a_fault_and_all_are_named() {
        let faults = read(&[
            ("LOG_REPLICAS", "2"),
            ("LOG_MAX_AGE_SECONDS", "60"),
            ("LOG_MAX_BYTES", "0"),
            ("BUCKETS_MAX_BYTES", "1000"),
            ("DEDUPLICATION_SECONDS", "61"),
        ])
        .unwrap_err()
        .to_string();
        for fault in [
            "LOG_REPLICAS",
            "LOG_MAX_BYTES",
            "BUCKETS_MAX_BYTES",
            "DEDUPLICATION_SECONDS: must not",
        ] {
            assert!(faults.contains(fault), "{fault} is not in {faults}");
        }
        assert!(read(&[("LOG_MAX_AGE_SECONDS", "99999999999")]).is_err());
    }

    #[test]
    fn the_list_of_variables_and_the_example_file_are_true() {
        let example = include_str!("../../../deploy/config.example.yaml");
        let required = [("NATS_URL", "nats://n:4222")];
        let differences = audit::differences::<BridgeConfig>("broker-bridge", example, &required);
        assert!(differences.is_empty(), "{differences:#?}");
    }
}
