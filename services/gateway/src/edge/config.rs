//! How much is too much, and who may ask.

use std::{net::IpAddr, time::Duration};

use goch_chassis::config::{Config, Environment, Faults, Setting};
use serde::Deserialize;

use super::{AllowedOrigins, Quota, TrustedProxies};

/// The limits at the edge.
#[derive(Debug, Clone)]
pub struct EdgeConfig {
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: TrustedProxies,
    /// Whose pages may connect.
    pub allowed_origins: AllowedOrigins,
    /// Of an address that is one client's.
    pub(crate) of_client: AddressLimits,
    /// Of an address behind which many clients may be: only what the operator has set.
    pub(crate) of_many: AddressLimits,
    pub(crate) member_messages: Option<Quota>,
    pub(crate) channel_messages: Option<Quota>,
    pub(crate) channel_failures: Option<Quota>,
    /// Refused frames of one socket.
    pub(crate) socket_refusals: Option<Quota>,
}

/// What one address may have and ask for.
#[derive(Debug, Clone, Default)]
pub(crate) struct AddressLimits {
    /// Connections that one address may have open; 0 for any number.
    pub(crate) connections_max: usize,
    /// Sockets among them; 0 for any number.
    pub(crate) sockets_max: usize,
    pub(crate) connects: Option<Quota>,
    pub(crate) joins: Option<Quota>,
    pub(crate) frames: Option<Quota>,
    pub(crate) failures: Option<Quota>,
}

/// Each limit by address, as the operator has set it or not.
#[derive(Debug, Clone, Default)]
struct AddressSettings {
    connections_max: Option<usize>,
    sockets_max: Option<usize>,
    connects: Option<u32>,
    joins: Option<u32>,
    frames: Option<u32>,
    failures: Option<u32>,
}

/// What an address gets that stands for one client, or for one office: nothing is set.
const OF_CLIENT: AddressSettings = AddressSettings {
    connections_max: Some(300),
    sockets_max: Some(200),
    connects: Some(300),
    joins: Some(60),
    frames: Some(500),
    failures: Some(60),
};

/// More than anybody types, and than most programs that talk have to say.
const MEMBER_MESSAGES: u32 = 20;

const CHANNEL_MESSAGES: u32 = 100;
const CHANNEL_FAILURES: u32 = 300;
const SOCKET_REFUSALS: u32 = 100;

const MINUTE: Duration = Duration::from_mins(1);
const SECOND: Duration = Duration::from_secs(1);

impl AddressSettings {
    fn limits(&self, otherwise: &Self) -> AddressLimits {
        let quota = |count: Option<u32>, otherwise: Option<u32>, period| {
            Quota::per(count.or(otherwise).unwrap_or(0), period)
        };
        let most = |count: Option<usize>, otherwise| count.or(otherwise).unwrap_or(0);
        AddressLimits {
            connections_max: most(self.connections_max, otherwise.connections_max),
            sockets_max: most(self.sockets_max, otherwise.sockets_max),
            connects: quota(self.connects, otherwise.connects, MINUTE),
            joins: quota(self.joins, otherwise.joins, MINUTE),
            frames: quota(self.frames, otherwise.frames, SECOND),
            failures: quota(self.failures, otherwise.failures, MINUTE),
        }
    }
}

impl EdgeConfig {
    /// The limits of an address.
    pub(super) fn limits_of(&self, address: IpAddr) -> &AddressLimits {
        if self.trusted_proxies.may_be_many(address) { &self.of_many } else { &self.of_client }
    }

    /// How many connections a peer may have open; 0 for any number.
    pub(super) fn connections_of_peer(&self, peer: IpAddr) -> usize {
        if self.trusted_proxies.trusts(peer) { 0 } else { self.limits_of(peer).connections_max }
    }
}

impl Default for EdgeConfig {
    fn default() -> Self {
        let unset = AddressSettings::default();
        Self {
            trusted_proxies: TrustedProxies::default(),
            allowed_origins: AllowedOrigins::default(),
            of_client: unset.limits(&OF_CLIENT),
            of_many: unset.limits(&unset),
            member_messages: Quota::per(MEMBER_MESSAGES, SECOND),
            channel_messages: Quota::per(CHANNEL_MESSAGES, SECOND),
            channel_failures: Quota::per(CHANNEL_FAILURES, MINUTE),
            socket_refusals: Quota::per(SOCKET_REFUSALS, MINUTE),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct EdgeSettings {
    trusted_proxies: Setting<TrustedProxies>,
    allowed_origins: Setting<AllowedOrigins>,
    address_connections_max: Setting<usize>,
    address_sockets_max: Setting<usize>,
    address_connects_per_minute: Setting<u32>,
    address_joins_per_minute: Setting<u32>,
    address_frames_per_second: Setting<u32>,
    address_failures_per_minute: Setting<u32>,
    member_messages_per_second: Setting<u32>,
    channel_messages_per_second: Setting<u32>,
    channel_failures_per_minute: Setting<u32>,
    socket_refusals_per_minute: Setting<u32>,
}

impl Config for EdgeConfig {
    fn read(environment: &Environment, faults: &mut Faults) -> Self {
        let settings: EdgeSettings = environment.settings(faults);
        let set = AddressSettings {
            connections_max: settings
                .address_connections_max
                .optional("ADDRESS_CONNECTIONS_MAX", faults),
            sockets_max: settings.address_sockets_max.optional("ADDRESS_SOCKETS_MAX", faults),
            connects: settings
                .address_connects_per_minute
                .optional("ADDRESS_CONNECTS_PER_MINUTE", faults),
            joins: settings.address_joins_per_minute.optional("ADDRESS_JOINS_PER_MINUTE", faults),
            frames: settings
                .address_frames_per_second
                .optional("ADDRESS_FRAMES_PER_SECOND", faults),
            failures: settings
                .address_failures_per_minute
                .optional("ADDRESS_FAILURES_PER_MINUTE", faults),
        };
        let mut quota = |setting: Setting<u32>, variable, default, period| {
            Quota::per(setting.or(variable, default, faults), period)
        };
        let member_messages = quota(
            settings.member_messages_per_second,
            "MEMBER_MESSAGES_PER_SECOND",
            MEMBER_MESSAGES,
            SECOND,
        );
        let channel_messages = quota(
            settings.channel_messages_per_second,
            "CHANNEL_MESSAGES_PER_SECOND",
            CHANNEL_MESSAGES,
            SECOND,
        );
        let channel_failures = quota(
            settings.channel_failures_per_minute,
            "CHANNEL_FAILURES_PER_MINUTE",
            CHANNEL_FAILURES,
            MINUTE,
        );
        let socket_refusals = quota(
            settings.socket_refusals_per_minute,
            "SOCKET_REFUSALS_PER_MINUTE",
            SOCKET_REFUSALS,
            MINUTE,
        );
        let unlisted = (TrustedProxies::default(), AllowedOrigins::default());
        Self {
            trusted_proxies: settings.trusted_proxies.or("TRUSTED_PROXIES", unlisted.0, faults),
            allowed_origins: settings.allowed_origins.or("ALLOWED_ORIGINS", unlisted.1, faults),
            of_client: set.limits(&OF_CLIENT),
            of_many: set.limits(&AddressSettings::default()),
            member_messages,
            channel_messages,
            channel_failures,
            socket_refusals,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<EdgeConfig, Faults> {
        let mut faults = Faults::default();
        let config = EdgeConfig::read(&Environment::of(variables), &mut faults);
        faults.or_value(config)
    }

    #[test]
    fn faults_name_their_variables() {
        let faults = read(&[
            ("TRUSTED_PROXIES", "everybody"),
            ("ALLOWED_ORIGINS", "example.org"),
            ("ADDRESS_JOINS_PER_MINUTE", "-1"),
        ]);
        let faults = faults.unwrap_err().to_string();
        for variable in ["TRUSTED_PROXIES", "ALLOWED_ORIGINS", "ADDRESS_JOINS_PER_MINUTE"] {
            assert!(faults.contains(variable), "{variable} is not in {faults}");
        }
    }

    #[test]
    fn an_address_of_the_internet_is_limited_and_one_that_may_be_a_proxys_only_as_was_set() {
        let (client, proxy) = ("192.0.2.1".parse().unwrap(), "10.0.0.1".parse().unwrap());
        let unset = read(&[]).unwrap();
        assert_eq!(unset.limits_of(client).joins, Quota::per(60, MINUTE));
        assert_eq!((unset.limits_of(proxy).joins, unset.limits_of(proxy).sockets_max), (None, 0));
        let set = read(&[("ADDRESS_JOINS_PER_MINUTE", "7"), ("ADDRESS_SOCKETS_MAX", "0")]).unwrap();
        for address in [client, proxy] {
            assert_eq!(set.limits_of(address).joins, Quota::per(7, MINUTE));
            assert_eq!(set.limits_of(address).sockets_max, 0);
        }
        let without_proxy = read(&[("TRUSTED_PROXIES", "none")]).unwrap();
        assert_eq!(without_proxy.limits_of(proxy).joins, Quota::per(60, MINUTE));
    }
}
