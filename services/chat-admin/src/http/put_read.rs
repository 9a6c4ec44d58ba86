//! `PUT /v1/admin/channels/{name}/members/{uid}/read`: a member has read elsewhere, by e-mail for example.

use actix_web::{HttpResponse, web};
use goch_chassis::problem::Refusal;
use goch_contract::{
    ChannelName, Uid,
    rest::{ReadBody, ReadPositionBody},
    schemas::problems::NotFound,
    services::history,
};

use super::{Permitted, Write, member::unread};

/// Moves a member's read position forward.
///
/// It is no further than the channel's latest event, and never goes back: then the answer says where it is. Whoever has
/// the channel open is told as if the member had read there.
#[utoipa::path(
    put,
    path = "/channels/{name}/members/{uid}/read",
    operation_id = "put_read_position",
    tag = "members",
    params(("name" = ChannelName, Path, description = "The channel."), ("uid" = Uid, Path, description = "The member.")),
    request_body(content = ReadBody, example = json!({"seq": 120})),
    responses(
        (status = 200, description = "The position, and what is unread after it.", body = ReadPositionBody),
        (status = 404, response = NotFound),
    ),
)]
pub(super) async fn put_read(
    desk: Permitted<Write>,
    path: web::Path<(String, String)>,
    body: web::Json<ReadBody>,
) -> Result<HttpResponse, Refusal> {
    let (channel, uid) = desk.channel_and_uid(path).await?;
    let kind = desk.member(&channel, &uid).await?.kind();
    let asked = body.into_inner().seq;
    let request = history::Read { channel: channel.clone(), uid: uid.clone(), kind, seq: asked };
    let seq = desk.services.call(&request).await?;
    // One that was further already has moved nothing.
    if seq <= asked {
        desk.signaller.tell_read(channel.clone(), uid.clone(), seq).await;
    }
    let unread = unread(&desk, channel.clone(), uid.clone(), kind).await;
    let unread = unread.inspect_err(|error| tracing::debug!(%error, "a count is left out")).ok();
    Ok(HttpResponse::Ok().json(ReadPositionBody { channel, uid, seq, unread }))
}
