//! `GET /v1/admin/channels/{name}/members/{uid}`: a member, and how much is unread.

use actix_web::{HttpResponse, web};
use goch_chassis::problem::Refusal;
use goch_contract::{
    ChannelName, Error, PersonKind, Uid, rest::MemberBody, schemas::problems::NotFound,
    services::history::Unread,
};

use super::{Desk, Permitted, Read};

/// Answers with a member and the count of unread messages.
#[utoipa::path(
    get,
    path = "/channels/{name}/members/{uid}",
    operation_id = "show_member",
    tag = "members",
    params(("name" = ChannelName, Path, description = "The channel."), ("uid" = Uid, Path, description = "The member.")),
    responses(
        (status = 200, description = "The member.", body = MemberBody),
        (status = 404, response = NotFound),
    ),
)]
pub(super) async fn member(
    desk: Permitted<Read>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Refusal> {
    let (channel, uid) = desk.channel_and_uid(path).await?;
    let member = desk.member(&channel, &uid).await?.into_admin();
    // Who the member is can be told without the count.
    let unread = unread(&desk, channel.clone(), uid, member.kind).await;
    let unread = unread.inspect_err(|error| tracing::debug!(%error, "a count is left out")).ok();
    Ok(HttpResponse::Ok().json(MemberBody { channel, member, unread }))
}

/// The messages that a member has not read.
///
/// # Errors
/// `unavailable` when ingest-history cannot tell in time.
pub(super) async fn unread(
    desk: &Desk,
    channel: ChannelName,
    uid: Uid,
    kind: PersonKind,
) -> Result<u64, Error> {
    Ok(desk.services.call(&Unread { channel, uid, kind, fresh: true }).await?.count)
}
