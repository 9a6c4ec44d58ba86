//! `GET /v1/admin/openapi.json`: this interface, described by OpenAPI.
//!
//! Types, fields and handlers describe themselves where they are declared. The committed document,
//! with the default limits, is `docs/openapi/chat-admin.json`.

mod receivers;

use actix_web::{HttpResponse, web};
use bytes::Bytes;
use goch_contract::{limits::Limits, rest::Problem, schemas::document};
use serde_json::Value;
use utoipa::{
    OpenApi,
    openapi::security::{Http, HttpAuthScheme, SecurityScheme},
};

use super::{
    account_channels, bans, channel, channels, create_channel, delete_channel, erase, export,
    legacy, member, members, messages, post_message, presence, put_member, put_read, remove_member,
    revise_message, suspensions, transcript, turn_channel, webhooks,
};

/// What the whole interface is described by.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Goch for ticketing",
        description = "chat-admin's REST interface, for the ticketing system and the inner network \
                       only. Bodies are JSON objects; unknown fields are ignored. Every refusal is \
                       a problem document (RFC 9457) with a stable `code`. Limits are those that \
                       this service runs with.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    components(schemas(Problem)),
    security(("basic" = [])),
    tags(
        (name = "channels", description = "A channel per ticket."),
        (name = "members", description = "Who is in a channel, and who may not be."),
        (name = "messages", description = "What is said."),
        (name = "personal data", description = "What is stored of one person: an account in all its channels, a guest in one."),
        (name = "webhooks", description = "What the ticketing system is told."),
        (name = "description", description = "This document."),
        (name = "first Goch", description = "Paths of the first Goch, for its clients: docs/versioning.md."),
    ),
)]
struct Described;

/// The paths of version 1.
#[derive(OpenApi)]
#[openapi(paths(
    channels::channels,
    create_channel::create_channel,
    channel::channel,
    delete_channel::delete_channel,
    turn_channel::close,
    turn_channel::reopen,
    members::members,
    member::member,
    put_member::put_member,
    put_read::put_read,
    account_channels::account_channels,
    remove_member::remove_member,
    presence::presence,
    bans::bans,
    bans::ban,
    bans::unban,
    messages::messages,
    post_message::post_message,
    revise_message::edit,
    revise_message::delete,
    transcript::transcript,
    export::export_account,
    export::export_guest,
    erase::erase_account,
    erase::erase_guest,
    suspensions::suspend,
    suspensions::suspension,
    suspensions::lift,
    suspensions::suspensions,
    webhooks::list,
    webhooks::create,
    webhooks::show,
    webhooks::change,
    webhooks::delete,
    webhooks::enable,
    webhooks::rotate_secret,
    webhooks::dead_letters,
    webhooks::replay_all,
    webhooks::replay,
    openapi,
))]
struct V1;

/// The document as it is served.
#[derive(Debug, Clone)]
pub(crate) struct Description(Bytes);

impl Description {
    /// Of a service that runs with these limits.
    pub(crate) fn new(limits: &Limits) -> Self {
        Self(describe(limits).to_string().into())
    }
}

fn describe(limits: &Limits) -> Value {
    let mut described = Described::openapi()
        .nest(super::V1, V1::openapi())
        .nest(legacy::PREFIX, legacy::Described::openapi());
    let basic = Http::builder()
        .scheme(HttpAuthScheme::Basic)
        .description(Some("A name and its password: ADMIN_CREDENTIALS of the service."))
        .build();
    let components = described.components.get_or_insert_default();
    components.add_security_scheme("basic", SecurityScheme::Http(basic));
    let mut document = document::finish(described, limits);
    receivers::add(&mut document, limits);
    document
}

/// Answers with this document.
///
/// Like every path here it takes a name and a password: who has none has no use for it,
/// and nothing of this interface is to be learned without them.
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "openapi",
    tag = "description",
    responses((status = 200, description = "The document.", body = Object)),
)]
pub(super) async fn openapi(description: web::Data<Description>) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(description.0.clone())
}

#[cfg(test)]
mod tests {
    use goch_contract::schemas::committed;

    use super::*;

    #[test]
    fn every_path_of_the_service_is_described() {
        let described = describe(&Limits::default());
        for (prefix, file, least) in [
            (super::super::V1, include_str!("mod.rs"), 10),
            (legacy::PREFIX, include_str!("legacy.rs"), 3),
        ] {
            let routes = file.split("resource(\"").skip(1);
            let paths: Vec<&str> = routes.filter_map(|rest| rest.split('"').next()).collect();
            assert!(paths.len() > least, "{paths:?}");
            for path in paths {
                assert!(described["paths"][format!("{prefix}{path}")].is_object(), "{path}");
            }
        }
    }

    #[test]
    fn the_committed_document_is_what_the_code_says() {
        committed::check("openapi/chat-admin.json", &describe(&Limits::default()))
            .unwrap_or_else(|drift| panic!("{drift}"));
    }
}
