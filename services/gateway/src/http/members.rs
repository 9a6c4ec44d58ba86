//! `GET /channels/{name}`: who is a member.

use std::rc::Rc;

use actix_web::{HttpRequest, HttpResponse, web};
use goch_contract::{Secret, rest::MembersBody, services::admin::Members};
use serde::Deserialize;

use crate::{edge::Throttled, worker::Worker};

#[derive(Deserialize)]
pub(super) struct Query {
    secret: Option<Secret>,
}

/// Lists the members, for whoever could join.
pub(super) async fn members(
    worker: web::Data<Rc<Worker>>,
    request: HttpRequest,
    name: web::Path<String>,
    query: web::Query<Query>,
) -> Result<HttpResponse, Throttled> {
    worker.edge.join(&request)?;
    let channel = worker.config.limits.parse_channel("name", &name)?;
    let channel_secret = query.into_inner().secret.filter(|secret| !secret.expose().is_empty());
    let members =
        worker.services.call(&Members { channel: channel.clone(), channel_secret }).await?;
    Ok(HttpResponse::Ok().json(MembersBody { channel, members }))
}
