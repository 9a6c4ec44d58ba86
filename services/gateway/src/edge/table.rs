//! One shared value per key, kept while it is used and for a while after.
//!
//! Bounded: beyond the bound the longest unused values go. A value that somebody holds stays, so the
//! table can only be larger by what is in use, which is bounded elsewhere.

use std::{
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use lru::LruCache;

/// Values that one lookup looks at for one to forget.
const LOOKED_AT: usize = 4;

pub(super) struct Table<K: Hash + Eq, V> {
    values: Mutex<LruCache<K, Arc<V>>>,
    max: usize,
}

impl<K: Hash + Eq, V> Table<K, V> {
    /// A table of about `max` values.
    pub(super) fn new(max: usize) -> Self {
        // Unbounded means "no allocation up front"; the bound is kept in `get`.
        Self { values: Mutex::new(LruCache::unbounded()), max }
    }

    /// The value of a key.
    pub(super) fn get(&self, key: K, make: impl FnOnce() -> V) -> Arc<V> {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = values.get(&key) {
            return Arc::clone(value);
        }
        for _ in 0..LOOKED_AT {
            if values.len() < self.max {
                break;
            }
            match values.pop_lru() {
                Some((key, value)) if Arc::strong_count(&value) > 1 => {
                    values.put(key, value);
                }
                _ => {}
            }
        }
        let value = Arc::new(make());
        values.put(key, Arc::clone(&value));
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn len<V>(table: &Table<u32, V>) -> usize {
        table.values.lock().unwrap().len()
    }

    #[test]
    fn what_is_used_stays_and_what_is_longest_unused_goes() {
        let table = Table::new(2);
        let held = table.get(1, || "held");
        table.get(2, || "unused");
        table.get(3, || "new");
        assert_eq!(len(&table), 2);
        assert!(Arc::ptr_eq(&held, &table.get(1, || "made again")));
        assert_eq!(*table.get(2, || "made again"), "made again");
    }

    #[test]
    fn no_number_of_keys_makes_it_grow_beyond_its_bound() {
        let table = Table::new(100);
        for key in 0..10_000 {
            table.get(key, || ());
        }
        assert_eq!(len(&table), 100);
    }

    #[test]
    fn it_shrinks_again_once_less_is_in_use() {
        let table = Table::new(10);
        let held: Vec<_> = (0..50).map(|key| table.get(key, || ())).collect();
        assert_eq!(len(&table), 50);
        drop(held);
        for key in 100..200 {
            table.get(key, || ());
        }
        assert_eq!(len(&table), 10);
    }
}
