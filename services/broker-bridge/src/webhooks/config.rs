//! How webhooks are delivered.

use std::{num::ParseIntError, str::FromStr, time::Duration};

use goch_chassis::config::{Config, Environment, Faults, Setting};
use serde::Deserialize;

/// The pauses after the first, second, … failed attempt: five attempts within the first hour, and the
/// last one after a day and a half.
const RETRY_SECONDS: [u64; 10] = [5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400, 28_800, 57_600];

/// The longest of all times here: a year.
const SECONDS_MAX: u64 = 365 * 24 * 3_600;

/// How webhooks are delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WebhookConfig {
    /// Whether requests may go into private networks, and without TLS.
    pub(crate) allow_private: bool,
    /// How long a request may take.
    pub(crate) timeout: Duration,
    /// The pauses after failed attempts. An event that fails once more is a dead letter.
    pub(crate) retries: Vec<Duration>,
    /// A webhook that has failed for so long without a success is disabled.
    pub(crate) disable_after: Duration,
    /// How long a message must be unread for `message.unread`.
    pub(crate) unread_after: Duration,
    /// How long dead letters are kept.
    pub(crate) keep_dead_letters: Duration,
}

/// Seconds with commas between them.
#[derive(Debug)]
struct Pauses(Vec<u64>);

impl FromStr for Pauses {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        text.split(',').map(|part| part.trim().parse()).collect::<Result<_, _>>().map(Self)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_field_names, reason = "they are the variables' names")]
struct WebhookSettings {
    webhook_allow_private: Setting<bool>,
    webhook_timeout_seconds: Setting<u64>,
    webhook_retry_seconds: Setting<Pauses>,
    webhook_disable_after_seconds: Setting<u64>,
    webhook_unread_after_seconds: Setting<u64>,
    webhook_dead_letter_seconds: Setting<u64>,
}

impl Config for WebhookConfig {
    fn read(environment: &Environment, faults: &mut Faults) -> Self {
        let settings: WebhookSettings = environment.settings(faults);
        let mut seconds = |setting: Setting<u64>, variable, default, max| {
            let seconds = setting.or(variable, default, faults);
            let reason = format!("must be 1 to {max}");
            faults.expect((1..=max).contains(&seconds), variable, reason);
            Duration::from_secs(seconds)
        };
        // At shutdown, requests under way are waited for; a Kubernetes pod has 30 seconds by default.
        let timeout = seconds(settings.webhook_timeout_seconds, "WEBHOOK_TIMEOUT_SECONDS", 10, 20);
        let disable_after = seconds(
            settings.webhook_disable_after_seconds,
            "WEBHOOK_DISABLE_AFTER_SECONDS",
            432_000,
            SECONDS_MAX,
        );
        let unread_after = seconds(
            settings.webhook_unread_after_seconds,
            "WEBHOOK_UNREAD_AFTER_SECONDS",
            900,
            SECONDS_MAX,
        );
        let keep_dead_letters = seconds(
            settings.webhook_dead_letter_seconds,
            "WEBHOOK_DEAD_LETTER_SECONDS",
            2_592_000,
            SECONDS_MAX,
        );
        let variable = "WEBHOOK_RETRY_SECONDS";
        let default = Pauses(RETRY_SECONDS.to_vec());
        let Pauses(retries) = settings.webhook_retry_seconds.or(variable, default, faults);
        faults.expect(
            retries.len() <= 50 && retries.iter().all(|pause| (1..=SECONDS_MAX).contains(pause)),
            variable,
            format!("must be at most 50 numbers from 1 to {SECONDS_MAX}, with commas between them"),
        );
        Self {
            allow_private: settings.webhook_allow_private.or(
                "WEBHOOK_ALLOW_PRIVATE",
                false,
                faults,
            ),
            timeout,
            retries: retries.into_iter().map(Duration::from_secs).collect(),
            disable_after,
            unread_after,
            keep_dead_letters,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<WebhookConfig, Faults> {
        let mut faults = Faults::default();
        let config = WebhookConfig::read(&Environment::of(variables), &mut faults);
        faults.or_value(config)
    }

    #[test]
    fn attempts_go_on_for_more_than_a_day() {
        let config = read(&[]).unwrap();
        assert!(config.retries.iter().sum::<Duration>() > Duration::from_hours(24));
        assert!(config.retries.is_sorted());
        assert!(!config.allow_private);
    }

    #[test]
    fn what_cannot_be_is_a_fault() {
        let config = read(&[("WEBHOOK_RETRY_SECONDS", "1, 2")]).unwrap();
        assert_eq!(config.retries, [Duration::from_secs(1), Duration::from_secs(2)]);
        for (variable, value) in [
            ("WEBHOOK_RETRY_SECONDS", "1,,2"),
            ("WEBHOOK_RETRY_SECONDS", "0"),
            ("WEBHOOK_TIMEOUT_SECONDS", "0"),
            ("WEBHOOK_ALLOW_PRIVATE", "perhaps"),
        ] {
            let faults = read(&[(variable, value)]).unwrap_err().to_string();
            assert!(faults.contains(variable), "{faults}");
        }
    }
}
