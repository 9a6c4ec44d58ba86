//! The connection to Redis, made and mended in the background.
//!
//! Redis is a copy, so nobody waits for it: a service starts and is ready without it. Whether Redis answers is
//! found out once for all who ask, by a probe and by the first read that is not answered in time. From then on
//! reads fail at once, until the probe is answered again. One that is full is away for what it refuses to write
//! ([`memory`]).

mod client;
mod memory;

use std::{sync::Arc, time::Duration};

use fred::{
    clients::Client,
    interfaces::ClientLike as _,
    types::config::{Config, TlsConfig},
};
use prometheus_client::metrics::gauge::Gauge;
use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};

pub use self::client::queue_script;
use self::memory::Memory;
use crate::{
    config::RedisConfig, metrics::Metrics, nats::pause, run::StartError, shutdown::Shutdown,
};

/// How long a command may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(3);

/// How long the answer to a probe may take.
const PROBE_WITHIN: Duration = Duration::from_millis(300);

/// How often Redis is probed while it answers.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// How often it is probed while it does not.
const PROBE_AWAY_EVERY: Duration = Duration::from_millis(100);

/// Why Redis has not done what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum RedisError {
    /// It did not answer before, so it was not asked.
    #[error("Redis is away")]
    Away,
    /// It has not answered in time.
    #[error("Redis has not answered in time")]
    Slow,
    /// It has no memory left for what was to be written.
    #[error("Redis is full")]
    Full,
    /// It has refused, or the connection was lost meanwhile.
    #[error("Redis: {0}")]
    Failed(#[source] fred::error::Error),
}

impl From<fred::error::Error> for RedisError {
    fn from(error: fred::error::Error) -> Self {
        if memory::is_refusal(&error) { Self::Full } else { Self::Failed(error) }
    }
}

/// Redis, which may be away or never have been there. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Redis {
    client: Client,
    /// Whether the last probe was answered, and no read since has waited for too long.
    answers: Arc<watch::Sender<bool>>,
    /// Wakes the probe.
    doubted: Arc<Notify>,
    memory: Memory,
}

impl Redis {
    /// The client, to make commands for [`Self::read`] and [`Self::write`]: it would let them wait for a
    /// connection.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Whether it is worth asking.
    #[must_use]
    pub fn is_answering(&self) -> bool {
        *self.answers.borrow() && self.client.is_connected()
    }

    /// Waits until it is worth asking.
    pub async fn answering(&self) {
        // The sender is here, so there is always news to wait for.
        let _ = self.answers.subscribe().wait_for(|answers| *answers).await;
    }

    /// Used of the memory that Redis may use, as last heard; of a cluster, of the fullest node. 0 where there is no
    /// limit, and more than 1 where it was lowered.
    #[must_use]
    pub fn fullness(&self) -> f64 {
        self.memory.fullness()
    }

    /// Whether Redis has refused a write for want of memory, and has had no room since.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.memory.is_full()
    }

    /// Waits until it is worth writing: Redis answers and has room.
    pub async fn takes_writes(&self) {
        while !*self.answers.borrow() || self.is_full() {
            self.answering().await;
            self.memory.has_room().await;
        }
    }

    /// The answer to a command whose answer can be had elsewhere too. At most those who ask before it is
    /// known that Redis does not answer wait for `within`.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn read<T>(
        &self,
        within: Duration,
        command: impl Future<Output = Result<T, fred::error::Error>>,
    ) -> Result<T, RedisError> {
        if !*self.answers.borrow() {
            return Err(RedisError::Away);
        }
        self.ask(within, command).await
    }

    /// The answer to a command that nobody waits for but a task. A read that was slow does not keep it from
    /// being tried.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn write<T>(
        &self,
        command: impl Future<Output = Result<T, fred::error::Error>>,
    ) -> Result<T, RedisError> {
        self.ask(COMMAND_TIMEOUT, command).await
    }

    /// As [`Self::write`], with the answer to each command of a pipeline.
    ///
    /// # Errors
    /// [`RedisError`], if there are none.
    pub async fn write_each<T>(
        &self,
        commands: impl Future<Output = Vec<Result<T, fred::error::Error>>>,
    ) -> Result<Vec<Result<T, RedisError>>, RedisError> {
        let answers = self.ask(COMMAND_TIMEOUT, async { Ok(commands.await) }).await?;
        Ok(answers
            .into_iter()
            .map(|answer| answer.map_err(|error| self.understand(error)))
            .collect())
    }

    async fn ask<T>(
        &self,
        within: Duration,
        command: impl Future<Output = Result<T, fred::error::Error>>,
    ) -> Result<T, RedisError> {
        if !self.client.is_connected() {
            self.doubt();
            return Err(RedisError::Away);
        }
        let Ok(answer) = timeout(within, command).await else {
            self.doubt();
            return Err(RedisError::Slow);
        };
        answer.map_err(|error| self.understand(error))
    }

    fn understand(&self, error: fred::error::Error) -> RedisError {
        let error = RedisError::from(error);
        if matches!(error, RedisError::Full) {
            self.memory.note_refusal();
        }
        error
    }

    /// Has nobody ask until a probe is answered, which is tried at once.
    fn doubt(&self) {
        if self.note(false) {
            self.doubted.notify_one();
        }
    }

    /// True if that is news.
    fn note(&self, answers: bool) -> bool {
        self.answers.send_if_modified(|known| std::mem::replace(known, answers) != answers)
    }

    /// Connects until that works, and again whenever the client has given up.
    async fn stay_connected(self) {
        let mut attempt = 1;
        loop {
            let ended = self.client.connect().await;
            let error = match ended {
                Ok(Ok(())) => "the connection was ended".to_owned(),
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            };
            tracing::warn!(error, "waiting for Redis");
            sleep(pause(attempt)).await;
            attempt += 1;
        }
    }

    async fn probe(self, connected: Gauge) {
        let mut is_reported = false;
        loop {
            let answers = self.is_alive().await;
            self.note(answers);
            if answers != is_reported {
                is_reported = answers;
                if answers {
                    tracing::info!("connected to Redis");
                } else {
                    tracing::warn!("Redis does not answer; doing without");
                }
            }
            connected.set(i64::from(answers));
            if answers {
                self.memory.look(&self.client).await;
                let _ = timeout(PROBE_EVERY, self.doubted.notified()).await;
            } else {
                sleep(PROBE_AWAY_EVERY).await;
            }
        }
    }

    async fn is_alive(&self) -> bool {
        let ping = self.client.ping::<()>(None);
        self.client.is_connected() && matches!(timeout(PROBE_WITHIN, ping).await, Ok(Ok(())))
    }
}

/// Begins to connect, and goes on with it for as long as the service runs.
///
/// # Errors
/// A URL that cannot be read.
pub fn connect(
    config: &RedisConfig,
    metrics: &Metrics,
    shutdown: &Shutdown,
) -> Result<Redis, StartError> {
    let mut parsed = Config::from_url(config.url.expose())
        .map_err(|_| StartError::because("REDIS_URL", "is not a Redis URL"))?;
    // A first attempt that fails ends, and says why.
    parsed.fail_fast = true;
    parsed.tls = config.tls.as_ref().map(|tls| TlsConfig::from((*tls.config).clone()));
    let client = client::build(parsed).map_err(|error| StartError::because("REDIS_URL", error))?;
    let redis = Redis {
        client,
        answers: Arc::new(watch::Sender::new(false)),
        doubted: Arc::default(),
        memory: Memory::register(metrics),
    };
    let connected = Gauge::default();
    metrics.register(|registry| {
        let help = "1 while Redis answers";
        registry.register("redis_connected", help, connected.clone());
    });
    keep(shutdown, "connection to Redis", redis.clone().stay_connected());
    keep(shutdown, "probe of Redis", redis.clone().probe(connected));
    Ok(redis)
}

fn keep(shutdown: &Shutdown, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
    let ending = shutdown.clone();
    shutdown.spawn_vital(name, async move {
        ending.unless_begun(task).await;
    });
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use fred::interfaces::KeysInterface as _;
    use goch_contract::Secret;

    use super::*;

    fn connect_to(address: &str) -> (Redis, Shutdown) {
        let url = Secret::new(format!("redis://{address}"));
        let config = RedisConfig { url, tls: None, prefix: "test".to_owned() };
        let shutdown = Shutdown::new(Duration::from_secs(1));
        (connect(&config, &Metrics::default(), &shutdown).unwrap(), shutdown)
    }

    #[tokio::test]
    async fn a_redis_that_has_never_answered_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let silent = listener.local_addr().unwrap().to_string();
        // One that takes connections and says nothing, and one that is not there.
        for address in [&*silent, "127.0.0.1:1"] {
            let (redis, shutdown) = connect_to(address);
            let get = redis.client().get::<Option<String>, _>("key");
            let read = redis.read(COMMAND_TIMEOUT, get);
            let read = timeout(COMMAND_TIMEOUT / 3, read).await.expect("the read waits");
            assert!(matches!(read, Err(RedisError::Away)), "{read:?}");
            let write = redis.write(redis.client().set("key", 1, None, None, false));
            let write: Result<(), _> =
                timeout(COMMAND_TIMEOUT / 3, write).await.expect("the write waits");
            assert!(matches!(write, Err(RedisError::Away)), "{write:?}");
            assert!(!redis.is_answering());
            // Its tasks end with the service.
            shutdown.begin();
            assert!(shutdown.finish().await);
        }
    }
}
