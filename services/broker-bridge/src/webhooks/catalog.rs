//! What is asked and changed about webhooks.

use std::time::Duration;

use goch_contract::{
    Error, ErrorCode, Seq, UnixMillis,
    services::webhooks::{
        ChangeWebhook, CreateWebhook, DEAD_LETTERS_MAX, DeadLetters, DeleteWebhook,
        ReplayDeadLetters, RotateWebhookSecret, Webhooks as ListWebhooks,
    },
    webhook::{DeadLettersBody, EventKind, Webhook, WebhookWithSecret},
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{
    Webhooks,
    bucket::{Revised, erase, list},
    moment::until,
    no_randomness, random_id,
    record::{DeadRecord, Lane, Starts, WebhookRecord, key, parse_letter_id},
    secrets::{Secrets, random_secret},
};

/// The pause before something is tried again that failed on our side.
const PAUSE: Duration = Duration::from_secs(5);

/// The most webhooks: each costs this service a reader of the log.
const WEBHOOKS_MAX: usize = 50;

/// How often a change is tried anew because another one came first.
const ATTEMPTS_MAX: usize = 8;

/// Dead letters that are marked for replay in one request.
const REPLAYS_MAX: usize = 500;

impl Webhooks {
    /// Creates a webhook.
    ///
    /// # Errors
    /// `bad_request`; `conflict` when there are too many.
    pub(crate) async fn create(&self, request: CreateWebhook) -> Result<WebhookWithSecret, Error> {
        self.sender.check(&request.url)?;
        if list(&self.records, "*", WEBHOOKS_MAX).await?.len() == WEBHOOKS_MAX {
            let reason = format!("there can be at most {WEBHOOKS_MAX} webhooks");
            return Err(Error::new(ErrorCode::Conflict, reason));
        }
        let secret = random_secret()?;
        let last = self.log_last().await?;
        let now = UnixMillis::now();
        let record = WebhookRecord {
            id: random_id().map_err(|_| no_randomness())?,
            url: request.url,
            events: request.events,
            secrets: Secrets::new(secret.clone()),
            created_at: now,
            enabled_at: now,
            disabled_reason: None,
            starts: Starts { events: last, unread: last },
            replays: 0,
        };
        self.records.create(&record.id, &record).await?.ok_or_else(too_many_changes)?;
        tracing::info!(webhook = record.id, "webhook created");
        Ok(WebhookWithSecret { webhook: record.public(), secret })
    }

    /// All webhooks.
    ///
    /// # Errors
    /// `unavailable`.
    pub(crate) async fn all(&self, _request: ListWebhooks) -> Result<Vec<Webhook>, Error> {
        let records = list(&self.records, "*", usize::MAX).await?;
        let mut webhooks: Vec<_> = records.iter().map(|(_, record)| record.public()).collect();
        webhooks.sort_unstable_by(|one, other| {
            (one.created_at, &one.id).cmp(&(other.created_at, &other.id))
        });
        Ok(webhooks)
    }

    /// Changes a webhook, or looks at it.
    ///
    /// # Errors
    /// `not_found`; `bad_request`.
    pub(crate) async fn change(&self, request: ChangeWebhook) -> Result<Webhook, Error> {
        let ChangeWebhook { id, url, events, enabled } = request;
        if let Some(url) = &url {
            self.sender.check(url)?;
        }
        let starts_unread = |record: &WebhookRecord| {
            let wanted =
                |events: &std::collections::BTreeSet<_>| events.contains(&EventKind::MessageUnread);
            events.as_ref().is_some_and(wanted) && !wanted(&record.events)
        };
        let stored = self.webhook(&id).await?;
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
                match enabled {
                    Some(true) => record.disabled_reason = None,
                    Some(false) if record.disabled_reason.is_none() => {
                        record.disabled_reason = Some("on request".to_owned());
                    }
                    Some(false) | None => {}
                }
                let is_changed = url.is_some() || events.is_some() || enabled.is_some();
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
        let RotateWebhookSecret { id, overlap_seconds } = request;
        let secret = random_secret()?;
        let overlap = Duration::from_secs(overlap_seconds);
        let mut rotated = Ok(());
        let record = self
            .update(&id, |record| {
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
                Err(error) if error.code == ErrorCode::Unavailable => pause = PAUSE,
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
        let id = request.id;
        self.webhook(&id).await?;
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

    /// The oldest dead letters of a webhook.
    ///
    /// # Errors
    /// `not_found`; `unavailable`.
    pub(crate) async fn dead_letters(
        &self,
        request: DeadLetters,
    ) -> Result<DeadLettersBody, Error> {
        let id = request.webhook;
        self.webhook(&id).await?;
        let mut dead_letters = Vec::new();
        for lane in Lane::ALL {
            let filter = format!("{}.*", key::lane(&id, lane));
            let records = list(&self.dead, &filter, DEAD_LETTERS_MAX + 1).await?;
            dead_letters.extend(records.into_iter().map(|(_, record)| record.public(lane)));
        }
        dead_letters.sort_unstable_by(|one, other| (one.seq, &one.id).cmp(&(other.seq, &other.id)));
        let more = dead_letters.len() > DEAD_LETTERS_MAX;
        dead_letters.truncate(DEAD_LETTERS_MAX);
        Ok(DeadLettersBody { dead_letters, more })
    }

    /// Has dead letters tried again.
    ///
    /// # Errors
    /// `not_found`; `conflict` while the webhook is disabled; `unavailable`.
    pub(crate) async fn replay_dead_letters(
        &self,
        request: ReplayDeadLetters,
    ) -> Result<(), Error> {
        let webhook = self.webhook(&request.webhook).await?;
        if webhook.record.disabled_reason.is_some() {
            return Err(Error::new(
                ErrorCode::Conflict,
                "the webhook is disabled; enable it first",
            ));
        }
        let id = &request.webhook;
        if let Some(letter) = &request.id {
            let (lane, seq) = parse_letter_id(letter).ok_or_else(no_letter)?;
            let key = key::dead(id, lane, seq);
            let stored = self.dead.get(&key).await?.ok_or_else(no_letter)?;
            self.mark_for_replay(&key, stored.record).await?;
        } else {
            for (key, record) in list(&self.dead, &format!("{id}.>"), REPLAYS_MAX).await? {
                self.mark_for_replay(&key, record).await?;
            }
        }
        self.update(id, |record| {
            record.replays += 1;
            true
        })
        .await?;
        Ok(())
    }

    async fn mark_for_replay(&self, key: &str, record: DeadRecord) -> Result<(), Error> {
        self.dead.put(key, &DeadRecord { replay: true, ..record }).await
    }

    async fn webhook(&self, id: &str) -> Result<Revised<WebhookRecord>, Error> {
        let is_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let stored = if is_id { self.records.get(id).await? } else { None };
        stored.ok_or_else(|| {
            Error::of_field(ErrorCode::NotFound, "id", "there is no webhook of this id")
        })
    }

    /// Changes a record with `change`, which tells whether there is anything to change.
    async fn update(
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

fn log_away() -> Error {
    Error::unavailable("the log cannot be read now")
}

fn no_letter() -> Error {
    Error::of_field(ErrorCode::NotFound, "letter", "there is no dead letter of this id")
}

fn too_many_changes() -> Error {
    Error::unavailable("somebody else is changing the same; try again")
}
