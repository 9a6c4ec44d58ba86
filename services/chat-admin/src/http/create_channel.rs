//! `POST /admin/channels`: a ticket was opened.

use actix_web::{HttpResponse, web};
use goch_chassis::problem::Refusal;
use goch_contract::{
    rest::{CreateChannelBody, CreatedChannelBody},
    schemas::problems::Conflict,
};

use super::{Desk, LoggedIn};

/// Creates a channel.
#[utoipa::path(
    post,
    path = "/admin/channels",
    tag = "channels",
    request_body(content = CreateChannelBody, example = json!({"name": "ticket-42", "is_private": true})),
    responses(
        (status = 201, description = "The channel is created.", body = CreatedChannelBody),
        (status = 409, response = Conflict),
    ),
)]
pub(super) async fn create_channel(
    desk: web::Data<Desk>,
    LoggedIn(actor): LoggedIn,
    body: web::Json<CreateChannelBody>,
) -> Result<HttpResponse, Refusal> {
    let name = desk.limits.parse_channel("name", &body.name)?;
    let created = desk.lifecycle.create(&desk.registry, name, body.is_private, &actor).await?;
    Ok(HttpResponse::Created().json(created))
}
