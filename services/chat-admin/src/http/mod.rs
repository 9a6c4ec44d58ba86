//! The REST face for ticketing; one endpoint a file.

mod authenticate;
mod channel;
mod channels;
mod create_channel;
mod members;
mod messages;
mod observe;
mod post_message;
mod presence;
mod unread;

use actix_web::{
    Resource,
    dev::{ServiceFactory, ServiceRequest},
    middleware::from_fn,
    web::{self, ServiceConfig},
};
use goch_chassis::problem::{Refusal, json_config, method_not_allowed, not_found, query_config};
use goch_contract::{ChannelName, Error, ErrorCode, limits::Limits, services::ServiceClient};

pub(crate) use self::{authenticate::Credentials, observe::observe};
use crate::{log::Log, presence::Presence, record::ChannelRecord, registry::Registry};

/// What the handlers work with. Cheap to clone, but for the limits.
#[derive(Debug, Clone)]
pub(crate) struct Desk {
    pub(crate) registry: Registry,
    pub(crate) services: ServiceClient,
    pub(crate) log: Log,
    pub(crate) presence: Presence,
    pub(crate) limits: Limits,
}

impl Desk {
    /// The channel that a path names.
    ///
    /// # Errors
    /// `not_found`, or what is wrong with the name.
    async fn channel(&self, name: &str) -> Result<(ChannelName, ChannelRecord), Error> {
        let name = self.limits.parse_channel("name", name)?;
        let channel = self.registry.channel(&name).await?.ok_or_else(|| {
            Error::of_field(ErrorCode::NotFound, "name", "there is no channel of this name")
        })?;
        Ok((name, channel))
    }
}

/// Adds every route.
pub(crate) fn configure(app: &mut ServiceConfig, body_bytes: usize) {
    app.app_data(json_config(body_bytes)).app_data(query_config()).app_data(path_config());
    app.service(
        web::scope("/admin")
            .service(
                resource("/channels")
                    .route(web::get().to(channels::channels))
                    .route(web::post().to(create_channel::create_channel)),
            )
            .service(resource("/channels/{name}").route(web::get().to(channel::channel)))
            .service(resource("/channels/{name}/members").route(web::get().to(members::members)))
            .service(resource("/channels/{name}/presence").route(web::get().to(presence::presence)))
            .service(resource("/channels/{name}/user/{uid}").route(web::get().to(unread::unread)))
            .service(
                resource("/channels/{name}/messages")
                    .route(web::get().to(messages::messages))
                    .route(web::post().to(post_message::post_message)),
            )
            .default_service(web::to(not_found))
            .wrap(from_fn(authenticate::authenticate)),
    );
    app.default_service(web::to(not_found));
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
