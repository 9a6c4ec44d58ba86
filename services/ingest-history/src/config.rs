//! What ingest-history is configured with.

use goch_chassis::config::{Config, Environment, Faults, RedisConfig, Setting};
use serde::Deserialize;

/// The most events per channel that Redis can be told to keep; scripts go through them at times.
const WINDOW_CEILING: usize = 100_000;

/// ingest-history's own configuration.
#[derive(Debug, Clone)]
pub struct HistoryConfig {
    /// How to reach Redis.
    pub redis: RedisConfig,
    /// Events per channel kept in Redis.
    pub window: usize,
    /// After how many seconds without a new event a channel leaves Redis.
    pub idle_seconds: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct HistorySettings {
    history_window: Setting<usize>,
    history_idle_seconds: Setting<u32>,
}

impl Config for HistoryConfig {
    fn read(environment: &Environment, faults: &mut Faults) -> Self {
        let settings: HistorySettings = environment.settings(faults);
        let window = settings.history_window.or("HISTORY_WINDOW", 1_000, faults);
        let reason = format!("must be 1 to {WINDOW_CEILING}");
        faults.expect((1..=WINDOW_CEILING).contains(&window), "HISTORY_WINDOW", reason);
        let idle_seconds =
            settings.history_idle_seconds.or("HISTORY_IDLE_SECONDS", 604_800, faults);
        // A fill must be over before its channel may leave again.
        faults.expect(idle_seconds >= 60, "HISTORY_IDLE_SECONDS", "must be at least 60");
        Self {
            redis: RedisConfig::read(environment, faults),
            window,
            idle_seconds: i64::from(idle_seconds),
        }
    }
}

#[cfg(test)]
mod tests {
    use goch_chassis::config::audit;

    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<HistoryConfig, Faults> {
        let mut faults = Faults::default();
        let config = HistoryConfig::read(&Environment::of(variables), &mut faults);
        faults.or_value(config)
    }

    #[test]
    fn all_faults_are_named_at_once() {
        let faults = read(&[("HISTORY_WINDOW", "0"), ("HISTORY_IDLE_SECONDS", "5")]).unwrap_err();
        let faults = faults.to_string();
        for variable in ["HISTORY_WINDOW", "HISTORY_IDLE_SECONDS", "REDIS_URL"] {
            assert!(faults.contains(variable), "{variable} is not in {faults}");
        }
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let config = read(&[("REDIS_URL", "redis://r:6379")]).unwrap();
        assert_eq!((config.window, config.idle_seconds), (1_000, 604_800));
    }

    #[test]
    fn the_list_of_variables_and_the_example_file_are_true() {
        let example = include_str!("../../../deploy/config.example.yaml");
        let required = [("NATS_URL", "nats://n:4222"), ("REDIS_URL", "redis://r:6379")];
        let differences = audit::differences::<HistoryConfig>("ingest-history", example, &required);
        assert!(differences.is_empty(), "{differences:#?}");
    }
}
