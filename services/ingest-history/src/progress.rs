//! How far the log has been written to Redis by all replicas together.
//!
//! Replicas share one consumer, so each writes a part of the log, and the latest events in Redis may
//! have holes. The consumer's acknowledgement floor says up to where there are none: every event at
//! or below it is acknowledged, and acknowledged is only what is in Redis.

use std::time::{Duration, Instant};

use async_nats::jetstream::consumer;
use goch_contract::Seq;

/// Without progress for this long, or without news of it, answers that reach up to a channel's
/// latest event come from the log.
const STALE_AFTER: Duration = Duration::from_secs(1);

/// With more events than this waiting, too.
const BACKLOG_MAX: u64 = 1_000;

/// What is known of the consumer. Cheap to copy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    /// When the log was created, in Unix milliseconds: tells it from an earlier one.
    pub(crate) generation: u64,
    /// Whether events leave the log by themselves, for their age.
    pub(crate) expires: bool,
    /// Every event up to here is in Redis, or was.
    pub(crate) written: Seq,
    /// Events that are not.
    pub(crate) waiting: u64,
    /// Events that somebody is writing, or was given to write.
    pub(crate) in_hand: u64,
    /// When nothing was waiting, or something was written, for the last time.
    moved: Instant,
}

impl Progress {
    /// Nothing is known yet of the log of this generation.
    pub(crate) fn new(generation: u64, expires: bool) -> Self {
        Self {
            generation,
            expires,
            written: Seq(0),
            waiting: u64::MAX,
            in_hand: u64::MAX,
            moved: Instant::now(),
        }
    }

    /// After news from the consumer.
    pub(crate) fn after(self, info: &consumer::Info) -> Self {
        let pending = u64::try_from(info.num_ack_pending).unwrap_or(u64::MAX);
        let waiting = info.num_pending.saturating_add(pending);
        // A consumer that was created anew begins at the first event, but what was written stays.
        let written = self.written.max(Seq(info.ack_floor.stream_sequence));
        let has_moved = written > self.written || waiting == 0;
        let moved = if has_moved { Instant::now() } else { self.moved };
        Self { written, waiting, in_hand: pending, moved, ..self }
    }

    /// Whether Redis may lack so much of a channel's latest events that the log is to be asked.
    pub(crate) fn is_behind(&self) -> bool {
        self.waiting > BACKLOG_MAX || self.is_stale()
    }

    /// Whether events up to `needed` are written, or waiting for them leads nowhere.
    pub(crate) fn need_not_be_awaited(&self, needed: Seq) -> bool {
        self.written >= needed || self.is_behind()
    }

    fn is_stale(&self) -> bool {
        self.moved.elapsed() > STALE_AFTER
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn info(floor: u64, pending: u64, unacknowledged: u64) -> consumer::Info {
        serde_json::from_value(json!({
            "stream_name": "goch_log", "name": "ingest-history",
            "created": "2026-01-01T00:00:00Z",
            "config": {"ack_policy": "explicit", "deliver_policy": "all", "replay_policy": "instant"},
            "delivered": {"consumer_seq": floor, "stream_seq": floor},
            "ack_floor": {"consumer_seq": floor, "stream_seq": floor},
            "num_ack_pending": unacknowledged, "num_redelivered": 0, "num_waiting": 0,
            "num_pending": pending,
        }))
        .unwrap()
    }

    #[test]
    fn what_was_written_stays_written_when_the_consumer_begins_anew() {
        let progress = Progress::new(1, false).after(&info(50, 0, 0)).after(&info(3, 47, 0));
        assert_eq!(progress.written, Seq(50));
    }

    #[test]
    fn redis_is_behind_before_the_first_news_with_a_backlog_and_without_progress() {
        assert!(Progress::new(1, false).is_behind());
        assert!(Progress::new(1, false).after(&info(5, 5_000, 0)).is_behind());
        let mut progress = Progress::new(1, false).after(&info(5, 0, 0));
        assert!(!progress.is_behind());
        progress.moved = Instant::now().checked_sub(STALE_AFTER * 2).unwrap();
        assert!(progress.after(&info(5, 0, 1)).is_behind());
        assert!(!progress.after(&info(6, 0, 1)).is_behind());
    }

    #[test]
    fn a_backlog_is_what_nobody_was_given_and_what_nobody_has_acknowledged() {
        let behind = |pending, unacknowledged| {
            let progress = Progress::new(1, false).after(&info(5, pending, unacknowledged));
            assert_eq!(progress.in_hand, unacknowledged);
            assert_eq!(progress.waiting, pending + unacknowledged);
            progress.is_behind()
        };
        assert!(!behind(0, BACKLOG_MAX) && !behind(BACKLOG_MAX - 1, 1));
        assert!(behind(BACKLOG_MAX, 1) && behind(1, BACKLOG_MAX));
    }

    #[test]
    fn events_are_awaited_that_are_about_to_be_written() {
        let current = Progress::new(1, false).after(&info(5, 0, 1));
        assert!(current.need_not_be_awaited(Seq(5)) && !current.need_not_be_awaited(Seq(6)));
        let behind = Progress::new(1, false).after(&info(5, 5_000, 0));
        assert!(behind.need_not_be_awaited(Seq(6)));
    }

    #[test]
    fn whatever_is_learnt_of_the_consumer_the_log_stays_the_same_one() {
        let progress = Progress::new(7, true).after(&info(5, 0, 0));
        assert_eq!((progress.generation, progress.expires), (7, true));
    }
}
