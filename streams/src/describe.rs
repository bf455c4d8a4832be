//! Describing a stream: its shards with their ranges, and how much each holds. From the heads of the
//! oldest and the last segment and the index of the last; no other segment is read.

use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::hash::HashKey;
use crate::options::Retention;
use crate::shared::StreamShared;
use crate::types::{SequenceNumber, ShardId};

/// A stream, as far as it is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamDescription {
    /// Its name.
    pub name: String,
    /// Random; a stream made again under the same name has another one.
    pub stream_id: u64,
    /// In ms since the Unix epoch.
    pub created_ms: u64,
    /// How long it keeps records.
    pub retention: Retention,
    /// Its segments on disk.
    pub segments: u64,
    /// When its last record arrived, in ms since the Unix epoch; 0 if it never had one.
    pub last_arrival_ms: u64,
    /// The last writer has ended in order. If not, one is at work, or was cut short: after a power failure, readers
    /// may see less than was acknowledged until the stream is opened for writing.
    pub ended_in_order: bool,
    /// In order of their ids.
    pub shards: Vec<ShardDescription>,
}

/// A shard, as far as it is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardDescription {
    /// Its id.
    pub shard: ShardId,
    /// The hash keys whose records it takes, or took.
    pub hash_keys: RangeInclusive<HashKey>,
    /// The shard that it was split off from, or the first of the two that were merged into it.
    pub parent: Option<ShardId>,
    /// The second of the two that were merged into it.
    pub adjacent_parent: Option<ShardId>,
    /// When it was created, with its stream or by a split or merge, in ms since the Unix epoch.
    pub created_ms: u64,
    /// When it was closed by a split or merge, in ms since the Unix epoch.
    pub closed_ms: Option<u64>,
    /// No record that is left has a lower number.
    pub oldest: SequenceNumber,
    /// The number of the last record; `SequenceNumber::ZERO` if it never had one.
    pub last: SequenceNumber,
    /// Records that retention has left.
    pub records: u64,
    /// Their bytes in the log, keys, data and 8 to 16 bytes each for their lengths and event times.
    pub bytes: u64,
}

pub(crate) fn describe(shared: &Arc<StreamShared>) -> Result<StreamDescription> {
    let end = shared.refresh()?;
    let meta = shared.meta();
    let oldest = shared.segment(end.oldest_segment)?;
    let last = shared.segment(end.segment)?;
    let shards = meta.shards.iter().zip(0..).map(|(shard, id)| {
        let from = oldest.head.mark(id as usize);
        let to = last.head.mark(id as usize);
        let total = last.total(end.offset, id)?;
        Ok::<_, Error>(ShardDescription {
            shard: ShardId(id),
            hash_keys: HashKey(shard.first_hash)..=HashKey(shard.last_hash),
            parent: shard.parent,
            adjacent_parent: shard.adjacent_parent,
            created_ms: shard.created_ms,
            closed_ms: shard.closed_ms,
            oldest: SequenceNumber(from.last.saturating_add(1)),
            last: SequenceNumber(total.last.unwrap_or(to.last)),
            records: to.records.saturating_add(total.records).saturating_sub(from.records),
            bytes: to.bytes.saturating_add(total.bytes).saturating_sub(from.bytes),
        })
    });
    Ok(StreamDescription {
        name: meta.name.clone(),
        stream_id: meta.stream_id,
        created_ms: meta.created_ms,
        retention: Retention { age_ms: meta.retention_ms, bytes: meta.retention_bytes },
        segments: end.segment.saturating_sub(end.oldest_segment).saturating_add(1),
        last_arrival_ms: end.last_arrival_ms,
        ended_in_order: end.clean,
        shards: shards.collect::<Result<_>>()?,
    })
}
