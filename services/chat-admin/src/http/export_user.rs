//! `GET /v1/admin/users/{uid}/export`: what is stored of a person, in all channels.

use actix_web::{HttpResponse, web};
use goch_chassis::problem::Refusal;
use goch_contract::{Error, Seq, Uid, rest::ExportBody, services::broker::Find};

use super::{
    Desk,
    channels::positioned,
    paged::{self, Page},
};

/// Events asked of the log at a time.
const PAGE: u32 = 200;

/// Answers with memberships and events as one JSON object.
#[utoipa::path(
    get,
    path = "/users/{uid}/export",
    tag = "personal data",
    params(("uid" = Uid, Path, description = "The person.")),
    responses(
        (status = 200, description = "What is stored of the person. An answer that ends without its end is not whole.", body = ExportBody),
    ),
)]
pub(super) async fn export_user(
    desk: web::Data<Desk>,
    uid: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    let uid = desk.limits.parse_uid("uid", &uid)?;
    let (memberships, more_memberships) = desk.lifecycle.memberships(&uid).await?;
    let body = ExportBody { uid: uid.clone(), memberships, more_memberships, events: Vec::new() };
    let frame = paged::json(&body);
    let services = desk.services.clone();
    let read = move |after: Seq| {
        let services = services.clone();
        let find = Find { uid: uid.clone(), after, limit: PAGE, shown: true };
        async move {
            let found = services.call(&find).await?;
            let events = found.events.iter().filter_map(positioned);
            let items = events.map(|event| event.get().to_owned()).collect();
            Ok::<_, Error>(Page { items, next: found.more.then_some(found.through) })
        }
    };
    paged::answer(frame, read).await
}
