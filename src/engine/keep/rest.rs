//! What is at rest: wanted, and there. It may be as many things as there are targets.

use std::array;
use std::hash::{BuildHasher, Hash};

use hashbrown::HashTable;

use crate::engine::seed::Seed;

/// Things at rest, by key.
///
/// In parts, each of which grows by itself: a table that grows is copied as a whole, and answers wait for it. As a
/// table has twice as many places each time, one alone would be half empty with as many things as there are targets by
/// default; so many parts are nearly full.
#[derive(Debug)]
pub struct Rest<K, V> {
    parts: [HashTable<(K, V)>; PARTS],
    seed: Seed,
}

impl<K: Hash + Eq + Copy, V> Rest<K, V> {
    /// Nothing yet.
    pub fn new(seed: Seed) -> Self {
        Self { parts: array::from_fn(|_| HashTable::new()), seed }
    }

    /// How much it is.
    pub fn len(&self) -> usize {
        self.parts.iter().map(HashTable::len).sum()
    }

    /// What is there.
    pub fn get(&self, key: &K) -> Option<&V> {
        let hash = self.seed.hash_one(key);
        self.parts[part(hash)].find(hash, |(known, _)| known == key).map(|(_, value)| value)
    }

    /// Whether something is there.
    pub fn contains(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// This is at rest from here on.
    pub fn insert(&mut self, key: K, value: V) {
        let (hash, seed) = (self.seed.hash_one(key), self.seed);
        let part = &mut self.parts[part(hash)];
        match part.find_mut(hash, |(known, _)| *known == key) {
            Some(there) => there.1 = value,
            None => _ = part.insert_unique(hash, (key, value), |(known, _)| seed.hash_one(known)),
        }
    }

    /// What was there is at rest no more.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let hash = self.seed.hash_one(key);
        let found = self.parts[part(hash)].find_entry(hash, |(known, _)| known == key).ok()?;
        Some(found.remove().0.1)
    }

    /// Everything, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.parts.iter().flatten().map(|(key, value)| (key, value))
    }

    /// Every key, in no order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }
}

/// By other bits than those by which a part finds the place of a key.
fn part(hash: u64) -> usize {
    (hash >> 32) as usize % PARTS
}

/// With 65,536 things there are 6,554 in each, and a table of 8,192 places has room for 7,168.
const PARTS: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_one_table_for_those_who_use_it() {
        let mut rest = Rest::new(Seed([1, 2]));
        (0..1_000).for_each(|n| rest.insert(n, n + 1));
        (0..500).for_each(|n| assert_eq!(rest.remove(&n), Some(n + 1)));
        rest.insert(700, 0);
        assert_eq!(
            (rest.len(), rest.get(&700), rest.get(&3), rest.contains(&999)),
            (500, Some(&0), None, true)
        );
        let mut keys: Vec<_> = rest.keys().copied().collect();
        keys.sort_unstable();
        assert_eq!(keys, (500..1_000).collect::<Vec<_>>());
        assert!(rest.iter().all(|(key, value)| *value == key + 1 || *key == 700));
    }

    #[test]
    fn no_part_grows_beyond_its_share_of_the_targets() {
        let mut rest = Rest::new(Seed([3, 4]));
        (0..65_536).for_each(|n: u32| rest.insert(n, ()));
        assert!(rest.parts.iter().all(|part| part.capacity() <= 7_168));
    }
}
