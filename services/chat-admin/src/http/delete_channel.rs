//! `DELETE /admin/channels/{name}`: a channel with everything of it.

use actix_web::{HttpResponse, web};
use goch_chassis::problem::Refusal;

use super::{Desk, progress};

/// Deletes a channel: 204 when nothing is left of it, 202 while some of it still goes.
pub(super) async fn delete_channel(
    desk: web::Data<Desk>,
    name: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    let name = desk.limits.parse_channel("name", &name)?;
    Ok(progress(desk.lifecycle.delete_channel(&name).await?))
}
