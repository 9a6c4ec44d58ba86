//! Slows down whoever guesses credentials.
//!
//! An address may be wrong a few times. Then it has to wait after each further failure, twice as long
//! each time, and meanwhile nothing that it shows is looked at. While there are many failures from all
//! addresses together, the first one is followed by a wait. Whatever others do, an address that has not
//! failed is never made to wait, so nobody can lock ticketing out from elsewhere.
//! Of IPv6 an address is its /64, the least that one customer is given (RFC 6177).

use std::{
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use goch_chassis::http::limited_as;
use lru::LruCache;

/// Failures of an address before it has to wait.
const FREE: u32 = 10;

/// The first wait, and the longest.
const WAIT_MIN: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_mins(1);

/// After how long without a failure an address is as good as new.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(10);

/// Failures of all addresses within [`WINDOW`] from which on none is free.
const MANY: u32 = 100;
const WINDOW: Duration = Duration::from_mins(1);

/// Addresses remembered; the longest unused is forgotten first.
const ADDRESSES_MAX: usize = 10_000;

/// See the module. Locked for a lookup at each login.
pub(crate) struct Throttle(Mutex<State>);

struct State {
    addresses: LruCache<IpAddr, Failures>,
    window: Window,
}

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
    wait_until: Instant,
}

/// Failures of all addresses, of late.
struct Window {
    since: Instant,
    failures: u32,
}

impl Window {
    /// Counts a failure, and tells whether there are many.
    fn count(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.since) >= WINDOW {
            *self = Self { since: now, failures: 0 };
        }
        self.failures = self.failures.saturating_add(1);
        self.failures > MANY
    }
}

impl Throttle {
    pub(crate) fn new() -> Self {
        // Unbounded means "no allocation up front"; the bound is kept in `note_failure`.
        let addresses = LruCache::unbounded();
        Self(Mutex::new(State { addresses, window: Window { since: Instant::now(), failures: 0 } }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an address may try now.
    ///
    /// # Errors
    /// How long it has to wait.
    pub(crate) fn check(&self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let mut state = self.state();
        let Some(failures) = state.addresses.get(&limited_as(address)) else { return Ok(()) };
        let wait = failures.wait_until.saturating_duration_since(now);
        if wait.is_zero() { Ok(()) } else { Err(wait) }
    }

    /// Notes that an address was wrong.
    pub(crate) fn note_failure(&self, address: IpAddr, now: Instant) {
        let address = limited_as(address);
        let mut state = self.state();
        let free = if state.window.count(now) { 0 } else { FREE };
        let earlier = state.addresses.pop(&address).map(|failures| {
            let is_old = now.saturating_duration_since(failures.last) >= FORGOTTEN_AFTER;
            if is_old { 0 } else { failures.count }
        });
        let count = earlier.unwrap_or_default().saturating_add(1);
        let wait_until = now + wait_after(count.saturating_sub(free));
        if state.addresses.len() >= ADDRESSES_MAX {
            state.addresses.pop_lru();
        }
        state.addresses.put(address, Failures { count, last: now, wait_until });
    }

    /// Notes that an address was right.
    pub(crate) fn note_success(&self, address: IpAddr) {
        self.state().addresses.pop(&limited_as(address));
    }
}

/// How long the `count`th failure that is not free is followed by a wait.
fn wait_after(count: u32) -> Duration {
    let Some(doublings) = count.checked_sub(1) else { return Duration::ZERO };
    let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
    WAIT_MIN.saturating_mul(factor).min(WAIT_MAX)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const ANN: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    const BEN: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

    fn wait(throttle: &Throttle, address: IpAddr, now: Instant) -> u64 {
        throttle.check(address, now).err().map_or(0, |wait| wait.as_secs())
    }

    #[test]
    fn after_some_failures_each_is_followed_by_a_longer_wait_up_to_a_minute() {
        let (throttle, mut now) = (Throttle::new(), Instant::now());
        for _ in 0..FREE {
            throttle.note_failure(ANN, now);
            assert_eq!(wait(&throttle, ANN, now), 0);
        }
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            throttle.note_failure(ANN, now);
            assert_eq!(wait(&throttle, ANN, now), seconds);
            assert_eq!(wait(&throttle, BEN, now), 0, "nobody else waits");
            now += Duration::from_secs(seconds);
            assert_eq!(wait(&throttle, ANN, now), 0);
        }
        now += FORGOTTEN_AFTER;
        throttle.note_failure(ANN, now);
        assert_eq!(wait(&throttle, ANN, now), 0, "it was long ago");
        for _ in 0..10_000 {
            throttle.note_failure(ANN, now);
        }
        assert_eq!(wait(&throttle, ANN, now), WAIT_MAX.as_secs());
    }

    #[test]
    fn who_is_right_begins_anew() {
        let (throttle, now) = (Throttle::new(), Instant::now());
        for _ in 0..=FREE {
            throttle.note_failure(ANN, now);
        }
        assert_eq!(wait(&throttle, ANN, now), 1);
        throttle.note_success(ANN);
        throttle.note_failure(ANN, now);
        assert_eq!(wait(&throttle, ANN, now), 0);
    }

    #[test]
    fn while_many_fail_the_first_failure_counts_and_who_has_not_failed_may_try() {
        let (throttle, mut now) = (Throttle::new(), Instant::now());
        let address = |number: u32| IpAddr::V4(Ipv4Addr::from_bits(number));
        for number in 0..MANY {
            throttle.note_failure(address(number), now);
            assert_eq!(wait(&throttle, address(number), now), 0);
        }
        throttle.note_failure(ANN, now);
        assert_eq!(wait(&throttle, ANN, now), 1);
        assert_eq!(wait(&throttle, BEN, now), 0);
        now += WINDOW;
        throttle.note_failure(BEN, now);
        assert_eq!(wait(&throttle, BEN, now), 0, "the storm is over");
    }

    #[test]
    fn another_address_of_the_same_ipv6_network_is_no_way_around_the_wait() {
        let (throttle, now) = (Throttle::new(), Instant::now());
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        for last in 0..=FREE {
            throttle.note_failure(address(&format!("2001:db8::{last:x}")), now);
        }
        assert_eq!(wait(&throttle, address("2001:db8::ffff"), now), 1);
        assert_eq!(wait(&throttle, address("2001:db8:0:1::1"), now), 0);
        throttle.note_success(address("2001:db8::1"));
        assert_eq!(wait(&throttle, address("2001:db8::ffff"), now), 0);
    }

    #[test]
    fn no_number_of_addresses_makes_it_grow_beyond_its_bound() {
        let (throttle, now) = (Throttle::new(), Instant::now());
        for number in 0..20_000 {
            throttle.note_failure(IpAddr::V4(Ipv4Addr::from_bits(number)), now);
        }
        assert_eq!(throttle.state().addresses.len(), ADDRESSES_MAX);
    }
}
