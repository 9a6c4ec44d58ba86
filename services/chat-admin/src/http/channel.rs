//! `GET /v1/admin/channels/{name}`: one channel.

use actix_web::{HttpResponse, web};
use goch_chassis::problem::Refusal;
use goch_contract::{ChannelName, rest::ChannelBody, schemas::problems::NotFound};

use super::{Permitted, Read, channels::describe};

/// Answers with the channel, the number of its members and its last message.
#[utoipa::path(
    get,
    path = "/channels/{name}",
    operation_id = "show_channel",
    tag = "channels",
    params(("name" = ChannelName, Path, description = "The channel.")),
    responses(
        (status = 200, description = "The channel.", body = ChannelBody),
        (status = 404, response = NotFound),
    ),
)]
pub(super) async fn channel(
    desk: Permitted<Read>,
    name: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    let (_, channel) = desk.channel(&name).await?;
    Ok(HttpResponse::Ok().json(describe(&desk, channel).await?))
}
