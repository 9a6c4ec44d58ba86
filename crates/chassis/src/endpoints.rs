//! The serving side of typed requests, shared with the other replicas of the service.

mod requests;

use std::{future::Future, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use async_nats::{
    Client, Message, PublishError,
    service::{Service as NatsService, ServiceExt as _},
};
use bytes::Bytes;
use futures_util::FutureExt as _;
use goch_contract::{
    Error, ErrorCode,
    services::{Service, ServiceRequest, refusal},
    trace,
};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tracing::Instrument as _;

use self::requests::Requests;
use crate::{
    nats::REQUEST_TIMEOUT,
    run::{Chassis, StartError},
    shutdown::Shutdown,
};

/// Requests that one process works on at a time. Those beyond wait in the subscription, and time out
/// at the caller if that takes too long.
const CONCURRENT_REQUESTS_MAX: usize = 256;

/// Of those, requests on behalf of people who have yet to prove who they are. The rest is left to those
/// who have.
const STRANGERS_REQUESTS_MAX: usize = 192;

/// Nobody waits longer for an answer than this.
const ANSWER_TIMEOUT: Duration = REQUEST_TIMEOUT;

/// How long the last answers of a service may take to be written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    endpoint: &'static str,
    outcome: &'static str,
}

/// The endpoints of one service in one process.
pub struct Endpoints {
    chassis: Chassis,
    client: Client,
    /// Says that the service is there, to operators who ask on `$SRV`.
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
        let (chassis, client) = (chassis.clone(), client.clone());
        Ok(Self { chassis, client, service, kind, permits, permits_of_strangers, requests })
    }

    /// Answers requests of type `R` with `handler` until the end begins; what this replica has been asked by
    /// then is answered.
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
        let group = self.kind.as_str().to_owned();
        let subscriber = self
            .client
            .queue_subscribe(subject, group)
            .await
            .map_err(|error| StartError::because(format!("serving {}", R::ENDPOINT), error))?;
        let shutdown = &self.chassis.shutdown;
        let answering = Answering {
            client: self.client.clone(),
            shutdown: shutdown.clone(),
            counts: self.requests.clone(),
            handler,
        };
        let requests = Requests::new(subscriber, shutdown.clone());
        let serving = answering.answer_all::<R, F>(requests, permits);
        shutdown.spawn_vital(format!("endpoint {}", R::ENDPOINT), serving);
        Ok(())
    }

    /// Waits until the server has been told of all endpoints: who is ready is asked, and another replica may
    /// leave because of it.
    ///
    /// # Errors
    /// When the connection is gone for good.
    pub async fn announced(&self) -> Result<(), StartError> {
        let flushed = self.client.flush().await;
        flushed.map_err(|error| StartError::because("announcing the endpoints", error))
    }

    /// Waits for the end, and keeps the service registered until then.
    pub async fn until_shutdown(self) {
        self.chassis.shutdown.begun().await;
        if let Err(error) = self.service.stop().await {
            tracing::debug!(%error, "the NATS service was not stopped");
        }
    }
}

/// What it takes to answer the requests of one endpoint.
#[derive(Clone)]
struct Answering<H> {
    client: Client,
    shutdown: Shutdown,
    counts: Family<Labels, Counter>,
    handler: H,
}

impl<H> Answering<H> {
    async fn answer_all<R, F>(self, mut requests: Requests, permits: Vec<Arc<Semaphore>>)
    where
        R: ServiceRequest,
        H: Fn(R) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<R::Response, Error>> + Send + 'static,
    {
        loop {
            let held = self.shutdown.unless_begun(acquire(&permits)).await;
            let held = if let Some(held) = held {
                held
            } else {
                // Whoever asks from now on is to ask another replica, however busy this one is.
                requests.leave().await;
                acquire(&permits).await
            };
            let Some(request) = requests.next().await else { return };
            let answering = self.clone();
            self.shutdown.tasks().spawn(async move {
                answering.answer(request).await;
                drop(held);
            });
        }
    }

    /// Answers one request.
    async fn answer<R, F>(&self, request: Message)
    where
        R: ServiceRequest,
        H: Fn(R) -> F,
        F: Future<Output = Result<R::Response, Error>>,
    {
        let span = tracing::debug_span!("answer", otel.kind = "server", endpoint = R::ENDPOINT);
        trace::set_parent(&span, request.headers.as_ref());
        let answer = answer_to(&request.payload, &self.handler).instrument(span).await;
        if let Err(error) = &answer
            && error.code == ErrorCode::Internal
        {
            tracing::error!(endpoint = R::ENDPOINT, %error, "a request failed");
        }
        let outcome = answer.as_ref().map_or_else(|error| error.code.as_str(), |_| "ok");
        self.counts.get_or_create(&Labels { endpoint: R::ENDPOINT, outcome }).inc();
        if let Err(error) = self.reply(request, answer).await {
            tracing::warn!(endpoint = R::ENDPOINT, %error, "an answer was not sent");
        }
        if self.shutdown.has_begun() {
            // The process may be gone before the client writes it by itself.
            let _ = timeout(FLUSH_TIMEOUT, self.client.flush()).await;
        }
    }

    async fn reply(
        &self,
        request: Message,
        answer: Result<Bytes, Error>,
    ) -> Result<(), PublishError> {
        // Who asks without saying where to does not want to know.
        let Some(inbox) = request.reply else { return Ok(()) };
        match answer {
            Ok(response) => self.client.publish(inbox, response).await,
            Err(error) => {
                self.client.publish_with_headers(inbox, refusal(&error), Bytes::new()).await
            }
        }
    }
}

/// A permit of each kind.
async fn acquire(permits: &[Arc<Semaphore>]) -> Vec<OwnedSemaphorePermit> {
    let mut held = Vec::with_capacity(permits.len());
    for permits in permits {
        // They are never closed.
        held.extend(Arc::clone(permits).acquire_owned().await.ok());
    }
    held
}

/// What `handler` answers to a request, in time. A defect of it is an error like others: whoever asks is not
/// to wait for an answer that nobody works on any more.
async fn answer_to<R, H, F>(payload: &[u8], handler: H) -> Result<Bytes, Error>
where
    R: ServiceRequest,
    H: Fn(R) -> F,
    F: Future<Output = Result<R::Response, Error>>,
{
    let answer = async {
        let parsed = serde_json::from_slice::<R>(payload)
            .map_err(|error| Error::unreadable("the request", &error))?;
        let response = timeout(ANSWER_TIMEOUT, handler(parsed))
            .await
            .map_err(|_| Error::unavailable("the answer took too long"))??;
        serde_json::to_vec(&response)
            .map(Bytes::from)
            .map_err(|_| Error::new(ErrorCode::Internal, "the answer cannot be serialized"))
    };
    let answer = AssertUnwindSafe(answer).catch_unwind().await;
    answer.unwrap_or_else(|_| Err(Error::new(ErrorCode::Internal, "the service has a defect")))
}

#[cfg(test)]
mod tests {
    use goch_contract::services::broker::Tails;

    use super::*;

    #[tokio::test]
    async fn a_request_that_panics_is_answered() {
        let payload = serde_json::to_vec(&Tails { channels: Vec::new() }).unwrap();
        let defect = |_: Tails| async { panic!("on purpose") };
        let answer = answer_to(&payload, defect).await;
        assert_eq!(answer.unwrap_err().code, ErrorCode::Internal);
    }
}
