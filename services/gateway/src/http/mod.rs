//! The gateway's HTTP face: joining, members, the page, and the way to a WebSocket.

pub(crate) mod connect;
mod describe;
pub(crate) mod join;
mod members;
mod page;
pub(crate) mod upgrade;

use std::sync::Arc;

use actix_web::web::{self, ServiceConfig};
use goch_chassis::problem::{json_config, method_not_allowed, not_found, query_config};
use goch_contract::limits::Limits;

pub(crate) use self::describe::Descriptions;
use crate::edge::{Edge, cors};

/// Where somebody joins. The second and the third are those of Goch's first clients.
const JOIN_PATHS: [&str; 3] = ["/channels", "/channels/register", "/register"];

/// Adds every route.
pub(crate) fn configure(app: &mut ServiceConfig, limits: &Limits, edge: &Arc<Edge>) {
    app.app_data(json_config(limits.body_bytes)).app_data(query_config());
    for path in JOIN_PATHS {
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
