//! One attempt to deliver one event.

use std::{sync::Arc, time::Duration};

use async_nats::jetstream::{message::StreamMessage, stream::RawMessageErrorKind};
use goch_contract::{Seq, trace};
use tokio::{sync::Semaphore, time::timeout};
use tracing::Instrument as _;

use super::{
    super::{
        Webhooks,
        metrics::OutcomeLabels,
        notice::LogEvent,
        record::{Lane, Line, WebhookRecord},
        sender::{Answer, Notice},
    },
    DeliveryError, log_error,
};

/// How long reading an event may take.
const GET_TIMEOUT: Duration = Duration::from_secs(4);

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The receiver has it.
    Delivered,
    /// There was nothing to send.
    Skipped,
    /// It could not be told what to send, for something of ours is away.
    Postponed,
    /// The receiver does not want it now.
    Failed(String),
    /// The receiver never wants anything again.
    Gone,
}

/// What an attempt needs.
pub(super) struct Attempt {
    pub(super) context: Webhooks,
    pub(super) webhook: Arc<WebhookRecord>,
    pub(super) lane: Lane,
    pub(super) log: i64,
    pub(super) permits: Arc<Semaphore>,
}

impl Attempt {
    /// Sends what the event says; with several requests, until the first one that fails.
    pub(super) async fn deliver(&self, event: &LogEvent) -> Outcome {
        // The semaphore is never closed.
        let _permit = self.permits.acquire().await;
        let span = tracing::debug_span!(
            "deliver webhook",
            otel.kind = "client",
            webhook = self.webhook.id,
            seq = event.seq.0
        );
        trace::set_parent(&span, event.headers.as_ref());
        self.send_all(event).instrument(span).await
    }

    async fn send_all(&self, event: &LogEvent) -> Outcome {
        let notices = self.context.notices(self.lane, &self.webhook, self.log, event).await;
        let notices = match notices {
            Ok(notices) if notices.is_empty() => return Outcome::Skipped,
            Ok(notices) => notices,
            Err(error) => {
                tracing::debug!(%error, "what to send cannot be told now");
                return Outcome::Postponed;
            }
        };
        for notice in notices {
            match self.send(&notice).await {
                Answer::Accepted => {}
                Answer::Gone => return Outcome::Gone,
                Answer::Failed(error) => return Outcome::Failed(error),
            }
        }
        Outcome::Delivered
    }

    async fn send(&self, notice: &Notice) -> Answer {
        let answer =
            self.context.sender.send(&self.webhook.url, &self.webhook.secrets, notice).await;
        let outcome = match &answer {
            Answer::Accepted => "accepted",
            Answer::Gone => "gone",
            Answer::Failed(_) => "failed",
        };
        self.context.metrics.requests.get_or_create(&OutcomeLabels { outcome }).inc();
        answer
    }

    /// The first event of a line from `start` on, as the log's leader has it: a follower may not
    /// have the latest one yet.
    pub(super) async fn first_of(
        &self,
        line: &Line,
        start: Seq,
    ) -> Result<Option<LogEvent>, DeliveryError> {
        let subjects = self.context.replay.subjects();
        let channel = match line {
            Line::Channel(channel) => channel,
            Line::People => return self.first_on(subjects.ended_people(), start).await,
        };
        let event = self.first_on(subjects.log(channel), start).await?;
        let end = self.first_on(subjects.ended_channel(channel), start).await?;
        Ok([event, end].into_iter().flatten().min_by_key(|event| event.seq))
    }

    async fn first_on(
        &self,
        subject: String,
        start: Seq,
    ) -> Result<Option<LogEvent>, DeliveryError> {
        let log = self.context.replay.log();
        self.found(log.get_first_raw_message_by_subject(subject, start.0)).await
    }

    /// The event at `seq`.
    pub(super) async fn event_at(&self, seq: Seq) -> Result<Option<LogEvent>, DeliveryError> {
        self.found(self.context.replay.log().get_raw_message(seq.0)).await
    }

    async fn found(
        &self,
        get: impl Future<Output = Result<StreamMessage, async_nats::jetstream::stream::RawMessageError>>,
    ) -> Result<Option<LogEvent>, DeliveryError> {
        let message = match timeout(GET_TIMEOUT, get).await.map_err(log_error)? {
            Ok(message) => message,
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => return Ok(None),
            Err(error) => return Err(log_error(error)),
        };
        let StreamMessage { subject, sequence, headers, payload, .. } = message;
        let subjects = self.context.replay.subjects();
        Ok(LogEvent::new(subjects, &subject, Seq(sequence), Some(headers), payload))
    }
}
