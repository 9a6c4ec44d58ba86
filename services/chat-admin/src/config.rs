//! What chat-admin is configured with.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use goch_chassis::config::{Config, Environment, Faults, RedisConfig, Setting};
use goch_contract::{
    Roles, Secret, TenantName,
    limits::{Length, Limits},
};
use serde::Deserialize;

use crate::{
    credentials::{CredentialSet, CredentialSource},
    tenants::AllRules,
};

/// A quarter of the connections there are: nobody alone takes them all.
const ADDRESS_CONNECTIONS: usize = 128;

/// chat-admin's own configuration.
#[derive(Debug, Clone)]
pub struct AdminConfig {
    /// Where ticketing connects.
    pub listen_address: SocketAddr,
    /// Connections that one address may have open; 0 for any number.
    pub connections_max: usize,
    /// What ticketing logs in with: of the installation, and of each tenant.
    pub(crate) credentials: Vec<CredentialSource>,
    /// How to reach Redis.
    pub redis: RedisConfig,
    /// How long the marker of a deleted channel or member stays, by which replicas hear of it.
    pub keep_markers: Duration,
    /// What holds in which channels.
    pub(crate) rules: Arc<AllRules>,
    /// The roles that ticketing may give.
    pub roles: Roles,
    /// The protocol's limits.
    pub limits: Limits,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AdminSettings {
    listen_address: Setting<SocketAddr>,
    address_connections_max: Setting<usize>,
    delete_markers_seconds: Setting<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CredentialSettings {
    admin_credentials: Setting<String>,
    admin_credentials_file: Setting<PathBuf>,
}

impl Config for AdminConfig {
    fn read(environment: &Environment, faults: &mut Faults) -> Self {
        let settings: AdminSettings = environment.settings(faults);
        let own = read_credentials(environment, None, faults);
        let of_tenants = environment.of_tenants(faults, |tenant, environment, faults| {
            read_credentials(environment, Some(tenant.clone()), faults)
        });
        let of_tenants = of_tenants.into_iter().filter_map(|(_, source)| source);
        let limits = Limits::read(environment, faults);
        allow_generated(limits.secret, "SECRET_MIN and SECRET_MAX", faults);
        let channel_secret = "CHANNEL_SECRET_MIN and CHANNEL_SECRET_MAX";
        allow_generated(limits.channel_secret, channel_secret, faults);
        let markers = "DELETE_MARKERS_SECONDS";
        let keep_markers = settings.delete_markers_seconds.or(markers, 600, faults);
        // A replica must have heard of a deletion before its marker goes.
        faults.expect((5..=604_800).contains(&keep_markers), markers, "must be 5 to 604800");
        Self {
            listen_address: settings.listen_address.or(
                "LISTEN_ADDRESS",
                SocketAddr::from(([0, 0, 0, 0], 8090)),
                faults,
            ),
            credentials: own.into_iter().chain(of_tenants).collect(),
            connections_max: settings.address_connections_max.or(
                "ADDRESS_CONNECTIONS_MAX",
                ADDRESS_CONNECTIONS,
                faults,
            ),
            redis: RedisConfig::read(environment, faults),
            keep_markers: Duration::from_secs(keep_markers),
            rules: Arc::new(AllRules::read(environment, faults)),
            roles: Roles::read(environment, faults),
            limits,
        }
    }
}

const CREDENTIALS: &str = "ADMIN_CREDENTIALS";
const CREDENTIALS_FILE: &str = "ADMIN_CREDENTIALS_FILE";

/// Credentials of a tenant, who need not have any, or of the installation.
fn read_credentials(
    environment: &Environment,
    tenant: Option<TenantName>,
    faults: &mut Faults,
) -> Option<CredentialSource> {
    let settings: CredentialSettings = environment.settings(faults);
    let variable = settings.admin_credentials.optional(CREDENTIALS, faults);
    let file = settings.admin_credentials_file.optional(CREDENTIALS_FILE, faults);
    let (name, read) = match (&variable, &file) {
        (Some(value), None) => (CREDENTIALS, CredentialSet::of_variable(value)),
        (None, Some(path)) => (CREDENTIALS_FILE, CredentialSet::of_file(path)),
        (Some(_), Some(_)) => {
            faults.add(CREDENTIALS, format!("excludes {CREDENTIALS_FILE}"));
            return None;
        }
        (None, None) => {
            let words = format!("is required, or {CREDENTIALS_FILE}");
            faults.expect(tenant.is_some(), CREDENTIALS, words);
            return None;
        }
    };
    let set = read.map_err(|error| faults.add(name, error)).ok()?;
    Some(CredentialSource { tenant, set, file })
}

/// A secret that is generated here must pass the limits where it is used.
fn allow_generated(length: Length, variables: &str, faults: &mut Faults) {
    let generated = Secret::GENERATED_LENGTH;
    faults.expect(
        (length.min..=length.max).contains(&generated),
        variables,
        format!("must allow {generated} characters, the length of generated secrets"),
    );
}

#[cfg(test)]
mod tests {
    use goch_chassis::config::audit;

    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<AdminConfig, Faults> {
        let mut faults = Faults::default();
        let config = AdminConfig::read(&Environment::of(variables), &mut faults);
        faults.or_value(config)
    }

    #[test]
    fn there_are_no_default_credentials() {
        let faults = read(&[("LISTEN_ADDRESS", "x"), ("ADMIN_CREDENTIALS", "")]).unwrap_err();
        let faults = faults.to_string();
        for variable in ["ADMIN_CREDENTIALS", "REDIS_URL", "LISTEN_ADDRESS"] {
            assert!(faults.contains(variable), "{variable} is not in {faults}");
        }
    }

    #[test]
    fn credentials_come_from_one_place_and_their_faults_name_it() {
        let redis = ("REDIS_URL", "redis://r:6379");
        let inline = ("ADMIN_CREDENTIALS", "desk:hunter2");
        let file = ("ADMIN_CREDENTIALS_FILE", "/nowhere/at/all");
        for (variables, fault) in [
            (vec![redis, inline], "ADMIN_CREDENTIALS: credential 1 must have a password of at"),
            (vec![redis, file], "ADMIN_CREDENTIALS_FILE: cannot be read"),
            (vec![redis, inline, file], "ADMIN_CREDENTIALS: excludes ADMIN_CREDENTIALS_FILE"),
        ] {
            let faults = read(&variables).unwrap_err().to_string();
            assert!(faults.contains(fault) && !faults.contains("hunter2"), "{faults}");
        }
    }

    #[test]
    fn limits_that_would_refuse_generated_secrets_are_a_fault() {
        let good = [
            ("ADMIN_CREDENTIALS", "admin:hunter2-hunter2-hunter2"),
            ("REDIS_URL", "redis://r:6379"),
        ];
        let config = read(&good).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
        let mut variables = good.to_vec();
        variables.push(("SECRET_MIN", "64"));
        assert!(read(&variables).unwrap_err().to_string().contains("SECRET_MIN"));
    }

    #[test]
    fn the_list_of_variables_and_the_example_file_are_true() {
        let example = include_str!("../../../deploy/config.example.yaml");
        let required = [
            ("NATS_URL", "nats://n:4222"),
            ("REDIS_URL", "redis://r:6379"),
            ("ADMIN_CREDENTIALS", "admin:hunter2-hunter2-hunter2"),
        ];
        let differences = audit::differences::<AdminConfig>("chat-admin", example, &required);
        assert!(differences.is_empty(), "{differences:#?}");
    }
}
