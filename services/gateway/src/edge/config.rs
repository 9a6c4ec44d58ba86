//! How much is too much, and who may ask.

use std::time::Duration;

use goch_chassis::config::{Config, Environment, Faults, Setting};
use serde::Deserialize;

use super::{AllowedOrigins, Quota, TrustedProxies};

/// The limits at the edge. Those by address are off unless they are set: a gateway that has not been
/// told its proxies would take all clients for one.
#[derive(Debug, Clone)]
pub struct EdgeConfig {
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: TrustedProxies,
    /// Whose pages may connect.
    pub allowed_origins: AllowedOrigins,
    /// Sockets that one address may have open; 0 for any number.
    pub address_sockets_max: usize,
    pub(crate) address_connects: Option<Quota>,
    pub(crate) address_joins: Option<Quota>,
    pub(crate) address_frames: Option<Quota>,
    pub(crate) member_messages: Option<Quota>,
}

/// Twice what one socket may send: a member has a few devices.
const MEMBER_MESSAGES: u32 = 200;

const MINUTE: Duration = Duration::from_mins(1);
const SECOND: Duration = Duration::from_secs(1);

impl Default for EdgeConfig {
    fn default() -> Self {
        Self {
            trusted_proxies: TrustedProxies::default(),
            allowed_origins: AllowedOrigins::default(),
            address_sockets_max: 0,
            address_connects: None,
            address_joins: None,
            address_frames: None,
            member_messages: Quota::per(MEMBER_MESSAGES, SECOND),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct EdgeSettings {
    trusted_proxies: Setting<TrustedProxies>,
    allowed_origins: Setting<AllowedOrigins>,
    address_sockets_max: Setting<usize>,
    address_connects_per_minute: Setting<u32>,
    address_joins_per_minute: Setting<u32>,
    address_frames_per_second: Setting<u32>,
    member_messages_per_second: Setting<u32>,
}

impl Config for EdgeConfig {
    fn read(environment: &Environment, faults: &mut Faults) -> Self {
        let settings: EdgeSettings = environment.settings(faults);
        let mut quota = |setting: Setting<u32>, variable, default, period| {
            Quota::per(setting.or(variable, default, faults), period)
        };
        let address_connects =
            quota(settings.address_connects_per_minute, "ADDRESS_CONNECTS_PER_MINUTE", 0, MINUTE);
        let address_joins =
            quota(settings.address_joins_per_minute, "ADDRESS_JOINS_PER_MINUTE", 0, MINUTE);
        let address_frames =
            quota(settings.address_frames_per_second, "ADDRESS_FRAMES_PER_SECOND", 0, SECOND);
        let member_messages = quota(
            settings.member_messages_per_second,
            "MEMBER_MESSAGES_PER_SECOND",
            MEMBER_MESSAGES,
            SECOND,
        );
        let unlisted = (TrustedProxies::default(), AllowedOrigins::default());
        Self {
            trusted_proxies: settings.trusted_proxies.or("TRUSTED_PROXIES", unlisted.0, faults),
            allowed_origins: settings.allowed_origins.or("ALLOWED_ORIGINS", unlisted.1, faults),
            address_sockets_max: settings.address_sockets_max.or("ADDRESS_SOCKETS_MAX", 0, faults),
            address_connects,
            address_joins,
            address_frames,
            member_messages,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_name_their_variables() {
        let environment = Environment::of(&[
            ("TRUSTED_PROXIES", "everybody"),
            ("ALLOWED_ORIGINS", "example.org"),
            ("ADDRESS_JOINS_PER_MINUTE", "-1"),
        ]);
        let mut faults = Faults::default();
        let config = EdgeConfig::read(&environment, &mut faults);
        let faults = faults.or_value(config).unwrap_err().to_string();
        for variable in ["TRUSTED_PROXIES", "ALLOWED_ORIGINS", "ADDRESS_JOINS_PER_MINUTE"] {
            assert!(faults.contains(variable), "{variable} is not in {faults}");
        }
    }
}
