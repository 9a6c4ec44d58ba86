//! One service of Goch as a process, and its health port.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
};

use rustix::process::Signal;

use crate::{
    ports,
    process::{self, Process},
    programs,
    rest::{Answer, Rest},
    wait::until,
};

/// A service, running or not. Its ports stay the same over restarts.
#[derive(Debug)]
pub struct Service {
    binary: &'static str,
    environment: BTreeMap<String, String>,
    listen_port: u16,
    health_port: u16,
    log: PathBuf,
    /// What starts the binary, if it is not started by itself.
    launcher: Vec<String>,
    process: Option<Process>,
}

impl Service {
    /// A service that is not started yet; `name` tells replicas apart.
    #[must_use]
    pub fn new(
        binary: &'static str,
        name: &str,
        environment: BTreeMap<String, String>,
        folder: &Path,
    ) -> Self {
        let (listen_port, health_port) = (ports::free(), ports::free());
        let ports = [("LISTEN_ADDRESS", listen_port), ("HEALTH_ADDRESS", health_port)];
        let ports = ports.map(|(name, port)| (name.to_owned(), format!("127.0.0.1:{port}")));
        let log = folder.join(format!("{name}.log"));
        Self {
            binary,
            // What the test sets comes last.
            environment: ports.into_iter().chain(environment).collect(),
            listen_port,
            health_port,
            log,
            launcher: Vec::new(),
            process: None,
        }
    }

    /// Another one with the same configuration and ports of its own, not started yet.
    #[must_use]
    pub fn replica(&self, name: &str, folder: &Path) -> Self {
        let mut environment = self.environment.clone();
        environment.retain(|variable, _| !variable.ends_with("_ADDRESS"));
        Self::new(self.binary, name, environment, folder)
    }

    /// The name of its binary.
    #[must_use]
    pub fn binary(&self) -> &'static str {
        self.binary
    }

    /// Sets a variable for the next start.
    pub fn set(&mut self, variable: &str, value: &str) {
        self.environment.insert(variable.to_owned(), value.to_owned());
    }

    /// Takes all variables away but those of its ports, for who says the same in another way.
    pub fn take_variables(&mut self) -> BTreeMap<String, String> {
        let is_port = |variable: &str| variable.ends_with("_ADDRESS");
        let (ports, taken) = std::mem::take(&mut self.environment)
            .into_iter()
            .partition(|(variable, _)| is_port(variable));
        self.environment = ports;
        taken
    }

    /// Lets it have no more files open, from its next start on.
    pub fn limit_open_files(&mut self, count: u32) {
        let script = r#"ulimit -n "$0" && exec "$@""#;
        self.launcher = ["/bin/sh", "-c", script, &count.to_string()].map(str::to_owned).into();
    }

    /// Shows it a control group that may have so many bytes of memory, from its next start on. False where
    /// nobody may mount anything, and where there are no control groups: elsewhere than on Linux.
    pub fn show_memory_limit(&mut self, bytes: u64) -> bool {
        let Some(unshare) = programs::find("UNSHARE", "unshare") else { return false };
        let script = r#"
            mount -t tmpfs none /sys/fs/cgroup && echo "$0" >/sys/fs/cgroup/memory.max && exec "$@""#;
        let script = ["sh", "-c", script].map(str::to_owned);
        for kind in [&["--mount"][..], &["--mount", "--map-root-user"]] {
            let unshare = unshare.display().to_string();
            let kind = kind.iter().map(|word| (*word).to_owned());
            let launcher: Vec<String> =
                [unshare].into_iter().chain(kind).chain(script.clone()).collect();
            let launcher = [launcher, vec![bytes.to_string()]].concat();
            let tried = Command::new(&launcher[0]).args(&launcher[1..]).arg("true").output();
            if tried.is_ok_and(|tried| tried.status.success()) {
                self.launcher = launcher;
                return true;
            }
        }
        eprintln!("nothing may be mounted here: the memory limit is not shown");
        false
    }

    /// Starts it, without waiting until it is ready.
    pub fn spawn(&mut self) {
        let environment = self.environment.clone();
        let mut command = self.launcher.clone();
        command.push(programs::service(self.binary).display().to_string());
        let program = PathBuf::from(command.remove(0));
        self.process = Some(Process::start(&program, command, environment, &self.log));
    }

    /// Waits until it is ready.
    ///
    /// # Panics
    /// When it ends instead, or takes too long.
    pub async fn ready(&mut self) {
        let health = self.health();
        let what = format!("{} is ready", self.binary);
        until(&what, async || {
            if let Some(status) = self.process_mut().ended() {
                panic!("{} has ended by itself: {status}\n{}", self.binary, self.log());
            }
            (health.try_get("/readyz").await?.status == 200).then_some(())
        })
        .await;
    }

    /// Starts it and waits until it is ready.
    pub async fn start(&mut self) {
        self.spawn();
        self.ready().await;
    }

    /// SIGTERM, and waits for the end.
    pub async fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.exit().await
    }

    /// Waits for its own end.
    pub async fn exit(&mut self) -> ExitStatus {
        let status = self.process_mut().exit().await;
        self.process = None;
        status
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// SIGSTOP: it is there and does nothing.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When it is not running.
    pub fn signal(&self, signal: Signal) {
        self.process.as_ref().expect("the service is not running").signal(signal);
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| process.ended().is_none())
    }

    fn process_mut(&mut self) -> &mut Process {
        self.process.as_mut().expect("the service is not running")
    }

    /// Host and port where it serves clients.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.listen_port)
    }

    /// What it serves to clients over HTTP.
    #[must_use]
    pub fn rest(&self) -> Rest {
        Rest::new(&self.address())
    }

    /// Its health port.
    #[must_use]
    pub fn health(&self) -> Rest {
        Rest::new(&format!("127.0.0.1:{}", self.health_port))
    }

    /// Its memory at the moment, in bytes; none if it does not run.
    #[must_use]
    pub fn memory(&self) -> Option<u64> {
        self.process.as_ref()?.memory()
    }

    /// The answer of `/readyz`.
    pub async fn readiness(&self) -> Answer {
        self.health().get("/readyz").await
    }

    /// All that it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        process::output(&self.log)
    }
}
