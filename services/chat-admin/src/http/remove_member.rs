//! `DELETE /admin/channels/{name}/members/{uid}`: a member has to leave.

use actix_web::{HttpResponse, web};
use goch_chassis::problem::Refusal;

use super::Desk;

/// Removes a member, who may join again.
pub(super) async fn remove_member(
    desk: web::Data<Desk>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Refusal> {
    let (channel, uid) = desk.channel_and_uid(path).await?;
    desk.lifecycle.remove(&channel, &uid).await?;
    Ok(HttpResponse::NoContent().finish())
}
