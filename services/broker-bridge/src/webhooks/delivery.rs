//! Delivers a lane of a webhook while this replica holds it.
//!
//! What is in one line, as the events of a channel are, goes one after the other, different lines side by
//! side. When one fails, its line gets a backlog: a record of the event to go on with. From then on the line's
//! events are passed over as they come, and read from the log again when their turn has come; once
//! none is left, the backlog goes and the line is live again. The cursor moves on either way.

mod attempt;
mod reader;
mod settle;
mod waiting;

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use goch_contract::{Error, Seq, UnixMillis};
use tokio::{
    sync::Semaphore,
    task::{JoinError, JoinSet},
    time::{Instant, MissedTickBehavior, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use self::{
    attempt::{Attempt, Outcome},
    reader::Reader,
    waiting::Waiting,
};
use super::{
    Webhooks,
    bucket::{Entry, Revised, list},
    lane::RENEW_EVERY,
    moment::{after, until},
    notice::LogEvent,
    record::{Cursor, DeadRecord, Lane, Line, WebhookRecord, key},
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

/// While nothing is due for longer than this, the log is not read.
const KEEP_READING: Duration = Duration::from_secs(2);

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

/// What a task tells when it ends.
enum Done {
    /// An event that came from the reader.
    Live { line: Line, seq: Seq, outcome: Outcome },
    /// The next event of a backlog, if there was one up to `through`.
    Backlog { line: Line, through: Seq, found: Option<(Seq, Outcome)> },
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
    /// Lines with a request under way, and the events that follow it.
    queues: HashMap<Line, VecDeque<LogEvent>>,
    waiting: Waiting,
    replays: VecDeque<(DeadRecord, String)>,
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
        let waiting = Waiting::new(context.metrics.waiting.clone());
        Self {
            context,
            webhook,
            lane,
            seen: cursor.through,
            cursor,
            revision,
            open: BTreeSet::new(),
            queues: HashMap::new(),
            waiting,
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
            let Some(line) = key.rsplit('.').next().and_then(Line::of_token) else { continue };
            if backlog.failed_at < self.webhook.enabled_at {
                (backlog.attempts, backlog.due) = (0, UnixMillis::now());
            }
            self.waiting.insert(line, backlog, Seq(0));
        }
        if self.webhook.replays > 0 {
            self.load_replays(&filter).await;
        }
        self.start_replay();
        Ok(())
    }

    /// Finds the dead letters that are to be tried again, however many others there are. Delivering does
    /// not depend on it.
    async fn load_replays(&mut self, filter: &str) {
        let dead = &self.context.dead;
        let pick = |entry: Entry| {
            let record = dead.parse(&entry.key, &entry.value).ok()?;
            record.replay.then_some((record.seq, (record, entry.key)))
        };
        match dead.first(filter, REPLAYS_MAX, pick).await {
            Ok(marked) => self.replays = marked.into(),
            Err(error) => {
                let webhook = &self.webhook.id;
                tracing::warn!(webhook, %error, "dead letters are not tried again now");
            }
        }
    }

    async fn deliver(&mut self, stop: &CancellationToken) -> Result<(), DeliveryError> {
        let mut renew = tokio::time::interval(RENEW_EVERY);
        renew.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let name = format!("webhook {} {}", self.webhook.id, self.lane.as_str());
        let mut reader = Reader::new(&self.context.replay, name);
        let mut head: Option<(Instant, LogEvent)> = None;
        loop {
            let next_due = self.start_due();
            let head_due = head.as_ref().map(|(due, _)| *due);
            if head_due.is_some_and(|due| due > Instant::now() + KEEP_READING) {
                reader.close();
            }
            let wants_more = head.is_none() && self.open.len() < OPEN_MAX;
            if wants_more {
                reader.open(self.seen).await?;
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
                event = reader.next(), if wants_more => {
                    if let Some(event) = self.understand(&event?) {
                        head = Some((self.due(&event), event));
                    }
                }
            }
        }
    }

    /// An event as it comes; nothing if it is none of Goch's.
    fn understand(&mut self, message: &async_nats::jetstream::Message) -> Option<LogEvent> {
        let seq = Seq(message.info().ok()?.stream_sequence);
        let subjects = self.context.replay.subjects();
        let (headers, payload) = (message.headers.clone(), message.payload.clone());
        let event = LogEvent::new(subjects, &message.subject, seq, headers, payload);
        let wanted =
            event.filter(|event| event.is_wanted(self.lane, &self.webhook, &self.context.tenants));
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
        if self.waiting.pass_over(&event.line, event.seq) {
            return;
        }
        self.open.insert(event.seq);
        if let Some(queue) = self.queues.get_mut(&event.line) {
            queue.push_back(event);
        } else {
            self.queues.insert(event.line.clone(), VecDeque::new());
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
            Ok(Done::Live { line: event.line, seq: event.seq, outcome })
        });
    }

    /// Starts the backlogs that are due; tells when the next one will be.
    fn start_due(&mut self) -> Instant {
        let now = UnixMillis::now();
        // If none is known, something else will happen until then.
        let later = Instant::now() + RENEW_EVERY;
        while self.tasks.len() < TASKS_MAX {
            let Some((line, next)) = self.waiting.pop_due(now) else {
                let next_due = self.waiting.next_due();
                return next_due.map_or(later, |due| Instant::now() + until(due));
            };
            let (attempt, through) = (self.attempt(), self.seen);
            self.tasks.spawn(async move {
                let event = attempt.first_of(&line, next).await?;
                let found = match event.filter(|event| event.seq <= through) {
                    Some(event) => Some((event.seq, attempt.deliver(&event).await)),
                    None => None,
                };
                Ok(Done::Backlog { line, through, found })
            });
        }
        later
    }

    fn start_replay(&mut self) {
        let Some((record, key)) = self.replays.pop_front() else { return };
        let attempt = self.attempt();
        self.tasks.spawn(async move {
            let outcome = match attempt.event_at(record.seq).await? {
                Some(event) => Some(attempt.deliver(&event).await),
                None => None,
            };
            Ok(Done::Replay { key, record, outcome })
        });
    }

    fn backlog_key(&self, line: &Line) -> String {
        key::backlog(&self.webhook.id, self.lane, line)
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

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn log_error(error: impl ToString) -> DeliveryError {
    DeliveryError::Log(error.to_string())
}
