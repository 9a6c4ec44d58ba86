//! `/admin/channels/{name}/bans`: who may not join.

use actix_web::{HttpResponse, web};
use goch_chassis::problem::Refusal;
use goch_contract::rest::BansBody;

use super::Desk;

/// Lists the bans.
pub(super) async fn bans(
    desk: web::Data<Desk>,
    name: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    let (channel, _) = desk.channel(&name).await?;
    let bans = desk.lifecycle.bans(&channel).await?;
    Ok(HttpResponse::Ok().json(BansBody { channel, bans }))
}

/// Bans somebody, who need not be a member.
pub(super) async fn ban(
    desk: web::Data<Desk>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Refusal> {
    let (channel, uid) = desk.channel_and_uid(path).await?;
    let ban = desk.lifecycle.ban(&channel, &uid).await?;
    Ok(HttpResponse::Ok().json(ban))
}

/// Lifts a ban.
pub(super) async fn unban(
    desk: web::Data<Desk>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Refusal> {
    let (channel, uid) = desk.channel_and_uid(path).await?;
    desk.lifecycle.unban(&channel, &uid).await?;
    Ok(HttpResponse::NoContent().finish())
}
