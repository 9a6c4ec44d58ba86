//! Reads the log through the durable consumer and writes it to Redis, in batches.
//!
//! All replicas pull from the one consumer. An event is acknowledged once Redis has it, so one that
//! a dying replica had in hand is delivered to another; adding it twice or late changes nothing. What
//! follows for readers is in [`crate::progress`], which is kept up to date here.

use std::{convert::Infallible, time::Duration};

use async_nats::jetstream::{
    self, AckKind,
    consumer::{Consumer as JetStreamConsumer, pull},
};
use futures_util::StreamExt as _;
use goch_chassis::{
    Chassis, StartError,
    nats::{Nats, pause, persist},
};
use goch_contract::{event, subjects, trace};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, timeout},
};

use crate::{
    metrics::HistoryMetrics,
    progress::Progress,
    store::{Entry, Store},
};

/// Events of one batch; what one process has in flight is one more.
const BATCH: usize = 256;

/// How long a pull waits for an event.
const PULL_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the next event of a pull, or word that there is none, may take. The client library has no bound of
/// its own for a pull that does not wait, and what a server was about to say is lost when it ends or is no
/// longer the leader. Less than the server gives this process for an event, so that those in hand are written in
/// time.
const TOLD_WITHIN: Duration = Duration::from_secs(7);

/// How long events may still be on their way when the service ends. Those that nobody takes would be held
/// back from the other replicas until the server gives this one up.
const ON_THEIR_WAY: Duration = Duration::from_millis(500);

/// How long the last acknowledgements may take to be written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// How long more events are waited for after the first one. Written one by one, events would cost the
/// server, Redis and this process several wake-ups each, at the expense of who waits for the events.
const GATHER_FOR: Duration = Duration::from_millis(10);

/// How often the consumer is looked at: other replicas make progress too.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The least time between two looks. The server counts acknowledgements a moment after they arrive.
const LOOK_PAUSE: Duration = Duration::from_millis(3);

/// The pause grows to this while events keep coming: a look costs the server work.
const LOOK_PAUSE_MAX: Duration = Duration::from_millis(50);

/// Looks after a batch, until the server has counted its acknowledgements.
const LOOKS_MAX: usize = 5;

/// The consumer was followed for so long that the next pause is a short one again.
const STEADY_AFTER: Duration = Duration::from_secs(2);

/// Follows the log.
pub(crate) struct Consumer {
    pub(crate) chassis: Chassis,
    pub(crate) nats: Nats,
    pub(crate) store: Store,
    pub(crate) metrics: HistoryMetrics,
    pub(crate) progress: watch::Sender<Progress>,
}

/// The log and its consumer, as they are now.
pub(crate) struct Opened {
    consumer: JetStreamConsumer<pull::Config>,
    /// When the log was created, in Unix milliseconds.
    pub(crate) generation: u64,
    /// Whether events leave it by themselves, for their age.
    pub(crate) expires: bool,
}

/// Why the log and the consumer have to be looked up again.
#[derive(Debug, thiserror::Error)]
enum Interrupted {
    #[error("pulling from the consumer: {0}")]
    Pull(String),
    #[error("the consumer is another than before")]
    Replaced,
    #[error("the service ends")]
    Stopped,
}

/// Finds the log and the consumer, waiting until broker-bridge has created them.
///
/// # Errors
/// [`StartError::Stopped`] when the service is told to end first.
pub(crate) async fn open(chassis: &Chassis, nats: &Nats) -> Result<Opened, StartError> {
    let jetstream = nats.jetstream();
    let name = chassis.nats.subjects.log_stream();
    persist(chassis, "the log and its consumer", || async {
        let stream = jetstream.get_stream(&name).await?;
        let consumer = stream.get_consumer(subjects::HISTORY_CONSUMER).await?;
        let created = stream.cached_info().created.unix_timestamp_nanos() / 1_000_000;
        let generation = u64::try_from(created).unwrap_or_default();
        let expires = !stream.cached_info().config.max_age.is_zero();
        Ok::<_, async_nats::Error>(Opened { consumer, generation, expires })
    })
    .await
}

impl Consumer {
    /// Works until the service ends, beginning with what `opened` found.
    pub(crate) async fn run(self, opened: Opened) {
        let mut opened = opened;
        let mut attempt = 1;
        loop {
            let started = Instant::now();
            let Err(interrupted) = self.follow(&opened).await;
            if self.chassis.shutdown.has_begun() {
                let _ = timeout(FLUSH_TIMEOUT, self.nats.client.flush()).await;
                return;
            }
            tracing::warn!(reason = %interrupted, "reading the log was interrupted");
            attempt = next_attempt(attempt, started.elapsed());
            tokio::time::sleep(pause(attempt)).await;
            let Ok(again) = open(&self.chassis, &self.nats).await else { return };
            if again.generation != opened.generation {
                tracing::warn!("the log is another than before; Redis begins anew");
                self.progress.send_replace(Progress::new(again.generation, again.expires));
            }
            opened = again;
        }
    }

    async fn follow(&self, opened: &Opened) -> Result<Infallible, Interrupted> {
        let acknowledged = Notify::new();
        tokio::select! {
            ended = self.write_all(opened, &acknowledged) => ended,
            ended = self.look(opened, &acknowledged) => ended,
        }
    }

    /// Waits for an event, lets others gather behind it, and writes batch after batch until none is
    /// left.
    async fn write_all(
        &self,
        opened: &Opened,
        acknowledged: &Notify,
    ) -> Result<Infallible, Interrupted> {
        let consumer = &opened.consumer;
        while !self.chassis.shutdown.has_begun() {
            let waiting = consumer.batch().max_messages(1).expires(PULL_TIMEOUT).messages();
            let mut messages = self.collect(waiting.await.map_err(pull_failed)?).await?;
            if messages.is_empty() {
                continue;
            }
            self.chassis.shutdown.unless_begun(tokio::time::sleep(GATHER_FOR)).await;
            loop {
                let is_ending = self.chassis.shutdown.has_begun();
                if !is_ending {
                    let gathered = consumer.fetch().max_messages(BATCH).messages();
                    messages.extend(self.collect(gathered.await.map_err(pull_failed)?).await?);
                }
                if messages.is_empty() {
                    break;
                }
                let is_last = is_ending || messages.len() < BATCH;
                self.write(opened.generation, std::mem::take(&mut messages)).await?;
                acknowledged.notify_one();
                if is_last {
                    break;
                }
            }
        }
        Err(Interrupted::Stopped)
    }

    /// The events of a pull, or those that came before it fell silent. When the service ends, those that the
    /// server has sent are still worked on.
    async fn collect(
        &self,
        mut pulled: pull::Batch,
    ) -> Result<Vec<jetstream::Message>, Interrupted> {
        let mut messages = Vec::new();
        loop {
            let told = timeout(TOLD_WITHIN, pulled.next());
            let next = match self.chassis.shutdown.unless_begun(told).await {
                Some(next) => next.ok().flatten(),
                None => timeout(ON_THEIR_WAY, pulled.next()).await.ok().flatten(),
            };
            let Some(message) = next else { return Ok(messages) };
            messages.push(message.map_err(pull_failed)?);
        }
    }

    /// Writes a batch and acknowledges it; whatever Redis does, nothing is acknowledged before.
    async fn write(
        &self,
        generation: u64,
        messages: Vec<jetstream::Message>,
    ) -> Result<(), Interrupted> {
        let mut entries = Vec::with_capacity(messages.len());
        let mut written = Vec::with_capacity(messages.len());
        let mut spans = Vec::new();
        for message in messages {
            if self.chassis.nats.subjects.is_ended(&message.subject) {
                // No event of a channel: there is nothing to be kept of it.
                acknowledge(&message, AckKind::Ack).await;
                continue;
            }
            let Some(entry) = self.understand(&message) else {
                self.metrics.events_refused.inc();
                tracing::warn!(subject = %message.subject, "a stored payload is no event");
                acknowledge(&message, AckKind::Term).await;
                continue;
            };
            let span =
                tracing::debug_span!("keep event", otel.kind = "consumer", seq = entry.seq.0);
            if !span.is_disabled() {
                trace::set_parent(&span, message.headers.as_ref());
                spans.push(span);
            }
            entries.push(entry);
            written.push(message);
        }
        if let Err(interrupted) = self.persist(generation, &entries).await {
            // Another replica is to have them at once, and not when their time is up.
            for message in &written {
                acknowledge(message, AckKind::Nak(None)).await;
            }
            return Err(interrupted);
        }
        for message in &written {
            acknowledge(message, AckKind::Ack).await;
        }
        self.metrics.events_written.inc_by(u64::try_from(written.len()).unwrap_or_default());
        // Until here the events were on their way.
        drop(spans);
        Ok(())
    }

    fn understand(&self, message: &jetstream::Message) -> Option<Entry> {
        let channel = self.chassis.nats.subjects.channel_of_log(&message.subject)?;
        let seq = goch_contract::Seq(message.info().ok()?.stream_sequence);
        if !event::is_trusted(&message.payload) {
            return None;
        }
        Entry::parse(channel, seq, message.payload.clone())
    }

    /// Tries until Redis has the entries.
    async fn persist(&self, generation: u64, entries: &[Entry]) -> Result<(), Interrupted> {
        let mut attempt = 1;
        let mut is_reported = false;
        loop {
            let error = match self.store.write(generation, entries).await {
                Ok(dropped) => {
                    self.metrics.evictions.inc_by(dropped);
                    return Ok(());
                }
                Err(error) => error,
            };
            self.metrics.write_failures.inc();
            if !is_reported {
                tracing::warn!(%error, "Redis does not take events; trying again");
                is_reported = true;
            }
            let again = async {
                tokio::time::sleep(pause(attempt)).await;
                self.store.answering().await;
            };
            self.chassis.shutdown.unless_begun(again).await.ok_or(Interrupted::Stopped)?;
            attempt += 1;
        }
    }

    /// Looks at the consumer after each batch, and at intervals.
    async fn look(
        &self,
        opened: &Opened,
        acknowledged: &Notify,
    ) -> Result<Infallible, Interrupted> {
        let created = opened.consumer.cached_info().created;
        let mut pace = Pace::new();
        loop {
            // Failing is like no news: progress grows stale by itself.
            if let Ok(info) = opened.consumer.get_info().await {
                if info.created != created {
                    return Err(Interrupted::Replaced);
                }
                self.progress.send_modify(|progress| *progress = progress.after(&info));
                let waiting = self.progress.borrow().waiting;
                self.metrics.note_lag(waiting);
                if waiting == 0 {
                    pace = Pace::new();
                }
            }
            let pause = match pace.again() {
                Some(pause) => pause,
                None => match timeout(LOOK_EVERY, acknowledged.notified()).await {
                    Ok(()) => pace.after_batch(),
                    Err(_) => continue,
                },
            };
            tokio::time::sleep(pause).await;
        }
    }
}

/// How soon the consumer is looked at again after a batch.
struct Pace {
    looks: usize,
    pause: Duration,
}

impl Pace {
    /// Nothing waits: the next look is when there was a batch, or at its interval.
    fn new() -> Self {
        Self { looks: 0, pause: LOOK_PAUSE }
    }

    /// The pause before another look, if the last batch asks for one.
    fn again(&mut self) -> Option<Duration> {
        self.looks = self.looks.checked_sub(1)?;
        Some(self.next_pause())
    }

    /// The pause before the first look after a batch.
    fn after_batch(&mut self) -> Duration {
        self.looks = LOOKS_MAX;
        self.next_pause()
    }

    fn next_pause(&mut self) -> Duration {
        let longer = (self.pause * 2).min(LOOK_PAUSE_MAX);
        std::mem::replace(&mut self.pause, longer)
    }
}

/// Which attempt in a row the next one is, after one that has followed the consumer for so long.
fn next_attempt(attempt: usize, followed_for: Duration) -> usize {
    if followed_for > STEADY_AFTER { 1 } else { attempt + 1 }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn pull_failed(error: impl ToString) -> Interrupted {
    Interrupted::Pull(error.to_string())
}

async fn acknowledge(message: &jetstream::Message, kind: AckKind) {
    // One that is lost brings the event again, which does no harm.
    if let Err(error) = message.ack_with(kind).await {
        tracing::debug!(%error, "an event was not acknowledged");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_batch_the_consumer_is_looked_at_a_few_times_ever_more_rarely() {
        let mut pace = Pace::new();
        assert_eq!(pace.again(), None);
        let mut pauses = vec![pace.after_batch()];
        pauses.extend(std::iter::from_fn(|| pace.again()));
        let millis: Vec<_> = pauses.iter().map(Duration::as_millis).collect();
        assert_eq!(millis, [3, 6, 12, 24, 48, 50]);
        // While events keep coming the pauses stay long.
        assert_eq!((pace.after_batch(), pace.again()), (LOOK_PAUSE_MAX, Some(LOOK_PAUSE_MAX)));
    }

    #[test]
    fn the_pause_before_the_consumer_is_followed_again_grows_until_it_was_followed_for_a_while() {
        assert_eq!(next_attempt(1, Duration::ZERO), 2);
        assert_eq!(next_attempt(2, STEADY_AFTER), 3);
        assert_eq!(next_attempt(3, STEADY_AFTER + Duration::from_millis(1)), 1);
    }
}
