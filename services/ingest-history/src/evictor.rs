//! Lets channels leave Redis before their time while its memory is short.

use std::time::Duration;

use goch_chassis::shutdown::Shutdown;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

use crate::{metrics::HistoryMetrics, progress::Progress, store::Store};

/// How often a step is made, of a hundred channels at most.
const STEP_EVERY: Duration = Duration::from_secs(1);

/// See the module.
pub(crate) struct Evictor {
    pub(crate) store: Store,
    pub(crate) progress: watch::Receiver<Progress>,
    pub(crate) metrics: HistoryMetrics,
}

impl Evictor {
    /// Works until the service ends.
    pub(crate) async fn run(self, shutdown: Shutdown) {
        let mut step = interval(STEP_EVERY);
        step.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while shutdown.unless_begun(step.tick()).await.is_some() {
            self.metrics.window.set(i64::try_from(self.store.window()).unwrap_or(i64::MAX));
            if !self.store.is_answering() {
                continue;
            }
            let generation = self.progress.borrow().generation;
            match shutdown.unless_begun(self.store.evict(generation)).await {
                Some(Ok(dropped)) => _ = self.metrics.evictions.inc_by(dropped),
                Some(Err(error)) => tracing::debug!(%error, "idle channels stay in Redis"),
                None => break,
            }
        }
        // Whoever comes next does not know of these.
        if self.store.is_answering() {
            let generation = self.progress.borrow().generation;
            self.store.tell_uses(generation).await;
        }
    }
}
