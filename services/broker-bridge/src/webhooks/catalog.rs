//! What is asked and changed about webhooks.

use std::time::Duration;

use goch_contract::{
    Error, ErrorCode, Secret, Seq, TenantName, UnixMillis,
    ids::{hex, random_hex},
    services::{
        history::PAGE_BYTES_MAX,
        webhooks::{
            ChangeWebhook, CreateWebhook, CreatedWebhook, DeleteWebhook, RotateWebhookSecret,
            Webhooks as ListWebhooks,
        },
    },
    webhook::{EventKind, Webhook, WebhookWithSecret, WebhooksBody},
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{
    ID_BYTES, POSTPONED, Webhooks,
    bucket::{Revised, erase, list},
    moment::until,
    no_randomness, random_id,
    record::{Lane, Starts, WebhookRecord, key},
    secrets::{Secrets, random_secret},
};

/// The most webhooks of a tenant, or of whoever operates the installation, unless there is a quota.
const WEBHOOKS_MAX: usize = 50;

/// The most webhooks of all tenants together: each costs this service a reader of the log. The installation's own are
/// not among them, so that no tenant can take their places.
const ALL_WEBHOOKS_MAX: usize = 500;

/// Random bytes of what the ids of a webhook's requests are made with.
const ID_KEY_BYTES: usize = 16;

/// How often a change is tried anew because another one came first.
const ATTEMPTS_MAX: usize = 8;

impl Webhooks {
    /// Creates a webhook, unless the same request has created it before.
    ///
    /// # Errors
    /// `bad_request`; `conflict` when there are too many, or the secret is another one's.
    pub(crate) async fn create(&self, request: CreateWebhook) -> Result<CreatedWebhook, Error> {
        self.sender.check(&request.url)?;
        // A secret that is brought along gives the id, so of any number of requests with it one creates the webhook.
        let id = match &request.secret {
            Some(secret) => id_of(secret),
            None => random_id().map_err(|_| no_randomness())?,
        };
        if let Some(known) = self.records.get(&id).await? {
            return created_before(&known.record, request);
        }
        let all = list(&self.records, "*", usize::MAX).await?;
        let max =
            request.max.map_or(WEBHOOKS_MAX, |max| usize::try_from(max).unwrap_or(usize::MAX));
        let of_tenant = all.iter().filter(|(_, record)| record.tenant == request.tenant).count();
        let of_tenants = all.iter().filter(|(_, record)| record.tenant.is_some()).count();
        let is_tenants = request.tenant.is_some();
        let of_all = if is_tenants { of_tenants } else { 0 };
        for (count, max) in [(of_tenant, max), (of_all, ALL_WEBHOOKS_MAX)] {
            if count >= max {
                let reason = format!("there can be at most {max} webhooks");
                return Err(Error::new(ErrorCode::Conflict, reason));
            }
        }
        let secret = request.secret.clone().map_or_else(random_secret, Ok)?;
        let last = self.log_last().await?;
        let now = UnixMillis::now();
        let record = WebhookRecord {
            id,
            id_key: random_hex::<ID_KEY_BYTES>()?,
            url: request.url.clone(),
            events: request.events.clone(),
            channels: request.channels.clone(),
            tenant: request.tenant.clone(),
            secrets: Secrets::new(secret.clone()),
            created_at: now,
            enabled_at: now,
            disabled_reason: None,
            starts: Starts { events: last, unread: last },
            replays: 0,
        };
        if self.records.create(&record.id, &record).await?.is_none() {
            let known = self.records.get(&record.id).await?.ok_or_else(too_many_changes)?;
            return created_before(&known.record, request);
        }
        tracing::info!(webhook = record.id, "webhook created");
        let webhook = WebhookWithSecret { webhook: record.public(), secret };
        Ok(CreatedWebhook { webhook, is_new: true })
    }

    /// A page of all webhooks, or of a tenant's, by id.
    ///
    /// # Errors
    /// `unavailable`.
    pub(crate) async fn all(&self, request: ListWebhooks) -> Result<WebhooksBody, Error> {
        let ListWebhooks { tenant, after, limit } = request;
        let records = list(&self.records, "*", usize::MAX).await?;
        let visible = records.iter().filter(|(_, record)| record.is_visible_to(tenant.as_ref()));
        let mut found: Vec<_> = visible.map(|(_, record)| record.public()).collect();
        found.retain(|webhook| after.as_ref().is_none_or(|after| webhook.id > *after));
        found.sort_unstable_by(|one, other| one.id.cmp(&other.id));
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let (mut webhooks, mut bytes, count) = (Vec::new(), 0, found.len());
        for webhook in found.into_iter().take(limit) {
            bytes += serde_json::to_vec(&webhook).map_or(0, |json| json.len());
            // An answer has to fit into a message of NATS.
            if bytes > PAGE_BYTES_MAX && !webhooks.is_empty() {
                break;
            }
            webhooks.push(webhook);
        }
        let more = webhooks.len() < count;
        Ok(WebhooksBody { webhooks, more })
    }

    /// Changes a webhook, or looks at it.
    ///
    /// # Errors
    /// `not_found`; `bad_request`.
    pub(crate) async fn change(&self, request: ChangeWebhook) -> Result<Webhook, Error> {
        let ChangeWebhook { id, tenant, url, events, channels, enabled } = request;
        if let Some(url) = &url {
            self.sender.check(url)?;
        }
        let starts_unread = |record: &WebhookRecord| {
            let wanted =
                |events: &std::collections::BTreeSet<_>| events.contains(&EventKind::MessageUnread);
            events.as_ref().is_some_and(wanted) && !wanted(&record.events)
        };
        let stored = self.webhook_of(tenant.as_ref(), &id).await?;
        let last = if starts_unread(&stored.record) {
            // What was unread before nobody asked for.
            erase(&self.cursors, &key::lane(&id, Lane::Unread)).await?;
            Some(self.log_last().await?)
        } else {
            None
        };
        let record = self
            .update(&id, |record| {
                if let Some(last) = last {
                    record.starts.unread = last;
                }
                if let Some(url) = &url {
                    record.url.clone_from(url);
                }
                if let Some(events) = &events {
                    record.events.clone_from(events);
                }
                if let Some(channels) = &channels {
                    record.channels.clone_from(channels);
                }
                match enabled {
                    Some(true) => record.disabled_reason = None,
                    Some(false) if record.disabled_reason.is_none() => {
                        record.disabled_reason = Some("on request".to_owned());
                    }
                    Some(false) | None => {}
                }
                let is_changed =
                    url.is_some() || events.is_some() || channels.is_some() || enabled.is_some();
                if is_changed {
                    record.enabled_at = UnixMillis::now();
                }
                is_changed
            })
            .await?;
        Ok(record.public())
    }

    /// Gives a webhook a new secret.
    ///
    /// # Errors
    /// `not_found`; `conflict` while too many secrets sign; `unavailable`: then it may have been given
    /// one that nobody knows, which does no harm, because those before it still sign.
    pub(crate) async fn rotate_secret(
        &self,
        request: RotateWebhookSecret,
    ) -> Result<WebhookWithSecret, Error> {
        let RotateWebhookSecret { id, tenant, overlap_seconds, secret } = request;
        self.webhook_of(tenant.as_ref(), &id).await?;
        let is_given = secret.is_some();
        let secret = secret.map_or_else(random_secret, Ok)?;
        let overlap = Duration::from_secs(overlap_seconds);
        let mut rotated = Ok(());
        let record = self
            .update(&id, |record| {
                if is_given && record.secrets.is_current(&secret) {
                    rotated = Ok(());
                    return false;
                }
                let now = UnixMillis::now();
                rotated = record.secrets.rotate(secret.clone(), now, overlap);
                // What was refused for its signature may be tried again.
                record.enabled_at = now;
                rotated.is_ok()
            })
            .await?;
        rotated?;
        tracing::info!(webhook = id, overlap_seconds, "webhook has a new secret");
        Ok(WebhookWithSecret { webhook: record.public(), secret })
    }

    /// Removes the secrets of a webhook that sign no more, each when its time is over, until `stop` or
    /// until something has changed. Every replica does so, and the first one changes the record.
    pub(crate) async fn forget_expired_secrets(
        &self,
        webhook: &WebhookRecord,
        stop: &CancellationToken,
    ) {
        let Some(expiry) = webhook.secrets.next_expiry() else { return };
        let mut pause = until(expiry);
        while stop.run_until_cancelled(sleep(pause)).await.is_some() {
            let now = UnixMillis::now().max(expiry);
            let forget = |record: &mut WebhookRecord| record.secrets.forget_expired(now);
            match self.update(&webhook.id, forget).await {
                Err(error) if error.code == ErrorCode::Unavailable => pause = POSTPONED,
                _ => return,
            }
        }
    }

    /// Disables a webhook that failed.
    ///
    /// # Errors
    /// `not_found`; `unavailable`.
    pub(crate) async fn disable(&self, id: &str, reason: &str) -> Result<(), Error> {
        self.update(id, |record| {
            let was_enabled = record.disabled_reason.is_none();
            record.disabled_reason.get_or_insert_with(|| reason.to_owned());
            was_enabled
        })
        .await?;
        self.metrics.disabled.inc();
        tracing::warn!(webhook = id, reason, "webhook disabled");
        Ok(())
    }

    /// Deletes a webhook with all that is kept for it.
    ///
    /// # Errors
    /// `not_found`; `unavailable`.
    pub(crate) async fn delete(&self, request: DeleteWebhook) -> Result<(), Error> {
        let DeleteWebhook { id, tenant } = request;
        self.webhook_of(tenant.as_ref(), &id).await?;
        self.records.remove(&id, None).await?;
        tracing::info!(webhook = id, "webhook deleted");
        // Whoever delivers it does so again once it has stopped.
        self.erase_all_of(&id).await
    }

    /// Removes the cursors, backlogs and dead letters of a webhook.
    pub(crate) async fn erase_all_of(&self, id: &str) -> Result<(), Error> {
        erase(&self.cursors, &format!("{id}.>")).await?;
        erase(&self.dead, &format!("{id}.>")).await
    }

    /// A webhook that is there for a tenant, or for whoever operates the installation. One never changes its tenant.
    pub(super) async fn webhook_of(
        &self,
        tenant: Option<&TenantName>,
        id: &str,
    ) -> Result<Revised<WebhookRecord>, Error> {
        let stored = self.webhook(id).await?;
        let is_visible = stored.record.is_visible_to(tenant);
        is_visible.then_some(stored).ok_or_else(no_webhook)
    }

    async fn webhook(&self, id: &str) -> Result<Revised<WebhookRecord>, Error> {
        let is_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let stored = if is_id { self.records.get(id).await? } else { None };
        stored.ok_or_else(no_webhook)
    }

    /// Changes a record with `change`, which tells whether there is anything to change.
    pub(super) async fn update(
        &self,
        id: &str,
        mut change: impl FnMut(&mut WebhookRecord) -> bool,
    ) -> Result<WebhookRecord, Error> {
        for _ in 0..ATTEMPTS_MAX {
            let Revised { revision, mut record } = self.webhook(id).await?;
            if !change(&mut record) || self.records.replace(id, &record, revision).await?.is_some()
            {
                return Ok(record);
            }
        }
        Err(too_many_changes())
    }

    /// The log's last event.
    async fn log_last(&self) -> Result<Seq, Error> {
        let info = self.replay.log().get_info().await.map_err(|_| log_away())?;
        Ok(Seq(info.state.last_sequence))
    }

    /// When the log was created, in Unix seconds.
    pub(crate) async fn log_created(&self) -> Result<i64, Error> {
        let info = self.replay.log().get_info().await.map_err(|_| log_away())?;
        Ok(info.created.unix_timestamp())
    }
}

fn no_webhook() -> Error {
    Error::of_field(ErrorCode::NotFound, "id", "there is no webhook of this id")
}

/// The id of a webhook whose first secret was brought along.
fn id_of(secret: &Secret) -> String {
    let digest = Secret::new(format!("webhook {}", secret.expose())).digest();
    let bytes = digest.as_bytes().iter().take(ID_BYTES).copied();
    hex(&bytes.collect::<Vec<_>>())
}

/// The webhook that a request has created before.
///
/// # Errors
/// `conflict` if it is no longer what the request asks for.
fn created_before(record: &WebhookRecord, request: CreateWebhook) -> Result<CreatedWebhook, Error> {
    let CreateWebhook { url, events, channels, tenant, max: _, secret } = request;
    let secret = secret.filter(|secret| record.secrets.is_current(secret));
    let is_same = record.url == url
        && record.events == events
        && record.channels == channels
        && record.tenant == tenant;
    let secret = secret.filter(|_| is_same);
    let secret = secret.ok_or_else(|| {
        let reason = "a webhook was created with this secret, and is another one by now";
        Error::of_field(ErrorCode::Conflict, "secret", reason)
    })?;
    let webhook = WebhookWithSecret { webhook: record.public(), secret };
    Ok(CreatedWebhook { webhook, is_new: false })
}

fn log_away() -> Error {
    Error::unavailable("the log cannot be read now")
}

fn too_many_changes() -> Error {
    Error::unavailable("somebody else is changing the same; try again")
}
