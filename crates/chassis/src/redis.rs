//! The connection to Redis: waited for at start, mended by itself later.

use std::time::Duration;

use fred::{
    clients::{Client, Pipeline},
    interfaces::ClientLike as _,
    types::{
        Builder, ClusterHash, CustomCommand,
        config::{Config, ReconnectPolicy, TcpConfig, TlsConfig},
    },
};

use crate::{
    config::RedisConfig,
    nats::persist,
    run::{Chassis, StartError},
};

/// How long a command may take, the wait for a lost connection included.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(3);

/// Commands that may wait for the connection; beyond that they fail at once.
const COMMANDS_WAITING_MAX: usize = 10_000;

/// Connects, waiting with a growing pause for as long as Redis is away.
///
/// # Errors
/// A URL that cannot be read, or [`StartError::Stopped`] when the service is told to end first.
pub async fn connect(chassis: &Chassis, config: &RedisConfig) -> Result<Client, StartError> {
    let mut parsed = Config::from_url(config.url.expose())
        .map_err(|_| StartError::because("REDIS_URL", "is not a Redis URL"))?;
    parsed.fail_fast = true;
    parsed.tls = config.tls.as_ref().map(|tls| TlsConfig::from((*tls.config).clone()));
    let client = persist(chassis, "Redis", || {
        let config = parsed.clone();
        async move {
            let client = build(config)?;
            client.init().await?;
            Ok::<_, fred::error::Error>(client)
        }
    })
    .await?;
    let state = client.clone();
    chassis.health.require("redis", move || state.is_connected());
    tracing::info!("connected to Redis");
    Ok(client)
}

/// Adds a script over keys of one channel to a pipeline; the client library has no call for that.
///
/// # Errors
/// When the pipeline does not take the command.
pub async fn queue_script(
    pipeline: &Pipeline<Client>,
    script: &str,
    keys: &[String],
    arguments: &[&str],
) -> Result<(), fred::error::Error> {
    // EVAL script, number of keys, keys: the first one decides the node of a cluster.
    let command = CustomCommand::new_static("EVAL", ClusterHash::Offset(2), false);
    let count = keys.len().to_string();
    let keys = keys.iter().map(String::as_str);
    let all = [script, &count].into_iter().chain(keys).chain(arguments.iter().copied());
    pipeline.custom(command, all.map(str::to_owned).collect()).await
}

fn build(config: Config) -> Result<Client, fred::error::Error> {
    Builder::from_config(config)
        .with_connection_config(|connection| {
            connection.connection_timeout = Duration::from_secs(3);
            connection.internal_command_timeout = Duration::from_secs(3);
            connection.max_command_buffer_len = COMMANDS_WAITING_MAX;
            connection.tcp = TcpConfig { nodelay: Some(true), ..TcpConfig::default() };
            // A server that accepts and then says nothing is as good as gone.
            connection.unresponsive.max_timeout = Some(Duration::from_secs(5));
        })
        .with_performance_config(|performance| {
            performance.default_command_timeout = COMMAND_TIMEOUT;
        })
        // 0 attempts: for ever, from 50 ms to 2 s apart.
        .set_policy(ReconnectPolicy::new_exponential(0, 50, 2_000, 2))
        .build()
}
