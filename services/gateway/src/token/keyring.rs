//! The present keys, shared by all workers, and who keeps them up to date.
//!
//! Keys are read again at a steady pace, and when a token names one that is not known, but then at
//! most every [`RELOAD_PAUSE`]: who presents made-up tokens cannot turn the gateway against whoever
//! publishes the keys. Keys that cannot be read, or none at all, leave the old ones in place.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use goch_chassis::{Chassis, StartError};
use goch_contract::{Error, ErrorCode, TenantName};
use reqwest::{Client, Url, redirect};
use tokio::sync::{Notify, watch};

use super::{
    KeySource, TokenConfig,
    keys::{KeySet, KeySetError, LeftOut, SharedSecrets},
};

/// The shortest time between two readings that unknown keys cause.
const RELOAD_PAUSE: Duration = Duration::from_secs(5);

/// How long a token with an unknown key waits for a reading.
const RELOAD_WAIT: Duration = Duration::from_secs(5);

/// How long until the next attempt while there are no keys at all.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// How long one reading may take.
const READ_TIMEOUT: Duration = Duration::from_secs(4);

/// The largest key set.
const DOCUMENT_BYTES_MAX: usize = 1 << 20;

/// Keys, and which they are in the order of their coming.
#[derive(Debug, Clone)]
pub(super) struct Loaded {
    pub(super) keys: Arc<KeySet>,
    /// Rises whenever the keys change.
    pub(super) generation: u64,
}

#[derive(Debug, Clone, Default)]
struct State {
    loaded: Option<Loaded>,
    read: Option<Instant>,
}

impl State {
    /// Whether the latest reading is at least `pause` ago.
    fn may_be_read_again(&self, pause: Duration) -> bool {
        self.read.is_some_and(|read| read.elapsed() >= pause)
    }
}

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Keyring {
    state: watch::Receiver<State>,
    wanted: Arc<Notify>,
    is_configured: bool,
}

impl Keyring {
    /// Begins to read the keys of the configured source; does not wait for them, but readiness does, unless they
    /// are a tenant's.
    ///
    /// # Errors
    /// When there is no way to ask for the keys.
    pub(super) fn start(
        config: &TokenConfig,
        tenant: Option<&TenantName>,
        chassis: &Chassis,
    ) -> Result<Self, StartError> {
        let source = match &config.source {
            None | Some(KeySource::Secrets(_)) => return Ok(Self::constant(config)),
            Some(KeySource::File(path)) => Source::File(path.clone()),
            Some(KeySource::Url(url)) => Source::Url(client()?, url.clone()),
        };
        let (sender, state) = watch::channel(State::default());
        let wanted = Arc::new(Notify::new());
        let keeper = Keeper {
            source,
            tenant: tenant.cloned(),
            state: sender,
            wanted: Arc::clone(&wanted),
            refresh: config.refresh,
        };
        let shutdown = chassis.shutdown.clone();
        let whose = tenant.map(|tenant| format!(" of {tenant}")).unwrap_or_default();
        chassis.shutdown.spawn_vital(format!("reader of token keys{whose}"), async move {
            shutdown.unless_begun(keeper.run()).await;
        });
        if tenant.is_none() {
            let seen = state.clone();
            chassis.health.require("token keys", move || seen.borrow().loaded.is_some());
        }
        Ok(Self { state, wanted, is_configured: true })
    }

    /// Keys that do not change, or none.
    fn constant(config: &TokenConfig) -> Self {
        let loaded = match &config.source {
            Some(KeySource::Secrets(secrets)) => {
                Some(Loaded { keys: Arc::new(KeySet::of_secrets(secrets)), generation: 0 })
            }
            _ => None,
        };
        let is_configured = loaded.is_some();
        let (_, state) = watch::channel(State { loaded, read: None });
        Self { state, wanted: Arc::default(), is_configured }
    }

    #[cfg(test)]
    pub(super) fn fixed(config: &TokenConfig) -> Option<Self> {
        matches!(config.source, Some(KeySource::Secrets(_))).then(|| Self::constant(config))
    }

    /// The present keys.
    ///
    /// # Errors
    /// `unauthorized` where there are no tokens, `unavailable` while the keys are not known yet.
    pub(super) fn loaded(&self) -> Result<Loaded, Error> {
        self.state.borrow().loaded.clone().ok_or_else(|| {
            if self.is_configured {
                Error::unavailable("the keys of tokens could not be read yet")
            } else {
                let message = "this installation takes no tokens";
                Error::of_field(ErrorCode::Unauthorized, "token", message)
            }
        })
    }

    /// Has the keys read again, and waits for it. False if they are not, because they do not change
    /// or have just been read.
    pub(super) async fn reload(&self) -> bool {
        let mut state = self.state.clone();
        if !state.borrow_and_update().may_be_read_again(RELOAD_PAUSE) {
            return false;
        }
        self.wanted.notify_one();
        matches!(tokio::time::timeout(RELOAD_WAIT, state.changed()).await, Ok(Ok(())))
    }
}

enum Source {
    File(std::path::PathBuf),
    Url(Client, Url),
}

struct Keeper {
    source: Source,
    /// Whose keys they are, unless the installation's.
    tenant: Option<TenantName>,
    state: watch::Sender<State>,
    wanted: Arc<Notify>,
    refresh: Duration,
}

impl Keeper {
    async fn run(self) {
        loop {
            self.read_again().await;
            let pause =
                if self.state.borrow().loaded.is_some() { self.refresh } else { RETRY_AFTER };
            let _ = tokio::time::timeout(pause, self.wanted_again()).await;
        }
    }

    /// Waits until somebody wants the keys who has not just been given them.
    async fn wanted_again(&self) {
        loop {
            self.wanted.notified().await;
            if self.state.borrow().may_be_read_again(RELOAD_PAUSE) {
                return;
            }
        }
    }

    async fn read_again(&self) {
        let read = match tokio::time::timeout(READ_TIMEOUT, self.source.read()).await {
            Ok(read) => read,
            Err(_) => Err(ReadError::TimedOut),
        };
        let tenant = self.tenant.as_ref().map(TenantName::as_str);
        if let Err(error) = &read {
            tracing::warn!(tenant, %error, "the keys of tokens cannot be read");
        }
        self.state.send_modify(|state| {
            state.read = Some(Instant::now());
            let Ok(keys) = read else { return };
            let generation = match &state.loaded {
                Some(loaded) if *loaded.keys == keys => return,
                Some(loaded) => loaded.generation + 1,
                None => 1,
            };
            tracing::info!(tenant, keys = keys.len(), "the keys of tokens have changed");
            for LeftOut { name, reason } in keys.left_out() {
                tracing::warn!(tenant, key = name, %reason, "a key of the set cannot be used");
            }
            state.loaded = Some(Loaded { keys: Arc::new(keys), generation });
        });
    }
}

#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("no answer in time")]
    TimedOut,
    #[error(transparent)]
    File(#[from] std::io::Error),
    #[error(transparent)]
    Http(#[from] reqwest::Error),
    #[error("more than {DOCUMENT_BYTES_MAX} bytes")]
    TooLarge,
    #[error(transparent)]
    Document(#[from] KeySetError),
}

impl Source {
    async fn read(&self) -> Result<KeySet, ReadError> {
        match self {
            Self::File(path) => read_file(path).await,
            Self::Url(client, url) => read_url(client, url.clone()).await,
        }
    }
}

async fn read_file(path: &Path) -> Result<KeySet, ReadError> {
    let json = tokio::fs::read(path).await?;
    Ok(KeySet::parse(&json, SharedSecrets::Allowed)?)
}

async fn read_url(client: &Client, url: Url) -> Result<KeySet, ReadError> {
    let mut response = client.get(url).send().await?.error_for_status()?;
    let mut json = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if json.len() + chunk.len() > DOCUMENT_BYTES_MAX {
            return Err(ReadError::TooLarge);
        }
        json.extend_from_slice(&chunk);
    }
    Ok(KeySet::parse(&json, SharedSecrets::Refused)?)
}

fn client() -> Result<Client, StartError> {
    Client::builder()
        .user_agent(concat!("goch-gateway/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .build()
        .map_err(|error| StartError::because("preparing to read TOKEN_JWKS_URL", error))
}

#[cfg(test)]
mod tests;
