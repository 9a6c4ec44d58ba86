//! `/v1/admin/webhooks`: what ticketing is told. broker-bridge keeps them and does the telling.

use std::collections::BTreeSet;

use actix_web::{HttpResponse, web};
use goch_chassis::problem::Refusal;
use goch_contract::{
    Error, Secret,
    limits::{Limits, page_limit},
    schemas::problems::{Conflict, NotFound},
    services::webhooks::{
        ChangeWebhook, CreateWebhook, DeadLetters, DeleteWebhook, ReplayDeadLetters,
        RotateWebhookSecret, Webhooks,
    },
    webhook::{
        CHANNELS_MAX, ChangeWebhookBody, ChannelPattern, CreateWebhookBody, DeadLettersBody,
        EventKind, OVERLAP_SECONDS_DEFAULT, OVERLAP_SECONDS_MAX, ReplayBody, RotateSecretBody,
        Webhook, WebhookWithSecret, WebhooksBody, parse_secret,
    },
};
use serde::Deserialize;

use super::{Permitted, Read, Write, limit_within, optional::Optional};

/// Creates a webhook; the answer is the only one that has its secret.
#[utoipa::path(
    post,
    path = "/webhooks",
    operation_id = "create_webhook",
    tag = "webhooks",
    request_body(content = CreateWebhookBody, example = json!({
        "url": "https://tickets.example.org/goch",
        "events": ["channel.closed", "message.created", "message.unread"],
        "channels": ["acme-*"],
    })),
    responses(
        (status = 200, description = "The webhook was created by an earlier request with the same secret.", body = WebhookWithSecret),
        (status = 201, description = "The webhook, with its secret.", body = WebhookWithSecret),
        (status = 409, response = Conflict),
    ),
)]
pub(super) async fn create(
    desk: Permitted<Write>,
    body: web::Json<CreateWebhookBody>,
) -> Result<HttpResponse, Refusal> {
    let CreateWebhookBody { url, events, channels, secret } = body.into_inner();
    let secret = made(secret.as_deref())?;
    let events = parse(&events)?;
    let channels = channels.map(|channels| parse_channels(&desk.limits, &channels)).transpose()?;
    let channels = channels.unwrap_or_else(|| [ChannelPattern::all()].into());
    let request = CreateWebhook {
        url,
        events,
        channels,
        tenant: desk.owner(),
        max: desk.rules.of(desk.principal().tenant.as_ref()).webhooks_max,
        secret,
    };
    let created = desk.services.call(&request).await?;
    let mut response = if created.is_new { HttpResponse::Created() } else { HttpResponse::Ok() };
    Ok(response.json(created.webhook))
}

/// The most webhooks of a page, which is also what it has if the request does not say.
const WEBHOOKS_LIMIT: usize = 100;

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Query {
    /// The page begins after this id.
    #[param(nullable = false, example = "5e1f0c3b9a7d2468")]
    after: Option<String>,
    /// The most webhooks of the page; 100 if left out.
    #[param(minimum = 1, maximum = 100, default = 100, nullable = false)]
    limit: Option<u64>,
}

/// Lists webhooks.
#[utoipa::path(
    get,
    path = "/webhooks",
    operation_id = "list_webhooks",
    tag = "webhooks",
    params(Query),
    responses(
        (status = 200, description = "A page, by id.", body = WebhooksBody),
    ),
)]
pub(super) async fn list(
    desk: Permitted<Read>,
    query: web::Query<Query>,
) -> Result<HttpResponse, Refusal> {
    let limit = limit_within(query.limit, WEBHOOKS_LIMIT, WEBHOOKS_LIMIT)?;
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    let after = query.into_inner().after;
    let request = Webhooks { tenant: desk.owner(), after, limit };
    Ok(HttpResponse::Ok().json(desk.services.call(&request).await?))
}

/// Shows a webhook.
#[utoipa::path(
    get,
    path = "/webhooks/{id}",
    operation_id = "show_webhook",
    tag = "webhooks",
    params(("id" = String, Path, description = "The webhook.")),
    responses(
        (status = 200, description = "The webhook.", body = Webhook),
        (status = 404, response = NotFound),
    ),
)]
pub(super) async fn show(
    desk: Permitted<Read>,
    id: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    let id = id.into_inner();
    let tenant = desk.owner();
    let request =
        ChangeWebhook { id, tenant, url: None, events: None, channels: None, enabled: None };
    Ok(HttpResponse::Ok().json(desk.services.call(&request).await?))
}

/// Changes a webhook.
#[utoipa::path(
    patch,
    path = "/webhooks/{id}",
    operation_id = "change_webhook",
    tag = "webhooks",
    params(("id" = String, Path, description = "The webhook.")),
    request_body(content = ChangeWebhookBody, example = json!({"enabled": false})),
    responses(
        (status = 200, description = "The webhook as it is now.", body = Webhook),
        (status = 404, response = NotFound),
    ),
)]
pub(super) async fn change(
    desk: Permitted<Write>,
    id: web::Path<String>,
    body: web::Json<ChangeWebhookBody>,
) -> Result<HttpResponse, Refusal> {
    let ChangeWebhookBody { url, events, channels, enabled } = body.into_inner();
    let events = events.as_deref().map(parse).transpose()?;
    let channels = channels.map(|channels| parse_channels(&desk.limits, &channels)).transpose()?;
    let request =
        ChangeWebhook { id: id.into_inner(), tenant: desk.owner(), url, events, channels, enabled };
    Ok(HttpResponse::Ok().json(desk.services.call(&request).await?))
}

/// Enables a webhook, if it is not enabled.
#[utoipa::path(
    post,
    path = "/webhooks/{id}/enable",
    operation_id = "enable_webhook",
    tag = "webhooks",
    params(("id" = String, Path, description = "The webhook.")),
    responses(
        (status = 200, description = "The webhook, which is enabled.", body = Webhook),
        (status = 404, response = NotFound),
    ),
)]
pub(super) async fn enable(
    desk: Permitted<Write>,
    id: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    let (id, tenant, enabled) = (id.into_inner(), desk.owner(), Some(true));
    let request = ChangeWebhook { id, tenant, url: None, events: None, channels: None, enabled };
    Ok(HttpResponse::Ok().json(desk.services.call(&request).await?))
}

/// Gives a webhook a new secret; the answer is the only one that has it.
///
/// Requests are signed with the new secret and, for the overlap, with those before it too: receivers
/// can change over at their leisure.
#[utoipa::path(
    post,
    path = "/webhooks/{id}/secret",
    operation_id = "rotate_webhook_secret",
    tag = "webhooks",
    params(("id" = String, Path, description = "The webhook.")),
    request_body(
        content = Option<RotateSecretBody>,
        description = "May be left out.",
        example = json!({"overlap_seconds": 3_600}),
    ),
    responses(
        (status = 200, description = "The webhook, with its new secret.", body = WebhookWithSecret),
        (status = 404, response = NotFound),
        (status = 409, response = Conflict),
    ),
)]
pub(super) async fn rotate_secret(
    desk: Permitted<Write>,
    id: web::Path<String>,
    body: Optional<RotateSecretBody>,
) -> Result<HttpResponse, Refusal> {
    let overlap_seconds = overlap(body.0.overlap_seconds)?;
    let secret = made(body.0.secret.as_deref())?;
    let (id, tenant) = (id.into_inner(), desk.owner());
    let request = RotateWebhookSecret { id, tenant, overlap_seconds, secret };
    Ok(HttpResponse::Ok().json(desk.services.call(&request).await?))
}

/// The secret that a request brings along, if it does.
fn made(secret: Option<&str>) -> Result<Option<Secret>, Error> {
    secret.map(|secret| parse_secret("secret", secret)).transpose()
}

fn overlap(seconds: Option<u64>) -> Result<u64, Error> {
    let seconds = seconds.unwrap_or(OVERLAP_SECONDS_DEFAULT);
    if seconds > OVERLAP_SECONDS_MAX {
        let reason = format!("overlap_seconds must be 0 to {OVERLAP_SECONDS_MAX}");
        return Err(Error::bad_request("overlap_seconds", reason));
    }
    Ok(seconds)
}

/// Deletes a webhook.
#[utoipa::path(
    delete,
    path = "/webhooks/{id}",
    operation_id = "delete_webhook",
    tag = "webhooks",
    params(("id" = String, Path, description = "The webhook.")),
    responses(
        (status = 204, description = "The webhook is deleted, with its dead letters."),
        (status = 404, response = NotFound),
    ),
)]
pub(super) async fn delete(
    desk: Permitted<Write>,
    id: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    desk.services.call(&DeleteWebhook { id: id.into_inner(), tenant: desk.owner() }).await?;
    Ok(HttpResponse::NoContent().finish())
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct DeadLettersQuery {
    /// The page begins after the dead letter that has this id, or had it.
    #[param(nullable = false, example = "event-7")]
    after: Option<String>,
    /// The most dead letters of the page; 100 if left out.
    #[param(minimum = 1, maximum = 500, default = 100, nullable = false)]
    limit: Option<u64>,
}

/// Lists a page of what could not be delivered.
#[utoipa::path(
    get,
    path = "/webhooks/{id}/dead-letters",
    operation_id = "list_dead_letters",
    tag = "webhooks",
    params(("id" = String, Path, description = "The webhook."), DeadLettersQuery),
    responses(
        (status = 200, description = "A page, rising by `seq`.", body = DeadLettersBody),
        (status = 404, response = NotFound),
    ),
)]
pub(super) async fn dead_letters(
    desk: Permitted<Read>,
    id: web::Path<String>,
    query: web::Query<DeadLettersQuery>,
) -> Result<HttpResponse, Refusal> {
    let DeadLettersQuery { after, limit } = query.into_inner();
    let after = after.filter(|after| !after.is_empty());
    let request = DeadLetters {
        webhook: id.into_inner(),
        tenant: desk.owner(),
        after,
        limit: page_limit(limit)?,
    };
    Ok(HttpResponse::Ok().json(desk.services.call(&request).await?))
}

/// Has one dead letter tried once more.
#[utoipa::path(
    post,
    path = "/webhooks/{id}/dead-letters/{letter}/replay",
    operation_id = "replay_dead_letter",
    tag = "webhooks",
    params(("id" = String, Path, description = "The webhook."), ("letter" = String, Path, description = "The dead letter.")),
    responses(
        (status = 202, description = "It will be tried."),
        (status = 404, response = NotFound),
        (status = 409, response = Conflict),
    ),
)]
pub(super) async fn replay(
    desk: Permitted<Write>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Refusal> {
    let (webhook, id) = path.into_inner();
    let tenant = desk.owner();
    desk.services.call(&ReplayDeadLetters { webhook, tenant, id: Some(id) }).await?;
    Ok(HttpResponse::Accepted().finish())
}

/// Has all dead letters tried once more.
#[utoipa::path(
    post,
    path = "/webhooks/{id}/dead-letters/replay",
    operation_id = "replay_dead_letters",
    tag = "webhooks",
    params(("id" = String, Path, description = "The webhook.")),
    responses(
        (status = 202, description = "Up to 500 will be tried: the first by `seq` of those that are not being tried.", body = ReplayBody),
        (status = 404, response = NotFound),
        (status = 409, response = Conflict),
    ),
)]
pub(super) async fn replay_all(
    desk: Permitted<Write>,
    id: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    let request = ReplayDeadLetters { webhook: id.into_inner(), tenant: desk.owner(), id: None };
    Ok(HttpResponse::Accepted().json(desk.services.call(&request).await?))
}

fn parse(words: &[String]) -> Result<BTreeSet<EventKind>, Error> {
    let kinds: Option<BTreeSet<_>> = words.iter().map(|word| EventKind::parse(word)).collect();
    kinds.filter(|kinds| !kinds.is_empty()).ok_or_else(|| {
        let known = EventKind::ALL.map(EventKind::as_str).join(", ");
        Error::bad_request("events", format!("events must be some of {known}"))
    })
}

/// The channels that a webhook is about.
fn parse_channels(limits: &Limits, words: &[String]) -> Result<BTreeSet<ChannelPattern>, Error> {
    if words.is_empty() || words.len() > CHANNELS_MAX {
        let reason = format!(
            "channels must have 1 to {CHANNELS_MAX} names, or beginnings of names with a * behind them"
        );
        return Err(Error::bad_request("channels", reason));
    }
    words.iter().map(|word| limits.parse_pattern("channels", word)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_names_and_beginnings_of_names_and_not_too_many() {
        let parse = |words: &[&str]| {
            let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
            parse_channels(&Limits::default(), &words).map_err(|error| error.field)
        };
        assert_eq!(
            parse(&["acme-*", "acme-*", "*", "other"]).map(|channels| channels.len()),
            Ok(3)
        );
        assert!(parse(&["c"; CHANNELS_MAX]).is_ok());
        for words in [&[][..], &["a b"], &["ok", ""], &["c"; CHANNELS_MAX + 1]] {
            assert_eq!(parse(words), Err(Some("channels".into())));
        }
    }

    #[test]
    fn an_overlap_is_a_day_unless_it_is_said_and_a_month_at_most() {
        assert_eq!(overlap(None), Ok(86_400));
        assert_eq!(overlap(Some(0)), Ok(0));
        assert_eq!(overlap(Some(2_592_000)), Ok(2_592_000));
        let refused = overlap(Some(2_592_001)).unwrap_err();
        assert_eq!(refused.field.as_deref(), Some("overlap_seconds"));
    }

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
