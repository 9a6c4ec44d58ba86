//! The serving side of typed requests, over the NATS services API.

use std::{future::Future, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use async_nats::{
    Client,
    service::{self, Service as NatsService, ServiceExt as _, endpoint::Endpoint},
};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use goch_contract::{
    Error, ErrorCode,
    services::{Service, ServiceRequest, refusal},
    trace,
};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};
use tokio::sync::Semaphore;
use tracing::Instrument as _;

use crate::{
    nats::REQUEST_TIMEOUT,
    run::{Chassis, StartError},
};

/// Requests that one process works on at a time. Those beyond wait in the subscription, and time out
/// at the caller if that takes too long.
const CONCURRENT_REQUESTS_MAX: usize = 256;

/// Of those, requests on behalf of people who have yet to prove who they are. The rest is left to those
/// who have.
const STRANGERS_REQUESTS_MAX: usize = 192;

/// Nobody waits longer for an answer than this.
const ANSWER_TIMEOUT: Duration = REQUEST_TIMEOUT;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    endpoint: &'static str,
    outcome: &'static str,
}

/// The endpoints of one service in one process.
pub struct Endpoints {
    chassis: Chassis,
    service: NatsService,
    kind: Service,
    permits: Arc<Semaphore>,
    permits_of_strangers: Arc<Semaphore>,
    requests: Family<Labels, Counter>,
}

impl Endpoints {
    /// Registers the service with NATS, as one of the replicas that share its requests.
    ///
    /// # Errors
    /// When NATS does not take the registration.
    pub async fn register(
        chassis: &Chassis,
        client: &Client,
        kind: Service,
    ) -> Result<Self, StartError> {
        let service = client
            .service_builder()
            .queue_group(kind.as_str())
            .description(format!("Goch's {}", chassis.name))
            .start(format!("goch-{}", chassis.name), env!("CARGO_PKG_VERSION"))
            .await
            .map_err(|error| StartError::because("registering the NATS service", error))?;
        let requests = Family::<Labels, Counter>::default();
        chassis.metrics.register(|registry| {
            registry.register(
                "requests",
                "Requests answered over NATS, by endpoint and outcome",
                requests.clone(),
            );
        });
        let permits = Arc::new(Semaphore::new(CONCURRENT_REQUESTS_MAX));
        let permits_of_strangers = Arc::new(Semaphore::new(STRANGERS_REQUESTS_MAX));
        let chassis = chassis.clone();
        Ok(Self { chassis, service, kind, permits, permits_of_strangers, requests })
    }

    /// Answers requests of type `R` with `handler` until the end begins; what is being answered then
    /// is finished.
    ///
    /// # Errors
    /// When NATS does not take the subscription.
    pub async fn serve<R, H, F>(&self, handler: H) -> Result<(), StartError>
    where
        R: ServiceRequest,
        H: Fn(R) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<R::Response, Error>> + Send + 'static,
    {
        self.serve_within(Vec::new(), handler).await
    }

    /// As [`Self::serve`], for requests on behalf of people who have yet to prove who they are: together
    /// they are fewer at a time than all.
    ///
    /// # Errors
    /// When NATS does not take the subscription.
    pub async fn serve_strangers<R, H, F>(&self, handler: H) -> Result<(), StartError>
    where
        R: ServiceRequest,
        H: Fn(R) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<R::Response, Error>> + Send + 'static,
    {
        self.serve_within(vec![Arc::clone(&self.permits_of_strangers)], handler).await
    }

    /// Answers requests that have a permit of each of these, and one of all requests.
    async fn serve_within<R, H, F>(
        &self,
        mut permits: Vec<Arc<Semaphore>>,
        handler: H,
    ) -> Result<(), StartError>
    where
        R: ServiceRequest,
        H: Fn(R) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<R::Response, Error>> + Send + 'static,
    {
        permits.push(Arc::clone(&self.permits));
        let subject = self.chassis.nats.subjects.endpoint(self.kind, R::ENDPOINT);
        let endpoint = self
            .service
            .endpoint_builder()
            .name(R::ENDPOINT)
            .add(subject)
            .await
            .map_err(|error| StartError::because(format!("serving {}", R::ENDPOINT), error))?;
        let serving =
            answer_all(self.chassis.clone(), endpoint, permits, self.requests.clone(), handler);
        self.chassis.shutdown.spawn_vital(format!("endpoint {}", R::ENDPOINT), serving);
        Ok(())
    }

    /// Waits for the end, and keeps the service registered until then.
    pub async fn until_shutdown(self) {
        self.chassis.shutdown.begun().await;
        if let Err(error) = self.service.stop().await {
            tracing::debug!(%error, "the NATS service was not stopped");
        }
    }
}

async fn answer_all<R, H, F>(
    chassis: Chassis,
    mut endpoint: Endpoint,
    permits: Vec<Arc<Semaphore>>,
    requests: Family<Labels, Counter>,
    handler: H,
) where
    R: ServiceRequest,
    H: Fn(R) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<R::Response, Error>> + Send + 'static,
{
    loop {
        let mut held = Vec::with_capacity(permits.len());
        for permits in &permits {
            // They are never closed.
            let Ok(permit) = Arc::clone(permits).acquire_owned().await else { return };
            held.push(permit);
        }
        let Some(Some(request)) = chassis.shutdown.unless_begun(endpoint.next()).await else {
            return;
        };
        let handler = handler.clone();
        let requests = requests.clone();
        chassis.shutdown.tasks().spawn(async move {
            let outcome = answer(request, handler).await;
            requests.get_or_create(&Labels { endpoint: R::ENDPOINT, outcome }).inc();
            drop(held);
        });
    }
}

/// Answers one request; tells the outcome for the metrics.
async fn answer<R, H, F>(request: service::Request, handler: H) -> &'static str
where
    R: ServiceRequest,
    H: Fn(R) -> F,
    F: Future<Output = Result<R::Response, Error>>,
{
    let span = tracing::debug_span!("answer", otel.kind = "server", endpoint = R::ENDPOINT);
    trace::set_parent(&span, request.message.headers.as_ref());
    let answer = async {
        let parsed = serde_json::from_slice::<R>(&request.message.payload)
            .map_err(|error| Error::unreadable("the request", &error))?;
        let response = tokio::time::timeout(ANSWER_TIMEOUT, handler(parsed))
            .await
            .map_err(|_| Error::unavailable("the answer took too long"))??;
        serde_json::to_vec(&response)
            .map(Bytes::from)
            .map_err(|_| Error::new(ErrorCode::Internal, "the answer cannot be serialized"))
    };
    // Whoever asks is not to wait for an answer that nobody works on any more.
    let answer = AssertUnwindSafe(answer.instrument(span)).catch_unwind().await;
    let answer = answer.unwrap_or_else(|_| Err(Error::new(ErrorCode::Internal, "a defect")));
    let (outcome, sent) = match answer {
        Ok(response) => ("ok", request.respond(Ok(response)).await),
        Err(error) => {
            if error.code == ErrorCode::Internal {
                tracing::error!(endpoint = R::ENDPOINT, %error, "a request failed");
            }
            let (headers, refused) = refusal(&error);
            let sent = request.respond_with_headers(Err(refused), headers).await;
            (error.code.as_str(), sent)
        }
    };
    if let Err(error) = sent {
        tracing::warn!(endpoint = R::ENDPOINT, %error, "an answer was not sent");
    }
    outcome
}
