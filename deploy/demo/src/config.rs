//! What it is configured with, from the environment.

use std::net::SocketAddr;

use serde::Deserialize;

/// The configuration; the variables have the fields' names.
#[derive(Deserialize)]
pub(crate) struct Config {
    /// Where it listens.
    #[serde(default = "listen_address")]
    pub(crate) listen_address: SocketAddr,
    /// Where chat-admin is.
    #[serde(default = "goch_url")]
    pub(crate) goch_url: String,
    /// What it logs in with there.
    pub(crate) goch_username: String,
    /// What it logs in with there.
    pub(crate) goch_password: String,
    /// Where browsers reach the gateway.
    #[serde(default = "gateway_url")]
    pub(crate) gateway_url: String,
    /// Where broker-bridge reaches this program's `/webhooks`.
    #[serde(default = "webhook_url")]
    pub(crate) webhook_url: String,
    /// What the webhook's requests are signed with.
    pub(crate) webhook_secret: String,
    /// What tokens are signed with; the gateway has it too.
    pub(crate) token_secret: String,
}

impl Config {
    /// Reads it.
    ///
    /// # Errors
    /// Names the variable that is missing or faulty.
    pub(crate) fn from_environment() -> Result<Self, envy::Error> {
        envy::from_env()
    }
}

fn listen_address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8070))
}

fn goch_url() -> String {
    "http://127.0.0.1:8090".to_owned()
}

fn gateway_url() -> String {
    "http://127.0.0.1:8080".to_owned()
}

fn webhook_url() -> String {
    "http://127.0.0.1:8070/webhooks".to_owned()
}
