//! What is to be done later, unless somebody else does it first.
//!
//! Every replica learns of the same unfinished work as it follows the buckets. Each waits, by chance
//! shorter or longer, so that seldom two of them do it.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use prometheus_client::metrics::gauge::Gauge;
use tokio::time::Instant;

/// How many are handed out at a time.
const BATCH: usize = 64;

/// How many may wait; those beyond are learnt of again when the bucket is next read from its
/// beginning.
const WAITING_MAX: usize = 100_000;

/// See the module.
#[derive(Debug)]
pub(crate) struct Waiting<K> {
    due: Mutex<BTreeMap<K, Instant>>,
    overflowed: AtomicBool,
    count: Gauge,
    patience: Duration,
    spread: Duration,
}

impl<K: Ord + Clone> Waiting<K> {
    /// Whatever is added falls due after `patience` and up to `spread` more.
    pub(crate) fn new(patience: Duration, spread: Duration, count: Gauge) -> Self {
        let overflowed = AtomicBool::new(false);
        Self { due: Mutex::default(), overflowed, count, patience, spread }
    }

    fn with<T>(&self, change: impl FnOnce(&mut BTreeMap<K, Instant>) -> T) -> T {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut due);
        self.count.set(i64::try_from(due.len()).unwrap_or(i64::MAX));
        result
    }

    /// Adds work; what waits already is not put off.
    pub(crate) fn add(&self, key: K) {
        let due_at = Instant::now() + self.patience + self.spread.mul_f64(fastrand::f64());
        self.with(|due| {
            if due.len() < WAITING_MAX {
                due.entry(key).or_insert(due_at);
            } else {
                self.overflowed.store(true, Ordering::Relaxed);
            }
        });
    }

    /// It is done.
    pub(crate) fn remove(&self, key: &K) {
        self.with(|due| due.remove(key));
    }

    /// What is due, or some of it.
    pub(crate) fn due(&self, now: Instant) -> Vec<K> {
        self.with(|due| {
            let is_due = due.iter().filter(|(_, due_at)| **due_at <= now);
            is_due.take(BATCH).map(|(key, _)| key.clone()).collect()
        })
    }

    /// Whether some were left out for want of room, and there is room again. True once.
    pub(crate) fn has_room_again(&self) -> bool {
        self.with(|due| due.is_empty()) && self.overflowed.swap(false, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);
    const SPREAD: Duration = Duration::from_secs(10);

    fn waiting() -> Waiting<String> {
        Waiting::new(PATIENCE, SPREAD, Gauge::default())
    }

    #[test]
    fn whoever_began_it_is_given_time() {
        let waiting = waiting();
        waiting.add("ann".to_owned());
        assert!(waiting.due(Instant::now()).is_empty());
        let later = Instant::now() + PATIENCE + SPREAD;
        assert_eq!(waiting.due(later), ["ann"]);
        waiting.remove(&"ann".to_owned());
        assert!(waiting.due(later).is_empty());
    }

    #[test]
    fn hearing_of_it_again_does_not_put_it_off() {
        let waiting = waiting();
        waiting.add("ann".to_owned());
        let due_at = waiting.with(|due| due["ann"]);
        waiting.add("ann".to_owned());
        assert_eq!(waiting.with(|due| due["ann"]), due_at);
    }

    #[test]
    fn those_without_room_are_asked_for_again_once_there_is() {
        let waiting = waiting();
        for index in 0..=WAITING_MAX {
            waiting.add(format!("u{index}"));
        }
        assert_eq!(waiting.with(|due| due.len()), WAITING_MAX);
        assert!(!waiting.has_room_again());
        waiting.with(BTreeMap::clear);
        assert!(waiting.has_room_again());
        assert!(!waiting.has_room_again());
    }
}
