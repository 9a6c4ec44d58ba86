//! The four services together, on servers of their own or on those that tests share.

use std::{
    collections::BTreeMap,
    ops::Deref,
    path::Path,
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use serde_json::json;
use tempfile::TempDir;

use crate::{
    metrics::Metrics,
    rest::Rest,
    servers::Servers,
    service::Service,
    wait::{unique, until},
};

/// The four services, which are also their users' names on the servers.
pub const SERVICES: [&str; 4] = ["gateway", "chat-admin", "ingest-history", "broker-bridge"];

pub(crate) const ADMIN_USERNAME: &str = "ticketing";
pub(crate) const ADMIN_PASSWORD: &str = "password-of-ticketing";

/// Our own lines in detail, so that what must not be logged is looked for in all of them.
const LOG_FILTER: &str = "debug,actix_http=info,actix_server=warn,async_nats=warn,fred=warn,\
    h2=info,hyper=info,hyper_util=info,mio=info,reqwest=info";

/// Tests talk faster than people, make mistakes on purpose, and leave their logs on a server that
/// reserves room for each.
const RELAXED: [(&str, &str, &str); 7] = [
    ("gateway", "MEMBER_MESSAGES_PER_SECOND", "200"),
    ("gateway", "CHANNEL_MESSAGES_PER_SECOND", "0"),
    ("gateway", "CHANNEL_FAILURES_PER_MINUTE", "0"),
    ("gateway", "SOCKET_REFUSALS_PER_MINUTE", "0"),
    ("chat-admin", "CHANNEL_MEMBERS_MAX", "0"),
    ("broker-bridge", "LOG_MAX_BYTES", "-1"),
    ("broker-bridge", "BUCKETS_MAX_BYTES", "-1"),
];

/// Lines of each log that a failed test prints.
const LINES_PRINTED: usize = 40;

/// A whole Goch. Everything ends when it is dropped.
#[derive(Debug)]
pub struct System {
    /// The gateways; one unless a test asks for more.
    pub gateways: Vec<Service>,
    /// chat-admin.
    pub chat_admin: Service,
    /// ingest-history.
    pub ingest_history: Service,
    /// broker-bridge.
    pub broker_bridge: Service,
    servers: ServersUsed,
    folder: TempDir,
}

#[derive(Debug)]
enum ServersUsed {
    Shared(Arc<Servers>),
    Own(Box<Servers>),
}

impl Deref for ServersUsed {
    type Target = Servers;

    fn deref(&self) -> &Servers {
        match self {
            Self::Shared(servers) => servers,
            Self::Own(servers) => servers,
        }
    }
}

/// How a [`System`] is to be.
#[derive(Debug)]
#[must_use]
pub struct Builder {
    gateways: usize,
    environment: Vec<(&'static str, String, String)>,
    servers: Option<Servers>,
    shared: Option<Arc<Servers>>,
    prefix: String,
}

impl Builder {
    /// With the limits for clients that are the defaults.
    pub fn default_limits(mut self) -> Self {
        for (service, variable, _) in RELAXED {
            if service != "broker-bridge" {
                self = self.env(service, variable, "");
            }
        }
        self
    }

    /// The number of gateways.
    pub fn gateways(mut self, count: usize) -> Self {
        self.gateways = count;
        self
    }

    /// A variable of one service, by the name of its binary.
    pub fn env(mut self, service: &'static str, variable: &str, value: &str) -> Self {
        self.environment.push((service, variable.to_owned(), value.to_owned()));
        self
    }

    /// A variable of every service.
    pub fn env_of_all(mut self, variable: &str, value: &str) -> Self {
        for service in ["gateway", "chat-admin", "ingest-history", "broker-bridge"] {
            self = self.env(service, variable, value);
        }
        self
    }

    /// Servers that no other test uses, started or not.
    pub fn servers(mut self, servers: Servers) -> Self {
        self.servers = Some(servers);
        self
    }

    /// The running servers of another system.
    pub fn servers_of(mut self, servers: &Arc<Servers>) -> Self {
        self.shared = Some(Arc::clone(servers));
        self
    }

    /// The prefix of subjects and keys, if it must be a particular one.
    pub fn prefix(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.prefix);
        self
    }

    /// Builds it, with nothing started but the servers that tests share.
    pub async fn build(self) -> System {
        let servers = match (self.servers, self.shared) {
            (Some(servers), _) => ServersUsed::Own(Box::new(servers)),
            (None, Some(servers)) => ServersUsed::Shared(servers),
            (None, None) => ServersUsed::Shared(Servers::shared().await),
        };
        let folder = tempfile::tempdir().unwrap();
        let common = [
            ("NATS_URL", servers.nats_urls()),
            ("NATS_PREFIX", self.prefix.clone()),
            ("REDIS_PREFIX", self.prefix),
            ("LOG_FILTER", LOG_FILTER.to_owned()),
            ("ADMIN_CREDENTIALS", format!("{ADMIN_USERNAME}:{ADMIN_PASSWORD}")),
            // Two, so that what one worker does is seen through the other; more cost only memory.
            ("WORKERS", "2".to_owned()),
        ];
        let service = |binary: &'static str, name: &str| {
            let mut environment: BTreeMap<String, String> =
                common.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
            environment.extend(servers.nats.environment_of(binary));
            if ["chat-admin", "ingest-history"].contains(&binary) {
                environment.extend(servers.redis.environment_of(binary));
            }
            let relaxed = RELAXED.iter().filter(|(service, ..)| *service == binary);
            environment
                .extend(relaxed.map(|(_, name, value)| (name.to_string(), value.to_string())));
            let own = self.environment.iter().filter(|(service, ..)| *service == binary);
            environment.extend(own.map(|(_, name, value)| (name.clone(), value.clone())));
            Service::new(binary, name, environment, folder.path())
        };
        System {
            gateways: (1..=self.gateways)
                .map(|number| service("gateway", &format!("gateway-{number}")))
                .collect(),
            chat_admin: service("chat-admin", "chat-admin"),
            ingest_history: service("ingest-history", "ingest-history"),
            broker_bridge: service("broker-bridge", "broker-bridge"),
            servers,
            folder,
        }
    }

    /// Builds it and starts everything.
    pub async fn start(mut self) -> System {
        if let Some(servers) = &mut self.servers {
            servers.start().await;
        }
        let mut system = self.build().await;
        system.spawn();
        system.ready().await;
        // They are ready without it.
        system.connected_to_redis().await;
        system
    }
}

impl System {
    /// Describes a system: one gateway, and the servers that the tests of a process share.
    pub fn builder() -> Builder {
        let prefix = unique("test");
        Builder { gateways: 1, environment: Vec::new(), servers: None, shared: None, prefix }
    }

    /// A system with two gateways that the tests of a process share; each uses its own channels. It
    /// ends when nobody uses it any more.
    pub async fn shared() -> SharedSystem {
        static SHARED: Mutex<Weak<System>> = Mutex::new(Weak::new());
        static STARTING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
        let _starting = STARTING.lock().await;
        if let Some(running) = SHARED.lock().unwrap().upgrade() {
            return SharedSystem(running);
        }
        let system = Arc::new(Self::builder().gateways(2).start().await);
        *SHARED.lock().unwrap() = Arc::downgrade(&system);
        SharedSystem(system)
    }

    /// Every service.
    pub fn services(&mut self) -> impl Iterator<Item = &mut Service> {
        [&mut self.broker_bridge, &mut self.chat_admin, &mut self.ingest_history]
            .into_iter()
            .chain(&mut self.gateways)
    }

    /// Starts every service, without waiting.
    pub fn spawn(&mut self) {
        self.services().for_each(Service::spawn);
    }

    /// Waits until every service is ready.
    pub async fn ready(&mut self) {
        for service in self.services() {
            service.ready().await;
        }
    }

    /// Waits until Redis answers those who use it.
    pub async fn connected_to_redis(&self) {
        for service in [&self.chat_admin, &self.ingest_history] {
            until("it is connected to Redis", async || {
                let connected = Metrics::of(service).await.sum("goch_redis_connected", "");
                (connected == 1).then_some(())
            })
            .await;
        }
    }

    /// The first gateway.
    #[must_use]
    pub fn gateway(&self) -> &Service {
        &self.gateways[0]
    }

    /// The servers.
    #[must_use]
    pub fn servers(&self) -> &Servers {
        &self.servers
    }

    /// The servers, to be stopped and started.
    ///
    /// # Panics
    /// When they are shared with other tests.
    pub fn own_servers(&mut self) -> &mut Servers {
        match &mut self.servers {
            ServersUsed::Own(servers) => servers,
            ServersUsed::Shared(_) => panic!("other tests use these servers"),
        }
    }

    /// chat-admin's REST interface, logged in.
    #[must_use]
    pub fn admin(&self) -> Rest {
        self.admin_at(&self.chat_admin)
    }

    /// The REST interface of a replica of chat-admin, logged in.
    #[must_use]
    pub fn admin_at(&self, replica: &Service) -> Rest {
        replica.rest().login(ADMIN_USERNAME, ADMIN_PASSWORD)
    }

    /// Creates a public channel with a name of its own.
    pub async fn channel(&self) -> String {
        // Not plain, so that every test holds what names may have.
        let name = unique("urn:channel.a|b@c");
        self.create_channel(&name, false).await;
        name
    }

    /// Creates a private channel with a name of its own: its name and its secret.
    pub async fn private_channel(&self) -> (String, String) {
        let name = unique("private");
        let secret = self.create_channel(&name, true).await;
        (name, secret.unwrap())
    }

    /// Creates a channel, and tells its secret if it is private.
    pub async fn create_channel(&self, name: &str, is_private: bool) -> Option<String> {
        let body = json!({"name": name, "is_private": is_private});
        let answer = self.admin().post("/v1/admin/channels", &body).await.expect(201);
        answer.body["secret"].as_str().map(ToOwned::to_owned)
    }

    /// Which NATS server leads the log, in a cluster that has a leader at the moment.
    pub async fn log_leader(&self, prefix: &str) -> Option<usize> {
        let servers = self.servers();
        let addresses: Vec<async_nats::ServerAddr> =
            servers.nats_urls().split(',').filter_map(|url| url.parse().ok()).collect();
        let asking = async {
            let client = servers.nats.connect_options().connect(addresses).await.ok()?;
            let jetstream = async_nats::jetstream::new(client);
            let stream = jetstream.get_stream(format!("{prefix}_log")).await.ok()?;
            stream.cached_info().cluster.as_ref()?.leader.clone()
        };
        let leader = tokio::time::timeout(Duration::from_secs(3), asking).await.ok()??;
        servers.nats_named(&leader)
    }

    /// Keeps all logs when this ends, and says where.
    pub fn keep_logs(&self) {
        let kept = tempfile::tempdir().unwrap().keep();
        for folder in [self.folder.path(), self.servers.folder()] {
            for (name, text) in logs_in(folder) {
                std::fs::write(kept.join(name), text).unwrap();
            }
        }
        eprintln!("all logs are kept in {}", kept.display());
    }

    /// What every service has logged.
    #[must_use]
    pub fn logs(&self) -> String {
        logs_in(self.folder.path()).into_iter().map(|(_, text)| text).collect()
    }

    fn print_logs(&self) {
        for folder in [self.folder.path(), self.servers.folder()] {
            for (name, text) in logs_in(folder) {
                let lines: Vec<&str> = text.lines().collect();
                let last = lines.len().saturating_sub(LINES_PRINTED);
                eprintln!("--- the end of {name}\n{}", lines[last..].join("\n"));
            }
        }
    }
}

fn logs_in(folder: &Path) -> Vec<(String, String)> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let logs = files.filter(|file| file.path().extension().is_some_and(|found| found == "log"));
    let read = |file: std::fs::DirEntry| {
        (file.file_name().to_string_lossy().into_owned(), crate::process::output(&file.path()))
    };
    logs.map(read).collect()
}

impl Drop for System {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.print_logs();
        }
    }
}

/// A test's hold on the system that is shared.
#[derive(Debug)]
pub struct SharedSystem(Arc<System>);

impl Deref for SharedSystem {
    type Target = System;

    fn deref(&self) -> &System {
        &self.0
    }
}

impl Drop for SharedSystem {
    fn drop(&mut self) {
        // The last hold drops the system, which prints them itself.
        if std::thread::panicking() && Arc::strong_count(&self.0) > 1 {
            self.print_logs();
        }
    }
}
