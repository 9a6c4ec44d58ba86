//! The paths of the first Goch, below `/admin`: what its clients know, with the answers that they know.
//!
//! They ask the same functions as version 1. Nothing is added here.

use actix_web::{
    HttpResponse,
    web::{self, ServiceConfig},
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use goch_chassis::problem::Refusal;
use goch_contract::{
    ChannelName, Error, Uid,
    rest::{
        AdminMembersBody, ChannelBody, CreateChannelBody, CreatedChannelBody, FirstChannelBody,
        FirstChannelsBody, UnreadBody,
    },
    schemas::problems::{Conflict, NotFound},
};
use utoipa::OpenApi;

use super::{
    Desk, LoggedIn, Permitted, Read, Write, by_uid, channels, channels::describe, create_channel,
    member, members, resource,
};
use crate::{record::MemberRecord, registry::MEMBERS_MAX};

/// Channels of one page whose members are read at a time.
const AT_A_TIME: usize = 4;

/// Where these paths begin.
pub(super) const PREFIX: &str = "/admin";

/// What these paths are described by.
#[derive(OpenApi)]
#[openapi(paths(list_channels, create, show_channel, list_members, count_unread))]
pub(super) struct Described;

/// Adds the routes.
pub(super) fn configure(scope: &mut ServiceConfig) {
    scope
        .service(
            resource("/channels").route(web::get().to(list_channels)).route(web::post().to(create)),
        )
        .service(resource("/channels/{name}").route(web::get().to(show_channel)))
        .service(resource("/channels/{name}/members").route(web::get().to(list_members)))
        .service(resource("/channels/{name}/user/{uid}").route(web::get().to(count_unread)));
}

/// Lists channels. Version 1: `GET /v1/admin/channels`.
#[utoipa::path(
    get,
    path = "/channels",
    operation_id = "first_list_channels",
    tag = "first Goch",
    params(channels::Query),
    responses(
        (status = 200, description = "A page, by name.", body = FirstChannelsBody),
    ),
)]
async fn list_channels(
    desk: Permitted<Read>,
    query: web::Query<channels::Query>,
) -> Result<HttpResponse, Refusal> {
    let page = channels::page(&desk, &query).await?;
    let channels = page.channels.into_iter().map(|channel| with_members(&desk, channel));
    let channels = stream::iter(channels).buffered(AT_A_TIME).try_collect().await?;
    Ok(HttpResponse::Ok().json(FirstChannelsBody { channels, more: page.more }))
}

/// A channel as the first Goch shows it.
async fn with_members(desk: &Desk, channel: ChannelBody) -> Result<FirstChannelBody, Error> {
    let page = desk.registry.members(&channel.name, None, MEMBERS_MAX).await?;
    Ok(FirstChannelBody {
        name: channel.name,
        is_private: channel.is_private,
        created_at: channel.created_at,
        closed_at: channel.closed_at,
        members: page.members.into_iter().map(MemberRecord::into_admin).collect(),
        more_members: page.more,
        last_message: channel.last_message,
    })
}

/// Creates a channel. Version 1: `POST /v1/admin/channels`.
#[utoipa::path(
    post,
    path = "/channels",
    operation_id = "first_create_channel",
    tag = "first Goch",
    request_body(content = CreateChannelBody, example = json!({"name": "ticket-42", "is_private": true})),
    responses(
        (status = 200, description = "The channel was created by an earlier request with the same secret.", body = CreatedChannelBody),
        (status = 201, description = "The channel is created.", body = CreatedChannelBody),
        (status = 409, response = Conflict),
    ),
)]
async fn create(
    desk: Permitted<Write>,
    login: LoggedIn,
    body: web::Json<CreateChannelBody>,
) -> Result<HttpResponse, Refusal> {
    create_channel::create_channel(desk, login, body).await
}

/// Answers with a channel. Version 1: `GET /v1/admin/channels/{name}`.
#[utoipa::path(
    get,
    path = "/channels/{name}",
    operation_id = "first_show_channel",
    tag = "first Goch",
    params(("name" = ChannelName, Path, description = "The channel.")),
    responses(
        (status = 200, description = "The channel.", body = FirstChannelBody),
        (status = 404, response = NotFound),
    ),
)]
async fn show_channel(
    desk: Permitted<Read>,
    name: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    let (_, channel) = desk.channel(&name).await?;
    let described = describe(&desk, channel).await?;
    Ok(HttpResponse::Ok().json(with_members(&desk, described).await?))
}

/// Lists the members. Version 1: `GET /v1/admin/channels/{name}/members`.
#[utoipa::path(
    get,
    path = "/channels/{name}/members",
    operation_id = "first_list_members",
    tag = "first Goch",
    params(("name" = ChannelName, Path, description = "The channel."), by_uid::Query),
    responses(
        (status = 200, description = "A page of members, by uid.", body = AdminMembersBody),
        (status = 404, response = NotFound),
    ),
)]
async fn list_members(
    desk: Permitted<Read>,
    name: web::Path<String>,
    query: web::Query<by_uid::Query>,
) -> Result<HttpResponse, Refusal> {
    members::members(desk, name, query).await
}

/// Counts a member's unread messages. Version 1: `GET /v1/admin/channels/{name}/members/{uid}`, which has the count
/// as `unread`.
#[utoipa::path(
    get,
    path = "/channels/{name}/user/{uid}",
    operation_id = "first_count_unread",
    tag = "first Goch",
    params(("name" = ChannelName, Path, description = "The channel."), ("uid" = Uid, Path, description = "The member.")),
    responses(
        (status = 200, description = "The count.", body = UnreadBody),
        (status = 404, response = NotFound),
    ),
)]
async fn count_unread(
    desk: Permitted<Read>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Refusal> {
    let (channel, uid) = desk.channel_and_uid(path).await?;
    let kind = desk.member(&channel, &uid).await?.kind();
    let count = member::unread(&desk, channel, uid, kind).await?;
    Ok(HttpResponse::Ok().json(UnreadBody { count }))
}
