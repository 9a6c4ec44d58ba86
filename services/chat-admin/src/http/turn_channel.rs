//! `POST /v1/admin/channels/{name}/close` and `/reopen`: a ticket was solved, or is not after all.

use actix_web::{HttpResponse, web};
use goch_chassis::problem::Refusal;
use goch_contract::{Actor, ChannelName, rest::ChannelBody, schemas::problems::NotFound};

use super::{LoggedIn, Permitted, Write, channels::describe};

/// Closes the channel, if it is not closed.
#[utoipa::path(
    post,
    path = "/channels/{name}/close",
    operation_id = "close_channel",
    tag = "channels",
    params(("name" = ChannelName, Path, description = "The channel.")),
    responses(
        (status = 200, description = "The channel, which is closed.", body = ChannelBody),
        (status = 404, response = NotFound),
    ),
)]
pub(super) async fn close(
    desk: Permitted<Write>,
    LoggedIn(actor): LoggedIn,
    name: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    turn(&desk, &name, true, &actor).await
}

/// Reopens the channel, if it is closed.
#[utoipa::path(
    post,
    path = "/channels/{name}/reopen",
    operation_id = "reopen_channel",
    tag = "channels",
    params(("name" = ChannelName, Path, description = "The channel.")),
    responses(
        (status = 200, description = "The channel, which is open.", body = ChannelBody),
        (status = 404, response = NotFound),
    ),
)]
pub(super) async fn reopen(
    desk: Permitted<Write>,
    LoggedIn(actor): LoggedIn,
    name: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    turn(&desk, &name, false, &actor).await
}

async fn turn(
    desk: &Permitted<Write>,
    name: &str,
    close: bool,
    actor: &Actor,
) -> Result<HttpResponse, Refusal> {
    let name = desk.name(name)?;
    let channel = desk.lifecycle.turn(&name, close, actor).await?;
    Ok(HttpResponse::Ok().json(describe(desk, channel).await?))
}
