//! The queues of all keys of a worker, by units of key groups.

use std::ops::Range;

use hashbrown::HashTable;
use pelton_dataflow::key::{Key, KeyGroups, KeyHash};

use super::queue::Queue;

/// Queues by key, in a table for each unit.
pub(super) struct Queues<K, A> {
    tables: Vec<HashTable<Entry<K, A>>>,
    units: Vec<Range<u16>>,
    /// The unit of each key group, from the first.
    unit_of: Vec<u16>,
    groups: KeyGroups,
    len: usize,
}

struct Entry<K, A> {
    hash: KeyHash,
    key: K,
    queue: Queue<A>,
}

/// The key groups of a table share the upper half of their hashes: the lower half chooses the place and tells entries apart.
fn spread(hash: KeyHash) -> u64 {
    let low = hash.0 & u64::from(u32::MAX);
    low << 32 | low
}

impl<K: Key, A: Default + Clone> Queues<K, A> {
    pub fn new(groups: KeyGroups, units: impl Iterator<Item = Range<u16>>) -> Self {
        let units: Vec<Range<u16>> = units.collect();
        let unit_of =
            (0..).zip(&units).flat_map(|(unit, groups)| groups.clone().map(move |_| unit)).collect();
        Self { tables: units.iter().map(|_| HashTable::new()).collect(), units, unit_of, groups, len: 0 }
    }

    /// How many units there are.
    pub fn units(&self) -> usize {
        self.units.len()
    }

    /// The key groups of a unit.
    pub fn groups(&self, unit: usize) -> Range<u16> {
        self.units[unit].clone()
    }

    /// The unit that a key belongs to.
    pub fn unit_of(&self, hash: KeyHash) -> usize {
        let first = self.units.first().map_or(0, |groups| groups.start);
        usize::from(self.unit_of[usize::from(self.groups.group(hash).0 - first)])
    }

    /// Whether no key has a queue.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The queue of a key.
    pub fn of(&mut self, unit: usize, hash: KeyHash, key: &K) -> &mut Queue<A> {
        let same = |entry: &Entry<K, A>| entry.hash == hash && entry.key == *key;
        let entry =
            self.tables[unit].entry(spread(hash), same, |entry| spread(entry.hash)).or_insert_with(|| {
                self.len += 1;
                Entry { hash, key: key.clone(), queue: Queue::new() }
            });
        &mut entry.into_mut().queue
    }

    /// Calls `keep` with each key of a unit, and drops the queues that it does not keep.
    pub fn retain(&mut self, unit: usize, mut keep: impl FnMut(KeyHash, &K, &mut Queue<A>) -> bool) {
        let table = &mut self.tables[unit];
        let before = table.len();
        table.retain(|entry| keep(entry.hash, &entry.key, &mut entry.queue));
        self.len -= before - table.len();
    }
}
