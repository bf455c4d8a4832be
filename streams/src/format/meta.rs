//! The META file: what a stream is, and its shards. Replaced as a whole. Layout in `FORMAT.md`, "META".

use std::path::Path;

use super::codec::{Decoder, Encoder, seal, unseal};
use crate::error::{Error, Result};
use crate::types::ShardId;

pub(crate) const MAGIC: [u8; 8] = *b"PELTMETA";
/// Absent shard ids and limits.
const NONE_U32: u32 = u32::MAX;
const NONE_U64: u64 = u64::MAX;

/// A stream's metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StreamMeta {
    /// Random; a stream that is deleted and made again is another one.
    pub stream_id: u64,
    pub version: u64,
    pub created_ms: u64,
    pub retention_ms: Option<u64>,
    pub retention_bytes: Option<u64>,
    pub name: String,
    /// In order of their ids, from 0 without gaps.
    pub shards: Vec<ShardMeta>,
}

/// A shard's metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShardMeta {
    pub first_hash: u128,
    pub last_hash: u128,
    pub parent: Option<ShardId>,
    pub adjacent_parent: Option<ShardId>,
    pub created_ms: u64,
    /// When it was closed by a split or merge.
    pub closed_ms: Option<u64>,
}

impl StreamMeta {
    pub fn encode(&self) -> Vec<u8> {
        let mut body = Encoder::default();
        body.u64(self.stream_id).u64(self.version).u64(self.created_ms);
        body.u64(self.retention_ms.unwrap_or(NONE_U64)).u64(self.retention_bytes.unwrap_or(NONE_U64));
        body.text(&self.name).u32(u32::try_from(self.shards.len()).unwrap_or(NONE_U32));
        for shard in &self.shards {
            body.u128(shard.first_hash).u128(shard.last_hash);
            body.u32(shard.parent.map_or(NONE_U32, |id| id.0));
            body.u32(shard.adjacent_parent.map_or(NONE_U32, |id| id.0));
            body.u64(shard.created_ms).u64(shard.closed_ms.unwrap_or(NONE_U64));
        }
        seal(&MAGIC, &body.0)
    }

    pub fn decode(file: &Path, bytes: &[u8]) -> Result<Self> {
        let fields = unseal(file, &MAGIC, bytes)?;
        Self::decode_body(fields).map_err(|what| Error::corrupt(file, 0, what))
    }

    fn decode_body(body: &[u8]) -> Result<Self, &'static str> {
        let mut fields = Decoder::new(body);
        let long = |value| (value != NONE_U64).then_some(value);
        let shard_id = |value| (value != NONE_U32).then_some(ShardId(value));
        let mut meta = Self {
            stream_id: fields.u64()?,
            version: fields.u64()?,
            created_ms: fields.u64()?,
            retention_ms: long(fields.u64()?),
            retention_bytes: long(fields.u64()?),
            name: fields.text()?,
            shards: Vec::new(),
        };
        for _ in 0..fields.u32()? {
            meta.shards.push(ShardMeta {
                first_hash: fields.u128()?,
                last_hash: fields.u128()?,
                parent: shard_id(fields.u32()?),
                adjacent_parent: shard_id(fields.u32()?),
                created_ms: fields.u64()?,
                closed_ms: long(fields.u64()?),
            });
        }
        fields.end()?;
        Ok(meta)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn meta(
        numbers: [u64; 3],
        limits: [Option<u64>; 2],
        name: String,
        shards: Vec<(u128, u128, u64)>,
    ) -> StreamMeta {
        let shards = shards.into_iter().zip(0..).map(|((first_hash, last_hash, created_ms), i)| ShardMeta {
            first_hash,
            last_hash,
            parent: (i > 1).then(|| ShardId(i - 2)),
            adjacent_parent: (i > 2).then_some(ShardId(0)),
            created_ms,
            closed_ms: (i % 2 == 1).then_some(created_ms / 2),
        });
        StreamMeta {
            stream_id: numbers[0],
            version: numbers[1],
            created_ms: numbers[2],
            retention_ms: limits[0].filter(|&n| n != NONE_U64),
            retention_bytes: limits[1].filter(|&n| n != NONE_U64),
            name,
            shards: shards.collect(),
        }
    }

    #[test]
    fn version_1_still_reads() {
        let meta = meta(
            [1, 2, 3],
            [Some(4), None],
            "payments".into(),
            vec![(0, 9, 10), (10, u128::MAX, 11), (0, 4, 12)],
        );
        let fixture = crate::format::check_fixture("meta.bin", &meta.encode());
        assert_eq!(StreamMeta::decode(Path::new("META"), &fixture).unwrap(), meta);
    }

    proptest! {
        #[test]
        fn round_trip_and_each_damage_is_seen(
            numbers: [u64; 3], limits: [Option<u64>; 2], name: String,
            shards in proptest::collection::vec((any::<u128>(), any::<u128>(), 0..u64::MAX), 0..5),
        ) {
            let meta = meta(numbers, limits, name, shards);
            let bytes = meta.encode();
            let read = |bytes: &[u8]| StreamMeta::decode(Path::new("META"), bytes);
            prop_assert_eq!(read(&bytes).unwrap(), meta);
            for at in 0..bytes.len() {
                prop_assert!(read(&bytes[..at]).is_err());
                let mut flipped = bytes.clone();
                flipped[at] ^= 1;
                prop_assert!(read(&flipped).is_err_and(|e| e.is_corruption()));
            }
        }
    }
}
