//! `/v1/admin/channels/{name}/bans`: who may not join.

use actix_web::{HttpResponse, web};
use goch_chassis::problem::Refusal;
use goch_contract::{
    ChannelName, Uid,
    rest::{Ban, BansBody},
    schemas::problems::NotFound,
};

use super::{LoggedIn, Permitted, Read, Write, by_uid::Query};

/// Lists the bans.
#[utoipa::path(
    get,
    path = "/channels/{name}/bans",
    operation_id = "list_bans",
    tag = "members",
    params(("name" = ChannelName, Path, description = "The channel."), Query),
    responses(
        (status = 200, description = "A page of bans, by uid.", body = BansBody),
        (status = 404, response = NotFound),
    ),
)]
pub(super) async fn bans(
    desk: Permitted<Read>,
    name: web::Path<String>,
    query: web::Query<Query>,
) -> Result<HttpResponse, Refusal> {
    let (after, limit) = query.page(&desk.limits)?;
    let (channel, _) = desk.channel(&name).await?;
    let (bans, more) = desk.lifecycle.bans(&channel, after.as_ref(), limit).await?;
    Ok(HttpResponse::Ok().json(BansBody { channel, bans, more }))
}

/// Bans somebody, who need not be a member.
#[utoipa::path(
    put,
    path = "/channels/{name}/bans/{uid}",
    tag = "members",
    params(("name" = ChannelName, Path, description = "The channel."), ("uid" = Uid, Path, description = "The member.")),
    responses(
        (status = 200, description = "The ban.", body = Ban),
        (status = 404, response = NotFound),
    ),
)]
pub(super) async fn ban(
    desk: Permitted<Write>,
    LoggedIn(actor): LoggedIn,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Refusal> {
    let (channel, uid) = desk.channel_and_uid(path).await?;
    let ban = desk.lifecycle.ban(&channel, &uid, &actor).await?;
    Ok(HttpResponse::Ok().json(ban))
}

/// Lifts a ban.
#[utoipa::path(
    delete,
    path = "/channels/{name}/bans/{uid}",
    tag = "members",
    params(("name" = ChannelName, Path, description = "The channel."), ("uid" = Uid, Path, description = "The member.")),
    responses(
        (status = 204, description = "The ban is lifted."),
        (status = 404, response = NotFound),
    ),
)]
pub(super) async fn unban(
    desk: Permitted<Write>,
    LoggedIn(actor): LoggedIn,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Refusal> {
    let (channel, uid) = desk.channel_and_uid(path).await?;
    desk.lifecycle.unban(&channel, &uid, &actor).await?;
    Ok(HttpResponse::NoContent().finish())
}
