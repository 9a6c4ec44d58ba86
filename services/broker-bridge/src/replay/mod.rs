//! Reading a channel's events back out of the log.
//!
//! A few events are read one by one with direct gets, which cost the server next to nothing. For more,
//! a short-lived consumer streams them ([`reader`]). The log can only be read forwards: where the latest
//! events of a long channel begin is found by [`search`]. [`page`] decides what fits into an answer.
//!
//! Every read goes up to the channel's latest event as it was when the read began, and no count that
//! the server gives is trusted for more than a guess: what is missing at the end of an answer was
//! deleted, or has not reached the replica that was asked, and the answer then says that it ends
//! earlier.

mod count;
mod page;
mod person;
mod reader;
mod revisions;
mod search;

use std::{future::Future, sync::Arc, time::Duration};

use async_nats::jetstream::{
    consumer::DeliverPolicy,
    message::StreamMessage,
    stream::{DirectGetErrorKind, Stream},
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use goch_chassis::{
    Chassis, StartError,
    nats::{Nats, REQUEST_TIMEOUT},
};
use goch_contract::{
    ChannelName, Error, Seq, UnixMillis,
    services::{
        broker::CaughtUp,
        history::{Page, Window},
    },
    subjects::Subjects,
};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout, timeout_at},
};
use tokio_util::task::TaskTracker;

pub(crate) use self::person::is_of;
use self::{
    page::{Backward, Entry, Forward},
    reader::{Reader, Select},
    revisions::{Kept, Memory},
    search::Search,
};
use crate::metrics::BridgeMetrics;

/// An answer is given up a little before its asker stops waiting, so that it still gets the reason.
const ANSWER_TIMEOUT: Duration = REQUEST_TIMEOUT.saturating_sub(Duration::from_millis(500));

/// How long one step of a read may take before the read is begun anew: a stream's leader may have gone.
const STEP_TIMEOUT: Duration = Duration::from_millis(1_500);

/// The pause before a read is begun anew.
const PAUSE: Duration = Duration::from_millis(100);

/// Requests that read through consumers at a time; the others wait. Consumers are work for the server,
/// and after an outage all gateways ask at once.
const READING_MAX: usize = 32;

/// Events that are read one by one before a consumer is worth its creation and deletion.
const DIRECT_MAX: usize = 4;

/// Direct gets of one request under way at a time.
const CONCURRENT_GETS_MAX: usize = 32;

/// By how much the clock of the service that published an event may be ahead of the log's. The log is
/// read from that much earlier, and what is too old by the event's own time is left out.
const CLOCK_DIFFERENCE_MAX: Duration = Duration::from_mins(1);

/// Why a read did not get to its end. All of these may pass.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("NATS did not answer in time")]
    TimedOut,
    #[error("the log could not be read: {0}")]
    Nats(Box<dyn std::error::Error + Send + Sync>),
    #[error("messages were lost on the way")]
    Gap,
    #[error("the page has nothing but messages that are just being erased")]
    Erasing,
}

impl ReadError {
    fn nats(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Nats(error.into())
    }
}

/// The log, for reading. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Replay {
    log: Stream<()>,
    subjects: Subjects,
    reading: Arc<Semaphore>,
    tasks: TaskTracker,
    metrics: BridgeMetrics,
    memory: Memory,
}

impl Replay {
    /// # Errors
    /// When the stream's name is not one, which a valid prefix rules out.
    pub(crate) async fn new(
        chassis: &Chassis,
        nats: &Nats,
        metrics: BridgeMetrics,
    ) -> Result<Self, StartError> {
        let subjects = chassis.nats.subjects.clone();
        let log = nats
            .jetstream()
            .get_stream_no_info(subjects.log_stream())
            .await
            .map_err(|error| StartError::because("naming the log", error))?;
        let reading = Arc::new(Semaphore::new(READING_MAX));
        let tasks = chassis.shutdown.tasks().clone();
        Ok(Self { log, subjects, reading, tasks, metrics, memory: Memory::new() })
    }

    /// The stream itself.
    pub(crate) fn log(&self) -> &Stream<()> {
        &self.log
    }

    /// The names of this installation.
    pub(crate) fn subjects(&self) -> &Subjects {
        &self.subjects
    }

    /// The first events after `after`, as they are stored: whoever catches up gets what became of them
    /// in its turn.
    ///
    /// # Errors
    /// `unavailable` when the log cannot be read in time.
    pub(crate) async fn after(
        &self,
        channel: &ChannelName,
        after: Seq,
        limit: u32,
    ) -> Result<CaughtUp, Error> {
        self.persist(|| self.read_after(channel, after, limit)).await
    }

    /// A page, as messages were last edited unless it is wanted `as_stored`.
    ///
    /// # Errors
    /// `unavailable` when the log cannot be read in time.
    pub(crate) async fn page(
        &self,
        channel: &ChannelName,
        window: Window,
        limit: u32,
        as_stored: bool,
    ) -> Result<Page, Error> {
        self.persist(|| async move {
            let (page, kept) = match window {
                Window::Latest => (self.read_latest(channel, None, limit).await?, Kept::Last),
                Window::Before(before) => {
                    (self.read_latest(channel, Some(before), limit).await?, Kept::Last)
                }
                Window::After(after) => {
                    (self.read_after(channel, after, limit).await?.page, Kept::First)
                }
                Window::Since(since) => {
                    (self.read_since(channel, since, limit).await?, Kept::First)
                }
            };
            if as_stored { Ok(page) } else { self.show(channel, page, kept).await }
        })
        .await
    }

    /// Each channel's latest event; 0 for a channel without events.
    ///
    /// # Errors
    /// `unavailable` when the log cannot be read in time.
    pub(crate) async fn tails(&self, channels: &[ChannelName]) -> Result<Vec<Seq>, Error> {
        self.persist(|| {
            let gets: Vec<_> = channels.iter().map(|channel| self.tail(channel)).collect();
            stream::iter(gets).buffered(CONCURRENT_GETS_MAX).try_collect()
        })
        .await
    }

    /// Reads until it works, or until there is no time left.
    async fn persist<T, F>(&self, mut read: impl FnMut() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, ReadError>>,
    {
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        let reading = async {
            loop {
                match read().await {
                    Ok(value) => return value,
                    Err(error) => tracing::debug!(%error, "reading again"),
                }
                self.metrics.retries.inc();
                tokio::time::sleep(PAUSE).await;
            }
        };
        timeout_at(deadline, reading)
            .await
            .map_err(|_| Error::unavailable("the log could not be read in time"))
    }

    async fn read_after(
        &self,
        channel: &ChannelName,
        after: Seq,
        limit: u32,
    ) -> Result<CaughtUp, ReadError> {
        let start = Seq(after.0.saturating_add(1));
        let (tail, first, known) = tokio::try_join!(
            self.tail(channel),
            self.next(channel, start),
            self.own(channel, after)
        )?;
        if tail <= after {
            return Ok(CaughtUp { page: Page::default(), last_seq: tail });
        }
        let mut page = Forward::new(known, limit, &self.metrics);
        let mut next = first;
        let mut gets = 1;
        while let Some(entry) = next {
            let seq = entry.seq;
            if !page.push(&entry) || !page.has_room() || seq >= tail {
                break;
            }
            if gets == DIRECT_MAX {
                self.stream_after(channel, seq, tail, &mut page).await?;
                break;
            }
            gets += 1;
            next = self.next(channel, Seq(seq.0 + 1)).await?;
        }
        Ok(page.caught_up(after, tail))
    }

    /// Fills a page with the events after `after`.
    async fn stream_after(
        &self,
        channel: &ChannelName,
        after: Seq,
        tail: Seq,
        page: &mut Forward<'_>,
    ) -> Result<(), ReadError> {
        let _permit = self.reading.acquire().await;
        let start = DeliverPolicy::ByStartSequence { start_sequence: after.0 + 1 };
        let mut reader = self.reader(channel, start, Select::Events, tail).await?;
        while let Some(entry) = reader.next().await? {
            if !page.push(&entry) || !page.has_room() {
                break;
            }
        }
        Ok(())
    }

    async fn read_since(
        &self,
        channel: &ChannelName,
        since: UnixMillis,
        limit: u32,
    ) -> Result<Page, ReadError> {
        let margin = u64::try_from(CLOCK_DIFFERENCE_MAX.as_millis()).unwrap_or(u64::MAX);
        let start = match since.0.saturating_sub(margin) {
            0 => DeliverPolicy::All,
            millis => DeliverPolicy::ByStartTime {
                start_time: async_nats::datetime::from_nanos(i128::from(millis) * 1_000_000)
                    .map_err(ReadError::nats)?,
            },
        };
        let tail = self.tail(channel).await?;
        let _permit = self.reading.acquire().await;
        let mut reader = self.reader(channel, start, Select::Events, tail).await?;
        let mut page = Forward::new(Seq(0), limit, &self.metrics);
        let mut reached = false;
        while let Some(entry) = reader.next().await? {
            // Only until the first one: order is by sequence, and clocks differ.
            let time = if reached { None } else { entry.time() };
            if time.is_some_and(|time| time < since) {
                page.pass(&entry);
                continue;
            }
            reached = reached || time.is_some();
            if !page.push(&entry) || !page.has_room() {
                break;
            }
        }
        Ok(page.finish(tail))
    }

    async fn read_latest(
        &self,
        channel: &ChannelName,
        before: Option<Seq>,
        limit: u32,
    ) -> Result<Page, ReadError> {
        let (tail, first) = tokio::try_join!(self.tail(channel), self.next(channel, Seq(1)))?;
        let end = before.map_or(tail, |before| tail.min(Seq(before.0.saturating_sub(1))));
        let Some(first) = first.map(|entry| entry.seq).filter(|first| *first <= end) else {
            return Ok(Page::default());
        };
        let _permit = self.reading.acquire().await;
        let (mut reader, older) = self.find(channel, first, end, tail, limit).await?;
        let mut page = Backward::new(limit, older, &self.metrics);
        while let Some(entry) = reader.next().await? {
            page.push(&entry);
        }
        Ok(page.finish())
    }

    /// A reader up to `end` that begins where at least `limit` events, and not many times as many, are
    /// left to read, or at the channel's first event. Tells whether there are older ones.
    async fn find(
        &self,
        channel: &ChannelName,
        first: Seq,
        end: Seq,
        tail: Seq,
        limit: u32,
    ) -> Result<(Reader, bool), ReadError> {
        let at = |seq: Seq| DeliverPolicy::ByStartSequence { start_sequence: seq.0 };
        let reader = self.reader(channel, at(first), Select::Events, end).await?;
        let beyond = if end == tail || search::is_enough(reader.pending(), limit) {
            0
        } else {
            let after_end = at(Seq(end.0 + 1));
            self.reader(channel, after_end, Select::Headers, tail).await?.pending()
        };
        let total = reader.pending().saturating_sub(beyond);
        let mut search = Search::new(first, end, total, limit);
        while let Some(probe) = search.next() {
            let reader = self.reader(channel, at(probe), Select::Events, end).await?;
            if search.learn(probe, reader.pending().saturating_sub(beyond)) {
                return Ok((reader, true));
            }
        }
        match search.start() {
            start if start == first => Ok((reader, false)),
            start => Ok((self.reader(channel, at(start), Select::Events, end).await?, true)),
        }
    }

    async fn reader(
        &self,
        channel: &ChannelName,
        start: DeliverPolicy,
        select: Select,
        end: Seq,
    ) -> Result<Reader, ReadError> {
        self.metrics.readers.inc();
        let subject = self.subjects.log(channel);
        Reader::open(&self.log, &self.tasks, subject, start, select, end).await
    }

    /// The channel's latest event; 0 when it has none.
    async fn tail(&self, channel: &ChannelName) -> Result<Seq, ReadError> {
        let last = self.log.direct_get_last_for_subject(self.subjects.log(channel));
        if let Some(message) = found(last).await? {
            return Ok(Seq(message.sequence));
        }
        match self.next(channel, Seq(1)).await? {
            None => Ok(Seq(0)),
            Some(first) => self.hidden_tail(channel, first.seq).await,
        }
    }

    /// The channel's latest event after the one that was the latest has been deleted: NATS 2.9 then
    /// denies that there is one, until the next event comes.
    async fn hidden_tail(&self, channel: &ChannelName, first: Seq) -> Result<Seq, ReadError> {
        let info = timeout(STEP_TIMEOUT, self.log.get_info()).await;
        let info = info.map_err(|_| ReadError::TimedOut)?.map_err(ReadError::nats)?;
        let end = Seq(info.state.last_sequence);
        let _permit = self.reading.acquire().await;
        let (mut reader, _) = self.find(channel, first, end, end, 1).await?;
        let mut tail = first;
        while let Some(entry) = reader.next().await? {
            tail = entry.seq;
        }
        Ok(tail)
    }

    /// The channel's first event from `start` on.
    async fn next(&self, channel: &ChannelName, start: Seq) -> Result<Option<Entry>, ReadError> {
        let next = self.log.direct_get_next_for_subject(self.subjects.log(channel), Some(start.0));
        Ok(found(next).await?.map(Entry::from))
    }

    /// `seq` if the channel has an event there, else 0.
    async fn own(&self, channel: &ChannelName, seq: Seq) -> Result<Seq, ReadError> {
        if seq == Seq(0) {
            return Ok(Seq(0));
        }
        let message = found(self.log.direct_get(seq.0)).await?;
        let subject = self.subjects.log(channel);
        let own = message.is_some_and(|message| message.subject.as_str() == subject);
        Ok(if own { seq } else { Seq(0) })
    }
}

type DirectGetError = async_nats::jetstream::stream::DirectGetError;

/// A message that need not be there.
async fn found(
    get: impl Future<Output = Result<StreamMessage, DirectGetError>>,
) -> Result<Option<StreamMessage>, ReadError> {
    match timeout(STEP_TIMEOUT, get).await {
        Ok(Ok(message)) => Ok(Some(message)),
        Ok(Err(error)) if error.kind() == DirectGetErrorKind::NotFound => Ok(None),
        Ok(Err(error)) => Err(ReadError::nats(error)),
        Err(_) => Err(ReadError::TimedOut),
    }
}
