//! Forgetting what is gone from the log.
//!
//! An event that has been deleted from the log may still be on its way into Redis: a consumer got it
//! before. So forgetting waits until nothing up to the last deleted event is under way, and then
//! drops the whole channel; it is filled again from the log when somebody asks. A fill that had read
//! the log before finds its token gone with the rest and adds nothing.

use std::time::Duration;

use goch_contract::{
    Error, Seq,
    services::history::{ForgetEvents, ForgetPositions},
};

use crate::history::History;

/// How long the consumer may take; then whoever asked has to ask again.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(3);

impl History {
    /// Forgets what is kept of a channel's events.
    ///
    /// # Errors
    /// `unavailable`: ask again.
    pub(crate) async fn forget_events(&self, request: ForgetEvents) -> Result<(), Error> {
        let ForgetEvents { channel, through } = request;
        if !self.store.is_answering() {
            return Err(Error::unavailable("Redis is away"));
        }
        tokio::time::timeout(SETTLE_TIMEOUT, self.settle(through))
            .await
            .map_err(|_| Error::unavailable("the log is still being written to Redis"))??;
        let generation = self.progress.borrow().generation;
        self.store.forget(generation, &channel).await.map_err(|error| {
            tracing::warn!(%channel, %error, "a channel was not forgotten");
            Error::unavailable("Redis is away")
        })
    }

    /// Waits until no event up to `through` is on its way into Redis.
    async fn settle(&self, through: Seq) -> Result<(), Error> {
        let mut progress = self.progress.clone();
        // News that come first may have been asked for before the events were deleted.
        for _ in 0..2 {
            progress.changed().await.map_err(|_| stopping())?;
        }
        let is_settled = progress
            .wait_for(|progress| progress.written >= through || progress.in_hand == 0)
            .await;
        is_settled.map(|_| ()).map_err(|_| stopping())
    }

    /// Forgets read positions.
    ///
    /// # Errors
    /// `unavailable`.
    pub(crate) async fn forget_positions(&self, request: ForgetPositions) -> Result<(), Error> {
        self.positions.forget(&request).await
    }
}

fn stopping() -> Error {
    Error::unavailable("the service is stopping")
}
