//! How to reach NATS: servers, who one is there, certificates, names.

use std::path::PathBuf;

use async_nats::{ConnectOptions, ServerAddr};
use goch_contract::{
    Secret,
    subjects::{DEFAULT_PREFIX, Subjects},
};
use serde::Deserialize;

use super::{Config, Environment, Faults, Setting};
use crate::tls::{Tls, TlsSettings};

/// How to reach NATS.
#[derive(Debug, Clone)]
pub struct NatsConfig {
    /// The servers of one cluster, or the only one.
    pub servers: Vec<ServerAddr>,
    /// Who one is there.
    pub login: Login,
    /// The certificates, if the servers are reached over TLS.
    pub tls: Option<Tls>,
    /// The names of this installation.
    pub subjects: Subjects,
}

/// Who a service is to the NATS server.
#[derive(Debug, Clone)]
pub enum Login {
    /// Nobody: the server does not ask.
    Nobody,
    /// A user with a password.
    Password(String, Secret),
    /// The holder of this nkey seed, which does not leave the process.
    Nkey(Secret),
    /// The user of a credentials file: a JWT, and the seed that goes with it.
    Credentials(Secret),
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_field_names, reason = "the names are those of the variables")]
struct NatsSettings {
    nats_url: Setting<String>,
    nats_user: Setting<String>,
    nats_password: Setting<String>,
    nats_nkey_seed_file: Setting<PathBuf>,
    nats_credentials_file: Setting<PathBuf>,
    nats_ca_file: Setting<PathBuf>,
    nats_cert_file: Setting<PathBuf>,
    nats_key_file: Setting<PathBuf>,
    nats_prefix: Setting<String>,
}

impl Config for NatsConfig {
    fn read(environment: &Environment, faults: &mut Faults) -> Self {
        let settings: NatsSettings = environment.settings(faults);
        let servers = servers(settings.nats_url, faults);
        let are_over_tls = servers.iter().any(ServerAddr::tls_required);
        // Else the one that is not would be told everything that the others are not to tell.
        faults.expect(
            !are_over_tls || servers.iter().all(ServerAddr::tls_required),
            "NATS_URL",
            "has servers with tls:// and without",
        );
        let certificates = TlsSettings {
            ca: ("NATS_CA_FILE", settings.nats_ca_file),
            cert: ("NATS_CERT_FILE", settings.nats_cert_file),
            key: ("NATS_KEY_FILE", settings.nats_key_file),
        };
        let tls = certificates.read(are_over_tls, "tls:// in NATS_URL", faults);
        let login = Logins {
            password: password(settings.nats_user, settings.nats_password, faults),
            nkey: nkey(settings.nats_nkey_seed_file, faults),
            credentials: credentials(settings.nats_credentials_file, faults),
        };
        let login = login.only_one(faults);
        Self { servers, login, tls, subjects: prefix(settings.nats_prefix, faults) }
    }
}

/// Servers separated by commas.
fn servers(setting: Setting<String>, faults: &mut Faults) -> Vec<ServerAddr> {
    let urls = setting.required("NATS_URL", faults);
    if urls.is_empty() {
        return Vec::new();
    }
    let servers: Result<Vec<_>, _> = urls.split(',').map(|url| url.trim().parse()).collect();
    let is_good = |server: &ServerAddr| {
        !server.host().is_empty() && ["nats", "tls"].contains(&server.scheme())
    };
    match servers {
        Ok(servers) if servers.iter().all(is_good) => servers,
        // Not repeated: it may have a password.
        _ => {
            faults.add("NATS_URL", "is not a NATS URL, nats://host:port or tls://host:port");
            Vec::new()
        }
    }
}

/// The ways to say who one is, of which there may be one.
struct Logins {
    password: Option<Login>,
    nkey: Option<Login>,
    credentials: Option<Login>,
}

impl Logins {
    fn only_one(self, faults: &mut Faults) -> Login {
        let all = [
            ("NATS_USER", self.password),
            ("NATS_NKEY_SEED_FILE", self.nkey),
            ("NATS_CREDENTIALS_FILE", self.credentials),
        ];
        let mut given = all.into_iter().filter_map(|(name, login)| Some((name, login?)));
        let Some((first, login)) = given.next() else { return Login::Nobody };
        for (other, _) in given {
            faults.add(other, format!("excludes {first}"));
        }
        login
    }
}

fn password(
    user: Setting<String>,
    password: Setting<String>,
    faults: &mut Faults,
) -> Option<Login> {
    let user = user.optional("NATS_USER", faults);
    let password = password.optional("NATS_PASSWORD", faults);
    match (user, password) {
        (Some(user), Some(password)) => Some(Login::Password(user, Secret::new(password))),
        (Some(_), None) => {
            faults.add("NATS_PASSWORD", "is required with NATS_USER");
            None
        }
        (None, Some(_)) => {
            faults.add("NATS_USER", "is required with NATS_PASSWORD");
            None
        }
        (None, None) => None,
    }
}

fn nkey(file: Setting<PathBuf>, faults: &mut Faults) -> Option<Login> {
    let seed = secret_file("NATS_NKEY_SEED_FILE", file, faults)?;
    // What it cannot read is not repeated.
    let is_seed = nkeys::KeyPair::from_seed(seed.trim()).is_ok();
    faults.expect(is_seed, "NATS_NKEY_SEED_FILE", "has no nkey seed");
    Some(Login::Nkey(Secret::new(seed.trim())))
}

fn credentials(file: Setting<PathBuf>, faults: &mut Faults) -> Option<Login> {
    let credentials = secret_file("NATS_CREDENTIALS_FILE", file, faults)?;
    let are_good = ConnectOptions::with_credentials(&credentials).is_ok();
    faults.expect(are_good, "NATS_CREDENTIALS_FILE", "does not have a JWT and an nkey seed");
    Some(Login::Credentials(Secret::new(credentials)))
}

fn secret_file(variable: &str, file: Setting<PathBuf>, faults: &mut Faults) -> Option<String> {
    let path = file.optional(variable, faults)?;
    std::fs::read_to_string(&path)
        .inspect_err(|error| faults.add(variable, format!("{}: {error}", path.display())))
        .ok()
}

fn prefix(setting: Setting<String>, faults: &mut Faults) -> Subjects {
    let prefix = setting.or("NATS_PREFIX", DEFAULT_PREFIX.to_owned(), faults);
    Subjects::new(&prefix).unwrap_or_else(|error| {
        faults.add("NATS_PREFIX", error);
        Subjects::default()
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{config::tests, tls::tests::files};

    fn read(variables: &[(&str, &str)]) -> Result<NatsConfig, String> {
        tests::read(variables).map_err(|faults| faults.to_string())
    }

    #[test]
    fn nats_can_be_several_servers() {
        let servers = |urls| {
            let config = read(&[("NATS_URL", urls)]);
            config.map(|config| config.servers.iter().map(ServerAddr::port).collect::<Vec<_>>())
        };
        assert_eq!(servers("nats://n").unwrap(), [4222]);
        assert_eq!(servers("nats://a:1, nats://b:2,nats://c:3").unwrap(), [1, 2, 3]);
        for urls in [
            "nats://hunter2:x",
            "nats://a:1,,nats://b:2",
            "nats://a:1,hunter2://b",
            "http://hunter2",
            "ws://hunter2",
        ] {
            let faults = servers(urls).unwrap_err();
            assert!(faults.contains("NATS_URL: is not a NATS URL"), "{faults}");
            assert!(!faults.contains("hunter2"), "{faults}");
        }
    }

    #[test]
    fn an_empty_variable_counts_as_left_out() {
        let config = read(&[("NATS_URL", "nats://n:4222"), ("NATS_PREFIX", "")]).unwrap();
        assert_eq!(config.subjects.prefix(), "goch");
    }

    #[test]
    fn tls_is_for_all_servers_or_for_none() {
        assert!(read(&[("NATS_URL", "tls://a,tls://b")]).unwrap().tls.is_some());
        assert!(read(&[("NATS_URL", "nats://a,nats://b")]).unwrap().tls.is_none());
        let faults = read(&[("NATS_URL", "tls://a,nats://b")]).unwrap_err();
        assert!(faults.contains("NATS_URL: has servers with tls:// and without"), "{faults}");
    }

    #[test]
    fn certificates_need_tls() {
        let files = files();
        let ca = files.path("ca");
        assert!(read(&[("NATS_URL", "tls://a"), ("NATS_CA_FILE", &ca)]).is_ok());
        let faults = read(&[("NATS_URL", "nats://a"), ("NATS_CA_FILE", &ca)]).unwrap_err();
        assert_eq!(faults, "NATS_CA_FILE: needs tls:// in NATS_URL");
    }

    #[test]
    fn one_says_who_one_is_in_one_way() {
        let files = files();
        let user = nkeys::KeyPair::new_user();
        let seed = user.seed().unwrap();
        let credentials = format!(
            "-----BEGIN NATS USER JWT-----\na.b.c\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        );
        let (nkey, creds) = (files.path("nkey"), files.path("creds"));
        fs::write(&nkey, format!("{seed}\n")).unwrap();
        fs::write(&creds, credentials).unwrap();
        let login = |more: &[(&str, &str)]| {
            let variables = [&[("NATS_URL", "nats://n")], more].concat();
            read(&variables).map(|config| config.login)
        };
        let password = [("NATS_USER", "u"), ("NATS_PASSWORD", "p")];
        let (nkey, creds) = (("NATS_NKEY_SEED_FILE", &*nkey), ("NATS_CREDENTIALS_FILE", &*creds));
        assert!(matches!(login(&[]), Ok(Login::Nobody)));
        assert!(matches!(login(&password), Ok(Login::Password(..))));
        assert!(matches!(login(&[nkey]), Ok(Login::Nkey(read)) if read.expose() == seed));
        assert!(matches!(login(&[creds]), Ok(Login::Credentials(_))));
        let faults = login(&[&password[..], &[nkey, creds]].concat()).unwrap_err();
        let both = "NATS_NKEY_SEED_FILE: excludes NATS_USER; \
                    NATS_CREDENTIALS_FILE: excludes NATS_USER";
        assert_eq!(faults, both);
    }

    #[test]
    fn a_file_that_does_not_have_what_it_should_is_not_repeated() {
        let files = files();
        let junk = files.path("junk");
        fs::write(&junk, "hunter2").unwrap();
        for (variable, fault) in [
            ("NATS_NKEY_SEED_FILE", "has no nkey seed"),
            ("NATS_CREDENTIALS_FILE", "does not have a JWT"),
        ] {
            let faults = read(&[("NATS_URL", "nats://n"), (variable, &junk)]).unwrap_err();
            assert!(faults.starts_with(&format!("{variable}: {fault}")), "{faults}");
            assert!(!faults.contains("hunter2"), "{faults}");
            let faults = read(&[("NATS_URL", "nats://n"), (variable, "/no/such")]).unwrap_err();
            assert!(faults.contains(variable) && faults.contains("/no/such: No such"), "{faults}");
        }
    }
}
