//! Finishes what a replica left half done: it died, or something it needed was away.
//!
//! Channels are heard of as the keeper follows their bucket. Erasures, of people and of messages, are
//! few, so their buckets are read now and then.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use goch_chassis::shutdown::Shutdown;
use goch_contract::{ChannelName, Error, Person, Seq};
use tokio::time::{Instant, MissedTickBehavior};

use super::Lifecycle;

/// How long the replica that began it is given before another one goes on; the spread keeps replicas
/// from doing it all at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
pub(crate) const SPREAD: Duration = Duration::from_secs(10);

/// What is finished at the same time: each step waits for others, and after an outage there is much to do.
const AT_ONCE: usize = 8;

/// How often it is looked whether anything is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often the buckets of erasures and of deletions are read.
const ERASURES_EVERY: Duration = Duration::from_secs(15);

/// Erasures and deletions learnt of at a time.
const ERASURES_MAX: usize = 1_000;

/// Something that is not finished.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Unfinished {
    /// A channel is being deleted, or the log lacks the event of its last turn.
    Channel(ChannelName),
    /// A person's data is being erased.
    Erasure(Person),
    /// A message is being deleted.
    Message(ChannelName, Seq),
}

impl Lifecycle {
    /// Finishes what is due, until the service ends. Calls `reread` when something was left out for
    /// want of room, and there is room again.
    pub(crate) async fn run(self, shutdown: Shutdown, reread: impl Fn()) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut erasures = tokio::time::interval(ERASURES_EVERY);
        erasures.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let work = async {
                tokio::select! {
                    _ = look.tick() => self.finish_due(&shutdown).await,
                    _ = erasures.tick() => {
                        self.learn_of_erasures().await;
                        self.learn_of_deletions().await;
                    }
                }
            };
            if shutdown.unless_begun(work).await.is_none() {
                return;
            }
            if self.unfinished.has_room_again() {
                reread();
            }
        }
    }

    async fn finish_due(&self, shutdown: &Shutdown) {
        let due = self.unfinished.due(Instant::now());
        let finishing = due.into_iter().map(async |unfinished| {
            if shutdown.has_begun() {
                return;
            }
            // One that fails, for example because a service is away, must not hold up the others.
            let outcome = self.finish(&unfinished).await;
            self.unfinished.remove(&unfinished);
            if let Err(error) = outcome {
                tracing::debug!(work = ?unfinished, %error, "still not finished");
                self.unfinished.add(unfinished);
            }
        });
        stream::iter(finishing).buffer_unordered(AT_ONCE).collect::<()>().await;
    }

    async fn finish(&self, unfinished: &Unfinished) -> Result<(), Error> {
        match unfinished {
            Unfinished::Channel(name) => {
                let Some(stored) = self.buckets.channels.get(&name.token()).await? else {
                    return Ok(());
                };
                if stored.record.deleting {
                    return self.finish_deletion(name).await;
                }
                if !stored.record.announced {
                    return self.announce_turn(stored).await;
                }
                Ok(())
            }
            Unfinished::Erasure(person) => self.finish_erasure(person).await,
            Unfinished::Message(channel, message) => self.finish_message(channel, *message).await,
        }
    }

    async fn learn_of_erasures(&self) {
        match self.buckets.erasures.records(">", ERASURES_MAX).await {
            Ok(records) => {
                for record in records {
                    self.unfinished.add(Unfinished::Erasure(record.person));
                }
            }
            Err(error) => tracing::debug!(%error, "erasures cannot be read"),
        }
    }

    async fn learn_of_deletions(&self) {
        match self.buckets.deletions.records(">", ERASURES_MAX).await {
            Ok(records) => {
                for record in records {
                    self.unfinished.add(Unfinished::Message(record.channel, record.message));
                }
            }
            Err(error) => tracing::debug!(%error, "deletions cannot be read"),
        }
    }
}
