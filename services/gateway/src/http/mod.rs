//! The gateway's HTTP face: joining, members, the page, and the way to a WebSocket.

pub(crate) mod connect;
mod describe;
pub(crate) mod join;
mod legacy;
mod members;
mod page;
pub(crate) mod upgrade;

use std::sync::Arc;

use actix_web::web::{self, ServiceConfig};
use goch_chassis::problem::{json_config, method_not_allowed, not_found, query_config};
use goch_contract::limits::Limits;

pub(crate) use self::{describe::Descriptions, page::Assets};
use crate::edge::{Edge, cors};

/// Adds every route.
pub(crate) fn configure(app: &mut ServiceConfig, limits: &Limits, edge: &Arc<Edge>) {
    app.app_data(json_config(limits.body_bytes)).app_data(query_config());
    app.service(
        web::resource("/v1/channels/{name}/members")
            .route(web::get().to(members::members))
            .route(web::post().to(join::join))
            .default_service(web::to(method_not_allowed))
            .wrap(cors(edge)),
    );
    legacy::configure(app, edge);
    app.service(
        web::resource("/connect")
            .route(web::get().to(connect::connect))
            .default_service(web::to(method_not_allowed)),
    );
    for (path, route) in describe::routes() {
        app.service(
            web::resource(path)
                .route(route)
                .default_service(web::to(method_not_allowed))
                .wrap(cors(edge)),
        );
    }
    app.configure(page::configure);
    app.default_service(web::to(not_found));
}
