//! `DELETE /v1/admin/accounts/{uid}` and `DELETE /v1/admin/channels/{name}/guests/{uid}`: one person's data.

use actix_web::{HttpResponse, web};
use goch_chassis::problem::Refusal;
use goch_contract::{ChannelName, Person, Uid};

use super::{Asked, Erase, LoggedIn, Permitted, progress};

/// Erases an account's data in all its channels: 204 when nothing is left of it, 202 while some of it still goes.
#[utoipa::path(
    delete,
    path = "/accounts/{uid}",
    tag = "personal data",
    params(("uid" = Uid, Path, description = "The account."), Asked),
    responses(
        (status = 202, description = "Some of it still goes; it is certain to be finished. Asking again tells how far it is."),
        (status = 204, description = "Nothing is left but bans and the suspension, also if there never was anything."),
    ),
)]
pub(super) async fn erase_account(
    desk: Permitted<Erase>,
    LoggedIn(actor): LoggedIn,
    uid: web::Path<String>,
    asked: web::Query<Asked>,
) -> Result<HttpResponse, Refusal> {
    let person = Person::Account(desk.account(&uid, &asked)?);
    Ok(progress(desk.lifecycle.erase(&person, &actor).await?))
}

/// Erases a guest's data in one channel: 204 when nothing is left of it, 202 while some of it still goes.
#[utoipa::path(
    delete,
    path = "/channels/{name}/guests/{uid}",
    tag = "personal data",
    params(("name" = ChannelName, Path, description = "The channel."), ("uid" = Uid, Path, description = "The guest, who may have left.")),
    responses(
        (status = 202, description = "Some of it still goes; it is certain to be finished. Asking again tells how far it is."),
        (status = 204, description = "Nothing is left but a ban, also if there never was anything."),
    ),
)]
pub(super) async fn erase_guest(
    desk: Permitted<Erase>,
    LoggedIn(actor): LoggedIn,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Refusal> {
    let (name, uid) = path.into_inner();
    // The channel need not be there: whatever was in it has gone with it.
    let channel = desk.name(&name)?;
    let person = Person::Guest(channel, desk.limits.parse_uid("uid", &uid)?);
    Ok(progress(desk.lifecycle.erase(&person, &actor).await?))
}
