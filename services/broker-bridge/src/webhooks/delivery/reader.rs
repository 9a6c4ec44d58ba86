//! Reads the log for a lane.

use std::time::Duration;

use async_nats::jetstream::{
    Message,
    consumer::{DeliverPolicy, pull},
};
use futures_util::StreamExt as _;
use goch_contract::Seq;
use tokio::time::timeout;

use super::{DeliveryError, OPEN_MAX, log_error};
use crate::replay::Replay;

/// How long a call may take that prepares reading.
const CALL_TIMEOUT: Duration = Duration::from_secs(4);

/// A place in the log; a consumer of the server's only while it is open.
pub(super) struct Reader {
    replay: Replay,
    /// For operators who look at the server's consumers.
    name: String,
    messages: Option<pull::Ordered>,
}

impl Reader {
    pub(super) fn new(replay: &Replay, name: String) -> Self {
        Self { replay: replay.clone(), name, messages: None }
    }

    /// Reads on after `seen`, unless it is open already.
    pub(super) async fn open(&mut self, seen: Seq) -> Result<(), DeliveryError> {
        if self.messages.is_some() {
            return Ok(());
        }
        // Without a filter: channels' events and what has ended are all that is there, and NATS 2.9 takes no more
        // than one.
        let config = pull::OrderedConfig {
            description: Some(self.name.clone()),
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: seen.0 + 1 },
            max_batch: i64::try_from(OPEN_MAX).unwrap_or(i64::MAX),
            ..pull::OrderedConfig::default()
        };
        let open = async {
            let consumer = self.replay.log().create_consumer(config).await.map_err(log_error)?;
            consumer.messages().await.map_err(log_error)
        };
        self.messages = Some(timeout(CALL_TIMEOUT, open).await.map_err(log_error)??);
        Ok(())
    }

    /// Reads no further for now.
    pub(super) fn close(&mut self) {
        self.messages = None;
    }

    /// The next message; waits for ever while it is closed.
    pub(super) async fn next(&mut self) -> Result<Message, DeliveryError> {
        let Some(messages) = &mut self.messages else { return std::future::pending().await };
        let message = messages.next().await;
        message.ok_or_else(|| log_error("the consumer has ended"))?.map_err(log_error)
    }
}
