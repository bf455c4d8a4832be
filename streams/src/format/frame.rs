//! The frame: some records of one shard that were appended together, or a commit marker. 64 bytes of
//! header, a payload, padding to 8 bytes. Layout in `FORMAT.md`, "Frame"; the records are in
//! [`super::record`], the marker in [`super::marker`].

use super::ALIGN;
use crate::types::{SequenceNumber, ShardId};

/// Bytes of the header.
pub(crate) const FRAME_HEADER: usize = 64;
const MAGIC: [u8; 4] = *b"PFRM";
/// Set on the frames that a commit marker later in the same run makes valid.
const IN_TRANSACTION: u8 = 1;

/// What a frame's payload is; the tag on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameKind {
    Records = 1,
    Commit = 2,
}

/// The header's fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub kind: FrameKind,
    pub in_transaction: bool,
    pub shard: ShardId,
    /// Number of records.
    pub records: u32,
    /// Sequence number of the first record; the others follow without gaps.
    pub base: SequenceNumber,
    pub arrival_ms: u64,
    /// Where this frame begins in its file: a frame at another place is not one.
    pub offset: u64,
    /// The file was durable up to here before this frame was written.
    pub synced_to: u64,
    pub payload_len: u32,
    pub payload_crc: u32,
    /// The writer's term.
    pub term: u32,
}

/// Bytes that a frame takes in its file.
pub(crate) fn frame_len(payload_len: u64) -> u64 {
    (FRAME_HEADER as u64 + payload_len).next_multiple_of(ALIGN)
}

/// Makes header checksums of one file worthless in another one.
pub(crate) fn file_salt(stream_id: u64, file_id: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&stream_id.to_le_bytes()), &file_id.to_le_bytes())
}

impl FrameHeader {
    pub fn len(&self) -> u64 {
        frame_len(u64::from(self.payload_len))
    }

    /// The last record's number; that before `base` if there is none.
    pub fn last(&self) -> u64 {
        self.base.0.saturating_add(u64::from(self.records)).saturating_sub(1)
    }

    pub fn encode(&self, salt: u32) -> [u8; FRAME_HEADER] {
        let mut bytes = [0; FRAME_HEADER];
        bytes[0..4].copy_from_slice(&MAGIC);
        bytes[4] = self.kind as u8;
        bytes[5] = if self.in_transaction { IN_TRANSACTION } else { 0 };
        bytes[8..12].copy_from_slice(&self.shard.0.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.records.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.base.0.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.arrival_ms.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.offset.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.synced_to.to_le_bytes());
        bytes[48..52].copy_from_slice(&self.payload_len.to_le_bytes());
        bytes[52..56].copy_from_slice(&self.payload_crc.to_le_bytes());
        bytes[56..60].copy_from_slice(&self.term.to_le_bytes());
        let crc = crc32c::crc32c_append(salt, &bytes[..60]);
        bytes[60..64].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The header in `bytes`, if it is one of this file at this offset; else what does not hold.
    pub fn decode(bytes: &[u8; FRAME_HEADER], salt: u32, offset: u64) -> Result<Self, &'static str> {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        if bytes[0..4] != MAGIC {
            return Err("no frame begins here");
        }
        if word(60) != crc32c::crc32c_append(salt, &bytes[..60]) {
            return Err("the checksum of the frame's header does not match");
        }
        if long(32) != offset {
            return Err("the frame belongs to another place");
        }
        let kind = match bytes[4] {
            1 => FrameKind::Records,
            2 => FrameKind::Commit,
            _ => return Err("the frame is of an unknown kind"),
        };
        if bytes[5] & !IN_TRANSACTION != 0 || bytes[6..8] != [0, 0] {
            return Err("the frame has unknown flags");
        }
        Ok(Self {
            kind,
            in_transaction: bytes[5] & IN_TRANSACTION != 0,
            shard: ShardId(word(8)),
            records: word(12),
            base: SequenceNumber(long(16)),
            arrival_ms: long(24),
            offset,
            synced_to: long(40),
            payload_len: word(48),
            payload_crc: word(52),
            term: word(56),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn version_1_still_reads() {
        let header = FrameHeader {
            kind: FrameKind::Records,
            in_transaction: true,
            shard: ShardId(3),
            records: 7,
            base: SequenceNumber(1 << 40),
            arrival_ms: 1_700_000_000_000,
            offset: 4096,
            synced_to: 2048,
            payload_len: 100,
            payload_crc: 0xdead_beef,
            term: 2,
        };
        let salt = file_salt(11, 22);
        let fixture = crate::format::check_fixture("frame.bin", &header.encode(salt));
        let bytes = fixture.first_chunk().unwrap();
        assert_eq!(FrameHeader::decode(bytes, salt, 4096), Ok(header));
        assert!(FrameHeader::decode(bytes, salt, 0).is_err());
        assert!(FrameHeader::decode(bytes, file_salt(11, 23), 4096).is_err());
        assert_eq!((frame_len(0), frame_len(1), frame_len(8)), (64, 72, 72));
    }

    proptest! {
        #[test]
        fn round_trip_and_each_flipped_bit_is_seen(
            commit: bool, in_transaction: bool, shard: u32, records: u32, base: u64, arrival_ms: u64,
            offset: u64, synced_to: u64, payload_len: u32, payload_crc: u32, term: u32, salt: u32,
        ) {
            let kind = if commit { FrameKind::Commit } else { FrameKind::Records };
            let header = FrameHeader {
                kind, in_transaction, shard: ShardId(shard), records, base: SequenceNumber(base), arrival_ms,
                offset, synced_to, payload_len, payload_crc, term,
            };
            let bytes = header.encode(salt);
            prop_assert_eq!(FrameHeader::decode(&bytes, salt, offset), Ok(header));
            for bit in 0..FRAME_HEADER * 8 {
                let mut flipped = bytes;
                flipped[bit / 8] ^= 1 << (bit % 8);
                prop_assert!(FrameHeader::decode(&flipped, salt, offset).is_err());
            }
        }
    }
}
