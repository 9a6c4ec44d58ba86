//! HTTP Basic: every path of ticketing asks for a credential, and knows from then on whose it is.

use std::{cell::OnceCell, future, net::IpAddr, rc::Rc, time::Instant};

use actix_web::{
    FromRequest, HttpMessage as _, HttpRequest,
    body::MessageBody,
    dev::{Payload, ServiceRequest, ServiceResponse},
    http::header::Header as _,
    middleware::Next,
    web,
};
use actix_web_httpauth::headers::authorization::{Authorization, Basic};
use goch_chassis::problem::{Refusal, Throttled};
use goch_contract::{Actor, Error, ErrorCode, TenantName};

use super::throttle::Throttle;
use crate::{
    credentials::Credentials,
    metrics::{AdminMetrics, LoginLabels},
    principal::Principal,
};

/// Lets logins through, or does not.
pub(crate) struct Doorman {
    credentials: Credentials,
    throttle: Throttle,
    metrics: AdminMetrics,
}

impl Doorman {
    pub(crate) fn new(credentials: Credentials, metrics: AdminMetrics) -> Self {
        Self { credentials, throttle: Throttle::new(), metrics }
    }

    fn admit(&self, address: IpAddr, given: &Basic, now: Instant) -> Result<Principal, Throttled> {
        if let Err(wait) = self.throttle.check(address, now) {
            self.count("throttled");
            let message = "too many failed logins from this address";
            return Err(Throttled::new(Error::new(ErrorCode::RateLimited, message), wait));
        }
        let password = given.password().unwrap_or_default();
        let Some(principal) = self.credentials.find(given.user_id(), password) else {
            self.throttle.note_failure(address, now);
            self.count("wrong");
            // Not the name: people type passwords there.
            tracing::warn!(%address, "a login failed");
            return Err(unauthorized().into());
        };
        self.throttle.note_success(address);
        Ok(principal)
    }

    fn count(&self, reason: &'static str) {
        self.metrics.logins_refused.get_or_create(&LoginLabels { reason }).inc();
    }
}

/// Who has logged in with a request; nobody before that.
#[derive(Clone, Default)]
pub(super) struct Login(Rc<OnceCell<Principal>>);

impl Login {
    /// Notes in a request where to say who it is, for who stands around it and for its handler.
    pub(super) fn begin(request: &ServiceRequest) -> Self {
        let login = Self::default();
        request.extensions_mut().insert(login.clone());
        login
    }

    /// The credential's name.
    pub(super) fn actor(&self) -> Option<&Actor> {
        self.0.get().map(|principal| &principal.actor)
    }

    /// Whose credential it is, unless the operator's.
    pub(super) fn tenant(&self) -> Option<&TenantName> {
        self.0.get()?.tenant.as_ref()
    }
}

/// The name of the credential of who has logged in, for handlers that change something.
pub(super) struct LoggedIn(pub(super) Actor);

impl FromRequest for LoggedIn {
    type Error = Refusal;
    type Future = future::Ready<Result<Self, Refusal>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        future::ready(principal_of(request).map(|it| Self(it.actor)).map_err(Refusal))
    }
}

/// Who has logged in with a request.
///
/// # Errors
/// `unauthorized`, though every path with a handler asks for credentials.
pub(super) fn principal_of(request: &HttpRequest) -> Result<Principal, Error> {
    let extensions = request.extensions();
    let principal = extensions.get::<Login>().and_then(|login| login.0.get().cloned());
    principal.ok_or_else(unauthorized)
}

/// Lets requests with the right credentials through.
pub(super) async fn authenticate<B: MessageBody + 'static>(
    doorman: web::Data<Doorman>,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    // Without credentials nothing is guessed.
    let given = Authorization::<Basic>::parse(&request).map(Authorization::into_scheme);
    let given = given.map_err(|_| Refusal(unauthorized()))?;
    let address = request.peer_addr().map(|peer| peer.ip());
    let address = address.unwrap_or(IpAddr::from([0; 4]));
    let principal = doorman.admit(address, &given, Instant::now())?;
    if let Some(login) = request.extensions().get::<Login>() {
        let _ = login.0.set(principal);
    }
    next.call(request).await
}

fn unauthorized() -> Error {
    let message = "this path takes a user name and a password (HTTP Basic)";
    Error::new(ErrorCode::Unauthorized, message)
}
