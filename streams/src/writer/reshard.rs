//! Splits and merges: shards close, and their children take the hash keys from there on. What a change
//! makes of the metadata is pure ([`Change::apply`]); the engine makes it durable between two groups.

use std::sync::Arc;

use super::engine::Engine;
use crate::error::{Error, Result};
use crate::format::meta::{ShardMeta, StreamMeta};
use crate::hash::HashKey;
use crate::shared::meta_path;
use crate::storage::replace;
use crate::types::{ShardId, limits};

/// A change of a stream's shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// One shard becomes two; the second begins at the hash key.
    Split(ShardId, HashKey),
    /// Two shards whose hash keys are neighbours become one.
    Merge(ShardId, ShardId),
}

impl Change {
    /// The metadata with the change made at `now_ms`, and the shards that are new.
    fn apply(self, meta: &StreamMeta, now_ms: u64) -> Result<(StreamMeta, Vec<ShardId>)> {
        let born = |first_hash, last_hash, parent, adjacent_parent| ShardMeta {
            first_hash,
            last_hash,
            parent: Some(parent),
            adjacent_parent,
            created_ms: now_ms,
            closed_ms: None,
        };
        let (closed, children) = match self {
            Self::Split(shard, HashKey(at)) => {
                let ShardMeta { first_hash: first, last_hash: last, .. } = *open_shard(meta, shard)?;
                if at <= first || at > last {
                    return Err(Error::InvalidArgument(format!(
                        "{shard} of `{}` has the hash keys {first} to {last} and cannot be split at {at}: the second part must begin above {first} and not above {last}",
                        meta.name
                    )));
                }
                check_room(meta)?;
                (vec![shard], vec![born(first, at - 1, shard, None), born(at, last, shard, None)])
            }
            Self::Merge(shard, other) => {
                let (one, two) = (open_shard(meta, shard)?, open_shard(meta, other)?);
                let (low, high) = if one.first_hash <= two.first_hash { (one, two) } else { (two, one) };
                if low.last_hash.checked_add(1) != Some(high.first_hash) {
                    return Err(Error::InvalidArgument(format!(
                        "{shard} and {other} of `{}` cannot be merged: their hash keys, {} to {} and {} to {}, are not neighbours",
                        meta.name, one.first_hash, one.last_hash, two.first_hash, two.last_hash
                    )));
                }
                (vec![shard, other], vec![born(low.first_hash, high.last_hash, shard, Some(other))])
            }
        };
        let mut meta = meta.clone();
        meta.version += 1;
        for shard in closed {
            meta.shards[shard.0 as usize].closed_ms = Some(now_ms);
        }
        let first = meta.shards.len() as u32;
        meta.shards.extend(children);
        let ids = (first..meta.shards.len() as u32).map(ShardId).collect();
        Ok((meta, ids))
    }
}

fn open_shard(meta: &StreamMeta, shard: ShardId) -> Result<&ShardMeta> {
    let stream = || meta.name.clone();
    let Some(found) = meta.shards.get(shard.0 as usize) else {
        return Err(Error::UnknownShard { stream: stream(), shard, shards: meta.shards.len() });
    };
    if found.closed_ms.is_some() {
        let is_child = |other: &ShardMeta| [other.parent, other.adjacent_parent].contains(&Some(shard));
        let children = meta.shards.iter().zip(0..).filter(|(other, _)| is_child(other));
        let children = children.map(|(_, id)| ShardId(id)).collect();
        return Err(Error::ShardClosed { stream: stream(), shard, children });
    }
    Ok(found)
}

/// A split adds one open shard, and two to those that were ever there.
fn check_room(meta: &StreamMeta) -> Result<()> {
    let open = meta.shards.iter().filter(|shard| shard.closed_ms.is_none()).count();
    if open >= limits::MAX_SHARDS as usize || meta.shards.len() + 2 > limits::MAX_SHARDS_EVER as usize {
        return Err(Error::InvalidArgument(format!(
            "`{}` has {open} open shards, {} with those that are closed, and cannot have more: {} may be open, and {} be there in all",
            meta.name,
            meta.shards.len(),
            limits::MAX_SHARDS,
            limits::MAX_SHARDS_EVER
        )));
    }
    Ok(())
}

impl Engine {
    /// Makes a change of the shards; durable on return, with the shards that are new.
    ///
    /// Nothing of the present group is open, so every record of a shard that closes is durable, and whatever
    /// comes after goes to its children.
    pub(crate) fn reshard(&mut self, change: Change) -> Result<Vec<ShardId>> {
        // Closed no earlier than its last record arrived, even if the clock has gone back.
        let now_ms = self.clock.now_ms().max(self.last_arrival_ms());
        let (meta, children) = change.apply(&self.shared.meta(), now_ms)?;
        let path = meta_path(&self.shared.dir);
        let written = replace(&*self.shared.storage, &path, &meta.encode())
            .map_err(Error::io("replace", &path))
            .and_then(|()| self.publish_meta(Arc::new(meta)));
        if let Err(error) = written {
            // Whether the change is on the disk is not known. Were it, a record that is appended to a closed
            // shard now would be one after that shard's end.
            self.fail(&error);
            return Err(error);
        }
        self.take_shards(children.len());
        Ok(children)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::even_ranges;

    fn stream(shards: u32) -> StreamMeta {
        let shards = even_ranges(shards).into_iter().map(|range| ShardMeta {
            first_hash: *range.start(),
            last_hash: *range.end(),
            parent: None,
            adjacent_parent: None,
            created_ms: 1,
            closed_ms: None,
        });
        let name = "s".to_owned();
        let (retention_ms, retention_bytes) = (None, None);
        StreamMeta {
            stream_id: 1,
            version: 1,
            created_ms: 1,
            retention_ms,
            retention_bytes,
            name,
            shards: shards.collect(),
        }
    }

    const HALF: u128 = 1 << 127;

    #[test]
    fn a_split_tiles_its_parent_and_a_merge_joins_neighbours() {
        let (meta, ids) = Change::Split(ShardId(0), HashKey(5)).apply(&stream(2), 7).unwrap();
        assert_eq!(ids, [ShardId(2), ShardId(3)]);
        assert_eq!((meta.version, meta.shards[0].closed_ms, meta.shards[1].closed_ms), (2, Some(7), None));
        let ranges: Vec<_> = meta.shards[2..].iter().map(|s| (s.first_hash, s.last_hash, s.parent)).collect();
        assert_eq!(ranges, [(0, 4, Some(ShardId(0))), (5, HALF - 1, Some(ShardId(0)))]);

        // The order in which the two are named is kept, as in Kinesis.
        let (meta, ids) = Change::Merge(ShardId(1), ShardId(3)).apply(&meta, 9).unwrap();
        assert_eq!(ids, [ShardId(4)]);
        let child = &meta.shards[4];
        assert_eq!((child.first_hash, child.last_hash), (5, u128::MAX));
        assert_eq!((child.parent, child.adjacent_parent), (Some(ShardId(1)), Some(ShardId(3))));
        assert_eq!(meta.shards.iter().filter(|shard| shard.closed_ms.is_none()).count(), 2);
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_reason() {
        let (meta, _) = Change::Split(ShardId(0), HashKey(5)).apply(&stream(3), 7).unwrap();
        let refused = |change: Change| change.apply(&meta, 8).unwrap_err().to_string();
        for (change, reason) in [
            (Change::Split(ShardId(9), HashKey(5)), "has no shard shardId-000000000009"),
            (
                Change::Split(ShardId(0), HashKey(2)),
                "is closed; its records go to shardId-000000000003, shardId-000000000004",
            ),
            (Change::Split(ShardId(3), HashKey(0)), "cannot be split at 0"),
            (Change::Split(ShardId(3), HashKey(5)), "must begin above 0 and not above 4"),
            (Change::Merge(ShardId(3), ShardId(1)), "are not neighbours"),
            (Change::Merge(ShardId(1), ShardId(1)), "are not neighbours"),
            (Change::Merge(ShardId(1), ShardId(0)), "is closed"),
        ] {
            let message = refused(change);
            assert!(message.contains(reason), "{message}");
        }
        // A shard of one hash key cannot be split.
        let (one, _) = Change::Split(ShardId(3), HashKey(1)).apply(&meta, 8).unwrap();
        assert!(Change::Split(ShardId(5), HashKey(0)).apply(&one, 9).is_err());
    }

    #[test]
    fn a_stream_has_room_for_a_number_of_shards() {
        let refusal =
            Change::Split(ShardId(0), HashKey(1)).apply(&stream(limits::MAX_SHARDS), 1).unwrap_err();
        assert!(refusal.to_string().contains("cannot have more"), "{refusal}");
    }
}
