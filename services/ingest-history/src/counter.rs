//! Counts messages in the log, one pass over a channel at a time.
//!
//! Whoever asks while a pass is under way waits for the next one, which counts for all of them. So a
//! crowd that comes back at once costs two passes rather than one each.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use goch_chassis::Chassis;
use goch_contract::{
    ChannelName, Error, ErrorCode, Seq,
    services::broker::{Count, SPANS_MAX, Span, SpanCount},
};
use tokio::sync::oneshot;

use crate::ServiceClient;

/// Somebody who waits for a count. They are as many as requests are answered at a time.
struct Question {
    span: Span,
    /// For which read position the count is to be kept, if it is.
    position: Option<Seq>,
    answer: oneshot::Sender<Result<SpanCount, Error>>,
}

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct LogCounter {
    chassis: Chassis,
    broker: ServiceClient,
    /// Who waits for the next pass; there is an entry while one is under way.
    channels: Arc<Mutex<HashMap<ChannelName, Vec<Question>>>>,
}

impl LogCounter {
    pub(crate) fn new(chassis: Chassis, broker: ServiceClient) -> Self {
        Self { chassis, broker, channels: Arc::default() }
    }

    /// Counts a span. Who said how many is told to one of those who want to keep that for the same read
    /// position.
    ///
    /// # Errors
    /// `unavailable` when the log cannot be read in time.
    pub(crate) async fn count(
        &self,
        channel: &ChannelName,
        span: Span,
        position: Option<Seq>,
    ) -> Result<SpanCount, Error> {
        let (answer, answered) = oneshot::channel();
        let question = Question { span, position, answer };
        let is_idle = {
            let mut channels = self.channels();
            let waiting = channels.get_mut(channel);
            let is_idle = waiting.is_none();
            match waiting {
                Some(waiting) => waiting.push(question),
                None => _ = channels.insert(channel.clone(), vec![question]),
            }
            is_idle
        };
        if is_idle {
            let (counter, channel) = (self.clone(), channel.clone());
            let work = async move { counter.work(&channel).await };
            self.chassis.shutdown.spawn_panic_free("count in the log", work);
        }
        answered.await.unwrap_or_else(|_| Err(Error::unavailable("the count was given up")))
    }

    async fn work(&self, channel: &ChannelName) {
        while let Some(questions) = self.next(channel) {
            let counts = self.pass(channel, &questions).await;
            // Whoever has stopped waiting is told nothing.
            match counts {
                Ok(counts) => {
                    for (question, count) in questions.into_iter().zip(counts) {
                        let _ = question.answer.send(Ok(count));
                    }
                }
                Err(error) => {
                    for question in questions {
                        let _ = question.answer.send(Err(error.clone()));
                    }
                }
            }
        }
    }

    async fn pass(
        &self,
        channel: &ChannelName,
        questions: &[Question],
    ) -> Result<Vec<SpanCount>, Error> {
        let mut wanted = HashSet::new();
        let spans = questions.iter().map(|Question { span, position, .. }| {
            let is_first = position.is_some() && wanted.insert((span.after, span.before));
            Span { by_sender: is_first, ..span.clone() }
        });
        let request = Count { channel: channel.clone(), spans: spans.collect() };
        let mut counts = self.broker.call(&request).await?;
        if counts.len() != questions.len() {
            return Err(Error::new(ErrorCode::Internal, "a count is missing"));
        }
        let mut senders = HashMap::new();
        let mut told = HashSet::new();
        for (Question { span, position, .. }, count) in questions.iter().zip(&mut counts) {
            let place = (span.after, span.before);
            if let Some(by_sender) = count.by_sender.take() {
                senders.insert(place, by_sender);
            }
            if position.is_some() && told.insert((*position, place)) {
                count.by_sender = senders.get(&place).cloned();
            }
        }
        Ok(counts)
    }

    /// Who is counted for in the next pass; none if nobody waits.
    fn next(&self, channel: &ChannelName) -> Option<Vec<Question>> {
        let mut channels = self.channels();
        let waiting = channels.get_mut(channel)?;
        if waiting.is_empty() {
            channels.remove(channel);
            return None;
        }
        let pass = waiting.len().min(SPANS_MAX);
        Some(waiting.drain(..pass).collect())
    }

    fn channels(&self) -> MutexGuard<'_, HashMap<ChannelName, Vec<Question>>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
