//! Tells the log who joined, at least once.
//!
//! A member's record says whether the log has its `joined` event. It is published when the member is
//! registered; if that fails, or the process dies in between, some replica does it later: every
//! replica learns of such members as it follows the bucket. The event has the same deduplication id
//! each time, so it can be there twice only if it was stored, the record not updated, and longer
//! than the deduplication window passed until the next attempt.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use goch_chassis::shutdown::Shutdown;
use goch_contract::{
    ChannelName, Error, Uid,
    event::{Event, Joined, deduplication_id},
};
use prometheus_client::metrics::gauge::Gauge;
use tokio::time::Instant;

use crate::{
    log::Log,
    record::{MemberRecord, member_key},
    registry::bucket::{Bucket, Revised},
};

/// How long the replica that registers a member is given before another one does its work; the
/// spread keeps replicas from doing it all at once.
const PATIENCE: Duration = Duration::from_secs(5);
const SPREAD: Duration = Duration::from_secs(10);

/// How often it is looked whether anything is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How many are announced at a time, one after the other.
const BATCH: usize = 64;

/// How many may wait; those beyond are learnt of again when the bucket is next read from its
/// beginning.
const WAITING_MAX: usize = 100_000;

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Announcer {
    log: Log,
    members: Arc<Bucket<MemberRecord>>,
    waiting: Arc<Waiting>,
}

/// Members to announce.
#[derive(Debug)]
struct Waiting {
    due: Mutex<BTreeMap<(ChannelName, Uid), Instant>>,
    overflowed: AtomicBool,
    count: Gauge,
}

impl Announcer {
    pub(crate) fn new(log: Log, members: Arc<Bucket<MemberRecord>>, count: Gauge) -> Self {
        let waiting = Waiting { due: Mutex::default(), overflowed: AtomicBool::new(false), count };
        Self { log, members, waiting: Arc::new(waiting) }
    }

    /// Learns whether a member is announced, as the bucket says.
    pub(crate) fn note(&self, channel: &ChannelName, uid: &Uid, announced: bool) {
        let key = (channel.clone(), uid.clone());
        if announced { self.waiting.remove(&key) } else { self.waiting.add(key) }
    }

    /// Announces a member now, or leaves it for later.
    pub(crate) async fn announce_within(
        &self,
        time: Duration,
        channel: &ChannelName,
        member: Revised<MemberRecord>,
    ) {
        if member.record.announced {
            return;
        }
        let uid = member.record.uid.clone();
        let announced = tokio::time::timeout(time, self.announce(channel, member)).await;
        if !matches!(announced, Ok(Ok(()))) {
            tracing::warn!(%channel, %uid, "the joined event will follow");
            self.waiting.add((channel.clone(), uid));
        }
    }

    async fn announce(
        &self,
        channel: &ChannelName,
        mut member: Revised<MemberRecord>,
    ) -> Result<(), Error> {
        let uid = member.record.uid.clone();
        let event = Event::Joined(Joined {
            channel: channel.clone(),
            time: member.record.joined_at,
            uid: uid.clone(),
            display_name: member.record.display_name.clone(),
        });
        let deduplication_id = deduplication_id(channel, &uid, "joined");
        self.log.publish(channel, &event, deduplication_id, None).await?;
        member.record.announced = true;
        // If it has changed meanwhile, whoever changed it knows or will be told by the bucket.
        self.members.replace(&member_key(channel, &uid), &member).await?;
        Ok(())
    }

    /// Announces whoever is due, until the service ends. Calls `reread` when members were left out
    /// for want of room, and there is room again.
    pub(crate) async fn run(self, shutdown: Shutdown, reread: impl Fn()) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while shutdown.unless_begun(look.tick()).await.is_some() {
            for (channel, uid) in self.waiting.due(Instant::now()) {
                // The rest would fail the same way; all stay until they are announced.
                if self.announce_late(&channel, &uid).await.is_err() || shutdown.has_begun() {
                    break;
                }
                self.waiting.remove(&(channel, uid));
            }
            if self.waiting.has_room_again() {
                reread();
            }
        }
    }

    async fn announce_late(&self, channel: &ChannelName, uid: &Uid) -> Result<(), Error> {
        match self.members.get(&member_key(channel, uid)).await? {
            Some(member) if !member.record.announced => {
                self.announce(channel, member).await?;
                tracing::info!(%channel, %uid, "announced late");
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Waiting {
    fn with<T>(&self, change: impl FnOnce(&mut BTreeMap<(ChannelName, Uid), Instant>) -> T) -> T {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut due);
        self.count.set(i64::try_from(due.len()).unwrap_or(i64::MAX));
        result
    }

    fn add(&self, key: (ChannelName, Uid)) {
        let due_at = Instant::now() + PATIENCE + SPREAD.mul_f64(fastrand::f64());
        self.with(|due| {
            if due.len() < WAITING_MAX {
                due.entry(key).or_insert(due_at);
            } else {
                self.overflowed.store(true, Ordering::Relaxed);
            }
        });
    }

    fn remove(&self, key: &(ChannelName, Uid)) {
        self.with(|due| due.remove(key));
    }

    fn due(&self, now: Instant) -> Vec<(ChannelName, Uid)> {
        self.with(|due| {
            let is_due = due.iter().filter(|(_, due_at)| **due_at <= now);
            is_due.take(BATCH).map(|(key, _)| key.clone()).collect()
        })
    }

    fn has_room_again(&self) -> bool {
        self.with(|due| due.is_empty()) && self.overflowed.swap(false, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting() -> Waiting {
        let overflowed = AtomicBool::new(false);
        Waiting { due: Mutex::default(), overflowed, count: Gauge::default() }
    }

    fn key(uid: &str) -> (ChannelName, Uid) {
        (ChannelName::parse("c").unwrap(), Uid::parse(uid).unwrap())
    }

    #[test]
    fn the_replica_that_registers_is_given_time() {
        let waiting = waiting();
        waiting.add(key("ann"));
        assert!(waiting.due(Instant::now()).is_empty());
        let later = Instant::now() + PATIENCE + SPREAD;
        assert_eq!(waiting.due(later), [key("ann")]);
        waiting.remove(&key("ann"));
        assert!(waiting.due(later).is_empty());
    }

    #[test]
    fn hearing_of_a_member_again_does_not_put_it_off() {
        let waiting = waiting();
        waiting.add(key("ann"));
        let due_at = waiting.with(|due| due[&key("ann")]);
        waiting.add(key("ann"));
        assert_eq!(waiting.with(|due| due[&key("ann")]), due_at);
    }

    #[test]
    fn those_without_room_are_asked_for_again_once_there_is() {
        let waiting = waiting();
        for index in 0..=WAITING_MAX {
            waiting.add(key(&format!("u{index}")));
        }
        assert_eq!(waiting.with(|due| due.len()), WAITING_MAX);
        assert!(!waiting.has_room_again());
        waiting.with(BTreeMap::clear);
        assert!(waiting.has_room_again());
        assert!(!waiting.has_room_again());
    }
}
