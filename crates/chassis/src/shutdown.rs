//! The end of a service: told once, waited for, bounded in time.

use std::{
    future::Future,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

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
    deadline: Arc<OnceLock<Instant>>,
    is_of_process: bool,
}

impl Shutdown {
    /// A shutdown that gives tasks `grace` to end.
    #[must_use]
    pub fn new(grace: Duration) -> Self {
        Self {
            token: CancellationToken::new(),
            tasks: TaskTracker::new(),
            grace,
            deadline: Arc::default(),
            is_of_process: false,
        }
    }

    /// The end of a whole process, which a task that is gone before its time brings about at once.
    pub(crate) fn of_process(grace: Duration) -> Self {
        Self { is_of_process: true, ..Self::new(grace) }
    }

    pub(crate) fn is_of_process(&self) -> bool {
        self.is_of_process
    }

    /// Begins the end, and with it the grace period.
    pub fn begin(&self) {
        self.deadline.get_or_init(|| Instant::now() + self.grace);
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

    /// What is left of the grace period; all of it before the end begins.
    #[must_use]
    pub fn time_left(&self) -> Duration {
        let left = |deadline: &Instant| deadline.saturating_duration_since(Instant::now());
        self.deadline.get().map_or(self.grace, left)
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

    /// Waits for the tasks, but not beyond the grace period. True if all of them ended.
    pub async fn finish(&self) -> bool {
        self.tasks.close();
        tokio::time::timeout(self.time_left(), self.tasks.wait()).await.is_ok()
    }
}
