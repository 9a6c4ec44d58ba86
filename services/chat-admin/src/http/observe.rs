//! Around every request: a bound in time, a count and a span by route, a line that says who asked, and the
//! end of its connection when the service ends.

use actix_web::{
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{ConnectionType, Method},
    middleware::Next,
    web,
};
use goch_chassis::{http::within_deadline, shutdown::Shutdown};
use goch_contract::{Actor, TenantName};
use tracing::Instrument as _;

use super::authenticate::Login;
use crate::metrics::{AdminMetrics, RouteLabels};

/// Observes a request.
pub(crate) async fn observe<B: MessageBody + 'static>(
    metrics: web::Data<AdminMetrics>,
    shutdown: web::Data<Shutdown>,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    let method = word_of(request.method());
    let route = request.match_pattern().unwrap_or_else(|| "none".to_owned());
    // The query is left out: it has nothing that says what was changed.
    let path = request.path().to_owned();
    let login = Login::begin(&request);
    let span = tracing::debug_span!("rest", otel.kind = "server", http.route = %route, http.method = method);
    let mut answer = within_deadline(request, next).instrument(span.clone()).await;
    if shutdown.has_begun()
        && let Ok(response) = &mut answer
    {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    let status = match &answer {
        Ok(response) => response.status(),
        Err(error) => error.as_response_error().status_code(),
    };
    let (actor, tenant) =
        (login.actor().map(Actor::as_str), login.tenant().map(TenantName::as_str));
    let (status, is_failure) = (status.as_u16(), status.is_server_error());
    span.in_scope(|| {
        if is_failure {
            tracing::warn!(actor, tenant, method, path, status, "a request failed");
        } else if actor.is_some() {
            tracing::info!(actor, tenant, method, path, status, "request");
        }
    });
    let labels = RouteLabels { method, route, status };
    metrics.http_requests.get_or_create(&labels).inc();
    answer
}

/// A client may send any word as a method; few of them become labels.
fn word_of(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invented_method_is_no_label_of_its_own() {
        assert_eq!(word_of(&Method::DELETE), "DELETE");
        assert_eq!(word_of(&Method::from_bytes(b"XYZZY").unwrap()), "other");
    }
}
