//! `/admin/webhooks`: what ticketing is told. broker-bridge keeps them and does the telling.

use std::collections::BTreeSet;

use actix_web::{HttpResponse, web};
use goch_chassis::problem::Refusal;
use goch_contract::{
    Error,
    services::webhooks::{
        ChangeWebhook, CreateWebhook, DeadLetters, DeleteWebhook, ReplayDeadLetters, Webhooks,
    },
    webhook::{ChangeWebhookBody, CreateWebhookBody, EventKind, WebhooksBody},
};

use super::Desk;

/// Creates a webhook; the answer is the only one that has its secret.
pub(super) async fn create(
    desk: web::Data<Desk>,
    body: web::Json<CreateWebhookBody>,
) -> Result<HttpResponse, Refusal> {
    let CreateWebhookBody { url, events } = body.into_inner();
    let request = CreateWebhook { url, events: parse(&events)? };
    Ok(HttpResponse::Created().json(desk.services.call(&request).await?))
}

/// Lists all webhooks.
pub(super) async fn list(desk: web::Data<Desk>) -> Result<HttpResponse, Refusal> {
    let webhooks = desk.services.call(&Webhooks {}).await?;
    Ok(HttpResponse::Ok().json(WebhooksBody { webhooks }))
}

/// Shows a webhook.
pub(super) async fn show(
    desk: web::Data<Desk>,
    id: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    change_with(&desk, id.into_inner(), None, None, None).await
}

/// Changes a webhook.
pub(super) async fn change(
    desk: web::Data<Desk>,
    id: web::Path<String>,
    body: web::Json<ChangeWebhookBody>,
) -> Result<HttpResponse, Refusal> {
    let ChangeWebhookBody { url, events, enabled } = body.into_inner();
    let events = events.as_deref().map(parse).transpose()?;
    change_with(&desk, id.into_inner(), url, events, enabled).await
}

/// Enables a webhook, if it is not enabled.
pub(super) async fn enable(
    desk: web::Data<Desk>,
    id: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    change_with(&desk, id.into_inner(), None, None, Some(true)).await
}

async fn change_with(
    desk: &Desk,
    id: String,
    url: Option<String>,
    events: Option<BTreeSet<EventKind>>,
    enabled: Option<bool>,
) -> Result<HttpResponse, Refusal> {
    let request = ChangeWebhook { id, url, events, enabled };
    Ok(HttpResponse::Ok().json(desk.services.call(&request).await?))
}

/// Deletes a webhook.
pub(super) async fn delete(
    desk: web::Data<Desk>,
    id: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    desk.services.call(&DeleteWebhook { id: id.into_inner() }).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Lists what could not be delivered.
pub(super) async fn dead_letters(
    desk: web::Data<Desk>,
    id: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    let request = DeadLetters { webhook: id.into_inner() };
    Ok(HttpResponse::Ok().json(desk.services.call(&request).await?))
}

/// Has one dead letter tried once more.
pub(super) async fn replay(
    desk: web::Data<Desk>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Refusal> {
    let (webhook, id) = path.into_inner();
    desk.services.call(&ReplayDeadLetters { webhook, id: Some(id) }).await?;
    Ok(HttpResponse::Accepted().finish())
}

/// Has all dead letters tried once more.
pub(super) async fn replay_all(
    desk: web::Data<Desk>,
    id: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    desk.services.call(&ReplayDeadLetters { webhook: id.into_inner(), id: None }).await?;
    Ok(HttpResponse::Accepted().finish())
}

fn parse(words: &[String]) -> Result<BTreeSet<EventKind>, Error> {
    let kinds: Option<BTreeSet<_>> = words.iter().map(|word| EventKind::parse(word)).collect();
    kinds.filter(|kinds| !kinds.is_empty()).ok_or_else(|| {
        let known = EventKind::ALL.map(EventKind::as_str).join(", ");
        Error::bad_request("events", format!("events must be some of {known}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_events_and_none_at_all_are_refused() {
        let parse = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            parse(&words).map(|kinds| kinds.len()).map_err(|error| error.field)
        };
        assert_eq!(parse(&["message.created", "channel.closed", "channel.closed"]), Ok(2));
        for words in [&[][..], &["message.created", "message.pinned"], &[""]] {
            assert_eq!(parse(words), Err(Some("events".into())));
        }
    }
}
