//! How many connections an address has.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What an address is limited as: of IPv6 its /64, the least that one customer is given (RFC 6177).
#[must_use]
pub fn limited_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address @ IpAddr::V4(_) => address,
    }
}

/// The connections of one process, by address. Locked when one comes and when it goes.
#[derive(Debug, Default)]
pub struct Places {
    /// Of addresses that have any.
    taken: Mutex<HashMap<IpAddr, usize>>,
}

/// A connection's place; dropping it makes room for another.
#[derive(Debug)]
pub struct Place {
    of: Option<(Arc<Places>, IpAddr)>,
}

impl Places {
    /// A place for a connection of `address`, unless it has `max` already; 0 is no limit.
    #[must_use]
    pub fn take(self: &Arc<Self>, address: IpAddr, max: usize) -> Option<Place> {
        if max == 0 {
            return Some(Place::unlimited());
        }
        let mut taken = self.lock();
        let count = taken.entry(address).or_default();
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(Place { of: Some((Arc::clone(self), address)) })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// A place where nobody counts.
    #[must_use]
    pub const fn unlimited() -> Self {
        Self { of: None }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((places, address)) = self.of.take() else { return };
        let mut taken = places.lock();
        if let Some(count) = taken.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_ipv6_customer_are_limited_together() {
        let limited = |address: &str| limited_as(address.parse().unwrap());
        assert_eq!(limited("2001:db8:1:2:3::4"), limited("2001:db8:1:2:ffff::1"));
        assert_ne!(limited("2001:db8:1:2::1"), limited("2001:db8:1:3::1"));
        assert_ne!(limited("192.0.2.1"), limited("192.0.2.2"));
    }

    #[test]
    fn an_address_has_so_many_places_and_one_that_has_none_is_forgotten() {
        let places = Arc::new(Places::default());
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|address| address.parse().unwrap());
        let first = places.take(one, 2);
        let second = places.take(one, 2);
        assert!(first.is_some() && second.is_some());
        assert!(places.take(one, 2).is_none() && places.take(other, 2).is_some());
        drop(first);
        let third = places.take(one, 2);
        assert!(third.is_some() && places.take(one, 2).is_none());
        assert!(places.take(one, 0).is_some(), "without a limit nobody counts");
        drop((second, third));
        assert!(places.lock().is_empty());
    }
}
