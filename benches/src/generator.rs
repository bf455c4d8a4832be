//! What the workloads read: a record for each index, the same for every engine.
//!
//! Record *i* is made of `splitmix64(i)` (Steele, Lea, Flood: "Fast splittable pseudorandom number
//! generators", OOPSLA 2014), so that any part of the input can be made anywhere and again.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Records per millisecond of event time: a window of 10 s holds 10 million records, and so
/// about a hundred of each of 100 k keys.
pub const EVENTS_PER_MS: u64 = 1_000;

/// The length of the windows of W2, in milliseconds.
pub const WINDOW_MS: i64 = 10_000;

/// The length of the windows of `sliding-sum`, in milliseconds: a number of many divisors. About 36 records of each of
/// 100 k keys are in one.
pub const SLIDING_MS: i64 = 3_600;

/// One record: 24 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Uniform over the keys.
    pub key: u64,
    /// 0 to 65,535.
    pub value: i64,
    /// Milliseconds of event time; grows with the index.
    pub time: i64,
}

/// The finalizer of splitmix64 on the index.
#[inline]
pub fn splitmix64(index: u64) -> u64 {
    let mut z = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Record `index` of an input over `keys` keys.
#[inline]
pub fn event(index: u64, keys: u64) -> Event {
    let random = splitmix64(index);
    Event { key: scale(random, keys), value: (random & 0xffff) as i64, time: (index / EVENTS_PER_MS) as i64 }
}

/// `random` scaled to `0..limit` by its high bits.
#[inline]
fn scale(random: u64, limit: u64) -> u64 {
    ((u128::from(random) * u128::from(limit)) >> 64) as u64
}

/// Records in a block: workers take blocks in turn, so that their event times stay together.
pub const BLOCK: u64 = 2_048;

/// The blocks of one worker, in order.
#[derive(Clone, Debug)]
pub struct Blocks {
    next: u64,
    step: u64,
    events: u64,
}

impl Blocks {
    /// The blocks of `worker` of `workers` in an input of `events` records.
    pub fn new(worker: usize, workers: usize, events: u64) -> Self {
        Self { next: worker as u64 * BLOCK, step: workers as u64 * BLOCK, events }
    }
}

impl Iterator for Blocks {
    type Item = Range<u64>;
    fn next(&mut self) -> Option<Range<u64>> {
        let start = self.next;
        if start >= self.events {
            return None;
        }
        self.next += self.step;
        Some(start..(start + BLOCK).min(self.events))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_every_index_once() {
        for (workers, events) in [(1, 10_000), (2, 3 * BLOCK), (3, 5 * BLOCK + 7), (4, 1)] {
            let mut indexes: Vec<u64> =
                (0..workers).flat_map(|worker| Blocks::new(worker, workers, events).flatten()).collect();
            indexes.sort_unstable();
            assert!(indexes.into_iter().eq(0..events), "{workers} workers, {events} events");
        }
    }

    #[test]
    fn records_are_those_of_splitmix64() {
        assert_eq!(splitmix64(0), 0xe220_a839_7b1d_cdaf, "the first output of the published generator");
        assert!((0..10_000).all(|index| event(index, 7).key < 7));
        assert_eq!(event(WINDOW_MS as u64 * EVENTS_PER_MS, 7).time, WINDOW_MS);
    }
}
