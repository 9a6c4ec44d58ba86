//! The REST face for ticketing: version 1, one endpoint a file, and the paths of the first Goch.

mod account_channels;
mod authenticate;
mod bans;
mod by_uid;
mod channel;
mod channels;
mod create_channel;
mod delete_channel;
mod describe;
mod erase;
mod export;
mod legacy;
mod member;
mod members;
mod messages;
mod observe;
mod optional;
mod paged;
mod permitted;
mod post_message;
mod presence;
mod put_member;
mod put_read;
mod remove_member;
mod revise_message;
mod suspensions;
mod throttle;
mod transcript;
mod turn_channel;
mod webhooks;

use std::sync::Arc;

use actix_web::{
    HttpResponse, Resource,
    dev::{ServiceFactory, ServiceRequest},
    middleware::from_fn,
    web::{self, ServiceConfig},
};
use goch_chassis::{
    http::deprecated,
    problem::{Refusal, json_config, method_not_allowed, not_found, query_config},
};
use goch_contract::{Error, ErrorCode, Roles, limits::Limits};

pub(crate) use self::{authenticate::Doorman, describe::Description, observe::observe};
use self::{
    authenticate::LoggedIn,
    permitted::{Asked, Erase, Permitted, Read, Write},
};
use crate::{
    ServiceClient,
    lifecycle::{Lifecycle, Progress},
    log::Log,
    memberships::Memberships,
    presence::Presence,
    registry::Registry,
    signaller::Signaller,
    tenants::AllRules,
};

/// What the handlers work with. Cheap to clone, but for the limits.
#[derive(Debug, Clone)]
pub(crate) struct Desk {
    pub(crate) registry: Registry,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) memberships: Memberships,
    pub(crate) rules: Arc<AllRules>,
    pub(crate) roles: Roles,
    pub(crate) services: ServiceClient,
    pub(crate) log: Log,
    pub(crate) presence: Presence,
    pub(crate) signaller: Signaller,
    pub(crate) limits: Limits,
}

/// The most entries of a page: what is asked for, from 1 to `max`, or `default` if nothing is.
///
/// # Errors
/// `bad_request` naming the field and its range.
fn limit_within(asked: Option<u64>, default: usize, max: usize) -> Result<usize, Error> {
    let Some(asked) = asked else { return Ok(default) };
    let limit = usize::try_from(asked).ok().filter(|limit| (1..=max).contains(limit));
    limit.ok_or_else(|| Error::bad_request("limit", format!("limit must be 1 to {max}")))
}

/// Where the paths of version 1 begin.
const V1: &str = "/v1/admin";

/// Adds every route.
pub(crate) fn configure(app: &mut ServiceConfig, body_bytes: usize) {
    app.app_data(json_config(body_bytes)).app_data(query_config()).app_data(path_config());
    app.service(
        web::scope(V1)
            .configure(configure_channels)
            .configure(configure_lifecycle)
            .configure(configure_webhooks)
            .service(resource("/openapi.json").route(web::get().to(describe::openapi)))
            .default_service(web::to(not_found))
            .wrap(from_fn(authenticate::authenticate)),
    );
    app.service(
        web::scope(legacy::PREFIX)
            .configure(legacy::configure)
            .default_service(web::to(not_found))
            .wrap(deprecated())
            .wrap(from_fn(authenticate::authenticate)),
    );
    app.default_service(web::to(not_found));
}

/// Adds the routes of channels and of what is said in them.
fn configure_channels(scope: &mut ServiceConfig) {
    scope
        .service(
            resource("/channels")
                .route(web::get().to(channels::channels))
                .route(web::post().to(create_channel::create_channel)),
        )
        .service(
            resource("/channels/{name}")
                .route(web::get().to(channel::channel))
                .route(web::delete().to(delete_channel::delete_channel)),
        )
        .service(resource("/channels/{name}/members").route(web::get().to(members::members)))
        .service(
            resource("/channels/{name}/members/{uid}")
                .route(web::get().to(member::member))
                .route(web::put().to(put_member::put_member))
                .route(web::delete().to(remove_member::remove_member)),
        )
        .service(
            resource("/channels/{name}/members/{uid}/read")
                .route(web::put().to(put_read::put_read)),
        )
        .service(
            resource("/accounts/{uid}/channels")
                .route(web::get().to(account_channels::account_channels)),
        )
        .service(resource("/channels/{name}/presence").route(web::get().to(presence::presence)))
        .service(
            resource("/channels/{name}/messages")
                .route(web::get().to(messages::messages))
                .route(web::post().to(post_message::post_message)),
        )
        .service(
            resource("/channels/{name}/messages/{seq}")
                .route(web::patch().to(revise_message::edit))
                .route(web::delete().to(revise_message::delete)),
        );
}

/// Adds the routes of what ends, and of what is to be kept before.
fn configure_lifecycle(scope: &mut ServiceConfig) {
    scope
        .service(resource("/channels/{name}/close").route(web::post().to(turn_channel::close)))
        .service(resource("/channels/{name}/reopen").route(web::post().to(turn_channel::reopen)))
        .service(resource("/channels/{name}/bans").route(web::get().to(bans::bans)))
        .service(
            resource("/channels/{name}/bans/{uid}")
                .route(web::put().to(bans::ban))
                .route(web::delete().to(bans::unban)),
        )
        .service(
            resource("/channels/{name}/transcript").route(web::get().to(transcript::transcript)),
        )
        .configure(configure_people);
}

/// Adds the routes of what is one person's.
fn configure_people(scope: &mut ServiceConfig) {
    scope
        .service(resource("/accounts/{uid}").route(web::delete().to(erase::erase_account)))
        .service(resource("/accounts/{uid}/export").route(web::get().to(export::export_account)))
        .service(
            resource("/accounts/{uid}/suspension")
                .route(web::get().to(suspensions::suspension))
                .route(web::put().to(suspensions::suspend))
                .route(web::delete().to(suspensions::lift)),
        )
        .service(resource("/suspensions").route(web::get().to(suspensions::suspensions)))
        .service(
            resource("/channels/{name}/guests/{uid}").route(web::delete().to(erase::erase_guest)),
        )
        .service(
            resource("/channels/{name}/guests/{uid}/export")
                .route(web::get().to(export::export_guest)),
        );
}

/// Adds the routes of what ticketing is told.
fn configure_webhooks(scope: &mut ServiceConfig) {
    scope
        .service(
            resource("/webhooks")
                .route(web::get().to(webhooks::list))
                .route(web::post().to(webhooks::create)),
        )
        .service(
            resource("/webhooks/{id}")
                .route(web::get().to(webhooks::show))
                .route(web::patch().to(webhooks::change))
                .route(web::delete().to(webhooks::delete)),
        )
        .service(resource("/webhooks/{id}/enable").route(web::post().to(webhooks::enable)))
        .service(resource("/webhooks/{id}/secret").route(web::post().to(webhooks::rotate_secret)))
        .service(
            resource("/webhooks/{id}/dead-letters").route(web::get().to(webhooks::dead_letters)),
        )
        .service(
            resource("/webhooks/{id}/dead-letters/replay")
                .route(web::post().to(webhooks::replay_all)),
        )
        .service(
            resource("/webhooks/{id}/dead-letters/{letter}/replay")
                .route(web::post().to(webhooks::replay)),
        );
}

/// 204 when something is done; 202 when it is certain to be done.
fn progress(progress: Progress) -> HttpResponse {
    match progress {
        Progress::Done => HttpResponse::NoContent().finish(),
        Progress::UnderWay => HttpResponse::Accepted().finish(),
    }
}

/// A path that refuses the methods it does not have.
fn resource(
    path: &str,
) -> Resource<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = actix_web::dev::ServiceResponse,
        Error = actix_web::Error,
        InitError = (),
    >,
> {
    web::resource(path).default_service(web::to(method_not_allowed))
}

fn path_config() -> web::PathConfig {
    web::PathConfig::default().error_handler(|_, _| {
        Refusal(Error::new(ErrorCode::BadRequest, "the path cannot be read")).into()
    })
}
