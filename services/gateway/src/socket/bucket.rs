//! How many frames a socket may send: a token bucket that holds a second's worth.

use std::time::Instant;

/// See the module.
#[derive(Debug)]
pub(super) struct Bucket {
    per_second: f64,
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    /// A full bucket.
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        let per_second = f64::from(per_second);
        Self { per_second, tokens: per_second, filled: now }
    }

    /// Takes a token, if there is one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.filled = now;
        self.tokens = (self.tokens + elapsed * self.per_second).min(self.per_second);
        let allowed = self.tokens >= 1.0;
        if allowed {
            self.tokens -= 1.0;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_seconds_worth_may_come_at_once_and_then_at_the_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(5, start);
        assert_eq!((0..10).filter(|_| bucket.take(start)).count(), 5);
        let later = start + Duration::from_millis(400);
        assert_eq!((0..10).filter(|_| bucket.take(later)).count(), 2);
        let much_later = later + Duration::from_secs(100);
        assert_eq!((0..10).filter(|_| bucket.take(much_later)).count(), 5);
    }

    proptest! {
        #[test]
        fn no_span_of_time_has_more_than_its_rate_and_one_seconds_worth(
            per_second in 1_u32..20,
            pauses in prop::collection::vec(prop_oneof![8 => Just(0), 1 => 0_u64..3_000], 1..150),
        ) {
            let start = Instant::now();
            let mut bucket = Bucket::new(per_second, start);
            let (mut elapsed, mut taken) = (Duration::ZERO, Vec::new());
            for pause in pauses {
                elapsed += Duration::from_millis(pause);
                if bucket.take(start + elapsed) {
                    taken.push(elapsed);
                }
            }
            for (index, from) in taken.iter().enumerate() {
                for (count, to) in (1_u32..).zip(&taken[index..]) {
                    let most = f64::from(per_second) * (1.0 + to.saturating_sub(*from).as_secs_f64());
                    // A millionth for what rounding adds.
                    prop_assert!(f64::from(count) <= most + 1e-6);
                }
            }
        }

        #[test]
        fn whoever_keeps_to_the_rate_is_never_refused(per_second in 1_u32..200, frames in 1_u32..300) {
            let start = Instant::now();
            let mut bucket = Bucket::new(per_second, start);
            for frame in 0..frames {
                let due = Duration::from_secs(frame.into()) / per_second;
                prop_assert!(bucket.take(start + due));
            }
        }
    }
}
