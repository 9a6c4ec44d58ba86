//! The gateway's HTTP face: joining, members, the page, and the way to a WebSocket.

pub(crate) mod connect;
pub(crate) mod join;
mod members;
mod page;

use std::sync::Arc;

use actix_web::web::{self, ServiceConfig};
use goch_chassis::problem::{json_config, method_not_allowed, not_found, query_config};
use goch_contract::limits::Limits;

use crate::edge::{Edge, cors};

/// Adds every route.
pub(crate) fn configure(app: &mut ServiceConfig, limits: &Limits, edge: &Arc<Edge>) {
    app.app_data(json_config(limits.body_bytes)).app_data(query_config());
    for path in ["/channels", "/channels/register", "/register"] {
        app.service(
            web::resource(path)
                .route(web::post().to(join::join))
                .default_service(web::to(method_not_allowed))
                .wrap(cors(edge)),
        );
    }
    app.service(
        web::resource("/channels/{name}")
            .route(web::get().to(members::members))
            .default_service(web::to(method_not_allowed))
            .wrap(cors(edge)),
    );
    app.service(
        web::resource("/connect")
            .route(web::get().to(connect::connect))
            .default_service(web::to(method_not_allowed)),
    );
    app.configure(page::configure);
    app.default_service(web::to(not_found));
}
