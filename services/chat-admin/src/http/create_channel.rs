//! `POST /v1/admin/channels`: a ticket was opened.
//!
//! The secret is in the answer alone, so a lost answer would leave a channel that nobody can join. Whoever makes the
//! secret can repeat the request.

use actix_web::{HttpResponse, web};
use goch_chassis::problem::Refusal;
use goch_contract::{
    Error,
    limits::Limits,
    rest::{CreateChannelBody, CreatedChannelBody},
    schemas::problems::Conflict,
};

use super::{LoggedIn, Permitted, Write};
use crate::registry::Access;

/// Creates a channel.
#[utoipa::path(
    post,
    path = "/channels",
    tag = "channels",
    request_body(content = CreateChannelBody, example = json!({"name": "ticket-42", "is_private": true})),
    responses(
        (status = 200, description = "The channel was created by an earlier request with the same secret.", body = CreatedChannelBody),
        (status = 201, description = "The channel is created.", body = CreatedChannelBody),
        (status = 409, response = Conflict),
    ),
)]
pub(super) async fn create_channel(
    desk: Permitted<Write>,
    LoggedIn(actor): LoggedIn,
    body: web::Json<CreateChannelBody>,
) -> Result<HttpResponse, Refusal> {
    let name = desk.new_name(&body.name)?;
    let access = access(&body)?;
    let created = desk.lifecycle.create(&desk.registry, name, access, &actor).await?;
    let mut response = if created.is_new { HttpResponse::Created() } else { HttpResponse::Ok() };
    Ok(response.json(created.channel))
}

fn access(body: &CreateChannelBody) -> Result<Access, Error> {
    let secret = body.secret.as_deref();
    let secret = secret.map(|it| Limits::parse_made_secret("secret", it)).transpose()?;
    Ok(if body.is_private { Access::Private(secret) } else { Access::Public(secret) })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn access(body: Value) -> Result<Access, Error> {
        super::access(&serde_json::from_value(body).unwrap())
    }

    #[test]
    fn a_channel_is_private_unless_told_otherwise_and_may_be_created_with_a_secret() {
        let secret = "0123456789abcdef0123456789abcdef01234567";
        let given = access(json!({"name": "c", "secret": secret})).unwrap();
        assert!(matches!(given, Access::Private(Some(given)) if given.expose() == secret));
        assert!(matches!(access(json!({"name": "c"})), Ok(Access::Private(None))));
        let open = access(json!({"name": "c", "is_private": false}));
        assert!(matches!(open, Ok(Access::Public(None))));
        let open = access(json!({"name": "c", "is_private": false, "secret": secret}));
        assert!(matches!(open, Ok(Access::Public(Some(given))) if given.expose() == secret));
        for body in [
            json!({"name": "c", "secret": "correct horse battery staple correct hor"}),
            json!({"name": "c", "secret": secret.to_uppercase()}),
            json!({"name": "c", "secret": &secret[1..]}),
        ] {
            assert_eq!(access(body).unwrap_err().field.as_deref(), Some("secret"));
        }
    }
}
