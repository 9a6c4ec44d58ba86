//! `GET /v1/admin/channels/{name}/presence`: who is online.

use actix_web::{HttpResponse, web};
use goch_chassis::problem::Refusal;
use goch_contract::{ChannelName, rest::PresenceBody, schemas::problems::NotFound};

use super::{Permitted, Read};

/// Lists the members who are subscribed to the channel at any gateway.
#[utoipa::path(
    get,
    path = "/channels/{name}/presence",
    operation_id = "show_presence",
    tag = "members",
    params(("name" = ChannelName, Path, description = "The channel.")),
    responses(
        (status = 200, description = "Who is online, by uid.", body = PresenceBody),
        (status = 404, response = NotFound),
    ),
)]
pub(super) async fn presence(
    desk: Permitted<Read>,
    name: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    let (channel, _) = desk.channel(&name).await?;
    let (online, more) = desk.presence.online(&channel).await?;
    Ok(HttpResponse::Ok().json(PresenceBody { channel, online, more }))
}
