//! Fills channels that Redis does not know from the log, beside the answering of requests.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use goch_chassis::Chassis;
use goch_contract::{
    ChannelName, Error, Seq,
    limits::PAGE_MAX,
    services::{
        broker::LogPage,
        history::{Page, Window},
    },
};
use tokio::sync::Semaphore;

use crate::{
    ServiceClient,
    metrics::HistoryMetrics,
    progress::Progress,
    store::{Entry, Store, StoreError, random_token},
};

/// Fills of this process at a time.
const CONCURRENT_MAX: usize = 4;

/// Fills under way or waiting. Beyond that, a channel waits until it is asked for again.
const WAITING_MAX: usize = 1_024;

/// How long one fill may take.
const FILL_TIMEOUT: Duration = Duration::from_secs(20);

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Filler {
    chassis: Chassis,
    store: Store,
    broker: ServiceClient,
    metrics: HistoryMetrics,
    waiting: Arc<Mutex<HashSet<ChannelName>>>,
    permits: Arc<Semaphore>,
}

#[derive(Debug, thiserror::Error)]
enum FillError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the log: {0}")]
    Log(#[from] Error),
    #[error("no random number: {0}")]
    Token(#[from] getrandom::Error),
    #[error("Redis lost the channel meanwhile")]
    Lost,
    #[error("it took too long")]
    TooLong,
}

impl Filler {
    pub(crate) fn new(
        chassis: Chassis,
        store: Store,
        broker: ServiceClient,
        metrics: HistoryMetrics,
    ) -> Self {
        let permits = Arc::new(Semaphore::new(CONCURRENT_MAX));
        Self { chassis, store, broker, metrics, waiting: Arc::default(), permits }
    }

    /// Fills a channel soon, unless that is under way already, or Redis is away or has no room for it.
    pub(crate) fn ask(&self, progress: Progress, channel: &ChannelName) {
        if !self.store.takes_fills() {
            return;
        }
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.len() >= WAITING_MAX || !waiting.insert(channel.clone()) {
                return;
            }
        }
        let (filler, channel) = (self.clone(), channel.clone());
        self.chassis.shutdown.spawn_panic_free("filling of a channel", async move {
            let work = filler.work(progress, &channel);
            filler.chassis.shutdown.unless_begun(work).await;
            filler.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&channel);
        });
    }

    async fn work(&self, progress: Progress, channel: &ChannelName) {
        // The semaphore is never closed.
        let Ok(_permit) = self.permits.acquire().await else { return };
        let fill = tokio::time::timeout(FILL_TIMEOUT, self.fill(progress.generation, channel));
        match fill.await.unwrap_or(Err(FillError::TooLong)) {
            Ok(()) => _ = self.metrics.fills.inc(),
            Err(error) => {
                self.metrics.fill_failures.inc();
                tracing::debug!(%channel, %error, "a channel was not filled");
            }
        }
    }

    async fn fill(&self, generation: u64, channel: &ChannelName) -> Result<(), FillError> {
        let token = random_token()?;
        self.store.note_use(channel);
        let filling = self.store.begin_fill(generation, channel, token).await?;
        let (mut window, mut top, mut missing) = (Window::Latest, None, self.store.window());
        let floor = loop {
            let limit = u32::try_from(missing).unwrap_or(u32::MAX).min(PAGE_MAX);
            // As the consumers write them: what was edited is put together when it is read.
            let request = LogPage { channel: channel.clone(), window, limit, as_stored: true };
            let page = self.broker.call(&request).await?;
            let entries: Vec<_> = page
                .events
                .iter()
                .filter_map(|logged| {
                    let event = Bytes::copy_from_slice(logged.event.get().as_bytes());
                    Entry::parse(channel.clone(), logged.seq, event)
                })
                .collect();
            if !self.store.fill(&filling, &entries).await? {
                return Err(FillError::Lost);
            }
            top = top.or(page.events.last().map(|logged| logged.seq));
            missing = missing.saturating_sub(page.events.len());
            match page.events.first() {
                Some(first) if page.more && missing > 0 => window = Window::Before(first.seq),
                _ => break floor(&page),
            }
        };
        let top = top.unwrap_or_default();
        let is_marked = self.store.complete_fill(filling, floor, top).await?;
        if is_marked { Ok(()) } else { Err(FillError::Lost) }
    }
}

/// The event before the earliest one that Redis has whole after this page; 0 for none.
fn floor(page: &Page) -> Seq {
    match page.events.first() {
        // What is before the first is not known: then only what follows it counts as known.
        Some(first) if page.more && first.prev == Seq(0) => first.seq,
        Some(first) if page.more => first.prev,
        _ => Seq(0),
    }
}

#[cfg(test)]
mod tests {
    use goch_contract::event::Logged;
    use serde_json::value::RawValue;

    use super::*;

    fn page(prev: u64, more: bool) -> Page {
        let event = RawValue::from_string("{}".to_owned()).unwrap();
        Page { events: vec![Logged::new(Seq(9), Seq(prev), event)], more }
    }

    #[test]
    fn the_floor_is_the_event_before_the_page() {
        assert_eq!(floor(&page(5, true)), Seq(5));
        assert_eq!(floor(&page(0, true)), Seq(9));
        assert_eq!(floor(&page(0, false)), Seq(0));
        assert_eq!(floor(&Page::default()), Seq(0));
    }
}
