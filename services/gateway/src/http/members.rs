//! `GET /v1/channels/{name}/members`: who is a member.

use std::rc::Rc;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderMap},
    web,
};
use goch_contract::{
    ChannelName, Error, Secret, Uid,
    rest::MembersBody,
    schemas::{
        ChannelSecret,
        problems::{Forbidden, RateLimited},
    },
    services::admin::{Members, PublicMembers},
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
    /// The page begins after this uid.
    #[param(value_type = Option<Uid>, nullable = false)]
    after: Option<String>,
    /// The most members of the page; 1,000 if left out.
    #[param(minimum = 1, maximum = 1000, default = 1000, nullable = false)]
    limit: Option<u32>,
}

/// The most members of a page.
const LIMIT_MAX: u32 = 1_000;

/// Lists the members, for whoever could join.
#[utoipa::path(
    get,
    path = "/v1/channels/{name}/members",
    tag = "members",
    params(("name" = ChannelName, Path, description = "The channel."), Query),
    security((), ("channel_secret" = [])),
    responses(
        (status = 200, description = "A page of members, by uid.", body = MembersBody),
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
    let caller = worker.edge.join(&request)?;
    let channel = worker.config.limits.parse_channel("name", &name)?;
    let Query { secret, after, limit } = query.into_inner();
    let after = after.as_deref().filter(|after| !after.is_empty());
    let after = after.map(|uid| worker.config.limits.parse_uid("after", uid)).transpose()?;
    let limit = limit.unwrap_or(LIMIT_MAX);
    if !(1..=LIMIT_MAX).contains(&limit) {
        let message = format!("limit must be 1 to {LIMIT_MAX}");
        return Err(Error::bad_request("limit", message).into());
    }
    let channel_secret =
        bearer(request.headers()).or(secret).filter(|secret| !secret.expose().is_empty());
    let channel_secret = channel_secret.as_ref().map(Secret::digest);
    let wanted = Members { channel: channel.clone(), channel_secret, after, limit };
    let PublicMembers { members, more } = caller.ask(&worker.services, &channel, &wanted).await?;
    Ok(HttpResponse::Ok().json(MembersBody { channel, members, more }))
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
