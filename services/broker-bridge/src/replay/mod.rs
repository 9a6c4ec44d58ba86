//! Reading a channel's events back out of the log.
//!
//! A few events are read one by one ([`single`]), which costs the server next to nothing. For more, a short-lived
//! consumer streams them ([`reader`]). [`window`] reads the events that are asked for. The log can only be read
//! forwards: where the latest events of a long channel begin is found by [`search`]. [`page`] decides what fits into
//! an answer, and [`show`] has messages say what they were last edited to, which [`revisions`] knows.
//!
//! Every read goes up to the channel's latest event as it was when the read began, and lacks nothing before it but
//! what is deleted: replicas that lag behind are found out by asking the stream's leader ([`single`]), and the read
//! is begun anew. No count that the server gives is trusted for more than a guess.

mod count;
mod page;
mod person;
mod reader;
mod revised;
mod revisions;
mod search;
mod show;
mod single;
mod window;

use std::{future::Future, sync::Arc, time::Duration};

use async_nats::jetstream::{consumer::DeliverPolicy, stream::Stream};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use goch_chassis::{
    Chassis, StartError,
    nats::{Nats, REQUEST_TIMEOUT},
};
use goch_contract::{
    ChannelName, Error, Seq,
    services::{
        broker::CaughtUp,
        history::{Page, Window},
    },
    subjects::Subjects,
};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};
use tokio_util::task::TaskTracker;

pub(crate) use self::revised::Remains;
use self::{
    reader::{Reader, Select},
    revisions::Memory,
    show::Kept,
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

/// Direct gets of one request under way at a time.
const CONCURRENT_GETS_MAX: usize = 32;

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
}
