//! `GET /channels/{name}`: who is a member.

use std::rc::Rc;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderMap},
    web,
};
use goch_contract::{
    ChannelName, Secret,
    rest::MembersBody,
    schemas::{
        ChannelSecret,
        problems::{Forbidden, RateLimited},
    },
    services::admin::Members,
};
use serde::Deserialize;

use crate::{edge::Throttled, worker::Worker};

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Query {
    /// The channel's secret; a private channel asks for it. Rather send it in the header
    /// `Authorization`, which counts if there are both: addresses end up in logs and histories.
    #[param(value_type = Option<ChannelSecret>, nullable = false)]
    secret: Option<Secret>,
}

/// Lists the members, for whoever could join.
#[utoipa::path(
    get,
    path = "/channels/{name}",
    tag = "members",
    params(("name" = ChannelName, Path, description = "The channel."), Query),
    security((), ("channel_secret" = [])),
    responses(
        (status = 200, description = "The members, by uid; at most 1,000.", body = MembersBody),
        (status = 403, response = Forbidden),
        (status = 429, response = RateLimited),
    ),
)]
pub(super) async fn members(
    worker: web::Data<Rc<Worker>>,
    request: HttpRequest,
    name: web::Path<String>,
    query: web::Query<Query>,
) -> Result<HttpResponse, Throttled> {
    worker.edge.join(&request)?;
    let channel = worker.config.limits.parse_channel("name", &name)?;
    let channel_secret = bearer(request.headers())
        .or(query.into_inner().secret)
        .filter(|secret| !secret.expose().is_empty());
    let channel_secret = channel_secret.as_ref().map(Secret::digest);
    let members =
        worker.services.call(&Members { channel: channel.clone(), channel_secret }).await?;
    Ok(HttpResponse::Ok().json(MembersBody { channel, members }))
}

/// The secret of `Authorization: Bearer …` (RFC 6750); none for another scheme.
fn bearer(headers: &HeaderMap) -> Option<Secret> {
    let (scheme, secret) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    // RFC 9110, 11.1: a scheme's name may be written in any case.
    scheme.eq_ignore_ascii_case("bearer").then(|| Secret::new(secret.trim()))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_secret_is_what_follows_bearer() {
        let found = |value: &str| {
            let request = TestRequest::default().insert_header((header::AUTHORIZATION, value));
            bearer(request.to_http_request().headers()).map(|secret| secret.expose().to_owned())
        };
        assert_eq!(found("Bearer the-secret").as_deref(), Some("the-secret"));
        assert_eq!(found("bearer  the-secret ").as_deref(), Some("the-secret"));
        assert_eq!(found("Basic dGhlLXNlY3JldA=="), None);
        assert_eq!(found("Bearer"), None);
    }
}
