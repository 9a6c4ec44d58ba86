//! How many connections an address has.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

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
