//! `DELETE /admin/users/{uid}`: a person's data, in all channels.

use actix_web::{HttpResponse, web};
use goch_chassis::problem::Refusal;

use super::{Desk, progress};

/// Erases a person's data: 204 when nothing is left of it, 202 while some of it still goes.
pub(super) async fn erase_user(
    desk: web::Data<Desk>,
    uid: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    let uid = desk.limits.parse_uid("uid", &uid)?;
    Ok(progress(desk.lifecycle.erase(&uid).await?))
}
