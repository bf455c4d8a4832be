//! Keys: their fixed hash, and the key groups that spread them over workers.
//!
//! The hash is part of the persisted format: a key's group decides where its rows lie. It is
//! therefore computed by our own serde serializer over the key's data model, never by
//! `std::hash`, and carries a version. How a key is written into a row is in `pelton-state`.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::record::Data;

mod hasher;

pub use hasher::{HASH_VERSION, hash_of};

/// The fixed hash of a key: the upper 32 bits choose the key group, the lower ones the place in
/// a local table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyHash(pub u64);

/// What records can be keyed by: plain data with equality.
///
/// Any type with `Clone`, `Eq`, `Debug`, `Serialize` and `Deserialize` is one. Floating point
/// numbers and maps inside a key are refused at run time: they have no canonical bytes.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a key",
    note = "a key needs `#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]`"
)]
pub trait Key: Data + Eq + Sync + std::fmt::Debug {}

impl<K: Data + Eq + Sync + std::fmt::Debug> Key for K {}

/// A record's value with the key it was partitioned by, and that key's hash.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Keyed<K: Key, T: Data> {
    /// The hash of `key`, computed once, before the exchange.
    pub hash: KeyHash,
    /// The key.
    pub key: K,
    /// The value.
    pub value: T,
}

/// One of the fixed number of groups that a job's keys fall into; state moves between workers by
/// key group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyGroup(pub u16);

impl std::fmt::Display for KeyGroup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The number of key groups of a job, fixed when it first runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyGroups(u16);

impl Default for KeyGroups {
    fn default() -> Self {
        Self(128)
    }
}

impl KeyGroups {
    /// The largest number of key groups: a group's number is persisted in 16 bits with room above.
    pub const MAX: u16 = 32_768;

    /// `count` key groups, or `None` if that is zero or more than [`KeyGroups::MAX`].
    #[must_use]
    pub fn new(count: u16) -> Option<Self> {
        (1..=Self::MAX).contains(&count).then_some(Self(count))
    }

    /// How many groups there are.
    #[must_use]
    pub fn count(self) -> u16 {
        self.0
    }

    /// The group of a key with this hash.
    #[must_use]
    #[inline]
    pub fn group(self, hash: KeyHash) -> KeyGroup {
        KeyGroup((((hash.0 >> 32) * u64::from(self.0)) >> 32) as u16)
    }

    /// The worker that owns `group` among `workers`.
    #[must_use]
    #[inline]
    pub fn owner(self, group: KeyGroup, workers: usize) -> usize {
        usize::from(group.0) * workers / usize::from(self.0)
    }

    /// The contiguous groups that `worker` of `workers` owns; empty if there are more workers than
    /// groups to go round.
    #[must_use]
    pub fn range(self, worker: usize, workers: usize) -> Range<u16> {
        let first = |worker: usize| (worker * usize::from(self.0)).div_ceil(workers) as u16;
        first(worker)..first(worker + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ranges_tile_the_groups_and_agree_with_owners(count in 1u16..=KeyGroups::MAX, workers in 1usize..200) {
            let groups = KeyGroups::new(count).unwrap();
            let mut next = 0;
            for worker in 0..workers {
                let range = groups.range(worker, workers);
                prop_assert_eq!(range.start, next);
                next = range.end;
                for group in range { prop_assert_eq!(groups.owner(KeyGroup(group), workers), worker); }
            }
            prop_assert_eq!(next, count);
        }

        #[test]
        fn every_hash_has_a_group(hash: u64, count in 1u16..=KeyGroups::MAX) {
            let groups = KeyGroups::new(count).unwrap();
            prop_assert!(groups.group(KeyHash(hash)).0 < count);
        }
    }

    #[test]
    fn sequential_keys_spread_evenly() {
        let groups = KeyGroups::default();
        let mut counts = [0u32; 128];
        for key in 0..128_000u64 {
            counts[usize::from(groups.group(hash_of(&key)).0)] += 1;
        }
        assert!(counts.iter().all(|&n| (800..1200).contains(&n)), "{counts:?}");
    }
}
