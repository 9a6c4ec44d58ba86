//! `POST /admin/channels`: a ticket was opened.

use actix_web::{HttpResponse, web};
use goch_chassis::problem::Refusal;
use goch_contract::rest::CreateChannelBody;

use super::Desk;

/// Creates a channel.
pub(super) async fn create_channel(
    desk: web::Data<Desk>,
    body: web::Json<CreateChannelBody>,
) -> Result<HttpResponse, Refusal> {
    let name = desk.limits.parse_channel("name", &body.name)?;
    let created = desk.lifecycle.create(&desk.registry, name, body.is_private).await?;
    Ok(HttpResponse::Created().json(created))
}
