//! `POST /v1/channels/{name}/members`: become a member.

use std::rc::Rc;

use actix_web::{HttpRequest, HttpResponse, web};
use goch_contract::{
    ChannelName, Error, Secret,
    limits::{Length, Limits},
    rest::{JoinBody, JoinedBody},
    schemas::problems::{Conflict, Forbidden, RateLimited},
    services::admin::Register,
};

use crate::{edge::Throttled, worker::Worker};

/// Registers a member: 201, or 200 for one that was registered before with the same secret.
#[utoipa::path(
    post,
    path = "/v1/channels/{name}/members",
    tag = "members",
    params(("name" = ChannelName, Path, description = "The channel to join.")),
    request_body(content = JoinBody, example = json!({
        "channel_secret": "9d1f6c1e5b7a4d20a1b2c3d4e5f60718293a4b5c",
        "uid": "ann",
        "display_name": "Ann",
        "email": "ann@example.org",
    })),
    responses(
        (status = 200, description = "Registered before, with this very secret.", body = JoinedBody),
        (status = 201, description = "A new member. Keep the secret: it is not shown again.", body = JoinedBody),
        (status = 403, response = Forbidden),
        (status = 409, response = Conflict),
        (status = 429, response = RateLimited),
    ),
)]
pub(super) async fn join(
    worker: web::Data<Rc<Worker>>,
    request: HttpRequest,
    name: web::Path<String>,
    body: web::Json<JoinBody>,
) -> Result<HttpResponse, Throttled> {
    register(&worker, &request, ("name", &name), body.into_inner()).await
}

/// Registers a member of a channel that the request calls by this field and name.
///
/// # Errors
/// Why the member is not registered.
pub(super) async fn register(
    worker: &Worker,
    request: &HttpRequest,
    (field, name): (&'static str, &str),
    body: JoinBody,
) -> Result<HttpResponse, Throttled> {
    let caller = worker.edge.join(request)?;
    let channel = worker.config.limits.parse_channel(field, name)?;
    let (request, secret) = check(channel, body, &worker.config.limits)?;
    let registered = caller.ask(&worker.services, &request.channel, &request).await?;
    let mut response =
        if registered.created { HttpResponse::Created() } else { HttpResponse::Ok() };
    let Register { channel, uid, .. } = request;
    Ok(response.json(JoinedBody { channel, uid, secret }))
}

/// The request to chat-admin that a body within the limits stands for, and the member's secret, of which
/// chat-admin gets a digest only.
///
/// # Errors
/// The first field that breaks a rule; `internal` when the system has no randomness.
pub fn check(
    channel: ChannelName,
    body: JoinBody,
    limits: &Limits,
) -> Result<(Register, Secret), Error> {
    let uid = limits.parse_uid("uid", &body.uid)?;
    limits.check_person(&body.display_name, body.email.as_deref())?;
    let checked = |secret: Option<Secret>, length: Length, field| {
        secret.map(|secret| length.check(field, secret.expose()).map(|()| secret)).transpose()
    };
    let channel_secret = checked(body.channel_secret, limits.channel_secret, "channel_secret")?;
    let chosen = checked(body.secret, limits.secret, "secret")?;
    let is_chosen = chosen.is_some();
    let secret = chosen.map_or_else(Secret::generate, Ok)?;
    let register = Register {
        channel,
        channel_secret: channel_secret.as_ref().map(Secret::digest),
        uid,
        display_name: body.display_name,
        email: body.email.filter(|email| !email.is_empty()),
        secret: secret.digest(),
        is_chosen,
    };
    Ok((register, secret))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fault_of(field: &str, value: &serde_json::Value) -> Option<String> {
        let mut body = json!({"uid": "ann", "display_name": "Ann", "email": "ann@example.org"});
        body[field] = value.clone();
        let body = serde_json::from_value(body).unwrap();
        let channel = ChannelName::parse("c").unwrap();
        check(channel, body, &Limits::default()).err().and_then(|error| error.field).map(Into::into)
    }

    #[test]
    fn each_fault_names_its_field() {
        for (field, value) in [
            ("uid", json!("a b")),
            ("uid", json!("x".repeat(129))),
            ("display_name", json!("")),
            ("display_name", json!(" ")),
            ("display_name", json!("a\nb")),
            ("email", json!("nobody")),
            ("email", json!(format!("{}@x", "a".repeat(300)))),
            ("secret", json!("short")),
            ("channel_secret", json!("x".repeat(129))),
        ] {
            assert_eq!(fault_of(field, &value).as_deref(), Some(field), "{value}");
        }
        assert_eq!(fault_of("email", &json!(null)), None);
    }
}
