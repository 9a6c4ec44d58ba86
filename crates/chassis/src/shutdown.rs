//! The end of a service: told once, waited for, bounded in time.

use std::{future::Future, time::Duration};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::{
    sync::{CancellationToken, WaitForCancellationFuture},
    task::TaskTracker,
};

/// Tells a service's tasks to end, and waits for them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Shutdown {
    token: CancellationToken,
    tasks: TaskTracker,
    grace: Duration,
}

impl Shutdown {
    /// A shutdown that gives tasks `grace` to end.
    #[must_use]
    pub fn new(grace: Duration) -> Self {
        Self { token: CancellationToken::new(), tasks: TaskTracker::new(), grace }
    }

    /// Begins the end.
    pub fn begin(&self) {
        self.token.cancel();
    }

    /// Whether the end has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Waits until the end begins.
    pub fn begun(&self) -> WaitForCancellationFuture<'_> {
        self.token.cancelled()
    }

    /// How long draining may take.
    #[must_use]
    pub fn grace(&self) -> Duration {
        self.grace
    }

    /// The tasks that the end waits for.
    #[must_use]
    pub fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// Runs `task` to its end, unless the end of the service comes first.
    pub async fn unless_begun<T>(&self, task: impl Future<Output = T>) -> Option<T> {
        self.token.run_until_cancelled(task).await
    }

    /// Begins the end at SIGTERM or SIGINT.
    ///
    /// # Errors
    /// When the signals cannot be listened to.
    pub fn begin_at_signal(&self) -> std::io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let shutdown = self.clone();
        tokio::spawn(async move {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
                () = shutdown.begun() => return,
            };
            tracing::info!(signal = name, "shutting down");
            shutdown.begin();
        });
        Ok(())
    }

    /// Waits for the tasks, but not longer than the grace period. True if all of them ended.
    pub async fn finish(&self) -> bool {
        self.tasks.close();
        tokio::time::timeout(self.grace, self.tasks.wait()).await.is_ok()
    }
}
