//! `GET /v1/admin/accounts/{uid}/export` and `GET /v1/admin/channels/{name}/guests/{uid}/export`: what is stored of one
//! person.

use actix_web::{HttpResponse, web};
use goch_chassis::problem::Refusal;
use goch_contract::{
    ChannelName, Error, Person, Seq, Uid,
    rest::{AccountExportBody, GuestExportBody},
    schemas::problems::NotFound,
    services::broker::Find,
};

use super::{
    Asked, Desk, Permitted, Read,
    channels::positioned,
    paged::{self, Frame, Page},
};

/// Events asked of the log at a time.
const PAGE: u32 = 200;

/// Answers with memberships and events of an account as one JSON object.
#[utoipa::path(
    get,
    path = "/accounts/{uid}/export",
    tag = "personal data",
    params(("uid" = Uid, Path, description = "The account."), Asked),
    responses(
        (status = 200, description = "What is stored of the account. An answer that ends without its end is not whole.", body = AccountExportBody),
    ),
)]
pub(super) async fn export_account(
    desk: Permitted<Read>,
    uid: web::Path<String>,
    asked: web::Query<Asked>,
) -> Result<HttpResponse, Refusal> {
    let account = desk.account(&uid, &asked)?;
    let suspension = desk.memberships.suspensions.find(&account).await?;
    let uid = account.uid.clone();
    let person = Person::Account(account);
    let (memberships, more_memberships) = desk.lifecycle.memberships(&person).await?;
    let suspended_at = suspension.map(|suspension| suspension.suspended_at);
    let body =
        AccountExportBody { uid, suspended_at, memberships, more_memberships, events: Vec::new() };
    answer(&desk, paged::json(&body), person).await
}

/// Answers with membership and events of a guest of one channel as one JSON object.
#[utoipa::path(
    get,
    path = "/channels/{name}/guests/{uid}/export",
    tag = "personal data",
    params(("name" = ChannelName, Path, description = "The channel."), ("uid" = Uid, Path, description = "The guest, who may have left.")),
    responses(
        (status = 200, description = "What is stored of the guest. An answer that ends without its end is not whole.", body = GuestExportBody),
        (status = 404, response = NotFound),
    ),
)]
pub(super) async fn export_guest(
    desk: Permitted<Read>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Refusal> {
    let (channel, uid) = desk.channel_and_uid(path).await?;
    let person = Person::Guest(channel.clone(), uid.clone());
    let (memberships, _) = desk.lifecycle.memberships(&person).await?;
    let body = GuestExportBody { channel, uid, memberships, events: Vec::new() };
    answer(&desk, paged::json(&body), person).await
}

/// The frame with the person's events.
async fn answer(desk: &Desk, frame: Frame, person: Person) -> Result<HttpResponse, Refusal> {
    let services = desk.services.clone();
    let read = move |after: Seq| {
        let services = services.clone();
        let find = Find { person: person.clone(), after, limit: PAGE, shown: true };
        async move {
            let found = services.call(&find).await?;
            let events = found.events.iter().filter_map(positioned);
            let items = events.map(|event| event.get().to_owned()).collect();
            Ok::<_, Error>(Page { items, next: found.more.then_some(found.through) })
        }
    };
    paged::answer(frame, read).await
}
