//! The head of a segment file: which segment it is, and where each shard stood when it began. So the
//! last segment alone tells a writer where to go on, and any segment's head tells a reader whether its
//! record lies before or after. Layout in `FORMAT.md`, "Segment head".

use std::path::Path;

use super::ALIGN;
use super::codec::{Decoder, Encoder, SEAL_HEAD, seal, sealed_len, unseal};
use super::frame::file_salt;
use crate::error::{Error, Result};

pub(crate) const MAGIC: [u8; 8] = *b"PELTSEGM";
/// Bytes needed to learn the head's length.
pub(crate) const HEAD_PREFIX: usize = SEAL_HEAD;

/// A segment's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentHead {
    pub stream_id: u64,
    pub segment: u64,
    pub created_ms: u64,
    /// The last arrival time given before this segment; all in it are at least this.
    pub arrival_floor_ms: u64,
    /// Length of the segment before this one, which is complete; 0 for the first.
    pub previous_bytes: u64,
    pub term: u32,
    /// By shard id.
    pub shards: Vec<ShardMark>,
}

/// Where a shard stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ShardMark {
    /// The last number given to a record, 0 if none was.
    pub last: u64,
    /// The next record's number is at least this.
    pub next: u64,
    /// Records, and bytes of keys and data, since the stream began.
    pub records: u64,
    pub bytes: u64,
}

impl ShardMark {
    /// Where a shard stands that has had no record.
    pub const NEW: Self = Self { last: 0, next: 1, records: 0, bytes: 0 };
}

impl SegmentHead {
    /// The head's bytes, padded so that the first frame is aligned.
    pub fn encode(&self) -> Vec<u8> {
        let mut body = Encoder::default();
        body.u64(self.stream_id).u64(self.segment).u64(self.created_ms).u64(self.arrival_floor_ms);
        body.u64(self.previous_bytes);
        body.u32(self.term).u32(u32::try_from(self.shards.len()).unwrap_or(u32::MAX));
        for shard in &self.shards {
            body.u64(shard.last).u64(shard.next).u64(shard.records).u64(shard.bytes);
        }
        let mut bytes = seal(&MAGIC, &body.0);
        bytes.resize(bytes.len().next_multiple_of(ALIGN as usize), 0);
        bytes
    }

    /// Length of the unpadded head, from its first [`HEAD_PREFIX`] bytes.
    pub fn sealed_len(file: &Path, prefix: &[u8]) -> Result<usize> {
        sealed_len(file, &MAGIC, prefix)
    }

    /// From the unpadded head.
    pub fn decode(file: &Path, bytes: &[u8]) -> Result<Self> {
        let body = unseal(file, &MAGIC, bytes)?;
        Self::decode_body(body).map_err(|what| Error::corrupt(file, 0, what))
    }

    fn decode_body(body: &[u8]) -> Result<Self, &'static str> {
        let mut fields = Decoder::new(body);
        let mut head = Self {
            stream_id: fields.u64()?,
            segment: fields.u64()?,
            created_ms: fields.u64()?,
            arrival_floor_ms: fields.u64()?,
            previous_bytes: fields.u64()?,
            term: fields.u32()?,
            shards: Vec::new(),
        };
        for _ in 0..fields.u32()? {
            head.shards.push(ShardMark {
                last: fields.u64()?,
                next: fields.u64()?,
                records: fields.u64()?,
                bytes: fields.u64()?,
            });
        }
        fields.end()?;
        Ok(head)
    }

    /// The mark of a shard; one that is younger than the segment stands at its beginning.
    pub fn mark(&self, shard: usize) -> ShardMark {
        self.shards.get(shard).copied().unwrap_or(ShardMark::NEW)
    }

    /// The salt of the checksums of this segment's frames.
    pub fn salt(&self) -> u32 {
        file_salt(self.stream_id, self.segment)
    }
}

/// The file of a segment.
pub(crate) fn file_name(segment: u64) -> String {
    format!("{segment:020}.segment")
}

/// The segment of a file name.
pub(crate) fn parse_name(name: &str) -> Option<u64> {
    name.strip_suffix(".segment").filter(|digits| digits.len() == 20)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn version_1_still_reads() {
        let mark = ShardMark { last: 3, next: 1 << 40, records: 3, bytes: 450 };
        let head = SegmentHead {
            stream_id: 1,
            segment: 2,
            created_ms: 3,
            arrival_floor_ms: 4,
            previous_bytes: 6,
            term: 5,
            shards: vec![mark, ShardMark::default()],
        };
        let fixture = crate::format::check_fixture("segment.bin", &head.encode());
        let len = SegmentHead::sealed_len(Path::new("s"), &fixture[..HEAD_PREFIX]).unwrap();
        assert_eq!(SegmentHead::decode(Path::new("s"), &fixture[..len]).unwrap(), head);
        assert_eq!(parse_name(&file_name(77)), Some(77));
        assert_eq!(parse_name("77.segment"), None);
    }

    proptest! {
        #[test]
        fn round_trip(
            numbers: [u64; 5], term: u32, marks in proptest::collection::vec(any::<[u64; 4]>(), 0..5),
        ) {
            let [stream_id, segment, created_ms, arrival_floor_ms, previous_bytes] = numbers;
            let marks = marks.into_iter().map(|[last, next, records, bytes]| ShardMark { last, next, records, bytes });
            let head = SegmentHead { stream_id, segment, created_ms, arrival_floor_ms, previous_bytes, term, shards: marks.collect() };
            let bytes = head.encode();
            prop_assert_eq!(bytes.len() % 8, 0);
            let len = SegmentHead::sealed_len(Path::new("s"), &bytes[..HEAD_PREFIX]).unwrap();
            prop_assert_eq!(SegmentHead::decode(Path::new("s"), &bytes[..len]).unwrap(), head);
        }
    }
}
