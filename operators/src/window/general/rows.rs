//! Records that windows keep: one row each in a table, by the number of their arrival, and the runs of numbers that a
//! window holds. Windows that overlap share rows.

use pelton_dataflow::error::OpResult;
use pelton_dataflow::key::{Key, KeyHash};
use pelton_dataflow::record::{Data, Record};
use pelton_state::tables::Tables;
use pelton_state::{MapTable, TableValue};
use serde::{Deserialize, Serialize};

/// The table of records, by their numbers.
pub(super) const fn records<T: Data>() -> MapTable<u64, Record<T>> {
    MapTable::new("records")
}

/// The tables of a key.
pub(super) struct Rows<'a, K: Key> {
    pub tables: &'a mut Tables<K>,
    pub hash: KeyHash,
    pub key: &'a K,
}

impl<K: Key> Rows<'_, K> {
    pub fn keep<T: Data + TableValue>(&mut self, number: u64, record: Record<T>) -> OpResult {
        Ok(self.tables.map(&records::<T>(), self.hash, self.key)?.insert(&number, record)?)
    }

    /// The records of `runs`, in the order of their arrival.
    pub fn read<T: Data + TableValue>(&mut self, runs: &Runs) -> OpResult<Vec<Record<T>>> {
        let mut table = self.tables.map(&records::<T>(), self.hash, self.key)?;
        let mut found = Vec::with_capacity(runs.len());
        for number in runs.iter() {
            let record = table.get(&number)?;
            found.push(record.ok_or_else(|| format!("record {number} of a window is not in its table"))?);
        }
        Ok(found)
    }

    pub fn forget<T: Data + TableValue>(&mut self, numbers: impl Iterator<Item = u64>) -> OpResult {
        let mut table = self.tables.map(&records::<T>(), self.hash, self.key)?;
        for number in numbers {
            table.remove(&number)?;
        }
        Ok(())
    }

    pub fn forget_all<T: Data + TableValue>(&mut self) -> OpResult {
        self.tables.map(&records::<T>(), self.hash, self.key)?.clear();
        Ok(())
    }
}

/// Numbers, as runs `[first, end)` in order and apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Runs(Vec<(u64, u64)>);

impl Runs {
    /// Adds a number greater than all that are there.
    #[inline]
    pub fn push(&mut self, number: u64) {
        match self.0.last_mut() {
            Some((_, end)) if *end == number => *end += 1,
            _ => self.0.push((number, number + 1)),
        }
    }

    pub fn contains(&self, number: u64) -> bool {
        let behind = self.0.partition_point(|(first, _)| *first <= number);
        behind > 0 && number < self.0[behind - 1].1
    }

    pub fn len(&self) -> usize {
        self.0.iter().map(|(first, end)| (end - first) as usize).sum()
    }

    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().flat_map(|(first, end)| *first..*end)
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: Self) {
        let mut all = std::mem::take(&mut self.0);
        all.extend(other.0);
        all.sort_unstable();
        for (first, end) in all {
            match self.0.last_mut() {
                Some((_, last)) if *last >= first => *last = end.max(*last),
                _ => self.0.push((first, end)),
            }
        }
    }
}

impl FromIterator<u64> for Runs {
    /// Of numbers in order.
    fn from_iter<I: IntoIterator<Item = u64>>(numbers: I) -> Self {
        let mut runs = Self::default();
        numbers.into_iter().for_each(|number| runs.push(number));
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn runs_are_a_set(left in prop::collection::btree_set(0u64..40, 0..40), right in prop::collection::btree_set(0u64..40, 0..40)) {
            let (mut runs, others): (Runs, Runs) = (left.iter().copied().collect(), right.iter().copied().collect());
            prop_assert_eq!(&runs.iter().collect::<BTreeSet<_>>(), &left);
            runs.merge(others);
            let both: BTreeSet<_> = left.union(&right).copied().collect();
            prop_assert_eq!(runs.iter().collect::<Vec<_>>(), both.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(runs.len(), both.len());
            prop_assert_eq!(&runs, &both.iter().copied().collect());
            for number in 0..41 {
                prop_assert_eq!(runs.contains(number), both.contains(&number));
            }
        }
    }
}
