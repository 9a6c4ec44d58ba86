//! The connection to NATS: waited for at start, mended by itself later.

use std::{io, sync::Arc, time::Duration};

use async_nats::{
    Client, ConnectOptions, Event,
    connection::State,
    jetstream::{self, context::KeyValueErrorKind, kv},
};
use goch_contract::services::{ServiceClient, callers::Caller};
use prometheus_client::metrics::counter::Counter;
use tokio::sync::watch;

use crate::{
    config::Login,
    run::{Chassis, StartError},
    tls::Tls,
};

/// How long a request to another service may take.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// How long connecting may take, and a call of the JetStream API.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest pause between two attempts of the same thing.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A connection. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Nats {
    /// The client.
    pub client: Client,
    /// Rises whenever core messages may have been missed: the connection was away, or a
    /// subscription overflowed. Whoever depends on every message looks for itself then.
    pub interruptions: watch::Receiver<u64>,
}

/// What is counted about connections.
#[derive(Debug, Clone, Default)]
pub struct NatsMetrics {
    disconnects: Counter,
    slow_consumers: Counter,
}

impl NatsMetrics {
    /// Counters, registered with `chassis`. One set serves all connections of a process.
    #[must_use]
    pub fn register(chassis: &Chassis) -> Self {
        let metrics = Self::default();
        chassis.metrics.register(|registry| {
            registry.register(
                "nats_disconnects",
                "How often a connection to NATS was lost",
                metrics.disconnects.clone(),
            );
            registry.register(
                "nats_slow_consumers",
                "How often a NATS subscription overflowed and lost messages",
                metrics.slow_consumers.clone(),
            );
        });
        metrics
    }
}

/// Connects, waiting with a growing pause for as long as NATS is away. `label` tells the
/// connections of one process apart in health answers and on the server.
///
/// # Errors
/// [`StartError::Stopped`] when the service is told to end first.
pub async fn connect(
    chassis: &Chassis,
    label: &str,
    metrics: &NatsMetrics,
) -> Result<Nats, StartError> {
    let (interrupted, interruptions) = watch::channel(0);
    let interrupted = Arc::new(interrupted);
    let client = persist(chassis, "NATS", || async {
        let options = options(chassis, label, metrics, &interrupted);
        let options = log_in(options, &chassis.nats.login).map_err(|error| error.to_string())?;
        options.connect(&chassis.nats.servers).await.map_err(|error| error.to_string())
    })
    .await?;
    let state = client.clone();
    chassis.health.require(label, move || state.connection_state() == State::Connected);
    Ok(Nats { client, interruptions })
}

fn options(
    chassis: &Chassis,
    label: &str,
    metrics: &NatsMetrics,
    interrupted: &Arc<watch::Sender<u64>>,
) -> ConnectOptions {
    let metrics = metrics.clone();
    let interrupted = Arc::clone(interrupted);
    let on_event = move |event: Event| {
        match &event {
            Event::Connected => tracing::info!("connected to NATS"),
            Event::Disconnected => {
                metrics.disconnects.inc();
                tracing::warn!("NATS is away; reconnecting");
            }
            Event::SlowConsumer(_) => {
                metrics.slow_consumers.inc();
                tracing::warn!("a NATS subscription overflowed");
            }
            other => tracing::warn!(event = %other, "NATS"),
        }
        if matches!(event, Event::Connected | Event::SlowConsumer(_)) {
            interrupted.send_modify(|count| *count += 1);
        }
        std::future::ready(())
    };
    let options = ConnectOptions::new()
        .name(format!("goch-{}-{label}", chassis.name))
        .custom_inbox_prefix(chassis.nats.subjects.inbox(chassis.name))
        .connection_timeout(CONNECT_TIMEOUT)
        .request_timeout(Some(REQUEST_TIMEOUT))
        // A dead server is noticed within two of these.
        .ping_interval(Duration::from_secs(10))
        .reconnect_delay_callback(pause)
        .event_callback(on_event);
    with_tls(options, chassis.nats.tls.as_ref())
}

/// Files are read again at each connection, so certificates may be renewed.
fn with_tls(options: ConnectOptions, tls: Option<&Tls>) -> ConnectOptions {
    let Some(tls) = tls else { return options };
    // Also of servers that the first one tells of, which come without a scheme.
    let mut options = options.require_tls(true);
    if let Some(ca) = &tls.ca {
        options = options.add_root_certificates(ca.clone());
    }
    if let Some((cert, key)) = &tls.client {
        options = options.add_client_certificate(cert.clone(), key.clone());
    }
    options
}

fn log_in(options: ConnectOptions, login: &Login) -> io::Result<ConnectOptions> {
    Ok(match login {
        Login::Nobody => options,
        Login::Password(user, password) => {
            options.user_and_password(user.clone(), password.expose().to_owned())
        }
        Login::Nkey(seed) => options.nkey(seed.expose().to_owned()),
        Login::Credentials(credentials) => options.credentials(credentials.expose())?,
    })
}

/// The pause before attempt `attempt` of the same thing, counted from 1: doubled each time, from 50 ms
/// to two seconds.
#[must_use]
pub fn pause(attempt: usize) -> Duration {
    let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(u32::MAX).min(8);
    (Duration::from_millis(50) * 2_u32.pow(doublings)).min(LONGEST_PAUSE)
}

/// Tries until it works, saying what it waits for.
///
/// # Errors
/// [`StartError::Stopped`] when the service is told to end first.
pub async fn persist<T, E, F>(
    chassis: &Chassis,
    what: &str,
    mut attempt: impl FnMut() -> F,
) -> Result<T, StartError>
where
    F: Future<Output = Result<T, E>>,
    E: std::fmt::Display,
{
    for tries in 1.. {
        let outcome = chassis.shutdown.unless_begun(attempt()).await;
        match outcome.ok_or(StartError::Stopped)? {
            Ok(value) => return Ok(value),
            Err(error) => tracing::warn!(%error, "waiting for {what}"),
        }
        let slept = chassis.shutdown.unless_begun(tokio::time::sleep(pause(tries))).await;
        slept.ok_or(StartError::Stopped)?;
    }
    Err(StartError::Stopped)
}

impl Nats {
    /// Asks other services over this connection, as the caller `C`.
    #[must_use]
    pub fn services<C: Caller>(&self, chassis: &Chassis) -> ServiceClient<C> {
        ServiceClient::new(self.client.clone(), chassis.nats.subjects.clone(), REQUEST_TIMEOUT)
    }

    /// JetStream over this connection.
    #[must_use]
    pub fn jetstream(&self) -> jetstream::Context {
        jetstream::context::ContextBuilder::new()
            .timeout(CONNECT_TIMEOUT)
            .ack_timeout(REQUEST_TIMEOUT)
            .build(self.client.clone())
    }

    /// Opens a key-value bucket, waiting until broker-bridge has created it.
    ///
    /// # Errors
    /// [`StartError::Stopped`] when the service is told to end first.
    pub async fn bucket(&self, chassis: &Chassis, name: &str) -> Result<kv::Store, StartError> {
        let jetstream = self.jetstream();
        persist(chassis, &format!("the bucket {name}"), || async {
            jetstream.get_key_value(name).await.map_err(|error| match error.kind() {
                KeyValueErrorKind::GetBucket => "it is not there yet".to_owned(),
                _ => error.to_string(),
            })
        })
        .await
    }

    /// Opens the log, waiting until broker-bridge has created it.
    ///
    /// # Errors
    /// [`StartError::Stopped`] when the service is told to end first.
    pub async fn log(&self, chassis: &Chassis) -> Result<jetstream::stream::Stream, StartError> {
        let jetstream = self.jetstream();
        let name = chassis.nats.subjects.log_stream();
        persist(chassis, &format!("the stream {name}"), || jetstream.get_stream(&name)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        assert_eq!(pause(1), Duration::from_millis(50));
        assert_eq!(pause(2), Duration::from_millis(100));
        assert_eq!(pause(usize::MAX), LONGEST_PAUSE);
    }
}
