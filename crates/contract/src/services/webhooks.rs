//! Requests to broker-bridge about webhooks. They come from chat-admin, which shows them to ticketing.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Service, ServiceRequest};
use crate::{
    ids::{Secret, TenantName},
    webhook::{
        ChannelPattern, DeadLettersBody, EventKind, ReplayBody, Webhook, WebhookWithSecret,
        WebhooksBody,
    },
};

macro_rules! request {
    ($request:ty, $endpoint:literal, $response:ty) => {
        impl ServiceRequest for $request {
            const SERVICE: Service = Service::Broker;
            const ENDPOINT: &'static str = $endpoint;
            type Response = $response;
        }
    };
}

/// Create a webhook, which is sent what happens from now on.
///
/// Refused with `bad_request` for a URL that requests may not be sent to, and with `conflict` for too many webhooks, or a
/// secret that another one has.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CreateWebhook {
    /// Where events are sent.
    pub url: String,
    /// Which events are sent.
    pub events: BTreeSet<EventKind>,
    /// Of which channels.
    pub channels: BTreeSet<ChannelPattern>,
    /// Whose it is; of whoever operates the installation if left out.
    #[serde(default)]
    pub tenant: Option<TenantName>,
    /// How many of the same tenant there may be; as many as an installation may have if left out.
    #[serde(default)]
    pub max: Option<u32>,
    /// What requests are signed with, if ticketing has made it: whoever asks again with it asks for the same webhook.
    pub secret: Option<Secret>,
}

/// A webhook that was created, now or by an earlier request that was the same.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CreatedWebhook {
    /// The webhook.
    pub webhook: WebhookWithSecret,
    /// Whether it was created now.
    pub is_new: bool,
}

request!(CreateWebhook, "create_webhook", CreatedWebhook);

/// A page of webhooks, by id.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Webhooks {
    /// Whose webhooks; all if left out.
    #[serde(default)]
    pub tenant: Option<TenantName>,
    /// The page begins after this id.
    pub after: Option<String>,
    /// The most webhooks of the page, which ends earlier if they are large.
    pub limit: u32,
}

request!(Webhooks, "webhooks", WebhooksBody);

/// Change a webhook, or look at it: what is left out stays. One that is enabled goes on where it
/// stopped, and tries at once what it waited for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ChangeWebhook {
    /// Which one.
    pub id: String,
    /// Whose it has to be; anybody's if left out.
    #[serde(default)]
    pub tenant: Option<TenantName>,
    /// Where events are sent.
    pub url: Option<String>,
    /// Which events are sent.
    pub events: Option<BTreeSet<EventKind>>,
    /// Of which channels.
    pub channels: Option<BTreeSet<ChannelPattern>>,
    /// Whether anything is sent.
    pub enabled: Option<bool>,
}

request!(ChangeWebhook, "change_webhook", Webhook);

/// Give a webhook a new secret. Those before it go on signing for the overlap, or for what is left of
/// theirs.
///
/// Refused with `conflict` while too many sign already.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RotateWebhookSecret {
    /// Which one.
    pub id: String,
    /// Whose it has to be; anybody's if left out.
    #[serde(default)]
    pub tenant: Option<TenantName>,
    /// The overlap; 0 ends the secrets before at once.
    pub overlap_seconds: u64,
    /// The new secret, if ticketing has made it: nothing changes if the webhook has it already.
    pub secret: Option<Secret>,
}

request!(RotateWebhookSecret, "rotate_webhook_secret", WebhookWithSecret);

/// Delete a webhook with all that is kept for it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeleteWebhook {
    /// Which one.
    pub id: String,
    /// Whose it has to be; anybody's if left out.
    #[serde(default)]
    pub tenant: Option<TenantName>,
}

request!(DeleteWebhook, "delete_webhook", ());

/// A page of a webhook's dead letters, in the order of the log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeadLetters {
    /// Of which webhook.
    pub webhook: String,
    /// Whose the webhook has to be; anybody's if left out.
    #[serde(default)]
    pub tenant: Option<TenantName>,
    /// The page begins after the dead letter that has this id, or had it.
    pub after: Option<String>,
    /// The most dead letters of the page, at most [`crate::limits::PAGE_MAX`].
    pub limit: u32,
}

request!(DeadLetters, "dead_letters", DeadLettersBody);

/// Try once more to deliver dead letters. Those that are delivered are dead letters no longer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReplayDeadLetters {
    /// Of which webhook.
    pub webhook: String,
    /// Whose the webhook has to be; anybody's if left out.
    #[serde(default)]
    pub tenant: Option<TenantName>,
    /// Which one; all if it is left out.
    pub id: Option<String>,
}

request!(ReplayDeadLetters, "replay_dead_letters", ReplayBody);
