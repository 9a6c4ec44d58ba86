//! The sample ticketing system, `deploy/demo`, beside a system.

use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    ports,
    process::{self, Process},
    programs,
    rest::Rest,
    system::{ADMIN_PASSWORD, ADMIN_USERNAME, System},
    wait::until,
};

/// The running sample. What it keeps outlives a restart.
#[derive(Debug)]
pub struct Ticketing {
    port: u16,
    environment: Vec<(String, String)>,
    folder: TempDir,
    process: Option<Process>,
}

impl Ticketing {
    /// Starts it, and waits until it has registered with the system and serves.
    ///
    /// # Panics
    /// When it does not.
    pub async fn start(system: &System) -> Self {
        let port = ports::free();
        let folder = tempfile::tempdir().unwrap();
        let webhook_file = folder.path().join("webhook.json").to_string_lossy().into_owned();
        let environment = [
            ("LISTEN_ADDRESS", format!("127.0.0.1:{port}")),
            ("GOCH_URL", format!("http://{}", system.chat_admin.address())),
            ("GOCH_USERNAME", ADMIN_USERNAME.to_owned()),
            ("GOCH_PASSWORD", ADMIN_PASSWORD.to_owned()),
            ("GATEWAY_URL", format!("http://{}", system.gateway().address())),
            ("WEBHOOK_URL", format!("http://127.0.0.1:{port}/webhooks")),
            ("WEBHOOK_FILE", webhook_file),
        ];
        let environment =
            environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let mut ticketing = Self { port, environment, folder, process: None };
        ticketing.restart().await;
        ticketing
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

    /// What its webhooks are signed with.
    ///
    /// # Panics
    /// When it has not kept that.
    #[must_use]
    pub fn webhook_secret(&self) -> String {
        let kept = std::fs::read(self.folder.path().join("webhook.json")).unwrap();
        let kept: Value = serde_json::from_slice(&kept).unwrap();
        kept["secret"].as_str().unwrap().to_owned()
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
