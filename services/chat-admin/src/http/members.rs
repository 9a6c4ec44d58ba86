//! `GET /v1/admin/channels/{name}/members`: who is a member.

use actix_web::{HttpResponse, web};
use goch_chassis::problem::Refusal;
use goch_contract::{ChannelName, rest::AdminMembersBody, schemas::problems::NotFound};

use super::{Permitted, Read, by_uid::Query};
use crate::record::MemberRecord;

/// Lists the members, addresses included.
#[utoipa::path(
    get,
    path = "/channels/{name}/members",
    operation_id = "list_members",
    tag = "members",
    params(("name" = ChannelName, Path, description = "The channel."), Query),
    responses(
        (status = 200, description = "A page of members, by uid.", body = AdminMembersBody),
        (status = 404, response = NotFound),
    ),
)]
pub(super) async fn members(
    desk: Permitted<Read>,
    name: web::Path<String>,
    query: web::Query<Query>,
) -> Result<HttpResponse, Refusal> {
    let (after, limit) = query.page(&desk.limits)?;
    let (channel, _) = desk.channel(&name).await?;
    let page = desk.registry.members(&channel, after.as_ref(), limit).await?;
    let members = page.members.into_iter().map(MemberRecord::into_admin).collect();
    Ok(HttpResponse::Ok().json(AdminMembersBody { channel, members, more: page.more }))
}
