//! `GET /admin/channels/{name}/members`: who is a member.

use actix_web::{HttpResponse, web};
use goch_chassis::problem::Refusal;
use goch_contract::rest::AdminMembersBody;

use super::Desk;
use crate::record::MemberRecord;

/// Lists the members, addresses included.
pub(super) async fn members(
    desk: web::Data<Desk>,
    name: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    let (channel, _) = desk.channel(&name).await?;
    let members = desk.registry.members(&channel).await?;
    let members = members.into_iter().map(MemberRecord::into_admin).collect();
    Ok(HttpResponse::Ok().json(AdminMembersBody { channel, members }))
}
