//! Moments of this host's clock, and the time between them.

use std::time::Duration;

use goch_contract::UnixMillis;

pub(crate) fn after(time: UnixMillis, pause: Duration) -> UnixMillis {
    let millis = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
    UnixMillis(time.0.saturating_add(millis))
}

/// The time until a moment; none if it has passed.
pub(crate) fn until(due: UnixMillis) -> Duration {
    Duration::from_millis(due.0.saturating_sub(UnixMillis::now().0))
}
