//! Functions that need to know all values in range: they keep one total of counted values, and
//! subtract.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use pelton_dataflow::record::Data;
use pelton_state::TableValue;
use serde::{Deserialize, Serialize};

use super::aggregates::RangeAggregate;

/// See [`Last::distinct`](super::Last::distinct). One count for each different value, in memory.
#[derive(Clone, Copy, Debug)]
pub struct Distinct;

impl<V: TableValue + Ord> RangeAggregate<V> for Distinct {
    type Partial = BTreeMap<V, u64>;
    type Out = u64;
    const SUBTRACTS: bool = true;

    fn add(&self, counts: &mut BTreeMap<V, u64>, value: &V) {
        match counts.get_mut(value) {
            Some(count) => *count += 1,
            None => drop(counts.insert(value.clone(), 1)),
        }
    }

    fn merge(&self, counts: &mut BTreeMap<V, u64>, later: &BTreeMap<V, u64>) {
        for (value, count) in later {
            *counts.entry(value.clone()).or_default() += count;
        }
    }

    fn subtract(&self, counts: &mut BTreeMap<V, u64>, value: &V) {
        match counts.get_mut(value) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(counts.remove(value)),
        }
    }

    fn result(&self, counts: &BTreeMap<V, u64>) -> u64 {
        counts.len() as u64
    }
}

/// What has quantiles: a total order, which floating point numbers have by their bits
/// ([`f64::total_cmp`]). Implement it for a newtype by handing on to what is in it.
pub trait Ranked {
    /// The order.
    fn rank_cmp(&self, other: &Self) -> Ordering;
}

macro_rules! ranked {
    ($compare:path: $($type:ty),+) => {$(
        impl Ranked for $type {
            fn rank_cmp(&self, other: &Self) -> Ordering {
                $compare(self, other)
            }
        }
    )+};
}

ranked!(Ord::cmp: u8, u16, u32, u64, u128, i8, i16, i32, i64, i128, pelton_dataflow::time::EventTime);
ranked!(f32::total_cmp: f32);
ranked!(f64::total_cmp: f64);

/// See [`Last::quantile`](super::Last::quantile). All values in order, in memory.
#[derive(Clone, Copy, Debug)]
pub struct Quantile(pub(super) f64);

/// The rank, from 0, of the quantile `q` of `count` values.
pub(super) fn rank_of(q: f64, count: u64) -> u64 {
    let rank = (q * count as f64).ceil();
    // 0.07 times 100 is a little more than 7, and 7 of 100 are 0.07 all the same.
    let is_enough = (rank - 1.0) / count as f64 >= q;
    let rank = rank as u64 - u64::from(is_enough && rank >= 1.0);
    rank.clamp(1, count.max(1)) - 1
}

/// What is wrong with a quantile, if anything.
pub(super) fn check_quantile(q: f64) -> Result<(), String> {
    match (0.0..=1.0).contains(&q) {
        true => Ok(()),
        false => Err(format!("there is no quantile {q}: give a number from 0 to 1")),
    }
}

/// Values in a block; a full one becomes two. To insert moves half of them, to find a rank takes a
/// step per block.
const BLOCK: usize = 512;

/// A sorted list in blocks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sorted<V> {
    blocks: Vec<Vec<V>>,
}

impl<V> Default for Sorted<V> {
    fn default() -> Self {
        Self { blocks: Vec::new() }
    }
}

impl<V: Ranked + Clone> Sorted<V> {
    fn block_of(&self, value: &V) -> usize {
        let is_less =
            |block: &Vec<V>| block.last().is_some_and(|last| last.rank_cmp(value) == Ordering::Less);
        self.blocks.partition_point(is_less)
    }

    fn insert(&mut self, value: &V) {
        let index = self.block_of(value).min(self.blocks.len().saturating_sub(1));
        let Some(block) = self.blocks.get_mut(index) else {
            self.blocks.push(vec![value.clone()]);
            return;
        };
        let at = block.partition_point(|other| other.rank_cmp(value) == Ordering::Less);
        block.insert(at, value.clone());
        if block.len() > BLOCK {
            let upper = block.split_off(BLOCK / 2);
            self.blocks.insert(index + 1, upper);
        }
    }

    fn remove(&mut self, value: &V) {
        let index = self.block_of(value);
        let Some(block) = self.blocks.get_mut(index) else { return };
        let at = block.partition_point(|other| other.rank_cmp(value) == Ordering::Less);
        if block.get(at).is_some_and(|other| other.rank_cmp(value) == Ordering::Equal) {
            block.remove(at);
        }
        if block.is_empty() {
            self.blocks.remove(index);
        }
    }

    fn len(&self) -> u64 {
        self.blocks.iter().map(|block| block.len() as u64).sum()
    }

    fn nth(&self, mut rank: u64) -> Option<&V> {
        for block in &self.blocks {
            if rank < block.len() as u64 {
                return block.get(rank as usize);
            }
            rank -= block.len() as u64;
        }
        None
    }
}

impl<V: Data + TableValue + Ranked> RangeAggregate<V> for Quantile {
    type Partial = Sorted<V>;
    type Out = V;
    const SUBTRACTS: bool = true;

    fn check(&self) -> Result<(), String> {
        check_quantile(self.0)
    }

    fn add(&self, sorted: &mut Sorted<V>, value: &V) {
        sorted.insert(value);
    }

    fn merge(&self, sorted: &mut Sorted<V>, later: &Sorted<V>) {
        later.blocks.iter().flatten().for_each(|value| sorted.insert(value));
    }

    fn subtract(&self, sorted: &mut Sorted<V>, value: &V) {
        sorted.remove(value);
    }

    fn result(&self, sorted: &Sorted<V>) -> V {
        let nth = sorted.nth(rank_of(self.0, sorted.len()));
        nth.expect("a record is in its own range").clone()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_quantile_is_the_least_value_that_so_many_are_not_above() {
        assert_eq!([0.07, 0.55, 0.071, 0.0, 1.0].map(|q| rank_of(q, 100) + 1), [7, 55, 8, 1, 100]);
        for count in 1..200u64 {
            for rank in 1..=count {
                assert_eq!(rank_of(rank as f64 / count as f64, count) + 1, rank, "{rank} of {count}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_sorted_list_is_one(changes in prop::collection::vec((any::<bool>(), 0u16..900), 0..3_000)) {
            let (mut sorted, mut model) = (Sorted::default(), Vec::new());
            for (adds, value) in changes {
                if adds {
                    sorted.insert(&value);
                    model.push(value);
                } else if let Some(at) = model.iter().position(|other| *other == value) {
                    sorted.remove(&value);
                    model.swap_remove(at);
                }
            }
            model.sort_unstable();
            prop_assert_eq!(sorted.blocks.concat(), model.clone());
            prop_assert_eq!(sorted.len(), model.len() as u64);
            let nth: Vec<u16> = (0..model.len()).filter_map(|rank| sorted.nth(rank as u64)).copied().collect();
            prop_assert_eq!(nth, model);
        }
    }

    #[test]
    fn ranks_are_those_of_what_is_not_exceeded() {
        let ranks = |count| [0.0, 0.25, 0.5, 0.99, 1.0].map(|q| rank_of(q, count));
        assert_eq!(ranks(1), [0; 5]);
        assert_eq!(ranks(4), [0, 0, 1, 3, 3]);
        assert_eq!(ranks(100), [0, 24, 49, 98, 99]);
    }
}
