//! Configuration from the environment and a file, with all its faults reported at once.
//!
//! [`Environment`] has the variables, those of the process and what a file says instead of the others. envy fills
//! a struct of [`Setting`]s from them, which keep a value that cannot be parsed instead of failing; taking the
//! values out then collects every fault in [`Faults`].

pub mod audit;
mod environment;
mod file;
mod known;
mod nats;
mod redis;
mod tenants;
mod traces;

use std::{collections::BTreeMap, fmt, net::SocketAddr, str::FromStr, time::Duration};

use goch_contract::{
    Roles, Tenants,
    ids::{CHANNEL_CEILING, NAME_CEILING},
    limits::{Length, Limits},
};
use serde::{Deserialize, Deserializer};

pub use self::{
    environment::Environment,
    nats::{Login, NatsConfig},
    redis::RedisConfig,
    traces::TracesConfig,
};

/// One variable: left out, or a value that may not parse.
///
/// An empty value counts as left out, because that is how compose files and manifests leave things
/// out.
#[derive(Debug)]
pub struct Setting<T>(Option<Result<T, String>>);

impl<T> Default for Setting<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Setting<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = String::deserialize(deserializer)?;
        let value = value.trim();
        let parsed =
            (!value.is_empty()).then(|| value.parse().map_err(|error: T::Err| error.to_string()));
        Ok(Self(parsed))
    }
}

impl<T> Setting<T> {
    /// The value, if it was given; one that does not parse is a fault.
    pub fn optional(self, variable: &str, faults: &mut Faults) -> Option<T> {
        match self.0? {
            Ok(value) => Some(value),
            Err(error) => {
                faults.add(variable, error);
                None
            }
        }
    }

    /// The value, or `default` if it was left out.
    pub fn or(self, variable: &str, default: T, faults: &mut Faults) -> T {
        self.optional(variable, faults).unwrap_or(default)
    }
}

impl<T> Setting<T> {
    /// Whether it was given, as a good value or not.
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.0.is_some()
    }
}

impl<T: Default> Setting<T> {
    /// The value; leaving it out is a fault. What is returned then is never used, because a
    /// configuration with faults is not.
    pub fn required(self, variable: &str, faults: &mut Faults) -> T {
        if self.0.is_none() {
            faults.add(variable, "is required");
        }
        self.optional(variable, faults).unwrap_or_default()
    }
}

/// Everything that is wrong with a configuration.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Faults {
    faults: Vec<String>,
    /// Where a file sets a variable, for those that it does.
    places: BTreeMap<String, String>,
}

impl Faults {
    /// Adds one fault. `reason` must not repeat a secret value.
    pub fn add(&mut self, variable: &str, reason: impl fmt::Display) {
        self.faults.push(match self.places.get(variable) {
            Some(place) => format!("{variable} ({place}): {reason}"),
            None => format!("{variable}: {reason}"),
        });
    }

    /// Adds the faults of a part, which `whose` names.
    fn add_all(&mut self, whose: &str, faults: Self) {
        self.faults.extend(faults.faults.into_iter().map(|fault| format!("{whose}: {fault}")));
    }

    /// From now on, faults of `variable` say that it is set at `place`, in a file.
    fn locate(&mut self, variable: &str, place: String) {
        self.places.insert(variable.to_owned(), place);
    }

    /// Adds a fault unless `holds`.
    pub fn expect(&mut self, holds: bool, variable: &str, reason: impl fmt::Display) {
        if !holds {
            self.add(variable, reason);
        }
    }

    /// `value`, unless there are faults.
    ///
    /// # Errors
    /// The faults, if there are any.
    pub fn or_value<T>(self, value: T) -> Result<T, Self> {
        if self.faults.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.faults.join("; "))
    }
}

/// A service's own configuration.
pub trait Config: Sized {
    /// Reads it, adding what is wrong to `faults`.
    fn read(environment: &Environment, faults: &mut Faults) -> Self;
}

/// What every service is configured with.
#[derive(Debug)]
pub struct ChassisConfig {
    /// How to reach NATS.
    pub nats: NatsConfig,
    /// Where health and metrics are served.
    pub health_address: SocketAddr,
    /// Which log lines are written, as `tracing_subscriber::EnvFilter` reads it.
    pub log_filter: String,
    /// Where traces are sent, and which of them.
    pub traces: TracesConfig,
    /// How long draining may take after SIGTERM.
    pub shutdown_grace: Duration,
    /// The customers of this installation, if it has several.
    pub tenants: Tenants,
}

/// Our own lines; of the libraries only what is wrong.
const DEFAULT_LOG_FILTER: &str = "info,actix_server=warn,async_nats=warn,fred=warn";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ChassisSettings {
    health_address: Setting<SocketAddr>,
    log_filter: Setting<String>,
    shutdown_grace_seconds: Setting<u64>,
}

impl Config for ChassisConfig {
    fn read(environment: &Environment, faults: &mut Faults) -> Self {
        let settings: ChassisSettings = environment.settings(faults);
        let log_filter =
            settings.log_filter.or("LOG_FILTER", DEFAULT_LOG_FILTER.to_owned(), faults);
        if let Err(error) = log_filter.parse::<tracing_subscriber::EnvFilter>() {
            faults.add("LOG_FILTER", error);
        }
        let grace = settings.shutdown_grace_seconds.or("SHUTDOWN_GRACE_SECONDS", 25, faults);
        Self {
            nats: NatsConfig::read(environment, faults),
            health_address: settings.health_address.or(
                "HEALTH_ADDRESS",
                SocketAddr::from(([0, 0, 0, 0], 9090)),
                faults,
            ),
            log_filter,
            traces: TracesConfig::read(environment, faults),
            shutdown_grace: Duration::from_secs(grace),
            tenants: Tenants::read(environment, faults),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RoleSettings {
    roles: Setting<String>,
    silent_roles: Setting<String>,
}

impl Config for Roles {
    fn read(environment: &Environment, faults: &mut Faults) -> Self {
        let settings: RoleSettings = environment.settings(faults);
        let words = settings.roles.optional("ROLES", faults);
        let roles = words.map_or_else(|| Ok(Self::default()), |words| Self::parse(&words));
        let roles = roles.unwrap_or_else(|error| {
            faults.add("ROLES", format!("a role {error}"));
            Self::default()
        });
        let silent = settings.silent_roles.optional("SILENT_ROLES", faults);
        let Some(words) = silent else { return roles };
        roles.clone().with_silent(&words).unwrap_or_else(|error| {
            faults.add("SILENT_ROLES", error.to_string());
            roles
        })
    }
}

macro_rules! limits {
    ($($length:ident: $min:ident $min_name:literal, $max:ident $max_name:literal;)* -- $($count:ident $count_name:literal;)*) => {
        #[derive(Debug, Default, Deserialize)]
        #[serde(default)]
        struct LimitSettings {
            $($min: Setting<usize>, $max: Setting<usize>,)*
            $($count: Setting<u32>,)*
        }

        impl Config for Limits {
            fn read(environment: &Environment, faults: &mut Faults) -> Self {
                let settings: LimitSettings = environment.settings(faults);
                let mut limits = Self::default();
                $(
                    limits.$length = Length {
                        min: settings.$min.or($min_name, limits.$length.min, faults),
                        max: settings.$max.or($max_name, limits.$length.max, faults),
                    };
                    faults.expect(
                        limits.$length.min <= limits.$length.max,
                        $min_name,
                        concat!("must not be more than ", $max_name),
                    );
                )*
                $(
                    if let Some(count) = settings.$count.optional($count_name, faults) {
                        faults.expect(count > 0, $count_name, "must be more than 0");
                        limits.$count = count as _;
                    }
                )*
                for (length, ceiling, variable) in [
                    (limits.uid, NAME_CEILING, "UID_MAX"),
                    (limits.channel, CHANNEL_CEILING, "CHANNEL_MAX"),
                ] {
                    let reason = format!("must be 1 to {ceiling}");
                    faults.expect((1..=ceiling).contains(&length.max), variable, reason);
                }
                // A limit above this would break the promise that any stored event fits into one
                // NATS message and one page.
                faults.expect(limits.text.max <= 65_536, "TEXT_MAX", "must be at most 65536");
                faults.expect(limits.meta_bytes <= 65_536, "META_BYTES", "must be at most 65536");
                limits
            }
        }
    };
}

limits! {
    uid: uid_min "UID_MIN", uid_max "UID_MAX";
    display_name: display_name_min "DISPLAY_NAME_MIN", display_name_max "DISPLAY_NAME_MAX";
    secret: secret_min "SECRET_MIN", secret_max "SECRET_MAX";
    channel: channel_min "CHANNEL_MIN", channel_max "CHANNEL_MAX";
    channel_secret: channel_secret_min "CHANNEL_SECRET_MIN", channel_secret_max "CHANNEL_SECRET_MAX";
    text: text_min "TEXT_MIN", text_max "TEXT_MAX";
    --
    meta_bytes "META_BYTES";
    frame_bytes "FRAME_BYTES";
    body_bytes "BODY_BYTES";
    subscriptions_per_socket "SUBSCRIPTIONS_PER_SOCKET";
    watched_per_socket "WATCHED_PER_SOCKET";
    frames_per_second "FRAMES_PER_SECOND";
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn read<C: Config>(variables: &[(&str, &str)]) -> Result<C, Faults> {
        let mut faults = Faults::default();
        let config = C::read(&Environment::of(variables), &mut faults);
        faults.or_value(config)
    }

    #[test]
    fn all_faults_are_named_at_once() {
        let faults = read::<ChassisConfig>(&[
            ("NATS_PREFIX", "a.b"),
            ("NATS_USER", "gateway"),
            ("HEALTH_ADDRESS", "everywhere"),
            ("SHUTDOWN_GRACE_SECONDS", "-1"),
        ])
        .unwrap_err()
        .to_string();
        for variable in
            ["NATS_URL", "NATS_PREFIX", "NATS_PASSWORD", "HEALTH_ADDRESS", "SHUTDOWN_GRACE_SECONDS"]
        {
            assert!(faults.contains(&format!("{variable}: ")), "{variable} is not in {faults}");
        }
    }

    #[test]
    fn silent_roles_are_some_of_those_that_are_added() {
        let read_roles =
            |silent| read::<Roles>(&[("ROLES", "supervisor"), ("SILENT_ROLES", silent)]);
        let roles = read_roles("supervisor").unwrap();
        assert!(roles.find("role", "supervisor").is_ok_and(|role| roles.is_silent(&role)));
        let faults = read_roles("agent").unwrap_err().to_string();
        assert!(faults.contains("SILENT_ROLES: agent"), "{faults}");
    }

    #[test]
    fn limits_are_read_and_checked() {
        let limits = read::<Limits>(&[("TEXT_MAX", "10"), ("FRAMES_PER_SECOND", "5")]).unwrap();
        assert_eq!((limits.text.max, limits.frames_per_second), (10, 5));
        let faults = read::<Limits>(&[("UID_MAX", "1000"), ("TEXT_MIN", "9"), ("TEXT_MAX", "8")]);
        let faults = faults.unwrap_err().to_string();
        assert!(faults.contains("UID_MAX") && faults.contains("TEXT_MIN"), "{faults}");
    }
}
