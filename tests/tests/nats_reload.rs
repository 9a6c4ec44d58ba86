//! Changed configuration of NATS: read again without a restart, as Kubernetes has it done, with TLS and without.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use async_nats::{Client, ConnectOptions, Subscriber};
use futures_util::StreamExt as _;
use goch_tests::{Authority, Process, Servers, password, until};

/// What `deploy/nats/reload.sh` writes when the server has taken a change, and when it has not.
const TAKEN: &str = "has read its configuration again";
const REFUSED: &str = "has NOT taken its configuration";

/// A NATS server with the rights of a deployment, and what tells it that its files have changed.
struct Watched {
    servers: Servers,
    _reload: Process,
    /// The file with the rights.
    rights: PathBuf,
    /// Where the certificate and its key are, if it has any.
    certificate: PathBuf,
    key: PathBuf,
}

impl Watched {
    /// With a certificate of `authority`, as `k8s/components/tls` says where it is.
    async fn start(authority: Option<&Authority>) -> Self {
        let mut servers = Servers::new();
        servers.nats.with_users();
        let main = servers.nats.configuration_file().to_owned();
        let (certificate, key) = (main.with_file_name("tls.crt"), main.with_file_name("tls.key"));
        // A port that nobody else is given: of a server that never runs.
        let other = Servers::new().nats.url();
        let (_, monitor) = other.rsplit_once(':').unwrap();
        let own = format!("http_port: {monitor}\n{}", fs::read_to_string(&main).unwrap());
        let rights = match authority {
            None => main,
            Some(authority) => {
                install(authority, &certificate, &key);
                let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../k8s/components/tls/nats.conf");
                let mut text = fs::read_to_string(file).unwrap();
                for (there, here) in
                    [("/etc/tls/tls.crt", &certificate), ("/etc/tls/tls.key", &key)]
                {
                    assert!(text.contains(there), "the component does not name {there}");
                    text = text.replace(there, here.to_str().unwrap());
                }
                fs::write(&main, text).unwrap();
                main.with_file_name("server.conf")
            }
        };
        fs::write(&rights, own).unwrap();
        servers.start().await;
        let reload = servers.nats.watch_configuration();
        Self { servers, _reload: reload, rights, certificate, key }
    }

    /// How often the script has written this.
    fn said(&self, what: &str) -> usize {
        let log = self.rights.with_file_name("reload.log");
        fs::read_to_string(log).unwrap_or_default().matches(what).count()
    }

    /// Waits until the script has written this so often. It takes ten seconds to find that the server has refused
    /// something, and twelve until it tries again, on a machine that is not busy.
    async fn until_said(&self, what: &str, times: usize) {
        let deadline = Instant::now() + Duration::from_mins(3);
        while self.said(what) < times {
            assert!(Instant::now() < deadline, "waited in vain: the server {what}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A client that trusts `authority`, if there is one, and nobody otherwise.
    async fn connect(&self, options: ConnectOptions, authority: Option<&Authority>) -> Client {
        trusting(options, authority).connect(self.servers.nats.url()).await.unwrap()
    }
}

/// Puts another certificate of `authority` into these files.
fn install(authority: &Authority, certificate: &Path, key: &Path) {
    let issued = authority.issue("nats");
    fs::copy(issued.key, key).unwrap();
    fs::copy(issued.cert, certificate).unwrap();
}

fn trusting(options: ConnectOptions, authority: Option<&Authority>) -> ConnectOptions {
    match authority {
        None => options,
        Some(authority) => {
            let ca = authority.issue("client").ca;
            options.require_tls(true).add_root_certificates(ca)
        }
    }
}

/// The gateway's user.
fn gateway() -> ConnectOptions {
    ConnectOptions::with_user_and_password("gateway".into(), password("gateway"))
}

/// Whether what `client` publishes now is heard.
async fn is_heard(
    client: &Client,
    heard: &mut Subscriber,
    text: &'static str,
    wait: Duration,
) -> bool {
    client.publish("goch.extra", text.into()).await.unwrap();
    client.flush().await.unwrap();
    let deadline = tokio::time::Instant::now() + wait;
    while let Ok(Some(message)) = tokio::time::timeout_at(deadline, heard.next()).await {
        if message.payload == text {
            return true;
        }
    }
    false
}

/// The configuration with one right more for the gateway.
fn with_more(configuration: &str) -> String {
    let right = "\"goch.log.*\"";
    let more = configuration.replacen(right, &format!("{right}\n\"goch.extra\""), 1);
    assert_ne!(configuration, more);
    more
}

/// Rights that are added and taken away hold, and a file with a fault changes nothing.
async fn rights_change_and_connections_stay(authority: Option<&Authority>) {
    let watched = Watched::start(authority).await;
    let nats = &watched.servers.nats;
    let gateway = watched.connect(gateway(), authority).await;
    let operator = watched.connect(nats.operator(), authority).await;
    let mut heard = operator.subscribe("goch.extra").await.unwrap();
    operator.flush().await.unwrap();
    gateway.publish("goch.extra", "too early".into()).await.unwrap();
    gateway.flush().await.unwrap();

    let before = fs::read_to_string(&watched.rights).unwrap();
    fs::write(&watched.rights, with_more(&before)).unwrap();
    let first = until("the gateway may do more", async || {
        gateway.publish("goch.extra", "now".into()).await.unwrap();
        let next = tokio::time::timeout(Duration::from_millis(100), heard.next()).await;
        next.ok().flatten()
    })
    .await;
    assert_eq!(first.payload, "now");
    watched.until_said(TAKEN, 1).await;

    let refusals = watched.said(REFUSED);
    fs::write(&watched.rights, format!("{before}\nno_such_setting {{")).unwrap();
    until("the fault is in the server's log", async || {
        nats.log().contains("ailed to reload").then_some(())
    })
    .await;
    watched.until_said(REFUSED, refusals + 1).await;
    assert!(
        is_heard(&gateway, &mut heard, "still", Duration::from_secs(10)).await,
        "a file with a fault has taken a right"
    );
    fs::write(&watched.rights, before).unwrap();
    until("the gateway may no longer", async || {
        let wait = Duration::from_millis(500);
        (!is_heard(&gateway, &mut heard, "later", wait).await).then_some(())
    })
    .await;
    for client in [&gateway, &operator] {
        let connects = client.statistics().connects.load(std::sync::atomic::Ordering::Relaxed);
        assert_eq!(connects, 1, "a connection was not kept");
    }
}

#[tokio::test]
async fn changed_rights_hold_without_a_restart_and_connections_stay() {
    rights_change_and_connections_stay(None).await;
}

#[tokio::test]
async fn changed_rights_hold_over_tls_too() {
    rights_change_and_connections_stay(Some(&Authority::new())).await;
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_without_a_restart() {
    let (old, new) = (Authority::new(), Authority::new());
    let watched = Watched::start(Some(&old)).await;
    let kept = watched.connect(gateway(), Some(&old)).await;
    // At its first look, whatever the files have.
    watched.until_said(TAKEN, 1).await;
    install(&new, &watched.certificate, &watched.key);
    until("the new certificate is shown", async || {
        trusting(gateway(), Some(&new)).connect(watched.servers.nats.url()).await.ok()
    })
    .await;
    kept.flush().await.unwrap();
    let connects = kept.statistics().connects.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(connects, 1, "a connection was not kept");
}

#[tokio::test]
async fn what_the_server_has_refused_is_tried_again() {
    let authority = Authority::new();
    let watched = Watched::start(Some(&authority)).await;
    let gateway = watched.connect(gateway(), Some(&authority)).await;
    let operator = watched.connect(watched.servers.nats.operator(), Some(&authority)).await;
    let mut heard = operator.subscribe("goch.extra").await.unwrap();
    operator.flush().await.unwrap();
    watched.until_said(TAKEN, 1).await;

    // No file that is looked at changes when it is back.
    let away = watched.key.with_extension("away");
    fs::rename(&watched.key, &away).unwrap();
    let before = fs::read_to_string(&watched.rights).unwrap();
    fs::write(&watched.rights, with_more(&before)).unwrap();
    watched.until_said(REFUSED, 1).await;
    assert_eq!(watched.said(TAKEN), 1);
    fs::rename(&away, &watched.key).unwrap();
    watched.until_said(TAKEN, 2).await;
    assert!(
        is_heard(&gateway, &mut heard, "now", Duration::from_secs(10)).await,
        "what was taken does not hold"
    );
}
