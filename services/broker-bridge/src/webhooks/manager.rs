//! Follows the bucket of webhooks, and has each that is enabled delivered.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::{
    StreamExt as _,
    future::{join, join_all},
};
use goch_chassis::{
    Chassis,
    bucket::{Change, Changes, FollowError},
};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Webhooks,
    bucket::RULES,
    lane,
    record::{Lane, WebhookRecord},
};

/// The pause before the bucket is followed anew.
const PAUSE: Duration = Duration::from_secs(1);

/// Why the bucket has to be followed anew.
#[derive(Debug, thiserror::Error)]
enum Interrupted {
    #[error(transparent)]
    Follow(#[from] FollowError),
    #[error("NATS did not answer in time")]
    TooLong,
    #[error("there are no more changes")]
    Ended,
}

/// See the module.
pub(crate) struct Manager {
    chassis: Chassis,
    context: Webhooks,
    running: HashMap<String, Running>,
}

/// The lanes of a webhook as it was at `revision`.
struct Running {
    revision: u64,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Manager {
    pub(crate) fn new(chassis: &Chassis, context: Webhooks) -> Self {
        Self { chassis: chassis.clone(), context, running: HashMap::new() }
    }

    /// Works until the service ends.
    pub(crate) async fn run(mut self) {
        let shutdown = self.chassis.shutdown.clone();
        let keep = async {
            loop {
                if let Err(error) = self.follow().await {
                    tracing::warn!(%error, "webhooks are to be read again");
                }
                sleep(PAUSE).await;
            }
        };
        shutdown.unless_begun(keep).await;
        // The tasks themselves are waited for by the shutdown.
        for running in self.running.values() {
            running.stop.cancel();
        }
    }

    async fn follow(&mut self) -> Result<(), Interrupted> {
        let changes = timeout(RULES.write_within, self.context.records.follow("*")).await;
        let mut changes = changes.map_err(|_| Interrupted::TooLong)??;
        let mut known = HashMap::new();
        let mut pending = changes.pending;
        while pending > 0 {
            let change = changes.next().await.ok_or(Interrupted::Ended)??;
            pending = change.pending;
            known.insert(change.key.clone(), change);
        }
        let unknown = self.running.keys().filter(|id| !known.contains_key(*id));
        for id in unknown.cloned().collect::<Vec<_>>() {
            self.stop(&id);
        }
        for change in known.into_values() {
            self.apply(change);
        }
        self.follow_further(&mut changes).await
    }

    async fn follow_further(&mut self, changes: &mut Changes) -> Result<(), Interrupted> {
        loop {
            let change = changes.next().await.ok_or(Interrupted::Ended)??;
            self.apply(change);
        }
    }

    fn apply(&mut self, change: Change) {
        let Change { key: id, revision, value, .. } = change;
        let Some(value) = value else {
            self.stop(&id);
            return;
        };
        // What cannot be read goes on as it was: a newer service may have written it.
        let Ok(record) = self.context.records.parse(&id, &value) else { return };
        let running = self.running.get(&id);
        if running.is_some_and(|running| running.revision == revision) {
            return;
        }
        let previous = self.running.remove(&id);
        let stop = CancellationToken::new();
        let (context, stopped) = (self.context.clone(), stop.clone());
        let task = self.chassis.shutdown.spawn_panic_free("deliveries of a webhook", async move {
            // Both would hold the lanes at once.
            if let Some(previous) = previous {
                previous.end().await;
            }
            serve(context, record, stopped).await;
        });
        self.running.insert(id, Running { revision, stop, task });
    }

    /// Ends the lanes of a webhook that is gone, and removes what they may have written since.
    fn stop(&mut self, id: &str) {
        let Some(running) = self.running.remove(id) else { return };
        let (context, id) = (self.context.clone(), id.to_owned());
        self.chassis.shutdown.spawn_panic_free("end of a webhook", async move {
            running.end().await;
            if let Err(error) = context.erase_all_of(&id).await {
                tracing::warn!(webhook = id, %error, "something is left of a deleted webhook");
            }
        });
    }
}

impl Running {
    async fn end(self) {
        self.stop.cancel();
        // It is never aborted, and one that panics takes the process along.
        let _ = self.task.await;
    }
}

async fn serve(context: Webhooks, webhook: WebhookRecord, stop: CancellationToken) {
    let webhook = Arc::new(webhook);
    let is_enabled = webhook.disabled_reason.is_none();
    let lanes = Lane::ALL.into_iter().filter(|lane| is_enabled && lane.is_wanted(&webhook.events));
    let runs =
        lanes.map(|lane| lane::run(context.clone(), Arc::clone(&webhook), lane, stop.clone()));
    join(join_all(runs), context.forget_expired_secrets(&webhook, &stop)).await;
}
