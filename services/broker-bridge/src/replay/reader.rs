//! A short-lived consumer that reads one channel's messages in batches.

use std::time::Duration;

use async_nats::jetstream::{
    consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull},
    stream::Stream,
};
use futures_util::StreamExt as _;
use goch_contract::Seq;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::{ReadError, STEP_TIMEOUT, page::Entry, single::stored};

/// When the server deletes a consumer by itself, should this process not get to it.
const INACTIVE_THRESHOLD: Duration = Duration::from_secs(10);

/// Whole events asked of the server at a time. They wait in memory, so this bounds it.
const EVENTS_MAX: usize = 128;

/// Messages without their bodies asked of the server at a time.
const HEADERS_MAX: usize = 1_024;

/// What is read of each message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Select {
    Events,
    Headers,
}

/// Reads the messages of one subject, in order and whole. The consumer is deleted when this is dropped.
pub(super) struct Reader {
    log: Stream<()>,
    subject: String,
    tasks: TaskTracker,
    consumer: PullConsumer,
    batch: Option<pull::Batch>,
    batch_max: usize,
    /// Messages that came in this batch.
    batch_length: usize,
    /// Deliveries so far, which the server numbers without holes.
    delivered: u64,
    /// What is to be read begins here; not known if it begins at a moment.
    start: Option<Seq>,
    last: Seq,
    end: Seq,
}

impl Reader {
    /// Begins at `start`; `end` is the last sequence of interest. If it begins at a moment, the event at `end` must
    /// not be older.
    pub(super) async fn open(
        log: &Stream<()>,
        tasks: &TaskTracker,
        subject: String,
        start: DeliverPolicy,
        select: Select,
        end: Seq,
    ) -> Result<Self, ReadError> {
        let first = match start {
            DeliverPolicy::ByStartSequence { start_sequence } => Some(Seq(start_sequence)),
            DeliverPolicy::ByStartTime { .. } => None,
            _ => Some(Seq(1)),
        };
        let config = pull::Config {
            deliver_policy: start,
            ack_policy: AckPolicy::None,
            filter_subject: subject.clone(),
            headers_only: select == Select::Headers,
            inactive_threshold: INACTIVE_THRESHOLD,
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        };
        let consumer = timeout(STEP_TIMEOUT, log.create_consumer(config))
            .await
            .map_err(|_| ReadError::TimedOut)?
            .map_err(ReadError::nats)?;
        Ok(Self {
            log: log.clone(),
            subject,
            tasks: tasks.clone(),
            consumer,
            batch: None,
            batch_max: if select == Select::Headers { HEADERS_MAX } else { EVENTS_MAX },
            batch_length: 0,
            delivered: 0,
            start: first,
            last: Seq(0),
            end,
        })
    }

    /// Messages from the start to the end of the log when this was opened, as the server estimates.
    pub(super) fn pending(&self) -> u64 {
        self.consumer.cached_info().num_pending
    }

    /// The next message up to the end.
    pub(super) async fn next(&mut self) -> Result<Option<Entry>, ReadError> {
        while self.last < self.end {
            let batch = if let Some(batch) = &mut self.batch {
                batch
            } else {
                self.batch_length = 0;
                let fetch = self.consumer.fetch().max_messages(self.batch_max).messages();
                let batch = timeout(STEP_TIMEOUT, fetch).await;
                self.batch.insert(batch.map_err(|_| ReadError::TimedOut)?.map_err(ReadError::nats)?)
            };
            let next = timeout(STEP_TIMEOUT, batch.next()).await;
            match next.map_err(|_| ReadError::TimedOut)? {
                Some(message) => {
                    let message = message.map_err(ReadError::nats)?;
                    let info = message.info().map_err(ReadError::nats)?;
                    let (seq, delivery) = (Seq(info.stream_sequence), info.consumer_sequence);
                    // Deliveries are core messages: a connection that breaks takes some with it.
                    if delivery != self.delivered + 1 {
                        return Err(ReadError::Gap);
                    }
                    self.delivered = delivery;
                    self.batch_length += 1;
                    self.last = seq;
                    let message = message.message;
                    return Ok((seq <= self.end).then(|| Entry {
                        seq,
                        subject: message.subject,
                        headers: message.headers,
                        payload: message.payload,
                    }));
                }
                None if self.batch_length == 0 => return self.nothing_more().await,
                None => self.batch = None,
            }
        }
        Ok(None)
    }

    /// The consumer has nothing more before the end: what was to come has been deleted, or the replica that it
    /// reads from does not have it yet.
    async fn nothing_more(&self) -> Result<Option<Entry>, ReadError> {
        let read_on = (self.last > Seq(0)).then_some(Seq(self.last.0 + 1));
        // From a moment on there was at least the event at the end.
        let start = read_on.or(self.start).ok_or(ReadError::Gap)?;
        let next = self.log.get_first_raw_message_by_subject(&self.subject, start.0);
        match stored(next).await? {
            Some(message) if message.sequence <= self.end.0 => Err(ReadError::Gap),
            _ => Ok(None),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let log = self.log.clone();
        let name = self.consumer.cached_info().name.clone();
        self.tasks.spawn(async move {
            // If this fails, the consumer goes when it has been idle for long enough.
            let _ = timeout(STEP_TIMEOUT, log.delete_consumer(&name)).await;
        });
    }
}
