//! Where the keys of tokens come from, and what is asked of tokens.

use std::{path::PathBuf, time::Duration};

use goch_chassis::config::{Config, Environment, Faults, Setting};
use goch_contract::Secret;
use reqwest::Url;
use serde::Deserialize;

use super::keys::SECRET_BYTES_MIN;

/// Where the keys come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// Shared secrets, for HS256. Several, so that a new one can be known before the old one goes.
    Secrets(Vec<Secret>),
    /// A JSON Web Key Set in a file.
    File(PathBuf),
    /// A JSON Web Key Set at an address.
    Url(Url),
}

/// How tokens are checked.
#[derive(Debug, Clone)]
pub struct TokenConfig {
    /// Where the keys come from; without, there are no tokens.
    pub source: Option<KeySource>,
    /// How often the keys are read again.
    pub refresh: Duration,
    /// What `iss` must be.
    pub issuer: Option<String>,
    /// What `aud` must be or have.
    pub audience: Option<String>,
    /// For how long from now a token may be valid; zero for any time.
    pub lifetime_max: Duration,
}

const REFRESH: Duration = Duration::from_mins(5);
const LIFETIME_MAX: Duration = Duration::from_hours(24);

impl Default for TokenConfig {
    fn default() -> Self {
        let (issuer, audience) = (None, None);
        // Without a source the lifetime matters to nobody.
        Self { source: None, refresh: REFRESH, issuer, audience, lifetime_max: Duration::ZERO }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_field_names, reason = "the names are the variables'")]
struct TokenSettings {
    token_secret: Setting<String>,
    token_jwks_file: Setting<PathBuf>,
    token_jwks_url: Setting<Url>,
    token_keys_refresh_seconds: Setting<u64>,
    token_issuer: Setting<String>,
    token_audience: Setting<String>,
    token_lifetime_max_seconds: Setting<u64>,
}

impl Config for TokenConfig {
    fn read(environment: &Environment, faults: &mut Faults) -> Self {
        let settings: TokenSettings = environment.settings(faults);
        let secrets = settings.token_secret.optional("TOKEN_SECRET", faults);
        let secrets = secrets.map(|secrets| read_secrets(&secrets, faults));
        let file = settings.token_jwks_file.optional("TOKEN_JWKS_FILE", faults);
        let url = settings.token_jwks_url.optional("TOKEN_JWKS_URL", faults);
        if let Some(url) = &url {
            let is_http = matches!(url.scheme(), "https" | "http");
            faults.expect(is_http, "TOKEN_JWKS_URL", "must begin with https:// or http://");
        }
        let given = usize::from(secrets.is_some()) + usize::from(file.is_some());
        let exclusive = "TOKEN_SECRET, TOKEN_JWKS_FILE, TOKEN_JWKS_URL";
        faults.expect(given + usize::from(url.is_some()) <= 1, exclusive, "exclude each other");
        let refresh = settings.token_keys_refresh_seconds.or(
            "TOKEN_KEYS_REFRESH_SECONDS",
            REFRESH.as_secs(),
            faults,
        );
        faults.expect(
            (1..=86_400).contains(&refresh),
            "TOKEN_KEYS_REFRESH_SECONDS",
            "must be 1 to 86400",
        );
        let lifetime_max = settings.token_lifetime_max_seconds.or(
            "TOKEN_LIFETIME_MAX_SECONDS",
            LIFETIME_MAX.as_secs(),
            faults,
        );
        Self {
            source: secrets
                .map(KeySource::Secrets)
                .or(file.map(KeySource::File))
                .or(url.map(KeySource::Url)),
            refresh: Duration::from_secs(refresh),
            issuer: settings.token_issuer.optional("TOKEN_ISSUER", faults),
            audience: settings.token_audience.optional("TOKEN_AUDIENCE", faults),
            lifetime_max: Duration::from_secs(lifetime_max),
        }
    }
}

fn read_secrets(secrets: &str, faults: &mut Faults) -> Vec<Secret> {
    let secrets: Vec<_> = secrets.split(',').map(|secret| Secret::new(secret.trim())).collect();
    let are_long = secrets.iter().all(|secret| secret.expose().len() >= SECRET_BYTES_MIN);
    let reason = format!("must be secrets of at least {SECRET_BYTES_MIN} bytes, parted by commas");
    faults.expect(are_long, "TOKEN_SECRET", reason);
    secrets
}

#[cfg(test)]
impl TokenConfig {
    pub(super) fn of_secrets(secrets: &[&str]) -> Self {
        let secrets = secrets.iter().map(|secret| Secret::new(*secret)).collect();
        Self {
            source: Some(KeySource::Secrets(secrets)),
            lifetime_max: LIFETIME_MAX,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<TokenConfig, Faults> {
        let mut faults = Faults::default();
        let config = TokenConfig::read(&Environment::of(variables), &mut faults);
        faults.or_value(config)
    }

    #[test]
    fn secrets_are_long_parted_by_commas_and_not_repeated_in_faults() {
        let (old, new) = ("o".repeat(32), "n".repeat(32));
        let both = format!("{new}, {old}");
        let source = read(&[("TOKEN_SECRET", &both)]).unwrap().source;
        let expected = KeySource::Secrets(vec![Secret::new(new), Secret::new(old)]);
        assert_eq!(source, Some(expected));
        let faults = read(&[("TOKEN_SECRET", "hunter2")]).unwrap_err().to_string();
        assert!(faults.contains("TOKEN_SECRET") && !faults.contains("hunter2"), "{faults}");
    }

    #[test]
    fn there_is_one_source_of_keys_at_most() {
        assert_eq!(read(&[]).unwrap().source, None);
        let file = ("TOKEN_JWKS_FILE", "/keys.json");
        let url = ("TOKEN_JWKS_URL", "https://id.example/keys");
        assert!(read(&[file]).is_ok() && read(&[url]).is_ok());
        assert!(read(&[file, url]).unwrap_err().to_string().contains("exclude each other"));
        assert!(read(&[("TOKEN_JWKS_URL", "ftp://id.example")]).is_err());
    }
}
