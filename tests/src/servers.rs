//! A NATS server and a Redis server, each on a free port with its store in a temporary folder.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, BufStream},
    net::TcpStream,
};

use crate::{
    accounts::{self, Keyed},
    certificates::Certificate,
    ports,
    process::{self, Process},
    programs,
    rest::Rest,
    rights::{users_conf, users_conf_of},
    system::SERVICES,
    wait::until,
};

/// Both servers that Goch stands on. They are shared by the tests of a process, which keep apart by
/// their prefixes, unless a test stops one of them.
#[derive(Debug)]
pub struct Servers {
    /// NATS.
    pub nats: NatsServer,
    /// The other servers of a NATS cluster; none but for tests of one.
    peers: Vec<NatsServer>,
    /// Redis.
    pub redis: RedisServer,
    folder: TempDir,
}

impl Servers {
    /// Servers that are not started yet.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            nats: NatsServer::new(folder.path(), "nats"),
            peers: Vec::new(),
            redis: RedisServer::new(folder.path()),
            folder,
        }
    }

    /// As [`Self::new`], with a cluster of `size` NATS servers.
    #[must_use]
    pub fn cluster(size: usize) -> Self {
        let mut servers = Self::new();
        let ports: Vec<u16> = (0..size).map(|_| ports::free()).collect();
        let routes: Vec<_> = ports.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        let in_cluster = |(number, port): (usize, &u16)| {
            let mut server = NatsServer::new(servers.folder.path(), &format!("nats-{number}"));
            let cluster = format!("nats://127.0.0.1:{port}");
            server.cluster = Some((cluster, routes.join(",")));
            server
        };
        let mut all: Vec<_> = ports.iter().enumerate().map(in_cluster).collect();
        servers.nats = all.remove(0);
        servers.peers = all;
        servers
    }

    /// With the NATS servers that `make` makes in a folder.
    pub(crate) fn of(make: impl FnOnce(&Path) -> Vec<NatsServer>) -> Self {
        let mut servers = Self::new();
        let mut all = make(servers.folder.path());
        servers.nats = all.remove(0);
        servers.peers = all;
        servers
    }

    /// Every NATS server's address, separated by commas.
    #[must_use]
    pub fn nats_urls(&self) -> String {
        let all = std::iter::once(&self.nats).chain(&self.peers);
        all.map(NatsServer::url).collect::<Vec<_>>().join(",")
    }

    /// Every NATS server's host and port.
    #[must_use]
    pub fn nats_addresses(&self) -> Vec<String> {
        let all = std::iter::once(&self.nats).chain(&self.peers);
        all.map(|server| format!("127.0.0.1:{}", server.port)).collect()
    }

    /// Has no server of a cluster tell clients where the others are, so that nobody goes round a proxy.
    pub fn keep_addresses(&mut self) {
        for server in std::iter::once(&mut self.nats).chain(&mut self.peers) {
            server.keeps_addresses = true;
        }
    }

    /// How many NATS servers there are.
    #[must_use]
    pub fn nats_count(&self) -> usize {
        1 + self.peers.len()
    }

    /// One of the NATS servers.
    pub fn nats_mut(&mut self, index: usize) -> &mut NatsServer {
        match index {
            0 => &mut self.nats,
            index => &mut self.peers[index - 1],
        }
    }

    /// Which NATS server has this name.
    #[must_use]
    pub fn nats_named(&self, name: &str) -> Option<usize> {
        let mut all = std::iter::once(&self.nats).chain(&self.peers);
        all.position(|server| server.name == name)
    }

    /// Starts both.
    pub async fn start(&mut self) {
        // None of a cluster is ready before most are there.
        std::iter::once(&mut self.nats).chain(&mut self.peers).for_each(NatsServer::spawn);
        for server in std::iter::once(&self.nats).chain(&self.peers) {
            server.listening().await;
        }
        self.redis.start().await;
    }

    /// The running servers of this process. They end when nobody uses them any more.
    pub async fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Servers>> = Mutex::new(Weak::new());
        static STARTING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
        let _starting = STARTING.lock().await;
        if let Some(running) = SHARED.lock().unwrap().upgrade() {
            return running;
        }
        let mut servers = Self::new();
        servers.start().await;
        let servers = Arc::new(servers);
        *SHARED.lock().unwrap() = Arc::downgrade(&servers);
        servers
    }

    /// Where the servers write their logs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Default for Servers {
    fn default() -> Self {
        Self::new()
    }
}

/// A NATS server with JetStream.
#[derive(Debug)]
pub struct NatsServer {
    name: String,
    /// Its own address in the cluster, and everybody's.
    cluster: Option<(String, String)>,
    keeps_addresses: bool,
    port: u16,
    store: PathBuf,
    log: PathBuf,
    configuration: Option<PathBuf>,
    /// Whether the configuration says where the store is. What stands beside it cannot be read again.
    names_store: bool,
    environment: Vec<(String, String)>,
    access: Access,
    /// Where it tells of its health, if it does.
    monitor: Option<u16>,
    tls: Option<Tls>,
    is_traced: bool,
    process: Option<Process>,
}

/// How a NATS server knows services.
#[derive(Debug)]
enum Access {
    /// It does not ask.
    Open,
    /// By name and password.
    Passwords,
    /// By what a file has that a variable names.
    Files(&'static str),
}

/// How a server and services know each other over TLS.
#[derive(Debug)]
struct Tls {
    server: Certificate,
    /// What services show, if the server asks.
    client: Option<Certificate>,
}

impl Tls {
    /// What tells a service of it. `kind` begins the variables' names.
    fn environment(&self, kind: &str) -> Vec<(String, String)> {
        let variable = |name: &str, file: &Path| (format!("{kind}_{name}_FILE"), text(file));
        let client = self
            .client
            .iter()
            .flat_map(|own| [variable("CERT", &own.cert), variable("KEY", &own.key)]);
        client.chain([variable("CA", &self.server.ca)]).collect()
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

impl NatsServer {
    pub(crate) fn new(folder: &Path, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            cluster: None,
            keeps_addresses: false,
            port: ports::free(),
            store: folder.join(name),
            log: folder.join(format!("{name}-server.log")),
            configuration: None,
            names_store: false,
            environment: Vec::new(),
            access: Access::Open,
            monitor: None,
            tls: None,
            is_traced: false,
            process: None,
        }
    }

    /// The version of the program that tests start: 2.9 is `(2, 9)`.
    #[must_use]
    pub fn version() -> (u32, u32) {
        let program = programs::require("NATS_SERVER", "nats-server");
        let output = Command::new(program).arg("--version").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let numbers = text.split_once(": v").and_then(|(_, version)| {
            let mut parts = version.trim().split('.').map(str::parse);
            Some((parts.next()?.ok()?, parts.next()?.ok()?))
        });
        // "nats-server: v2.9.10"
        numbers.unwrap_or_else(|| panic!("nats-server tells no version: {text}"))
    }

    /// Gives it the users of a deployment with their rights, `deploy/nats/users.conf`, and an operator who
    /// may do anything. The passwords are those of [`password`].
    ///
    /// # Panics
    /// When the configuration cannot be written.
    pub fn with_users(&mut self) {
        self.configure(&users_with_operator(&users_conf()));
        self.access = Access::Passwords;
        self.environment = SERVICES
            .map(|service| {
                let variable = service.to_uppercase().replace('-', "_");
                (format!("NATS_{variable}_PASSWORD"), password(service))
            })
            .into();
    }

    /// As [`Self::with_users`], for installations with these prefixes, by `deploy/nats/users.sh`: the passwords
    /// of other users than those of `goch` are those of [`password`], too.
    ///
    /// # Panics
    /// When the configuration cannot be written.
    pub fn with_users_of(&mut self, prefixes: &[&str]) {
        self.with_users();
        self.configure(&users_with_operator(&users_conf_of(prefixes)));
        for prefix in prefixes {
            let user = SERVICES.map(|service| format!("{prefix}-{service}"));
            self.environment.extend(user.map(|user| {
                let variable = user.to_uppercase().replace('-', "_");
                (format!("NATS_{variable}_PASSWORD"), password(&user))
            }));
        }
    }

    /// Takes a deployment's own configuration, with further variables.
    pub(crate) fn deploy(
        &mut self,
        configuration: PathBuf,
        monitor: u16,
        variables: Vec<(String, String)>,
    ) {
        self.configuration = Some(configuration);
        self.names_store = true;
        self.monitor = Some(monitor);
        self.environment.extend(variables);
    }

    /// The file that it is configured with.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn configuration_file(&self) -> &Path {
        self.configuration.as_deref().expect("a server with a configuration")
    }

    /// Where it writes its process id.
    pub(crate) fn pid_file(&self) -> PathBuf {
        self.store.with_extension("pid")
    }

    /// What its health port answers.
    ///
    /// # Panics
    /// When it has none.
    pub async fn health(&self, path: &str) -> Option<u16> {
        let monitor = self.monitor.expect("a server that tells of its health");
        let answer = Rest::new(&format!("127.0.0.1:{monitor}")).try_get(path).await;
        answer.map(|answer| answer.status)
    }

    /// How whoever may do anything connects.
    pub(crate) fn connect_options(&self) -> async_nats::ConnectOptions {
        match self.access {
            Access::Passwords => self.operator(),
            _ => async_nats::ConnectOptions::new(),
        }
    }

    /// As [`Self::with_users`], by nkeys instead of passwords.
    pub fn with_nkeys(&mut self) {
        self.with_keys(accounts::nkeys(&users_conf()), "NATS_NKEY_SEED_FILE");
    }

    /// An operator's server, whose users show JWTs of an account: credentials files.
    pub fn with_accounts(&mut self) {
        self.with_keys(accounts::accounts(), "NATS_CREDENTIALS_FILE");
    }

    fn with_keys(&mut self, keyed: Keyed, variable: &'static str) {
        self.configure(&keyed.configuration);
        self.access = Access::Files(variable);
        for (service, content) in keyed.files {
            std::fs::write(self.secret_of(service), content).unwrap();
        }
    }

    fn configure(&mut self, configuration: &str) {
        let path = self.store.with_extension("conf");
        let (name, store) = (&self.name, text(&self.store));
        let own = format!("server_name: {name}\njetstream {{ store_dir: {store:?} }}");
        std::fs::write(&path, format!("{own}\n{configuration}")).unwrap();
        self.configuration = Some(path);
        self.names_store = true;
    }

    /// The file with which a service shows who it is.
    fn secret_of(&self, service: &str) -> PathBuf {
        self.store.with_extension(service)
    }

    /// Has it speak nothing but TLS, and ask services for the certificate `client` if there is one.
    pub fn with_tls(&mut self, server: Certificate, client: Option<Certificate>) {
        self.tls = Some(Tls { server, client });
    }

    /// What a service is told, so that it is let in.
    #[must_use]
    pub fn environment_of(&self, service: &str) -> Vec<(String, String)> {
        let tls = self.tls.iter().flat_map(|tls| tls.environment("NATS"));
        let login = match self.access {
            Access::Open => Vec::new(),
            Access::Passwords => {
                vec![("NATS_USER", service.to_owned()), ("NATS_PASSWORD", password(service))]
            }
            Access::Files(variable) => vec![(variable, text(&self.secret_of(service)))],
        };
        tls.chain(login.into_iter().map(|(name, value)| (name.to_owned(), value))).collect()
    }

    /// Has it log whatever its clients do, for [`crate::Right::used`].
    pub fn trace(&mut self) {
        self.is_traced = true;
    }

    /// Gives it a disk of so many bytes.
    ///
    /// # Panics
    /// When the configuration cannot be written.
    pub fn with_disk(&mut self, bytes: u64) {
        let configuration = self.store.with_extension("conf");
        let text = format!("jetstream {{ max_file_store: {bytes} }}\n");
        std::fs::write(&configuration, text).unwrap();
        self.configuration = Some(configuration);
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "tls" } else { "nats" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// Starts it, with what it has stored before.
    pub async fn start(&mut self) {
        self.spawn();
        self.listening().await;
    }

    fn spawn(&mut self) {
        let mut arguments = vec!["-a".to_owned(), "127.0.0.1".to_owned()];
        arguments.extend(["-n".to_owned(), self.name.clone()]);
        if let Some((own, routes)) = &self.cluster {
            let names = ["--cluster_name", "goch", "--cluster", own, "--routes", routes];
            arguments.extend(names.map(str::to_owned));
            if self.keeps_addresses {
                arguments.push("--no_advertise".to_owned());
            }
        }
        arguments.extend(["-p".to_owned(), self.port.to_string()]);
        arguments.extend(["-P".to_owned(), text(&self.pid_file())]);
        if !self.names_store {
            arguments.extend(["-sd".to_owned(), self.store.display().to_string()]);
        }
        match &self.configuration {
            Some(path) => arguments.extend(["-c".to_owned(), path.display().to_string()]),
            None => arguments.push("-js".to_owned()),
        }
        if let Some(tls) = &self.tls {
            let Certificate { cert, key, ca } = &tls.server;
            arguments.extend(["--tls".to_owned(), "--tlscert".to_owned(), text(cert)]);
            arguments.extend(["--tlskey".to_owned(), text(key)]);
            if tls.client.is_some() {
                let verify = ["--tlsverify".to_owned(), "--tlscacert".to_owned(), text(ca)];
                arguments.extend(verify);
            }
        }
        if self.is_traced {
            arguments.push("-V".to_owned());
        }
        let program = programs::require("NATS_SERVER", "nats-server");
        let environment = self.environment.iter().cloned();
        self.process = Some(Process::start(&program, &arguments, environment, &self.log));
    }

    async fn listening(&self) {
        listening("nats-server", self.port, &self.log).await;
    }

    /// Its memory at the moment, in bytes; none if it does not run.
    #[must_use]
    pub fn memory(&self) -> Option<u64> {
        self.process.as_ref()?.memory()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// SIGSTOP: it is there and does nothing.
    pub fn pause(&self) {
        signal(self.process.as_ref(), Signal::STOP);
    }

    /// SIGCONT.
    pub fn resume(&self) {
        signal(self.process.as_ref(), Signal::CONT);
    }

    /// Ends it as an operator does.
    pub async fn stop(&mut self) {
        stop(&mut self.process).await;
    }

    /// All that it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        process::output(&self.log)
    }
}

/// A Redis server that keeps an append-only file.
#[derive(Debug)]
pub struct RedisServer {
    port: u16,
    /// What the keys begin with that services may use.
    prefix: String,
    tls: Option<Tls>,
    store: PathBuf,
    log: PathBuf,
    process: Option<Process>,
}

impl RedisServer {
    fn new(folder: &Path) -> Self {
        let store = folder.join("redis");
        std::fs::create_dir(&store).unwrap();
        let log = folder.join("redis-server.log");
        // Each test has a prefix of its own.
        Self { port: ports::free(), prefix: "*".to_owned(), tls: None, store, log, process: None }
    }

    /// Its address for a service, whose user has the rights of a deployment: `deploy/redis/users.conf`.
    #[must_use]
    pub fn url(&self, service: &str) -> String {
        let scheme = if self.tls.is_some() { "rediss" } else { "redis" };
        format!("{scheme}://{service}:{}@127.0.0.1:{}", password(service), self.port)
    }

    /// Has it speak nothing but TLS, and ask services for the certificate `client` if there is one.
    pub fn with_tls(&mut self, server: Certificate, client: Option<Certificate>) {
        self.tls = Some(Tls { server, client });
    }

    /// What a service is told, so that it is let in.
    #[must_use]
    pub fn environment_of(&self, service: &str) -> Vec<(String, String)> {
        let tls = self.tls.iter().flat_map(|tls| tls.environment("REDIS"));
        tls.chain([("REDIS_URL".to_owned(), self.url(service))]).collect()
    }

    /// Lets services use no keys but those that begin with this.
    pub fn only_prefix(&mut self, prefix: &str) {
        prefix.clone_into(&mut self.prefix);
    }

    /// Starts it, with what it has stored before.
    pub async fn start(&mut self) {
        let program = programs::require("REDIS_SERVER", "redis-server");
        let (port, store) = (self.port.to_string(), self.store.display().to_string());
        let mut arguments = vec!["--bind".to_owned(), "127.0.0.1".to_owned()];
        arguments.extend(["--dir".to_owned(), store]);
        match &self.tls {
            None => arguments.extend(["--port".to_owned(), port]),
            Some(Tls { server, client }) => {
                let asks = if client.is_some() { "yes" } else { "no" };
                arguments.extend(["--port", "0", "--tls-port", &port].map(str::to_owned));
                arguments.extend(["--tls-auth-clients", asks].map(str::to_owned));
                arguments.extend(["--tls-cert-file".to_owned(), text(&server.cert)]);
                arguments.extend(["--tls-key-file".to_owned(), text(&server.key)]);
                arguments.extend(["--tls-ca-cert-file".to_owned(), text(&server.ca)]);
            }
        }
        let environment = [
            ("PATH", std::env::var("PATH").unwrap_or_default()),
            ("REDIS_SERVER", program.display().to_string()),
            ("REDIS_PREFIX", self.prefix.clone()),
            ("REDIS_CHAT_ADMIN_PASSWORD", password("chat-admin")),
            ("REDIS_INGEST_HISTORY_PASSWORD", password("ingest-history")),
            ("REDIS_OPERATOR_PASSWORD", password("operator")),
        ]
        .map(|(name, value)| (name.to_owned(), value));
        let script = programs::repository("deploy/redis/start.sh");
        self.process = Some(Process::start(&script, arguments, environment, &self.log));
        listening("redis-server", self.port, &self.log).await;
    }

    /// Its memory at the moment, in bytes; none if it does not run.
    #[must_use]
    pub fn memory(&self) -> Option<u64> {
        self.process.as_ref()?.memory()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// SIGSTOP: it is there and does nothing.
    pub fn pause(&self) {
        signal(self.process.as_ref(), Signal::STOP);
    }

    /// SIGCONT.
    pub fn resume(&self) {
        signal(self.process.as_ref(), Signal::CONT);
    }

    /// Has it refuse whatever would change something, and answer the rest. What it is asked for meanwhile
    /// does not come to it later, as it would once a paused one goes on.
    pub async fn refuse_writes(&self) {
        assert_eq!(self.ask("operator", "CONFIG SET min-replicas-to-write 1").await, "+OK");
    }

    /// Has it take changes again.
    pub async fn take_writes(&self) {
        assert_eq!(self.ask("operator", "CONFIG SET min-replicas-to-write 0").await, "+OK");
    }

    /// Deletes what it has stored; it must not be running.
    ///
    /// # Panics
    /// When that cannot be deleted.
    pub fn forget(&self) {
        std::fs::remove_dir_all(&self.store).unwrap();
        std::fs::create_dir(&self.store).unwrap();
    }

    /// Ends it as an operator does.
    pub async fn stop(&mut self) {
        stop(&mut self.process).await;
    }

    /// Deletes everything.
    pub async fn flush(&self) {
        assert_eq!(self.ask("operator", "FLUSHALL").await, "+OK");
    }

    /// Lets it use so many bytes and no more, from now on; 0 is any number.
    pub async fn set_max_memory(&self, bytes: u64) {
        let command = format!("CONFIG SET maxmemory {bytes}");
        assert_eq!(self.ask("operator", &command).await, "+OK");
    }

    /// What it uses, in bytes, as it counts for that.
    pub async fn used_memory(&self) -> u64 {
        let info = self.command(&["INFO", "memory"]).await;
        let number = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name)).expect("a number");
            line.trim().parse::<u64>().expect("a number")
        };
        number("used_memory:").saturating_sub(number("mem_not_counted_for_evict:"))
    }

    /// What it answers to one command of a user, up to the end of the first line.
    ///
    /// # Panics
    /// When it does not answer, or does not know the user.
    pub async fn ask(&self, user: &str, command: &str) -> String {
        ask(self.connect(user).await, command).await
    }

    /// As [`Self::ask`], for who has not said who it is.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn ask_as_nobody(&self, command: &str) -> String {
        ask(TcpStream::connect(("127.0.0.1", self.port)).await.unwrap(), command).await
    }

    /// Forgets what it has refused, where a test was out for that.
    pub async fn forget_refusals(&self) {
        assert_eq!(self.ask("operator", "ACL LOG RESET").await, "+OK");
    }

    /// What it has refused, as it tells; nothing if it has not.
    fn refused(&self) -> std::io::Result<String> {
        use std::io::{Read as _, Write as _};

        let mut connection = std::net::TcpStream::connect(("127.0.0.1", self.port))?;
        connection.set_read_timeout(Some(Duration::from_secs(2)))?;
        write!(connection, "AUTH operator {}\r\nACL LOG\r\nQUIT\r\n", password("operator"))?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        let list = answer.trim_start_matches("+OK\r\n").trim_end_matches("+OK\r\n");
        Ok(list.trim_start_matches("*0\r\n").to_owned())
    }

    /// A connection as a user.
    ///
    /// # Panics
    /// When it cannot be had.
    pub async fn connect(&self, user: &str) -> TcpStream {
        let mut connection = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let login = format!("AUTH {user} {}\r\n", password(user));
        connection.write_all(login.as_bytes()).await.unwrap();
        let mut answer = [0; 5];
        connection.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"+OK\r\n", "Redis does not let {user} in");
        connection
    }

    /// Does what whoever has got into Redis could do: the answer of a command, if it is one string or
    /// number.
    ///
    /// # Panics
    /// When Redis refuses it, or has nothing to answer.
    pub async fn command(&self, words: &[&str]) -> String {
        let mut connection = BufStream::new(self.connect("operator").await);
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            let _ = write!(request, "${}\r\n{word}\r\n", word.len());
        }
        connection.write_all(request.as_bytes()).await.unwrap();
        connection.flush().await.unwrap();
        let mut line = String::new();
        connection.read_line(&mut line).await.unwrap();
        let (kind, rest) = line.trim_end().split_at(1);
        match kind {
            "+" | ":" => rest.to_owned(),
            "$" => {
                let mut bytes = vec![0; rest.parse().unwrap()];
                connection.read_exact(&mut bytes).await.unwrap();
                String::from_utf8(bytes).unwrap()
            }
            _ => panic!("Redis answers {line}"),
        }
    }
}

/// These users, and an operator.
pub(crate) fn users_with_operator(users: &str) -> String {
    let operator = format!("users: [\n{{ user: operator, password: {} }}", password("operator"));
    users.replacen("users: [", &operator, 1)
}

/// The password of a service, or of the operator, on the servers of a test.
#[must_use]
pub fn password(user: &str) -> String {
    format!("p{}", user.replace('-', ""))
}

impl Drop for RedisServer {
    /// A service does without Redis when it is refused something, so no test would notice by itself.
    fn drop(&mut self) {
        if self.process.is_none() || self.tls.is_some() || std::thread::panicking() {
            return;
        }
        // It may be paused.
        let Ok(refused) = self.refused() else { return };
        assert!(refused.is_empty(), "Redis has refused something:\n{refused}");
    }
}

async fn ask(connection: TcpStream, command: &str) -> String {
    let mut connection = BufReader::new(connection);
    connection.write_all(format!("{command}\r\n").as_bytes()).await.unwrap();
    let mut line = String::new();
    connection.read_line(&mut line).await.unwrap();
    line.trim().to_owned()
}

async fn listening(name: &str, port: u16, log: &Path) {
    let what = format!("{name} listens; it wrote to {}", log.display());
    until(&what, async || TcpStream::connect(("127.0.0.1", port)).await.ok()).await;
}

/// # Panics
/// When the program is not running.
fn signal(process: Option<&Process>, signal: Signal) {
    process.expect("the server is not running").signal(signal);
}

async fn stop(process: &mut Option<Process>) {
    let Some(mut process) = process.take() else { return };
    process.signal(Signal::TERM);
    process.exit().await;
}
