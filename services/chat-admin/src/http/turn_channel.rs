//! `POST /admin/channels/{name}/close` and `/reopen`: a ticket was solved, or is not after all.

use actix_web::{HttpResponse, web};
use goch_chassis::problem::Refusal;

use super::{Desk, channels::describe};

/// Closes the channel, if it is not closed.
pub(super) async fn close(
    desk: web::Data<Desk>,
    name: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    turn(&desk, &name, true).await
}

/// Reopens the channel, if it is closed.
pub(super) async fn reopen(
    desk: web::Data<Desk>,
    name: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    turn(&desk, &name, false).await
}

async fn turn(desk: &Desk, name: &str, close: bool) -> Result<HttpResponse, Refusal> {
    let name = desk.limits.parse_channel("name", name)?;
    let channel = desk.lifecycle.turn(&name, close).await?;
    let members = desk.registry.members(&name).await?;
    let mut described = describe(&desk.services, vec![(channel, members)]).await;
    Ok(HttpResponse::Ok().json(described.pop()))
}
