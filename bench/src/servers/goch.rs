//! The whole of Goch, as it is deployed: NATS with its users' rights, Redis, and the four services.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use async_nats::ConnectOptions;
use fred::{
    clients::Client,
    interfaces::ClientLike as _,
    types::{Builder, config::Config},
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use goch_contract::{
    ChannelName, Secret, Uid,
    services::{ServiceClient, admin::Register, callers},
    subjects::Subjects,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{
    Target,
    process::{Process, find_program, free_address},
    usage::{FRONT, Watched},
};
use crate::{
    client::{Dialect, Seat},
    error::{Error, Result, Trying as _},
    progress::Progress,
};

/// Requests under way while channels and members are made.
const SETUP_CONCURRENCY: usize = 64;

/// What the services identify with at NATS, and at chat-admin. Nothing here leaves the machine.
const PASSWORD: &str = "benchmarkbenchmark";

/// What is started with what settings.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the services' programs are.
    pub programs: PathBuf,
    /// How many gateways run.
    pub gateways: usize,
}

/// See the module. Dropped from first to last: gateways before what they stand on.
pub struct Goch {
    gateways: Vec<Gateway>,
    services: Vec<(&'static str, Process, SocketAddr)>,
    servers: Vec<(&'static str, Process)>,
    nats: SocketAddr,
    redis: SocketAddr,
    admin: SocketAddr,
    options: Options,
    runtime: Runtime,
    folder: TempDir,
}

/// One gateway.
pub struct Gateway {
    process: Process,
    address: SocketAddr,
}

impl Goch {
    /// Starts everything and waits until it is ready.
    ///
    /// # Errors
    /// When something does not start.
    pub fn start(options: Options) -> Result<Self> {
        // The HTTP client asks for a provider of cryptography even where it has no use for it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .trying("starting a runtime")?;
        let folder = tempfile::tempdir().trying("making a folder")?;
        let (nats, redis, admin) = (free_address()?, free_address()?, free_address()?);
        let mut goch = Self {
            gateways: Vec::new(),
            services: Vec::new(),
            servers: Vec::new(),
            nats,
            redis,
            admin,
            options,
            runtime,
            folder,
        };
        goch.start_servers()?;
        let unbounded = [("LOG_MAX_BYTES", "-1"), ("BUCKETS_MAX_BYTES", "-1")];
        goch.start_service("broker-bridge", &unbounded)?;
        let redis = format!("redis://{redis}");
        let admin = admin.to_string();
        goch.start_service(
            "chat-admin",
            &[
                ("REDIS_URL", &redis),
                ("LISTEN_ADDRESS", &admin),
                ("ADMIN_CREDENTIALS", &format!("benchmark:{PASSWORD}")),
                ("CHANNEL_MEMBERS_MAX", "0"),
            ],
        )?;
        goch.start_service("ingest-history", &[("REDIS_URL", &redis)])?;
        for (_, process, health) in &mut goch.services {
            wait_until_ready(&goch.runtime, process, *health)?;
        }
        for _ in 0..goch.options.gateways {
            let gateway = goch.start_gateway()?;
            goch.gateways.push(gateway);
        }
        Ok(goch)
    }

    fn start_servers(&mut self) -> Result<()> {
        let configuration = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/local/nats.conf");
        let mut nats = Command::new(find_program("NATS_SERVER", "nats-server")?);
        nats.arg("-c").arg(configuration);
        nats.args(["-a", "127.0.0.1", "-p", &self.nats.port().to_string()]);
        nats.arg("-sd").arg(self.folder.path().join("nats"));
        for user in ["GATEWAY", "CHAT_ADMIN", "INGEST_HISTORY", "BROKER_BRIDGE"] {
            nats.env(format!("NATS_{user}_PASSWORD"), PASSWORD);
        }
        let mut redis = Command::new(find_program("REDIS_SERVER", "redis-server")?);
        redis.args(["--bind", "127.0.0.1", "--port", &self.redis.port().to_string()]);
        redis.args(["--appendonly", "yes", "--save", "", "--daemonize", "no", "--dir"]);
        redis.arg(self.folder.path());
        for (role, mut command, address) in
            [("nats", nats, self.nats), ("redis", redis, self.redis)]
        {
            let mut process = Process::start(role, self.folder.path(), &mut command)?;
            process.wait_to_listen(address)?;
            self.servers.push((role, process));
        }
        Ok(())
    }

    fn start_service(&mut self, name: &'static str, variables: &[(&str, &str)]) -> Result<()> {
        let health = free_address()?;
        let mut command = self.command(name, health)?;
        command.envs(variables.iter().copied());
        let process = Process::start(name, self.folder.path(), &mut command)?;
        self.services.push((name, process, health));
        Ok(())
    }

    /// Starts one more gateway, which stays apart from the others.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_gateway(&self) -> Result<Gateway> {
        let (address, health) = (free_address()?, free_address()?);
        let mut command = self.command("gateway", health)?;
        command.env("LISTEN_ADDRESS", address.to_string());
        // One socket says here what a thousand people say elsewhere.
        command.env("FRAMES_PER_SECOND", "1000000000");
        command.env("MEMBER_MESSAGES_PER_SECOND", "0");
        command.env("CHANNEL_MESSAGES_PER_SECOND", "0");
        command.env("CONNECTIONS_MAX", "100000");
        let name = format!("gateway-{}", address.port());
        let mut process = Process::start(&name, self.folder.path(), &mut command)?;
        wait_until_ready(&self.runtime, &mut process, health)?;
        Ok(Gateway { process, address })
    }

    fn command(&self, name: &str, health: SocketAddr) -> Result<Command> {
        let program = self.options.programs.join(name);
        if !program.is_file() {
            return Err(Error::Missing(program));
        }
        let mut command = Command::new(program);
        command
            .env("NATS_URL", format!("nats://{}", self.nats))
            .env("NATS_USER", name)
            .env("NATS_PASSWORD", PASSWORD)
            .env("HEALTH_ADDRESS", health.to_string())
            .env("SHUTDOWN_GRACE_SECONDS", "2");
        Ok(command)
    }

    /// Goch with its first `gateways` gateways, and what stands behind them.
    #[must_use]
    pub fn target(&self, gateways: usize) -> Target {
        let name = match gateways {
            1 => "goch".to_owned(),
            more => format!("goch, {more} gateways"),
        };
        let gateways: Vec<&Gateway> = self.gateways.iter().take(gateways).collect();
        self.target_of(name, &gateways)
    }

    /// Goch behind given gateways.
    #[must_use]
    pub fn target_of(&self, name: String, gateways: &[&Gateway]) -> Target {
        let mut processes = Watched::default();
        for gateway in gateways {
            processes = processes.with(FRONT, gateway.process.id());
        }
        for (role, process) in &self.servers {
            processes = processes.with(role, process.id());
        }
        for (role, process, _) in &self.services {
            processes = processes.with(role, process.id());
        }
        let addresses = gateways.iter().map(|gateway| gateway.address).collect();
        Target { name, dialect: Dialect::Goch, addresses, processes }
    }

    /// Makes `channels` channels whose names begin with `name`, and in each `members` members; tells
    /// the seats in them, channel by channel.
    ///
    /// # Errors
    /// When Goch refuses.
    pub fn make_channels(
        &self,
        name: &str,
        channels: usize,
        members: usize,
        progress: &mut Progress,
    ) -> Result<Vec<Seat>> {
        let names: Vec<String> = (0..channels).map(|channel| format!("{name}-{channel}")).collect();
        self.runtime.block_on(async {
            let http = reqwest::Client::new();
            let url = format!("http://{}/v1/admin/channels", self.admin);
            let mut made = 0;
            let mut making = stream::iter(&names)
                .map(|name| make_channel(&http, &url, name))
                .buffer_unordered(SETUP_CONCURRENCY);
            while making.try_next().await?.is_some() {
                made += 1;
                progress.show(|| format!("{made} of {channels} channels made"));
            }
            let services = self.services().await?;
            let mut seats = Vec::with_capacity(channels * members);
            let pairs =
                names.iter().flat_map(|name| (0..members).map(move |member| (name, member)));
            let mut registering = stream::iter(pairs)
                .map(|(name, member)| register(&services, name, member))
                .buffered(SETUP_CONCURRENCY);
            while let Some(seat) = registering.try_next().await? {
                seats.push(seat);
                progress.show(|| format!("{} of {} members", seats.len(), channels * members));
            }
            Ok(seats)
        })
    }

    async fn services(&self) -> Result<ServiceClient<callers::Gateway>> {
        let client = ConnectOptions::new()
            .user_and_password("gateway".to_owned(), PASSWORD.to_owned())
            .custom_inbox_prefix("_INBOX.goch.gateway.benchmark")
            .connect(self.nats.to_string())
            .await
            .trying("connecting to NATS")?;
        let timeout = std::time::Duration::from_secs(10);
        Ok(ServiceClient::new(client, Subjects::default(), timeout))
    }

    /// A connection to Redis.
    ///
    /// # Errors
    /// When it is not to be had.
    pub async fn redis(&self) -> Result<Client> {
        let config =
            Config::from_url(&format!("redis://{}", self.redis)).trying("Redis's address")?;
        let client = Builder::from_config(config).build().trying("connecting to Redis")?;
        client.init().await.trying("connecting to Redis")?;
        Ok(client)
    }

    /// The commands that Redis has executed so far, without those that ask this.
    ///
    /// # Errors
    /// When Redis does not tell.
    pub fn redis_commands(&self) -> Result<u64> {
        self.runtime.block_on(async {
            let redis = self.redis().await?;
            let info: String = redis
                .custom(fred::cmd!("INFO"), vec!["commandstats"])
                .await
                .trying("asking Redis")?;
            redis.quit().await.trying("leaving Redis")?;
            Ok(info.lines().filter_map(commands).sum())
        })
    }

    /// What asynchronous helpers run on.
    #[must_use]
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// The requests that each service but the gateway has answered so far, by service and endpoint.
    ///
    /// # Errors
    /// When a service does not tell.
    pub fn requests(&self) -> Result<Vec<(String, u64)>> {
        let mut requests = Vec::new();
        for (name, _, health) in &self.services {
            let metrics = self.metrics(*health)?;
            for line in metrics.lines() {
                let Some(rest) = line.strip_prefix("goch_requests_total{") else { continue };
                let Some((labels, count)) = rest.rsplit_once("} ") else { continue };
                let endpoint =
                    labels.split("endpoint=\"").nth(1).and_then(|rest| rest.split('"').next());
                let count = count.trim().parse().unwrap_or_default();
                requests.push((format!("{name} {}", endpoint.unwrap_or_default()), count));
            }
        }
        // The members of any measurement were registered: no count at all is a count that is not read.
        if requests.is_empty() {
            return Err(Error::wrong("the services do not tell how many requests they answered"));
        }
        Ok(requests)
    }

    fn metrics(&self, health: SocketAddr) -> Result<String> {
        self.runtime.block_on(async {
            let response = reqwest::get(format!("http://{health}/metrics")).await;
            response.trying("reading metrics")?.text().await.trying("reading metrics")
        })
    }
}

/// The calls in a line of Redis's statistics; those of connecting and asking do not count. Nor do
/// chat-admin's: it reads members by HGET, for authorisations, which are counted as such, and for the
/// periodic check of members, and extends by EXPIRE how long its copy holds.
fn commands(line: &str) -> Option<u64> {
    const OURS: [&str; 6] = ["info", "hello", "client", "quit", "ping", "auth"];
    const OF_MEMBERS: [&str; 2] = ["hget", "expire"];
    let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
    let name = name.split('|').next()?;
    if OURS.contains(&name) || OF_MEMBERS.contains(&name) {
        return None;
    }
    rest.split(',').next()?.parse().ok()
}

async fn make_channel(http: &reqwest::Client, url: &str, name: &str) -> Result<()> {
    let response = http
        .post(url)
        .basic_auth("benchmark", Some(PASSWORD))
        .json(&serde_json::json!({"name": name, "is_private": false}))
        .send()
        .await
        .trying("making a channel")?;
    let status = response.status();
    if status.is_success() || status == reqwest::StatusCode::CONFLICT {
        return Ok(());
    }
    let answer = response.text().await.unwrap_or_default();
    Err(Error::failed("making a channel", format!("{status}: {answer}")))
}

async fn register(
    services: &ServiceClient<callers::Gateway>,
    channel: &str,
    member: usize,
) -> Result<Seat> {
    let uid = format!("member-{member}");
    let secret = "benchmark-benchmark-benchmark";
    let request = Register {
        channel: ChannelName::parse(channel).trying("naming a channel")?,
        channel_secret: None,
        uid: Uid::parse(&uid).trying("naming a member")?,
        display_name: format!("Member {member}"),
        email: None,
        secret: Secret::new(secret).digest(),
        // What is measured is Goch with secrets that it generates itself.
        is_chosen: false,
    };
    services
        .call(&request)
        .await
        .map_err(|error| Error::failed("registering a member", error.message))?;
    Ok(Seat { channel: channel.to_owned(), uid, secret: secret.to_owned(), after: None })
}

fn wait_until_ready(runtime: &Runtime, process: &mut Process, health: SocketAddr) -> Result<()> {
    let url = format!("http://{health}/readyz");
    process.wait_until(|| {
        runtime.block_on(async {
            reqwest::get(&url).await.is_ok_and(|response| response.status().is_success())
        })
    })
}
