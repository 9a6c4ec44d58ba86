//! The paths of the first Goch: what its clients know, with the answers that they know.
//!
//! They ask the same functions as version 1. Nothing is added here.

use std::{rc::Rc, sync::Arc};

use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, ServiceConfig},
};
use goch_chassis::{http::deprecated, problem::method_not_allowed};
use goch_contract::{
    ChannelName,
    rest::{FirstJoinBody, JoinedBody, MembersBody},
    schemas::problems::{Conflict, Forbidden, RateLimited},
};
use utoipa::OpenApi;

use super::{join, members};
use crate::{
    edge::{Edge, Throttled, cors},
    worker::Worker,
};

/// Where somebody joins.
pub(super) const JOIN_PATHS: [&str; 3] = ["/channels", "/channels/register", "/register"];

/// What these paths are described by, the first of [`JOIN_PATHS`] for all of them.
#[derive(OpenApi)]
#[openapi(paths(join, list_members))]
pub(super) struct Described;

/// Adds the routes.
pub(super) fn configure(app: &mut ServiceConfig, edge: &Arc<Edge>) {
    for path in JOIN_PATHS {
        app.service(
            web::resource(path)
                .route(web::post().to(join))
                .default_service(web::to(method_not_allowed))
                .wrap(deprecated())
                .wrap(cors(edge)),
        );
    }
    app.service(
        web::resource("/channels/{name}")
            .route(web::get().to(list_members))
            .default_service(web::to(method_not_allowed))
            .wrap(deprecated())
            .wrap(cors(edge)),
    );
}

/// Registers a member. Version 1: `POST /v1/channels/{name}/members`.
#[utoipa::path(
    post,
    path = "/channels",
    operation_id = "first_join",
    tag = "first Goch",
    request_body(content = FirstJoinBody, example = json!({
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
async fn join(
    worker: web::Data<Rc<Worker>>,
    request: HttpRequest,
    body: web::Json<FirstJoinBody>,
) -> Result<HttpResponse, Throttled> {
    let FirstJoinBody { channel, member } = body.into_inner();
    join::register(&worker, &request, ("channel", &channel), member).await
}

/// Lists the members. Version 1: `GET /v1/channels/{name}/members`.
#[utoipa::path(
    get,
    path = "/channels/{name}",
    operation_id = "first_list_members",
    tag = "first Goch",
    params(("name" = ChannelName, Path, description = "The channel."), members::Query),
    security((), ("channel_secret" = [])),
    responses(
        (status = 200, description = "A page of members, by uid.", body = MembersBody),
        (status = 403, response = Forbidden),
        (status = 429, response = RateLimited),
    ),
)]
async fn list_members(
    worker: web::Data<Rc<Worker>>,
    request: HttpRequest,
    name: web::Path<String>,
    query: web::Query<members::Query>,
) -> Result<HttpResponse, Throttled> {
    members::members(worker, request, name, query).await
}
