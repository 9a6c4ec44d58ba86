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
}
