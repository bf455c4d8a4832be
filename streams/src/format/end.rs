//! The END file: how far the stream is durable, published by the writer after each sync for readers of
//! any process. Two live slots, written in turn and not synced, so that one is whole whenever the file is
//! read; two anchors, written in turn and synced each time, so that one is whole after any power
//! failure. Layout in `FORMAT.md`, "END".

use std::path::Path;

use super::VERSION;
use crate::error::{Error, Result};

/// Bytes of the file; each slot lies in a disk sector of its own.
pub(crate) const END_BYTES: usize = SLOTS * SECTOR;
pub(crate) const SECTOR: usize = 512;
pub(crate) const SLOTS: usize = 4;
const FIRST_ANCHOR: usize = 2;
pub(crate) const SLOT_BYTES: usize = 88;
const MAGIC: [u8; 4] = *b"PEND";
const CLEAN: u32 = 1;

/// What is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct End {
    /// Grows by one with each publication.
    pub publication: u64,
    pub stream_id: u64,
    /// The active segment, and the offset in it up to which everything is durable.
    pub segment: u64,
    pub offset: u64,
    /// Segments before this one are gone.
    pub oldest_segment: u64,
    pub last_arrival_ms: u64,
    /// Grows when the metadata file is replaced.
    pub meta_version: u64,
    /// Grows with each writer that opens the stream.
    pub term: u32,
    /// The writer ended in order: nothing was ever written after `offset`.
    pub clean: bool,
}

impl End {
    /// The slot's bytes.
    pub fn encode(&self) -> [u8; SLOT_BYTES] {
        let mut bytes = [0; SLOT_BYTES];
        bytes[0..4].copy_from_slice(&MAGIC);
        bytes[4..8].copy_from_slice(&VERSION.to_le_bytes());
        let longs = [
            self.publication,
            self.stream_id,
            self.segment,
            self.offset,
            self.oldest_segment,
            self.last_arrival_ms,
            self.meta_version,
        ];
        for (field, long) in bytes[8..64].chunks_exact_mut(8).zip(longs) {
            field.copy_from_slice(&long.to_le_bytes());
        }
        bytes[64..68].copy_from_slice(&self.term.to_le_bytes());
        bytes[68..72].copy_from_slice(&if self.clean { CLEAN } else { 0 }.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..SLOT_BYTES - 4]);
        bytes[SLOT_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Where the live slot of this publication lies.
    pub fn live_offset(&self) -> u64 {
        self.publication % FIRST_ANCHOR as u64 * SECTOR as u64
    }

    /// Where an anchor lies.
    pub fn anchor_offset(second: bool) -> u64 {
        ((FIRST_ANCHOR + usize::from(second)) * SECTOR) as u64
    }

    /// The whole of a new file, its first anchor set.
    pub fn encode_file(&self) -> Vec<u8> {
        let mut file = vec![0; END_BYTES];
        file[Self::anchor_offset(false) as usize..][..SLOT_BYTES].copy_from_slice(&self.encode());
        file
    }

    /// Whether the second anchor is the one to overwrite: the older one, or the one that is not whole.
    pub fn second_anchor_is_next(bytes: &[u8; END_BYTES]) -> bool {
        let anchor = |second| {
            let at = Self::anchor_offset(second) as usize;
            decode_slot(&bytes[at..][..SLOT_BYTES]).map(|end| end.publication).ok()
        };
        anchor(true) < anchor(false)
    }

    /// The newest whole slot.
    pub fn decode(file: &Path, bytes: &[u8; END_BYTES]) -> Result<Self> {
        let slots: [_; SLOTS] =
            std::array::from_fn(|slot| decode_slot(&bytes[slot * SECTOR..][..SLOT_BYTES]));
        let newest =
            slots.iter().filter_map(|slot| slot.as_ref().ok().copied()).max_by_key(|end| end.publication);
        newest.ok_or_else(|| match slots.into_iter().find_map(|slot| slot.err().flatten()) {
            Some(found) => Error::UnsupportedVersion { file: file.to_owned(), found, supported: VERSION },
            None => Error::corrupt(file, 0, "none of its slots is whole"),
        })
    }
}

/// `Err(Some(version))` if the slot is whole but of another version.
fn decode_slot(bytes: &[u8]) -> Result<End, Option<u32>> {
    let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
    if bytes[0..4] != MAGIC || word(SLOT_BYTES - 4) != crc32c::crc32c(&bytes[..SLOT_BYTES - 4]) {
        return Err(None);
    }
    if word(4) != VERSION {
        return Err(Some(word(4)));
    }
    Ok(End {
        publication: long(8),
        stream_id: long(16),
        segment: long(24),
        offset: long(32),
        oldest_segment: long(40),
        last_arrival_ms: long(48),
        meta_version: long(56),
        term: word(64),
        clean: word(68) & CLEAN != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample(publication: u64) -> End {
        End {
            publication,
            stream_id: 5,
            segment: 2,
            offset: 4096,
            oldest_segment: 1,
            last_arrival_ms: 1_700_000_000_000,
            meta_version: 1,
            term: 4,
            clean: true,
        }
    }

    #[test]
    fn version_1_still_reads() {
        let fixture = crate::format::check_fixture("end.bin", &sample(7).encode_file());
        assert_eq!(End::decode(Path::new("END"), fixture.first_chunk().unwrap()).unwrap(), sample(7));
    }

    proptest! {
        #[test]
        fn the_newest_whole_slot_is_read(n in 1..u64::MAX, torn in 0..SLOT_BYTES) {
            let mut bytes = [0; END_BYTES];
            let places = [
                (sample(n - 1), End::anchor_offset(false) as usize),
                (sample(n), sample(n).live_offset() as usize),
            ];
            for (end, at) in places {
                bytes[at..][..SLOT_BYTES].copy_from_slice(&end.encode());
            }
            prop_assert!(End::second_anchor_is_next(&bytes));
            let read = |bytes: &[u8; END_BYTES]| End::decode(Path::new("END"), bytes);
            prop_assert_eq!(read(&bytes).unwrap(), sample(n));
            bytes[places[1].1 + torn] ^= 0x10;
            prop_assert_eq!(read(&bytes).unwrap(), sample(n - 1));
            bytes[places[0].1 + torn] ^= 0x10;
            prop_assert!(read(&bytes).is_err());
        }
    }
}
