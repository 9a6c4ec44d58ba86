//! What comes of an attempt: on to the next event, a backlog, a dead letter, or the webhook's end.

use std::time::Duration;

use goch_contract::{Seq, UnixMillis};

use super::{
    super::{
        POSTPONED,
        bucket::erase,
        moment::after,
        record::{Backlog, DeadRecord, Line, key},
    },
    Delivery, DeliveryError, Done,
    attempt::Outcome,
    waiting::Wait,
};

impl Delivery {
    /// Learns how something ended. `is_last`: nothing more is to be started.
    pub(super) async fn settle(&mut self, done: Done, is_last: bool) -> Result<(), DeliveryError> {
        match done {
            Done::Live { line, seq, outcome } => {
                self.settle_live(line, seq, outcome, is_last).await
            }
            Done::Backlog { line, through, found } => {
                self.settle_backlog(line, through, found).await
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
        line: Line,
        seq: Seq,
        outcome: Outcome,
        is_last: bool,
    ) -> Result<(), DeliveryError> {
        self.judge(&outcome).await?;
        let queue = self.queues.remove(&line).unwrap_or_default();
        if matches!(outcome, Outcome::Delivered | Outcome::Skipped) {
            self.open.remove(&seq);
            let mut queue = queue;
            if !is_last && let Some(event) = queue.pop_front() {
                self.queues.insert(line, queue);
                self.start(event);
            }
            return Ok(());
        }
        let fresh =
            Backlog { next: seq, attempts: 0, due: UnixMillis(0), failed_at: UnixMillis(0) };
        let backlog = self.after_failure(fresh, seq, outcome).await?;
        self.context.backlogs.put(&self.backlog_key(&line), &backlog).await?;
        let skipped = queue.back().map_or(seq, |event| event.seq);
        self.open.remove(&seq);
        for event in queue {
            self.open.remove(&event.seq);
        }
        self.waiting.insert(line, backlog, skipped);
        Ok(())
    }

    async fn settle_backlog(
        &mut self,
        line: Line,
        through: Seq,
        found: Option<(Seq, Outcome)>,
    ) -> Result<(), DeliveryError> {
        let Some(wait) = self.waiting.get(&line).cloned() else { return Ok(()) };
        let Wait { backlog, skipped } = wait;
        let key = self.backlog_key(&line);
        let Some((seq, outcome)) = found else {
            if skipped > through {
                self.waiting.insert(line, backlog, skipped);
                return Ok(());
            }
            erase(&self.context.backlogs, &key).await?;
            self.waiting.remove(&line);
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
        self.waiting.insert(line, backlog, skipped);
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
}

/// Up to a fifth longer, so that lines that failed together do not come back together.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(1.0 + fastrand::f64() / 5.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_up_to_a_fifth_longer_and_never_shorter() {
        let pause = Duration::from_secs(100);
        let pauses: Vec<_> = (0..1_000).map(|_| jittered(pause)).collect();
        assert!(pauses.iter().all(|it| (pause..=pause * 6 / 5).contains(it)));
        assert!(pauses.iter().max() > Some(&(pause * 11 / 10)));
    }
}
