//! The side file of a transaction: a head that says whose it is, frames as in a segment but with numbers
//! counted from 0, and, once prepared, a trailer. Layout in `FORMAT.md`, "Staged transaction".

use std::path::Path;

use super::ALIGN;
use super::codec::{Decoder, Encoder, SEAL_HEAD, seal, sealed_len, unseal};
use crate::error::{Error, Result};

pub(crate) const HEAD_MAGIC: [u8; 8] = *b"PELTSTAG";
pub(crate) const TRAILER_MAGIC: [u8; 8] = *b"PELTPREP";
/// Bytes of the trailer: the envelope around three numbers.
pub(crate) const TRAILER_BYTES: usize = SEAL_HEAD + 24 + 4;

/// Whose transaction it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StagedHead {
    pub stream_id: u64,
    pub transaction: u64,
    pub generation: u64,
    pub epoch: u64,
    pub created_ms: u64,
    pub family: String,
    pub member: String,
}

/// What a prepared file must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StagedTrailer {
    pub transaction: u64,
    pub records: u64,
    /// Where the frames end and the trailer begins.
    pub frames_end: u64,
}

impl StagedHead {
    /// The head's bytes, padded so that the first frame is aligned.
    pub fn encode(&self) -> Vec<u8> {
        let mut body = Encoder::default();
        body.u64(self.stream_id).u64(self.transaction).u64(self.generation).u64(self.epoch);
        body.u64(self.created_ms).text(&self.family).text(&self.member);
        let mut bytes = seal(&HEAD_MAGIC, &body.0);
        bytes.resize(bytes.len().next_multiple_of(ALIGN as usize), 0);
        bytes
    }

    /// The head, and where the first frame begins, from the beginning of a file.
    pub fn decode(file: &Path, bytes: &[u8]) -> Result<(Self, usize)> {
        let len = sealed_len(file, &HEAD_MAGIC, bytes)?;
        let sealed = bytes.get(..len).ok_or_else(|| Error::corrupt(file, 0, "its head is cut short"))?;
        let head = Self::decode_body(unseal(file, &HEAD_MAGIC, sealed)?);
        Ok((head.map_err(|what| Error::corrupt(file, 0, what))?, len.next_multiple_of(ALIGN as usize)))
    }

    fn decode_body(body: &[u8]) -> Result<Self, &'static str> {
        let mut fields = Decoder::new(body);
        let head = Self {
            stream_id: fields.u64()?,
            transaction: fields.u64()?,
            generation: fields.u64()?,
            epoch: fields.u64()?,
            created_ms: fields.u64()?,
            family: fields.text()?,
            member: fields.text()?,
        };
        fields.end()?;
        Ok(head)
    }
}

impl StagedTrailer {
    pub fn encode(&self) -> Vec<u8> {
        let mut body = Encoder::default();
        body.u64(self.transaction).u64(self.records).u64(self.frames_end);
        seal(&TRAILER_MAGIC, &body.0)
    }

    /// The trailer, from the last [`TRAILER_BYTES`] of a file of `file_len` bytes; an error if the file
    /// was never prepared.
    pub fn decode(file: &Path, tail: &[u8], file_len: u64) -> Result<Self> {
        let at = file_len.saturating_sub(TRAILER_BYTES as u64);
        let wrong = |what| Error::corrupt(file, at, what);
        let mut fields = Decoder::new(unseal(file, &TRAILER_MAGIC, tail)?);
        let trailer = Self {
            transaction: fields.u64().map_err(wrong)?,
            records: fields.u64().map_err(wrong)?,
            frames_end: fields.u64().map_err(wrong)?,
        };
        if trailer.frames_end != at {
            return Err(wrong("its frames do not end where its trailer begins"));
        }
        Ok(trailer)
    }
}

/// The side file of a transaction.
pub(crate) fn file_name(transaction: u64) -> String {
    format!("{transaction:016x}.staged")
}

/// The transaction of a file name.
pub(crate) fn parse_name(name: &str) -> Option<u64> {
    u64::from_str_radix(name.strip_suffix(".staged").filter(|digits| digits.len() == 16)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_trailer(file: &[u8]) -> StagedTrailer {
        let tail = &file[file.len() - TRAILER_BYTES..];
        StagedTrailer::decode(Path::new("t"), tail, file.len() as u64).unwrap()
    }

    #[test]
    fn version_1_still_reads() {
        let head = StagedHead {
            stream_id: 1,
            transaction: 2,
            generation: 3,
            epoch: 4,
            created_ms: 5,
            family: "fraud/alerts".into(),
            member: "worker-1".into(),
        };
        let mut bytes = head.encode();
        let trailer = StagedTrailer { transaction: 2, records: 0, frames_end: bytes.len() as u64 };
        bytes.extend(trailer.encode());
        let fixture = crate::format::check_fixture("staged.bin", &bytes);
        let (read, at) = StagedHead::decode(Path::new("t"), &fixture).unwrap();
        assert_eq!((read, at as u64), (head, trailer.frames_end));
        assert_eq!(read_trailer(&fixture), trailer);
        assert_eq!(parse_name(&file_name(1 << 40)), Some(1 << 40));
    }

    proptest! {
        #[test]
        fn round_trip(numbers: [u64; 5], family: String, member: String, records: u64) {
            let [stream_id, transaction, generation, epoch, created_ms] = numbers;
            let head = StagedHead { stream_id, transaction, generation, epoch, created_ms, family, member };
            let mut bytes = head.encode();
            let trailer = StagedTrailer { transaction, records, frames_end: bytes.len() as u64 };
            bytes.extend(trailer.encode());
            prop_assert_eq!(StagedHead::decode(Path::new("t"), &bytes).unwrap().0, head);
            prop_assert_eq!(read_trailer(&bytes), trailer);
        }
    }
}
