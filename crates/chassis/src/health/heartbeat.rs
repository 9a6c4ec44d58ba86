//! Signs of life of event loops: each notes the time every second, and who is asked compares.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// How often a loop notes the time.
const BEAT_EVERY: Duration = Duration::from_secs(1);

/// A loop that has not noted the time for so long hangs. Long beside whatever a loaded machine does.
const HUNG_AFTER: Duration = Duration::from_secs(30);

/// The loops of a process that are alive or should be.
#[derive(Debug)]
pub(super) struct Heartbeats {
    begun: Instant,
    hung_after: Duration,
    hearts: Mutex<Vec<Arc<Heart>>>,
}

#[derive(Debug)]
struct Heart {
    name: String,
    /// When it last ran, in milliseconds after the beginning.
    beaten: AtomicU64,
}

/// The heartbeat of one loop; dropping it ends its watch.
pub(super) struct Heartbeat {
    heart: Arc<Heart>,
    heartbeats: Arc<Heartbeats>,
}

impl Default for Heartbeats {
    fn default() -> Self {
        #[cfg(debug_assertions)]
        let hung_after = crate::faults::hung_after().unwrap_or(HUNG_AFTER);
        #[cfg(not(debug_assertions))]
        let hung_after = HUNG_AFTER;
        Self { begun: Instant::now(), hung_after, hearts: Mutex::default() }
    }
}

impl Heartbeats {
    /// Watches a loop from `now` on.
    pub(super) fn add(self: &Arc<Self>, name: String, now: Instant) -> Heartbeat {
        let heart = Arc::new(Heart { name, beaten: AtomicU64::new(self.moment(now)) });
        self.hearts().push(Arc::clone(&heart));
        Heartbeat { heart, heartbeats: Arc::clone(self) }
    }

    /// The loops that hang, and for how long.
    pub(super) fn hung(&self, now: Instant) -> Vec<String> {
        let now = self.moment(now);
        let describe = |heart: &Arc<Heart>| {
            // It may have beaten since the clock was read.
            let silence = now.saturating_sub(heart.beaten.load(Ordering::Relaxed));
            let silence = Duration::from_millis(silence);
            let is_hung = silence >= self.hung_after;
            is_hung.then(|| format!("{} for {} s", heart.name, silence.as_secs()))
        };
        self.hearts().iter().filter_map(describe).collect()
    }

    fn moment(&self, now: Instant) -> u64 {
        let milliseconds = now.saturating_duration_since(self.begun).as_millis();
        u64::try_from(milliseconds).unwrap_or(u64::MAX)
    }

    fn hearts(&self) -> MutexGuard<'_, Vec<Arc<Heart>>> {
        self.hearts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Heartbeat {
    /// Beats for ever.
    pub(super) async fn run(self) {
        loop {
            self.beat(Instant::now());
            tokio::time::sleep(BEAT_EVERY).await;
        }
    }

    fn beat(&self, now: Instant) {
        self.heart.beaten.store(self.heartbeats.moment(now), Ordering::Relaxed);
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.heartbeats.hearts().retain(|heart| !Arc::ptr_eq(heart, &self.heart));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_hangs_when_it_has_not_run_for_half_a_minute_and_is_named() {
        let heartbeats = Arc::new(Heartbeats::default());
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        let one = heartbeats.add("worker 1".to_owned(), begun);
        let two = heartbeats.add("worker 2".to_owned(), begun);
        assert!(heartbeats.hung(after(29)).is_empty());
        one.beat(after(29));
        assert_eq!(heartbeats.hung(after(31)), ["worker 2 for 31 s"]);
        assert_eq!(heartbeats.hung(after(60)).len(), 2);
        two.beat(after(59));
        assert_eq!(heartbeats.hung(after(60)), ["worker 1 for 31 s"]);
        // A loop that has ended in order does not hang.
        drop(one);
        assert!(heartbeats.hung(after(60)).is_empty());
    }
}
