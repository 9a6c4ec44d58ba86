//! Typed request/reply between services, with errors as the NATS services API has them.
//!
//! Each request type names its endpoint and its answer; [`ServiceClient`] sends it and turns what
//! comes back into that answer or into the one [`Error`]. Which service sends which requests is listed in
//! [`callers`]. The serving side is in the chassis.

pub mod admin;
pub mod broker;
pub mod callers;
pub mod history;
pub mod webhooks;

use std::{marker::PhantomData, time::Duration};

use async_nats::{
    Client, HeaderMap, Message, Request, RequestErrorKind,
    connection::State,
    service::{NATS_SERVICE_ERROR, NATS_SERVICE_ERROR_CODE},
};
use serde::{Serialize, de::DeserializeOwned};
use tracing::Instrument as _;

use self::callers::{Caller, Sends};
use crate::{
    error::{Error, ErrorCode},
    subjects::Subjects,
    trace,
};

/// The services that answer requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// chat-admin.
    Admin,
    /// ingest-history.
    History,
    /// broker-bridge.
    Broker,
}

impl Service {
    /// The service's subject token.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::History => "history",
            Self::Broker => "broker",
        }
    }
}

/// A request that a service answers.
pub trait ServiceRequest: Serialize + DeserializeOwned + Send + 'static {
    /// Who answers it.
    const SERVICE: Service;
    /// The endpoint's subject token.
    const ENDPOINT: &'static str;
    /// The answer.
    type Response: Serialize + DeserializeOwned + Send;
}

/// Header of an error answer: the [`ErrorCode`]'s word.
const CODE_HEADER: &str = "Goch-Error-Code";
/// Header of an error answer: the field at fault.
const FIELD_HEADER: &str = "Goch-Error-Field";

/// The headers by which an endpoint refuses a request.
#[must_use]
pub fn refusal(error: &Error) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CODE_HEADER, error.code.as_str());
    if let Some(field) = &error.field {
        headers.insert(FIELD_HEADER, field.as_ref());
    }
    headers.insert(NATS_SERVICE_ERROR, error.message.replace(['\r', '\n'], " "));
    headers.insert(NATS_SERVICE_ERROR_CODE, error.code.http_status().to_string());
    headers
}

/// The error that a reply's headers carry, if they do.
fn error_in(reply: &Message) -> Option<Error> {
    let headers = reply.headers.as_ref()?;
    let status = headers.get(NATS_SERVICE_ERROR)?;
    let word = headers.get(CODE_HEADER).map(async_nats::HeaderValue::as_str);
    // An answer without our header comes from the library itself or from a newer service.
    let code = word.and_then(ErrorCode::parse).unwrap_or_else(|| {
        match headers.get(NATS_SERVICE_ERROR_CODE).map(async_nats::HeaderValue::as_str) {
            Some("503") => ErrorCode::Unavailable,
            _ => ErrorCode::Internal,
        }
    });
    let field = headers.get(FIELD_HEADER).map(|field| field.as_str().to_owned().into());
    Some(Error { code, message: status.as_str().to_owned().into(), field })
}

/// Asks other services, as the caller `C`. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ServiceClient<C> {
    client: Client,
    subjects: Subjects,
    timeout: Duration,
    caller: PhantomData<C>,
}

impl<C: Caller> ServiceClient<C> {
    /// A client that waits at most `timeout` for each answer.
    #[must_use]
    pub fn new(client: Client, subjects: Subjects, timeout: Duration) -> Self {
        Self { client, subjects, timeout, caller: PhantomData }
    }

    /// Sends `request` and waits for its answer.
    ///
    /// # Errors
    /// The service's own refusal; `unavailable` when it does not answer in time, or at once when no
    /// replica of it runs; `internal` when request or answer cannot be read.
    pub async fn call<R: ServiceRequest>(&self, request: &R) -> Result<R::Response, Error>
    where
        C: Sends<R>,
    {
        let span = tracing::debug_span!(
            "service request",
            otel.kind = "client",
            service = R::SERVICE.as_str(),
            endpoint = R::ENDPOINT
        );
        self.exchange(request).instrument(span).await
    }

    async fn exchange<R: ServiceRequest>(&self, request: &R) -> Result<R::Response, Error> {
        // Without this, a request would wait out its time in the client's buffer.
        if self.client.connection_state() != State::Connected {
            return Err(Error::unavailable("the message broker is away"));
        }
        let service = R::SERVICE.as_str();
        let subject = self.subjects.endpoint(R::SERVICE, R::ENDPOINT);
        let payload = serde_json::to_vec(request)
            .map_err(|_| Error::new(ErrorCode::Internal, "the request cannot be serialized"))?;
        let mut headers = HeaderMap::new();
        trace::inject(&mut headers);
        let mut message = Request::new().payload(payload.into()).timeout(Some(self.timeout));
        if !headers.is_empty() {
            message = message.headers(headers);
        }
        let reply =
            self.client.send_request(subject, message).await.map_err(|error| {
                match error.kind() {
                    RequestErrorKind::NoResponders => {
                        Error::unavailable(format!("the {service} service is not running"))
                    }
                    RequestErrorKind::TimedOut => {
                        Error::unavailable(format!("the {service} service did not answer in time"))
                    }
                    RequestErrorKind::InvalidSubject | RequestErrorKind::MaxPayloadExceeded => {
                        Error::new(ErrorCode::Internal, "the request cannot be sent")
                    }
                    RequestErrorKind::Other => Error::unavailable("the message broker is away"),
                }
            })?;
        if let Some(error) = error_in(&reply) {
            return Err(error);
        }
        serde_json::from_slice(&reply.payload).map_err(|error| {
            let error = Error::unreadable("the answer", &error);
            tracing::error!(service, endpoint = R::ENDPOINT, %error, "unreadable answer");
            Error::new(ErrorCode::Internal, "a service answered with something unreadable")
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A reply as the services API makes it of a refusal.
    fn reply(error: &Error) -> Message {
        Message {
            subject: "inbox".into(),
            reply: None,
            payload: Vec::new().into(),
            headers: Some(refusal(error)),
            status: None,
            description: None,
            length: 0,
        }
    }

    proptest! {
        #[test]
        fn a_refusal_arrives_as_it_was_meant(
            code in prop::sample::select(ErrorCode::ALL.as_slice()),
            message in "[^\\r\\n]{1,80}",
            field in prop::option::of("[a-z_]{1,12}"),
        ) {
            let sent = Error { code, message: message.into(), field: field.map(Into::into) };
            prop_assert_eq!(error_in(&reply(&sent)), Some(sent));
        }

        #[test]
        fn no_message_breaks_out_of_its_header(message in "(?s).{1,80}") {
            let headers = refusal(&Error::unavailable(message));
            let said = headers.get(NATS_SERVICE_ERROR).map(async_nats::HeaderValue::as_str);
            prop_assert!(said.is_some_and(|said| !said.contains(['\r', '\n'])));
            prop_assert_eq!(headers.len(), 3);
        }
    }
}
