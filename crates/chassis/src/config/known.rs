//! Every variable there is, and which services read it.
//!
//! A file may be for all services, so each of them has to tell the others' variables from typing errors.
//! [`super::audit`] holds this list to the structs that the variables are read into.

use super::file;

/// The services, by their names in a file.
pub(super) const SERVICES: [&str; 4] = ["gateway", "chat-admin", "ingest-history", "broker-bridge"];

/// Services, and the variables that just these read, in lower case.
const VARIABLES: [(&[&str], &[&str]); 7] = [
    (
        &SERVICES,
        &[
            "nats_url",
            "nats_user",
            "nats_password",
            "nats_nkey_seed_file",
            "nats_credentials_file",
            "nats_ca_file",
            "nats_cert_file",
            "nats_key_file",
            "nats_prefix",
            "health_address",
            "log_filter",
            "otel_exporter_otlp_endpoint",
            "otel_traces_sampler",
            "otel_traces_sampler_arg",
            "shutdown_grace_seconds",
        ],
    ),
    (
        &["gateway", "chat-admin"],
        &[
            "listen_address",
            "address_connections_max",
            "roles",
            "silent_roles",
            "uid_min",
            "uid_max",
            "display_name_min",
            "display_name_max",
            "secret_min",
            "secret_max",
            "channel_min",
            "channel_max",
            "channel_secret_min",
            "channel_secret_max",
            "text_min",
            "text_max",
            "meta_bytes",
            "frame_bytes",
            "body_bytes",
            "subscriptions_per_socket",
            "watched_per_socket",
            "frames_per_second",
        ],
    ),
    (
        &["chat-admin", "ingest-history"],
        &["redis_url", "redis_ca_file", "redis_cert_file", "redis_key_file", "redis_prefix"],
    ),
    (
        &["gateway"],
        &[
            "workers",
            "cpu_request",
            "connections_max",
            "outbox_bytes",
            "outbox_unauthorised_bytes",
            "outbox_total_bytes",
            "authorize_within_seconds",
            "authorization_cache_seconds",
            "room_linger_seconds",
            "rooms_max",
            "presence_ttl_seconds",
            "presence_grace_seconds",
            "presence_max",
            "drain_spread_seconds",
            "token_secret",
            "token_jwks_file",
            "token_jwks_url",
            "token_keys_refresh_seconds",
            "token_issuer",
            "token_uid_claim",
            "token_audience",
            "token_lifetime_max_seconds",
            "trusted_proxies",
            "allowed_origins",
            "address_sockets_max",
            "address_connects_per_minute",
            "address_joins_per_minute",
            "address_frames_per_second",
            "address_failures_per_minute",
            "member_messages_per_second",
            "channel_messages_per_second",
            "channel_failures_per_minute",
            "socket_refusals_per_minute",
        ],
    ),
    (
        &["chat-admin"],
        &[
            "admin_credentials",
            "admin_credentials_file",
            "channel_members_max",
            "reserved_uids",
            "delete_markers_seconds",
        ],
    ),
    (&["ingest-history"], &["history_window", "history_idle_seconds"]),
    (
        &["broker-bridge"],
        &[
            "log_replicas",
            "log_max_age_seconds",
            "log_max_bytes",
            "buckets_max_bytes",
            "deduplication_seconds",
            "webhook_allow_private",
            "webhook_timeout_seconds",
            "webhook_retry_seconds",
            "webhook_disable_after_seconds",
            "webhook_unread_after_seconds",
            "webhook_dead_letter_seconds",
        ],
    ),
];

/// The key under which a file names tenants.
pub(super) const TENANTS: &str = "tenants";

/// What a file may say of a tenant, beside [`TOKENS`]: where its channels' names begin, and what it has of its own
/// instead of what the installation has.
const OF_TENANTS: [&str; 7] = [
    "channel_prefix",
    "channels_max",
    "webhooks_max",
    "admin_credentials",
    "admin_credentials_file",
    "channel_members_max",
    "reserved_uids",
];

/// What the names of all variables of tokens begin with, which a tenant may have of its own too.
const TOKENS: &str = "token_";

/// Those that have several values, separated by commas; in a file they may be lists.
const LISTS: [&str; 10] = [
    "admin_credentials",
    "allowed_origins",
    "log_filter",
    "nats_url",
    "reserved_uids",
    "roles",
    "silent_roles",
    "token_secret",
    "trusted_proxies",
    "webhook_retry_seconds",
];

/// A variable, and the services that read it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Variable {
    /// Its name in lower case.
    pub(super) name: &'static str,
    /// The services that read it.
    pub(super) readers: &'static [&'static str],
}

/// Whether the variable of that name may be a list.
pub(super) fn is_list(name: &str) -> bool {
    LISTS.contains(&name)
}

/// The setting of a tenant of that name.
pub(super) fn of_tenant(name: &str) -> Option<&'static str> {
    of_tenants().find(|known| *known == name)
}

/// What may be said of a tenant.
pub(super) fn of_tenants() -> impl Iterator<Item = &'static str> {
    let tokens = all().map(|variable| variable.name).filter(|name| name.starts_with(TOKENS));
    OF_TENANTS.into_iter().chain(tokens)
}

/// All variables.
pub(super) fn all() -> impl Iterator<Item = Variable> {
    VARIABLES
        .iter()
        .flat_map(|&(readers, names)| names.iter().map(move |&name| Variable { name, readers }))
}

/// The variable of that name, which is in lower case.
pub(super) fn find(name: &str) -> Option<Variable> {
    all().find(|variable| variable.name == name)
}

/// A variable whose name begins with `group` and an underscore.
pub(super) fn of_group(group: &str) -> Option<Variable> {
    let has = |name: &str| name.strip_prefix(group).is_some_and(|rest| rest.starts_with('_'));
    all().find(|variable| has(variable.name))
}

/// The service of that name.
pub(super) fn service(name: &str) -> Option<&'static str> {
    SERVICES.into_iter().find(|service| *service == name)
}

/// Whether a service reads the variable of that name, in lower case or not.
pub(super) fn is_variable(name: &str) -> bool {
    name == file::VARIABLE || find(&name.to_ascii_lowercase()).is_some()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_variable_is_listed_once() {
        let names: Vec<_> = all().map(|variable| variable.name).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        assert!(LISTS.iter().all(|list| names.contains(list)));
    }

    #[test]
    fn no_variable_could_be_taken_for_a_part_of_a_service() {
        for service in SERVICES {
            assert!(find(service).is_none() && of_group(service).is_none(), "{service}");
        }
        assert!(find(TENANTS).is_none() && of_group(TENANTS).is_none());
    }

    #[test]
    fn each_variable_is_described_to_operators() {
        let page = include_str!("../../../../docs/operations.md");
        for name in all().map(|variable| variable.name).chain(of_tenants()) {
            let name = format!("`{}`", name.to_ascii_uppercase());
            assert!(page.contains(&name), "{name} is not in docs/operations.md");
        }
        assert!(page.contains(file::VARIABLE));
    }
}
