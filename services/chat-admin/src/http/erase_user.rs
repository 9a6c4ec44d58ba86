//! `DELETE /v1/admin/users/{uid}`: a person's data, in all channels.

use actix_web::{HttpResponse, web};
use goch_chassis::problem::Refusal;
use goch_contract::Uid;

use super::{Desk, LoggedIn, progress};

/// Erases a person's data: 204 when nothing is left of it, 202 while some of it still goes.
#[utoipa::path(
    delete,
    path = "/users/{uid}",
    tag = "personal data",
    params(("uid" = Uid, Path, description = "The person.")),
    responses(
        (status = 202, description = "Some of it still goes; it is certain to be finished. Asking again tells how far it is."),
        (status = 204, description = "Nothing is left, also if there never was anything."),
    ),
)]
pub(super) async fn erase_user(
    desk: web::Data<Desk>,
    LoggedIn(actor): LoggedIn,
    uid: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    let uid = desk.limits.parse_uid("uid", &uid)?;
    Ok(progress(desk.lifecycle.erase(&uid, &actor).await?))
}
