//! Which replica delivers a lane of a webhook: the one whose name stands in the cursor.
//!
//! The holder renews the cursor, and loses it when another one has written there. The others watch
//! whether it changes: a clock is never compared with another host's.

use std::{sync::Arc, time::Duration};

use goch_contract::{Error, Seq};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    Webhooks,
    bucket::Revised,
    delivery::Delivery,
    record::{Cursor, Lane, WebhookRecord, key},
};

/// How often the holder renews.
pub(crate) const RENEW_EVERY: Duration = Duration::from_secs(3);

/// A holder that has not renewed for so long is dead.
const LEASE: Duration = Duration::from_secs(10);

/// How often it is looked whether the lane is free.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long one look may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(4);

/// Takes the lane whenever it is free, and delivers while it is held, until `stop`.
pub(crate) async fn run(
    context: Webhooks,
    webhook: Arc<WebhookRecord>,
    lane: Lane,
    stop: CancellationToken,
) {
    let mut watch = Watch::default();
    loop {
        let taking = timeout(LOOK_TIMEOUT, take(&context, &webhook, lane, &mut watch));
        match stop.run_until_cancelled(taking).await {
            None => return,
            Some(Ok(Ok(Some(held)))) => {
                let id = &webhook.id;
                tracing::debug!(webhook = id, lane = lane.as_str(), "delivering");
                let delivery = Delivery::new(context.clone(), Arc::clone(&webhook), lane, held);
                if let Err(error) = delivery.run(&stop).await {
                    tracing::warn!(webhook = id, lane = lane.as_str(), %error, "not delivering");
                }
            }
            Some(Ok(Ok(None))) => {}
            Some(Ok(Err(error))) => tracing::debug!(%error, "a webhook cannot be taken"),
            Some(Err(_)) => tracing::debug!("a webhook cannot be taken in time"),
        }
        if stop.run_until_cancelled(sleep(LOOK_EVERY)).await.is_none() {
            return;
        }
    }
}

/// The cursor as another replica last left it.
#[derive(Debug, Default)]
struct Watch(Option<(u64, Instant)>);

impl Watch {
    /// Whether a cursor has not changed for as long as this replica watches, and that is long.
    fn is_stale(&mut self, revision: u64) -> bool {
        match self.0 {
            Some((seen, since)) if seen == revision => since.elapsed() >= LEASE,
            _ => {
                self.0 = Some((revision, Instant::now()));
                false
            }
        }
    }
}

/// Takes the lane, if it is free.
async fn take(
    context: &Webhooks,
    webhook: &WebhookRecord,
    lane: Lane,
    watch: &mut Watch,
) -> Result<Option<Revised<Cursor>>, Error> {
    let key = key::lane(&webhook.id, lane);
    let Some(stored) = context.cursors.get(&key).await? else {
        let cursor = Cursor {
            log: context.log_created().await?,
            through: webhook.start(lane),
            holder: context.holder.clone(),
            renewals: 0,
            failing_since: None,
        };
        let revision = context.cursors.create(&key, &cursor).await?;
        return Ok(revision.map(|revision| Revised { revision, record: cursor }));
    };
    let Revised { revision, record: mut cursor } = stored;
    let is_free = cursor.holder.is_empty() || cursor.holder == context.holder;
    if !is_free && !watch.is_stale(revision) {
        return Ok(None);
    }
    let log = context.log_created().await?;
    if cursor.log != log {
        (cursor.log, cursor.through) = (log, Seq(0));
    }
    if cursor.failing_since.is_some_and(|since| since < webhook.enabled_at) {
        cursor.failing_since = None;
    }
    cursor.holder.clone_from(&context.holder);
    cursor.renewals += 1;
    let revision = context.cursors.replace(&key, &cursor, revision).await?;
    Ok(revision.map(|revision| Revised { revision, record: cursor }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_cursor_is_stale_only_if_it_did_not_change_while_it_was_watched() {
        let mut watch = Watch::default();
        assert!(!watch.is_stale(1));
        tokio::time::advance(LEASE).await;
        assert!(!watch.is_stale(2));
        tokio::time::advance(LEASE / 2).await;
        assert!(!watch.is_stale(2));
        tokio::time::advance(LEASE / 2).await;
        assert!(watch.is_stale(2));
    }
}
