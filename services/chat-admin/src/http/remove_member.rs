//! `DELETE /v1/admin/channels/{name}/members/{uid}`: a member has to leave.

use actix_web::{HttpResponse, web};
use goch_chassis::problem::Refusal;
use goch_contract::{ChannelName, Uid, schemas::problems::NotFound};

use super::{LoggedIn, Permitted, Write};

/// Removes a member, who may join again.
#[utoipa::path(
    delete,
    path = "/channels/{name}/members/{uid}",
    tag = "members",
    params(("name" = ChannelName, Path, description = "The channel."), ("uid" = Uid, Path, description = "The member.")),
    responses(
        (status = 204, description = "The member is removed."),
        (status = 404, response = NotFound),
    ),
)]
pub(super) async fn remove_member(
    desk: Permitted<Write>,
    LoggedIn(actor): LoggedIn,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Refusal> {
    let (channel, uid) = desk.channel_and_uid(path).await?;
    desk.lifecycle.remove(&channel, &uid, &actor).await?;
    Ok(HttpResponse::NoContent().finish())
}
