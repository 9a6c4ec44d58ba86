//! The requests of one endpoint, none of which is lost when the service leaves.
//!
//! Until the server has heard that this replica is no longer there, it goes on handing requests to it.
//! `Subscriber::unsubscribe` lets the client forget the subscription at once, and with it what the server
//! sends until it has heard; `drain` does so at the next wake-up of the connection, whatever that is.
//! Whoever asked would wait for an answer until the request times out.

use std::time::Duration;

use async_nats::{Message, Subscriber};
use futures_util::StreamExt as _;
use tokio::time::{Instant, timeout_at};

use crate::shutdown::Shutdown;

/// How long requests may still be on their way after the server was told. A round trip takes a thousandth.
const ON_THEIR_WAY: Duration = Duration::from_secs(1);

/// To the client, a number of messages that is never reached, so it keeps the subscription. To the server,
/// which reads nine digits, no number at all: it ends the subscription there and then. Should a server ever
/// read more, the subscription goes on for as long as requests are waited for.
const NEVER: u64 = u64::MAX;

pub(super) struct Requests {
    subscriber: Subscriber,
    shutdown: Shutdown,
    /// When nothing can be on its way any more, once the server has been told.
    left_by: Option<Instant>,
}

impl Requests {
    pub(super) fn new(subscriber: Subscriber, shutdown: Shutdown) -> Self {
        Self { subscriber, shutdown, left_by: None }
    }

    /// The next request. Once the end of the service has begun, those that had been handed to this replica;
    /// then none.
    pub(super) async fn next(&mut self) -> Option<Message> {
        if let Some(request) = self.shutdown.unless_begun(self.subscriber.next()).await {
            return request;
        }
        let left_by = self.leave().await;
        timeout_at(left_by, self.subscriber.next()).await.ok().flatten()
    }

    /// Has the server hand no more requests to this replica.
    pub(super) async fn leave(&mut self) -> Instant {
        if let Some(left_by) = self.left_by {
            return left_by;
        }
        if let Err(error) = self.subscriber.unsubscribe_after(NEVER).await {
            tracing::debug!(%error, "an endpoint was not taken back");
        }
        *self.left_by.insert(Instant::now() + ON_THEIR_WAY)
    }
}
