//! Delivers a lane of a webhook while this replica holds it.
//!
//! Events of a channel go one after the other, those of different channels side by side. When one
//! fails, its channel gets a backlog: a record of the event to go on with. From then on the channel's
//! events are passed over as they come, and read from the log again when their turn has come; once
//! none is left, the backlog goes and the channel is live again. The cursor moves on either way.

mod attempt;

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use futures_util::StreamExt as _;
use goch_contract::{ChannelName, Error, Seq, UnixMillis};
use tokio::{
    sync::Semaphore,
    task::{JoinError, JoinSet},
    time::{Instant, MissedTickBehavior, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use self::attempt::{Attempt, Outcome};
use super::{
    Webhooks,
    bucket::{Revised, erase, list},
    lane::RENEW_EVERY,
    moment::{after, until},
    notice::LogEvent,
    record::{Backlog, Cursor, DeadRecord, Lane, WebhookRecord, key},
};

/// Events held in memory. The log is read no further until some are done.
const OPEN_MAX: usize = 256;

/// Requests to one webhook at the same time.
const REQUESTS_MAX: usize = 16;

/// Tasks at the same time; those that wait for a request to end included.
const TASKS_MAX: usize = 512;

/// Backlogs that are read at the start.
const BACKLOGS_MAX: usize = 100_000;

/// Dead letters that are tried again in one go.
const REPLAYS_MAX: usize = 1_000;

/// The pause before something is tried again that failed on our side.
const POSTPONED: Duration = Duration::from_secs(5);

/// While nothing is due for longer than this, the log is not read.
const KEEP_READING: Duration = Duration::from_secs(2);

/// How long a call may take that prepares reading.
const CALL_TIMEOUT: Duration = Duration::from_secs(4);

/// Why a delivery ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeliveryError {
    #[error("{0}")]
    Store(#[from] Error),
    #[error("another replica has taken over")]
    Lost,
    #[error("the webhook is disabled")]
    Disabled,
    #[error("the log cannot be read: {0}")]
    Log(String),
    #[error("a task failed: {0}")]
    Task(#[from] JoinError),
}

/// A channel that waits.
struct Wait {
    backlog: Backlog,
    /// The last event that was passed over.
    skipped: Seq,
}

/// What a task tells when it ends.
enum Done {
    /// An event that came from the reader.
    Live { channel: ChannelName, seq: Seq, outcome: Outcome },
    /// The next event of a backlog, if there was one up to `through`.
    Backlog { channel: ChannelName, through: Seq, found: Option<(Seq, Outcome)> },
    /// A dead letter, if its event is still there.
    Replay { key: String, record: DeadRecord, outcome: Option<Outcome> },
}

/// See the module.
pub(crate) struct Delivery {
    context: Webhooks,
    webhook: Arc<WebhookRecord>,
    lane: Lane,
    cursor: Cursor,
    revision: u64,
    /// The last event that was taken from the reader.
    seen: Seq,
    /// Events that are not done, by which the cursor is held back.
    open: BTreeSet<Seq>,
    /// Channels with a request under way, and the events that follow it.
    queues: HashMap<ChannelName, VecDeque<LogEvent>>,
    waiting: HashMap<ChannelName, Wait>,
    /// When waiting channels are due.
    agenda: BTreeSet<(UnixMillis, ChannelName)>,
    replays: VecDeque<(String, DeadRecord)>,
    tasks: JoinSet<Result<Done, DeliveryError>>,
    permits: Arc<Semaphore>,
}

impl Delivery {
    pub(crate) fn new(
        context: Webhooks,
        webhook: Arc<WebhookRecord>,
        lane: Lane,
        held: Revised<Cursor>,
    ) -> Self {
        let Revised { revision, record: cursor } = held;
        Self {
            context,
            webhook,
            lane,
            seen: cursor.through,
            cursor,
            revision,
            open: BTreeSet::new(),
            queues: HashMap::new(),
            waiting: HashMap::new(),
            agenda: BTreeSet::new(),
            replays: VecDeque::new(),
            tasks: JoinSet::new(),
            permits: Arc::new(Semaphore::new(REQUESTS_MAX)),
        }
    }

    /// Delivers until `stop`, and then lets go of the lane.
    ///
    /// # Errors
    /// [`DeliveryError`]; what was under way is delivered again.
    pub(crate) async fn run(mut self, stop: &CancellationToken) -> Result<(), DeliveryError> {
        self.load().await?;
        self.deliver(stop).await?;
        // Requests end by themselves, within their time.
        let grace = self.context.config.timeout;
        let drain = async {
            while let Some(done) = self.tasks.join_next().await {
                self.settle(done??, true).await?;
            }
            Ok::<_, DeliveryError>(())
        };
        if let Ok(drained) = timeout(grace, drain).await {
            drained?;
        }
        self.cursor.holder = String::new();
        self.renew().await
    }

    async fn load(&mut self) -> Result<(), DeliveryError> {
        let id = &self.webhook.id;
        let filter = format!("{}.*", key::lane(id, self.lane));
        for (key, mut backlog) in list(&self.context.backlogs, &filter, BACKLOGS_MAX).await? {
            let Some(channel) =
                key.rsplit('.').next().and_then(|name| ChannelName::parse(name).ok())
            else {
                continue;
            };
            if backlog.failed_at < self.webhook.enabled_at {
                (backlog.attempts, backlog.due) = (0, UnixMillis::now());
            }
            self.wait(channel, backlog, Seq(0));
        }
        let dead = list(&self.context.dead, &filter, REPLAYS_MAX).await?;
        let mut replays: Vec<_> = dead.into_iter().filter(|(_, record)| record.replay).collect();
        replays.sort_unstable_by_key(|(_, record)| record.seq);
        self.replays = replays.into();
        self.start_replay();
        Ok(())
    }

    async fn deliver(&mut self, stop: &CancellationToken) -> Result<(), DeliveryError> {
        let mut renew = tokio::time::interval(RENEW_EVERY);
        renew.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reader: Option<pull::Ordered> = None;
        let mut head: Option<(Instant, LogEvent)> = None;
        loop {
            let next_due = self.start_due();
            let head_due = head.as_ref().map(|(due, _)| *due);
            if head_due.is_some_and(|due| due > Instant::now() + KEEP_READING) {
                reader = None;
            }
            let wants_more = head.is_none() && self.open.len() < OPEN_MAX;
            if wants_more && reader.is_none() {
                reader = Some(self.open_reader().await?);
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                Some(done) = self.tasks.join_next() => self.settle(done??, false).await?,
                _ = renew.tick() => self.renew().await?,
                () = sleep_until(head_due.unwrap_or(next_due)), if head_due.is_some() => {
                    if let Some((_, event)) = head.take() {
                        self.dispatch(event);
                    }
                }
                () = sleep_until(next_due) => {}
                event = read(&mut reader), if wants_more => {
                    if let Some(event) = self.understand(&event?) {
                        head = Some((self.due(&event), event));
                    }
                }
            }
        }
    }

    async fn open_reader(&self) -> Result<pull::Ordered, DeliveryError> {
        let log = self.context.replay.log();
        let config = pull::OrderedConfig {
            description: Some(format!("webhook {} {}", self.webhook.id, self.lane.as_str())),
            filter_subject: self.context.replay.subjects().log_of_all(),
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: self.seen.0 + 1 },
            max_batch: i64::try_from(OPEN_MAX).unwrap_or(i64::MAX),
            ..pull::OrderedConfig::default()
        };
        let open = async {
            let consumer = log.create_consumer(config).await.map_err(log_error)?;
            consumer.messages().await.map_err(log_error)
        };
        timeout(CALL_TIMEOUT, open).await.map_err(log_error)?
    }

    /// An event as it comes; nothing if it is none of Goch's.
    fn understand(&mut self, message: &async_nats::jetstream::Message) -> Option<LogEvent> {
        let seq = Seq(message.info().ok()?.stream_sequence);
        let channel = self.context.replay.subjects().channel_of_log(&message.subject);
        let event = channel.map(|channel| LogEvent {
            channel,
            seq,
            headers: message.headers.clone(),
            payload: message.payload.clone(),
        });
        let wanted = event.filter(|event| event.is_wanted(self.lane, &self.webhook));
        if wanted.is_none() {
            self.seen = seq;
        }
        wanted
    }

    /// When the event's turn is.
    fn due(&self, event: &LogEvent) -> Instant {
        match self.lane {
            Lane::Events => Instant::now(),
            Lane::Unread => {
                let due = after(event.time(), self.context.config.unread_after);
                Instant::now() + until(due)
            }
        }
    }

    /// Takes an event whose turn it is.
    fn dispatch(&mut self, event: LogEvent) {
        self.seen = event.seq;
        if let Some(wait) = self.waiting.get_mut(&event.channel) {
            wait.skipped = event.seq;
            return;
        }
        self.open.insert(event.seq);
        if let Some(queue) = self.queues.get_mut(&event.channel) {
            queue.push_back(event);
        } else {
            self.queues.insert(event.channel.clone(), VecDeque::new());
            self.start(event);
        }
    }

    fn attempt(&self) -> Attempt {
        Attempt {
            context: self.context.clone(),
            webhook: Arc::clone(&self.webhook),
            lane: self.lane,
            log: self.cursor.log,
            permits: Arc::clone(&self.permits),
        }
    }

    fn start(&mut self, event: LogEvent) {
        let attempt = self.attempt();
        self.tasks.spawn(async move {
            let outcome = attempt.deliver(&event).await;
            Ok(Done::Live { channel: event.channel, seq: event.seq, outcome })
        });
    }

    /// Starts the backlogs that are due; tells when the next one will be.
    fn start_due(&mut self) -> Instant {
        let now = UnixMillis::now();
        while self.tasks.len() < TASKS_MAX {
            match self.agenda.first() {
                Some((due, _)) if *due <= now => {}
                Some((due, _)) => return Instant::now() + until(*due),
                None => break,
            }
            let Some((_, channel)) = self.agenda.pop_first() else { break };
            let Some(wait) = self.waiting.get(&channel) else { continue };
            let (attempt, next, through) = (self.attempt(), wait.backlog.next, self.seen);
            self.tasks.spawn(async move {
                let event = attempt.first_of(&channel, next).await?;
                let found = match event.filter(|event| event.seq <= through) {
                    Some(event) => Some((event.seq, attempt.deliver(&event).await)),
                    None => None,
                };
                Ok(Done::Backlog { channel, through, found })
            });
        }
        // Until then, something else will happen.
        Instant::now() + RENEW_EVERY
    }

    fn start_replay(&mut self) {
        let Some((key, record)) = self.replays.pop_front() else { return };
        let attempt = self.attempt();
        self.tasks.spawn(async move {
            let outcome = match attempt.event_at(record.seq).await? {
                Some(event) => Some(attempt.deliver(&event).await),
                None => None,
            };
            Ok(Done::Replay { key, record, outcome })
        });
    }

    /// Learns how something ended. `is_last`: nothing more is to be started.
    async fn settle(&mut self, done: Done, is_last: bool) -> Result<(), DeliveryError> {
        match done {
            Done::Live { channel, seq, outcome } => {
                self.settle_live(channel, seq, outcome, is_last).await
            }
            Done::Backlog { channel, through, found } => {
                self.settle_backlog(channel, through, found).await
            }
            Done::Replay { key, record, outcome } => {
                match outcome {
                    None | Some(Outcome::Delivered | Outcome::Skipped) => {
                        erase(&self.context.dead, &key).await?;
                    }
                    Some(Outcome::Failed(error)) => {
                        let attempts = record.attempts + 1;
                        let failed_at = UnixMillis::now();
                        let record =
                            DeadRecord { attempts, failed_at, error, replay: false, ..record };
                        self.context.dead.put(&key, &record).await?;
                    }
                    // It stays marked.
                    Some(Outcome::Postponed) => {}
                    Some(Outcome::Gone) => return self.gone().await,
                }
                if !is_last {
                    self.start_replay();
                }
                Ok(())
            }
        }
    }

    async fn settle_live(
        &mut self,
        channel: ChannelName,
        seq: Seq,
        outcome: Outcome,
        is_last: bool,
    ) -> Result<(), DeliveryError> {
        self.judge(&outcome).await?;
        let queue = self.queues.remove(&channel).unwrap_or_default();
        if matches!(outcome, Outcome::Delivered | Outcome::Skipped) {
            self.open.remove(&seq);
            let mut queue = queue;
            if !is_last && let Some(event) = queue.pop_front() {
                self.queues.insert(channel, queue);
                self.start(event);
            }
            return Ok(());
        }
        let fresh =
            Backlog { next: seq, attempts: 0, due: UnixMillis(0), failed_at: UnixMillis(0) };
        let backlog = self.after_failure(fresh, seq, outcome).await?;
        self.context.backlogs.put(&self.backlog_key(&channel), &backlog).await?;
        let skipped = queue.back().map_or(seq, |event| event.seq);
        self.open.remove(&seq);
        for event in queue {
            self.open.remove(&event.seq);
        }
        self.wait(channel, backlog, skipped);
        Ok(())
    }

    async fn settle_backlog(
        &mut self,
        channel: ChannelName,
        through: Seq,
        found: Option<(Seq, Outcome)>,
    ) -> Result<(), DeliveryError> {
        let Some(wait) = self.waiting.get(&channel) else { return Ok(()) };
        let (backlog, skipped) = (wait.backlog.clone(), wait.skipped);
        let key = self.backlog_key(&channel);
        let Some((seq, outcome)) = found else {
            if skipped > through {
                self.wait(channel, backlog, skipped);
                return Ok(());
            }
            erase(&self.context.backlogs, &key).await?;
            self.waiting.remove(&channel);
            self.context.metrics.waiting.dec();
            return Ok(());
        };
        self.judge(&outcome).await?;
        let backlog = if matches!(outcome, Outcome::Delivered | Outcome::Skipped) {
            let next = Seq(seq.0 + 1);
            Backlog { next, attempts: 0, due: UnixMillis::now(), ..backlog }
        } else {
            self.after_failure(Backlog { next: seq, ..backlog }, seq, outcome).await?
        };
        self.context.backlogs.put(&key, &backlog).await?;
        self.wait(channel, backlog, skipped);
        Ok(())
    }

    /// How a backlog goes on after its event at `seq` has failed.
    async fn after_failure(
        &self,
        backlog: Backlog,
        seq: Seq,
        outcome: Outcome,
    ) -> Result<Backlog, DeliveryError> {
        let now = UnixMillis::now();
        let Outcome::Failed(error) = outcome else {
            return Ok(Backlog { due: after(now, POSTPONED), ..backlog });
        };
        let attempts = backlog.attempts + 1;
        let retries = &self.context.config.retries;
        let pause = usize::try_from(backlog.attempts).ok().and_then(|index| retries.get(index));
        let webhook = &self.webhook.id;
        if let Some(pause) = pause {
            tracing::debug!(webhook, %seq, attempts, error, "an event will be tried again");
            return Ok(Backlog {
                attempts,
                due: after(now, jittered(*pause)),
                failed_at: now,
                ..backlog
            });
        }
        tracing::warn!(webhook, %seq, attempts, error, "an event is given up");
        let record = DeadRecord { seq, attempts, failed_at: now, error, replay: false };
        self.context.dead.put(&key::dead(webhook, self.lane, seq), &record).await?;
        self.context.metrics.dead_letters.inc();
        Ok(Backlog { next: Seq(seq.0 + 1), attempts: 0, due: now, failed_at: now })
    }

    /// What an outcome means for the webhook as a whole.
    async fn judge(&mut self, outcome: &Outcome) -> Result<(), DeliveryError> {
        match outcome {
            Outcome::Delivered => self.cursor.failing_since = None,
            Outcome::Skipped | Outcome::Postponed => {}
            Outcome::Gone => return self.gone().await,
            Outcome::Failed(error) => {
                let now = UnixMillis::now();
                let since = *self.cursor.failing_since.get_or_insert(now);
                if now >= after(since, self.context.config.disable_after) {
                    let reason = format!("every request has failed for too long; at last: {error}");
                    self.context.disable(&self.webhook.id, &reason).await?;
                    return Err(DeliveryError::Disabled);
                }
            }
        }
        Ok(())
    }

    async fn gone(&self) -> Result<(), DeliveryError> {
        let reason = "the receiver answered 410 Gone";
        self.context.disable(&self.webhook.id, reason).await?;
        Err(DeliveryError::Disabled)
    }

    /// Has a channel wait until its backlog is due.
    fn wait(&mut self, channel: ChannelName, backlog: Backlog, skipped: Seq) {
        self.agenda.insert((backlog.due, channel.clone()));
        if self.waiting.insert(channel, Wait { backlog, skipped }).is_none() {
            self.context.metrics.waiting.inc();
        }
    }

    fn backlog_key(&self, channel: &ChannelName) -> String {
        key::backlog(&self.webhook.id, self.lane, channel)
    }

    /// Writes how far this is, and with it that this replica lives.
    async fn renew(&mut self) -> Result<(), DeliveryError> {
        let first_open = self.open.first();
        self.cursor.through = first_open.map_or(self.seen, |seq| Seq(seq.0.saturating_sub(1)));
        self.cursor.renewals += 1;
        let key = key::lane(&self.webhook.id, self.lane);
        let renewed = self.context.cursors.replace(&key, &self.cursor, self.revision).await?;
        self.revision = renewed.ok_or(DeliveryError::Lost)?;
        Ok(())
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.context.metrics.waiting.dec_by(i64::try_from(self.waiting.len()).unwrap_or_default());
    }
}

/// The next message.
async fn read(
    reader: &mut Option<pull::Ordered>,
) -> Result<async_nats::jetstream::Message, DeliveryError> {
    let Some(reader) = reader else { return std::future::pending().await };
    match reader.next().await {
        Some(Ok(message)) => Ok(message),
        Some(Err(error)) => Err(log_error(error)),
        None => {
            sleep(POSTPONED).await;
            Err(log_error("the consumer has ended"))
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn log_error(error: impl ToString) -> DeliveryError {
    DeliveryError::Log(error.to_string())
}

/// Up to a fifth longer, so that channels that failed together do not come back together.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(1.0 + fastrand::f64() / 5.0)
}
