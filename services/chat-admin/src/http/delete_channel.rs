//! `DELETE /v1/admin/channels/{name}`: a channel with everything of it.

use actix_web::{HttpResponse, web};
use goch_chassis::problem::Refusal;
use goch_contract::ChannelName;

use super::{Erase, LoggedIn, Permitted, progress};

/// Deletes a channel: 204 when nothing is left of it, also if there never was one, 202 while some of it still goes.
#[utoipa::path(
    delete,
    path = "/channels/{name}",
    tag = "channels",
    params(("name" = ChannelName, Path, description = "The channel.")),
    responses(
        (status = 202, description = "Some of it still goes; it is certain to be finished. Asking again tells how far it is."),
        (status = 204, description = "Nothing is left of it, or there never was one."),
    ),
)]
pub(super) async fn delete_channel(
    desk: Permitted<Erase>,
    LoggedIn(actor): LoggedIn,
    name: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    let name = desk.name(&name)?;
    Ok(progress(desk.lifecycle.delete_channel(&name, &actor).await?))
}
