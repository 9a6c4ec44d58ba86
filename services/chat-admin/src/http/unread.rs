//! `GET /admin/channels/{name}/user/{uid}`: how many messages has a member not read?

use actix_web::{HttpResponse, web};
use goch_chassis::problem::Refusal;
use goch_contract::{
    ChannelName, Error, ErrorCode, Uid, rest::UnreadBody, schemas::problems::NotFound,
    services::history::Unread,
};

use super::Desk;

/// Counts a member's unread messages.
#[utoipa::path(
    get,
    path = "/admin/channels/{name}/user/{uid}",
    operation_id = "count_unread",
    tag = "members",
    params(("name" = ChannelName, Path, description = "The channel."), ("uid" = Uid, Path, description = "The member.")),
    responses(
        (status = 200, description = "The count.", body = UnreadBody),
        (status = 404, response = NotFound),
    ),
)]
pub(super) async fn unread(
    desk: web::Data<Desk>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Refusal> {
    let (channel, uid) = desk.channel_and_uid(path).await?;
    if desk.registry.member(&channel, &uid).await?.is_none() {
        let message = "there is no member of this uid";
        return Err(Error::of_field(ErrorCode::NotFound, "uid", message).into());
    }
    let unread = desk.services.call(&Unread { channel, uid, fresh: true }).await?;
    Ok(HttpResponse::Ok().json(UnreadBody { count: unread.count }))
}
