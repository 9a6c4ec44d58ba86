//! How often something may be done: at a steady rate, of which one period's worth may come at once.
//!
//! The generic cell rate algorithm (ITU-T I.371): one number, the moment from which everything that
//! was taken is paid for, so many threads can take from one meter without a lock.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// So many times within a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quota {
    /// Nanoseconds that one costs.
    cost: u64,
    /// Nanoseconds that may be owed.
    credit: u64,
}

impl Quota {
    /// `count` times within `period`; nothing, which stands for no limit, if `count` is 0.
    pub(crate) fn per(count: u32, period: Duration) -> Option<Self> {
        let credit = nanoseconds(period);
        let cost = credit.checked_div(u64::from(count))?;
        Some(Self { cost, credit })
    }
}

/// Counts against a quota.
#[derive(Debug)]
pub(crate) struct Meter {
    quota: Option<Quota>,
    started: Instant,
    /// Nanoseconds from `started` to the moment at which nothing is owed any more.
    paid_at: AtomicU64,
}

impl Meter {
    /// A meter from which nothing has been taken; without a quota everything may be.
    pub(crate) fn new(quota: Option<Quota>) -> Self {
        Self { quota, started: Instant::now(), paid_at: AtomicU64::new(0) }
    }

    /// Takes one.
    ///
    /// # Errors
    /// When there is none to take: how long until there is.
    pub(crate) fn take(&self, now: Instant) -> Result<(), Duration> {
        self.take_many(1, now)
    }

    /// Takes `count` at once; more than a period's worth cost no more than that.
    ///
    /// # Errors
    /// When there are not as many: how long until there are.
    pub(crate) fn take_many(&self, count: u32, now: Instant) -> Result<(), Duration> {
        let Some(Quota { cost, credit }) = self.quota else { return Ok(()) };
        let now = self.since_start(now);
        let cost = cost.saturating_mul(count.into()).min(credit);
        let charge = |paid_at: u64| paid_at.max(now).saturating_add(cost);
        let affordable = |paid_at| Some(charge(paid_at)).filter(|paid| paid - now <= credit);
        self.paid_at
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, affordable)
            .map(drop)
            .map_err(|paid_at| Duration::from_nanos((charge(paid_at) - now).saturating_sub(credit)))
    }

    /// Takes one if there is one, and tells whether there was; for what is counted after it happened.
    pub(crate) fn note(&self, now: Instant) -> bool {
        self.take(now).is_ok()
    }

    /// How long until there is one to take; nothing if there is one now.
    pub(crate) fn wait(&self, now: Instant) -> Option<Duration> {
        let Quota { cost, credit } = self.quota?;
        let now = self.since_start(now);
        let owed = self.paid_at.load(Ordering::Relaxed).saturating_sub(now).saturating_add(cost);
        (owed > credit).then(|| Duration::from_nanos(owed - credit))
    }

    /// Whether something was taken lately that is not paid for yet.
    pub(crate) fn owes(&self, now: Instant) -> bool {
        self.paid_at.load(Ordering::Relaxed) > self.since_start(now)
    }

    fn since_start(&self, now: Instant) -> u64 {
        nanoseconds(now.saturating_duration_since(self.started))
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn taken(meter: &Meter, attempts: usize, now: Instant) -> usize {
        (0..attempts).filter(|_| meter.take(now).is_ok()).count()
    }

    #[test]
    fn a_periods_worth_may_come_at_once_and_then_at_the_rate() {
        let meter = Meter::new(Quota::per(5, Duration::from_secs(1)));
        let start = Instant::now();
        assert_eq!(taken(&meter, 10, start), 5);
        let later = start + Duration::from_millis(400);
        assert_eq!(taken(&meter, 10, later), 2);
        let much_later = later + Duration::from_secs(100);
        assert_eq!(taken(&meter, 10, much_later), 5);
    }

    #[test]
    fn many_are_taken_at_once_or_not_at_all_and_never_for_more_than_a_period() {
        let meter = Meter::new(Quota::per(10, Duration::from_secs(1)));
        let start = Instant::now();
        assert!(meter.take_many(8, start).is_ok());
        assert!(meter.take_many(3, start).is_err());
        assert_eq!(taken(&meter, 10, start), 2);
        let later = start + Duration::from_secs(1);
        assert!(meter.take_many(1_000, later).is_ok() && meter.take(later).is_err());
    }

    #[test]
    fn what_is_owed_can_be_looked_at_without_taking() {
        let meter = Meter::new(Quota::per(2, Duration::from_secs(1)));
        let start = Instant::now();
        assert!(!meter.owes(start) && meter.wait(start).is_none());
        assert!(meter.note(start) && meter.owes(start) && meter.wait(start).is_none());
        assert!(meter.note(start) && !meter.note(start));
        let wait = meter.wait(start).unwrap();
        assert!(wait <= Duration::from_millis(501), "{wait:?}");
        assert!(meter.wait(start + wait).is_none());
        assert!(!meter.owes(start + Duration::from_secs(1)));
    }

    #[test]
    fn without_a_quota_there_is_no_limit() {
        let meter = Meter::new(Quota::per(0, Duration::from_secs(1)));
        assert_eq!(taken(&meter, 1_000, Instant::now()), 1_000);
    }

    proptest! {
        #[test]
        fn after_the_wait_that_is_told_there_is_one_to_take(count in 1_u32..1_000, pauses in
            proptest::collection::vec(0_u64..200, 1..200)) {
            let period = Duration::from_secs(1);
            let meter = Meter::new(Quota::per(count, period));
            let start = Instant::now();
            let (mut now, mut granted) = (start, 0_u32);
            for pause in pauses {
                now += Duration::from_millis(pause);
                match meter.take(now) {
                    Ok(()) => granted += 1,
                    Err(wait) => {
                        prop_assert!(!wait.is_zero() && wait <= period);
                        now += wait;
                        prop_assert!(meter.take(now).is_ok());
                        granted += 1;
                    }
                }
            }
            let most = f64::from(count) * (1.0 + (now - start).as_secs_f64()) * 1.001 + 1.0;
            prop_assert!(f64::from(granted) <= most);
        }
    }
}
