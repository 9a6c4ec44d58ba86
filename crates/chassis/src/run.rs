//! A service from its start to its end.

use std::{future::Future, pin::pin, process, time::Duration};

use goch_contract::Tenants;
use tokio::time::timeout;

use crate::{
    cgroup,
    config::{ChassisConfig, Config, Environment, Faults, NatsConfig},
    deadline, descriptors,
    health::{self, Health},
    metrics::Metrics,
    shutdown::Shutdown,
    telemetry::Telemetry,
};

/// A faulty configuration: `EX_USAGE`, so that a supervisor can tell it from a crash.
const EXIT_USAGE: i32 = 64;

/// What a service may take beyond the grace period, before it is given up.
const OVERTIME: Duration = Duration::from_secs(1);

/// What closing the health port may take, and sending the last traces where nothing is left of the grace period.
/// With [`OVERTIME`] that is less than what [`deadline`] gives the whole process.
const CLOSING_TIME: Duration = Duration::from_millis(400);

/// What a service is given to work with. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Chassis {
    /// The service's name.
    pub name: &'static str,
    /// How to reach NATS, and the names there.
    pub nats: NatsConfig,
    /// The customers of this installation, if it has several.
    pub tenants: Tenants,
    /// What must hold for it to be ready.
    pub health: Health,
    /// What it measures.
    pub metrics: Metrics,
    /// How it ends.
    pub shutdown: Shutdown,
    /// How many files it may have open, connections included.
    pub open_files: u64,
    /// How many bytes of memory it may have, if there is a limit.
    pub memory_limit: Option<u64>,
}

/// Why a service could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Something that waiting does not mend, such as a port that is taken.
    #[error("{what}: {error}")]
    Failed {
        /// What was tried.
        what: String,
        /// Why it did not work.
        error: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The end began before the start was over.
    #[error("stopped before it was ready")]
    Stopped,
}

impl StartError {
    /// Says what was tried when `error` occurred.
    pub fn because(
        what: impl Into<String>,
        error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Failed { what: what.into(), error: error.into() }
    }
}

/// Runs a service: reads its configuration `C`, starts telemetry and the health port, runs `serve`
/// to its end, waits for the tasks it left, and ends the process: with 0 after SIGTERM, 64 for a faulty
/// configuration, 1 otherwise. A vital task that is gone ends the process with 70, from where it is noticed.
///
/// `serve` returns when the end has begun and what it owns is drained.
pub async fn run<C, S, F>(name: &'static str, serve: S) -> !
where
    C: Config,
    S: FnOnce(C, Chassis) -> F,
    F: Future<Output = Result<(), StartError>>,
{
    let code = run_to_end(name, serve).await;
    // From here, because a runtime that is dropped waits for its threads, and one of them may be blocked.
    process::exit(code)
}

/// The process's exit code.
async fn run_to_end<C, S, F>(name: &'static str, serve: S) -> i32
where
    C: Config,
    S: FnOnce(C, Chassis) -> F,
    F: Future<Output = Result<(), StartError>>,
{
    // For whoever connects with TLS; it can only have been done before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut faults = Faults::default();
    let environment = Environment::of_process(name, &mut faults);
    let base = ChassisConfig::read(&environment, &mut faults);
    let own = C::read(&environment, &mut faults);
    let (base, own) = match faults.or_value((base, own)) {
        Ok(configs) => configs,
        Err(faults) => return refuse_configuration(name, &faults),
    };
    let telemetry = match Telemetry::start(name, &base) {
        Ok(telemetry) => telemetry,
        Err(error) => return refuse_configuration(name, &error),
    };
    tracing::info!(service = name, version = env!("CARGO_PKG_VERSION"), "starting");
    let shutdown = Shutdown::of_process(base.shutdown_grace);
    let outcome = run_configured(name, base, own, &shutdown, serve).await;
    // Also where that failed: tasks that are still there now are to end.
    shutdown.begin();
    let code = match outcome {
        Ok(()) | Err(StartError::Stopped) => {
            tracing::info!("stopped");
            0
        }
        Err(error) => {
            tracing::error!(%error, "failed");
            1
        }
    };
    if timeout(shutdown.time_left() + CLOSING_TIME, telemetry.finish()).await.is_err() {
        tracing::warn!("the last traces were not sent in time");
    }
    code
}

async fn run_configured<C, S, F>(
    name: &'static str,
    base: ChassisConfig,
    own: C,
    shutdown: &Shutdown,
    serve: S,
) -> Result<(), StartError>
where
    S: FnOnce(C, Chassis) -> F,
    F: Future<Output = Result<(), StartError>>,
{
    let open_files = descriptors::raise();
    let memory_limit = cgroup::memory_limit();
    deadline::watch(shutdown)
        .map_err(|error| StartError::because("listening for signals", error))?;
    let health = Health::new(shutdown.clone());
    let metrics = Metrics::default();
    // Not ready before the service says what its readiness depends on.
    health.require("started", || false);
    let port = health::serve(base.health_address, &health, &metrics).map_err(|error| {
        StartError::because(format!("listening on HEALTH_ADDRESS {}", base.health_address), error)
    })?;
    let heartbeat = health.heartbeat("runtime".to_owned());
    tokio::spawn(shutdown.vital("heartbeat of the runtime", heartbeat));
    let chassis = Chassis {
        name,
        nats: base.nats,
        tenants: base.tenants,
        health,
        metrics,
        shutdown: shutdown.clone(),
        open_files,
        memory_limit,
    };
    let outcome = unless_overdue(shutdown, serve(own, chassis)).await;
    shutdown.begin();
    if !shutdown.finish().await {
        tracing::warn!("some tasks did not end within the grace period");
    }
    if timeout(CLOSING_TIME, port.stop(false)).await.is_err() {
        tracing::warn!("the health port did not close in time");
    }
    outcome
}

/// Waits for the end of `serve`, but not for ever once the end has begun: what it waits for may hang.
async fn unless_overdue(
    shutdown: &Shutdown,
    serve: impl Future<Output = Result<(), StartError>>,
) -> Result<(), StartError> {
    let overdue = async {
        shutdown.begun().await;
        tokio::time::sleep(shutdown.time_left() + OVERTIME).await;
    };
    tokio::select! {
        outcome = pin!(serve) => outcome,
        () = overdue => {
            tracing::error!("the service did not end within the grace period and is given up");
            Ok(())
        }
    }
}

/// Logging may not be set up yet, so the message goes where a supervisor shows it.
#[expect(clippy::print_stderr, reason = "there is no log before there is a configuration")]
fn refuse_configuration(name: &str, reason: &dyn std::fmt::Display) -> i32 {
    eprintln!("{name}: the configuration is faulty: {reason}");
    EXIT_USAGE
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_service_that_hangs_at_its_end_is_given_up_after_the_grace_period() {
        let shutdown = Shutdown::new(Duration::from_secs(5));
        let ending = shutdown.clone();
        let hour = Duration::from_hours(1);
        tokio::spawn(async move {
            tokio::time::sleep(hour).await;
            ending.begin();
        });
        let due = Instant::now() + hour;
        unless_overdue(&shutdown, std::future::pending()).await.unwrap();
        let took = due.elapsed();
        assert!((Duration::from_secs(5)..Duration::from_secs(7)).contains(&took), "{took:?}");
    }
}
