//! The shards of a stream as Kinesis shows them: with their parents and children, the ranges of their
//! sequence numbers, and which of them a filter means.

use pelton_streams::{ShardDescription, ShardId, StreamDescription};

use crate::ops::members;
use crate::sequence::{LAST_NUMBER, Sequence};
use crate::value::Value;

/// One shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    /// Its id.
    pub id: ShardId,
    /// When it counts as created in its sequence numbers, in seconds since the Unix epoch.
    pub created_s: u64,
    /// In ms since the Unix epoch.
    pub created_ms: u64,
    /// When it was closed, in ms since the Unix epoch.
    pub closed_ms: Option<u64>,
    /// Its least hash key.
    pub first_hash: u128,
    /// Its greatest hash key.
    pub last_hash: u128,
    /// The shard that it was split off from, or the first of the two that were merged into it.
    pub parent: Option<ShardId>,
    /// The second of the two that were merged into it.
    pub adjacent_parent: Option<ShardId>,
    /// The shards that follow it.
    pub children: Vec<ShardId>,
}

/// All shards that a stream ever had, in order of their ids.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ShardTable {
    shards: Vec<Shard>,
    /// How long records are kept, in ms; `None` for ever.
    pub retention_ms: Option<u64>,
}

/// Which shards are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// Those with a greater id.
    After(ShardId),
    /// Those that were open at a time, in ms since the Unix epoch.
    OpenAt(u64),
    /// Those that were open at a time or later.
    OpenSince(u64),
    /// Those that are open.
    Open,
}

impl ShardTable {
    /// The table of a stream that was described.
    #[must_use]
    pub fn new(stream: &StreamDescription) -> Self {
        let mut shards: Vec<Shard> = Vec::with_capacity(stream.shards.len());
        for described in &stream.shards {
            let shard = shard(described, &shards);
            for parent in [shard.parent, shard.adjacent_parent].into_iter().flatten() {
                shards[parent.0 as usize].children.push(shard.id);
            }
            shards.push(shard);
        }
        Self { shards, retention_ms: stream.retention.age_ms }
    }

    /// A shard by its id.
    #[must_use]
    pub fn get(&self, id: ShardId) -> Option<&Shard> {
        self.shards.get(id.0 as usize)
    }

    /// All, with those whose records are gone.
    #[must_use]
    pub fn all(&self) -> &[Shard] {
        &self.shards
    }

    /// Those that take records.
    pub fn open(&self) -> impl Iterator<Item = &Shard> {
        self.shards.iter().filter(|shard| shard.closed_ms.is_none())
    }

    /// The shard that takes the records of a hash key.
    #[must_use]
    pub fn of_hash(&self, hash_key: u128) -> Option<&Shard> {
        self.open().find(|shard| (shard.first_hash..=shard.last_hash).contains(&hash_key))
    }

    /// The time before which records count as removed, in ms since the Unix epoch.
    #[must_use]
    pub fn horizon_ms(&self, now_ms: u64) -> u64 {
        self.retention_ms.map_or(0, |retention_ms| now_ms.saturating_sub(retention_ms))
    }

    /// Those that Kinesis still knows at `now_ms` and that `filter` means.
    pub fn listed(&self, filter: Option<Filter>, now_ms: u64) -> impl Iterator<Item = &Shard> {
        let horizon_ms = self.horizon_ms(now_ms);
        let first_ms = self.shards.iter().map(|shard| shard.created_ms).min().unwrap_or(0);
        self.shards.iter().filter(move |shard| {
            let is_kept = shard.closed_ms.is_none_or(|closed_ms| closed_ms >= horizon_ms);
            is_kept && filter.is_none_or(|filter| filter.means(shard, first_ms.max(horizon_ms)))
        })
    }
}

impl Filter {
    /// `oldest_ms` is the least time that can be asked for.
    fn means(self, shard: &Shard, oldest_ms: u64) -> bool {
        let ends_after = |ms| shard.closed_ms.is_none_or(|closed_ms| closed_ms > ms);
        match self {
            Self::After(id) => shard.id > id,
            Self::OpenAt(ms) => shard.created_ms <= ms.max(oldest_ms) && ends_after(ms.max(oldest_ms)),
            Self::OpenSince(ms) => ends_after(ms.max(oldest_ms)),
            Self::Open => shard.closed_ms.is_none(),
        }
    }
}

fn shard(described: &ShardDescription, before: &[Shard]) -> Shard {
    let parents = [described.parent, described.adjacent_parent].into_iter().flatten();
    let after_parents = parents.map(|parent| before[parent.0 as usize].created_s + 1).max();
    Shard {
        id: described.shard,
        created_s: (described.created_ms / 1000).max(after_parents.unwrap_or(0)),
        created_ms: described.created_ms,
        closed_ms: described.closed_ms,
        first_hash: described.hash_keys.start().0,
        last_hash: described.hash_keys.end().0,
        parent: described.parent,
        adjacent_parent: described.adjacent_parent,
        children: Vec::new(),
    }
}

impl Shard {
    /// The sequence number of a record of this shard.
    #[must_use]
    pub fn sequence(&self, number: u64, arrival_ms: u64) -> Sequence {
        Sequence {
            created_s: self.created_s,
            shard: self.id.0,
            number,
            arrived_s: (arrival_ms / 1000).max(self.created_s),
        }
    }

    /// `HashKeyRange`.
    #[must_use]
    pub fn hash_keys(&self) -> Value {
        members! {
            "StartingHashKey": self.first_hash.to_string(),
            "EndingHashKey": self.last_hash.to_string(),
        }
    }

    /// `Shard`.
    #[must_use]
    pub fn described(&self) -> Value {
        let ending = self.closed_ms.map(|closed_ms| self.sequence(LAST_NUMBER, closed_ms).to_string());
        members! {
            "ShardId": self.id.to_string(),
            "ParentShardId": self.parent.map(|parent| parent.to_string()),
            "AdjacentParentShardId": self.adjacent_parent.map(|parent| parent.to_string()),
            "HashKeyRange": self.hash_keys(),
            "SequenceNumberRange": members! {
                "StartingSequenceNumber": self.sequence(0, self.created_ms).to_string(),
                "EndingSequenceNumber": ending,
            },
        }
    }

    /// `ChildShard`.
    #[must_use]
    pub fn described_as_child(&self) -> Value {
        let parents = [self.parent, self.adjacent_parent].into_iter().flatten();
        members! {
            "ShardId": self.id.to_string(),
            "ParentShards": parents.map(|parent| Value::from(parent.to_string())).collect::<Vec<_>>(),
            "HashKeyRange": self.hash_keys(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parent, adjacent parent, created and closed of each.
    type Row = (Option<u32>, Option<u32>, u64, Option<u64>);

    fn table(shards: &[Row]) -> ShardTable {
        let shards =
            shards.iter().zip(0..).map(|(&(parent, adjacent, created_ms, closed_ms), id)| ShardDescription {
                shard: ShardId(id),
                hash_keys: pelton_streams::HashKey(0)..=pelton_streams::HashKey(u128::MAX),
                parent: parent.map(ShardId),
                adjacent_parent: adjacent.map(ShardId),
                created_ms,
                closed_ms,
                oldest: Default::default(),
                last: Default::default(),
                records: 0,
                bytes: 0,
            });
        ShardTable::new(&StreamDescription {
            name: "s".to_owned(),
            stream_id: 1,
            created_ms: 1_000,
            retention: pelton_streams::Retention { age_ms: Some(10_000), bytes: None },
            segments: 1,
            last_arrival_ms: 0,
            ended_in_order: true,
            shards: shards.collect(),
        })
    }

    fn ids(table: &ShardTable, filter: Filter, now_ms: u64) -> Vec<u32> {
        table.listed(Some(filter), now_ms).map(|shard| shard.id.0).collect()
    }

    #[test]
    fn at_any_time_the_open_shards_tile_the_hash_keys() {
        // 0 is split into 1 and 2 at 5 s, which are merged into 3 at 5.3 s.
        let table = table(&[
            (None, None, 1_000, Some(5_000)),
            (Some(0), None, 5_000, Some(5_300)),
            (Some(0), None, 5_000, Some(5_300)),
            (Some(1), Some(2), 5_300, None),
        ]);
        for (ms, expected) in [
            (0, vec![0]),
            (4_999, vec![0]),
            (5_000, vec![1, 2]),
            (5_299, vec![1, 2]),
            (5_300, vec![3]),
            (9_000, vec![3]),
        ] {
            assert_eq!(ids(&table, Filter::OpenAt(ms), 9_000), expected, "at {ms}");
        }
        assert_eq!(ids(&table, Filter::OpenSince(5_100), 9_000), [1, 2, 3]);
        assert_eq!(ids(&table, Filter::Open, 9_000), [3]);
        assert_eq!(ids(&table, Filter::After(ShardId(1)), 9_000), [2, 3]);
        // What was closed longer ago than records are kept is not known any more.
        assert_eq!(table.listed(None, 15_100).count(), 3);
        assert_eq!(ids(&table, Filter::OpenAt(0), 15_100), [1, 2]);
        assert_eq!(table.listed(None, 15_301).count(), 1);
    }

    #[test]
    fn numbers_of_children_are_above_those_of_parents_within_the_same_second() {
        let table = table(&[
            (None, None, 5_000, Some(5_100)),
            (Some(0), None, 5_100, Some(5_200)),
            (Some(0), None, 5_100, Some(5_200)),
            (Some(1), Some(2), 5_200, None),
        ]);
        for shard in table.all() {
            for child in &shard.children {
                let last = shard.sequence(LAST_NUMBER, 5_200).to_string();
                assert!(last < table.get(*child).unwrap().sequence(0, 5_100).to_string());
            }
        }
        assert_eq!(table.get(ShardId(0)).unwrap().children, [ShardId(1), ShardId(2)]);
    }
}
