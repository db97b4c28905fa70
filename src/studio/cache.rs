//! What was made lately, up to so many bytes; then what was not asked for the longest time goes.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// What an entry takes beside its bytes, about.
const ENTRY: usize = 256;

pub struct Cache<K>(Mutex<Entries<K>>);

struct Entries<K> {
    /// With the time of the last use.
    by_key: HashMap<K, (u64, Bytes)>,
    by_use: BTreeMap<u64, K>,
    now: u64,
    size: usize,
    most: usize,
}

impl<K: Clone + Eq + Hash> Cache<K> {
    pub fn new(most: usize) -> Self {
        Cache(Mutex::new(Entries {
            by_key: HashMap::new(),
            by_use: BTreeMap::new(),
            now: 0,
            size: 0,
            most,
        }))
    }

    pub fn get(&self, key: &K) -> Option<Bytes> {
        let mut entries = self.entries();
        let now = entries.tick();
        let (used, bytes) = entries.by_key.get_mut(key)?;
        let (before, bytes) = (std::mem::replace(used, now), bytes.clone());
        entries.by_use.remove(&before);
        entries.by_use.insert(now, key.clone());
        Some(bytes)
    }

    pub fn put(&self, key: K, bytes: Bytes) {
        let mut entries = self.entries();
        let now = entries.tick();
        entries.remove(&key);
        entries.size += bytes.len() + ENTRY;
        entries.by_use.insert(now, key.clone());
        entries.by_key.insert(key, (now, bytes));
        while entries.size > entries.most {
            let Some((_, oldest)) = entries.by_use.first_key_value() else {
                return;
            };
            let oldest = oldest.clone();
            entries.remove(&oldest);
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries<K>> {
        // Nothing in between can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Eq + Hash> Entries<K> {
    fn tick(&mut self) -> u64 {
        self.now += 1;
        self.now
    }

    fn remove(&mut self, key: &K) {
        if let Some((used, bytes)) = self.by_key.remove(key) {
            self.by_use.remove(&used);
            self.size -= bytes.len() + ENTRY;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(n: usize) -> Bytes {
        vec![7; n].into()
    }

    #[test]
    fn what_was_not_used_the_longest_goes_first() {
        let cache = Cache::new(3 * (1000 + ENTRY));
        for key in 0..3 {
            cache.put(key, bytes(1000));
        }
        assert!(cache.get(&0).is_some());
        cache.put(3, bytes(1000));
        let left = [0, 1, 2, 3].map(|key| cache.get(&key).is_some());
        assert_eq!(left, [true, false, true, true]);
    }

    #[test]
    fn it_never_holds_more_than_it_may() {
        let cache = Cache::new(10_000);
        for key in 0..1000 {
            cache.put(key % 37, bytes(key as usize % 3000));
            let entries = cache.entries();
            let held: usize = entries.by_key.values().map(|(_, b)| b.len() + ENTRY).sum();
            assert_eq!(entries.size, held);
            assert!(held <= 10_000);
            assert_eq!(entries.by_key.len(), entries.by_use.len());
        }
        cache.put(0, bytes(20_000));
        assert!(cache.get(&0).is_none());
    }
}
