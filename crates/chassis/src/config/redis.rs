//! How to reach Redis: its address, certificates, names of keys.

use std::{borrow::Cow, path::PathBuf};

use goch_contract::{Secret, subjects::DEFAULT_PREFIX};
use serde::Deserialize;

use super::{Config, Environment, Faults, Setting};
use crate::tls::{Tls, TlsSettings};

/// How to reach Redis.
#[derive(Debug, Clone)]
pub struct RedisConfig {
    /// `redis://user:password@host:port/database`, or `redis-cluster://…`; never with TLS, which `tls`
    /// tells.
    pub url: Secret,
    /// The certificates, if it is reached over TLS.
    pub tls: Option<Tls>,
    /// What every key begins with.
    pub prefix: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RedisSettings {
    redis_url: Setting<String>,
    redis_ca_file: Setting<PathBuf>,
    redis_cert_file: Setting<PathBuf>,
    redis_key_file: Setting<PathBuf>,
    redis_prefix: Setting<String>,
    nats_prefix: Setting<String>,
}

impl Config for RedisConfig {
    fn read(environment: &Environment, faults: &mut Faults) -> Self {
        let settings: RedisSettings = environment.settings(faults);
        let url = settings.redis_url.required("REDIS_URL", faults);
        let (url, is_over_tls) = without_tls(&url);
        // fred takes any scheme for a single Redis server's.
        let is_redis = ["redis", "valkey"].iter().any(|scheme| url.starts_with(scheme))
            && fred::types::config::Config::from_url(&url).is_ok();
        // The parser's own error could repeat the password.
        faults.expect(url.is_empty() || is_redis, "REDIS_URL", "is not a Redis URL");
        let certificates = TlsSettings {
            ca: ("REDIS_CA_FILE", settings.redis_ca_file),
            cert: ("REDIS_CERT_FILE", settings.redis_cert_file),
            key: ("REDIS_KEY_FILE", settings.redis_key_file),
        };
        let tls = certificates.read(is_over_tls, "rediss:// in REDIS_URL", faults);
        // A fault in NATS_PREFIX itself is found where that is read.
        let nats_prefix = settings.nats_prefix.0.and_then(Result::ok);
        let default = nats_prefix.unwrap_or_else(|| DEFAULT_PREFIX.to_owned());
        let prefix = settings.redis_prefix.or("REDIS_PREFIX", default, faults);
        faults.expect(!prefix.contains(['{', '}']), "REDIS_PREFIX", "must not contain { or }");
        Self { url: Secret::new(url.into_owned()), tls, prefix }
    }
}

/// The URL as it is without TLS, and whether it is with. Told TLS by a URL, fred would read the system's
/// authorities, whatever is configured, and fail if it cannot.
fn without_tls(url: &str) -> (Cow<'_, str>, bool) {
    for (secure, plain) in [("rediss", "redis"), ("valkeys", "valkey")] {
        if let Some(rest) = url.strip_prefix(secure) {
            return (Cow::Owned(format!("{plain}{rest}")), true);
        }
    }
    (Cow::Borrowed(url), false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::tests, tls::tests::files};

    fn read(variables: &[(&str, &str)]) -> Result<RedisConfig, String> {
        tests::read(variables).map_err(|faults| faults.to_string())
    }

    #[test]
    fn a_faulty_redis_url_is_not_repeated() {
        for url in ["redis:/hunter2@", "http://hunter2@localhost", "rediss:/hunter2@"] {
            let faults = read(&[("REDIS_URL", url)]).unwrap_err();
            assert!(faults.contains("REDIS_URL") && !faults.contains("hunter2"), "{faults}");
        }
    }

    #[test]
    fn redis_keys_begin_with_the_nats_prefix_unless_told_otherwise() {
        let url = ("REDIS_URL", "redis://r:6379");
        let config = read(&[url, ("NATS_PREFIX", "acme")]).unwrap();
        assert_eq!(config.prefix, "acme");
        let config = read(&[url, ("REDIS_PREFIX", "r")]).unwrap();
        assert_eq!(config.prefix, "r");
    }

    #[test]
    fn the_scheme_says_whether_tls_is_used() {
        for (url, plain) in [
            ("rediss://u:p@r:6379/1", "redis://u:p@r:6379/1"),
            ("rediss-cluster://r:6379", "redis-cluster://r:6379"),
            ("valkeys://r:6379", "valkey://r:6379"),
        ] {
            let config = read(&[("REDIS_URL", url)]).unwrap();
            assert_eq!((config.url.expose(), config.tls.is_some()), (plain, true));
            let config = read(&[("REDIS_URL", plain)]).unwrap();
            assert_eq!((config.url.expose(), config.tls.is_some()), (plain, false));
        }
        let files = files();
        let ca = files.path("ca");
        let faults = read(&[("REDIS_URL", "redis://r"), ("REDIS_CA_FILE", &ca)]).unwrap_err();
        assert_eq!(faults, "REDIS_CA_FILE: needs rediss:// in REDIS_URL");
    }
}
