//! How the client of Redis is built, and the one kind of command that it has no call for.

use std::time::Duration;

use fred::{
    clients::{Client, Pipeline},
    interfaces::ClientLike as _,
    types::{
        Builder, ClusterHash, CustomCommand,
        config::{Config, ReconnectPolicy, TcpConfig},
    },
};

use super::COMMAND_TIMEOUT;

/// Commands that may wait to be written; beyond that they fail at once.
const COMMANDS_WAITING_MAX: usize = 10_000;

pub(super) fn build(config: Config) -> Result<Client, fred::error::Error> {
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
