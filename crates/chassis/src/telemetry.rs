//! Structured logs on standard output, and traces to an OTLP endpoint if one is set.

mod lines;

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    panic::{self, PanicHookInfo},
    thread,
};

use opentelemetry::{KeyValue, global, trace::TracerProvider as _};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    runtime,
    trace::{SdkTracerProvider, span_processor_with_async_runtime::BatchSpanProcessor},
};
use tracing_subscriber::{
    EnvFilter, Layer as _, filter::Targets, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use self::lines::Lines;
use crate::config::{ChassisConfig, TracesConfig};

/// How long one export may take.
const EXPORT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

/// Sends what is left of the traces when the service ends.
#[must_use]
pub(crate) struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum TelemetryError {
    #[error("the trace exporter cannot be built: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    #[error("the HTTP client of the trace exporter cannot be built: {0}")]
    Client(#[from] reqwest::Error),
    #[error("logging is already set up: {0}")]
    Init(#[from] tracing_subscriber::util::TryInitError),
}

impl Telemetry {
    /// Sets up logs and traces of this process.
    pub(crate) fn start(
        service: &'static str,
        config: &ChassisConfig,
    ) -> Result<Self, TelemetryError> {
        // Checked when the configuration was read.
        let filter = EnvFilter::builder().parse_lossy(&config.log_filter);
        let logs =
            tracing_subscriber::fmt::layer().json().event_format(Lines::new()).with_filter(filter);
        let provider = provider(service, &config.traces)?;
        let traces = provider.as_ref().map(|provider| {
            global::set_text_map_propagator(TraceContextPropagator::new());
            // Our own spans only: a library's would double the volume and could carry anything.
            let targets = ["gateway", "chat_admin", "ingest_history", "broker_bridge"];
            let targets = targets.into_iter().chain(["goch_contract", "goch_chassis"]);
            // Without what costs each span, sent or not, and tells nobody anything.
            tracing_opentelemetry::layer()
                .with_location(false)
                .with_threads(false)
                .with_tracked_inactivity(false)
                .with_tracer(provider.tracer(service))
                .with_filter(
                    Targets::new()
                        .with_targets(targets.map(|target| (target, tracing::Level::DEBUG))),
                )
        });
        tracing_subscriber::registry().with(logs).with(traces).try_init()?;
        panic::set_hook(Box::new(log_panic));
        Ok(Self { provider })
    }

    /// Sends what is left.
    pub(crate) async fn finish(self) {
        let Some(provider) = self.provider else { return };
        // Flushing blocks its thread until the exporter, which needs the runtime, is done.
        let flushed = tokio::task::spawn_blocking(move || provider.shutdown()).await;
        if let Ok(Err(error)) = flushed {
            tracing::warn!(%error, "some traces were not sent");
        }
    }
}

/// Logs where a panic happened, not what it says: that may quote what a member wrote.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(tracing::field::display);
    let thread = thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    // Made where RUST_BACKTRACE asks for it.
    let backtrace = Backtrace::capture();
    let is_captured = backtrace.status() == BacktraceStatus::Captured;
    let backtrace = is_captured.then(|| tracing::field::display(backtrace));
    tracing::error!(thread, place, backtrace, "a panic");
}

/// None where traces are sent nowhere.
fn provider(
    service: &'static str,
    config: &TracesConfig,
) -> Result<Option<SdkTracerProvider>, TelemetryError> {
    let Some(base) = &config.endpoint else { return Ok(None) };
    // Without the system's certificates, which a host may not have: the collector speaks plain HTTP.
    let client = reqwest::Client::builder().tls_certs_only([]).timeout(EXPORT_TIMEOUT).build()?;
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_endpoint(format!("{}/v1/traces", base.trim_end_matches('/')))
        .with_timeout(EXPORT_TIMEOUT)
        .build()?;
    let processor = BatchSpanProcessor::builder(exporter, runtime::Tokio).build();
    let resource = Resource::builder()
        .with_service_name(format!("goch-{service}"))
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    let provider = SdkTracerProvider::builder()
        .with_sampler(config.sampler.clone())
        .with_span_processor(processor)
        .with_resource(resource)
        .build();
    Ok(Some(provider))
}
