//! `GET /admin/channels/{name}/presence`: who is online.

use actix_web::{HttpResponse, web};
use goch_chassis::problem::Refusal;
use goch_contract::rest::PresenceBody;

use super::Desk;

/// Lists the members who are subscribed to the channel at any gateway.
pub(super) async fn presence(
    desk: web::Data<Desk>,
    name: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    let (channel, _) = desk.channel(&name).await?;
    let (online, more) = desk.presence.online(&channel).await?;
    Ok(HttpResponse::Ok().json(PresenceBody { channel, online, more }))
}
