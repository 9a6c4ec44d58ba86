//! Waiting with a deadline, and names that nobody else uses.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

/// How long anything may take. Long, because a loaded machine is no defect; only failing tests wait
/// for it.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(25);

/// Looks until there is something to see.
///
/// # Panics
/// When `what` has not come about after [`PATIENCE`].
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits for a future.
///
/// # Panics
/// When it has not ended after [`PATIENCE`].
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(PATIENCE, future).await;
    outcome.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

/// `name` with a number, different at each call in this process.
#[must_use]
pub fn unique(name: &str) -> String {
    static CALLS: AtomicUsize = AtomicUsize::new(1);
    format!("{name}-{}", CALLS.fetch_add(1, Ordering::Relaxed))
}
