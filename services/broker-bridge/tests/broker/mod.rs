//! A real nats-server with the rights of a deployment, and a real broker-bridge at it.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use async_nats::{
    Client, ConnectOptions, HeaderMap,
    jetstream::{self, Context, context::PublishAckFuture, stream::Stream},
};
use goch_contract::{
    ChannelName, Error, MessageId, Role, Seq, Uid, UnixMillis,
    event::{Event, FROM_HEADER, Message},
    services::{
        ServiceClient,
        broker::{Catchup, CaughtUp, LogPage, Span, Tails, count_span},
        callers::Operator,
        history::{Page, Window},
    },
    subjects::Subjects,
};
use tempfile::TempDir;

/// How long anything may take to happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Both are stopped when this is dropped.
pub(crate) struct Broker {
    folder: TempDir,
    nats: Process,
    bridge: Process,
    pub(crate) jetstream: Context,
    pub(crate) services: ServiceClient<Operator>,
    pub(crate) subjects: Subjects,
}

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Broker {
    /// Starts both with further settings of broker-bridge, and waits until it answers.
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let nats = start_nats(folder.path(), "-1").await;
        let url = url(folder.path(), &nats).await;
        let bridge = start_bridge(folder.path(), &url, settings);
        let client = ConnectOptions::with_user_and_password("operator".into(), "operator".into())
            .custom_inbox_prefix("_INBOX.operator")
            .connect(&url)
            .await
            .unwrap();
        let subjects = Subjects::default();
        let broker = Self {
            services: services(&client),
            jetstream: jetstream::new(client),
            folder,
            nats,
            bridge,
            subjects,
        };
        broker.answers().await;
        broker
    }

    /// Waits until broker-bridge answers.
    pub(crate) async fn answers(&self) {
        until("broker-bridge answers", async || self.tails(&["any"]).await.is_ok()).await;
    }

    /// Stops broker-bridge and starts another one with other settings.
    pub(crate) async fn restart_bridge(&mut self, settings: &[(&str, &str)]) {
        let url = url(self.folder.path(), &self.nats).await;
        self.bridge.0.kill().unwrap();
        self.bridge.0.wait().unwrap();
        self.bridge = start_bridge(self.folder.path(), &url, settings);
        self.answers().await;
    }

    /// Kills NATS, deletes all it has stored and starts it again at the same address.
    pub(crate) async fn lose_nats(&mut self) {
        let url = url(self.folder.path(), &self.nats).await;
        let (_, port) = url.rsplit_once(':').unwrap();
        self.nats.0.kill().unwrap();
        self.nats.0.wait().unwrap();
        fs::remove_dir_all(self.folder.path().join("jetstream")).unwrap();
        self.nats = start_nats(self.folder.path(), port).await;
    }

    /// Fails the test if one of the services did what it has no right to.
    pub(crate) fn finish(self) {
        let log = fs::read_to_string(self.folder.path().join("nats.log")).unwrap();
        let violations: Vec<_> = log.lines().filter(|line| line.contains("Violation")).collect();
        assert!(violations.is_empty(), "{violations:#?}");
    }

    pub(crate) async fn log(&self) -> Stream {
        self.jetstream.get_stream(self.subjects.log_stream()).await.unwrap()
    }

    /// Stores a message. The returned acknowledgement may be awaited later.
    pub(crate) async fn publish(
        &self,
        channel: &str,
        from: &str,
        text: &str,
        time: u64,
    ) -> PublishAckFuture {
        let channel = self::channel(channel);
        let from = uid(from);
        let mut headers = HeaderMap::new();
        headers.insert(FROM_HEADER, from.as_str());
        let subject = self.subjects.log(&channel);
        let event = Event::Message(Message {
            channel,
            time: UnixMillis(time),
            id: MessageId::parse("id").unwrap(),
            from_name: from.to_string(),
            from_uid: from,
            from_role: Role::guest(),
            text: text.to_owned(),
            meta: None,
            edited_at: None,
        });
        let payload = event.to_payload().into();
        self.jetstream.publish_with_headers(subject, headers, payload).await.unwrap()
    }

    /// Stores an event of a channel with these headers and tells its place.
    pub(crate) async fn store(
        &self,
        channel: &str,
        headers: &[(&'static str, &str)],
        event: &serde_json::Value,
    ) -> Seq {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, *value);
        }
        let subject = self.subjects.log(&self::channel(channel));
        let stored = self.jetstream.publish_with_headers(subject, map, event.to_string().into());
        Seq(stored.await.unwrap().await.unwrap().sequence)
    }

    /// Stores a message and tells its place.
    pub(crate) async fn say(&self, channel: &str, from: &str, text: &str) -> Seq {
        let ack = self.publish(channel, from, text, UnixMillis::now().0).await;
        Seq(ack.await.unwrap().sequence)
    }

    pub(crate) async fn catch_up(&self, channel: &str, after: Seq, limit: u32) -> CaughtUp {
        let channel = self::channel(channel);
        self.services.call(&Catchup { channel, after, limit }).await.unwrap()
    }

    pub(crate) async fn page(&self, channel: &str, window: Window, limit: u32) -> Page {
        let channel = self::channel(channel);
        self.services.call(&LogPage::shown(channel, window, limit)).await.unwrap()
    }

    pub(crate) async fn count(
        &self,
        channel: &str,
        after: Seq,
        before: Seq,
        not_from: &str,
    ) -> u64 {
        let span = Span { not_from: uid(not_from), after, before, by_sender: false };
        count_span(&self.services, self::channel(channel), span).await.unwrap().count
    }

    pub(crate) async fn tails(&self, channels: &[&str]) -> Result<Vec<Seq>, Error> {
        let channels = channels.iter().map(|name| channel(name)).collect();
        self.services.call(&Tails { channels }).await
    }
}

pub(crate) fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name).unwrap()
}

pub(crate) fn uid(name: &str) -> Uid {
    Uid::parse(name).unwrap()
}

fn services(client: &Client) -> ServiceClient<Operator> {
    ServiceClient::new(client.clone(), Subjects::default(), Duration::from_secs(6))
}

/// The `prev` and `seq` of a page's events.
pub(crate) fn chain(page: &Page) -> Vec<(u64, u64)> {
    page.events.iter().map(|logged| (logged.prev.0, logged.seq.0)).collect()
}

/// The chain that a channel with these sequences should have.
pub(crate) fn chain_of(seqs: &[u64]) -> Vec<(u64, u64)> {
    std::iter::once(&0).chain(seqs).copied().zip(seqs.iter().copied()).collect()
}

/// Waits until `holds`.
pub(crate) async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "waited too long until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// `NATS_SERVER`, or wherever a package puts it.
fn program() -> PathBuf {
    if let Some(program) = std::env::var_os("NATS_SERVER") {
        return program.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join("nats-server"))
        .find(|program| program.is_file())
        .expect("nats-server is not installed; name one in NATS_SERVER")
}

/// A server with the users of a deployment, and an operator for the test itself.
async fn start_nats(folder: &Path, port: &str) -> Process {
    let users = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/nats/users.conf");
    let users = fs::read_to_string(users).unwrap();
    let operator = "users: [ { user: operator, password: operator }";
    let users = users.replacen("users: [", operator, 1);
    let config = folder.join("nats.conf");
    fs::write(&config, format!("jetstream: enabled\n{users}")).unwrap();
    let log = File::options().create(true).append(true).open(folder.join("nats.log")).unwrap();
    let mut command = Command::new(program());
    for service in ["GATEWAY", "CHAT_ADMIN", "INGEST_HISTORY", "BROKER_BRIDGE"] {
        command.env(format!("NATS_{service}_PASSWORD"), "password");
    }
    let child = command
        .args(["-a", "127.0.0.1", "-p", port])
        .arg("-c")
        .arg(config)
        .arg("-sd")
        .arg(folder)
        .arg("--ports_file_dir")
        .arg(folder)
        .stderr(log)
        .spawn()
        .unwrap();
    Process(child)
}

/// Where a server listens, which it writes into a file once it does.
async fn url(folder: &Path, nats: &Process) -> String {
    #[derive(serde::Deserialize)]
    struct Ports {
        nats: Vec<String>,
    }
    let name = program().file_name().unwrap().to_string_lossy().into_owned();
    let file = folder.join(format!("{name}_{}.ports", nats.0.id()));
    let read = || serde_json::from_slice::<Ports>(&fs::read(&file).ok()?).ok();
    until("nats-server listens", async || read().is_some()).await;
    read().unwrap().nats.remove(0)
}

fn start_bridge(folder: &Path, url: &str, settings: &[(&str, &str)]) -> Process {
    let log = File::options().create(true).append(true).open(folder.join("bridge.log")).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_broker-bridge"))
        .env("NATS_URL", url)
        .env("NATS_USER", "broker-bridge")
        .env("NATS_PASSWORD", "password")
        .env("HEALTH_ADDRESS", "127.0.0.1:0")
        // NATS would reserve more than a small disk has.
        .env("LOG_MAX_BYTES", "-1")
        .env("BUCKETS_MAX_BYTES", "-1")
        .envs(settings.iter().copied())
        .stdout(log)
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    Process(child)
}
