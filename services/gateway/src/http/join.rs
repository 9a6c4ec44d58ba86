//! `POST /channels` and its two aliases: become a member.

use std::rc::Rc;

use actix_web::{HttpRequest, HttpResponse, web};
use goch_contract::{
    Error, Secret,
    error::ErrorCode,
    limits::Limits,
    rest::{JoinBody, JoinedBody},
    schemas::problems::{Conflict, Forbidden, RateLimited},
    services::admin::Register,
};

use crate::{edge::Throttled, worker::Worker};

/// The longest e-mail address (RFC 5321, 4.5.3.1.3: a path of 256 octets with its brackets).
const EMAIL_MAX: usize = 254;

/// Registers a member: 201, or 200 for one that was registered before with the same secret.
#[utoipa::path(
    post,
    path = "/channels",
    tag = "members",
    request_body(content = JoinBody, example = json!({
        "channel": "ticket-42",
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
    body: web::Json<JoinBody>,
) -> Result<HttpResponse, Throttled> {
    let caller = worker.edge.join(&request)?;
    let request = check(body.into_inner(), &worker.config.limits)?;
    let registered = caller.ask(&worker.services, &request.channel, &request).await?;
    let mut response =
        if registered.created { HttpResponse::Created() } else { HttpResponse::Ok() };
    Ok(response.json(registered.member))
}

/// The request to chat-admin that a body within the limits stands for.
///
/// # Errors
/// The first field that breaks a rule.
pub fn check(body: JoinBody, limits: &Limits) -> Result<Register, Error> {
    let channel = limits.parse_channel("channel", &body.channel)?;
    let uid = limits.parse_uid("uid", &body.uid)?;
    limits.check_display_name("display_name", &body.display_name)?;
    if let Some(email) = &body.email {
        check_email(email)?;
    }
    let checked = |secret: Option<Secret>, length: goch_contract::limits::Length, field| {
        secret.map(|secret| length.check(field, secret.expose()).map(|()| secret)).transpose()
    };
    Ok(Register {
        channel,
        channel_secret: checked(body.channel_secret, limits.channel_secret, "channel_secret")?,
        uid,
        display_name: body.display_name,
        email: body.email.filter(|email| !email.is_empty()),
        secret: checked(body.secret, limits.secret, "secret")?,
    })
}

/// Only what no mail server would take is refused: the ticketing system knows its customers.
fn check_email(email: &str) -> Result<(), Error> {
    if email.len() > EMAIL_MAX {
        let message = format!("email must have at most {EMAIL_MAX} bytes");
        return Err(Error::of_field(ErrorCode::TooLong, "email", message));
    }
    let has_parts = email
        .rsplit_once('@')
        .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
    let is_plain = !email.chars().any(|character| character.is_control() || character == ' ');
    if email.is_empty() || (has_parts && is_plain) {
        Ok(())
    } else {
        Err(Error::bad_request("email", "email must be an address such as ann@example.org"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fault_of(field: &str, value: &serde_json::Value) -> Option<String> {
        let mut body = json!({"channel": "c", "uid": "ann", "display_name": "Ann",
                              "email": "ann@example.org"});
        body[field] = value.clone();
        let body = serde_json::from_value(body).unwrap();
        check(body, &Limits::default()).err().and_then(|error| error.field).map(Into::into)
    }

    #[test]
    fn each_fault_names_its_field() {
        for (field, value) in [
            ("channel", json!("a.b")),
            ("channel", json!("")),
            ("uid", json!("a b")),
            ("uid", json!("x".repeat(65))),
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
