//! `GET /admin/users/{uid}/export`: what is stored of a person, in all channels.

use actix_web::{HttpResponse, web};
use goch_chassis::problem::Refusal;
use goch_contract::{Error, Seq, Uid, rest::Membership, services::broker::Find};
use serde_json::json;

use super::{
    Desk,
    channels::positioned,
    paged::{self, Frame, Page},
};

/// Events asked of the log at a time.
const PAGE: u32 = 200;

/// Answers with memberships and events as one JSON object.
pub(super) async fn export_user(
    desk: web::Data<Desk>,
    uid: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    let uid = desk.limits.parse_uid("uid", &uid)?;
    let memberships = desk.lifecycle.memberships(&uid).await?;
    let frame = Frame {
        content_type: "application/json",
        head: head(&uid, &memberships),
        between: ",",
        tail: "]}",
    };
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

/// The object up to its list of events.
fn head(uid: &Uid, memberships: &[Membership]) -> String {
    let mut head = json!({ "uid": uid, "memberships": memberships }).to_string();
    head.pop();
    head.push_str(",\"events\":[");
    head
}
