//! What the gateway is configured with, and its bounds that are not part of the protocol.

use std::{net::SocketAddr, time::Duration};

use goch_chassis::config::{Config, Environment, Faults, Setting};
use goch_contract::{Roles, TenantName, limits::Limits};
use serde::Deserialize;

use crate::{edge::EdgeConfig, token::TokenConfig};

/// The gateway's own configuration.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// Where clients connect.
    pub listen_address: SocketAddr,
    /// Threads that hold sockets, if it is said how many.
    pub workers: Option<usize>,
    /// Cores that Kubernetes keeps for this process, rounded up.
    pub cpu_request: Option<usize>,
    /// Sockets of this process, if it is said how many; more are turned away with close code 1013.
    pub connections_max: Option<usize>,
    /// Bytes that may wait for one socket; more close it with 4000.
    pub outbox_bytes: usize,
    /// The same for a socket that has not subscribed yet.
    pub outbox_unauthorised_bytes: usize,
    /// Bytes that may wait for all sockets together; beyond, those for which most waits are closed with
    /// 4000. 0 for any number; a part of the memory if it is not said.
    pub outbox_total_bytes: Option<usize>,
    /// How long a new socket may take to subscribe successfully; then it is closed with 1008.
    pub authorize_within: Duration,
    /// How long a member's authorisation is remembered.
    pub authorization_cache: Duration,
    /// How long a room stays warm after its last socket left.
    pub room_linger: Duration,
    /// Rooms of one worker; beyond that, a subscribe to another channel is `unavailable`.
    pub rooms_max: usize,
    /// How long others hold members for online whose gateway was killed.
    pub presence_ttl: Duration,
    /// How long a member whose last socket has gone still counts as online.
    pub presence_grace: Duration,
    /// Members online in a channel beyond which nobody is told who comes, goes, types and reads.
    pub presence_max: usize,
    /// The span over which a draining gateway spreads its clients' reconnects.
    pub drain_spread: Duration,
    /// How much one address or member may ask for, and which pages may.
    pub edge: EdgeConfig,
    /// How tokens are checked.
    pub tokens: TokenConfig,
    /// How those for each tenant's channels are.
    pub tenant_tokens: Vec<(TenantName, TokenConfig)>,
    /// The roles that tokens may name.
    pub roles: Roles,
    /// The protocol's limits.
    pub limits: Limits,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct GatewaySettings {
    listen_address: Setting<SocketAddr>,
    workers: Setting<usize>,
    cpu_request: Setting<usize>,
    connections_max: Setting<usize>,
    outbox_bytes: Setting<usize>,
    outbox_unauthorised_bytes: Setting<usize>,
    outbox_total_bytes: Setting<usize>,
    authorize_within_seconds: Setting<u64>,
    authorization_cache_seconds: Setting<u64>,
    room_linger_seconds: Setting<u64>,
    rooms_max: Setting<usize>,
    presence_ttl_seconds: Setting<u64>,
    presence_grace_seconds: Setting<u64>,
    presence_max: Setting<usize>,
    drain_spread_seconds: Setting<u64>,
}

impl Config for GatewayConfig {
    fn read(environment: &Environment, faults: &mut Faults) -> Self {
        let settings: GatewaySettings = environment.settings(faults);
        let mut seconds = |setting: Setting<u64>, variable, default| {
            Duration::from_secs(setting.or(variable, default, faults))
        };
        let authorize_within =
            seconds(settings.authorize_within_seconds, "AUTHORIZE_WITHIN_SECONDS", 10);
        let authorization_cache =
            seconds(settings.authorization_cache_seconds, "AUTHORIZATION_CACHE_SECONDS", 60);
        let room_linger = seconds(settings.room_linger_seconds, "ROOM_LINGER_SECONDS", 60);
        let presence_ttl = seconds(settings.presence_ttl_seconds, "PRESENCE_TTL_SECONDS", 50);
        let presence_grace = seconds(settings.presence_grace_seconds, "PRESENCE_GRACE_SECONDS", 5);
        let drain_spread = seconds(settings.drain_spread_seconds, "DRAIN_SPREAD_SECONDS", 10);
        let limits = Limits::read(environment, faults);
        let config = Self {
            listen_address: settings.listen_address.or(
                "LISTEN_ADDRESS",
                SocketAddr::from(([0, 0, 0, 0], 8080)),
                faults,
            ),
            workers: settings.workers.optional("WORKERS", faults),
            cpu_request: settings.cpu_request.optional("CPU_REQUEST", faults),
            connections_max: settings.connections_max.optional("CONNECTIONS_MAX", faults),
            outbox_bytes: settings.outbox_bytes.or("OUTBOX_BYTES", 1 << 20, faults),
            outbox_unauthorised_bytes: settings.outbox_unauthorised_bytes.or(
                "OUTBOX_UNAUTHORISED_BYTES",
                64 << 10,
                faults,
            ),
            outbox_total_bytes: settings.outbox_total_bytes.optional("OUTBOX_TOTAL_BYTES", faults),
            authorize_within,
            authorization_cache,
            room_linger,
            rooms_max: settings.rooms_max.or("ROOMS_MAX", 50_000, faults),
            presence_ttl,
            presence_grace,
            presence_max: settings.presence_max.or("PRESENCE_MAX", 200, faults),
            drain_spread,
            edge: EdgeConfig::read(environment, faults),
            tokens: TokenConfig::read(environment, faults),
            tenant_tokens: environment.of_tenants(faults, |_, environment, faults| {
                TokenConfig::read(environment, faults)
            }),
            roles: Roles::read(environment, faults),
            limits,
        };
        let workers = config.workers.unwrap_or(1);
        faults.expect((1..=1_024).contains(&workers), "WORKERS", "must be 1 to 1024");
        let ttl = config.presence_ttl.as_secs();
        faults.expect((2..=3_600).contains(&ttl), "PRESENCE_TTL_SECONDS", "must be 2 to 3600");
        // A report must fit into one NATS message, and a change is told to all who are online.
        let max = config.presence_max;
        faults.expect((1..=2_000).contains(&max), "PRESENCE_MAX", "must be 1 to 2000");
        // Whatever is sent in one piece must fit: the largest is a page of history.
        faults.expect(config.outbox_bytes >= 1 << 20, "OUTBOX_BYTES", "must be at least 1048576");
        // The refusal of a few frames.
        let unauthorised = config.outbox_unauthorised_bytes;
        let range = (16 << 10)..=config.outbox_bytes;
        let words = "must be 16384 or more, and at most OUTBOX_BYTES";
        faults.expect(range.contains(&unauthorised), "OUTBOX_UNAUTHORISED_BYTES", words);
        let total = config.outbox_total_bytes.unwrap_or(0);
        let words = "must be 0, for no limit, or at least four times OUTBOX_BYTES";
        let is_large = total == 0 || total / 4 >= config.outbox_bytes;
        faults.expect(is_large, "OUTBOX_TOTAL_BYTES", words);
        config
    }
}

#[cfg(test)]
mod tests {
    use goch_chassis::config::audit;

    use super::*;

    #[test]
    fn faults_of_gateway_and_limits_are_named_together() {
        let environment =
            Environment::of(&[("WORKERS", "0"), ("OUTBOX_BYTES", "few"), ("UID_MAX", "0")]);
        let mut faults = Faults::default();
        let config = GatewayConfig::read(&environment, &mut faults);
        let faults = faults.or_value(config).unwrap_err().to_string();
        for variable in ["WORKERS", "OUTBOX_BYTES", "UID_MAX"] {
            assert!(faults.contains(variable), "{variable} is not in {faults}");
        }
    }

    #[test]
    fn the_list_of_variables_and_the_example_file_are_true() {
        let example = include_str!("../../../deploy/config.example.yaml");
        let required = [("NATS_URL", "nats://n:4222")];
        let differences = audit::differences::<GatewayConfig>("gateway", example, &required);
        assert!(differences.is_empty(), "{differences:#?}");
    }
}
