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

/// For whom a token must have been made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Audience {
    /// Whomever: `aud` is not looked at.
    #[default]
    Any,
    /// `aud` must be or have this.
    Named(String),
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
    /// For whom a token must have been made.
    pub audience: Audience,
    /// For how long from now a token may be valid; zero for any time.
    pub lifetime_max: Duration,
    /// The claim that says who somebody is.
    pub uid_claim: String,
}

/// The explicit way to say [`Audience::Any`].
const ANY_AUDIENCE: &str = "*";

/// The claim that says who somebody is, unless the operator names another one (RFC 7519, 4.1.2).
const UID_CLAIM: &str = "sub";

const REFRESH: Duration = Duration::from_mins(5);
const LIFETIME_MAX: Duration = Duration::from_hours(24);

impl Default for TokenConfig {
    fn default() -> Self {
        Self {
            source: None,
            refresh: REFRESH,
            issuer: None,
            audience: Audience::Any,
            // Without a source the lifetime matters to nobody.
            lifetime_max: Duration::ZERO,
            uid_claim: UID_CLAIM.to_owned(),
        }
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
    token_uid_claim: Setting<String>,
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
        let is_key_set = file.is_some() || url.is_some();
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
            audience: read_audience(settings.token_audience, is_key_set, faults),
            lifetime_max: Duration::from_secs(lifetime_max),
            uid_claim: settings.token_uid_claim.or("TOKEN_UID_CLAIM", UID_CLAIM.to_owned(), faults),
        }
    }
}

/// Whoever publishes a key set signs for other services too as a rule: a token that was made for one of
/// them must not open channels here because nobody thought of it.
fn read_audience(setting: Setting<String>, is_key_set: bool, faults: &mut Faults) -> Audience {
    match setting.optional("TOKEN_AUDIENCE", faults) {
        Some(any) if any == ANY_AUDIENCE => Audience::Any,
        Some(audience) => Audience::Named(audience),
        None => {
            let reason = "is required with TOKEN_JWKS_FILE and TOKEN_JWKS_URL, whose keys may sign \
                          for others too; * takes tokens for any audience";
            faults.expect(!is_key_set, "TOKEN_AUDIENCE", reason);
            Audience::Any
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
        let audience = ("TOKEN_AUDIENCE", "goch");
        assert!(read(&[file, audience]).is_ok() && read(&[url, audience]).is_ok());
        let both = read(&[file, url, audience]).unwrap_err().to_string();
        assert!(both.contains("exclude each other"), "{both}");
        assert!(read(&[("TOKEN_JWKS_URL", "ftp://id.example"), audience]).is_err());
    }

    #[test]
    fn with_a_key_set_it_must_be_said_for_whom_tokens_are_made() {
        let secret = "s".repeat(32);
        let audience = |variables: &[(&str, &str)]| read(variables).map(|config| config.audience);
        for source in ["TOKEN_JWKS_FILE", "TOKEN_JWKS_URL"] {
            let source = (source, "https://id.example/keys");
            let fault = audience(&[source]).unwrap_err().to_string();
            assert!(fault.contains("TOKEN_AUDIENCE: is required"), "{fault}");
            let named = audience(&[source, ("TOKEN_AUDIENCE", "goch")]);
            assert_eq!(named, Ok(Audience::Named("goch".to_owned())));
            assert_eq!(audience(&[source, ("TOKEN_AUDIENCE", "*")]), Ok(Audience::Any));
        }
        assert_eq!(audience(&[("TOKEN_SECRET", &secret)]), Ok(Audience::Any));
        assert_eq!(audience(&[]), Ok(Audience::Any));
    }
}
