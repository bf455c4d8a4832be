//! Hash keys: how a partition key finds its shard, exactly as Kinesis defines it (`PutRecord`,
//! "Amazon Kinesis Data Streams Terminology"): MD5 of the key's UTF-8 bytes, read as a big-endian
//! 128-bit integer, falls into one shard's hash-key range. Which shards exist is the metadata's matter.

use std::collections::HashMap;
use std::fmt;
use std::ops::RangeInclusive;

use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};

use crate::types::ShardId;

/// A point of the 128-bit ring that shards divide among themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HashKey(pub u128);

impl HashKey {
    /// The hash key of a partition key.
    ///
    /// ```
    /// use pelton_streams::HashKey;
    /// // MD5("a") = 0cc175b9c0f1b6a831c399e269772661
    /// assert_eq!(HashKey::of(b"a").0, 0x0cc1_75b9_c0f1_b6a8_31c3_99e2_6977_2661);
    /// ```
    #[must_use]
    pub fn of(partition_key: &[u8]) -> Self {
        Self(u128::from_be_bytes(Md5::digest(partition_key).into()))
    }
}

impl fmt::Display for HashKey {
    /// Decimal, as in the Kinesis API.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The ranges that Kinesis gives the shards of a new stream: equal parts, the last takes the rest.
pub(crate) fn even_ranges(shards: u32) -> Vec<RangeInclusive<u128>> {
    let n = u128::from(shards.max(1));
    // 2^128 / n, which does not fit for n = 1.
    let width = if n == 1 { u128::MAX } else { u128::MAX / n + u128::from(u128::MAX % n == n - 1) };
    (0..n).map(|i| i * width..=if i == n - 1 { u128::MAX } else { (i + 1) * width - 1 }).collect()
}

/// Finds the open shard of a hash key.
#[derive(Debug, Clone)]
pub(crate) struct Router {
    /// First hash key of each open shard, ascending.
    starts: Vec<u128>,
    shards: Vec<ShardId>,
    by_shard: HashMap<ShardId, usize>,
}

impl Router {
    /// `open` are the open shards with their ranges; together they tile the ring.
    pub fn new(open: impl IntoIterator<Item = (u128, ShardId)>) -> Self {
        let mut open: Vec<_> = open.into_iter().collect();
        open.sort_unstable();
        let (starts, shards): (_, Vec<ShardId>) = open.into_iter().unzip();
        let by_shard = shards.iter().copied().zip(0..).collect();
        Self { starts, shards, by_shard }
    }

    /// How many shards take records.
    pub fn slots(&self) -> usize {
        self.shards.len()
    }

    /// The shard of a slot.
    pub fn shard(&self, slot: usize) -> ShardId {
        self.shards[slot]
    }

    /// The slot of a shard, if it is open.
    pub fn slot_of_shard(&self, shard: ShardId) -> Option<usize> {
        self.by_shard.get(&shard).copied()
    }

    /// The slot of a hash key.
    pub fn slot(&self, key: HashKey) -> usize {
        self.starts.partition_point(|&start| start <= key.0).saturating_sub(1)
    }

    /// The slot of a partition key; a stream of one shard needs no hash.
    pub fn slot_of(&self, partition_key: &[u8]) -> usize {
        if self.starts.len() == 1 { 0 } else { self.slot(HashKey::of(partition_key)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_kinesis() {
        // `aws kinesis create-stream --shard-count 3`, then `describe-stream`.
        let third = 113_427_455_640_312_821_154_458_202_477_256_070_485_u128;
        assert_eq!(even_ranges(3), [0..=third - 1, third..=2 * third - 1, 2 * third..=u128::MAX]);
        assert_eq!(even_ranges(1), [0..=u128::MAX]);
        let half = 1_u128 << 127;
        assert_eq!(even_ranges(2), [0..=half - 1, half..=u128::MAX]);
    }

    #[test]
    fn ranges_tile_the_ring() {
        for n in [1, 2, 3, 4, 5, 7, 64, 1000, 9999, 10_000] {
            let ranges = even_ranges(n);
            assert_eq!(*ranges[0].start(), 0);
            assert_eq!(*ranges[ranges.len() - 1].end(), u128::MAX);
            assert!(ranges.windows(2).all(|w| w[0].end() + 1 == *w[1].start()), "{n}");
        }
    }

    #[test]
    fn known_md5_values_route_as_in_kinesis() {
        let router = Router::new(even_ranges(4).iter().zip(0..).map(|(r, i)| (*r.start(), ShardId(i))));
        // RFC 1321, appendix A.5: the digests' first hex digit names the quarter (0-3, 4-7, 8-b, c-f).
        for (key, shard) in [
            ("", 3),                           // d41d8cd98f00b204e9800998ecf8427e
            ("a", 0),                          // 0cc175b9c0f1b6a831c399e269772661
            ("abc", 2),                        // 900150983cd24fb0d6963f7d28e17f72
            ("message digest", 3),             // f96b697d7cb7938d525a2f31aaf161d0
            ("abcdefghijklmnopqrstuvwxyz", 3), // c3fcd3d76192e4007dfb496cca67e13b
        ] {
            assert_eq!(router.slot_of(key.as_bytes()), shard, "{key:?}");
        }
    }

    #[test]
    fn borders_belong_to_the_right_shard() {
        let ranges = even_ranges(3);
        let router = Router::new(ranges.iter().zip(0..).map(|(r, i)| (*r.start(), ShardId(i))));
        for (slot, range) in ranges.iter().enumerate() {
            assert_eq!(router.slot(HashKey(*range.start())), slot);
            assert_eq!(router.slot(HashKey(*range.end())), slot);
        }
    }
}
