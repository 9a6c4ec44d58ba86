//! The sample ticketing system, `deploy/demo`, beside a system.

use std::{collections::BTreeMap, path::PathBuf};

use tempfile::TempDir;

use crate::{
    ports,
    process::{self, Process},
    programs,
    rest::Rest,
    system::{ADMIN_PASSWORD, ADMIN_USERNAME, System},
    wait::until,
};

/// The sample, or a replica of it.
#[derive(Debug)]
pub struct Ticketing {
    port: u16,
    environment: BTreeMap<String, String>,
    folder: TempDir,
    process: Option<Process>,
}

impl Ticketing {
    /// What it signs tokens with: to be the gateways' `TOKEN_SECRET`, too.
    pub const TOKEN_SECRET: &str = "the sample's secret of thirty-two bytes";

    /// What its webhook's requests are signed with, unless that is changed.
    pub const WEBHOOK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";

    /// Starts it, and waits until it has registered with the system and serves.
    pub async fn start(system: &System) -> Self {
        let mut ticketing = Self::new(system);
        ticketing.restart().await;
        ticketing
    }

    /// One that does not run yet.
    ///
    /// # Panics
    /// When there is no folder for what it logs.
    #[must_use]
    pub fn new(system: &System) -> Self {
        let port = ports::free();
        let environment = [
            ("LISTEN_ADDRESS", format!("127.0.0.1:{port}")),
            ("GOCH_URL", format!("http://{}", system.chat_admin.address())),
            ("GOCH_USERNAME", ADMIN_USERNAME.to_owned()),
            ("GOCH_PASSWORD", ADMIN_PASSWORD.to_owned()),
            ("GATEWAY_URL", format!("http://{}", system.gateway().address())),
            ("WEBHOOK_URL", format!("http://127.0.0.1:{port}/webhooks")),
            ("WEBHOOK_SECRET", Self::WEBHOOK_SECRET.to_owned()),
            ("TOKEN_SECRET", Self::TOKEN_SECRET.to_owned()),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value)).into();
        Self { port, environment, folder: tempfile::tempdir().unwrap(), process: None }
    }

    /// Another replica that does not run yet: its webhook is this one's.
    ///
    /// # Panics
    /// When there is no folder for what it logs.
    #[must_use]
    pub fn replica(&self) -> Self {
        let port = ports::free();
        let mut environment = self.environment.clone();
        environment.insert("LISTEN_ADDRESS".to_owned(), format!("127.0.0.1:{port}"));
        Self { port, environment, folder: tempfile::tempdir().unwrap(), process: None }
    }

    /// Sets a variable from the next start on.
    pub fn set(&mut self, variable: &str, value: &str) {
        self.environment.insert(variable.to_owned(), value.to_owned());
    }

    /// Kills it if it runs, and starts it again.
    ///
    /// # Panics
    /// When it does not serve.
    pub async fn restart(&mut self) {
        self.process = None;
        let program = programs::service("ticketing-demo");
        let environment = self.environment.clone();
        self.process = Some(Process::start(&program, [""; 0], environment, &self.log_file()));
        let rest = self.rest();
        until("the ticketing system serves", async || {
            if let Some(status) = self.process.as_mut().and_then(Process::ended) {
                panic!("the ticketing system has ended: {status}\n{}", self.log());
            }
            rest.try_get("/tickets/0").await.filter(|answer| answer.status == 404)
        })
        .await;
    }

    /// What it serves.
    #[must_use]
    pub fn rest(&self) -> Rest {
        Rest::new(&format!("127.0.0.1:{}", self.port))
    }

    /// Where browsers reach it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// All that it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        process::output(&self.log_file())
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("ticketing-demo.log")
    }
}
