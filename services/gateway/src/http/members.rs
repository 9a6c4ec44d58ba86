//! `GET /channels/{name}`: who is a member.

use std::rc::Rc;

use actix_web::{HttpRequest, HttpResponse, web};
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
    /// The channel's secret; a private channel asks for it.
    #[param(value_type = Option<ChannelSecret>, nullable = false)]
    secret: Option<Secret>,
}

/// Lists the members, for whoever could join.
#[utoipa::path(
    get,
    path = "/channels/{name}",
    tag = "members",
    params(("name" = ChannelName, Path, description = "The channel."), Query),
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
    let channel_secret = query.into_inner().secret.filter(|secret| !secret.expose().is_empty());
    let channel_secret = channel_secret.as_ref().map(Secret::digest);
    let members =
        worker.services.call(&Members { channel: channel.clone(), channel_secret }).await?;
    Ok(HttpResponse::Ok().json(MembersBody { channel, members }))
}
