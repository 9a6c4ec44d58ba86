//! Certificates of connections to NATS and Redis, checked with the rest of the configuration.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use crate::config::{Faults, Setting};

/// How a server is known, and how it knows us.
#[derive(Debug, Clone)]
pub struct Tls {
    /// A file with the certificates of those who may vouch for the server; the system's authorities if there
    /// is none.
    pub ca: Option<PathBuf>,
    /// Files with our own certificate and its key, if the server asks for one.
    pub client: Option<(PathBuf, PathBuf)>,
    /// What they said when they were read.
    pub config: Arc<ClientConfig>,
}

/// The variables that name files of certificates, each with its value.
pub(crate) struct TlsSettings {
    /// Those who may vouch for the server.
    pub(crate) ca: (&'static str, Setting<PathBuf>),
    /// Our own certificate.
    pub(crate) cert: (&'static str, Setting<PathBuf>),
    /// Its key.
    pub(crate) key: (&'static str, Setting<PathBuf>),
}

impl TlsSettings {
    /// Reads and checks the files. Nothing where TLS is not used, and files without it are faults; `needs`
    /// says what they need.
    pub(crate) fn read(self, is_used: bool, needs: &str, faults: &mut Faults) -> Option<Tls> {
        let Self { ca, cert, key } = self;
        if !is_used {
            for (variable, setting) in [ca, cert, key] {
                faults.expect(!setting.is_given(), variable, format_args!("needs {needs}"));
            }
            return None;
        }
        let (ca_variable, cert_variable, key_variable) = (ca.0, cert.0, key.0);
        let ca = ca.1.optional(ca_variable, faults);
        let cert = cert.1.optional(cert_variable, faults);
        let key = key.1.optional(key_variable, faults);
        faults.expect(
            cert.is_some() || key.is_none(),
            cert_variable,
            format_args!("is required with {key_variable}"),
        );
        faults.expect(
            key.is_some() || cert.is_none(),
            key_variable,
            format_args!("is required with {cert_variable}"),
        );
        let mut check = |variable: &str, read: Result<(), String>| {
            read.inspect_err(|reason| faults.add(variable, reason)).ok()
        };
        let mut authorities = RootCertStore::empty();
        match &ca {
            Some(path) => {
                let added = certificates(path).and_then(|all| trust(&mut authorities, path, all));
                check(ca_variable, added)?;
            }
            None => add_system(&mut authorities),
        }
        let client = cert.zip(key);
        let mut own = None;
        if let Some((cert, key)) = &client {
            let chain = certificates(cert);
            let secret = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| format!("{}: {error}", key.display()));
            check(cert_variable, chain.as_ref().map(|_| ()).map_err(Clone::clone));
            check(key_variable, secret.as_ref().map(|_| ()).map_err(Clone::clone));
            own = Some((chain.ok()?, secret.ok()?));
        }
        let config = client_config(authorities, own);
        check(cert_variable, config.as_ref().map(|_| ()).map_err(ToString::to_string));
        Some(Tls { ca, client, config: Arc::new(config.ok()?) })
    }
}

/// The certificates of a file, at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let text = fs::read(path).map_err(|error| failed(&error))?;
    let all = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let all = all.map_err(|error| failed(&error))?;
    if all.is_empty() { Err(failed(&"has no certificate in PEM")) } else { Ok(all) }
}

fn trust(
    authorities: &mut RootCertStore,
    path: &Path,
    all: Vec<CertificateDer<'static>>,
) -> Result<(), String> {
    for certificate in all {
        authorities.add(certificate).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

/// As far as they can be read: a server whose authority is not among them is refused when it is met.
fn add_system(authorities: &mut RootCertStore) {
    authorities.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
}

fn client_config(
    authorities: RootCertStore,
    own: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
) -> Result<ClientConfig, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(authorities);
    match own {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key),
        None => Ok(builder.with_no_client_auth()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
    use tempfile::TempDir;

    use super::*;
    use crate::config::Environment;

    /// A folder with the files `ca`, `cert` and `key`, and `other-key` of another certificate.
    pub(crate) struct Files(TempDir);

    impl Files {
        pub(crate) fn path(&self, name: &str) -> String {
            self.0.path().join(name).display().to_string()
        }
    }

    pub(crate) fn files() -> Files {
        let files = Files(tempfile::tempdir().unwrap());
        let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = ca.self_signed(&ca_key).unwrap();
        let cert = CertificateParams::new(["n".to_owned()]).unwrap().self_signed(&key).unwrap();
        for (name, text) in [
            ("ca", ca.pem()),
            ("cert", cert.pem()),
            ("key", key.serialize_pem()),
            ("other-key", ca_key.serialize_pem()),
            ("junk", "hunter2".to_owned()),
        ] {
            fs::write(files.path(name), text).unwrap();
        }
        files
    }

    #[derive(Default, serde::Deserialize)]
    #[serde(default)]
    struct Settings {
        ca: Setting<PathBuf>,
        cert: Setting<PathBuf>,
        key: Setting<PathBuf>,
    }

    fn read(variables: &[(&str, &str)]) -> Result<Option<Tls>, String> {
        let mut faults = Faults::default();
        let settings: Settings = Environment::of(variables).settings(&mut faults);
        let settings = TlsSettings {
            ca: ("CA", settings.ca),
            cert: ("CERT", settings.cert),
            key: ("KEY", settings.key),
        };
        let tls = settings.read(true, "TLS", &mut faults);
        faults.or_value(tls).map_err(|faults| faults.to_string())
    }

    #[test]
    fn files_with_certificates_are_taken() {
        let files = files();
        let (ca, cert, key) = (files.path("ca"), files.path("cert"), files.path("key"));
        assert!(read(&[]).unwrap().is_some());
        assert!(read(&[("CA", &ca)]).unwrap().is_some());
        let tls = read(&[("CA", &ca), ("CERT", &cert), ("KEY", &key)]).unwrap().unwrap();
        assert!(tls.config.client_auth_cert_resolver.has_certs());
    }

    #[test]
    fn every_fault_of_a_file_is_told_and_no_key() {
        let files = files();
        let [cert, key, other, junk] =
            ["cert", "key", "other-key", "junk"].map(|name| files.path(name));
        for (variables, expected) in [
            (vec![("CA", "/no/such")], "CA: /no/such: No such file"),
            (vec![("CA", &*junk)], "has no certificate in PEM"),
            (vec![("CA", &*key)], "has no certificate in PEM"),
            (vec![("CERT", &*cert)], "KEY: is required with CERT"),
            (vec![("KEY", &*key)], "CERT: is required with KEY"),
            (vec![("CERT", &*junk), ("KEY", &*key)], "CERT: "),
            (vec![("CERT", &*cert), ("KEY", &*junk)], "KEY: "),
            (vec![("CERT", &*cert), ("KEY", &*other)], "CERT: "),
        ] {
            let faults = read(&variables).unwrap_err();
            assert!(faults.contains(expected), "{variables:?}: {faults}");
            assert!(!faults.contains("hunter2") && !faults.contains("PRIVATE"), "{faults}");
        }
    }
}
