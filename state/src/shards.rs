//! Hash tables by key group: one worker's keys in many small open-addressing tables.
//!
//! One table of millions of entries would stall its worker when it grows. Here each key group has
//! one or more tables of its own, so that a growth step touches a few hundredths of the keys, and
//! rows can be taken out group by group. Every table is addressed by the key's own hash: its upper
//! half chooses the key group and the table, its lower half, the [`Tag`], the place in it.

use std::ops::Range;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry as TableEntry;
use pelton_dataflow::key::{KeyGroup, KeyGroups, KeyHash};

/// Tables of a state that may hold millions of keys: with 5 M of them a growth step moves 20,000
/// entries, well below a millisecond.
pub(crate) const STATE_TABLES: u16 = 256;

/// Tables of one window: there may be many windows at once.
pub(crate) const PANE_TABLES: u16 = 32;

/// Which table a key belongs to, and which key groups a table holds.
///
/// A *unit* is what rows are sorted and written by: one key group with all its tables or, where
/// groups outnumber the tables, one table with all its groups.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Partition {
    groups: KeyGroups,
    first: u16,
    end: u16,
    /// Shifts (upper half of the hash) x (number of groups) down to a table.
    shift: u32,
    base: u64,
    tables: usize,
    tables_per_unit: usize,
}

impl Partition {
    /// Splits the key groups `range` into about `wanted` tables or a little more.
    pub(crate) fn new(groups: KeyGroups, range: Range<u16>, wanted: u16) -> Self {
        let count = range.end - range.start;
        let of = |shift: u32, base: u64, tables: usize, tables_per_unit: usize| Self {
            groups,
            first: range.start,
            end: range.end,
            shift,
            base,
            tables,
            tables_per_unit,
        };
        if count == 0 {
            return of(32, 0, 0, 1);
        }
        if count <= wanted {
            let bits = wanted.div_ceil(count).next_power_of_two().trailing_zeros();
            return of(32 - bits, u64::from(range.start) << bits, usize::from(count) << bits, 1 << bits);
        }
        let bits = (count / wanted).ilog2();
        let (first, last) = (range.start >> bits, (range.end - 1) >> bits);
        of(32 + bits, u64::from(first), usize::from(last - first) + 1, 1)
    }

    /// How many tables there are.
    pub(crate) fn tables(&self) -> usize {
        self.tables
    }

    /// The table of a key.
    #[inline]
    pub(crate) fn table(&self, hash: KeyHash) -> usize {
        let place = ((hash.0 >> 32) * u64::from(self.groups.count())) >> self.shift;
        place.wrapping_sub(self.base) as usize
    }

    /// The key group of a key.
    #[inline]
    pub(crate) fn group(&self, hash: KeyHash) -> KeyGroup {
        self.groups.group(hash)
    }

    /// The key groups of this worker.
    pub(crate) fn groups(&self) -> Range<u16> {
        self.first..self.end
    }

    /// The tables that hold the key groups `groups`, which are those of one or more whole units.
    pub(crate) fn tables_of(&self, groups: &Range<u16>) -> Range<usize> {
        if groups.is_empty() {
            return 0..0;
        }
        if self.shift <= 32 {
            let bits = 32 - self.shift;
            let table = |group: u16| usize::from(group - self.first) << bits;
            return table(groups.start)..table(groups.end);
        }
        let bits = self.shift - 32;
        let table = |group: u16| (u64::from(group >> bits) - self.base) as usize;
        table(groups.start)..table(groups.end - 1) + 1
    }

    /// The key groups of each unit, in order.
    pub(crate) fn units(&self) -> impl Iterator<Item = Range<u16>> + use<> {
        let bits = self.shift.saturating_sub(32);
        let range = self.groups();
        let mut next = range.start;
        std::iter::from_fn(move || {
            let start = next;
            (start < range.end).then(|| {
                next = (((start >> bits) + 1) << bits).min(range.end);
                start..next
            })
        })
    }

    /// The key groups of the unit that `table` belongs to.
    pub(crate) fn unit_of_table(&self, table: usize) -> Range<u16> {
        if self.shift <= 32 {
            let group = self.first + (table / self.tables_per_unit) as u16;
            return group..group + 1;
        }
        let bits = self.shift - 32;
        let first = ((self.base + table as u64) << bits) as u16;
        first.max(self.first)..(first + (1 << bits)).min(self.end)
    }
}

/// The lower half of a key's hash, kept beside the key: a table can grow without hashing keys
/// again, and strings are compared only if their tags are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag(u32);

impl From<KeyHash> for Tag {
    #[inline]
    fn from(hash: KeyHash) -> Self {
        Self(hash.0 as u32)
    }
}

impl Tag {
    /// hashbrown takes the place from the lowest bits and tells entries apart by the highest.
    #[inline]
    pub(crate) fn spread(self) -> u64 {
        u64::from(self.0) << 32 | u64::from(self.0)
    }
}

/// Where an entry was found: to look many up before the first is used lets their waits for memory
/// overlap. What was inserted or removed since may have moved it.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) table: u32,
    pub(crate) bucket: u32,
}

impl Place {
    /// The place in table number `index`, which is `table`, of what `same` knows. What is not
    /// there gets a place that no table has.
    #[inline]
    pub(crate) fn seek<T>(
        index: usize,
        table: &HashTable<T>,
        tag: Tag,
        same: impl FnMut(&T) -> bool,
    ) -> Self {
        let bucket = table.find_bucket_index(tag.spread(), same);
        Self { table: index as u32, bucket: bucket.map_or(u32::MAX, |bucket| bucket as u32) }
    }
}

/// One key with what is kept for it. Small, as the caches of the processor decide the speed: 24
/// bytes for a number by a number.
#[derive(Clone, Debug)]
pub(crate) struct Entry<K, C> {
    pub(crate) tag: Tag,
    /// In an overlay: changed since it was copied from below, so that it must be written.
    pub(crate) changed: bool,
    /// In an overlay: rows of it may lie below, so that deleting it must be written.
    pub(crate) below: bool,
    /// In a cache: read since the last sweep.
    pub(crate) used: bool,
    pub(crate) key: K,
    pub(crate) cell: C,
}

/// The tables of one state on one worker.
pub(crate) struct Shards<K, C> {
    tables: Vec<HashTable<Entry<K, C>>>,
    len: usize,
}

impl<K: Eq, C> Shards<K, C> {
    pub(crate) fn new(partition: &Partition) -> Self {
        Self { tables: (0..partition.tables()).map(|_| HashTable::new()).collect(), len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn table(&self, table: usize) -> &HashTable<Entry<K, C>> {
        &self.tables[table]
    }

    #[inline]
    pub(crate) fn find(&self, table: usize, tag: impl Into<Tag>, key: &K) -> Option<&Entry<K, C>> {
        let tag = tag.into();
        self.tables[table].find(tag.spread(), |entry| entry.tag == tag && entry.key == *key)
    }

    #[inline]
    pub(crate) fn find_mut(
        &mut self,
        table: usize,
        tag: impl Into<Tag>,
        key: &K,
    ) -> Option<&mut Entry<K, C>> {
        let tag = tag.into();
        self.tables[table].find_mut(tag.spread(), |entry| entry.tag == tag && entry.key == *key)
    }

    /// The entry of a key; if there is none, the one that `make` gives.
    #[inline]
    pub(crate) fn find_or_insert<E>(
        &mut self,
        table: usize,
        tag: impl Into<Tag>,
        key: &K,
        make: impl FnOnce() -> Result<Entry<K, C>, E>,
    ) -> Result<&mut Entry<K, C>, E> {
        let tag = tag.into();
        let same = |entry: &Entry<K, C>| entry.tag == tag && entry.key == *key;
        match self.tables[table].entry(tag.spread(), same, |entry| entry.tag.spread()) {
            TableEntry::Occupied(found) => Ok(found.into_mut()),
            TableEntry::Vacant(place) => {
                let entry = make()?;
                self.len += 1;
                Ok(place.insert(entry).into_mut())
            }
        }
    }

    /// Adds an entry whose key is known to be missing.
    pub(crate) fn insert_new(&mut self, table: usize, entry: Entry<K, C>) {
        self.len += 1;
        self.tables[table].insert_unique(entry.tag.spread(), entry, |entry| entry.tag.spread());
    }

    pub(crate) fn remove(&mut self, table: usize, tag: Tag, key: &K) -> Option<Entry<K, C>> {
        let same = |entry: &Entry<K, C>| entry.tag == tag && entry.key == *key;
        let found = self.tables[table].find_entry(tag.spread(), same).ok()?;
        self.len -= 1;
        Some(found.remove().0)
    }

    /// Takes one whole table out.
    pub(crate) fn take(&mut self, table: usize) -> HashTable<Entry<K, C>> {
        let taken = std::mem::take(&mut self.tables[table]);
        self.len -= taken.len();
        taken
    }

    /// Puts a table in the place of an empty one.
    pub(crate) fn put(&mut self, table: usize, entries: HashTable<Entry<K, C>>) {
        self.len += entries.len();
        self.len -= self.tables[table].len();
        self.tables[table] = entries;
    }

    /// Takes up to `max` entries out of one table, in no particular order.
    pub(crate) fn drain(&mut self, table: usize, max: usize) -> impl Iterator<Item = Entry<K, C>> + '_ {
        let taken = max.min(self.tables[table].len());
        self.len -= taken;
        self.tables[table].extract_if(|_| true).take(taken)
    }

    /// Keeps the entries that `keep` says, of one table.
    pub(crate) fn retain(&mut self, table: usize, keep: impl FnMut(&mut Entry<K, C>) -> bool) {
        let before = self.tables[table].len();
        self.tables[table].retain(keep);
        self.len -= before - self.tables[table].len();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Each key's table belongs to the unit of its key group, and units tile tables and groups.
        #[test]
        fn tables_follow_key_groups(
            count in 1u16..=KeyGroups::MAX, workers in 1usize..9, wanted in 1u16..300, hashes: [u64; 32]
        ) {
            let groups = KeyGroups::new(count).unwrap();
            for worker in 0..workers {
                let range = groups.range(worker, workers);
                let partition = Partition::new(groups, range.clone(), wanted);
                let units: Vec<_> = partition.units().collect();
                let mut next = (range.start, 0);
                for unit in &units {
                    let tables = partition.tables_of(unit);
                    prop_assert_eq!((unit.start, tables.start), next);
                    for table in tables.clone() { prop_assert_eq!(&partition.unit_of_table(table), unit); }
                    next = (unit.end, tables.end);
                }
                prop_assert_eq!(next, (range.end, partition.tables()));
                for hash in hashes.map(KeyHash) {
                    if range.contains(&groups.group(hash).0) {
                        let table = partition.table(hash);
                        prop_assert!(partition.unit_of_table(table).contains(&groups.group(hash).0));
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_drained_is_gone_and_the_rest_stays() {
        let partition = Partition::new(KeyGroups::default(), 0..128, 1);
        let mut shards = Shards::new(&partition);
        for key in 0..10u64 {
            let (tag, cell) = (KeyHash(key << 8).into(), ());
            shards.insert_new(0, Entry { tag, key, cell, changed: true, below: false, used: false });
        }
        let taken: Vec<u64> = shards.drain(0, 4).map(|entry| entry.key).collect();
        assert_eq!((taken.len(), shards.len()), (4, 6));
        let left = (0..10).filter(|key| shards.find(0, KeyHash(key << 8), key).is_some());
        assert!(left.eq((0..10).filter(|key| !taken.contains(key))));
        assert!(shards.remove(0, KeyHash(taken[0] << 8).into(), &taken[0]).is_none());
        assert_eq!(size_of::<Entry<u64, u64>>(), 24);
    }
}
